//! One model becomes one commit: plan, stage, test, commit.

use super::Run;
use super::contract::{self, Layout};
use super::culprit;
use super::plan::{Build, Step, app};
use crate::engine::{self, Session};
use crate::error::{Context, Error, Kind, Result};
use crate::failpoint;
use crate::flow::catalog;
use crate::flow::checks::{self, TestReport, TestStatus};
use crate::ident::TableName;
use crate::model::Model;
use crate::table::{Commit, Committed, Mode, Staged, Table, Txn};
use futures::StreamExt;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// How a build ended when nothing broke.
pub(super) enum Outcome {
    /// Nothing to build, and nothing wrong with what stands.
    UpToDate,
    Published {
        version: i64,
        rows: u64,
    },
    /// Names of the tests that kept it from being published.
    Rejected(Vec<String>),
}

impl Run<'_> {
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
        let staged = self.stage(&session, model, adds, &layout, &table).await?;
        let rows = staged.rows;
        let candidate = Candidate { staged: &staged, standing: adds.then_some(&table) };
        let (tests, failed) = match self.test(step, Some(candidate)).await {
            Ok(tested) => tested,
            Err(error) => {
                staged.discard().await;
                return Err(error);
            }
        };
        if !failed.is_empty() {
            staged.discard().await;
            self.progress.finished(&name, format!("{rows} rows, not published"));
            return Ok(Outcome::Rejected(failed));
        }
        let version = self.commit(step, &mut table, staged, adds, tests).await?;
        self.pins.insert(model.table.clone(), table);
        self.progress.finished(&name, format!("{rows} rows"));
        Ok(Outcome::Published { version, rows })
    }

    /// A session with what the model reads, itself included when rows are added to it.
    async fn session_for(&self, model: &Model, adds: bool) -> Result<Session> {
        let session = self.engine.session();
        let itself = adds.then_some(&model.table);
        for name in model.upstream.iter().chain(itself) {
            if let Some(table) = self.pins.get(name) {
                catalog::register(&session, table).await?;
            }
        }
        Ok(session)
    }

    /// Writes the query's rows into files nobody sees yet.
    async fn stage(
        &self,
        session: &Session,
        model: &Model,
        adds: bool,
        layout: &Layout,
        table: &Table,
    ) -> Result<Staged> {
        let attempt = || format!("build `{}` from {}", model.table, model.file.display());
        let statement = model.statement(adds);
        let explained = |failed| {
            let columns = layout.schema.fields().iter().map(|field| field.name().as_str());
            culprit::named(failed, session, statement, columns, self.stop)
        };
        let mut rows = match self.stop.before(session.stream(statement)).await {
            Err(error) if error.kind() == Kind::Input => {
                return Err(explained(Error::input(attempt()).caused_by(error)).await);
            }
            rows => rows?,
        };
        let mut stage = table.stage(layout.schema.clone()).await?;
        let name = model.table.to_string();
        let failure = loop {
            // A query may run for long before its first row, or for ever.
            let next = tokio::select! {
                next = rows.next() => next,
                interrupted = self.stop.asked() => break interrupted,
            };
            let batch = match next {
                None => return stage.finish().await,
                Some(Err(error)) => break explained(engine::failed(error, attempt())).await,
                Some(Ok(batch)) => batch,
            };
            let arranged = match layout.is_as_planned() {
                true => Ok(batch),
                false => batch.project(&layout.positions).context(Kind::Internal, attempt),
            };
            let arranged = match arranged {
                Ok(batch) => batch,
                Err(error) => break error,
            };
            let count = arranged.num_rows() as u64;
            if let Err(error) = stage.write(arranged).await {
                break error;
            }
            self.progress.advanced(&name, count, 0);
        };
        stage.abort().await;
        Err(failure)
    }

    /// Tests a model that is up to date but in no manifest, as it stands. Returns the names of the failed.
    pub(super) async fn test_again(&mut self, step: &Step<'_>) -> Result<Vec<String>> {
        self.test(step, None).await.map(|(_, failed)| failed)
    }

    /// Runs every check that guards this model, on the candidate if there is one, all other tables as pinned.
    /// Returns the statuses for the commit's record and the names of the failed.
    async fn test(
        &mut self,
        step: &Step<'_>,
        candidate: Option<Candidate<'_>>,
    ) -> Result<(Map<String, Value>, Vec<String>)> {
        let session = self.engine.session();
        let replaced = candidate.as_ref().map(|_| &step.model.table);
        let tables: BTreeSet<TableName> = step.guards.iter().flat_map(|check| check.tables()).collect();
        let others = tables.iter().filter(|table| Some(*table) != replaced);
        for table in others.filter_map(|table| self.pins.get(table)) {
            catalog::register(&session, table).await?;
        }
        if let Some(candidate) = &candidate {
            candidate.register(&session, &step.model.table).await?;
        }
        let mut statuses = Map::new();
        for check in &step.guards {
            self.stop.check()?;
            let tables = check.tables();
            let others = tables.iter().filter(|table| Some(*table) != replaced);
            let report = match checks::missing(others, &self.pins) {
                Some(why) => TestReport::skipped(check, why),
                None => self.stop.before(checks::run(&session, self.project, check, self.root)).await?,
            };
            if let (TestStatus::Warn, Some(message)) = (report.status, &report.message) {
                self.progress.note(format!("test `{}` warns: {message}", report.name));
            }
            statuses.insert(report.name.clone(), serde_json::to_value(report.status).unwrap_or_default());
            self.report.tests.push(report);
        }
        let names: Vec<String> = step.guards.iter().map(|check| check.name.clone()).collect();
        Ok((statuses, self.tests_of_status(TestStatus::Fail, &names)))
    }

    async fn commit(
        &mut self,
        step: &Step<'_>,
        table: &mut Table,
        staged: Staged,
        adds: bool,
        tests: Map<String, Value>,
    ) -> Result<i64> {
        let mut txns = Vec::new();
        let mut build = Build { hashes: step.hashes.clone(), ..Build::default() };
        for upstream in &step.model.upstream {
            let Some(pinned) = self.pins.get(upstream) else { continue };
            build.reads(pinned);
            let app = app(upstream);
            let expected = table.txn(&app).await?;
            txns.push(Txn { app, expected, next: pinned.version() });
        }
        let info = build.into_info(staged.rows, tests);
        let mode = if adds { Mode::Append } else { Mode::Replace };
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

/// Rows about to be committed; for an append beside those that stand.
struct Candidate<'a> {
    staged: &'a Staged,
    standing: Option<&'a Table>,
}

impl Candidate<'_> {
    /// Makes the table visible as the commit would leave it.
    async fn register(&self, session: &Session, model: &TableName) -> Result<()> {
        let Some(standing) = self.standing else {
            return session.register(model, self.staged.provider().await?);
        };
        session.register_unqualified("standing_rows", standing.provider().await?)?;
        session.register_unqualified("added_rows", self.staged.provider().await?)?;
        let columns = |schema: &arrow::datatypes::Schema, all: &arrow::datatypes::Schema| {
            let column = |name: &String| match schema.column_with_name(name) {
                Some(_) => crate::ident::quote(name),
                None => format!("null as {}", crate::ident::quote(name)),
            };
            all.fields().iter().map(|field| column(field.name())).collect::<Vec<_>>().join(", ")
        };
        let (old, new) = (standing.schema(), self.staged.schema());
        let both = format!(
            "select {} from standing_rows union all select {} from added_rows",
            columns(&old, &new),
            columns(&new, &new)
        );
        session.register_view(model, &both).await
    }
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
