//! The turn of one model: what it sees, and what becomes of it.
//!
//! Other models may have theirs at the same time. None sees another's work before that has ended, for a turn has its own
//! versions of the tables it reads; see `order`.

use super::plan::{Action, Step};
use super::{Effort, ModelReport, ModelStatus};
use crate::check::OnFailure;
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::flow::catalog::Pins;
use crate::flow::checks::{Bench, Known, TestReport, TestStatus};
use crate::flow::unit::{self, UnitReport};
use crate::flow::{Progress, Stop};
use crate::ident::TableName;
use crate::model::{Project, UnitTest};
use crate::table::{Lake, Table};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

pub(super) struct Turn<'a> {
    pub root: &'a Path,
    pub project: &'a Project,
    pub lake: &'a Lake,
    pub engine: &'a Engine,
    pub progress: &'a Progress,
    pub stop: &'a Stop,
    /// The tables it is about, each at the version it uses; its own moves on when it is built.
    pub pins: Pins,
    /// How its tests ended.
    pub tests: Vec<TestReport>,
    pub unit_tests: Vec<UnitReport>,
}

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

/// How a turn ended.
pub(super) struct Ended {
    /// None when it was interrupted.
    pub report: Option<ModelReport>,
    pub tests: Vec<TestReport>,
    pub unit_tests: Vec<UnitReport>,
    /// The model's table at its new version; none when it was not built.
    pub table: Option<Table>,
    /// Why it was not built, other than a failed test.
    pub error: Option<Error>,
}

/// All tables but its own that the turn of a model is about: what it reads, and what its tests read.
pub(super) fn reads(step: &Step<'_>) -> BTreeSet<TableName> {
    let aside = step.model.checks.iter().filter(|check| check.options.on_failure == OnFailure::Quarantine);
    let tested = step.guards.iter().copied().chain(aside).flat_map(|check| check.tables());
    step.model.upstream.iter().cloned().chain(tested).filter(|table| *table != step.model.table).collect()
}

impl<'a> Turn<'a> {
    /// `version`: of the model's published table, if there is one.
    pub async fn take(mut self, step: &Step<'_>, version: Option<i64>) -> Ended {
        let started = Instant::now();
        if let Some(warning) = &step.warning {
            self.progress.note(warning);
        }
        let outcome = match &step.action {
            Action::Skip(_) => self.test_again(step).await.map(|failed| match failed.is_empty() {
                true => Outcome::UpToDate,
                false => Outcome::Rejected(failed),
            }),
            Action::Build(_) => match self.pass_unit_tests(&step.model.table).await {
                Ok(()) => self.build(step).await,
                Err(failed) => Err(failed),
            },
        };
        let report = |version, status, reason| ModelReport::new(&step.model.table, status, reason, version);
        let (Action::Skip(reason) | Action::Build(reason)) = &step.action;
        let reason = reason.to_string();
        let mut error = None;
        let ended = match outcome {
            Ok(Outcome::UpToDate) => Some(report(version, ModelStatus::Skipped, reason)),
            Ok(Outcome::Published { version, rows, whole, effort, rejected }) => {
                let reason = whole.map_or(reason.clone(), |why| format!("{reason}; built whole: {why}"));
                let built = report(Some(version), ModelStatus::Built, reason);
                Some(ModelReport { rows, files: effort, rejected, ..built })
            }
            Ok(Outcome::Rejected(tests)) => {
                let reason = format!("not published: {} failed", tests.join(", "));
                Some(report(version, ModelStatus::Failed, reason))
            }
            Err(failed) => {
                let reason = format!("failed: {failed}");
                let interrupted = matches!(failed.kind(), Kind::Interrupted(_));
                error = Some(failed);
                (!interrupted).then(|| report(version, ModelStatus::Failed, reason))
            }
        };
        let ended = ended.map(|report| ModelReport { seconds: started.elapsed().as_secs_f64(), ..report });
        let built = ended.as_ref().is_some_and(|report| report.status == ModelStatus::Built);
        let table = self.pins.remove(&step.model.table).filter(|_| built);
        Ended { report: ended, tests: self.tests, unit_tests: self.unit_tests, table, error }
    }

    async fn pass_unit_tests(&mut self, model: &TableName) -> Result<()> {
        let holds = |test: &UnitTest| test.model == *model || self.project.held_by(test) == Some(model);
        self.unit_tests = unit::run(self.project, self.engine, holds, self.stop).await?;
        unit::failure(&self.unit_tests).map_or(Ok(()), Err)
    }

    /// Where its tests are run; no table is there yet.
    pub fn bench(&self) -> Bench<'a> {
        Bench { project: self.project, root: self.root, session: self.engine.session(), known: Known::default() }
    }

    pub fn note_warning(&self, test: &TestReport) {
        if let (TestStatus::Warn, Some(message)) = (test.status, &test.message) {
            self.progress.note(format!("test `{}` warns: {message}", test.name));
        }
    }

    pub fn tests_of_status(&self, status: TestStatus, names: &[String]) -> Vec<String> {
        let tests = self.tests.iter().filter(|test| test.status == status && names.contains(&test.name));
        tests.map(|test| format!("`{}`", test.name)).collect()
    }
}
