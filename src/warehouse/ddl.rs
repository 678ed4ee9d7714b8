//! What makes a table in PostgreSQL out of a [`Target`], and what declares its keys, NOT NULLs, checks, indexes,
//! references and comments, on a new table and on one that stands.
//!
//! Takes nothing away and changes no column's type (`migrate` does both); what somebody else added is left alone.

use super::catalog::{Existing, address};
use super::failure::Attempt;
use super::{Column, Condition, Target};
use crate::error::Result;
use crate::ident::{literal, quote};
use std::collections::BTreeSet;
use tokio_postgres::Transaction;

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

/// The statements that declare the NOT NULLs and keys which the table still lacks.
pub fn keys(schema: &str, target: &Target, existing: &Existing) -> Vec<String> {
    let table = address(schema, &target.name);
    let mut statements = Vec::new();
    for column in target.columns.iter().filter(|column| !column.nullable) {
        if existing.column(&column.name).is_some_and(|found| !found.not_null) {
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

/// Declares the target's checks on `relation` (quoted), those of the names that are `standing` apart. Rows of which
/// `unless` is true need not meet them.
pub async fn check(
    transaction: &Transaction<'_>,
    relation: &str,
    target: &Target,
    standing: &[String],
    unless: Option<&str>,
) -> Result<()> {
    for Condition { name, expression } in target.checks.iter().filter(|check| !standing.contains(&check.name)) {
        let unless = unless.map(|unless| format!("{unless} or ")).unwrap_or_default();
        let sql = format!("alter table {relation} add constraint {} check ({unless}({expression}))", quote(name));
        let what = || format!("declare the check `{name}` of `{}`: {expression}", target.name);
        transaction.batch_execute(&sql).await.attempt(what)?;
    }
    Ok(())
}

/// The statements that make an index for each reference of the table that none begins with yet: without one, to take a
/// row out of the other table is to read all of this one.
pub fn indexes(schema: &str, target: &Target, existing: &Existing) -> Vec<String> {
    let table = address(schema, &target.name);
    let indexed = |column: &String| existing.indexed.contains(column) || target.primary_key.first() == Some(column);
    let columns: BTreeSet<&String> = target.foreign_keys.iter().map(|key| &key.column).collect();
    let missing = columns.into_iter().filter(|column| !indexed(column) && !target.unique.contains(column));
    missing.map(|column| format!("create index on {table} ({})", quote(column))).collect()
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
    use crate::warehouse::catalog::ExistingColumn;
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
            checks: vec![],
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
        let column = |name: &str| ExistingColumn { name: name.into(), sql_type: String::new(), not_null: false };
        let fresh = Existing { columns: vec![column("id"), column("price")], ..Existing::default() };
        assert_eq!(
            keys("gold", &target, &fresh),
            [
                r#"alter table "gold"."dim_book" alter column "id" set not null"#,
                r#"alter table "gold"."dim_book" add primary key ("id")"#,
                r#"alter table "gold"."dim_book" add unique ("price")"#,
            ]
        );
        assert!(indexes("gold", &target, &fresh).is_empty(), "the primary key's index begins with the column");
        let mut fact = target.clone();
        fact.primary_key.clear();
        assert_eq!(indexes("gold", &fact, &fresh), [r#"create index on "gold"."dim_book" ("id")"#]);
        let refers = |column: &str| ForeignKey { column: column.into(), table: "x".into(), field: "id".into() };
        fact.unique.clear();
        fact.foreign_keys = ["id", "price", "id"].map(refers).into();
        assert_eq!(indexes("gold", &fact, &fresh).len(), 2, "one index a column, however many tables it refers to");
        fact.foreign_keys.truncate(1);
        let indexed = Existing { indexed: vec!["id".into()], ..Existing::default() };
        assert!(indexes("gold", &fact, &indexed).is_empty());
    }
}
