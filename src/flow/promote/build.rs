//! One model becomes one commit: plan, stage, test, commit.

use super::Run;
use super::contract::{self, Layout};
use super::plan::{Build, Plan, Step, app};
use crate::check::Check;
use crate::engine::{self, Session, sql};
use crate::error::{Context, Error, Kind, Result};
use crate::failpoint;
use crate::flow::catalog;
use crate::flow::checks::{self, TestReport, TestStatus};
use crate::ident::{Layer, TableName};
use crate::model::{Materialization, Model};
use crate::table::{Commit, Committed, Mode, Staged, Table, Txn};
use futures::StreamExt;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// How a build ended when nothing broke.
pub(super) enum Outcome {
    Published {
        version: i64,
        rows: u64,
    },
    /// Names of the tests that kept it from being published.
    Rejected(Vec<String>),
}

impl Run<'_> {
    pub(super) async fn build(&mut self, plan: &Plan<'_>, step: &Step<'_>) -> Result<Outcome> {
        let model = step.model;
        let name = model.table.to_string();
        let adds = model.materialization == Materialization::Append
            && plan.standing.contains_key(&model.table)
            && !step.full_refresh;
        let session = self.session_for(model, adds).await?;
        let layout = plan_query(&session, model, adds).await?;
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
        let verdict = self.test(step, &staged, adds.then_some(&table)).await;
        let (tests, failed) = match verdict {
            Ok(tested) => tested,
            Err(error) => return staged.discard().await.and(Err(error)),
        };
        if !failed.is_empty() {
            staged.discard().await?;
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
        let mut rows = session.stream(model.statement(adds)).await?;
        let mut stage = table.stage(layout.schema.clone()).await?;
        let name = model.table.to_string();
        let failure = loop {
            if let Err(interrupted) = self.stop.check() {
                break interrupted;
            }
            let batch = match rows.next().await {
                None => return stage.finish().await,
                Some(Err(error)) => break engine::failed(error, attempt()),
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
        stage.abort().await?;
        Err(failure)
    }

    /// Runs every check that guards this commit on the staged rows, all other tables as pinned. Returns the
    /// statuses for the commit's record and the names of the failed.
    async fn test(
        &mut self,
        step: &Step<'_>,
        staged: &Staged,
        standing: Option<&Table>,
    ) -> Result<(Map<String, Value>, Vec<String>)> {
        let session = self.engine.session();
        let model = &step.model.table;
        let tables: BTreeSet<TableName> = step.guards.iter().flat_map(|check| check.tables()).collect();
        for table in tables.iter().filter(|table| *table != model).filter_map(|table| self.pins.get(table)) {
            catalog::register(&session, table).await?;
        }
        register_candidate(&session, model, staged, standing).await?;
        let mut statuses = Map::new();
        for check in &step.guards {
            self.stop.check()?;
            let report = match self.missing_table(check, model) {
                Some(missing) => TestReport::skipped(check, format!("`{missing}` does not exist yet")),
                None => checks::run(&session, self.project, check, self.root).await?,
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

    /// A table the check reads that is not there or was never published.
    fn missing_table(&self, check: &Check, model: &TableName) -> Option<TableName> {
        check.tables().into_iter().find(|table| {
            let published =
                self.pins.get(table).is_some_and(|pinned| table.layer() == Layer::Bronze || pinned.version() > 0);
            table != model && !published
        })
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
            build.inputs.insert(upstream.to_string(), pinned.version());
            let app = app(upstream);
            let expected = table.txn(&app).await?;
            txns.push(Txn { app, expected, next: pinned.version() });
        }
        let info = build.into_info(staged.rows, tests);
        let mode = if adds { Mode::Append } else { Mode::Replace };
        failpoint::hit("promote.before_commit");
        let committed = table.commit_at(Commit { mode, staged, txns, info }, "promote.commit").await?;
        failpoint::hit("promote.after_commit");
        match committed {
            Committed::Done { version } => Ok(version),
            Committed::Fenced { .. } => {
                Err(Error::conflict(format!("another promote published `{}` first", step.model.table))
                    .hint("run again: what it published counts"))
            }
        }
    }
}

/// Makes the rows about to be committed visible as the model's table; for an append with those that stand.
async fn register_candidate(
    session: &Session,
    model: &TableName,
    staged: &Staged,
    standing: Option<&Table>,
) -> Result<()> {
    let Some(standing) = standing else {
        return session.register(model, staged.provider().await?);
    };
    session.register_unqualified("standing_rows", standing.provider().await?)?;
    session.register_unqualified("added_rows", staged.provider().await?)?;
    let columns = |schema: &arrow::datatypes::Schema, all: &arrow::datatypes::Schema| {
        let column = |name: &String| match schema.column_with_name(name) {
            Some(_) => crate::ident::quote(name),
            None => format!("null as {}", crate::ident::quote(name)),
        };
        all.fields().iter().map(|field| column(field.name())).collect::<Vec<_>>().join(", ")
    };
    let (old, new) = (standing.schema(), staged.schema());
    let both = format!(
        "select {} from standing_rows union all select {} from added_rows",
        columns(&old, &new),
        columns(&new, &new)
    );
    session.register_view(model, &both).await
}

/// Plans the statement; what is wrong with it is shown in the model's file.
async fn plan_query(session: &Session, model: &Model, adds: bool) -> Result<Layout> {
    match session.schema_of(model.statement(adds)).await {
        Ok(planned) => contract::layout(model, &planned),
        Err(error) => match sql::fault_of(&error) {
            Some(fault) => Err(Error::config(model.fault(fault, adds).to_string())),
            None => Err(error),
        },
    }
}

/// Rows can only be added in the table's own columns.
fn fits(layout: &Layout, table: &Table, model: &Model) -> Result<()> {
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
