//! Sources: what `lake produce` reads. A file becomes records, one per row, good or bad.
//!
//! Owns the file formats, character encodings, the finding of files and the guess of a file's layout and
//! column types ([`preview`]). It never talks to a broker, never converts a value (a cell stays the text it
//! was) and never drops a row: what cannot be parsed is a record too, with its raw bytes and the reason.
//!
//! A row's way: `lines` cuts bytes, `encoding` makes text, `cells` splits it strictly, `records` joins lines
//! to rows, `csv` and `jsonl` make [`Record`]s of them.
//!
//! To add a format: one file with a [`Source`], an arm in [`Format`] and in [`open`], a line in the contract
//! test.

mod cells;
mod compressed;
mod csv;
mod dialect;
mod encoding;
mod event_time;
mod files;
mod header;
mod infer;
mod jsonl;
mod lines;
mod preview;
mod records;
mod torn;

use crate::error::Result;
use crate::record::Record;
use serde::Deserialize;
use std::path::{Path, PathBuf};

pub use files::{format_of, inputs};
pub use infer::{Kind, Reading};
pub use preview::{Column, Preview, preview, survey};
pub use torn::{LastRow, grew};

/// Largest row sent when `max_record_bytes` is not set: 900 KiB, so that key and headers still fit into
/// Kafka's default message limit of 1 MiB.
pub const MAX_RECORD_BYTES: usize = 900 * 1024;
/// Most columns a file may have.
pub const MAX_COLUMNS: usize = 4096;

/// One `[[produce]]` entry of `lake.toml`, or the flags of an ad hoc `lake produce --file`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceConfig {
    /// Unique name; also the default topic.
    pub name: String,
    /// Files, folders or globs (`*`, `?`, `**`), relative to the project.
    pub files: Vec<String>,
    pub topic: Option<String>,
    /// `csv` or `jsonl`; by the file's extension when absent.
    pub format: Option<Format>,
    /// Columns whose values, joined, are the record key.
    pub key: Vec<String>,
    /// Sniffed from the head of the file when absent.
    pub delimiter: Option<char>,
    /// `"` when absent; `\u0000` means that cells are never quoted.
    pub quote: Option<char>,
    /// UTF-8 when absent; a byte order mark always wins.
    pub encoding: Option<String>,
    /// False: the first line is data and columns are named column_1, column_2, ...
    pub header: Option<bool>,
    /// Lines passed over before the header, or before the data when there is no header; 0 when absent.
    pub skip_lines: Option<u64>,
    /// Cell texts that mean null, beside the empty cell.
    pub null_values: Vec<String>,
    /// Rows per second.
    pub rate: Option<f64>,
    /// Column holding the event time, for the record timestamp and for pacing.
    pub event_time: Option<String>,
    /// Replay speed against event time; 1.0 is real time. Absent: as fast as it goes.
    pub speed: Option<f64>,
    /// Partitions of the topic when it is created here.
    pub partitions: Option<i32>,
    /// Largest row in bytes, in the file and as JSON; a longer one is a bad row. [`MAX_RECORD_BYTES`] when absent.
    pub max_record_bytes: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Csv,
    Jsonl,
}

impl SourceConfig {
    /// ` of source `name``, or nothing: a file looked at before there is a project is of no source yet.
    fn of_source(&self) -> String {
        if self.name.is_empty() { String::new() } else { format!(" of source `{}`", self.name) }
    }

    pub fn topic(&self) -> &str {
        self.topic.as_deref().unwrap_or(&self.name)
    }

    /// Bytes a row may have.
    pub fn record_limit(&self) -> usize {
        self.max_record_bytes.unwrap_or(MAX_RECORD_BYTES)
    }
}

/// One file of a source. `id` is the value of the `lake-source` header.
#[derive(Debug, Clone)]
pub struct Input {
    pub id: String,
    pub path: PathBuf,
    pub format: Format,
}

/// Rows of one input in file order, each exactly once, good or bad.
pub trait Source: Send {
    /// The next record, its position with `partitions` = 1; `None` at the end of the file. Blocking I/O.
    fn next(&mut self) -> Result<Option<Record>>;
}

/// Opens one file. Errors are about the file as a whole: unreadable, compressed, a header that cannot be
/// parsed, a declared column it does not have. A bad row is no error but a [`Record`] with `error` set.
pub fn open(input: &Input, config: &SourceConfig) -> Result<Box<dyn Source>> {
    match input.format {
        Format::Csv => Ok(Box::new(csv::CsvSource::open(input, config)?)),
        Format::Jsonl => Ok(Box::new(jsonl::JsonlSource::open(input, config)?)),
    }
}

/// Joins the values of key columns: a single one is its text, several are separated by 0x1f, a null among
/// them is the empty text. `None` when all are null.
fn join_key<'a>(values: impl Iterator<Item = Option<&'a str>>) -> Option<bytes::Bytes> {
    let values: Vec<Option<&str>> = values.collect();
    if values.iter().all(Option::is_none) {
        return None;
    }
    let texts: Vec<&str> = values.into_iter().map(Option::unwrap_or_default).collect();
    Some(bytes::Bytes::from(texts.join("\u{1f}")))
}

/// Opens `path` for reading from its start.
fn open_file(path: &Path) -> Result<std::fs::File> {
    use crate::error::{Context, Error, Kind};
    if path.is_dir() {
        return Err(Error::input(format!("`{}` is a folder", path.display())));
    }
    std::fs::File::open(path).context(Kind::Input, || format!("open `{}`", path.display()))
}
