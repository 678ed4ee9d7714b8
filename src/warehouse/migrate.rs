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
//! * a NOT NULL or a check that a load declared goes when the contract no longer has it, or has another check of its
//!   name; the NOT NULL of a primary key stays, which Postgres keeps. What loads declared, the ledger says, too
//!   ([`super::Entry::declared`]). New ones are declared by `ddl`.
//!
//! Refused, with the statement to run: any other change of a type, another primary key, to drop or widen a
//! column that something else depends on (a view, a foreign key of another table, ...), a column that
//! a load wrote and somebody seems to have renamed, and a check whose name somebody else has taken.
//!
//! Left alone: columns that no load wrote, NOT NULLs and checks that no load declared, and character types somebody
//! gave a text column. Of a table that is not in the ledger, and is taken over, all checks of the contract's names go.

use super::catalog::{Existing, ExistingColumn, address};
use super::failure::{Attempt, dependents};
use super::widening::{holds, widens};
use super::{Column, Entry, Target};
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

/// A table that stands, and what is to become of it.
struct Case<'a> {
    /// Its address, and how it is shown.
    table: String,
    shown: String,
    target: &'a Target,
    existing: &'a Existing,
    /// The ledger's row of it.
    before: Option<&'a Entry>,
}

/// What has to change; an error when it cannot be done. `before` is the ledger's row of the table.
pub fn plan(schema: &str, target: &Target, existing: &Existing, before: Option<&Entry>) -> Result<Migration> {
    let (table, shown) = (address(schema, &target.name), format!("`{schema}.{}`", target.name));
    let case = Case { table, shown, target, existing, before };
    case.same_key()?;
    let mut migration = Migration { reshape: case.checks()?, ..Migration::default() };
    migration.reshape.extend(case.left());
    for column in &target.columns {
        match existing.column(&column.name) {
            None => migration.reshape.push(case.added(column)?),
            Some(standing) => {
                migration.reshape.extend(case.nullable(column, standing));
                migration.widen.extend(case.wider(column, standing)?);
            }
        }
    }
    Ok(migration)
}

impl Case<'_> {
    /// The columns that loads wrote before.
    fn written(&self) -> &[String] {
        self.before.map(|before| before.columns.as_slice()).unwrap_or_default()
    }

    /// Drops the checks that the contract no longer has so.
    fn checks(&self) -> Result<Vec<Step>> {
        let declared = self.before.and_then(|before| before.declared.as_ref());
        let mut steps = Vec::new();
        for name in &self.existing.checks {
            let ours = declared.and_then(|declared| declared.checks.get(name));
            let wanted = self.target.checks.iter().find(|check| check.name == *name).map(|check| &check.expression);
            let sql = format!("alter table {} drop constraint {}", self.table, quote(name));
            match (ours, wanted) {
                (None, None) => continue,
                (Some(ours), Some(wanted)) if ours == wanted => continue,
                (None, Some(_)) if self.before.is_some() => {
                    let message = format!("{} has a check `{name}` that no load declared", self.shown);
                    return Err(Error::config(message).hint(format!("rename the one in the contract, or run: {sql}")));
                }
                _ => {}
            }
            let what = format!("drop the check `{name}` of {}", self.shown);
            steps.push(Step { what, remedy: format!("run: {sql}"), sql });
        }
        Ok(steps)
    }

    /// Drops the columns that left the model.
    fn left(&self) -> impl Iterator<Item = Step> {
        let leaves = |name: &&String| self.existing.column(name).is_some() && !self.target.has(name);
        self.written().iter().filter(leaves).map(|name| {
            let sql = format!("alter table {} drop column {}", self.table, quote(name));
            let remedy = format!(
                "run: {sql} cascade; what depends on the column goes with it, and what sql/warehouse makes comes back \
                 with the load"
            );
            Step { what: format!("drop column `{name}` of {}, which left the model", self.shown), sql, remedy }
        })
    }

    fn added(&self, column: &Column) -> Result<Step> {
        let wanted = self.target.sql_type(column)?;
        if self.written().contains(&column.name) {
            self.not_renamed(&column.name, &wanted)?;
        }
        let sql = format!("alter table {} add column {} {wanted}", self.table, quote(&column.name));
        let what = format!("add column `{}` to {}", column.name, self.shown);
        Ok(Step { what, remedy: format!("run: {sql}"), sql })
    }

    /// Lets the column take nulls again if a load forbade them. An earlier release did not note whether one did.
    fn nullable(&self, column: &Column, standing: &ExistingColumn) -> Option<Step> {
        let name = &column.name;
        let before = self.before.filter(|before| before.columns.contains(name))?;
        let ours = before.declared.as_ref().is_none_or(|declared| declared.not_null.contains(name));
        if !ours || !standing.not_null || !column.nullable || self.existing.primary_key.contains(name) {
            return None;
        }
        let sql = format!("alter table {} alter column {} drop not null", self.table, quote(name));
        let what = format!("let column `{name}` of {} be null", self.shown);
        Some(Step { what, remedy: format!("run: {sql}"), sql })
    }

    fn wider(&self, column: &Column, standing: &ExistingColumn) -> Result<Option<Step>> {
        let (name, wanted, found) = (quote(&column.name), self.target.sql_type(column)?, standing.sql_type.as_str());
        if holds(found, &wanted) {
            return Ok(None);
        }
        let (table, shown) = (&self.table, &self.shown);
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
        Ok(Some(Step { what, sql, remedy }))
    }

    /// Refuses when `lost`, which loads wrote, is gone and a column of its type stands there that neither the model
    /// nor a load made. Without one it was dropped, and comes back.
    fn not_renamed(&self, lost: &str, wanted: &str) -> Result<()> {
        let is_strange = |name: &String| !self.target.has(name) && !self.written().contains(name);
        let mut strange = self.existing.columns.iter().filter(|column| is_strange(&column.name));
        let Some(other) = strange.find(|column| holds(&column.sql_type, wanted)) else { return Ok(()) };
        let (table, shown, old, new) = (&self.table, &self.shown, quote(lost), quote(&other.name));
        let message =
            format!("column `{lost}` of {shown} is not in Postgres any more; was it renamed to `{}`?", other.name);
        Err(Error::config(message).hint(format!(
            "run: alter table {table} rename column {new} to {old}; and rename it in the model instead. If {new} is a \
             column of your own: alter table {table} add column {old} {wanted}; the load fills it"
        )))
    }

    fn same_key(&self) -> Result<()> {
        let sorted = |columns: &[String]| {
            let mut columns = columns.to_vec();
            columns.sort();
            columns
        };
        let (found, wanted) = (&self.existing.primary_key, &self.target.primary_key);
        if found.is_empty() || wanted.is_empty() || sorted(found) == sorted(wanted) {
            return Ok(());
        }
        let (found, wanted) = (found.join(", "), wanted.join(", "));
        let message = format!("{} has the primary key ({found}), the contract says ({wanted})", self.shown);
        let key = quote(&self.existing.primary_key_name);
        Err(Error::config(message).hint(format!("run: alter table {} drop constraint {key} cascade", self.table)))
    }
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
        checks: before.checks.iter().map(|check| check.name.clone()).collect(),
        ..Existing::default()
    };
    let columns = before.columns.iter().map(|column| column.name.clone()).collect();
    let entry = Entry { columns, declared: Some(before.declared()), ..Entry::default() };
    plan(schema, after, &existing, Some(&entry)).map(drop)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::warehouse::Declared;
    use arrow::datatypes::DataType;

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
            checks: vec![],
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
            ..Existing::default()
        };
        let entry = |written: &[&str]| {
            let columns = written.iter().map(|name| name.to_string()).collect();
            Entry { columns, declared: Some(Declared::default()), ..Entry::default() }
        };
        let steps = |existing: &Existing, written: &[&str]| {
            let Migration { widen, reshape } = plan("gold", &target, existing, Some(&entry(written))).unwrap();
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
        let error = plan("gold", &target, &with(&[("id", "bigint"), ("price", "boolean")], &[]), None).unwrap_err();
        assert_eq!(error.to_string(), "column `price` of `gold.dim_book` is boolean, the lake has numeric(10,2)");
        let remedy = r#"run: alter table "gold"."dim_book" alter column "price" type numeric(10,2) using "price"::numeric(10,2);"#;
        assert!(error.hint_text().unwrap().starts_with(remedy), "{error:?}");
        let error = plan("gold", &target, &with(&full, &["id", "price"]), None).unwrap_err();
        assert!(error.to_string().contains("(id, price)"), "{error}");
        assert_eq!(error.hint_text(), Some(r#"run: alter table "gold"."dim_book" drop constraint "its key" cascade"#));
    }
}
