//! The rows of a batch, column by column; one that was begun can be taken back.
//!
//! And the straight way from the bytes of a JSON record into them, no values of a row in between: it knows what most
//! records look like and gives up at anything else; what it takes, it takes as `json` would.

use super::column::Column;
use super::fill::{self, Path};
use super::names::Names;
use super::scan;
use super::value;
use arrow::array::ArrayRef;
use arrow::error::ArrowError;

/// Fields without a column in one record that are compared with each other.
const MANY_RESCUED: usize = 64;

/// The last column is [`RESCUED`](super::RESCUED).
pub(super) struct Rows {
    columns: Vec<Column>,
    count: usize,
    /// Of the row at hand: names of the fields without a column, and their text but for the last bracket.
    rescued: Vec<usize>,
    rescued_text: Vec<u8>,
}

impl Rows {
    pub fn new(columns: Vec<Column>) -> Rows {
        Rows { columns, count: 0, rescued: Vec::new(), rescued_text: Vec::new() }
    }

    /// Appends the record as a row. `None`: it takes a closer look; the columns may hold parts of it, which
    /// [`Rows::take_back`] removes.
    pub fn read(&mut self, payload: &[u8], names: &mut Names) -> Option<()> {
        let text = std::str::from_utf8(payload).ok()?;
        self.rescued.clear();
        let mut at = scan::space(payload, 0);
        (payload.get(at)? == &b'{').then_some(())?;
        at = scan::space(payload, at + 1);
        if payload.get(at)? != &b'}' {
            at = self.read_fields(text, at, names)?;
        }
        (scan::space(payload, at + 1) == payload.len()).then_some(())?;
        self.close();
        Some(())
    }

    /// Comes back with the place of the closing bracket.
    fn read_fields(&mut self, text: &str, mut at: usize, names: &mut Names) -> Option<usize> {
        let bytes = text.as_bytes();
        let mut name = Names::START;
        loop {
            (name, at) = names.next(name, text, at)?;
            at = scan::space(bytes, at);
            (bytes.get(at)? == &b':').then_some(())?;
            let start = scan::space(bytes, at + 1);
            let end = scan::value(bytes, start)?;
            self.keep(name, names, &text[start..end])?;
            at = scan::space(bytes, end);
            match bytes.get(at)? {
                b',' => at = scan::space(bytes, at + 1),
                b'}' => return Some(at),
                _ => return None,
            }
        }
    }

    fn keep(&mut self, name: usize, names: &Names, raw: &str) -> Option<()> {
        let Some(binding) = names.binding(name) else { return self.rescue(name, names, raw) };
        let column = &mut self.columns[binding.column];
        if column.len() > self.count {
            return None;
        }
        if column.is_nested() {
            let mut rescued = Vec::new();
            fill::append(column, raw, &Path::Column(""), &mut rescued).ok()?;
            return rescued.is_empty().then_some(());
        }
        column.append(value::parse(raw, column.data_type()).ok()?);
        Some(())
    }

    fn rescue(&mut self, name: usize, names: &Names, raw: &str) -> Option<()> {
        if self.rescued.len() >= MANY_RESCUED || self.rescued.contains(&name) {
            return None;
        }
        if self.rescued.is_empty() {
            self.rescued_text.clear();
        }
        self.rescued_text.push(if self.rescued.is_empty() { b'{' } else { b',' });
        for piece in [names.quoted(name), ":", raw] {
            self.rescued_text.extend_from_slice(piece.as_bytes());
        }
        self.rescued.push(name);
        Some(())
    }

    /// Ends the row: columns without a field are null.
    fn close(&mut self) {
        if let (false, Some(column)) = (self.rescued.is_empty(), self.columns.last_mut()) {
            column.append_text(&[&self.rescued_text, b"}"]);
        }
        for column in &mut self.columns {
            if column.len() == self.count {
                column.append_null();
            }
        }
        self.count += 1;
    }

    /// Removes what is there of a row that was not ended.
    pub fn take_back(&mut self) {
        self.columns.iter_mut().for_each(|column| column.truncate(self.count));
    }

    /// To append the values of a row to one by one; [`Rows::end`] ends it.
    pub fn columns(&mut self) -> &mut [Column] {
        &mut self.columns
    }

    /// Ends a row that has a value in each column.
    pub fn end(&mut self) {
        self.count += 1;
    }

    /// The columns of all rows; none are left.
    pub fn finish(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        self.count = 0;
        self.columns.iter_mut().map(Column::finish).collect()
    }
}
