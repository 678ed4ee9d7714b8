//! `lake query`: one read-only statement over the lake's tables, or over the warehouse.
//!
//! In the lake a query sees `bronze.x` (good rows) and `bronze.x__quarantine` as they are now, and Silver and
//! Gold at the versions of the newest complete run, so that no result mixes two runs. Never changes anything.

use super::catalog;
use crate::engine::{self, Engine};
use crate::error::{Context, Error, Kind, Result};
use crate::model::files::SourceFile;
use crate::model::{Model, Origin};
use crate::table::{Lake, manifest};
use crate::warehouse::Warehouse;
use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use futures::StreamExt;
use futures::stream::BoxStream;
use std::sync::Arc;

/// A result as it comes; the first error ends it.
pub struct Rows {
    pub schema: SchemaRef,
    pub batches: BoxStream<'static, Result<RecordBatch>>,
}

/// Runs a query over the lake. An unknown table or column is refused with the nearest known name.
/// Views whose tables are all there are visible too.
pub async fn lake(lake: &Lake, engine: &Engine, views: &[Model], sql: &str) -> Result<Rows> {
    let session = engine.session();
    let newest = manifest::latest(lake).await?;
    let pins = catalog::open_all(lake, &session, newest.as_ref()).await?;
    for view in views.iter().filter(|view| view.upstream.iter().all(|table| pins.contains_key(table))) {
        session.register_view(&view.table, &view.sql).await?;
    }
    let stream = session.stream(sql).await.map_err(|error| show_place(error, sql))?;
    let schema = stream.schema();
    let batches = stream.map(|batch| batch.map_err(|error| engine::failed(error, "run the query"))).boxed();
    Ok(Rows { schema, batches })
}

/// Puts the line and a caret under the place an error names; its cause, the fault, is then told in full.
fn show_place(error: Error, sql: &str) -> Error {
    let Some(fault) = engine::fault_of(&error).filter(|fault| fault.line.is_some()) else { return error };
    let origin = Origin { file: SourceFile::new("query", sql), ..Origin::default() };
    let placed = Error::new(error.kind(), origin.fault(fault, sql, &origin.map).to_string());
    match error.hint_text() {
        Some(hint) => placed.hint(hint),
        None => placed,
    }
}

/// Runs a query in the warehouse; every column is text as the database prints it.
pub async fn warehouse(warehouse: &mut dyn Warehouse, sql: &str) -> Result<Rows> {
    let answer = warehouse.query(sql).await?;
    let fields: Vec<Field> = answer.columns.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
    let column = |index: usize| -> ArrayRef {
        Arc::new(answer.rows.iter().map(|row| row.get(index).cloned().flatten()).collect::<StringArray>())
    };
    let columns = (0..fields.len()).map(column).collect();
    let schema = Arc::new(Schema::new(fields));
    let options = RecordBatchOptions::new().with_row_count(Some(answer.rows.len()));
    let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options);
    let batch = batch.context(Kind::Internal, || "read the warehouse's answer")?;
    Ok(Rows { schema, batches: futures::stream::iter([Ok(batch)]).boxed() })
}
