//! A contract whose types got wider: the table is written anew in them, in one commit, before its stream goes on.

use crate::engine::types::type_name;
use crate::error::{Kind, Result};
use crate::table::schema::is_wider;
use crate::table::{Commit, Committed, Mode, Table};
use arrow::datatypes::{Field, FieldRef, Fields, Schema, SchemaRef};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Commits of others that may come between before giving up.
const MOST_ATTEMPTS: usize = 5;

/// Gives the table the types of `wanted` where all that differ are wider, and says what was done. Otherwise the table
/// is left as it is.
pub(super) async fn widen(table: &mut Table, wanted: &Schema) -> Result<Option<String>> {
    for attempt in 1.. {
        let Some((schema, changed)) = wider(table, wanted) else { break };
        let staged = table.rewrite_all(schema).await?;
        let rows = staged.rows;
        let widened = changed.iter().map(|column| Value::from(column.as_str())).collect();
        let info = Map::from_iter([("verb".to_string(), "bronze".into()), ("widened".to_string(), widened)]);
        let commit = Commit { mode: Mode::Widen, staged, txns: Vec::new(), info };
        match table.commit(commit, "bronze.commit").await {
            Ok(Committed::Done { .. }) => {
                let columns = changed.join(", ");
                return Ok(Some(format!("`{}` was written anew with {columns}: {rows} rows", table.name())));
            }
            Ok(Committed::Fenced { .. } | Committed::Reshaped) => {}
            Err(error) if error.kind() == Kind::Conflict && attempt < MOST_ATTEMPTS => {}
            Err(error) => return Err(error),
        }
        table.refresh().await?;
    }
    Ok(None)
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
