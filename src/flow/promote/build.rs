//! One model becomes one commit: plan, stage, merge, test, commit.

use super::Run;
use super::candidate::Candidate;
use super::contract::{self, Layout};
use super::culprit;
use super::increment::{self, Reach, Work};
use super::keys::Keys;
use super::merge::{Effort, Merged, merge};
use super::plan::{Build, Step, app, build_of};
use super::sieve::{Rejects, Sieve, quarantining};
use super::{snapshot, unique};
use crate::engine::{self, Session};
use crate::error::{Context, Error, Kind, Result};
use crate::failpoint;
use crate::flow::catalog;
use crate::flow::checks::{self, Bench, TestReport, TestStatus};
use crate::ident::TableName;
use crate::model::{Materialization, Model, rejected_of};
use crate::table::{Commit, Committed, Mode, Stage, Staged, Table, Txn};
use futures::StreamExt;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// How a build ended when nothing broke.
pub(super) enum Outcome {
    /// Nothing to build, and nothing wrong with what stands.
    UpToDate,
    Published {
        version: i64,
        rows: u64,
        /// Why all rows were built where only new ones were to be.
        whole: Option<String>,
        effort: Option<Effort>,
        /// Rows that its tests took out.
        rejected: u64,
    },
    /// Names of the tests that kept it from being published.
    Rejected(Vec<String>),
}

/// What is run, and the columns it returns.
pub(in crate::flow) struct Query {
    pub sql: String,
    pub layout: Layout,
}

/// What is about to be committed.
struct Made {
    staged: Staged,
    mode: Mode,
    /// Rows that came.
    rows: u64,
    /// Of the files that stood, when rows were merged into them.
    effort: Option<Effort>,
    /// None when no test takes rows out of the model.
    rejects: Option<Rejects>,
}

impl Made {
    async fn discard(self) {
        discard(self.staged, self.rejects).await;
    }
}

async fn discard(staged: Staged, rejects: Option<Rejects>) {
    staged.discard().await;
    if let Some(rejects) = rejects {
        rejects.discard().await;
    }
}

impl<'a> Run<'a> {
    pub(super) async fn build(&mut self, step: &Step<'_>) -> Result<Outcome> {
        let name = step.model.table.to_string();
        let (query, mut table, work) = self.stop.before(self.prepare(step)).await?;
        self.progress.started(&name, None);
        let made = self.make(step, &query, &table, &work).await?;
        let (rows, effort, whole) = (made.rows, made.effort, work.why_whole());
        let candidate = Candidate { staged: &made.staged, table: &table, mode: made.mode };
        let by_test = made.rejects.as_ref().map(|rejects| &rejects.by_test);
        let tests = match self.test(step, Some(candidate), by_test).await {
            Ok((tests, failed)) if failed.is_empty() => tests,
            not_published => {
                made.discard().await;
                let (_, failed) = not_published?;
                self.progress.finished(&name, format!("{rows} rows, not published"));
                return Ok(Outcome::Rejected(failed));
            }
        };
        let rejected = made.rejects.as_ref().map_or(0, |rejects| rejects.rows);
        let version = self.commit(step, &mut table, made, whole.clone(), tests).await?;
        self.pins.insert(step.model.table.clone(), table);
        let files =
            effort.map(|Effort { rewritten, kept }| format!(", {rewritten} of {} files rewritten", rewritten + kept));
        let aside = if rejected > 0 { format!(", {rejected} set aside") } else { String::new() };
        self.progress.finished(&name, format!("{rows} rows{}{aside}", files.unwrap_or_default()));
        Ok(Outcome::Published { version, rows, whole, effort, rejected })
    }

    /// What is run, for which table, and on what; all found out before a row is read.
    async fn prepare(&self, step: &Step<'_>) -> Result<(Query, Table, Work)> {
        let model = step.model;
        let planning = self.engine.session();
        for name in model.upstream.iter().chain(step.adds.then_some(&model.table)) {
            if let Some(table) = self.pins.get(name) {
                catalog::describe(&planning, table)?;
            }
        }
        let standing = self.pins.get(&model.table);
        let (query, reach) = plan_query(&planning, model, standing.filter(|_| step.adds)).await?;
        let mut work = self.decide(step, reach).await?;
        let table = match standing {
            Some(table) => table.clone(),
            None => self.lake.create(&model.table, query.layout.schema.clone(), &[]).await?,
        };
        if let (false, Err(misfit)) = (matches!(work, Work::Whole(_)), fits(&query.layout, &table, model)) {
            work = match work {
                Work::AsWritten => return Err(misfit),
                _ => Work::Whole(Some(misfit.to_string())),
            };
        }
        if let Work::Whole(Some(why)) = &work {
            self.progress.note(format!("`{}` is built whole: {why}", model.table));
        }
        Ok((query, table, work))
    }

    /// Stages the rows, merged into those that stand where the model says so.
    async fn make(&self, step: &Step<'_>, query: &Query, table: &Table, work: &Work) -> Result<Made> {
        let model = step.model;
        let session = self.stop.before(self.session_for(model, work)).await?;
        self.refuse_nameless(&session, model).await?;
        let mut keys = keys(model, query, work)?;
        let (staged, rejects) = self.stage(&session, step, query, table, work, keys.as_mut()).await?;
        if let Err(error) = unique::prove(self.engine, model, work, &staged, keys.as_ref(), self.stop).await {
            discard(staged, rejects).await;
            return Err(error);
        }
        if let Some(mut keys) = keys {
            failpoint::hit("promote.before_merge");
            let Merged { staged, mode, rows, effort } = merge(table, staged, &mut keys, self.stop).await?;
            return Ok(Made { staged, mode, rows, effort: Some(effort), rejects });
        }
        let mode = if work.adds() { Mode::Append } else { Mode::Replace };
        Ok(Made { rows: staged.rows, staged, mode, effort: None, rejects })
    }

    /// A history has no place for a row without its key or time.
    async fn refuse_nameless(&self, session: &Session, model: &Model) -> Result<()> {
        let Materialization::Snapshot(snapshot) = &model.materialization else { return Ok(()) };
        let nameless = snapshot::nameless_row(snapshot, &model.sql);
        let found = self.stop.before(session.query(&nameless)).await?;
        match found.iter().any(|batch| batch.num_rows() > 0) {
            false => Ok(()),
            true => Err(Error::input(format!("`{}` has a row without its key or without its time", model.table))
                .hint("a snapshot tells rows by `unique_key` and versions by `updated_at`: neither may be NULL")),
        }
    }

    /// Writes the query's rows into files nobody sees yet; beside them those that its tests take out.
    async fn stage(
        &self,
        session: &Session,
        step: &Step<'_>,
        query: &Query,
        table: &Table,
        work: &Work,
        keys: Option<&mut Keys>,
    ) -> Result<(Staged, Option<Rejects>)> {
        let model = step.model;
        let schema = &query.layout.schema;
        let mut sieve = Sieve::new(self.lake, &model.table, quarantining(model, &self.pins), schema)?;
        let mut stage = table.stage(schema.clone()).await?;
        let staged = match self.write(session, model, query, &mut stage, &mut sieve, keys).await {
            Ok(()) => stage.finish().await,
            Err(error) => {
                stage.abort().await;
                Err(error)
            }
        };
        let (staged, sieve) = match (staged, sieve) {
            (Ok(staged), Some(sieve)) => (staged, sieve),
            (Ok(staged), None) => return Ok((staged, None)),
            (Err(error), sieve) => {
                if let Some(sieve) = sieve {
                    sieve.abort().await;
                }
                return Err(error);
            }
        };
        let noted = if work.adds() { build_of(table).await?.rejected } else { None };
        match sieve.finish(staged.rows, work.adds(), noted).await {
            Ok(rejects) => Ok((staged, Some(rejects))),
            Err(error) => {
                staged.discard().await;
                Err(error)
            }
        }
    }

    async fn write(
        &self,
        session: &Session,
        model: &Model,
        query: &Query,
        stage: &mut Stage,
        sieve: &mut Option<Sieve<'_>>,
        mut keys: Option<&mut Keys>,
    ) -> Result<()> {
        let attempt = || format!("build `{}` from {}", model.table, model.file.display());
        let Query { sql: statement, layout } = query;
        let parted = sieve.as_ref().map(|sieve| sieve.statement(statement));
        let explained = |failed| {
            let columns = layout.schema.fields().iter().map(|field| field.name().as_str());
            culprit::named(failed, session, statement, columns, self.stop)
        };
        let mut rows = match self.stop.before(session.stream(parted.as_deref().unwrap_or(statement))).await {
            Err(error) if error.kind() == Kind::Input => {
                return Err(explained(Error::input(attempt()).caused_by(error)).await);
            }
            rows => rows?,
        };
        let name = model.table.to_string();
        loop {
            // A query may run for long before its first row, or for ever.
            let next = tokio::select! {
                next = rows.next() => next,
                interrupted = self.stop.asked() => return Err(interrupted),
            };
            let batch = match next {
                None => return Ok(()),
                Some(Err(error)) => return Err(explained(engine::failed(error, attempt())).await),
                Some(Ok(batch)) => batch,
            };
            let arranged = match sieve {
                Some(sieve) => sieve.part(batch, &layout.positions).await?,
                None if layout.is_as_planned() => batch,
                None => batch.project(&layout.positions).context(Kind::Internal, attempt)?,
            };
            let count = arranged.num_rows() as u64;
            if let Some(keys) = keys.as_mut() {
                keys.came(&arranged)?;
            }
            stage.write(arranged).await?;
            self.progress.advanced(&name, count, 0);
        }
    }

    /// Tests a model that is up to date but in no manifest, as it stands. Returns the names of the failed.
    pub(super) async fn test_again(&mut self, step: &Step<'_>) -> Result<Vec<String>> {
        self.test(step, None, None).await.map(|(_, failed)| failed)
    }

    /// Runs every check that guards this model, on the candidate if there is one, all other tables as pinned.
    /// Returns the statuses for the commit's record and the names of the failed.
    async fn test(
        &mut self,
        step: &Step<'_>,
        candidate: Option<Candidate<'_>>,
        rejected: Option<&BTreeMap<String, u64>>,
    ) -> Result<(Map<String, Value>, Vec<String>)> {
        let replaced = candidate.as_ref().map(|_| &step.model.table);
        let bench = self.bench_for(step, candidate.as_ref()).await?;
        let standing = match &candidate {
            Some(candidate) => candidate.tests_that_stand(step).await?,
            None => BTreeSet::new(),
        };
        let mut statuses = Map::new();
        for check in &step.guards {
            self.stop.check()?;
            let tables = check.tables();
            let others = tables.iter().filter(|table| Some(*table) != replaced);
            let mut report = match checks::missing(others, &self.pins) {
                Some(why) => TestReport::skipped(check, why),
                None => self.stop.before(checks::run(&bench, check, standing.contains(&check.name))).await?,
            };
            if let Some(rows) = rejected.and_then(|rejected| rejected.get(&check.name)) {
                report.set_aside(check, *rows, &rejected_of(&check.table)?);
            }
            self.note_warning(&report);
            statuses.insert(report.name.clone(), serde_json::to_value(report.status).unwrap_or_default());
            self.report.tests.push(report);
        }
        let names: Vec<String> = step.guards.iter().map(|check| check.name.clone()).collect();
        Ok((statuses, self.tests_of_status(TestStatus::Fail, &names)))
    }

    /// The tables that the model's tests read, the candidate in place of its own.
    async fn bench_for(&self, step: &Step<'_>, candidate: Option<&Candidate<'_>>) -> Result<Bench<'a>> {
        let mut bench = self.bench();
        let own = &step.model.table;
        let replaced = candidate.map(|_| own);
        let tables: BTreeSet<TableName> = step.guards.iter().flat_map(|check| check.tables()).collect();
        for table in tables.iter().filter(|table| Some(*table) != replaced).filter_map(|table| self.pins.get(table)) {
            catalog::register(&bench.session, table).await?;
        }
        let provable = checks::provable_tables(&step.guards);
        for table in provable.iter().filter(|table| Some(**table) != replaced).filter_map(|table| self.pins.get(*table))
        {
            bench.known.insert(table.name(), table.schema(), &catalog::facts(table)?);
        }
        if let Some(candidate) = candidate {
            candidate.register(&bench.session, own).await?;
            bench.known.insert(own, candidate.staged.schema(), &candidate.facts()?);
        }
        Ok(bench)
    }

    async fn commit(
        &mut self,
        step: &Step<'_>,
        table: &mut Table,
        made: Made,
        whole: Option<String>,
        tests: Map<String, Value>,
    ) -> Result<i64> {
        let mut txns = Vec::new();
        let mut build = Build { hashes: step.hashes.clone(), whole, ..Build::default() };
        for upstream in &step.model.upstream {
            let Some(pinned) = self.pins.get(upstream) else { continue };
            build.reads(pinned);
            let app = app(upstream);
            let expected = table.txn(&app).await?;
            txns.push(Txn { app, expected, next: pinned.version() });
        }
        let Made { staged, mode, rows, rejects, .. } = made;
        if rejects.is_none() && mode != Mode::Replace {
            // Rows set aside when the model still had such a test stay known.
            build.rejected = build_of(table).await?.rejected;
        }
        if let Some(rejects) = rejects {
            match rejects.commit(&txns, &step.model.table).await {
                Ok(version) => build.rejected = version,
                Err(error) => {
                    staged.discard().await;
                    return Err(error);
                }
            }
            failpoint::hit("promote.after_rejected");
        }
        let info = build.into_info(rows, tests);
        failpoint::hit("promote.before_commit");
        let committed = table.commit(Commit { mode, staged, txns, info }, "promote.commit").await?;
        failpoint::hit("promote.after_commit");
        match committed {
            Committed::Done { version } => Ok(version),
            Committed::Fenced { .. } | Committed::Reshaped | Committed::Outgrown => {
                Err(Error::conflict(format!("another promote published `{}` first", step.model.table))
                    .hint("run again: what it published counts"))
            }
        }
    }
}

/// The keys of a build that merges its rows into those that stand.
fn keys(model: &Model, query: &Query, work: &Work) -> Result<Option<Keys>> {
    let key = match &model.materialization {
        Materialization::Snapshot(_) => vec![snapshot::ID.to_string()],
        Materialization::Incremental(incremental) => incremental.strategy.key().to_vec(),
        Materialization::Table => Vec::new(),
    };
    if key.is_empty() || matches!(work, Work::Whole(_) | Work::New { .. }) {
        return Ok(None);
    }
    let mut keys = Keys::of(&key, &query.layout.schema, matches!(work, Work::Keys { .. }))
        .map_err(|error| Error::config(format!("{}: no merge by its key", model.file.display())).caused_by(error))?;
    if let Work::Keys { keys: touched, .. } = work {
        touched.iter().try_for_each(|touched| keys.touch(touched))?;
    }
    Ok(Some(keys))
}

/// Plans what is run: onto `standing`, or as a whole; and how far an increment of it may reach. The session knows the
/// columns of what the model reads. What is wrong with the statement is shown in the model's file.
pub(in crate::flow) async fn plan_query(
    session: &Session,
    model: &Model,
    standing: Option<&Table>,
) -> Result<(Query, Option<Reach>)> {
    catalog::register_seed(session, model)?;
    let sql = model.statement(standing.is_some());
    let layout = match session.schema_of(sql).await {
        Ok(planned) => contract::layout(model, &planned)?,
        Err(error) => match engine::fault_of(&error) {
            Some(fault) => return Err(Error::config(model.fault(fault, standing.is_some()).to_string())),
            None => return Err(error),
        },
    };
    let reach = increment::reach(session, model, &layout).await?;
    let query = match &model.materialization {
        Materialization::Snapshot(snapshot) => {
            snapshot::query(session, model, snapshot, &layout, standing, chrono::Utc::now()).await?
        }
        _ => Query { sql: sql.to_string(), layout },
    };
    Ok((query, reach))
}

/// Rows can only be added in the table's own columns.
pub(in crate::flow) fn fits(layout: &Layout, table: &Table, model: &Model) -> Result<()> {
    let standing = table.schema();
    let names = |schema: &arrow::datatypes::Schema| -> Vec<String> {
        schema.fields().iter().map(|field| field.name().clone()).collect()
    };
    let missing = names(&standing).into_iter().find(|name| layout.schema.column_with_name(name).is_none());
    let changed = layout.schema.fields().iter().find(|field| {
        standing.column_with_name(field.name()).is_some_and(|(_, old)| old.data_type() != field.data_type())
    });
    let what = match (missing, changed) {
        (None, None) => return Ok(()),
        (Some(name), _) => format!("no longer returns `{name}`"),
        (None, Some(field)) => format!("returns `{}` in another type", field.name()),
    };
    Err(Error::config(format!("{} {what}, so its rows cannot be added to `{}`", model.file.display(), model.table))
        .hint("a full refresh rebuilds the table"))
}
