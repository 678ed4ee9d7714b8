//! Brings the warehouse up to a run, within the load's transaction: which tables are due, their rows, keys and ledger
//! rows, then the scripts. Rows of tables that hold some are taken in beside them, all before the first of these tables
//! changes; only where the changes of a table do not lead to what the lake has, all its rows follow.

use super::super::{Progress, Stop};
use super::rows::Source;
use super::run::Run;
use super::work::{Case, Task, Work, commit_id};
use super::{Options, Report, Status, TableReport, contract, scripts};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::model::Project;
use crate::table::{Lake, Table};
use crate::warehouse::{Changes, Entry, Extent, Load, Target};
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
        let mut tasks = self.tasks(load).await?;
        let due: Vec<Target> =
            tasks.iter().filter(|task| task.work.touches()).map(|task| self.target(task).clone()).collect();
        load.prepare(&due).await?;
        let scripts = scripts::due(project, load, !due.is_empty()).await?;
        let moved = tasks.iter().any(|task| {
            let now = (task.entry.run, task.entry.delta_version);
            task.before.as_ref().map(|before| (before.run, before.delta_version)) != Some(now)
        });
        if self.options.dry_run || (due.is_empty() && scripts.is_empty() && !moved) {
            return Ok((self.report(&tasks, &[]), false));
        }
        let changes = self.carry_out(load, &mut tasks).await?;
        if !due.is_empty() {
            load.constrain(&due).await?;
        }
        let entries: Vec<Entry> = tasks.iter().map(|task| task.entry.clone()).collect();
        load.record(&entries).await?;
        for script in scripts {
            load.run_script(&script.path, &script.sql, &script.digest).await?;
        }
        Ok((self.report(&tasks, &changes), true))
    }

    /// One task for each table of the run, those that others refer to first.
    async fn tasks(&self, load: &mut dyn Load) -> Result<Vec<Task>> {
        let mut ledger: BTreeMap<String, Entry> =
            load.ledger().await?.into_iter().map(|entry| (entry.table.clone(), entry)).collect();
        let schema = load.schema().to_string();
        self.note_orphans(&schema, &ledger);
        let mut tasks = Vec::new();
        for name in contract::in_reference_order(&self.run.targets) {
            let (table, target) = (&self.run.tables[&name], &self.run.targets[&name]);
            let mut entry = self.entry(&schema, table, target).await?;
            let before = ledger.remove(&entry.table);
            let (full, root) = (self.options.full, self.lake.root());
            let case = Case { table, target, entry: &entry, before: before.as_ref(), full, root };
            let work = case.decide(load).await?;
            entry.rows = before.as_ref().map_or(0, |before| before.rows);
            tasks.push(Task { name, entry, before, work });
        }
        Ok(tasks)
    }

    async fn entry(&self, schema: &str, table: &Table, target: &Target) -> Result<Entry> {
        Ok(Entry {
            table: format!("{schema}.{}", target.name),
            lake_id: self.run.lake_id.clone(),
            table_id: table.id().to_string(),
            delta_version: table.version(),
            commit_id: commit_id(table, table.version()).await?,
            run: self.run.number,
            schema_hash: target.digest()?,
            load_id: self.id.to_string(),
            columns: target.columns.iter().map(|column| column.name.clone()).collect(),
            declared: Some(target.declared()),
            ..Entry::default()
        })
    }

    /// Stages the rows of every due table, then merges them. Notes in the tasks how many rows the tables hold now.
    async fn carry_out(&self, load: &mut dyn Load, tasks: &mut [Task]) -> Result<Vec<Changes>> {
        for task in tasks.iter_mut().filter(|task| task.work.touches()) {
            self.stage(load, task).await?;
        }
        self.stop.check()?;
        let mut changes = load.merge().await.map_err(|error| self.stopped_or(error))?;
        for (task, changes) in tasks.iter_mut().filter(|task| task.work.touches()).zip(&mut changes) {
            if !self.agrees(task, changes) {
                task.work = Work::All("rows were changed in the warehouse since the last load".into());
                self.stage(load, task).await?;
                *changes = load.merge().await?.first().copied().unwrap_or_default();
            }
            task.entry.rows = held(task, changes);
            let Changes { inserted, updated, deleted, .. } = changes;
            let (version, rows) = (task.entry.delta_version, task.entry.rows);
            let summary = format!(
                "version {version} ({}): {rows} rows ({inserted} inserted, {updated} updated, {deleted} deleted)",
                task.work
            );
            self.progress.finished(&format!("load {}", task.name), summary);
        }
        Ok(changes)
    }

    /// Takes in the rows of a table; notes in its task when it takes all of them instead of those that changed.
    async fn stage(&self, load: &mut dyn Load, task: &mut Task) -> Result<()> {
        self.stop.check()?;
        let (table, target, stage) = (&self.run.tables[&task.name], self.target(task), format!("load {}", task.name));
        let Refresh { engine, progress, stop, .. } = *self;
        let source = Source { engine, table, target, stage: &stage, progress, stop };
        if let Work::Changes { added, removed, .. } = &task.work {
            progress.started(&stage, None);
            let changes = source.changes(added, removed).await.map_err(|error| self.stopped_or(error))?;
            if let Some(rows) = changes {
                return load.stage(target, Extent::Changes, &rows).await.map_err(|error| self.stopped_or(error));
            }
            task.work = Work::All("a large part of its rows differs".into());
        }
        progress.started(&stage, table.rows());
        let rows = source.all().await?;
        load.stage(target, Extent::All, &rows).await.map_err(|error| self.stopped_or(error))
    }

    /// False when the rows that came and left do not lead to as many rows as the table has in the lake.
    fn agrees(&self, task: &Task, changes: &Changes) -> bool {
        let expected = self.run.tables[&task.name].rows();
        !matches!(task.work, Work::Changes { .. }) || expected.is_none_or(|rows| rows == held(task, changes))
    }

    /// A stop that was asked for explains every failure after it.
    fn stopped_or(&self, error: Error) -> Error {
        self.stop.check().err().unwrap_or(error)
    }

    fn target(&self, task: &Task) -> &Target {
        &self.run.targets[&task.name]
    }

    /// `changes` are those of the tasks that touch their tables.
    fn report(&self, tasks: &[Task], changes: &[Changes]) -> Report {
        let mut changes = changes.iter();
        let tables = tasks.iter().map(|task| {
            let status = match task.work.touches() {
                true if self.options.dry_run => Status::Due,
                true => Status::Loaded,
                false => Status::Unchanged,
            };
            let Changes { inserted, updated, deleted, .. } =
                if task.work.touches() { changes.next().copied().unwrap_or_default() } else { Changes::default() };
            let (table, version, rows) = (task.name.to_string(), task.entry.delta_version, task.entry.rows);
            TableReport { table, version, rows, inserted, updated, deleted, status, how: task.work.to_string() }
        });
        Report { tables: tables.collect(), run: Some(self.run.number) }
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

/// Rows of the warehouse's table after these changes.
fn held(task: &Task, changes: &Changes) -> u64 {
    match task.work {
        Work::Changes { .. } => (task.entry.rows + changes.inserted).saturating_sub(changes.deleted),
        _ => changes.rows,
    }
}
