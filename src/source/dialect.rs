//! Layout of a delimited file: encoding, delimiter, quote, header.
//!
//! [`of_input`] is what producing uses: everything declared holds, only the delimiter may be sniffed.
//! [`guess`] is for a new project's settings, where guesses are written down for the user to read.

use super::cells::{Cells, Marks};
use super::records::Records;
use super::{Input, SourceConfig, compressed, encoding, infer, open_file};
use crate::error::{Context, Error, Kind, Result};
use encoding_rs::Encoding;
use std::io::{Cursor, Read};

const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];
const HEAD: u64 = 64 * 1024;
const GUESS_HEAD: u64 = 8 * 1024 * 1024;
const SAMPLE_ROWS: usize = 200;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Dialect {
    pub encoding: &'static Encoding,
    /// Length of the byte order mark.
    pub bom: usize,
    pub marks: Marks,
    /// `None`: not declared, which means there is one.
    pub header: Option<bool>,
    /// Lines before the first row that are none.
    pub skip_lines: u64,
}

/// The layout that holds for a file when it is produced.
pub(super) fn of_input(input: &Input, config: &SourceConfig) -> Result<Dialect> {
    let mut head = Head::read(input, HEAD)?;
    head.skip_lines = config.skip_lines.unwrap_or(0);
    let (encoding, bom) = encoding::of_file(&head.bytes, config.encoding.as_deref())?;
    let quote = quote_of(config);
    let delimiter = match config.delimiter {
        Some(delimiter) => delimiter,
        None => head.delimiter(input, (encoding, bom), quote)?,
    };
    check_marks(delimiter, quote)?;
    let (marks, header) = (Marks { delimiter, quote }, config.header);
    Ok(Dialect { encoding, bom, marks, header, skip_lines: head.skip_lines })
}

/// `config` with every layout setting it leaves open filled in from the head of the file.
pub(super) fn guess(input: &Input, config: &SourceConfig) -> Result<SourceConfig> {
    let head = Head::read(input, GUESS_HEAD)?;
    let mut guessed = config.clone();
    if guessed.encoding.is_none() {
        guessed.encoding = Some(encoding::guess(&head.bytes).name().to_lowercase());
    }
    let (encoding, bom) = encoding::of_file(&head.bytes, guessed.encoding.as_deref())?;
    let mut head = Head { whole: head.whole && head.bytes.len() as u64 <= HEAD, ..head }.cut(HEAD as usize);
    head.skip_lines = config.skip_lines.unwrap_or_else(|| head.comment_lines(bom));
    let marks = head.guess_marks(input, (encoding, bom), config)?;
    if config.skip_lines.is_none() && head.skip_lines > 0 {
        head.keep_commented_header((encoding, bom), marks)?;
        guessed.skip_lines = Some(head.skip_lines);
    }
    guessed.delimiter = Some(marks.delimiter);
    guessed.quote = Some(marks.quote.unwrap_or('\0'));
    if guessed.header.is_none() {
        let rows = head.sample((encoding, bom), marks)?;
        // A first row that cannot be read may be the header; reading on without it would misname all others.
        let is_readable = rows.first().is_none_or(|row| row.cells.is_some());
        let rows: Vec<Vec<String>> = rows.into_iter().filter_map(|row| row.cells).collect();
        guessed.header = Some(!is_readable || infer::has_header(&rows));
    }
    Ok(guessed)
}

fn quote_of(config: &SourceConfig) -> Option<char> {
    Some(config.quote.unwrap_or('"')).filter(|quote| *quote != '\0')
}

fn check_marks(delimiter: char, quote: Option<char>) -> Result<()> {
    if Some(delimiter) == quote || matches!(delimiter, '\r' | '\n') || matches!(quote, Some('\r' | '\n')) {
        return Err(Error::config(format!("delimiter {delimiter:?} and quote {quote:?} cannot be used together"))
            .hint("both are one character, different, and no line end"));
    }
    Ok(())
}

/// A row of the sample.
struct Row {
    /// `None`: its quoting is broken.
    cells: Option<Vec<String>>,
    /// With broken quoting ruled out, it stands around a cell.
    has_double_quote: bool,
}

/// The first bytes of a file.
struct Head {
    bytes: Vec<u8>,
    /// The file ends within them.
    whole: bool,
    /// Lines passed over before the first row.
    skip_lines: u64,
}

impl Head {
    fn read(input: &Input, limit: u64) -> Result<Head> {
        let mut bytes = Vec::new();
        let file = open_file(&input.path)?;
        file.take(limit + 1).read_to_end(&mut bytes).context(Kind::Input, || format!("read `{}`", input.id))?;
        compressed::refuse_head(&input.id, &bytes)?;
        let whole = bytes.len() as u64 <= limit;
        Ok(Head { bytes, whole, skip_lines: 0 }.cut(limit as usize))
    }

    fn cut(mut self, limit: usize) -> Head {
        self.bytes.truncate(limit);
        self
    }

    /// Lines at the start that begin with `#`; none when nothing else follows.
    fn comment_lines(&self, bom: usize) -> u64 {
        let lines = || self.bytes[bom..].split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        let comments = lines().take_while(|line| line.starts_with(b"#")).count();
        if lines().nth(comments).is_none() {
            return 0;
        }
        // Blank lines between them count too.
        let all = self.bytes[bom..].split(|byte| *byte == b'\n');
        all.take_while(|line| line.starts_with(b"#") || line.trim_ascii().is_empty()).count() as u64
            * u64::from(comments > 0)
    }

    /// The last comment is the header when it has as many cells as the row after it.
    fn keep_commented_header(&mut self, encoding: (&'static Encoding, usize), marks: Marks) -> Result<()> {
        self.skip_lines -= 1;
        let rows = self.sample(encoding, marks)?;
        let width = |row: usize| rows.get(row).and_then(|row: &Row| row.cells.as_ref().map(Vec::len));
        if width(0) != width(1) || width(0).is_none_or(|width| width < 2) {
            self.skip_lines += 1;
        }
        Ok(())
    }

    /// Rows of the head. The last is left out where the file goes on.
    fn sample(&self, encoding: (&'static Encoding, usize), marks: Marks) -> Result<Vec<Row>> {
        let input = Box::new(Cursor::new(self.bytes.clone()));
        let mut records = Records::new(input, "head", encoding, marks, HEAD as usize)?;
        records.skip_lines(self.skip_lines)?;
        let mut cells = Cells::default();
        let mut rows = Vec::new();
        while let Some(row) = records.next(&mut cells)? {
            rows.push(Row {
                cells: row.fault.is_none().then(|| cells.iter().map(str::to_string).collect()),
                has_double_quote: row.bytes.contains(&b'"'),
            });
            if rows.len() == SAMPLE_ROWS {
                return Ok(rows);
            }
        }
        if !self.whole && rows.len() > 1 {
            rows.pop();
        }
        Ok(rows)
    }

    /// The delimiter that cuts the first row into at least two cells and the most other rows into as many;
    /// among equals the one that makes more cells. A comma when there is none.
    fn delimiter(&self, input: &Input, encoding: (&'static Encoding, usize), quote: Option<char>) -> Result<char> {
        let mut best = (0, 0, if is_tab_separated(input) { '\t' } else { ',' });
        for delimiter in DELIMITERS.into_iter().filter(|delimiter| Some(*delimiter) != quote) {
            let rows = self.sample(encoding, Marks { delimiter, quote })?;
            let Some(width) = width_of(&rows).filter(|width| *width > 1) else {
                continue;
            };
            if (alike(&rows), width) > (best.0, best.1) {
                best = (alike(&rows), width, delimiter);
            }
        }
        Ok(best.2)
    }

    /// The double quote, unless another quote or none at all makes sense of more rows. Those are out of the
    /// question where the first row cannot be read with double quotes, or some row is quoted with them.
    fn guess_marks(&self, input: &Input, encoding: (&'static Encoding, usize), config: &SourceConfig) -> Result<Marks> {
        let with_quote = |quote: Option<char>| {
            let sniffed = config.delimiter.map_or_else(|| self.delimiter(input, encoding, quote), Ok)?;
            let marks = Marks { delimiter: sniffed, quote };
            Ok::<_, Error>((marks, self.sample(encoding, marks)?))
        };
        let (mut best, rows) = with_quote(quote_of(config))?;
        let is_quoted = |row: &Row| row.has_double_quote && row.cells.is_some();
        if config.quote.is_some() || rows.first().is_none_or(|row| row.cells.is_none()) || rows.iter().any(is_quoted) {
            return Ok(best);
        }
        let mut most = alike(&rows);
        for quote in [None, Some('\'')] {
            let (marks, rows) = with_quote(quote)?;
            if alike(&rows) > most {
                (best, most) = (marks, alike(&rows));
            }
        }
        Ok(best)
    }
}

/// Rows with as many cells as the first.
fn alike(rows: &[Row]) -> usize {
    let width = width_of(rows);
    rows.iter().filter_map(|row| row.cells.as_ref()).filter(|cells| Some(cells.len()) == width).count()
}

fn width_of(rows: &[Row]) -> Option<usize> {
    rows.first().and_then(|row| row.cells.as_ref().map(Vec::len))
}

fn is_tab_separated(input: &Input) -> bool {
    input.path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tsv"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Format;

    fn guess_of(content: &[u8]) -> SourceConfig {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        let input = Input { id: "t.csv".into(), path: file.path().into(), format: Format::Csv };
        guess(&input, &SourceConfig::default()).unwrap()
    }

    #[test]
    fn delimiter_and_quote_are_sniffed() {
        let table = [
            ("a,b\n1,2\n", ',', '"'),
            ("a;b\n1,5;2,5\n", ';', '"'),
            ("a\tb\n1,x\t2\n", '\t', '"'),
            ("a|b|c\n1|2|3\n", '|', '"'),
            ("\"a,b\";c\n1;2\n", ';', '"'),
            ("a;b,c;d\n1;2;3\n", ';', '"'),
            ("just one\n1\n", ',', '"'),
            ("a|b\n\"hello|world\n5\" nail|x\n", '|', '\0'),
            ("a,b\n'x,y',2\n", ',', '\''),
            ("a\n\"x\ny, z\"\n\"v\n\nw\"\n", ',', '"'),
            ("a,b\n\"x\",2\n\"y\"z,3\n", ',', '"'),
            ("", ',', '"'),
        ];
        for (content, delimiter, quote) in table {
            let guessed = guess_of(content.as_bytes());
            assert_eq!((guessed.delimiter, guessed.quote), (Some(delimiter), Some(quote)), "{content:?}");
        }
    }

    #[test]
    fn comments_before_the_header_are_passed_over() {
        let table = [
            ("a,b\n1,2\n", None, ','),
            ("# made by x, on y\n\n#z\na;b\n1;2\n", Some(3), ';'),
            ("#id,name\n1,x\n", Some(0), ','),
            ("# made by x\n#id\tname\n1\tx\n", Some(1), '\t'),
            ("#1,a\n#2,b\n", None, ','),
        ];
        for (content, skipped, delimiter) in table {
            let guessed = guess_of(content.as_bytes());
            assert_eq!((guessed.skip_lines, guessed.delimiter), (skipped, Some(delimiter)), "{content:?}");
        }
    }

    #[test]
    fn a_delimiter_that_is_the_quote_is_refused() {
        assert!(check_marks('"', Some('"')).is_err());
        assert!(check_marks('\n', None).is_err());
        assert!(check_marks(',', None).is_ok());
    }
}
