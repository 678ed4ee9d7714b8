//! Tables of the lake as sessions see them, each pinned to one version.
//!
//! Owns what `bronze.x` means to a reader: the good rows without the columns that only quarantine needs;
//! `bronze.x__quarantine` is the other half. Never decides which version is right, callers do.

use crate::engine::Session;
use crate::error::{Error, Result};
use crate::ident::{Layer, TableName, quote};
use crate::model::{Model, QUARANTINE_SUFFIX, SEED_ROWS};
use crate::table::manifest::Manifest;
use crate::table::{FileFacts, Lake, Provider, Table};
use arrow::datatypes::{FieldRef, Schema};
use futures::{StreamExt, TryStreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The column by which a Bronze table is cut into its halves.
pub const QUARANTINED: &str = "_quarantined";
/// Columns that are empty in good rows.
const ONLY_IN_QUARANTINE: [&str; 3] = ["_reason", "_raw", QUARANTINED];
/// Tables opened at the same time.
const OPEN_AT_ONCE: usize = 8;

/// Tables by name, each at the version a flow has settled on.
pub type Pins = BTreeMap<TableName, Table>;

/// Makes a table visible under its name; a Bronze table as its two halves.
pub async fn register(session: &Session, table: &Table) -> Result<()> {
    register_rows(session, table, table.provider().await?).await
}

/// As [`register`], with these rows in the place of all.
pub async fn register_rows(session: &Session, table: &Table, rows: Provider) -> Result<()> {
    match table.name().layer() {
        Layer::Bronze => register_bronze(session, table, rows).await,
        Layer::Silver | Layer::Gold => session.register(table.name(), rows),
    }
}

/// The partition value of the files whose rows are no good rows of the table: `(column, value)`.
pub fn aside(table: &Table) -> Option<(&'static str, &'static str)> {
    table.schema().column_with_name(QUARANTINED).map(|_| (QUARANTINED, "true"))
}

/// Makes the rows of a seed's file known to the session its statement is planned or run in; of another model nothing.
pub fn register_seed(session: &Session, model: &Model) -> Result<()> {
    match &model.seed {
        Some(rows) => session.register_batches(SEED_ROWS, rows.schema(), vec![rows.clone()]),
        None => Ok(()),
    }
}

/// Registers `bronze.x` (good rows) and `bronze.x__quarantine` (the others). A Delta table that some other
/// program put into the Bronze layer has no quarantine and is visible as it is.
async fn register_bronze(session: &Session, table: &Table, rows: Provider) -> Result<()> {
    let (name, schema) = (table.name(), table.schema());
    if schema.column_with_name(QUARANTINED).is_none() {
        return session.register(name, rows);
    }
    let quarantine = quarantine_of(name)?;
    session.register(name, rows)?;
    let (good, bad) = (columns(&schema, is_of_good), columns(&schema, is_of_quarantined));
    let (all, flag) = (name.quoted(), quote(QUARANTINED));
    session.register_view(&quarantine, &format!("select {bad} from {all} where {flag}")).await?;
    session.register_view(name, &format!("select {good} from {all} where not {flag}")).await
}

/// Makes the columns visible that [`register`] would, without rows and without asking the store.
pub fn describe(session: &Session, table: &Table) -> Result<()> {
    let (name, schema) = (table.name(), table.schema());
    if name.layer() != Layer::Bronze || schema.column_with_name(QUARANTINED).is_none() {
        return session.register_columns(name, schema);
    }
    let half = |wanted: fn(&str) -> bool| Arc::new(Schema::new(half(&schema, wanted).cloned().collect::<Vec<_>>()));
    session.register_columns(&quarantine_of(name)?, half(is_of_quarantined))?;
    session.register_columns(name, half(is_of_good))
}

/// What the log says of the files that hold the rows of a table as [`register`] shows it under its own name.
pub fn facts(table: &Table) -> Result<Vec<FileFacts>> {
    let mut facts = table.facts()?;
    if table.name().layer() == Layer::Bronze && table.schema().column_with_name(QUARANTINED).is_some() {
        let good = |file: &FileFacts| file.partition.get(QUARANTINED).cloned().flatten().as_deref() == Some("false");
        facts.retain(good);
    }
    Ok(facts)
}

fn quarantine_of(bronze: &TableName) -> Result<TableName> {
    TableName::new(Layer::Bronze, &format!("{}{QUARANTINE_SUFFIX}", bronze.name()))
}

fn is_of_good(column: &str) -> bool {
    !ONLY_IN_QUARANTINE.contains(&column)
}

fn is_of_quarantined(column: &str) -> bool {
    column.starts_with('_') && column != QUARANTINED
}

fn half(schema: &Schema, wanted: fn(&str) -> bool) -> impl Iterator<Item = &FieldRef> {
    schema.fields().iter().filter(move |field| wanted(field.name()))
}

fn columns(schema: &Schema, wanted: fn(&str) -> bool) -> String {
    half(schema, wanted).map(|field| quote(field.name())).collect::<Vec<_>>().join(", ")
}

/// Whether a table was made but never written to.
pub fn never_written(table: &Table) -> bool {
    table.version() == 0 && table.rows() == Some(0)
}

/// Whether a table is there for readers. A Silver or Gold table is made before its first build is tested, and
/// is not there until one has passed; a Bronze table is there from the start.
pub fn published(table: &Table) -> bool {
    table.name().layer() == Layer::Bronze || !never_written(table)
}

/// Opens tables at their newest versions; those that do not exist are left out.
pub async fn pin(lake: &Lake, names: impl IntoIterator<Item = TableName>) -> Result<Pins> {
    let names: BTreeSet<TableName> = names.into_iter().collect();
    let open = |name: TableName| async move { lake.table(&name).await };
    let opened = futures::stream::iter(names.into_iter().map(open)).buffered(OPEN_AT_ONCE);
    let opened: Vec<Option<Table>> = opened.try_collect().await?;
    Ok(opened.into_iter().flatten().map(|table| (table.name().clone(), table)).collect())
}

/// Moves every table a manifest names to the manifest's version; the others stay where they are. A table made
/// anew since is refused: what the manifest means is gone, and what stands belongs to no run.
pub async fn pin_to(pins: Pins, manifest: &Manifest) -> Result<Pins> {
    let mut pinned = Pins::new();
    for (name, table) in pins {
        let table = match manifest.tables.get(&name.to_string()) {
            Some(entry) if !entry.is_of(&table) => {
                return Err(Error::input(format!("`{name}` is not the table that run {} published", manifest.run))
                    .hint("it was made anew since; `lake promote all` tests it and publishes it"));
            }
            Some(entry) if entry.version != table.version() => table.at(entry.version).await?,
            _ => table,
        };
        pinned.insert(name, table);
    }
    Ok(pinned)
}

/// Registers every table of the lake in the session: those the manifest names at its versions, all others
/// at their newest. A Silver or Gold table whose first build never passed its tests is not there yet.
pub async fn open_all(lake: &Lake, session: &Session, manifest: Option<&Manifest>) -> Result<Pins> {
    let mut names = Vec::new();
    for layer in Layer::ALL {
        names.extend(lake.tables(layer).await?);
    }
    let mut pins = pin(lake, names).await?;
    pins.retain(|_, table| published(table));
    if let Some(manifest) = manifest {
        pins = pin_to(pins, manifest).await?;
    }
    for table in pins.values() {
        register(session, table).await?;
    }
    Ok(pins)
}
