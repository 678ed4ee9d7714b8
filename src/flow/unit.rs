//! Unit tests of models: the model's query over given rows, in this process, without a lake.
//!
//! Types come from contracts; of a model whose contract has none from its own query, planned over what it reads; of what
//! is left from the values, or from the query the rows are written as. Rows are compared as a multiset, in the columns
//! that are expected.

use super::bronze::{declared, table_schema};
use super::catalog;
use super::rows;
use super::select::Selection;
use super::{Progress, Stop};
use crate::engine::{self, Engine, Session};
use crate::error::{Context, Error, Kind, Result};
use crate::ident::{Layer, TableName, suggestion};
use crate::model::unit::{Rows, Written};
use crate::model::{Model, Project, UnitTest};
use crate::table::schema::{assemble, convert};
use arrow::array::{ArrayRef, AsArray, StringArray, new_null_array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

#[derive(Debug, Clone, Serialize)]
pub struct UnitReport {
    pub name: String,
    /// `layer.name` of the model.
    pub model: String,
    pub passed: bool,
    /// Rows that differ, and what else is wrong.
    pub message: Option<String>,
    pub seconds: f64,
}

/// Runs the unit tests of the selected models. The second value is the failure (kind CheckFailed) when one failed.
pub async fn unit(
    project: &Project,
    engine: &Engine,
    selection: &Selection,
    progress: &Progress,
    stop: &Stop,
) -> Result<(Vec<UnitReport>, Option<Error>)> {
    if selection.asks_state() {
        return Err(Error::config(
            "unit tests need no lake, and what changed since it was built is known to none else",
        )
        .hint("select the models by name, or run all tests"));
    }
    let selected = selection.models(project, &BTreeSet::new())?;
    progress.started("unit tests", None);
    let reports = run(project, engine, |test| selected.contains(&test.model), stop).await?;
    let failed = reports.iter().filter(|report| !report.passed).count();
    progress.finished("unit tests", format!("{} passed, {failed} failed", reports.len() - failed));
    let failure = failure(&reports);
    Ok((reports, failure))
}

/// Runs the unit tests that are `meant`.
pub(super) async fn run(
    project: &Project,
    engine: &Engine,
    meant: impl Fn(&UnitTest) -> bool,
    stop: &Stop,
) -> Result<Vec<UnitReport>> {
    let tests: Vec<&UnitTest> = project.unit_tests.iter().filter(|test| meant(test)).collect();
    if tests.is_empty() {
        return Ok(Vec::new());
    }
    let types = types(project, engine, &tests).await;
    let mut reports = Vec::new();
    for test in tests {
        stop.check()?;
        let started = Instant::now();
        let message = match stop.before(compare(engine, &types, test)).await {
            Ok(difference) => difference,
            Err(error) if matches!(error.kind(), Kind::Interrupted(_)) => return Err(error),
            Err(error) => Some(told(&error)),
        };
        let (name, model) = (test.name.clone(), test.model.to_string());
        let seconds = started.elapsed().as_secs_f64();
        reports.push(UnitReport { name, model, passed: message.is_none(), message, seconds });
    }
    Ok(reports)
}

/// Kind CheckFailed when one failed.
pub(super) fn failure(reports: &[UnitReport]) -> Option<Error> {
    let line = |report: &UnitReport| {
        format!("unit test `{}` of `{}`: {}", report.name, report.model, report.message.clone().unwrap_or_default())
    };
    let lines: Vec<String> = reports.iter().filter(|report| !report.passed).map(line).collect();
    (!lines.is_empty()).then(|| Error::check_failed(lines.join("\n")))
}

fn told(error: &Error) -> String {
    std::iter::once(error.to_string()).chain(error.causes()).collect::<Vec<_>>().join(": ")
}

/// What is known of the columns of the given tables.
type Types = BTreeMap<TableName, SchemaRef>;

/// Plans, without rows, the models that are given and what they read.
async fn types(project: &Project, engine: &Engine, tests: &[&UnitTest]) -> Types {
    let mut wanted: BTreeSet<&TableName> =
        tests.iter().flat_map(|test| test.given.iter().map(|(table, _)| table)).collect();
    for model in project.views.iter().chain(project.models.iter().rev()).filter(|model| !is_typed(model)) {
        if wanted.contains(&model.table) {
            wanted.extend(&model.upstream);
        }
    }
    let session = engine.session();
    let mut types = Types::new();
    for source in project.sources.iter().filter(|source| wanted.contains(&source.table)) {
        let Ok(columns) = declared(&source.table, &source.columns) else { continue };
        let schema = table_schema(&columns);
        // A source nobody typed may have any columns: what is given says which.
        if session.register_columns(&source.table, schema.clone()).is_ok() && !source.columns.is_empty() {
            types.insert(source.table.clone(), schema);
        }
    }
    for model in project.nodes().filter(|model| wanted.contains(&model.table)) {
        let schema = match is_typed(model) {
            true => Ok(contract(model)),
            false if catalog::register_seed(&session, model).is_ok() => session.schema_of(&model.sql).await,
            false => continue,
        };
        // One that cannot be planned is told when it is built; its rows are typed by their values.
        let Ok(schema) = schema else { continue };
        if session.register_columns(&model.table, schema.clone()).is_ok() {
            types.insert(model.table.clone(), schema);
        }
    }
    types
}

fn is_typed(model: &Model) -> bool {
    !model.columns.is_empty() && model.columns.iter().all(|column| column.data_type.is_some())
}

fn contract(model: &Model) -> SchemaRef {
    let typed = model.columns.iter().filter_map(|column| Some((&column.name, column.data_type.clone()?)));
    let fields: Vec<Field> = typed.map(|(name, data_type)| Field::new(name, data_type, true)).collect();
    crate::table::schema::storable(&Schema::new(fields))
}

/// How what the model makes differs from what is expected.
async fn compare(engine: &Engine, types: &Types, test: &UnitTest) -> Result<Option<String>> {
    let session = engine.session();
    for (table, rows) in &test.given {
        give(&session, table, types.get(table), rows, &read(engine, rows).await?)?;
    }
    let schema = session.schema_of(&test.sql).await.map_err(|error| match engine::fault_of(&error) {
        Some(fault) => Error::config(test.origin.fault(fault, &test.sql, &test.origin.map).to_string()),
        None => error,
    })?;
    let made = session.query(&test.sql).await?;
    let made = concat_batches(&schema, &made).context(Kind::Internal, || "join the rows of a model")?;
    let expected = expected(&test.expect, &read(engine, &test.expect).await?, &schema)?;
    let positions: Vec<usize> =
        expected.schema_ref().fields().iter().filter_map(|field| schema.index_of(field.name()).ok()).collect();
    let made = made.project(&positions).context(Kind::Internal, || "pick the expected columns")?;
    let columns: Vec<String> = expected.schema_ref().fields().iter().map(|field| field.name().clone()).collect();
    difference(&columns, &rows::texts(&expected)?, &rows::texts(&made)?)
}

/// The rows in the types they are written in: text, but for those of a query.
async fn read(engine: &Engine, rows: &Rows) -> Result<RecordBatch> {
    let sql = match &rows.written {
        Written::Cells { columns, cells } => return texts(columns, cells),
        Written::Query { sql, .. } => sql,
    };
    let session = engine.session();
    let told = |error: Error| match engine::fault_of(&error) {
        Some(fault) => Error::config(rows.fault(fault).to_string()),
        None => Error::config(rows.place.fault(told(&error)).to_string()),
    };
    let schema = session.schema_of(sql).await.map_err(told)?;
    let batches = session.query(sql).await.map_err(told)?;
    concat_batches(&schema, &batches).context(Kind::Internal, || "join the rows of a unit test")
}

fn texts(columns: &[String], cells: &[Vec<Option<String>>]) -> Result<RecordBatch> {
    let fields: Vec<Field> = columns.iter().map(|column| Field::new(column, DataType::Utf8, true)).collect();
    let texts = (0..columns.len())
        .map(|at| -> ArrayRef { Arc::new(cells.iter().map(|row| row[at].as_deref()).collect::<StringArray>()) });
    assemble(Arc::new(Schema::new(fields)), texts.collect(), cells.len())
}

fn give(
    session: &Session,
    table: &TableName,
    known: Option<&SchemaRef>,
    rows: &Rows,
    written: &RecordBatch,
) -> Result<()> {
    let mut fields: Vec<Field> =
        known.iter().flat_map(|schema| schema.fields()).map(|field| field.as_ref().clone()).collect();
    for (at, field) in written.schema_ref().fields().iter().enumerate() {
        let column = field.name();
        if fields.iter().any(|field| field.name() == column) {
            continue;
        }
        if known.is_some() && table.layer() != Layer::Bronze {
            let near = suggestion(column, fields.iter().map(|field| field.name().as_str()));
            return Err(Error::config(
                rows.place.fault(format!("`{table}` has no column `{column}`{near}")).to_string(),
            ));
        }
        let data_type = match rows.written {
            Written::Cells { .. } => type_of(written.column(at).as_string::<i32>().iter().flatten()),
            Written::Query { .. } => field.data_type().clone(),
        };
        fields.push(Field::new(column, data_type, true));
    }
    if known.is_none() && table.layer() == Layer::Bronze {
        let own = table_schema(&Fields::empty());
        let new = own.fields().iter().filter(|field| written.column_by_name(field.name()).is_none());
        fields.extend(new.map(|field| field.as_ref().clone()).collect::<Vec<_>>());
    }
    let schema = Arc::new(Schema::new(fields));
    let batch = typed(rows, written, &schema)?;
    session.register(table, engine::in_memory(schema, vec![batch])?)
}

/// Of values nobody typed.
fn type_of<'a>(values: impl Iterator<Item = &'a str>) -> DataType {
    let values: Vec<&str> = values.collect();
    let all = |is: fn(&str) -> bool| !values.is_empty() && values.iter().all(|value| is(value));
    match () {
        () if all(|value| value.parse::<i64>().is_ok()) => DataType::Int64,
        () if all(|value| value.parse::<f64>().is_ok()) => DataType::Float64,
        () if all(|value| matches!(value, "true" | "false")) => DataType::Boolean,
        () if all(|value| chrono::NaiveDate::parse_from_str(value, "%Y-%m-%d").is_ok()) => DataType::Date32,
        () => DataType::Utf8,
    }
}

/// The rows in these columns; those not written are NULL. A value of another type goes through its text, for that alone
/// is never rounded.
fn typed(rows: &Rows, written: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let column = |field: &Field| -> Result<ArrayRef> {
        let Some(column) = written.column_by_name(field.name()) else {
            return Ok(new_null_array(field.data_type(), written.num_rows()));
        };
        if column.data_type() == field.data_type() {
            return Ok(column.clone());
        }
        convert(&convert(column, &Field::new(field.name(), DataType::Utf8, true))?, field)
    };
    let misfit = |error: Error| Error::config(rows.place.fault(format!("{error}")).to_string()).caused_by(error);
    let columns = schema.fields().iter().map(|field| column(field)).collect::<Result<Vec<_>>>().map_err(misfit)?;
    assemble(schema.clone(), columns, written.num_rows())
}

/// In the types of what the model makes.
fn expected(rows: &Rows, written: &RecordBatch, made: &SchemaRef) -> Result<RecordBatch> {
    let mut fields = Vec::new();
    for column in written.schema_ref().fields().iter().map(|field| field.name()) {
        let Ok(field) = made.field_with_name(column) else {
            let near = suggestion(column, made.fields().iter().map(|field| field.name().as_str()));
            return Err(Error::config(
                rows.place.fault(format!("the model returns no column `{column}`{near}")).to_string(),
            ));
        };
        fields.push(field.clone());
    }
    typed(rows, written, &Arc::new(Schema::new(fields)))
}

type Row = Vec<Option<String>>;

/// Rows that only one side has, as a table; none when both are the same, however ordered.
fn difference(columns: &[String], expected: &[Row], made: &[Row]) -> Result<Option<String>> {
    let mut counts: BTreeMap<&Row, i64> = BTreeMap::new();
    expected.iter().for_each(|row| *counts.entry(row).or_default() += 1);
    made.iter().for_each(|row| *counts.entry(row).or_default() -= 1);
    let of = |sign: i64| -> Vec<&Row> {
        let rows = counts.iter().filter(|(_, count)| **count * sign > 0);
        rows.flat_map(|(row, count)| std::iter::repeat_n(*row, count.unsigned_abs() as usize)).collect()
    };
    let (missing, unexpected) = (of(1), of(-1));
    if missing.is_empty() && unexpected.is_empty() {
        // Without columns there is nothing to tell rows apart by but their number.
        return Ok((columns.is_empty() && expected.len() != made.len())
            .then(|| format!("{} rows are expected, the model returns {}", expected.len(), made.len())));
    }
    let head = std::iter::once(String::new()).chain(columns.iter().cloned()).collect();
    let line = |word: &'static str| {
        move |row: &&Row| {
            let cells = row.iter().map(|cell| cell.clone().unwrap_or_else(|| "NULL".to_string()));
            std::iter::once(word.to_string()).chain(cells).collect::<Vec<String>>()
        }
    };
    let mut lines: Vec<Vec<String>> = vec![head];
    lines.extend(missing.iter().map(line("expected")));
    lines.extend(unexpected.iter().map(line("actual")));
    Ok(Some(format!("{} missing, {} unexpected\n{}", missing.len(), unexpected.len(), aligned(&lines))))
}

fn aligned(lines: &[Vec<String>]) -> String {
    let cells = lines.first().map_or(0, Vec::len);
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..cells).map(width).collect();
    let pad = |line: &Vec<String>| {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("  {}", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    lines.iter().map(pad).collect::<Vec<_>>().join("\n")
}
