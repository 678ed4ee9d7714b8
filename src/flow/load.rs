//! Gold -> warehouse: every Gold table of the newest run, in one transaction with its ledger rows.
//!
//! The position is the ledger: which version of which table stands in the warehouse. Versions that stand
//! already are not touched; when nothing changed, nothing is written. Loads are serialised by a lock in
//! the database, and the run manifest is read after it was obtained, so a load that waited does not put
//! an older run over a newer one. A COMMIT whose reply was lost is looked up in the ledger by the load's
//! own id and never simply repeated.

mod contract;
mod scripts;

use super::{Progress, Stop};
use crate::engine::Engine;
use crate::error::{Context, Error, Kind, Result};
use crate::failpoint;
use crate::ident::{Layer, TableName};
use crate::model::Project;
use crate::table::{Lake, Table, manifest};
use crate::warehouse::{Batches, Changes, Entry, Load, Outcome, Standing, Target, Warehouse};
use bytes::Bytes;
use futures::StreamExt;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Object in the lake that holds its identity, so that a ledger row is never taken for another lake's.
const LAKE_ID: &str = "_lake/id";
const LOCK_PAUSE: Duration = Duration::from_millis(250);
/// How long a COMMIT whose reply was lost may still be running before we stop asking.
const SETTLE_TRIES: u32 = 240;

#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Compare every table although its version stands, and take over tables that this lake did not load.
    pub full: bool,
}

#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub tables: Vec<TableReport>,
    /// The run manifest whose versions stand now.
    pub run: Option<u64>,
}

#[derive(Debug, Clone, Serialize)]
pub struct TableReport {
    /// `gold.name`
    pub table: String,
    pub version: i64,
    /// Rows the table holds now.
    pub rows: u64,
    pub inserted: u64,
    pub updated: u64,
    pub deleted: u64,
    pub status: Status,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Loaded,
    Unchanged,
}

/// Loads the newest run. Running it again without a newer one changes nothing.
pub async fn load(
    project: &Project,
    lake: &Lake,
    engine: &Engine,
    warehouse: &mut dyn Warehouse,
    options: &Options,
    progress: &Progress,
    stop: &Stop,
) -> Result<Report> {
    let id = uuid::Uuid::new_v4().to_string();
    let (report, unsure) = {
        let mut load = warehouse.begin().await?;
        wait_for_lock(load.as_mut(), progress, stop).await?;
        let run = Run::open(project, lake).await?;
        let work = Work { id: &id, run: &run, lake, engine, options, progress, stop };
        let (report, changed) = work.bring_up(project, load.as_mut()).await?;
        if !changed {
            return Ok(report);
        }
        stop.check()?;
        failpoint::hit("load.before_commit");
        let outcome = load.commit().await?;
        failpoint::hit("load.after_commit");
        (report, doubt(outcome))
    };
    if let Some(cause) = unsure {
        settle(warehouse, &id, cause, progress, stop).await?;
    }
    Ok(report)
}

/// The cause when it is unknown whether the commit happened.
fn doubt(outcome: Outcome) -> Option<Error> {
    match outcome {
        Outcome::Unknown(cause) => Some(cause),
        Outcome::Committed if failpoint::lost_reply("load.commit") => {
            Some(Error::unavailable("the reply was lost on purpose"))
        }
        Outcome::Committed => None,
    }
}

async fn wait_for_lock(load: &mut dyn Load, progress: &Progress, stop: &Stop) -> Result<()> {
    let mut said = false;
    while !load.try_lock().await? {
        stop.check()?;
        if !said {
            progress.note("another load is running; waiting for it");
            said = true;
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
    Ok(())
}

/// Finds out over a new connection whether the load `id` is in. The lock tells that its transaction is
/// over; only then is the ledger's answer final.
async fn settle(warehouse: &mut dyn Warehouse, id: &str, cause: Error, progress: &Progress, stop: &Stop) -> Result<()> {
    progress.note("the reply to the commit was lost; asking the ledger");
    match is_in(warehouse, id, stop).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::unavailable("the load was not committed: the connection ended first")
            .hint("run again")
            .caused_by(cause)),
        Err(error) => Err(unknown(error)),
    }
}

async fn is_in(warehouse: &mut dyn Warehouse, id: &str, stop: &Stop) -> Result<bool> {
    warehouse.reconnect().await?;
    let mut load = warehouse.begin().await?;
    let mut tries = 0;
    while !load.try_lock().await? {
        stop.check()?;
        tries += 1;
        if tries == SETTLE_TRIES {
            return Err(Error::unavailable("the transaction of the load does not end"));
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
    Ok(load.ledger().await?.iter().any(|entry| entry.load_id == id))
}

/// Whatever kept us from the ledger, what counts is that the load may be in.
fn unknown(cause: Error) -> Error {
    let kind = match cause.kind() {
        interrupted @ Kind::Interrupted(_) => interrupted,
        _ => Kind::Unavailable,
    };
    Error::new(kind, "the reply to the commit was lost, and whether the load is in could not be found out")
        .hint("run again: it finds what is in and loads the rest")
        .caused_by(cause)
}

/// The newest run: its Gold tables at its versions, as the warehouse should hold them.
struct Run {
    number: u64,
    lake_id: String,
    tables: BTreeMap<TableName, Table>,
    targets: BTreeMap<TableName, Target>,
}

impl Run {
    async fn open(project: &Project, lake: &Lake) -> Result<Run> {
        let Some(manifest) = manifest::latest(lake).await? else {
            return Err(Error::config("there is no run to load: no promote has finished yet")
                .hint("run `lake promote all` first"));
        };
        let mut tables = BTreeMap::new();
        for (name, made) in &manifest.tables {
            let name = TableName::parse(name)?;
            if name.layer() != Layer::Gold {
                continue;
            }
            let table = lake.table(&name).await?.ok_or_else(|| {
                Error::input(format!("run {} names `{name}`, which is not in the lake", manifest.run))
                    .hint("run `lake promote all` to make it again")
            })?;
            tables.insert(name, table.at(made.version).await?);
        }
        let schemas = tables.iter().map(|(name, table)| (name.clone(), table.schema().as_ref().clone())).collect();
        let targets = contract::targets(project, &schemas);
        for target in targets.values() {
            target.check()?;
        }
        Ok(Run { number: manifest.run, lake_id: lake_id(lake).await?, tables, targets })
    }
}

/// What this lake's loads put into the warehouse's schema, as the ledger says. A database may be shared by
/// several projects: the whole ledger speaks of the others, too.
pub async fn loaded(lake: &Lake, warehouse: &mut dyn Warehouse) -> Result<Vec<Entry>> {
    let Some(id) = known_lake_id(lake).await? else { return Ok(Vec::new()) };
    let mut entries = warehouse.ledger().await?;
    entries.retain(|entry| entry.name_in(warehouse.schema(), &id).is_some());
    Ok(entries)
}

/// The lake's own id ([`Entry::lake_id`]), given to it by its first load; of two first loads at once, one
/// gives it.
async fn lake_id(lake: &Lake) -> Result<String> {
    if let Some(id) = known_lake_id(lake).await? {
        return Ok(id);
    }
    let fresh = uuid::Uuid::new_v4().to_string();
    if lake.put_new(LAKE_ID, Bytes::from(fresh.clone())).await? {
        return Ok(fresh);
    }
    known_lake_id(lake).await?.ok_or_else(|| Error::internal(format!("`{LAKE_ID}` vanished")))
}

/// `None` before the first load.
async fn known_lake_id(lake: &Lake) -> Result<Option<String>> {
    let Some(stored) = lake.get(LAKE_ID).await? else { return Ok(None) };
    String::from_utf8(stored.to_vec()).map(Some).context(Kind::Internal, || format!("read `{LAKE_ID}`"))
}

/// One load, from the lock to the commit.
struct Work<'a> {
    id: &'a str,
    run: &'a Run,
    lake: &'a Lake,
    engine: &'a Engine,
    options: &'a Options,
    progress: &'a Progress,
    stop: &'a Stop,
}

impl Work<'_> {
    /// Changes what differs from the run; false when nothing does.
    async fn bring_up(&self, project: &Project, load: &mut dyn Load) -> Result<(Report, bool)> {
        let ledger: BTreeMap<String, Entry> =
            load.ledger().await?.into_iter().map(|entry| (entry.table.clone(), entry)).collect();
        let schema = load.schema().to_string();
        self.note_orphans(&schema, &ledger);
        let (mut reports, mut entries, mut touched) = (Vec::new(), Vec::new(), Vec::new());
        for name in contract::in_reference_order(&self.run.targets) {
            self.stop.check()?;
            let (table, target) = (&self.run.tables[&name], &self.run.targets[&name]);
            let mut entry = self.entry(&schema, table, target)?;
            let changes = match ledger.get(&entry.table) {
                Some(old) if self.stands(load, old, &entry, target).await? => Err(old.rows),
                old => {
                    self.may_replace(load, &name, old, target).await?;
                    touched.push(target.clone());
                    Ok(self.replace(load, &name, table, target).await?)
                }
            };
            entry.rows = changes.map_or_else(|rows| rows, |changes| changes.rows);
            reports.push(report(&name, &entry, changes.ok()));
            entries.push(entry);
        }
        let scripts = scripts::due(project, load, !touched.is_empty()).await?;
        let other_run = entries.iter().any(|entry| ledger.get(&entry.table).is_none_or(|old| old.run != entry.run));
        let report = Report { tables: reports, run: Some(self.run.number) };
        if touched.is_empty() && scripts.is_empty() && !other_run {
            return Ok((report, false));
        }
        if !touched.is_empty() {
            load.constrain(&touched).await?;
        }
        load.record(&entries).await?;
        for script in scripts {
            load.run_script(&script.path, &script.sql, &script.digest).await?;
        }
        Ok((report, true))
    }

    fn entry(&self, schema: &str, table: &Table, target: &Target) -> Result<Entry> {
        Ok(Entry {
            table: format!("{schema}.{}", target.name),
            lake_id: self.run.lake_id.clone(),
            table_id: table.id().to_string(),
            delta_version: table.version(),
            run: self.run.number,
            schema_hash: target.digest()?,
            load_id: self.id.to_string(),
            ..Entry::default()
        })
    }

    /// True when the warehouse holds this version of this very table by this contract.
    async fn stands(&self, load: &mut dyn Load, old: &Entry, new: &Entry, target: &Target) -> Result<bool> {
        let said = |entry: &Entry| {
            let Entry { lake_id, table_id, delta_version, schema_hash, .. } = entry.clone();
            (lake_id, table_id, delta_version, schema_hash)
        };
        Ok(!self.options.full && said(old) == said(new) && load.standing(target).await? != Standing::Absent)
    }

    /// Refuses to put this lake's rows over rows that came from elsewhere.
    async fn may_replace(
        &self,
        load: &mut dyn Load,
        name: &TableName,
        old: Option<&Entry>,
        target: &Target,
    ) -> Result<()> {
        let whose = match old {
            Some(old) if old.lake_id == self.run.lake_id => return Ok(()),
            Some(_) => "that came from another lake",
            None => "that lake did not load",
        };
        if self.options.full || load.standing(target).await? != Standing::Filled {
            return Ok(());
        }
        Err(Error::config(format!("the warehouse table for `{name}` holds rows {whose}")).hint(format!(
            "set another warehouse.schema, or replace them by those of {} with `lake load-warehouse --full`",
            self.lake.root()
        )))
    }

    async fn replace(&self, load: &mut dyn Load, name: &TableName, table: &Table, target: &Target) -> Result<Changes> {
        let stage = format!("load {name}");
        self.progress.started(&stage, table.rows());
        let rows = self.rows(name, table, target, stage.clone()).await?;
        let changes = load.replace(target, rows).await.map_err(|error| self.stopped_or(error))?;
        let Changes { rows, inserted, updated, deleted } = changes;
        let version = table.version();
        let summary =
            format!("version {version}: {rows} rows ({inserted} inserted, {updated} updated, {deleted} deleted)");
        self.progress.finished(&stage, summary);
        Ok(changes)
    }

    /// A stop that was asked for explains every failure after it.
    fn stopped_or(&self, error: Error) -> Error {
        self.stop.check().err().unwrap_or(error)
    }

    async fn rows(&self, name: &TableName, table: &Table, target: &Target, stage: String) -> Result<Batches> {
        let session = self.engine.session();
        session.register(name, table.provider().await?)?;
        let columns: Vec<String> = target.columns.iter().map(|column| crate::ident::quote(&column.name)).collect();
        let sql = format!("select {} from {}", columns.join(", "), name.quoted());
        let batches = session.stream(&sql).await?;
        let (progress, stop, name) = (self.progress.clone(), self.stop.clone(), name.clone());
        let checked = batches.map(move |batch| {
            stop.check()?;
            let batch = batch.context(Kind::Unavailable, || format!("read `{name}`"))?;
            progress.advanced(&stage, batch.num_rows() as u64, 0);
            failpoint::hit("load.mid_copy");
            Ok(batch)
        });
        Ok(checked.boxed())
    }

    /// Tables of this lake in the schema that the run no longer names.
    fn note_orphans(&self, schema: &str, ledger: &BTreeMap<String, Entry>) {
        for entry in ledger.values() {
            let Some(name) = entry.name_in(schema, &self.run.lake_id) else { continue };
            if !self.run.targets.values().any(|target| target.name == name) {
                let note = format!("`{}` is no longer made by any model; its warehouse table stays", entry.table);
                self.progress.note(note);
            }
        }
    }
}

fn report(name: &TableName, entry: &Entry, changes: Option<Changes>) -> TableReport {
    let status = if changes.is_some() { Status::Loaded } else { Status::Unchanged };
    let Changes { inserted, updated, deleted, .. } = changes.unwrap_or_default();
    let (version, rows) = (entry.delta_version, entry.rows);
    TableReport { table: name.to_string(), version, rows, inserted, updated, deleted, status }
}

#[cfg(test)]
mod tests;
