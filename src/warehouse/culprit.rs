//! The row that keeps a contract from being declared, found by asking for it once the server has refused.

use super::catalog::address;
use super::failure::Attempt;
use super::{Condition, ForeignKey, Target};
use crate::error::Result;
use crate::ident::quote;
use tokio_postgres::Transaction;

/// The first row with a null where there may be none, that fails a check or that refers to nothing, as a sentence;
/// `None` when the rows of these tables do what their contracts say.
pub async fn find(transaction: &Transaction<'_>, schema: &str, targets: &[Target]) -> Result<Option<String>> {
    for target in targets {
        let table = format!("{} t", address(schema, &target.name));
        for column in target.columns.iter().filter(|column| !column.nullable) {
            let sql = format!("select {} from {table} where t.{} is null limit 1", named(target), quote(&column.name));
            if let Some(row) = first(transaction, &target.name, &sql).await? {
                return Ok(Some(format!("`{}`: column `{}` of {row} is null", target.name, column.name)));
            }
        }
        for check in &target.checks {
            let sql = format!("select {} from {table} where not ({}) limit 1", named(target), check.expression);
            if let Some(row) = first(transaction, &target.name, &sql).await? {
                return Ok(Some(failing(target, &row, check)));
            }
        }
        for key in &target.foreign_keys {
            if let Some(row) = first(transaction, &target.name, &orphan(schema, target, key, &table)).await? {
                let (table, column, other, field) = (&target.name, &key.column, &key.table, &key.field);
                return Ok(Some(format!("`{table}`: column `{column}` of {row}, which is not in `{other}`.`{field}`")));
            }
        }
    }
    Ok(None)
}

/// That a row fails a check.
pub fn failing(target: &Target, row: &str, check: &Condition) -> String {
    format!("`{}`: {row} fails the check `{}`: {}", target.name, check.name, check.expression)
}

fn orphan(schema: &str, target: &Target, key: &ForeignKey, table: &str) -> String {
    let (column, field, other) = (quote(&key.column), quote(&key.field), address(schema, &key.table));
    format!(
        "select {} || ' is ' || t.{column}::text from {table} where t.{column} is not null \
         and not exists (select from {other} o where o.{field} = t.{column}) limit 1",
        named(target)
    )
}

/// SQL for `the row with id = 7`, or `a row` of a table without a key.
fn named(target: &Target) -> String {
    let parts = target.primary_key.iter().map(|name| {
        let label = crate::ident::literal(&format!("{name} = "));
        format!("{label} || coalesce(left(t.{}::text, 60), 'null')", quote(name))
    });
    match parts.collect::<Vec<_>>().join(" || ', ' || ") {
        none if none.is_empty() => "'a row'".into(),
        key => format!("'the row with ' || {key}"),
    }
}

async fn first(transaction: &Transaction<'_>, table: &str, sql: &str) -> Result<Option<String>> {
    let found = transaction.query_opt(sql, &[]).await.attempt(|| format!("look for the row at fault in `{table}`"))?;
    Ok(found.map(|row| row.get(0)))
}
