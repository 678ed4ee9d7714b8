//! A contract whose types got wider: the table is written anew in them, in one commit, before its stream goes on.
//!
//! Others may go on adding rows in the narrower types meanwhile: each round writes only what came in during the one before
//! it, which is less and less. Two that widen the same table do it once; files that maintenance merged meanwhile are
//! begun with again.

use crate::engine::types::type_name;
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::table::schema::is_wider;
use crate::table::{Commit, Committed, KeepOn, Mode, Staged, Table};
use arrow::datatypes::{Field, FieldRef, Fields, Schema, SchemaRef};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Rounds before giving up: the last ones are of a few rows each.
const MOST_ROUNDS: usize = 100;
/// Times that others may make all of it void.
const MOST_RESTARTS: usize = 5;

/// Gives the table the types of `wanted` where all that differ are wider, and says what was done. Otherwise the table
/// is left as it is. `keep_on` is asked often and its error ends it.
pub(super) async fn widen(
    table: &mut Table,
    wanted: &Schema,
    row_group_bytes: usize,
    keep_on: KeepOn<'_>,
) -> Result<Option<String>> {
    let (mut done, mut restarts) = (None, 0);
    for _ in 0..MOST_ROUNDS {
        let Some((schema, changed)) = wider(table, wanted) else {
            Staged::discard_all(done).await;
            return Ok(None);
        };
        let staged = table.rewrite_all(schema, row_group_bytes, done.take(), keep_on).await?;
        if let Err(stopped) = keep_on() {
            staged.discard().await;
            return Err(stopped);
        }
        let rows = staged.rows;
        match commit(table, staged.clone(), &changed).await {
            Ok(Committed::Done { .. }) => {
                let columns = changed.join(", ");
                return Ok(Some(format!("`{}` was written anew with {columns}: {rows} rows", table.name())));
            }
            Ok(Committed::Outgrown) => done = Some(staged),
            Ok(Committed::Fenced { .. } | Committed::Reshaped) => {}
            Err(error) if error.kind() == Kind::Conflict && restarts < MOST_RESTARTS => restarts += 1,
            Err(error) => return Err(error),
        }
        table.refresh().await?;
        if !done.as_ref().is_none_or(|done| table.has_files_of(done)) {
            Staged::discard_all(done.take()).await;
        }
    }
    Staged::discard_all(done).await;
    Err(Error::conflict(format!("others add rows to `{}` faster than they can be written anew", table.name()))
        .hint("let fewer of them run, or none, until its types have changed"))
}

async fn commit(table: &mut Table, staged: Staged, changed: &[String]) -> Result<Committed> {
    let widened = changed.iter().map(|column| Value::from(column.as_str())).collect();
    let info = Map::from_iter([("verb".to_string(), "bronze".into()), ("widened".to_string(), widened)]);
    failpoint::hit("bronze.before_widening");
    let committed = table.commit(Commit { mode: Mode::Widen, staged, txns: Vec::new(), info }, "bronze.commit").await?;
    failpoint::hit("bronze.after_widening");
    Ok(committed)
}

/// The table's columns with the wider types, and those as text; `None` when there is no wider type or another change.
fn wider(table: &Table, wanted: &Schema) -> Option<(SchemaRef, Vec<String>)> {
    let standing = table.schema();
    let mut changed = Vec::new();
    let widened = |field: &FieldRef| -> Option<FieldRef> {
        let Some((_, new)) = wanted.column_with_name(field.name()) else { return Some(field.clone()) };
        let (name, old, new) = (field.name(), field.data_type(), new.data_type());
        if old == new {
            return Some(field.clone());
        }
        if !is_wider(old, new) || table.partition_by().contains(name) {
            return None;
        }
        changed.push(format!("`{name}` {} instead of {}", type_name(new), type_name(old)));
        Some(Arc::new(Field::new(name, new.clone(), true)))
    };
    let fields: Fields = standing.fields().iter().map(widened).collect::<Option<Vec<_>>>()?.into();
    (!changed.is_empty()).then(|| (Arc::new(Schema::new(fields)), changed))
}
