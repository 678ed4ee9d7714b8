//! One delimited record into a row: its fields are the columns in their order.
//!
//! RFC 4180, strictly: a quoted field ends at its closing quote, a quote anywhere else and a line end outside of
//! quotes are faults; one line end behind the record is not. A field without quotes that is written like the layout's
//! `null` is null, a quoted one never is. Values follow the rules of `value` for texts, blanks around a number or a
//! date included.
//!
//! The splitting is its own because parsers for files, csv-core among them, are lenient: they take an unclosed quote
//! or text behind a closing one, and a payload that holds two records would shift nothing but be half lost. The
//! `source` module's is as strict, but made for lines of a file, and decoders import no sources.

use super::column::Column;
use super::object::{shortened, utf8};
use super::rows::Rows;
use super::target::Target;
use super::value;
use super::{Decoded, Decoder, Reject};
use crate::engine::types::type_name;
use crate::error::{Context, Error, Kind, Result};
use arrow::datatypes::{Fields, SchemaRef};
use arrow::record_batch::RecordBatch;
use std::borrow::Cow;

/// How a delimited record is laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub delimiter: char,
    /// `None`: fields are never quoted.
    pub quote: Option<char>,
    /// What an absent value is written as, without quotes.
    pub null: String,
}

impl Default for Layout {
    /// RFC 4180, with nothing between two delimiters for an absent value.
    fn default() -> Layout {
        Layout { delimiter: ',', quote: Some('"'), null: String::new() }
    }
}

/// Decodes payloads that are one delimited record each.
pub struct CsvDecoder {
    target: Target,
    layout: Layout,
    /// [`RESCUED`](super::RESCUED) stays null: a field too many is a reject.
    rows: Rows,
}

impl CsvDecoder {
    /// For the declared columns; fails when there are none, or one has a type no text can fill, or the marks of the
    /// layout cannot be told apart.
    pub fn new(columns: &Fields, layout: Layout) -> Result<CsvDecoder> {
        if columns.is_empty() {
            return Err(Error::config("a stream in CSV has no columns").hint(
                "declare them in models/sources.yml in the order of the fields; a message without a header names none",
            ));
        }
        let Layout { delimiter, quote, .. } = &layout;
        if Some(*delimiter) == *quote || [Some(*delimiter), *quote].iter().flatten().any(|mark| "\r\n".contains(*mark))
        {
            return Err(Error::config(format!("delimiter {delimiter:?} and quote {quote:?} cannot be used together"))
                .hint("choose two different characters, neither of them a line end"));
        }
        let fills = |data_type: &_| Column::new(data_type).is_some_and(|column| !column.is_nested());
        let target = Target::new(columns, "CSV", fills)?;
        let rows = Rows::new(target.columns());
        Ok(CsvDecoder { target, layout, rows })
    }

    /// Appends the record as a row, or says why it is none; then the columns may hold parts of it.
    fn read(&mut self, payload: &[u8]) -> Result<(), String> {
        let text = utf8(payload)?;
        if text.is_empty() {
            return Err("empty payload".into());
        }
        let record = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
        let (declared, mut at) = (self.target.declared(), 0);
        for index in 0..declared {
            let (cell, end) = self.layout.cell(record, at, index + 1)?;
            self.append(index, cell)?;
            if end == record.len() && index + 1 < declared {
                return Err(self.too_few(index + 1));
            }
            at = end + self.layout.delimiter.len_utf8();
        }
        if at <= record.len() {
            return Err(self.too_many(&record[at..])?);
        }
        if let Some(rescued) = self.rows.columns().last_mut() {
            rescued.append_null();
        }
        self.rows.end();
        Ok(())
    }

    fn append(&mut self, index: usize, cell: Cell<'_>) -> Result<(), String> {
        let column = &mut self.rows.columns()[index];
        if !cell.quoted && cell.text == self.layout.null.as_str() {
            column.append_null();
            return Ok(());
        }
        match value::of_text(cell.text.as_ref().into(), column.data_type()) {
            Ok(value) => column.append(value),
            Err(fault) => {
                let field = self.target.schema.field(index);
                let said = fault.describe(&format!("{:?}", cell.text), &type_name(field.data_type()));
                return Err(format!("column `{}`: {said}", field.name()));
            }
        }
        Ok(())
    }

    fn too_few(&self, found: usize) -> String {
        let (declared, fields) = (self.target.declared(), self.target.schema.fields());
        let missing: Vec<String> = fields[found..declared].iter().map(|field| format!("`{}`", field.name())).collect();
        format!("{found} of {declared} fields: none for {}", shortened(&missing.join(", ")))
    }

    /// What to say of `rest`, the fields behind the last column.
    fn too_many(&self, rest: &str) -> Result<String, String> {
        let declared = self.target.declared();
        let (first, mut end) = self.layout.cell(rest, 0, declared + 1)?;
        let mut found = declared + 1;
        while end < rest.len() {
            found += 1;
            (_, end) = self.layout.cell(rest, end + self.layout.delimiter.len_utf8(), found)?;
        }
        let (last, first) = (self.target.schema.field(declared - 1).name(), shortened(&format!("{:?}", first.text)));
        Ok(format!("{found} fields for {declared} columns: behind `{last}` comes {first}"))
    }
}

/// One field.
struct Cell<'p> {
    text: Cow<'p, str>,
    quoted: bool,
}

impl Layout {
    /// The field that begins at `at`, and where it ends: at a delimiter or at the end. `number` counts from 1.
    fn cell<'p>(&self, record: &'p str, at: usize, number: usize) -> Result<(Cell<'p>, usize), String> {
        let rest = &record[at..];
        if let Some(quote) = self.quote.filter(|quote| rest.starts_with(*quote)) {
            return self.quoted(record, at, quote, number);
        }
        let text = rest.split(self.delimiter).next().unwrap_or_default();
        if let Some(line_end) = text.find(['\r', '\n']) {
            return Err(format!("a line end within field {number}, at byte {}: one record is expected", at + line_end));
        }
        match self.quote.filter(|quote| text.contains(*quote)) {
            Some(_) => Err(format!("field {number} holds a quote but does not begin with one")),
            None => Ok((Cell { text: text.into(), quoted: false }, at + text.len())),
        }
    }

    fn quoted<'p>(&self, record: &'p str, at: usize, quote: char, number: usize) -> Result<(Cell<'p>, usize), String> {
        let (start, mut end) = (at + quote.len_utf8(), at + quote.len_utf8());
        let mut doubled = false;
        loop {
            let Some(closing) = record[end..].find(quote) else {
                return Err(format!("the quote that opens field {number} is never closed"));
            };
            end += closing;
            let behind = end + quote.len_utf8();
            if !record[behind..].starts_with(quote) {
                break;
            }
            doubled = true;
            end = behind + quote.len_utf8();
        }
        let behind = end + quote.len_utf8();
        if !(record[behind..].is_empty() || record[behind..].starts_with(self.delimiter)) {
            return Err(format!("text follows the closing quote of field {number}, at byte {behind}"));
        }
        let text = &record[start..end];
        let text = match doubled {
            true => Cow::Owned(text.replace(&format!("{quote}{quote}"), &quote.to_string())),
            false => Cow::Borrowed(text),
        };
        Ok((Cell { text, quoted: true }, behind))
    }
}

impl Decoder for CsvDecoder {
    fn schema(&self) -> SchemaRef {
        self.target.schema.clone()
    }

    fn decode(&mut self, payloads: &[&[u8]]) -> Result<Decoded> {
        super::check_size(payloads)?;
        let mut rejects = Vec::new();
        for (index, payload) in payloads.iter().enumerate() {
            if let Err(reason) = self.read(payload) {
                self.rows.take_back();
                rejects.push(Reject { index, reason });
            }
        }
        let batch = self.rows.finish().and_then(|arrays| RecordBatch::try_new(self.schema(), arrays));
        Ok(Decoded { batch: batch.context(Kind::Internal, || "assemble the decoded columns")?, rejects })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::AsArray;
    use arrow::datatypes::{DataType, Field, Int32Type};
    use proptest::prelude::*;

    fn decoder(columns: &[(&str, DataType)], layout: Layout) -> CsvDecoder {
        let fields: Fields = columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect();
        CsvDecoder::new(&fields, layout).unwrap()
    }

    fn texts(decoded: &Decoded, column: usize) -> Vec<Option<&str>> {
        decoded.batch.column(column).as_string::<i32>().iter().collect()
    }

    #[test]
    fn fields_are_the_columns_in_their_order() {
        let columns = [("n", DataType::Int32), ("a", DataType::Utf8), ("b", DataType::Utf8)];
        let mut decoder = decoder(&columns, Layout::default());
        let payloads: [&[u8]; 5] =
            [b"1,x,y", b" 2 , x,\"\"\r\n", b",,\n", b"\"4\",\"a,\"\"b\"\"\r\nc\",\xc3\xa9", b"5,\"\"\"\",\"\""];
        let decoded = decoder.decode(&payloads).unwrap();
        assert_eq!(decoded.rejects, []);
        let numbers: Vec<_> = decoded.batch.column(0).as_primitive::<Int32Type>().iter().collect();
        assert_eq!(numbers, [Some(1), Some(2), None, Some(4), Some(5)]);
        assert_eq!(texts(&decoded, 1), [Some("x"), Some(" x"), None, Some("a,\"b\"\r\nc"), Some("\"")]);
        assert_eq!(texts(&decoded, 2), [Some("y"), Some(""), None, Some("é"), Some("")]);
    }

    #[test]
    fn marks_are_those_of_the_layout() {
        let layout = Layout { delimiter: ';', quote: None, null: "\\N".into() };
        let mut decoder = decoder(&[("a", DataType::Utf8), ("b", DataType::Utf8)], layout);
        let decoded = decoder.decode(&[b"\\N;5\" nail", b";\"x\""]).unwrap();
        assert_eq!(
            (texts(&decoded, 0), texts(&decoded, 1)),
            (vec![None, Some("")], vec![Some("5\" nail"), Some("\"x\"")])
        );
        for (delimiter, quote) in [(',', Some(',')), ('\n', None), (',', Some('\r'))] {
            let fields: Fields = vec![Field::new("a", DataType::Utf8, true)].into();
            let refused = CsvDecoder::new(&fields, Layout { delimiter, quote, null: String::new() });
            assert_eq!(refused.err().unwrap().kind(), Kind::Config);
        }
    }

    #[test]
    fn each_fault_is_named() {
        let table: [(&[u8], &str); 13] = [
            (b"", "empty payload"),
            (b"1", "1 of 3 fields: none for `a`, `b`"),
            (b"1,x", "2 of 3 fields: none for `b`"),
            (b"1,x,y,", "4 fields for 3 columns: behind `b` comes \"\""),
            (b"1,x,y,\"z,\",w", "5 fields for 3 columns: behind `b` comes \"z,\""),
            (b"1,x,y\n2,x,y\n", "a line end within field 3, at byte 5: one record is expected"),
            (b"1,x,y\n\n", "a line end within field 3, at byte 5: one record is expected"),
            (b"x,x,y", "column `n`: expected integer, found \"x\""),
            (b"1,\"x,y", "the quote that opens field 2 is never closed"),
            (b"1,\"x\"z,y", "text follows the closing quote of field 2, at byte 5"),
            (b"1,x\"z,y", "field 2 holds a quote but does not begin with one"),
            (b"1,x,\xff", "invalid UTF-8 at byte 4"),
            (b"\xef\xbb\xbf1,x,y", "begins with a byte order mark"),
        ];
        let mut decoder =
            decoder(&[("n", DataType::Int32), ("a", DataType::Utf8), ("b", DataType::Utf8)], Layout::default());
        for (payload, expected) in table {
            let decoded = decoder.decode(&[b"1,x,y", payload, b"2,x,y"]).unwrap();
            assert_eq!(decoded.rejects, [Reject { index: 1, reason: expected.into() }]);
            assert_eq!(decoded.batch.column(0).as_primitive::<Int32Type>().values(), &[1, 2]);
        }
    }

    #[test]
    fn columns_no_text_can_fill_are_refused() {
        let list = DataType::List(Field::new("element", DataType::Utf8, true).into());
        for data_type in [DataType::Binary, list] {
            let fields: Fields = vec![Field::new("a", data_type, true)].into();
            assert_eq!(CsvDecoder::new(&fields, Layout::default()).err().unwrap().kind(), Kind::Config);
        }
        let none = CsvDecoder::new(&Fields::empty(), Layout::default()).err().unwrap();
        assert!(none.hint_text().unwrap().contains("models/sources.yml"));
    }

    proptest! {
        /// csv-core writes; what it wrote is read back.
        #[test]
        fn what_another_program_wrote_is_read_back(cells in prop::collection::vec("[a\",\r\n é]{0,6}", 1..5)) {
            let names: Vec<String> = (0..cells.len()).map(|at| format!("c{at}")).collect();
            let columns: Vec<(&str, DataType)> = names.iter().map(|name| (name.as_str(), DataType::Utf8)).collect();
            let mut writer = csv_core::WriterBuilder::new().quote_style(csv_core::QuoteStyle::Always).build();
            let (mut record, mut buffer) = (Vec::new(), vec![0; 256]);
            for (index, cell) in cells.iter().enumerate() {
                if index > 0 {
                    let (_, written) = writer.delimiter(&mut buffer);
                    record.extend_from_slice(&buffer[..written]);
                }
                let (_, _, written) = writer.field(cell.as_bytes(), &mut buffer);
                record.extend_from_slice(&buffer[..written]);
            }
            let (_, written) = writer.terminator(&mut buffer);
            record.extend_from_slice(&buffer[..written]);
            let decoded = decoder(&columns, Layout::default()).decode(&[&record]).unwrap();
            prop_assert_eq!(&decoded.rejects, &[]);
            for (at, cell) in cells.iter().enumerate() {
                prop_assert_eq!(texts(&decoded, at), vec![Some(cell.as_str())]);
            }
        }
    }
}
