//! What becomes of a standing table when the columns of its model have changed.
//!
//! Migrated inside the load's transaction:
//! * a column that is new in the model is added;
//! * a column that left the model is dropped if a load wrote it. Which columns those are, the ledger says
//!   ([`super::Entry::columns`]): it changes in the same transaction as the table, it needs no mark on the
//!   table that others could overwrite as they could a comment, and a column that somebody added is not in
//!   it. Indexes and constraints of the table that span the column go with it, as always in Postgres;
//! * a type is widened where every old value keeps its meaning: whole numbers to larger ones and to
//!   decimals, decimals to more digits on either side of the point, real to double precision, date to
//!   timestamp; arrays likewise. Text has no length to widen;
//! * a column that a load wrote takes nulls again when the contract no longer says that it has none, unless
//!   it is of the primary key, which Postgres keeps.
//!
//! Refused, with the statement to run: any other change of a type, another primary key, to drop or widen a
//! column that something else depends on (a view, a foreign key of another table, ...), and a column that
//! a load wrote and somebody seems to have renamed.
//!
//! Left alone: columns that no load wrote, and character types somebody gave a text column.

use super::catalog::{Existing, ExistingColumn, address};
use super::failure::{Attempt, dependents};
use super::{Column, Target};
use crate::error::{Error, Result};
use crate::ident::quote;
use tokio_postgres::Transaction;

/// The changes that bring a table's columns to its target.
#[derive(Debug, Default)]
pub struct Migration {
    /// Run before any row moves between tables: Postgres checks references again when a column they span
    /// changes, and half a load would not pass. Readers wait from here on for the end of the transaction.
    pub widen: Vec<Step>,
    /// Run as late as possible, for the same reason.
    pub reshape: Vec<Step>,
}

impl Migration {
    pub fn is_empty(&self) -> bool {
        self.widen.is_empty() && self.reshape.is_empty()
    }
}

/// One change of one column.
#[derive(Debug)]
pub struct Step {
    /// What is done, for messages.
    what: String,
    sql: String,
    remedy: String,
}

/// What has to change; an error when it cannot be done. `written` are the columns that loads wrote before.
pub fn plan(schema: &str, target: &Target, existing: &Existing, written: &[String]) -> Result<Migration> {
    same_key(schema, target, existing)?;
    let (table, shown) = (address(schema, &target.name), format!("`{schema}.{}`", target.name));
    let mut migration = Migration::default();
    for name in written.iter().filter(|name| existing.column(name).is_some() && !target.has(name)) {
        let sql = format!("alter table {table} drop column {}", quote(name));
        let remedy = format!(
            "run: {sql} cascade; what depends on the column goes with it, and what sql/warehouse makes comes back \
             with the load"
        );
        let what = format!("drop column `{name}` of {shown}, which left the model");
        migration.reshape.push(Step { what, sql, remedy });
    }
    for column in &target.columns {
        let (name, wanted) = (quote(&column.name), target.sql_type(column)?);
        let is_written = written.contains(&column.name);
        let Some(standing) = existing.column(&column.name) else {
            if is_written {
                not_renamed(schema, target, existing, &column.name, &wanted, written)?;
            }
            let sql = format!("alter table {table} add column {name} {wanted}");
            let what = format!("add column `{}` to {shown}", column.name);
            migration.reshape.push(Step { what, remedy: format!("run: {sql}"), sql });
            continue;
        };
        if is_written && standing.not_null && column.nullable && !existing.primary_key.contains(&column.name) {
            let sql = format!("alter table {table} alter column {name} drop not null");
            let what = format!("let column `{}` of {shown} be null", column.name);
            migration.reshape.push(Step { what, remedy: format!("run: {sql}"), sql });
        }
        let found = standing.sql_type.as_str();
        if holds(found, &wanted) {
            continue;
        }
        let sql = format!("alter table {table} alter column {name} type {wanted}");
        if !widens(found, &wanted) {
            let message = format!("column `{}` of {shown} is {found}, the lake has {wanted}", column.name);
            return Err(Error::config(message).hint(format!(
                "run: {sql} using {name}::{wanted}; if Postgres has no such cast: alter table {table} drop column \
                 {name}, and the load makes it again"
            )));
        }
        let what = format!("widen column `{}` of {shown} from {found} to {wanted}", column.name);
        let remedy = format!("drop what depends on the column, run: {sql}; then make it again");
        migration.widen.push(Step { what, sql, remedy });
    }
    Ok(migration)
}

/// What a load of `after` would refuse where a load of `before` made the table, or where there is none. Without the
/// database: what others changed about the table or hung on it is not known.
pub fn foreseen(schema: &str, before: Option<&Target>, after: &Target) -> Result<()> {
    after.check()?;
    // What Postgres could not hold before is not there.
    let Some(before) = before.filter(|before| before.check().is_ok()) else { return Ok(()) };
    let made = |column: &Column| {
        let sql_type = before.sql_type(column)?;
        Ok(ExistingColumn { name: column.name.clone(), sql_type, not_null: !column.nullable })
    };
    let existing = Existing {
        columns: before.columns.iter().map(made).collect::<Result<_>>()?,
        primary_key: before.primary_key.clone(),
        ..Existing::default()
    };
    let written: Vec<String> = before.columns.iter().map(|column| column.name.clone()).collect();
    plan(schema, after, &existing, &written).map(drop)
}

/// Refuses when `lost`, which loads wrote, is gone and a column of its type stands there that neither the model
/// nor a load made. Without one it was dropped, and comes back.
fn not_renamed(
    schema: &str,
    target: &Target,
    existing: &Existing,
    lost: &str,
    wanted: &str,
    written: &[String],
) -> Result<()> {
    let is_strange = |name: &String| !target.has(name) && !written.contains(name);
    let mut strange = existing.columns.iter().filter(|column| is_strange(&column.name));
    let Some(other) = strange.find(|column| holds(&column.sql_type, wanted)) else { return Ok(()) };
    let (table, old, new) = (address(schema, &target.name), quote(lost), quote(&other.name));
    let message = format!(
        "column `{lost}` of `{schema}.{}` is not in Postgres any more; was it renamed to `{}`?",
        target.name, other.name
    );
    Err(Error::config(message).hint(format!(
        "run: alter table {table} rename column {new} to {old}; and rename it in the model instead. If {new} is a \
         column of your own: alter table {table} add column {old} {wanted}; the load fills it"
    )))
}

/// Runs the steps. One that something depends on is refused with what that is and the statement to run.
pub async fn run(transaction: &Transaction<'_>, steps: &[Step]) -> Result<()> {
    for step in steps {
        let Err(error) = transaction.batch_execute(&step.sql).await else { continue };
        let Some(dependents) = dependents(&error) else { return Err(error).attempt(|| step.what.as_str()) };
        let message = format!("cannot {}: {dependents}", step.what);
        return Err(Error::config(message).hint(step.remedy.as_str()).caused_by(error));
    }
    Ok(())
}

fn same_key(schema: &str, target: &Target, existing: &Existing) -> Result<()> {
    let sorted = |columns: &[String]| {
        let mut columns = columns.to_vec();
        columns.sort();
        columns
    };
    let (found, wanted) = (&existing.primary_key, &target.primary_key);
    if found.is_empty() || wanted.is_empty() || sorted(found) == sorted(wanted) {
        return Ok(());
    }
    let (found, wanted) = (found.join(", "), wanted.join(", "));
    let message = format!("`{schema}.{}` has the primary key ({found}), the contract says ({wanted})", target.name);
    let (table, key) = (address(schema, &target.name), quote(&existing.primary_key_name));
    Err(Error::config(message).hint(format!("run: alter table {table} drop constraint {key} cascade")))
}

/// Text also fits into the narrower character types, as far as each value does.
pub(super) fn holds(found: &str, wanted: &str) -> bool {
    found == wanted || (wanted == "text" && found.starts_with("character"))
}

/// Whether every value of the type `found` is one of the type `wanted`, and Postgres turns it into that.
fn widens(found: &str, wanted: &str) -> bool {
    if let (Some(found), Some(wanted)) = (found.strip_suffix("[]"), wanted.strip_suffix("[]")) {
        return widens(found, wanted);
    }
    if let (Some((before, after)), true) = (digits(found), wanted.starts_with("numeric(")) {
        return digits(wanted).is_some_and(|room| before <= room.0 && after <= room.1);
    }
    matches!(
        (found, wanted),
        ("smallint", "integer" | "bigint" | "real" | "double precision")
            | ("integer", "bigint" | "double precision")
            | ("real", "double precision")
            | ("date", "timestamp without time zone")
    )
}

/// Digits before and behind the point that values of an exact type may have.
fn digits(sql_type: &str) -> Option<(u32, u32)> {
    match sql_type {
        "smallint" => return Some((5, 0)),
        "integer" => return Some((10, 0)),
        "bigint" => return Some((19, 0)),
        _ => {}
    }
    let (precision, scale) = sql_type.strip_prefix("numeric(")?.strip_suffix(')')?.split_once(',')?;
    let (precision, scale): (u32, u32) = (precision.parse().ok()?, scale.parse().ok()?);
    Some((precision.checked_sub(scale)?, scale))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::DataType;

    #[test]
    fn only_what_keeps_every_value_is_widened() {
        let wider = [
            ("smallint", "integer"),
            ("integer", "bigint"),
            ("bigint", "numeric(20,0)"),
            ("integer", "numeric(12,2)"),
            ("numeric(10,2)", "numeric(12,2)"),
            ("numeric(10,2)", "numeric(12,4)"),
            ("real", "double precision"),
            ("integer[]", "bigint[]"),
            ("date", "timestamp without time zone"),
        ];
        for (found, wanted) in wider {
            assert!(widens(found, wanted), "{found} -> {wanted}");
            assert!(!widens(wanted, found), "{wanted} -> {found}");
        }
        let other = [
            ("numeric(10,2)", "numeric(11,4)"),
            ("numeric", "numeric(10,2)"),
            ("integer", "numeric(11,2)"),
            ("bigint", "double precision"),
            ("date", "timestamp with time zone"),
            ("text", "integer"),
            ("integer", "bigint[]"),
            ("numeric(5,0)", "bigint"),
        ];
        for (found, wanted) in other {
            assert!(!widens(found, wanted), "{found} -> {wanted}");
        }
    }

    #[test]
    fn a_standing_table_is_completed_or_refused() {
        let column =
            |name: &str, data_type| Column { name: name.into(), data_type, nullable: true, description: String::new() };
        let target = Target {
            name: "dim_book".into(),
            description: String::new(),
            columns: vec![column("id", DataType::Int64), column("price", DataType::Decimal128(10, 2))],
            primary_key: vec!["id".into()],
            unique: vec![],
            foreign_keys: vec![],
        };
        let with = |columns: &[(&str, &str)], key: &[&str]| Existing {
            columns: columns
                .iter()
                .map(|(name, sql_type)| ExistingColumn {
                    name: name.to_string(),
                    sql_type: sql_type.to_string(),
                    not_null: true,
                })
                .collect(),
            primary_key: key.iter().map(|name| name.to_string()).collect(),
            primary_key_name: "its key".into(),
            unique: vec![],
            indexed: vec![],
        };
        let steps = |existing: &Existing, written: &[&str]| {
            let written: Vec<String> = written.iter().map(|name| name.to_string()).collect();
            let Migration { widen, reshape } = plan("gold", &target, existing, &written).unwrap();
            widen.into_iter().chain(reshape).map(|step| step.sql).collect::<Vec<_>>()
        };
        let full = [("id", "bigint"), ("price", "numeric(10,2)"), ("old", "text"), ("theirs", "text")];
        assert!(steps(&with(&full, &["id"]), &["id"]).is_empty());
        assert_eq!(
            steps(&with(&full, &["id"]), &["id", "old", "gone long ago"]),
            [r#"alter table "gold"."dim_book" drop column "old""#]
        );
        assert_eq!(
            steps(&with(&[("id", "integer")], &[]), &[]),
            [
                r#"alter table "gold"."dim_book" alter column "id" type bigint"#,
                r#"alter table "gold"."dim_book" add column "price" numeric(10,2)"#
            ]
        );
        let error = plan("gold", &target, &with(&[("id", "bigint"), ("price", "boolean")], &[]), &[]).unwrap_err();
        assert_eq!(error.to_string(), "column `price` of `gold.dim_book` is boolean, the lake has numeric(10,2)");
        let remedy = r#"run: alter table "gold"."dim_book" alter column "price" type numeric(10,2) using "price"::numeric(10,2);"#;
        assert!(error.hint_text().unwrap().starts_with(remedy), "{error:?}");
        let error = plan("gold", &target, &with(&full, &["id", "price"]), &[]).unwrap_err();
        assert!(error.to_string().contains("(id, price)"), "{error}");
        assert_eq!(error.hint_text(), Some(r#"run: alter table "gold"."dim_book" drop constraint "its key" cascade"#));
    }
}
