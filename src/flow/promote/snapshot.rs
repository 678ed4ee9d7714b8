//! The history of a model's rows, as dbt's snapshots keep it (slowly changing dimension, type 2).
//!
//! Each version of a row stands with the time it was valid: `dbt_valid_from` up to, not including, `dbt_valid_to`, which
//! is NULL for the present one. One statement compares the model's rows with the present ones and returns what comes and
//! what ends, each under its `dbt_scd_id`; merging by that id is all that is left to do. Ranges of a key never overlap:
//! a version begins after the one before began and not before it ended, whatever a clock or a column of times says. A
//! row whose time is not later than that of its present version changes nothing.

use super::contract::{Layout, Query};
use crate::engine::Session;
use crate::error::{Error, Result};
use crate::ident::quote;
use crate::model::{ChangeBy, Model, Snapshot};
use crate::table::Table;
use arrow::datatypes::Schema;
use chrono::{DateTime, SecondsFormat, Utc};

pub(super) const ID: &str = "dbt_scd_id";
/// The columns beside the model's own, in their order.
const OWN: [&str; 4] = [ID, "dbt_updated_at", "dbt_valid_from", "dbt_valid_to"];

/// The statement that returns the versions which come or change, and its columns. `standing` is the history so far.
pub(in crate::flow) async fn query(
    session: &Session,
    model: &Model,
    snapshot: &Snapshot,
    layout: &Layout,
    standing: Option<&Table>,
    now: DateTime<Utc>,
) -> Result<Query> {
    let columns = columns(model, snapshot, &layout.schema)?;
    let standing = standing.map(|table| (table.name().quoted(), table.schema()));
    let before = standing.as_ref().map(|(name, schema)| (name.as_str(), schema.as_ref()));
    let sql = Writer { snapshot, columns, sql: &model.sql, standing: before, now }.statement();
    let schema = session.schema_of(&sql).await?;
    let positions = (0..schema.fields().len()).collect();
    Ok(Query { sql, layout: Layout { schema, positions } })
}

/// The model's columns, among which there are those that the snapshot names.
fn columns(model: &Model, snapshot: &Snapshot, schema: &Schema) -> Result<Vec<String>> {
    let at = match &snapshot.by {
        ChangeBy::Timestamp(column) => std::slice::from_ref(column),
        ChangeBy::Columns(columns) => columns.as_slice(),
    };
    let file = model.file.display();
    if let Some(missing) = snapshot.key.iter().chain(at).find(|name| schema.column_with_name(name).is_none()) {
        return Err(Error::config(format!("{file}: `{}` returns no column `{missing}`", model.table))
            .hint("`unique_key`, `updated_at` and `check_cols` name columns of the result"));
    }
    if let Some(taken) = OWN.iter().find(|name| schema.column_with_name(name).is_some()) {
        return Err(Error::config(format!("{file}: `{taken}` is a column of the snapshot itself")));
    }
    Ok(schema.fields().iter().map(|field| field.name().clone()).collect())
}

struct Writer<'a> {
    snapshot: &'a Snapshot,
    /// The model's.
    columns: Vec<String>,
    sql: &'a str,
    standing: Option<(&'a str, &'a Schema)>,
    now: DateTime<Utc>,
}

impl Writer<'_> {
    fn statement(&self) -> String {
        let source = format!("select result.*, {} as lake_at from (\n{}\n) as result", self.at(), self.sql);
        let Some((standing, _)) = self.standing else {
            return format!(
                "with source as (\n{source}\n)\nselect {} from source",
                self.version("source", "source.lake_at")
            );
        };
        let key = self.list("standing", &self.snapshot.key);
        let present = format!("select * from {standing} as standing where standing.\"dbt_valid_to\" is null");
        let past = format!(
            "select {key}, max(standing.\"dbt_valid_from\") as began, max(standing.\"dbt_valid_to\") as ended \
             from {standing} as standing group by {key}"
        );
        let after = format!("{} + interval '1 microsecond'", "present.\"dbt_valid_from\"");
        let changed = format!(
            "select source.*, greatest(source.lake_at, {after}) as lake_from from source join present on {} where {}",
            self.same("source", "present"),
            self.differs()
        );
        let came = format!(
            "select source.*, greatest(source.lake_at, past.began + interval '1 microsecond', past.ended) as lake_from \
             from source left join past on {} where not exists (select 1 from present where {})",
            self.same("source", "past"),
            self.same("source", "present")
        );
        let mut parts = vec![
            format!("select {} from came", self.version("came", "came.lake_from")),
            format!("select {} from changed", self.version("changed", "changed.lake_from")),
            format!(
                "select {} from present join changed on {}",
                self.ended("changed.lake_from"),
                self.same("present", "changed")
            ),
        ];
        if self.snapshot.invalidate_deleted {
            parts.push(format!(
                "select {} from present where not exists (select 1 from source where {})",
                self.ended(&format!("greatest({}, present.\"dbt_valid_from\")", self.moment())),
                self.same("source", "present")
            ));
        }
        format!(
            "with source as (\n{source}\n), present as ({present}), past as ({past}),\nchanged as ({changed}),\n\
             came as ({came})\n{}",
            parts.join("\nunion all\n")
        )
    }

    /// When a row came to be what it is.
    fn at(&self) -> String {
        match &self.snapshot.by {
            ChangeBy::Timestamp(column) => instant(&format!("result.{}", quote(column))),
            ChangeBy::Columns(_) => self.moment(),
        }
    }

    fn moment(&self) -> String {
        instant(&format!("'{}'", self.now.to_rfc3339_opts(SecondsFormat::Micros, true)))
    }

    fn differs(&self) -> String {
        match &self.snapshot.by {
            ChangeBy::Timestamp(_) => "source.lake_at > present.\"dbt_updated_at\"".into(),
            ChangeBy::Columns(checked) => {
                let checked = if checked.is_empty() { &self.columns } else { checked };
                let differs = checked
                    .iter()
                    .map(|name| format!("(source.{} is distinct from {})", quote(name), self.of_present(name)));
                differs.collect::<Vec<_>>().join(" or ")
            }
        }
    }

    /// A column the history does not have yet is empty in it.
    fn of_present(&self, name: &str) -> String {
        match self.standing.is_some_and(|(_, schema)| schema.column_with_name(name).is_some()) {
            true => format!("present.{}", quote(name)),
            false => "null".into(),
        }
    }

    /// A row of `from` as a version that begins at `begins`.
    fn version(&self, from: &str, begins: &str) -> String {
        // With their lengths, so that the values of one key never read like those of another.
        let text = |name: &String| format!("cast({from}.{} as text)", quote(name));
        let key = self.snapshot.key.iter().map(text).map(|text| format!("character_length({text}), {text}"));
        let id = format!("md5(concat_ws('|', {}, cast({begins} as text)))", key.collect::<Vec<_>>().join(", "));
        format!(
            "{}, cast({id} as text) as \"{ID}\", {from}.lake_at as \"dbt_updated_at\", {begins} as \"dbt_valid_from\", \
             {} as \"dbt_valid_to\"",
            self.list(from, &self.columns),
            instant("null")
        )
    }

    /// A present version that ends at `ends`.
    fn ended(&self, ends: &str) -> String {
        let columns = self.columns.iter().map(|name| format!("{} as {}", self.of_present(name), quote(name)));
        format!(
            "{}, present.\"{ID}\", present.\"dbt_updated_at\", present.\"dbt_valid_from\", {ends} as \"dbt_valid_to\"",
            columns.collect::<Vec<_>>().join(", ")
        )
    }

    fn same(&self, one: &str, other: &str) -> String {
        let same = self.snapshot.key.iter().map(|name| format!("{one}.{0} = {other}.{0}", quote(name)));
        same.collect::<Vec<_>>().join(" and ")
    }

    fn list(&self, table: &str, columns: &[String]) -> String {
        columns.iter().map(|name| format!("{table}.{}", quote(name))).collect::<Vec<_>>().join(", ")
    }
}

/// Times without a zone are taken as UTC.
fn instant(value: &str) -> String {
    format!("arrow_cast({value}, 'Timestamp(Microsecond, Some(\"UTC\"))')")
}
