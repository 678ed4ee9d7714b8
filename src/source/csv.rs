//! Delimited text files: each row one JSON object of its cells' texts.
//!
//! The layout is RFC 4180 with the freedoms named in `dialect`, `lines` and `header`; quoting is strict. A
//! row is bad when its quoting is broken, it does not have exactly as many cells as the header, it cannot be
//! decoded, it holds a NUL character (no text column can store one) or it is longer than the limit.

use super::cells::Cells;
use super::dialect::{self, Dialect};
use super::header::Header;
use super::records::{RawRow, Records};
use super::{Input, MAX_COLUMNS, Source, SourceConfig, event_time, infer, join_key, open_file};
use crate::error::{Error, Result};
use crate::record::{Record, SourcePosition};
use bytes::Bytes;

/// Rows of one file with their cells, header passed. Shared by producing and by the preview.
pub(super) struct Reader {
    name: String,
    records: Records,
    pub cells: Cells,
    /// `None`: the file has no row at all, not even a header.
    pub header: Option<Header>,
}

impl Reader {
    pub fn open(input: &Input, config: &SourceConfig) -> Result<Reader> {
        let dialect = dialect::of_input(input, config)?;
        let limit = config.record_limit();
        let header = read_header(input, &dialect, limit)?;
        let mut records = open_records(input, &dialect, limit)?;
        let mut cells = Cells::default();
        if dialect.header != Some(false) {
            records.next(&mut cells)?;
        }
        Ok(Reader { name: input.id.clone(), records, cells, header })
    }

    /// The next row; its cells are in `self.cells` unless it has a fault.
    pub fn next(&mut self) -> Result<Option<RawRow>> {
        let Some(header) = &self.header else { return Ok(None) };
        let Some(mut row) = self.records.next(&mut self.cells)? else { return Ok(None) };
        if row.fault.is_none() && self.cells.len() != header.names.len() {
            row.fault = Some(format!("{} cells where the header has {}", self.cells.len(), header.names.len()));
        }
        if row.fault.is_none() && self.cells.contains('\0') {
            row.fault = Some("a cell holds a NUL character, which no text column can store".to_string());
        }
        Ok(Some(row))
    }

    /// `file:line: reason` of a row's fault.
    pub fn place(&self, row: &RawRow) -> Option<String> {
        row.fault.as_ref().map(|reason| format!("{}:{}: {reason}", self.name, row.line))
    }
}

/// The column names of a file; `None` when it has no row.
pub(super) fn columns(input: &Input, config: &SourceConfig) -> Result<Option<Vec<String>>> {
    let dialect = dialect::of_input(input, config)?;
    Ok(read_header(input, &dialect, config.record_limit())?.map(|header| header.names))
}

fn open_records(input: &Input, dialect: &Dialect, limit: usize) -> Result<Records> {
    let file = open_file(&input.path)?;
    let encoding = (dialect.encoding, dialect.bom);
    let mut records = Records::new(Box::new(file), &input.id, encoding, dialect.marks, limit)?;
    records.skip_lines(dialect.skip_lines)?;
    Ok(records)
}

/// Reads the first row. One that cannot be parsed is an error, as no other row means anything without it;
/// without a header the first good row tells the number of columns.
fn read_header(input: &Input, dialect: &Dialect, limit: usize) -> Result<Option<Header>> {
    let mut cells = Cells::default();
    let mut records = open_records(input, dialect, limit)?;
    let Some(mut row) = records.next(&mut cells)? else { return Ok(None) };
    while dialect.header == Some(false) && row.fault.is_some() {
        match records.next(&mut cells)? {
            Some(next) => row = next,
            None => return Ok(Some(Header::without_names(0))),
        }
    }
    let place = format!("{}:{}", input.id, row.line);
    if let Some(fault) = &row.fault {
        let hint = match dialect.bom {
            0 => "mend the line, or declare what differs: `delimiter`, `quote` or `encoding` of the source".to_string(),
            bom => format!(
                "the file begins with the byte order mark of {}, which holds whatever is declared; if that is wrong, cut \
                 it off: tail -c +{} FILE > NEW",
                dialect.encoding.name(),
                bom + 1
            ),
        };
        return Err(Error::input(format!("{place}: the first row cannot be read: {fault}")).hint(hint));
    }
    named_columns(&cells, dialect, &place).map(Some)
}

fn named_columns(cells: &Cells, dialect: &Dialect, place: &str) -> Result<Header> {
    if cells.len() > MAX_COLUMNS {
        return Err(Error::input(format!("{place}: {} columns, more than {MAX_COLUMNS}", cells.len()))
            .hint("declare the file's `delimiter` if it is another"));
    }
    if dialect.header == Some(false) {
        return Ok(Header::without_names(cells.len()));
    }
    if cells.contains('\0') {
        return Err(Error::input(format!("{place}: a column name holds a NUL character"))
            .hint("mend the line, or declare the file's `encoding`"));
    }
    let is_declared = dialect.header.is_some();
    if let Some(value) = cells.iter().find(|cell| !is_declared && infer::is_surely_a_value(cell)) {
        return Err(Error::input(format!(
            "{place}: `{value}` in the first row looks like data, not like a column name"
        ))
        .hint("declare `header = false` (columns are named column_1, ...) or `header = true`"));
    }
    Ok(Header::from_cells(cells.iter()))
}

pub(super) struct CsvSource {
    reader: Reader,
    /// `"name":` of each column.
    json_keys: Vec<Vec<u8>>,
    null_values: Vec<String>,
    key: Vec<usize>,
    event_time: Option<usize>,
    limit: usize,
    row: u64,
}

impl CsvSource {
    pub fn open(input: &Input, config: &SourceConfig) -> Result<CsvSource> {
        let reader = Reader::open(input, config)?;
        let header = reader.header.as_ref();
        let column = |role: &str, name: &String| match header {
            None => Ok(0),
            Some(header) => header.position(name).ok_or_else(|| {
                Error::config(format!("`{}` has no column `{name}`, the {role} of source `{}`", input.id, config.name))
                    .hint(format!("its columns are {}", header.names.join(", ")))
            }),
        };
        let key = config.key.iter().map(|name| column("key", name)).collect::<Result<_>>()?;
        let event_time = config.event_time.as_ref().map(|name| column("event_time", name)).transpose()?;
        let json_keys = header.iter().flat_map(|header| &header.names).map(|name| json_key(name)).collect();
        let (null_values, limit) = (config.null_values.clone(), config.record_limit());
        Ok(CsvSource { reader, json_keys, null_values, key, event_time, limit, row: 0 })
    }

    /// The cell's text; `None` when it means null.
    fn value(&self, column: usize) -> Option<&str> {
        self.reader.cells.get(column).filter(|cell| !self.is_null(cell))
    }

    fn is_null(&self, cell: &str) -> bool {
        cell.is_empty() || self.null_values.iter().any(|null| null == cell)
    }

    fn object(&self) -> Vec<u8> {
        let unnamed_from = self.reader.header.as_ref().map_or(0, |header| header.unnamed_from);
        let mut json = vec![b'{'];
        for (index, cell) in self.reader.cells.iter().enumerate() {
            if index >= unnamed_from && cell.is_empty() {
                continue;
            }
            if json.len() > 1 {
                json.push(b',');
            }
            json.extend_from_slice(&self.json_keys[index]);
            match self.is_null(cell) {
                true => json.extend_from_slice(b"null"),
                false => json.extend_from_slice(serde_json::Value::from(cell).to_string().as_bytes()),
            }
        }
        json.push(b'}');
        json
    }
}

fn json_key(name: &str) -> Vec<u8> {
    format!("{}:", serde_json::Value::from(name)).into_bytes()
}

impl Source for CsvSource {
    fn next(&mut self) -> Result<Option<Record>> {
        let Some(mut raw) = self.reader.next()? else { return Ok(None) };
        self.row += 1;
        let position = SourcePosition { row: self.row, partitions: 1, digest: raw.digest };
        let object = if raw.fault.is_none() { self.object() } else { Vec::new() };
        if object.len() > self.limit {
            raw.fault =
                Some(format!("{} bytes as JSON, more than the {} of max_record_bytes", object.len(), self.limit));
        }
        if let Some(error) = self.reader.place(&raw) {
            let payload = Bytes::from(raw.bytes);
            return Ok(Some(Record { key: None, payload, timestamp_ms: None, position, error: Some(error) }));
        }
        let key = join_key(self.key.iter().map(|column| self.value(*column)));
        let timestamp_ms = self.event_time.and_then(|column| self.value(column)).and_then(event_time::parse);
        Ok(Some(Record { key, payload: Bytes::from(object), timestamp_ms, position, error: None }))
    }
}
