//! Brings the warehouse up to a run, within the load's transaction: which tables are due, their rows,
//! keys and ledger rows, then the scripts.

use super::super::{Progress, Stop};
use super::run::Run;
use super::{Options, Report, Status, TableReport, contract, scripts};
use crate::engine::{self, Engine};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::ident::{TableName, quote};
use crate::model::Project;
use crate::table::{Lake, Table};
use crate::warehouse::{Batches, Changes, Entry, Load, Standing, Target};
use futures::StreamExt;
use std::collections::BTreeMap;

/// One load, from the lock to the commit.
pub struct Refresh<'a> {
    pub id: &'a str,
    pub run: &'a Run,
    pub lake: &'a Lake,
    pub engine: &'a Engine,
    pub options: &'a Options,
    pub progress: &'a Progress,
    pub stop: &'a Stop,
}

impl Refresh<'_> {
    /// Changes what differs from the run; false when nothing does.
    pub async fn bring_up(&self, project: &Project, load: &mut dyn Load) -> Result<(Report, bool)> {
        let ledger: BTreeMap<String, Entry> =
            load.ledger().await?.into_iter().map(|entry| (entry.table.clone(), entry)).collect();
        let schema = load.schema().to_string();
        self.note_orphans(&schema, &ledger);
        let due = self.due(load, &schema, &ledger).await?;
        load.prepare(&due).await?;
        let (mut reports, mut entries) = (Vec::new(), Vec::new());
        for name in contract::in_reference_order(&self.run.targets) {
            self.stop.check()?;
            let (table, target) = (&self.run.tables[&name], &self.run.targets[&name]);
            let mut entry = self.entry(&schema, table, target)?;
            let mut changes = None;
            if due.contains(target) {
                changes = Some(self.replace(load, &name, table, target).await?);
            }
            let before = ledger.get(&entry.table).map_or(0, |old| old.rows);
            entry.rows = changes.map_or(before, |changes| changes.rows);
            reports.push(report(&name, &entry, changes));
            entries.push(entry);
        }
        let scripts = scripts::due(project, load, !due.is_empty()).await?;
        let other_run = entries.iter().any(|entry| ledger.get(&entry.table).is_none_or(|old| old.run != entry.run));
        let report = Report { tables: reports, run: Some(self.run.number) };
        if due.is_empty() && scripts.is_empty() && !other_run {
            return Ok((report, false));
        }
        if !due.is_empty() {
            load.constrain(&due).await?;
        }
        load.record(&entries).await?;
        for script in scripts {
            load.run_script(&script.path, &script.sql, &script.digest).await?;
        }
        Ok((report, true))
    }

    /// The tables that have to change, those that others refer to first.
    async fn due(&self, load: &mut dyn Load, schema: &str, ledger: &BTreeMap<String, Entry>) -> Result<Vec<Target>> {
        let mut due = Vec::new();
        for name in contract::in_reference_order(&self.run.targets) {
            let target = &self.run.targets[&name];
            let entry = self.entry(schema, &self.run.tables[&name], target)?;
            let old = ledger.get(&entry.table);
            if let Some(old) = old
                && self.stands(load, old, &entry, target).await?
            {
                continue;
            }
            self.may_replace(load, &name, old, target).await?;
            due.push(target.clone());
        }
        Ok(due)
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
            columns: target.columns.iter().map(|column| column.name.clone()).collect(),
            ..Entry::default()
        })
    }

    /// True when the warehouse holds this version of this very table by this contract.
    async fn stands(&self, load: &mut dyn Load, old: &Entry, new: &Entry, target: &Target) -> Result<bool> {
        let said = |entry: &Entry| {
            let Entry { lake_id, table_id, delta_version, schema_hash, columns, .. } = entry.clone();
            (lake_id, table_id, delta_version, schema_hash, columns)
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
        let columns: Vec<String> = target.columns.iter().map(|column| quote(&column.name)).collect();
        let sql = format!("select {} from {}", columns.join(", "), name.quoted());
        let batches = session.stream(&sql).await?;
        let (progress, stop, name) = (self.progress.clone(), self.stop.clone(), name.clone());
        let checked = batches.map(move |batch| {
            stop.check()?;
            let batch = batch.map_err(|error| engine::failed(error, format!("read `{name}`")))?;
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
