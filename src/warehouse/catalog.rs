//! What stands in PostgreSQL, as its catalog tells it. Reads only; `ddl` and `migrate` act on it.

use super::Standing;
use super::failure::Attempt;
use crate::error::{Error, Result};
use crate::ident::quote;
use tokio_postgres::Transaction;

/// A table as it stands.
#[derive(Debug, Default)]
pub struct Existing {
    pub columns: Vec<ExistingColumn>,
    /// Empty: there is none.
    pub primary_key: Vec<String>,
    /// Name of the primary key's constraint.
    pub primary_key_name: String,
    /// Columns of each unique index, the primary key's too.
    pub unique: Vec<Vec<String>>,
    /// The columns that some index of all rows begins with.
    pub indexed: Vec<String>,
    /// Names of the conditions its rows must meet.
    pub checks: Vec<String>,
}

#[derive(Debug)]
pub struct ExistingColumn {
    pub name: String,
    /// As `format_type()` prints it.
    pub sql_type: String,
    pub not_null: bool,
}

impl Existing {
    pub fn column(&self, name: &str) -> Option<&ExistingColumn> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// `"schema"."table"`.
pub fn address(schema: &str, table: &str) -> String {
    format!("{}.{}", quote(schema), quote(table))
}

pub async fn standing(transaction: &Transaction<'_>, schema: &str, table: &str) -> Result<Standing> {
    if kind(transaction, schema, table).await?.is_none() {
        return Ok(Standing::Absent);
    }
    let sql = format!("select exists (select from {})", address(schema, table));
    let filled = transaction.query_one(&sql, &[]).await.attempt(|| format!("look into `{schema}.{table}`"))?.get(0);
    Ok(if filled { Standing::Filled } else { Standing::Empty })
}

/// `pg_class.relkind` of whatever has the name.
async fn kind(transaction: &Transaction<'_>, schema: &str, table: &str) -> Result<Option<String>> {
    let sql = "select c.relkind::text from pg_catalog.pg_class c join pg_catalog.pg_namespace n \
         on n.oid = c.relnamespace where n.nspname = $1 and c.relname = $2";
    let what = || format!("look for `{schema}.{table}`");
    let row = transaction.query_opt(sql, &[&schema, &table]).await.attempt(what)?;
    Ok(row.map(|row| row.get(0)))
}

/// Reads the table, or `None` when there is none. A view in its place is refused.
pub async fn existing(transaction: &Transaction<'_>, schema: &str, table: &str) -> Result<Option<Existing>> {
    match kind(transaction, schema, table).await?.as_deref() {
        None => return Ok(None),
        Some("r" | "p") => {}
        Some(_) => {
            return Err(Error::config(format!("`{schema}.{table}` exists and is no table"))
                .hint("rename it, or set another warehouse.schema"));
        }
    }
    let what = || format!("read the definition of `{schema}.{table}`");
    let relation = address(schema, table);
    let columns = "select attname::text, format_type(atttypid, atttypmod), attnotnull from pg_catalog.pg_attribute \
         where attrelid = $1::text::regclass and attnum > 0 and not attisdropped order by attnum";
    let rows = transaction.query(columns, &[&relation]).await.attempt(what)?;
    let column =
        |row: &tokio_postgres::Row| ExistingColumn { name: row.get(0), sql_type: row.get(1), not_null: row.get(2) };
    let indexes = "select indisprimary, array(select a.attname::text from unnest(indkey) with ordinality k(number, place) \
         join pg_catalog.pg_attribute a on a.attrelid = indrelid and a.attnum = k.number where k.place <= indnkeyatts \
         order by k.place), c.relname::text, indisunique from pg_catalog.pg_index \
         join pg_catalog.pg_class c on c.oid = indexrelid \
         where indrelid = $1::text::regclass and indisvalid and indpred is null and indexprs is null";
    let checks = "select array(select conname::text from pg_catalog.pg_constraint \
         where conrelid = $1::text::regclass and contype = 'c' order by conname)";
    let checks = transaction.query_one(checks, &[&relation]).await.attempt(what)?.get(0);
    let mut found = Existing { columns: rows.iter().map(column).collect(), checks, ..Existing::default() };
    for row in transaction.query(indexes, &[&relation]).await.attempt(what)? {
        let columns: Vec<String> = row.get(1);
        if row.get(0) {
            found.primary_key = columns.clone();
            found.primary_key_name = row.get(2);
        }
        found.indexed.extend(columns.first().cloned());
        if row.get(3) {
            found.unique.push(columns);
        }
    }
    Ok(Some(found))
}
