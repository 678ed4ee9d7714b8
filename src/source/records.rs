//! Rows of a delimited file: physical lines joined over quoted line ends, each byte in exactly one row.
//!
//! Where quoting is broken the row is its first line alone and reading goes on with the next line. So a
//! quote somebody forgot to close costs its own line and not the rest of the file, and the lines that were
//! looked at on the way are read again as rows of their own.

use super::cells::Cells;
use super::cells::Marks;
use super::encoding;
use super::lines::{Ends, Line, Lines};
use crate::error::Result;
use encoding_rs::Encoding;
use std::io::Read;

/// A row as it stands in the file. Its cells are in the [`Cells`] given to [`Records::next`], unless `fault`.
#[derive(Debug)]
pub(super) struct RawRow {
    /// Line it begins on.
    pub line: u64,
    /// Without the last line end; cut at the limit when the row is longer.
    pub bytes: Vec<u8>,
    pub digest: u64,
    /// Why there are no cells.
    pub fault: Option<String>,
}

pub(super) struct Records {
    lines: Lines,
    encoding: &'static Encoding,
    marks: Marks,
    limit: usize,
}

impl Records {
    /// `bom` bytes at the start are passed over; a row of more than `limit` bytes is a fault.
    pub fn new(
        input: Box<dyn Read + Send>,
        name: &str,
        (encoding, bom): (&'static Encoding, usize),
        marks: Marks,
        limit: usize,
    ) -> Result<Records> {
        let mut lines = Lines::new(input, name, encoding::unit(encoding), Ends::Any, limit);
        lines.skip(bom)?;
        Ok(Records { lines, encoding, marks, limit })
    }

    /// Passes over lines before the first row; they count for the digests only.
    pub fn skip_lines(&mut self, count: u64) -> Result<()> {
        for _ in 0..count {
            if self.lines.next()?.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// The next row that is not a blank line.
    pub fn next(&mut self, cells: &mut Cells) -> Result<Option<RawRow>> {
        let first = loop {
            match self.lines.next()? {
                None => return Ok(None),
                Some(line) if line.length > 0 => break line,
                Some(_blank) => {}
            }
        };
        let mut lines = vec![first];
        match self.gather(&mut lines, cells)? {
            Ok(decodable) => {
                let fault = (!decodable).then(|| self.undecodable(&lines));
                Ok(Some(joined(lines, fault)))
            }
            Err(reason) => {
                self.lines.give_back(lines.drain(1..));
                Ok(Some(joined(lines, Some(reason))))
            }
        }
    }

    /// Adds lines until the row is complete. Inner `Ok`: whether all of it could be decoded; inner `Err`: why
    /// there is no telling where the row ends.
    fn gather(&mut self, lines: &mut Vec<Line>, cells: &mut Cells) -> Result<Result<bool, String>> {
        cells.clear();
        let mut decodable = true;
        let mut size = 0;
        loop {
            let line = &lines[lines.len() - 1];
            size += line.length as usize + line.terminator().len();
            if line.is_cut() && lines.len() == 1 {
                return Ok(Err(format!("the line has {} bytes, more than {}", line.length, self.limit_text())));
            }
            if line.is_cut() || (lines.len() > 1 && size > self.limit) {
                return Ok(Err(format!("{} within {}", cells.unclosed(), self.limit_text())));
            }
            let (text, is_clean) = encoding::decode(self.encoding, line.content());
            decodable &= is_clean;
            match cells.feed(&text, self.marks) {
                Ok(true) => return Ok(Ok(decodable)),
                Ok(false) => cells.line_end(&encoding::decode(self.encoding, line.terminator()).0),
                Err(fault) if lines.len() > 1 => {
                    return Ok(Err(format!("a quoted cell goes on to line {}, where {fault}", line.number)));
                }
                Err(fault) => return Ok(Err(fault.to_string())),
            }
            match self.lines.next()? {
                Some(line) => lines.push(line),
                None => return Ok(Err(cells.unclosed().to_string())),
            }
        }
    }

    fn limit_text(&self) -> String {
        format!("the {} of max_record_bytes", self.limit)
    }

    fn undecodable(&self, lines: &[Line]) -> String {
        let line = lines.iter().find(|line| !encoding::decode(self.encoding, line.content()).1);
        let place = line.map_or(String::new(), |line| match std::str::from_utf8(line.content()) {
            Err(error) if self.encoding == encoding_rs::UTF_8 => {
                format!(" (line {}, byte {})", line.number, error.valid_up_to() + 1)
            }
            _ => format!(" (line {})", line.number),
        });
        format!("not {} text{place}", self.encoding.name())
    }
}

fn joined(lines: Vec<Line>, fault: Option<String>) -> RawRow {
    let (line, digest) = (lines[0].number, lines[lines.len() - 1].digest);
    let mut bytes = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        if index > 0 {
            bytes.extend_from_slice(lines[index - 1].terminator());
        }
        bytes.extend_from_slice(line.content());
    }
    RawRow { line, bytes, digest, fault }
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoding_rs::UTF_8;
    use proptest::prelude::*;

    type Rows = Vec<Result<Vec<String>, (u64, String, String)>>;

    fn read(bytes: &[u8], limit: usize) -> Rows {
        let marks = Marks { delimiter: ',', quote: Some('"') };
        let input = Box::new(std::io::Cursor::new(bytes.to_vec()));
        let mut records = Records::new(input, "t", (UTF_8, 0), marks, limit).unwrap();
        let mut cells = Cells::default();
        let mut rows = Vec::new();
        while let Some(row) = records.next(&mut cells).unwrap() {
            rows.push(match row.fault {
                None => Ok(cells.iter().map(str::to_string).collect()),
                Some(fault) => Err((row.line, String::from_utf8_lossy(&row.bytes).into_owned(), fault)),
            });
        }
        rows
    }

    fn good(cells: &[&str]) -> Result<Vec<String>, (u64, String, String)> {
        Ok(cells.iter().map(|cell| cell.to_string()).collect())
    }

    fn bad(line: u64, raw: &str, fault: &str) -> Result<Vec<String>, (u64, String, String)> {
        Err((line, raw.to_string(), fault.to_string()))
    }

    #[test]
    fn an_unclosed_quote_costs_its_own_line() {
        let rows = read(b"1,a\n2,\"b\n\n3,c\n4,d\n", 1000);
        assert_eq!(
            rows,
            [
                good(&["1", "a"]),
                bad(2, "2,\"b", "the quote that opens cell 2 is never closed"),
                good(&["3", "c"]),
                good(&["4", "d"]),
            ]
        );
    }

    #[test]
    fn a_forgotten_quote_does_not_swallow_up_to_the_next_quoted_cell() {
        let rows = read(b"1,\"a\n2,\"b,c\"\n3,d\n", 1000);
        let fault = "a quoted cell goes on to line 2, where text follows the closing quote of cell 2";
        assert_eq!(rows, [bad(1, "1,\"a", fault), good(&["2", "b,c"]), good(&["3", "d"])]);
    }

    #[test]
    fn an_undecodable_row_keeps_its_quoted_lines_together() {
        let rows = read(b"1,\"a\nb\xff\"\n2,c\n", 1000);
        assert_eq!(rows, [bad(1, "1,\"a\nb\u{fffd}\"", "not UTF-8 text (line 2, byte 2)"), good(&["2", "c"])]);
    }

    #[test]
    fn too_long_a_line_is_cut_and_the_next_row_is_found() {
        let rows = read(b"123456789\nab\n\"x\nyyyyyyy\nz\"\n", 8);
        assert_eq!(rows[0], bad(1, "12345678", "the line has 9 bytes, more than the 8 of max_record_bytes"));
        assert_eq!(rows[1], good(&["ab"]));
        let fault = "the quote that opens cell 1 is never closed within the 8 of max_record_bytes";
        assert_eq!(rows[2], bad(3, "\"x", fault));
        assert_eq!(rows[3], good(&["yyyyyyy"]));
        assert_eq!(rows[4], bad(5, "z\"", "cell 1 holds a quote but does not begin with one"));
    }

    fn written_by_csv_core(rows: &[Vec<String>]) -> Vec<u8> {
        let mut writer = csv_core::WriterBuilder::new().quote_style(csv_core::QuoteStyle::Always).build();
        let mut out = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        for row in rows {
            for (index, cell) in row.iter().enumerate() {
                if index > 0 {
                    let (_, written) = writer.delimiter(&mut buffer);
                    out.extend_from_slice(&buffer[..written]);
                }
                let (_, _, written) = writer.field(cell.as_bytes(), &mut buffer);
                out.extend_from_slice(&buffer[..written]);
            }
            let (_, written) = writer.terminator(&mut buffer);
            out.extend_from_slice(&buffer[..written]);
        }
        out
    }

    proptest! {
        #[test]
        fn what_another_program_wrote_is_read_back(
            rows in prop::collection::vec(prop::collection::vec("[a\",\r\n é]{0,6}", 1..4), 0..6)
        ) {
            let file = written_by_csv_core(&rows);
            let read: Vec<Vec<String>> = read(&file, 1000).into_iter().map(Result::unwrap).collect();
            prop_assert_eq!(read, rows);
        }

        #[test]
        fn no_byte_is_lost_whatever_the_quotes(text in "[a\",\r\n]{0,40}") {
            let kept: usize = count_kept(text.as_bytes());
            let ends = text.bytes().filter(|byte| matches!(byte, b'\r' | b'\n')).count();
            prop_assert!(kept >= text.len() - ends, "{} of {}", kept, text.len());
        }
    }

    fn count_kept(bytes: &[u8]) -> usize {
        let marks = Marks { delimiter: ',', quote: Some('"') };
        let input = Box::new(std::io::Cursor::new(bytes.to_vec()));
        let mut records = Records::new(input, "t", (UTF_8, 0), marks, 1000).unwrap();
        let mut cells = Cells::default();
        std::iter::from_fn(|| records.next(&mut cells).unwrap()).map(|row| row.bytes.len()).sum()
    }
}
