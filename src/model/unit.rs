//! dbt's `unit_tests:`: rows given to a model in place of its tables, and the rows it is expected to make of them.
//!
//! Values stay text here; whoever runs the test knows the types. Rows are written as maps, as CSV where an empty cell is
//! NULL, or as a query that reads no table; CSV and queries also in `tests/fixtures`. Resolving renders the model with
//! what the test overrides.

use crate::engine::{self, sql};
use crate::ident::{TableName, suggestion};
use crate::model::fault::{Fault, Faults, Place};
use crate::model::fields::{Fields, text, truth};
use crate::model::files::SourceFile;
use crate::model::node::{Node, Value};
use crate::model::origin::SourceMap;
use crate::model::template::{Vars, value_of};
use crate::model::{Origin, fault_in};
use arrow::array::AsArray;
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Field, Schema};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One unit test, ready to run.
#[derive(Debug, Clone)]
pub struct UnitTest {
    pub name: String,
    pub model: TableName,
    /// The model's query with the test's overrides.
    pub sql: String,
    /// The way from `sql` back to the model's file.
    pub origin: Origin,
    /// The model itself is among them for a test of its incremental query.
    pub given: Vec<(TableName, Rows)>,
    pub expect: Rows,
}

/// Rows as a test gives or expects them.
#[derive(Debug, Clone)]
pub struct Rows {
    pub place: Place,
    pub written: Written,
}

#[derive(Debug, Clone)]
pub enum Written {
    /// As text, NULL is none; each row has a cell for each column.
    Cells { columns: Vec<String>, cells: Vec<Vec<Option<String>>> },
    /// A query that reads no table, and the file of its own that it stands in.
    Query { sql: String, file: Option<SourceFile> },
}

impl Rows {
    /// A fault the engine found in the query.
    pub fn fault(&self, found: &engine::Fault) -> Fault {
        match &self.written {
            Written::Query { sql, file: Some(file) } => fault_in(file, &SourceMap::identity(), sql, found),
            _ => self.place.fault(found.message.as_str()),
        }
    }
}

/// A unit test as written.
#[derive(Debug, Clone)]
pub(super) struct DeclaredUnit {
    pub place: Place,
    pub name: String,
    pub model: (String, Place),
    pub given: Vec<(String, Place, Rows)>,
    pub expect: Rows,
    pub vars: Vars,
    pub incremental: bool,
}

pub(super) fn read(node: &Node, fixtures: &[SourceFile], faults: &mut Faults) -> Option<DeclaredUnit> {
    let known = ["name", "model", "description", "given", "expect", "overrides", "config", "tags", "meta"];
    let fields = Fields::of(node, "a unit test", &known, faults);
    let (name, model) = (fields.required("name", faults), fields.required("model", faults));
    let mut given = Vec::new();
    let nodes = fields.list("given", faults);
    for node in nodes {
        let fields = Fields::of(node, "what is given", &["input", "rows", "format", "fixture"], faults);
        let rows = rows(&fields, &node.place, fixtures, faults);
        if let (Some((input, place)), Some(rows)) = (fields.required("input", faults), rows) {
            given.push((input, place, rows));
        }
    }
    let Some(expect) = fields.get("expect") else {
        faults.push(node.place.fault("`expect` is missing"));
        return None;
    };
    let expected = Fields::of(expect, "what is expected", &["rows", "format", "fixture"], faults);
    let expected = rows(&expected, &expect.place, fixtures, faults);
    let overrides = fields.map("overrides", "the overrides", &["macros", "vars"], faults);
    let macros = overrides.map("macros", "the macros overridden", &["is_incremental"], faults);
    let incremental = macros.get("is_incremental").and_then(|node| truth(node, "is_incremental", faults));
    let vars = vars(overrides.get("vars"), faults);
    let (name, place) = name?;
    // What is wrong with the rest of it was told.
    if given.len() < nodes.len() {
        return None;
    }
    Some(DeclaredUnit {
        place,
        name,
        model: model?,
        given,
        expect: expected?,
        vars,
        incremental: incremental.unwrap_or(false),
    })
}

fn vars(node: Option<&Node>, faults: &mut Faults) -> Vars {
    match node.map(|node| (&node.value, node)) {
        Some((Value::Map(entries), _)) => {
            entries.iter().map(|(key, node)| (key.name.clone(), value_of(node))).collect()
        }
        None | Some((Value::Null, _)) => Vars::new(),
        Some((_, node)) => {
            faults.push(node.place.fault("`vars` must be a map of names and values"));
            Vars::new()
        }
    }
}

fn rows(fields: &Fields<'_>, place: &Place, fixtures: &[SourceFile], faults: &mut Faults) -> Option<Rows> {
    let format = fields.text("format", faults);
    let format = format.as_deref().unwrap_or("dict");
    if !["dict", "csv", "sql"].contains(&format) {
        faults.push(place.fault(format!("the format `{format}` is not read, write dict, csv or sql")));
        return None;
    }
    match (fields.get("rows"), fields.text("fixture", faults)) {
        (Some(node), None) if format == "dict" => maps(node, faults),
        (Some(node), None) => {
            let text = text(node, "rows", faults)?;
            faults.keep(read_as(format, &text, None, &node.place))
        }
        (None, Some(name)) if format != "dict" => {
            let file = faults.keep(fixture(&name, format, fixtures).map_err(|message| place.fault(message)))?;
            faults.keep(read_as(format, file.text(), Some(file), place))
        }
        _ => {
            faults.push(place.fault("rows are given as `rows`, or with `format: csv` or `sql` as `rows` or `fixture`"));
            None
        }
    }
}

fn fixture<'f>(name: &str, format: &str, fixtures: &'f [SourceFile]) -> Result<&'f SourceFile, String> {
    let fitting = || fixtures.iter().filter(|file| file.path().rsplit('.').next() == Some(format));
    let near = || suggestion(name, fitting().map(SourceFile::stem));
    fitting()
        .find(|file| file.stem() == name)
        .ok_or_else(|| format!("there is no tests/fixtures/{name}.{format}{}", near()))
}

/// A text of `file`, or one that stands at `place` itself.
fn read_as(format: &str, text: &str, file: Option<&SourceFile>, place: &Place) -> Result<Rows, Fault> {
    match format {
        "csv" => csv(text, place),
        _ => query(text, file, place),
    }
}

fn query(text: &str, file: Option<&SourceFile>, place: &Place) -> Result<Rows, Fault> {
    let written = Written::Query { sql: text.to_string(), file: file.cloned() };
    let rows = Rows { place: place.clone(), written };
    let references = sql::references(text).map_err(|found| rows.fault(&found))?;
    match references.first() {
        None => Ok(rows),
        Some(table) => {
            let message = format!("rows are a query that reads no table, this one reads `{}`", table.parts.join("."));
            Err(rows.fault(&engine::Fault { message, line: Some(table.line), column: Some(table.column) }))
        }
    }
}

/// A list of maps; a column one does not have is NULL there.
fn maps(node: &Node, faults: &mut Faults) -> Option<Rows> {
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        Value::Null => &[],
        _ => {
            faults.push(node.place.fault("`rows` must be a list of maps"));
            return None;
        }
    };
    let mut columns: Vec<String> = Vec::new();
    let mut maps = Vec::new();
    for item in items {
        let Value::Map(entries) = &item.value else {
            faults.push(item.place.fault("a row is a map of columns and values"));
            return None;
        };
        let mut row = BTreeMap::new();
        for (key, value) in entries {
            if !columns.contains(&key.name) {
                columns.push(key.name.clone());
            }
            row.insert(key.name.as_str(), text(value, &key.name, faults));
        }
        maps.push(row);
    }
    let cells =
        maps.iter().map(|row| columns.iter().map(|column| row.get(column.as_str()).cloned().flatten()).collect());
    let cells = cells.collect();
    Some(Rows { place: node.place.clone(), written: Written::Cells { columns, cells } })
}

fn csv(text: &str, place: &Place) -> Result<Rows, Fault> {
    let fault = |error: arrow::error::ArrowError| place.fault(format!("no valid CSV: {error}"));
    let (named, _) = Format::default().with_header(true).infer_schema(text.as_bytes(), Some(0)).map_err(fault)?;
    let columns: Vec<String> = named.fields().iter().map(|field| field.name().to_string()).collect();
    let schema = Schema::new(columns.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect::<Vec<_>>());
    let reader = ReaderBuilder::new(Arc::new(schema)).with_header(true).build(text.as_bytes()).map_err(fault)?;
    let mut cells = Vec::new();
    for batch in reader {
        let batch = batch.map_err(fault)?;
        let texts: Vec<_> = batch.columns().iter().map(|column| column.as_string::<i32>()).collect();
        let row = |row: usize| {
            let cells = texts.iter().map(|column| column.iter().nth(row).flatten());
            cells.map(|cell| cell.filter(|cell| !cell.is_empty()).map(str::to_string)).collect()
        };
        cells.extend((0..batch.num_rows()).map(row));
    }
    Ok(Rows { place: place.clone(), written: Written::Cells { columns, cells } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_text_and_empty_is_null() {
        let place = Place { file: SourceFile::new("models/a.yml", ""), line: 1, column: 1 };
        let rows = csv("id,name,note\n1,\" a, b\",\n02,,x\n", &place).unwrap();
        let Written::Cells { columns, cells } = rows.written else { panic!("{rows:?}") };
        assert_eq!(columns, ["id", "name", "note"]);
        let text = |text: &str| Some(text.to_string());
        assert_eq!(cells[1], [text("02"), None, text("x")]);
        assert_eq!(cells[0], [text("1"), text(" a, b"), None]);
        let fault = csv("id,name\n1\n", &place).unwrap_err().to_string();
        assert!(fault.contains("no valid CSV"), "{fault}");
    }
}
