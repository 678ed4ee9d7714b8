//! What has to be known of a loaded table before its rows can be compared with those of the lake. Reads only.

use super::sql_type::sql_type;
use super::widening::holds;
use super::{Entry, Warehouse};
use crate::error::Result;
use crate::ident::literal;
use arrow::datatypes::{Field, Schema};
use std::collections::BTreeMap;

/// One sentence for each column of `gold` that the loaded table lacks or has with another type, and for each that a
/// load wrote and `gold` does not have. Nothing is said of a table that is not there at all.
pub async fn column_differences(warehouse: &mut dyn Warehouse, entry: &Entry, gold: &Schema) -> Result<Vec<String>> {
    let Some((schema, table)) = entry.place() else { return Ok(Vec::new()) };
    let (schema, table) = (literal(schema), literal(table));
    let sql = format!(
        "select a.attname::text, format_type(a.atttypid, a.atttypmod) from pg_catalog.pg_attribute a \
         join pg_catalog.pg_class c on c.oid = a.attrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
         where n.nspname = {schema} and c.relname = {table} and a.attnum > 0 and not a.attisdropped"
    );
    let there = warehouse.query(&sql).await?.rows.into_iter();
    let there: BTreeMap<String, String> =
        there.filter_map(|mut row| Some((row.first_mut()?.take()?, row.get_mut(1)?.take()?))).collect();
    if there.is_empty() {
        return Ok(Vec::new());
    }
    let in_gold = |name: &String| gold.fields().iter().any(|field| field.name() == name);
    let stale = entry.columns.iter().filter(|name| there.contains_key(*name) && !in_gold(name));
    let stale = stale.map(|name| format!("column `{name}` stands in the warehouse and is no longer in the lake"));
    Ok(gold.fields().iter().filter_map(|field| misfit(field, &there)).chain(stale).collect())
}

/// What is wrong with the column among those that stand, each with its type.
fn misfit(field: &Field, there: &BTreeMap<String, String>) -> Option<String> {
    let name = field.name();
    let Some(found) = there.get(name) else { return Some(format!("column `{name}` is missing in the warehouse")) };
    let wanted = sql_type(field.data_type())?.name;
    (!holds(found, &wanted)).then(|| format!("column `{name}` is {found} in the warehouse, the lake has {wanted}"))
}

/// The columns of a loaded table's primary key, in the order of the table, without those its index merely includes; none
/// when it has none.
pub async fn primary_key(warehouse: &mut dyn Warehouse, entry: &Entry) -> Result<Vec<String>> {
    let Some((schema, table)) = entry.place() else { return Ok(Vec::new()) };
    let (schema, table) = (literal(schema), literal(table));
    let sql = format!(
        "select a.attname::text from pg_catalog.pg_constraint k join pg_catalog.pg_class c on c.oid = k.conrelid \
         join pg_catalog.pg_namespace n on n.oid = c.relnamespace join pg_catalog.pg_attribute a \
         on a.attrelid = c.oid and a.attnum = any (k.conkey) \
         where n.nspname = {schema} and c.relname = {table} and k.contype = 'p' order by a.attnum"
    );
    Ok(warehouse.query(&sql).await?.rows.into_iter().flatten().flatten().collect())
}
