//! Column types from the texts seen, and whether a first row is a header.
//!
//! Careful rather than clever: a type is named only when every value fits it and nothing would be lost.
//! Leading zeros and a plus sign mean text, fractions are decimals, only exponents make a double, and what
//! can be read in two ways (3/4/2024, or 1,234 beside a semicolon) stays text with a remark.

mod moments;
mod numbers;
mod signs;

use crate::ident;
use moments::Moments;
use numbers::Numbers;
use signs::Signs;
use std::collections::BTreeSet;

/// What a column holds, and how its texts are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// `true` and `false` in any case.
    Boolean,
    Bigint,
    /// Whole numbers some of which are written with `.0`, as programs do that know no null integer.
    WholeDecimal,
    /// `marks`: the decimal mark, after the mark between thousands where there is one, as in `.,`.
    Decimal {
        precision: u8,
        scale: u8,
        marks: &'static str,
    },
    /// Some values have an exponent.
    Double {
        comma: bool,
    },
    /// `format` in strftime's letters; `None` is ISO 8601.
    Date {
        format: Option<String>,
    },
    Timestamp {
        format: Option<String>,
        has_zone: bool,
    },
}

impl Kind {
    /// The type's name in a contract.
    pub fn sql_type(&self) -> String {
        match self {
            Kind::Text => "text".to_string(),
            Kind::Boolean => "boolean".to_string(),
            Kind::Bigint | Kind::WholeDecimal => "bigint".to_string(),
            Kind::Decimal { precision, scale, .. } => format!("decimal({precision},{scale})"),
            Kind::Double { .. } => "double".to_string(),
            Kind::Date { .. } => "date".to_string(),
            Kind::Timestamp { has_zone: false, .. } => "timestamp".to_string(),
            Kind::Timestamp { has_zone: true, .. } => "timestamptz".to_string(),
        }
    }

    /// The SQL expression that makes a value of a column of texts, blank being NULL.
    pub fn reading(&self, column: &str) -> String {
        let text = format!("nullif(trim({column}), '')");
        let sql_type = self.sql_type();
        match self {
            Kind::Text => text,
            Kind::Boolean | Kind::Bigint | Kind::Date { format: None } | Kind::Double { comma: false } => {
                format!("cast({text} as {sql_type})")
            }
            Kind::WholeDecimal => format!("cast(regexp_replace({text}, '[.]0$', '') as {sql_type})"),
            Kind::Double { comma: true } => format!("cast(replace({text}, ',', '.') as {sql_type})"),
            Kind::Decimal { precision, scale, marks: "." } => format!("parse_decimal({column}, {precision}, {scale})"),
            Kind::Decimal { precision, scale, marks } => {
                format!("parse_decimal({column}, {precision}, {scale}, {})", ident::literal(marks))
            }
            Kind::Date { format: Some(format) } => format!("parse_date({column}, {})", ident::literal(format)),
            Kind::Timestamp { format: Some(format), .. } => {
                format!("parse_timestamp({column}, {})", ident::literal(format))
            }
            Kind::Timestamp { format: None, has_zone: false } => format!("cast({text} as timestamp)"),
            Kind::Timestamp { format: None, has_zone: true } => {
                format!("arrow_cast({text}, 'Timestamp(Microsecond, Some(\"UTC\"))')")
            }
        }
    }
}

/// A way to read a column that stays text until somebody decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    pub kind: Kind,
    /// What stands beside every number: a currency or a per cent sign.
    pub sign: Option<String>,
}

/// What a column turns out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub kind: Kind,
    /// Why it is no better one, where that is worth a word.
    pub remark: Option<String>,
    pub readings: Vec<Reading>,
}

impl Finding {
    fn sure(kind: Kind) -> Finding {
        Finding { kind, remark: None, readings: Vec::new() }
    }

    fn text(remark: impl Into<String>) -> Finding {
        Finding { kind: Kind::Text, remark: Some(remark.into()), readings: Vec::new() }
    }

    fn doubtful(remark: impl Into<String>, kinds: impl IntoIterator<Item = Kind>) -> Finding {
        let readings = kinds.into_iter().map(|kind| Reading { kind, sign: None }).collect();
        Finding { readings, ..Finding::text(remark) }
    }
}

/// What is known about the values of one column.
#[derive(Debug, Clone)]
pub(super) struct Profile {
    pub nulls: u64,
    pub values: u64,
    is_boolean: bool,
    numbers: Numbers,
    moments: Moments,
    signs: Signs,
    /// The first value that broke the type of all before it.
    odd: Option<String>,
    /// Values that many a program writes for none, and how many cells hold one.
    null_words: BTreeSet<String>,
    null_word_cells: u64,
    is_digits: bool,
}

/// What programs write for a value that is not there.
const NULL_WORDS: [&str; 8] = ["-", "--", "?", "na", "n/a", "#n/a", "null", "none"];

impl Profile {
    /// `delimiter` of the file: whether a comma can be a decimal comma depends on it.
    pub fn new(delimiter: char) -> Profile {
        let (numbers, moments, signs) = (Numbers::new(delimiter), Moments::new(), Signs::new(delimiter));
        Profile {
            nulls: 0,
            values: 0,
            is_boolean: true,
            numbers,
            moments,
            signs,
            odd: None,
            null_words: BTreeSet::new(),
            null_word_cells: 0,
            is_digits: true,
        }
    }

    /// Takes in a cell's text; a blank one counts as null. Blanks around it do not matter.
    pub fn observe(&mut self, cell: &str) {
        if NULL_WORDS.iter().any(|word| cell.eq_ignore_ascii_case(word)) {
            self.values += 1;
            self.null_word_cells += 1;
            self.null_words.insert(cell.to_string());
            return;
        }
        self.observe_text(cell);
    }

    /// The same where no text can be declared null.
    pub fn observe_text(&mut self, cell: &str) {
        let text = cell.trim_matches(' ');
        if text.is_empty() {
            self.nulls += 1;
            return;
        }
        let was_typed = self.is_typed();
        self.values += 1;
        self.is_boolean = self.is_boolean && is_boolean(text);
        self.is_digits = self.is_digits && text.bytes().all(|byte| byte.is_ascii_digit());
        self.numbers.observe(text);
        self.moments.observe(text);
        self.signs.observe(text);
        if was_typed && !self.is_typed() && self.odd.is_none() {
            self.odd = Some(text.chars().take(40).collect());
        }
    }

    /// The type, and why it is no better one.
    pub fn finding(&self) -> Finding {
        if self.values == 0 {
            return Finding::text("no value seen");
        }
        if self.values == self.null_word_cells {
            return Finding::sure(Kind::Text);
        }
        let found = self.finding_beside_null_words();
        if self.null_words.is_empty() || (found.kind == Kind::Text && found.readings.is_empty()) {
            return found;
        }
        let words: Vec<String> = self.null_words.iter().map(|word| format!("{word:?}")).collect();
        let doubt = found.remark.map_or(String::new(), |remark| format!("; {remark}"));
        let remark = format!("some are no value: with `null_values = [{}]` in lake.toml{doubt}", words.join(", "));
        match found.readings.is_empty() {
            true => Finding::doubtful(remark, [found.kind]),
            false => Finding { readings: found.readings, ..Finding::text(remark) },
        }
    }

    fn finding_beside_null_words(&self) -> Finding {
        if self.is_boolean {
            return Finding::sure(Kind::Boolean);
        }
        let found = self.numbers.finding(self.nulls > 0).or_else(|| self.moments.finding());
        found.or_else(|| self.signs.finding()).unwrap_or_else(|| match &self.odd {
            _ if self.is_digits => Finding::text("leading zeros: kept as text"),
            Some(odd) => Finding::text(format!("{odd:?} is not what the values before it are")),
            None => Finding::sure(Kind::Text),
        })
    }

    /// Every value seen is a number, a date or a time.
    fn is_typed(&self) -> bool {
        self.values > self.null_word_cells && (self.numbers.is_alive() || self.moments.is_alive())
    }
}

fn is_boolean(text: &str) -> bool {
    text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false")
}

/// True for a number, a date or a time: nobody names a column like this without saying so.
pub(super) fn is_surely_a_value(cell: &str) -> bool {
    let mut profile = Profile::new(',');
    profile.observe(cell);
    profile.is_typed() || (!cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether the first of `rows` names the columns. In doubt it does, as in most files.
pub(super) fn has_header(rows: &[Vec<String>]) -> bool {
    let Some((first, rest)) = rows.split_first() else { return true };
    let rest: Vec<&Vec<String>> = rest.iter().filter(|row| row.len() == first.len()).collect();
    let differs_in_type = first.iter().enumerate().any(|(index, name)| {
        let mut profile = Profile::new(',');
        rest.iter().for_each(|row| profile.observe(&row[index]));
        profile.is_typed() && !name.trim().is_empty() && !is_surely_a_value(name)
    });
    if differs_in_type {
        return true;
    }
    let is_repeated = |(index, name): (usize, &String)| !name.is_empty() && rest.iter().any(|row| row[index] == *name);
    !first.iter().any(|name| is_surely_a_value(name)) && !first.iter().enumerate().any(is_repeated)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(delimiter: char, values: &[&str]) -> Kind {
        let mut profile = Profile::new(delimiter);
        values.iter().for_each(|value| profile.observe(value));
        profile.finding().kind
    }

    fn decimal(precision: u8, scale: u8, comma: bool) -> Kind {
        Kind::Decimal { precision, scale, marks: if comma { "," } else { "." } }
    }

    #[test]
    fn types_lose_nothing() {
        let table: [(&[&str], Kind); 28] = [
            (&["1e400"], Kind::Text),
            (&["1", "-20", ""], Kind::Bigint),
            (&["0", "7"], Kind::Bigint),
            (&["01", "2"], Kind::Text),
            (&["+49123"], Kind::Text),
            (&["999999999999999999"], Kind::Bigint),
            (&["12345678901234567890"], decimal(38, 0, false)),
            (&["200", "12.1"], decimal(18, 2, false)),
            (&["2.55", "-0.5", "1000"], decimal(18, 2, false)),
            (&["8.699999999999998", "5.0"], decimal(38, 15, false)),
            (&["1.0", "2.0"], decimal(18, 2, false)),
            (&["17850.0", ""], Kind::WholeDecimal),
            (&["17850.5", ""], decimal(18, 2, false)),
            (&["9.78043902348e+12", "7"], Kind::Double { comma: false }),
            (&["1,234.50", "7"], Kind::Decimal { precision: 18, scale: 2, marks: ",." }),
            (&["1,234", "7"], Kind::Text),
            (&["1,234,567"], Kind::Decimal { precision: 18, scale: 0, marks: ",." }),
            (&["1,23,4.5"], Kind::Text),
            (&["1,5"], Kind::Text),
            (&["5."], Kind::Text),
            (&["NaN"], Kind::Text),
            (&["True", "false"], Kind::Boolean),
            (&["1", "true"], Kind::Text),
            (&["", " "], Kind::Text),
            (&["12", "x"], Kind::Text),
            (&["18:00:00"], Kind::Text),
            (&["82544000000000707.52"], decimal(38, 2, false)),
            (&[".5", "1.25"], decimal(18, 2, false)),
        ];
        for (values, expected) in table {
            assert_eq!(kind(',', values), expected, "{values:?}");
        }
    }

    #[test]
    fn decimal_commas_need_another_delimiter_and_a_proof() {
        let table: [(&[&str], Kind); 9] = [
            (&["13,6", "48,9", "2"], decimal(18, 2, true)),
            (&["0,757"], decimal(18, 3, true)),
            (&["1.234,56", "0,5", "-7"], Kind::Decimal { precision: 18, scale: 2, marks: ".," }),
            (&["1.234,56", "1,234.56"], Kind::Text),
            (&["1.23,4"], Kind::Text),
            (&["1,234", "2,345"], Kind::Text),
            (&["1.234", "2.345"], Kind::Text),
            (&["1.5", "1,5"], Kind::Text),
            (&["1,53e4", "0,25"], Kind::Double { comma: true }),
        ];
        for (values, expected) in table {
            assert_eq!(kind(';', values), expected, "{values:?}");
        }
    }

    #[test]
    fn dates_and_times_are_named_only_when_unambiguous() {
        let date = |format: Option<&str>| Kind::Date { format: format.map(str::to_string) };
        let time = |format: Option<&str>, has_zone| Kind::Timestamp { format: format.map(str::to_string), has_zone };
        let table: [(&[&str], Kind); 17] = [
            (&["2024-03-08 08:26"], time(Some("%Y-%m-%d %H:%M"), false)),
            (&["2024-03-08T08:26Z"], Kind::Text),
            (&["2024-03-08", "2024-12-31"], date(None)),
            (&["2024-3-8"], date(Some("%Y-%m-%d"))),
            (&["3/10/2004", "3/13/2004"], date(Some("%m/%d/%Y"))),
            (&["3/10/2004", "13/3/2004"], date(Some("%d/%m/%Y"))),
            (&["3/10/2004"], Kind::Text),
            (&["31.12.2024", "01.02.2024"], date(Some("%d.%m.%Y"))),
            (&["2000.01.01"], date(Some("%Y.%m.%d"))),
            (&["01-01-90"], Kind::Text),
            (&["2024-03-08", "03/10/2024"], Kind::Text),
            (&["2010-12-01 08:26:00"], time(None, false)),
            (&["2015-09-12T00:46:58.771Z", "2015-09-12T00:46:58+01:00"], time(None, true)),
            (&["2020-01-01T00:00:00", "2020-01-01T00:00:00Z"], Kind::Text),
            (&["13-12-2004 15:16:00"], time(Some("%d-%m-%Y %H:%M:%S%.f"), false)),
            (&["12/31/2010 8:26"], time(Some("%m/%d/%Y %H:%M"), false)),
            (&["2024-03-08", "2024-03-08 01:02:03"], Kind::Text),
        ];
        for (values, expected) in table {
            assert_eq!(kind(',', values), expected, "{values:?}");
        }
    }

    #[test]
    fn what_stays_text_in_doubt_says_how_to_read_it() {
        let marks = |marks| Kind::Decimal { precision: 18, scale: 2, marks };
        let date = |format: &str| Kind::Date { format: Some(format.to_string()) };
        type Case<'a> = (&'a [&'a str], &'a str, &'a [(Option<&'a str>, Kind)]);
        let table: [Case<'_>; 10] = [
            (&["3/4/2024", "3/5/2024"], "day and month", &[(None, date("%m/%d/%Y")), (None, date("%d/%m/%Y"))]),
            (&["€ 1.234,56", "-€2,00"], "`€` beside", &[(Some("€"), marks(".,"))]),
            (&["$1,234.50", "$7"], "`$` beside", &[(Some("$"), marks(",."))]),
            (&["12 %", "7%"], "`%` beside", &[(Some("%"), Kind::Bigint)]),
            (&["1,50 EUR"], "`EUR` beside", &[(Some("EUR"), marks(","))]),
            (&["1", "2", "n/a", "-"], "with `null_values = [\"-\", \"n/a\"]` in lake.toml", &[(None, Kind::Bigint)]),
            (&["NULL", "a", "b"], "", &[]),
            (&["1", "2", "x"], "\"x\" is not", &[]),
            (&["1234", "01811", "5"], "leading zeros: kept as text", &[]),
            (&["€ 1", "$ 2"], "", &[]),
        ];
        for (values, remark, readings) in table {
            let mut profile = Profile::new(';');
            values.iter().for_each(|value| profile.observe(value));
            let finding = profile.finding();
            let found: Vec<_> =
                finding.readings.iter().map(|found| (found.sign.as_deref(), found.kind.clone())).collect();
            assert_eq!((finding.kind, found.as_slice()), (Kind::Text, readings), "{values:?}");
            assert!(finding.remark.unwrap_or_default().contains(remark), "{values:?}");
        }
    }

    #[test]
    fn a_header_is_recognised() {
        let rows = |text: &str| -> Vec<Vec<String>> {
            text.lines().map(|line| line.split(',').map(str::to_string).collect()).collect()
        };
        let table = [
            ("", true),
            ("a,b", true),
            ("1,2", false),
            ("id,name\n1,x", true),
            ("1,x\n2,y", false),
            ("country,2019\nx,5", false),
            ("Alice,A,TEST5\nBob,B,TEST5", false),
            ("name,city\nAlice,Berlin", true),
            (",id\n0,7", true),
        ];
        for (text, expected) in table {
            assert_eq!(has_header(&rows(text)), expected, "{text:?}");
        }
    }
}
