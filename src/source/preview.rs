//! What a file looks like before anything is produced: layout, columns, types.
//!
//! Guesses layout settings that are not declared and reads all rows, at most [`SAMPLE_ROWS`]. Sends nothing.

use super::infer::{Finding, Kind, Profile, Reading};
use super::{Format, Input, MAX_COLUMNS, SourceConfig, csv, dialect, files, jsonl};
use crate::error::{Error, Result};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::path::Path;

/// Rows read at most.
pub const SAMPLE_ROWS: u64 = 1_000_000;

/// A look at the files of one source.
#[derive(Debug, Clone)]
pub struct Preview {
    pub format: Format,
    /// The source's settings with the layout filled in: encoding, delimiter, quote and header of CSV.
    pub config: SourceConfig,
    pub columns: Vec<Column>,
    /// Good rows seen.
    pub rows: u64,
    /// Bad rows seen, and the first one's `file:line: reason`.
    pub bad_rows: u64,
    pub first_fault: Option<String>,
    /// Good rows without any value.
    pub empty_rows: u64,
    /// Columns left out: without a name or a value, at the end of the header.
    pub left_out: Vec<String>,
    /// Headers of CSV that occur more than once, and what the later columns are called.
    pub renamed: Vec<(String, String)>,
    /// All rows were seen, not only the first [`SAMPLE_ROWS`].
    pub complete: bool,
}

/// One column, or one member of JSON objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// As it stands in the file; the key in the records.
    pub name: String,
    /// What its values are.
    pub kind: Kind,
    /// SQL type of the value in a record: text for CSV, the JSON value's own for JSON lines.
    pub record_type: String,
    /// Some row with any value has none here.
    pub nullable: bool,
    /// Why the type is no better one.
    pub remark: Option<String>,
    /// Ways to read what stays text in doubt.
    pub readings: Vec<Reading>,
}

/// Looks at one file.
pub fn preview(path: &Path, config: &SourceConfig) -> Result<Preview> {
    let format = files::format_of(path, config.format)?;
    survey(&[Input { id: path.display().to_string(), path: path.into(), format }], config)
}

/// Looks at several files of one source; the first decides on the layout.
pub fn survey(inputs: &[Input], config: &SourceConfig) -> Result<Preview> {
    let format = inputs.first().map_or(Format::Csv, |input| input.format);
    let config = match (inputs.first(), format) {
        (Some(first), Format::Csv) => dialect::guess(first, config)?,
        _ => config.clone(),
    };
    let mut survey = Survey::new(format, config);
    for input in inputs {
        match format {
            Format::Csv => survey.read_csv(input)?,
            Format::Jsonl => survey.read_jsonl(input)?,
        }
    }
    let (seen, empty): (Vec<Seen>, Vec<Seen>) =
        survey.columns.into_iter().partition(|column| !column.unnamed || column.profile.values > 0);
    let columns = seen.into_iter().map(Seen::into_column).collect();
    let left_out = empty.into_iter().map(|column| column.name).collect();
    Ok(Preview { columns, left_out, ..survey.preview })
}

/// A column under observation.
struct Seen {
    name: String,
    profile: Profile,
    /// `None`: CSV.
    json: Option<Shapes>,
    /// Left out when it never has a value: what a trailing delimiter makes.
    unnamed: bool,
    nulls: u64,
}

/// Which shapes of JSON value occurred.
#[derive(Debug, Clone, Copy, Default)]
struct Shapes {
    strings: bool,
    numbers: bool,
    booleans: bool,
    nested: bool,
}

struct Survey {
    preview: Preview,
    columns: Vec<Seen>,
    by_name: HashMap<String, usize>,
    delimiter: char,
}

impl Survey {
    fn new(format: Format, config: SourceConfig) -> Survey {
        let delimiter = config.delimiter.unwrap_or(',');
        let preview = Preview {
            format,
            config,
            columns: Vec::new(),
            rows: 0,
            bad_rows: 0,
            first_fault: None,
            empty_rows: 0,
            left_out: Vec::new(),
            renamed: Vec::new(),
            complete: true,
        };
        Survey { preview, columns: Vec::new(), by_name: HashMap::new(), delimiter }
    }

    fn column(&mut self, name: &str, json: Option<Shapes>) -> usize {
        if let Some(index) = self.by_name.get(name) {
            return *index;
        }
        let (profile, nulls) = (Profile::new(self.delimiter), 0);
        self.columns.push(Seen { name: name.to_string(), profile, json, unnamed: false, nulls });
        self.by_name.insert(name.to_string(), self.columns.len() - 1);
        self.columns.len() - 1
    }

    /// Whether another row is to be looked at.
    fn wants_more(&mut self) -> bool {
        self.preview.complete = self.preview.rows + self.preview.bad_rows < SAMPLE_ROWS;
        self.preview.complete
    }

    fn bad(&mut self, fault: String) {
        self.preview.bad_rows += 1;
        self.preview.first_fault.get_or_insert(fault);
    }

    fn read_csv(&mut self, input: &Input) -> Result<()> {
        let mut reader = csv::Reader::open(input, &self.preview.config)?;
        let Some(header) = reader.header.clone() else { return Ok(()) };
        let columns: Vec<usize> = header.names.iter().map(|name| self.column(name, None)).collect();
        self.preview.renamed.clone_from(&header.renamed);
        for column in &columns[header.unnamed_from..] {
            self.columns[*column].unnamed = true;
        }
        while self.wants_more() {
            let Some(row) = reader.next()? else { break };
            if let Some(fault) = reader.place(&row) {
                self.bad(fault);
                continue;
            }
            self.preview.rows += 1;
            if reader.cells.iter().all(|cell| cell.trim_matches(' ').is_empty()) {
                self.preview.empty_rows += 1;
                continue;
            }
            for (column, cell) in columns.iter().zip(reader.cells.iter()) {
                let is_null = self.preview.config.null_values.iter().any(|null| null == cell);
                self.columns[*column].profile.observe(if is_null { "" } else { cell });
            }
        }
        Ok(())
    }

    fn read_jsonl(&mut self, input: &Input) -> Result<()> {
        let mut reader = jsonl::Reader::open(input, &self.preview.config)?;
        while self.wants_more() {
            let Some((line, fault)) = reader.next()? else { break };
            if let Some(fault) = fault {
                self.bad(fault);
                continue;
            }
            self.preview.rows += 1;
            for (name, value) in jsonl::members(line.content()) {
                let index = self.column(&name, Some(Shapes::default()));
                self.columns[index].observe_json(value);
            }
            if self.columns.len() > MAX_COLUMNS {
                let message = format!("{}:{}: more than {MAX_COLUMNS} different members", input.id, line.number);
                return Err(Error::input(message).hint("keep what varies as a nested object or a list"));
            }
        }
        let rows = self.preview.rows;
        for column in &mut self.columns {
            column.nulls = rows.saturating_sub(column.profile.values);
        }
        Ok(())
    }
}

impl Seen {
    fn observe_json(&mut self, value: &RawValue) {
        let shapes = self.json.get_or_insert_default();
        match value.get().as_bytes().first() {
            Some(b'n') => {}
            Some(b'"') => {
                shapes.strings = true;
                let text: String = serde_json::from_str(value.get()).unwrap_or_default();
                self.profile.observe_text(&text);
            }
            Some(b't' | b'f') => {
                shapes.booleans = true;
                self.profile.observe(value.get());
            }
            Some(b'{' | b'[') => {
                shapes.nested = true;
                self.profile.observe("text");
            }
            _ => {
                shapes.numbers = true;
                self.profile.observe(value.get());
            }
        }
    }

    fn into_column(self) -> Column {
        let Finding { kind, remark, readings } = self.profile.finding();
        let nullable = self.profile.nulls + self.nulls > 0 || self.profile.values == 0;
        let Some(shapes) = self.json else {
            return Column { name: self.name, kind, record_type: "text".to_string(), nullable, remark, readings };
        };
        let (kind, record_type) = match (shapes, kind) {
            (Shapes { strings: true, numbers: false, booleans: false, nested: false }, kind) => match kind {
                Kind::Date { .. } | Kind::Timestamp { .. } => (kind, "text".to_string()),
                _ => (Kind::Text, "text".to_string()),
            },
            (Shapes { strings: false, nested: false, .. }, kind) if kind != Kind::Text => {
                let record_type = kind.sql_type();
                (kind, record_type)
            }
            _ => (Kind::Text, "text".to_string()),
        };
        Column { name: self.name, kind, record_type, nullable, remark, readings }
    }
}
