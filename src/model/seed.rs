//! Seeds: CSV files below `seeds/`, each a model whose statement is the file.
//!
//! The file's cells are the rows of [`SEED_ROWS`], all text; the model's statement gives them their types, as inferred
//! from all rows or as `column_types` says. Nothing is rounded: a value that does not fit stops the build with its
//! column. An empty cell is NULL, a header that is no plain name is a fault.

use crate::engine::types::type_name;
use crate::error::Result;
use crate::ident::{is_portable_column, literal, quote};
use crate::model::contract::DeclaredConfig;
use crate::model::fault::{Fault, Place};
use crate::model::files::SourceFile;
use crate::source::{Format, Input, Kind, Preview, SourceConfig, open, survey};
use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use serde_json::{Map, Value};
use std::path::Path;
use std::sync::Arc;

/// The name a seed's statement reads its rows under.
pub const SEED_ROWS: &str = "seed_rows";

/// Reads a seed: its statement, and its rows as text.
pub(super) fn read(
    root: &Path,
    file: &SourceFile,
    config: &DeclaredConfig,
) -> std::result::Result<(String, RecordBatch), Fault> {
    let start = Place::start_of(file);
    let input = Input { id: file.path().to_string(), path: root.join(file.path()), format: Format::Csv };
    let delimiter = Some(config.delimiter.unwrap_or(','));
    let reading =
        SourceConfig { delimiter, encoding: Some("utf-8".into()), header: Some(true), ..SourceConfig::default() };
    let preview = survey(std::slice::from_ref(&input), &reading).map_err(|error| start.refuse(&error))?;
    if let Some(told) = &preview.first_fault {
        return Err(bad_row(file, told));
    }
    if !preview.complete {
        return Err(start.fault("a seed has a million rows at most: send the file through Kafka with `lake produce`"));
    }
    let columns = columns(&preview, &start)?;
    if let Some((name, _, place)) =
        config.column_types.iter().find(|(name, ..)| !columns.contains(&name.to_lowercase()))
    {
        return Err(place.fault(format!("`{}` has no column `{name}`", file.path())));
    }
    let rows = rows(&input, &preview, &columns).map_err(|error| start.refuse(&error))?;
    Ok((statement(&preview, &columns, config), rows))
}

/// `file:line: reason` of a row as a fault with its place.
fn bad_row(file: &SourceFile, told: &str) -> Fault {
    let rest = told.strip_prefix(file.path()).and_then(|rest| rest.strip_prefix(':')).unwrap_or(told);
    let (line, reason) = rest.split_once(": ").unwrap_or(("1", rest));
    Place { file: file.clone(), line: line.parse().unwrap_or(1), column: 1 }.fault(reason)
}

/// Names of the columns: as an unquoted name in SQL means them, in lower case.
fn columns(preview: &Preview, start: &Place) -> std::result::Result<Vec<String>, Fault> {
    let names: Vec<String> = preview.columns.iter().map(|column| column.name.to_lowercase()).collect();
    if let Some(name) = names.iter().find(|name| !is_portable_column(name)) {
        return Err(start.fault(format!("`{name}` cannot name a column: use letters, digits and underscores")));
    }
    let twice = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name));
    match (twice, names.is_empty() || !preview.renamed.is_empty()) {
        (Some((_, name)), _) => Err(start.fault(format!("two columns are named `{name}`"))),
        (None, true) => Err(start.fault("a seed needs a first line with a name for each column, each another one")),
        (None, false) => Ok(names),
    }
}

fn statement(preview: &Preview, columns: &[String], config: &DeclaredConfig) -> String {
    let typed = preview.columns.iter().zip(columns).map(|(column, name)| {
        let quoted = quote(name);
        let declared = config.column_types.iter().find(|(declared, ..)| declared.to_lowercase() == *name);
        let expression = match declared {
            Some((_, data_type, _)) => cast(&quoted, data_type),
            None if column.kind == Kind::Text => quoted.clone(),
            None => column.kind.reading(&quoted),
        };
        format!("{expression} as {quoted}")
    });
    format!("select {}\nfrom {SEED_ROWS}", typed.collect::<Vec<_>>().join(",\n    "))
}

/// A text stays what it is, to the blank.
fn cast(column: &str, data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 => column.to_string(),
        DataType::Decimal128(precision, scale) => format!("parse_decimal({column}, {precision}, {scale})"),
        other => format!("cast(nullif(trim({column}), {}) as {})", literal(""), type_name(other)),
    }
}

fn rows(input: &Input, preview: &Preview, columns: &[String]) -> Result<RecordBatch> {
    use crate::error::{Context, Kind};
    let doing = || format!("read `{}`", input.id);
    let mut cells: Vec<Vec<Option<String>>> = vec![Vec::new(); columns.len()];
    let mut source = open(input, &preview.config)?;
    while let Some(record) = source.next()? {
        let mut row: Map<String, Value> = serde_json::from_slice(&record.payload).context(Kind::Internal, doing)?;
        for (cells, column) in cells.iter_mut().zip(&preview.columns) {
            cells.push(match row.remove(&column.name) {
                Some(Value::String(text)) => Some(text),
                _ => None,
            });
        }
    }
    let fields: Vec<Field> = columns.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
    let arrays = cells.into_iter().map(|cells| Arc::new(StringArray::from(cells)) as ArrayRef).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).context(Kind::Internal, doing)
}
