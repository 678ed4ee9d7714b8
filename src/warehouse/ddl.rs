//! Tables in PostgreSQL: made from a [`Target`], compared with what stands, completed but never replaced.
//!
//! Constraints and columns somebody else added are left alone; what cannot be reconciled is refused with
//! the statement to run.

use super::failure::Attempt;
use super::{Column, Standing, Target};
use crate::error::{Error, Result};
use crate::ident::{literal, quote};
use tokio_postgres::Transaction;

/// A table as it stands.
#[derive(Debug, Default)]
pub struct Existing {
    columns: Vec<(String, String, bool)>,
    pub primary_key: Vec<String>,
    /// Columns of each unique index, the primary key's too.
    pub unique: Vec<Vec<String>>,
}

/// `"schema"."table"`.
pub fn address(schema: &str, table: &str) -> String {
    format!("{}.{}", quote(schema), quote(table))
}

/// `"a", "b"`
pub fn list<'a>(columns: impl IntoIterator<Item = &'a str>) -> String {
    columns.into_iter().map(quote).collect::<Vec<_>>().join(", ")
}

/// Creates the schema unless it stands. Asks first: creating needs a right that loading does not.
pub async fn ensure_schema(transaction: &Transaction<'_>, schema: &str) -> Result<()> {
    let what = || format!("create schema `{schema}`");
    let stands = "select exists (select from pg_catalog.pg_namespace where nspname = $1)";
    if transaction.query_one(stands, &[&schema]).await.attempt(what)?.get(0) {
        return Ok(());
    }
    transaction.batch_execute(&format!("create schema {}", quote(schema))).await.attempt(what)
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
    let columns = rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let indexes = "select indisprimary, array(select a.attname::text from unnest(indkey) with ordinality k(number, place) \
         join pg_catalog.pg_attribute a on a.attrelid = indrelid and a.attnum = k.number where k.place <= indnkeyatts \
         order by k.place) from pg_catalog.pg_index where indrelid = $1::text::regclass and indisunique and indisvalid \
         and indpred is null and indexprs is null";
    let mut found = Existing { columns, ..Existing::default() };
    for row in transaction.query(indexes, &[&relation]).await.attempt(what)? {
        let columns: Vec<String> = row.get(1);
        if row.get(0) {
            found.primary_key = columns.clone();
        }
        found.unique.push(columns);
    }
    Ok(Some(found))
}

/// `create table` with NOT NULLs; keys follow after the rows, when they are cheaper to build.
pub fn create(schema: &str, target: &Target) -> Result<String> {
    let columns = target.columns.iter().map(|column| definition(target, column, true)).collect::<Result<Vec<_>>>()?;
    Ok(format!("create table {} ({})", address(schema, &target.name), columns.join(", ")))
}

/// A table of the same columns that only this transaction sees.
pub fn create_stage(stage: &str, target: &Target) -> Result<String> {
    let columns = target.columns.iter().map(|column| definition(target, column, false)).collect::<Result<Vec<_>>>()?;
    Ok(format!("create temporary table {} ({}) on commit drop", quote(stage), columns.join(", ")))
}

fn definition(target: &Target, column: &Column, with_null: bool) -> Result<String> {
    let not_null = if with_null && !column.nullable { " not null" } else { "" };
    Ok(format!("{} {}{not_null}", quote(&column.name), target.sql_type(column)?))
}

/// The statements that add columns the table lacks; an error when a column has another type or the
/// table another primary key.
pub fn complete(schema: &str, target: &Target, existing: &Existing) -> Result<Vec<String>> {
    let table = address(schema, &target.name);
    let mut statements = Vec::new();
    for column in &target.columns {
        let wanted = target.sql_type(column)?;
        match existing.columns.iter().find(|(name, ..)| *name == column.name) {
            None => statements.push(format!("alter table {table} add column {} {wanted}", quote(&column.name))),
            Some((_, found, _)) if holds(found, &wanted) => {}
            Some((name, found, _)) => {
                let quoted = quote(name);
                let message =
                    format!("column `{name}` of `{schema}.{}` is {found}, the lake has {wanted}", target.name);
                let remedy =
                    format!("alter table {table} alter column {quoted} type {wanted} using {quoted}::{wanted}");
                return Err(Error::config(message).hint(format!("run: {remedy}")));
            }
        }
    }
    if !existing.primary_key.is_empty()
        && !target.primary_key.is_empty()
        && !same(&existing.primary_key, &target.primary_key)
    {
        let (found, wanted) = (existing.primary_key.join(", "), target.primary_key.join(", "));
        let message = format!("`{schema}.{}` has the primary key ({found}), the contract says ({wanted})", target.name);
        let remedy = format!("alter table {table} drop constraint {} cascade", quote(&format!("{}_pkey", target.name)));
        return Err(Error::config(message).hint(format!("run: {remedy}")));
    }
    Ok(statements)
}

/// Text also fits into the narrower character types, as far as each value does.
fn holds(found: &str, wanted: &str) -> bool {
    found == wanted || (wanted == "text" && found.starts_with("character"))
}

fn same(one: &[String], other: &[String]) -> bool {
    let sorted = |columns: &[String]| {
        let mut columns = columns.to_vec();
        columns.sort();
        columns
    };
    sorted(one) == sorted(other)
}

/// The statements that declare the NOT NULLs and keys which the table still lacks.
pub fn keys(schema: &str, target: &Target, existing: &Existing) -> Vec<String> {
    let table = address(schema, &target.name);
    let mut statements = Vec::new();
    for column in target.columns.iter().filter(|column| !column.nullable) {
        if existing.columns.iter().any(|(name, _, not_null)| *name == column.name && !not_null) {
            statements.push(format!("alter table {table} alter column {} set not null", quote(&column.name)));
        }
    }
    if existing.primary_key.is_empty() && !target.primary_key.is_empty() {
        let columns = list(target.primary_key.iter().map(String::as_str));
        statements.push(format!("alter table {table} add primary key ({columns})"));
    }
    for column in &target.unique {
        if !existing.unique.iter().any(|columns| columns.len() == 1 && columns[0] == *column) {
            statements.push(format!("alter table {table} add unique ({})", quote(column)));
        }
    }
    statements
}

/// The statements that put the contract's descriptions on the table; others' comments stay.
pub fn comments(schema: &str, target: &Target) -> Vec<String> {
    let table = address(schema, &target.name);
    let mut statements = Vec::new();
    if !target.description.is_empty() {
        statements.push(format!("comment on table {table} is {}", literal(&target.description)));
    }
    for column in target.columns.iter().filter(|column| !column.description.is_empty()) {
        let name = quote(&column.name);
        statements.push(format!("comment on column {table}.{name} is {}", literal(&column.description)));
    }
    statements
}

/// Declares the references of the table that are not declared yet. They are checked at the end of each
/// transaction, so that a later load may change both tables in any order.
pub async fn refer(transaction: &Transaction<'_>, schema: &str, target: &Target) -> Result<()> {
    let declared = "select exists (select from pg_catalog.pg_constraint c \
         join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and c.conkey = array[a.attnum] \
         join pg_catalog.pg_attribute f on f.attrelid = c.confrelid and c.confkey = array[f.attnum] \
         where c.contype = 'f' and c.conrelid = $1::text::regclass and c.confrelid = $2::text::regclass \
         and a.attname = $3::text and f.attname = $4::text)";
    let table = address(schema, &target.name);
    for key in &target.foreign_keys {
        let other = address(schema, &key.table);
        let what = || format!("make `{}`.`{}` refer to `{}`.`{}`", target.name, key.column, key.table, key.field);
        let found = transaction.query_one(declared, &[&table, &other, &key.column, &key.field]).await.attempt(what)?;
        if found.get(0) {
            continue;
        }
        let (column, field) = (quote(&key.column), quote(&key.field));
        let sql = format!(
            "alter table {table} add foreign key ({column}) references {other} ({field}) deferrable initially deferred"
        );
        transaction.batch_execute(&sql).await.attempt(what)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::warehouse::ForeignKey;
    use arrow::datatypes::DataType;

    fn target() -> Target {
        let column = |name: &str, data_type, nullable| Column {
            name: name.into(),
            data_type,
            nullable,
            description: if nullable { String::new() } else { "it's the key".into() },
        };
        Target {
            name: "dim_book".into(),
            description: "One row a book".into(),
            columns: vec![column("id", DataType::Int64, false), column("price", DataType::Decimal128(10, 2), true)],
            primary_key: vec!["id".into()],
            unique: vec!["price".into()],
            foreign_keys: vec![ForeignKey { column: "id".into(), table: "x".into(), field: "id".into() }],
        }
    }

    #[test]
    fn a_new_table_is_spelled_out() {
        let target = target();
        assert_eq!(
            create("gold", &target).unwrap(),
            r#"create table "gold"."dim_book" ("id" bigint not null, "price" numeric(10,2))"#
        );
        assert_eq!(
            create_stage("stage", &target).unwrap(),
            r#"create temporary table "stage" ("id" bigint, "price" numeric(10,2)) on commit drop"#
        );
        assert_eq!(
            comments("gold", &target),
            [
                r#"comment on table "gold"."dim_book" is 'One row a book'"#,
                r#"comment on column "gold"."dim_book"."id" is 'it''s the key'"#,
            ]
        );
        let fresh = Existing {
            columns: vec![("id".into(), "bigint".into(), false), ("price".into(), "numeric(10,2)".into(), false)],
            ..Existing::default()
        };
        assert_eq!(
            keys("gold", &target, &fresh),
            [
                r#"alter table "gold"."dim_book" alter column "id" set not null"#,
                r#"alter table "gold"."dim_book" add primary key ("id")"#,
                r#"alter table "gold"."dim_book" add unique ("price")"#,
            ]
        );
    }

    #[test]
    fn a_standing_table_is_completed_or_refused() {
        let target = target();
        let with = |price: Option<&str>, key: &[&str]| Existing {
            columns: [Some(("id", "bigint")), price.map(|found| ("price", found))]
                .into_iter()
                .flatten()
                .map(|(name, found)| (name.to_string(), found.to_string(), true))
                .collect(),
            primary_key: key.iter().map(|name| name.to_string()).collect(),
            unique: vec![],
        };
        assert!(complete("gold", &target, &with(Some("numeric(10,2)"), &["id"])).unwrap().is_empty());
        assert_eq!(
            complete("gold", &target, &with(None, &[])).unwrap(),
            [r#"alter table "gold"."dim_book" add column "price" numeric(10,2)"#]
        );
        let error = complete("gold", &target, &with(Some("real"), &[])).unwrap_err();
        assert_eq!(error.to_string(), "column `price` of `gold.dim_book` is real, the lake has numeric(10,2)");
        assert_eq!(
            error.hint_text().unwrap(),
            r#"run: alter table "gold"."dim_book" alter column "price" type numeric(10,2) using "price"::numeric(10,2)"#
        );
        let error = complete("gold", &target, &with(Some("numeric(10,2)"), &["id", "price"])).unwrap_err();
        assert!(error.to_string().contains("(id, price)"), "{error}");
    }
}
