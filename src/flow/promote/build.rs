//! One model becomes one commit: plan, stage, test, commit.

use super::Run;
use super::candidate::Candidate;
use super::contract::{self, Layout};
use super::culprit;
use super::plan::{Build, Step, app, build_of};
use super::sieve::{self, Rejects, Sieve};
use crate::engine::{self, Session};
use crate::error::{Context, Error, Kind, Result};
use crate::failpoint;
use crate::flow::catalog;
use crate::flow::checks::{self, Bench, TestReport, TestStatus};
use crate::ident::TableName;
use crate::model::{Model, rejected_of};
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
        /// Rows that its tests took out.
        rejected: u64,
    },
    /// Names of the tests that kept it from being published.
    Rejected(Vec<String>),
}

impl<'a> Run<'a> {
    pub(super) async fn build(&mut self, step: &Step<'_>) -> Result<Outcome> {
        let model = step.model;
        let name = model.table.to_string();
        let adds = step.adds;
        let session = self.session_for(model, adds).await?;
        let layout = self.stop.before(plan_query(&session, model, adds)).await?;
        let mut table = match self.pins.get(&model.table) {
            Some(table) => table.clone(),
            None => self.lake.create(&model.table, layout.schema.clone(), &[]).await?,
        };
        if adds {
            fits(&layout, &table, model)?;
        }
        self.progress.started(&name, None);
        let Made { staged, rejects } = self.stage(&session, step, &layout, &table).await?;
        let rows = staged.rows;
        let candidate = Candidate { staged: &staged, table: &table, mode: mode(adds) };
        let tested = self.test(step, Some(candidate), rejects.as_ref().map(|rejects| &rejects.by_test)).await;
        let tests = match tested {
            Ok((tests, failed)) if failed.is_empty() => tests,
            not_published => {
                staged.discard().await;
                if let Some(rejects) = rejects {
                    rejects.discard().await;
                }
                let (_, failed) = not_published?;
                self.progress.finished(&name, format!("{rows} rows, not published"));
                return Ok(Outcome::Rejected(failed));
            }
        };
        let rejected = rejects.as_ref().map_or(0, |rejects| rejects.rows);
        let version = self.commit(step, &mut table, Made { staged, rejects }, tests).await?;
        self.pins.insert(model.table.clone(), table);
        let aside = if rejected > 0 { format!(", {rejected} set aside") } else { String::new() };
        self.progress.finished(&name, format!("{rows} rows{aside}"));
        Ok(Outcome::Published { version, rows, rejected })
    }

    /// A session with what the model reads, itself included when rows are added to it.
    async fn session_for(&self, model: &Model, adds: bool) -> Result<Session> {
        let session = self.engine.session();
        let itself = adds.then_some(&model.table);
        let compared: BTreeSet<TableName> =
            sieve::quarantining(model, &self.pins).iter().flat_map(|check| check.tables()).collect();
        let compared = compared.iter().filter(|table| **table != model.table && !model.upstream.contains(table));
        for name in model.upstream.iter().chain(itself).chain(compared) {
            if let Some(table) = self.pins.get(name) {
                catalog::register(&session, table).await?;
            }
        }
        Ok(session)
    }

    /// Writes the query's rows into files nobody sees yet.
    async fn stage(&self, session: &Session, step: &Step<'_>, layout: &Layout, table: &Table) -> Result<Made> {
        let (model, adds) = (step.model, step.adds);
        let mut sieve = Sieve::new(self.lake, &model.table, sieve::quarantining(model, &self.pins), &layout.schema)?;
        let mut stage = table.stage(layout.schema.clone()).await?;
        let written = self.write(session, model, adds, layout, &mut stage, &mut sieve).await;
        let staged = match written {
            Ok(()) => stage.finish().await?,
            Err(error) => {
                stage.abort().await;
                if let Some(sieve) = sieve {
                    sieve.abort().await;
                }
                return Err(error);
            }
        };
        let Some(sieve) = sieve else { return Ok(Made { staged, rejects: None }) };
        let noted = if adds { build_of(table).await?.rejected } else { None };
        match sieve.finish(staged.rows, adds, noted).await {
            Ok(rejects) => Ok(Made { staged, rejects: Some(rejects) }),
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
        adds: bool,
        layout: &Layout,
        stage: &mut Stage,
        sieve: &mut Option<Sieve<'_>>,
    ) -> Result<()> {
        let attempt = || format!("build `{}` from {}", model.table, model.file.display());
        let statement = model.statement(adds);
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
        tests: Map<String, Value>,
    ) -> Result<i64> {
        let Made { staged, rejects } = made;
        let mut txns = Vec::new();
        let mut build = Build { hashes: step.hashes.clone(), ..Build::default() };
        for upstream in &step.model.upstream {
            let Some(pinned) = self.pins.get(upstream) else { continue };
            build.reads(pinned);
            let app = app(upstream);
            let expected = table.txn(&app).await?;
            txns.push(Txn { app, expected, next: pinned.version() });
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
        let info = build.into_info(staged.rows, tests);
        let mode = mode(step.adds);
        failpoint::hit("promote.before_commit");
        let committed = table.commit(Commit { mode, staged, txns, info }, "promote.commit").await?;
        failpoint::hit("promote.after_commit");
        match committed {
            Committed::Done { version } => Ok(version),
            Committed::Fenced { .. } | Committed::Reshaped => {
                Err(Error::conflict(format!("another promote published `{}` first", step.model.table))
                    .hint("run again: what it published counts"))
            }
        }
    }
}

/// Files that nobody sees yet.
struct Made {
    staged: Staged,
    /// None when no test takes rows out of the model.
    rejects: Option<Rejects>,
}

fn mode(adds: bool) -> Mode {
    if adds { Mode::Append } else { Mode::Replace }
}

/// Plans the statement; what is wrong with it is shown in the model's file.
pub(in crate::flow) async fn plan_query(session: &Session, model: &Model, adds: bool) -> Result<Layout> {
    match session.schema_of(model.statement(adds)).await {
        Ok(planned) => contract::layout(model, &planned),
        Err(error) => match engine::fault_of(&error) {
            Some(fault) => Err(Error::config(model.fault(fault, adds).to_string())),
            None => Err(error),
        },
    }
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
