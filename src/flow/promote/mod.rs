//! `lake promote`: SQL models become Silver and Gold tables, each in one commit after its tests have passed.
//!
//! The order of things for one model: plan, write files nobody sees, run every test on them, commit or
//! throw them away. A failed test therefore leaves readers on the old version; models built from the failed
//! one are blocked, all others go on. Readers see a run's tables once its manifest names them together, which
//! a run with a failure never gets. All inputs are pinned to one version for the whole run, and what a
//! table was made from is stored in its own commit (`txn` per upstream, hashes in `commitInfo`), so a run
//! with nothing new does nothing.
//!
//! - `plan` says what must be built and which tests guard which commit, `reason` why in words, `hashes` whether a model is
//!   as it was built, `record` what a commit says of its build; `flow::plan` shows it;
//! - `freshness` judges the sources before anything is built;
//! - `build` makes one table: `prepare` finds out what is run and `contract` whether its columns are those declared,
//!   `increment` what it is run on; `stage` writes the rows, of which `sieve` takes some out, and `culprit` says which
//!   column a failed query failed in; `keys` and `merge` bring the rows into those that stand, `unique` proves that a key
//!   came once; `guard` runs the tests on what `candidate` shows them; `snapshot` writes the statement of a history;
//! - `publish` names the tables of a finished run together; `results` writes `target/run_results.json`.

mod build;
mod candidate;
pub(in crate::flow) mod contract;
mod culprit;
mod freshness;
mod guard;
mod hashes;
mod increment;
mod keys;
mod merge;
pub(in crate::flow) mod plan;
pub(in crate::flow) mod prepare;
mod publish;
pub mod reason;
pub(in crate::flow) mod record;
mod results;
mod sieve;
mod snapshot;
mod stage;
#[cfg(test)]
pub(in crate::flow) mod tests;
mod unique;

use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::flow::catalog::Pins;
use crate::flow::checks::{self, Bench, Known, TestReport, TestStatus, Totals};
use crate::flow::{Progress, Stop, dbt_manifest};
use crate::ident::{Layer, TableName};
use crate::model::Project;
use crate::table::Lake;
pub use merge::Effort;
use plan::{Action, Plan};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Silver, Gold or both.
    pub layers: Vec<Layer>,
    /// Patterns of [`crate::flow::select`]; empty for all.
    pub select: Vec<String>,
    /// Of the selected ones not these.
    pub exclude: Vec<String>,
    /// Of the selected ones build these alone; the others stay as they stand. `None` for all.
    pub only: Option<BTreeSet<TableName>>,
    /// Rebuild everything selected from nothing, incremental models too; the histories of snapshots stay.
    pub full_refresh: bool,
    /// What the one selected model makes of the rows that came into its driving table after this version is made anew.
    pub since_version: Option<i64>,
}

/// What a run did. `tests` holds every test of the built models, also the skipped ones.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    pub models: Vec<ModelReport>,
    pub tests: Vec<TestReport>,
    pub evidence: Totals,
    /// Number of the manifest that names this run's tables; none when something failed.
    pub run: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelStatus {
    /// Committed.
    Built,
    /// Nothing changed.
    Skipped,
    /// Stored nowhere: part of what reads it.
    View,
    /// A test or the query failed; readers keep the old version.
    Failed,
    /// A table it reads failed.
    Blocked,
}

#[derive(Debug, Clone, Serialize)]
pub struct ModelReport {
    /// `layer.name`
    pub table: String,
    pub status: ModelStatus,
    /// Why it was built, skipped or blocked, or what failed.
    pub reason: String,
    /// Rows that came with this run, merged ones only if they are others than before; of a skipped model none.
    pub rows: u64,
    /// Of the files that stood, when rows were merged into them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Effort>,
    /// Rows its tests took out of it, into `<model>__rejected`.
    pub rejected: u64,
    /// Its newest version, which readers see once a manifest names it; none when it was never built.
    pub version: Option<i64>,
    pub seconds: f64,
}

impl ModelReport {
    fn new(table: &TableName, status: ModelStatus, reason: String, version: Option<i64>) -> ModelReport {
        let table = table.to_string();
        ModelReport { table, status, reason, rows: 0, files: None, rejected: 0, version, seconds: 0.0 }
    }
}

/// Builds what is selected and not up to date. All that can be done is done before a failure is returned:
/// the second value is that failure (kind CheckFailed for tests, else the first failed model's kind), the
/// report is complete either way, and after an interruption holds what was done until then. `Err` alone
/// means that nothing was begun.
pub async fn promote(
    root: &Path,
    project: &Project,
    lake: &Lake,
    engine: &Engine,
    options: &Options,
    progress: &Progress,
    stop: &Stop,
) -> Result<(Report, Option<Error>)> {
    let plan = plan::plan(project, lake, options).await?;
    let started = Instant::now();
    let mut run = Run {
        root,
        project,
        lake,
        engine,
        progress,
        stop,
        pins: plan.pins.clone(),
        report: Report::default(),
        errors: Vec::new(),
        broken: BTreeSet::new(),
    };
    let finished = run.work(&plan).await;
    run.skip_remaining_tests(&plan);
    run.report.evidence = Totals::of(&run.report.tests);
    let noted = results::write(root, project, options, &run.report, started.elapsed()).await;
    let noted = noted.and(dbt_manifest::write(root, project).await);
    let failure = finished.map_or_else(Some, |()| run.failure()).or(noted.err());
    Ok((run.report, failure))
}

/// A run on its way through the plan.
struct Run<'a> {
    root: &'a Path,
    project: &'a Project,
    lake: &'a Lake,
    engine: &'a Engine,
    progress: &'a Progress,
    stop: &'a Stop,
    /// Every table at the version this run uses; built ones move on.
    pins: Pins,
    report: Report,
    /// Failures other than of tests.
    errors: Vec<(TableName, Error)>,
    /// Failed and blocked tables, and sources too old.
    broken: BTreeSet<TableName>,
}

impl<'a> Run<'a> {
    async fn work(&mut self, plan: &Plan<'_>) -> Result<()> {
        self.judge_sources(plan).await?;
        let reason = "a view, part of what reads it".to_string();
        let views =
            plan.views.iter().map(|view| ModelReport::new(&view.table, ModelStatus::View, reason.clone(), None));
        self.report.models.extend(views);
        for step in &plan.steps {
            self.stop.check()?;
            let table = step.model.table.to_string();
            let started = Instant::now();
            let mut report = self.step(step).await?;
            report.seconds = started.elapsed().as_secs_f64();
            if matches!(report.status, ModelStatus::Failed | ModelStatus::Blocked) {
                self.broken.insert(step.model.table.clone());
                let first_line = report.reason.lines().next().unwrap_or_default();
                self.progress.note(format!("`{table}` {first_line}"));
            }
            self.report.models.push(report);
        }
        if self.broken.is_empty() {
            self.report.run = publish::publish(self.lake, self.project, plan, &self.pins).await?;
        }
        Ok(())
    }

    async fn step(&mut self, step: &plan::Step<'_>) -> Result<ModelReport> {
        let model = step.model;
        let version = step.last.as_ref().and_then(|_| Some(self.pins.get(&model.table)?.version()));
        let report = |status, reason: String| ModelReport::new(&model.table, status, reason, version);
        if let Some(upstream) = model.upstream.iter().find(|upstream| self.broken.contains(upstream)) {
            let why = if upstream.layer() == Layer::Bronze { "is too old" } else { "was not built" };
            return Ok(report(ModelStatus::Blocked, format!("blocked: `{upstream}` {why}")));
        }
        if let Some(warning) = &step.warning {
            self.progress.note(warning);
        }
        let outcome = match &step.action {
            Action::Skip(_) => self.test_again(step).await.map(|failed| match failed.is_empty() {
                true => build::Outcome::UpToDate,
                false => build::Outcome::Rejected(failed),
            }),
            Action::Build(_) => self.build(step).await,
        };
        let (Action::Skip(reason) | Action::Build(reason)) = &step.action;
        let reason = reason.to_string();
        match outcome {
            Ok(build::Outcome::UpToDate) => Ok(report(ModelStatus::Skipped, reason)),
            Ok(build::Outcome::Published { version, rows, whole, effort, rejected }) => {
                let reason = whole.map_or(reason.clone(), |why| format!("{reason}; built whole: {why}"));
                Ok(ModelReport {
                    rows,
                    files: effort,
                    rejected,
                    version: Some(version),
                    ..report(ModelStatus::Built, reason)
                })
            }
            Ok(build::Outcome::Rejected(tests)) => {
                Ok(report(ModelStatus::Failed, format!("not published: {} failed", tests.join(", "))))
            }
            Err(error) if matches!(error.kind(), Kind::Interrupted(_)) => Err(error),
            Err(error) => {
                let failed = report(ModelStatus::Failed, format!("failed: {error}"));
                self.errors.push((model.table.clone(), error));
                Ok(failed)
            }
        }
    }

    /// Tests that had no turn are reported too, never left out.
    fn skip_remaining_tests(&mut self, plan: &Plan<'_>) {
        let reported: BTreeSet<String> = self.report.tests.iter().map(|test| test.name.clone()).collect();
        for check in plan.checks.iter().filter(|check| !reported.contains(&check.name)) {
            let why = match self.broken.contains(&check.table) {
                true => format!("`{}` was not built", check.table),
                false => "none of its tables was rebuilt".to_string(),
            };
            self.report.tests.push(TestReport::skipped(check, why));
        }
    }

    /// The one error that stands for all failures of the run, of the first one's kind.
    fn failure(&mut self) -> Option<Error> {
        let tests = checks::failure(&self.report.tests);
        let mut errors = std::mem::take(&mut self.errors);
        let failure = match (errors.pop(), tests) {
            (None, tests) => tests?,
            (Some((_, only)), None) if errors.is_empty() => only,
            (last, tests) => {
                errors.extend(last);
                let failed = self.report.models.iter().filter(|model| model.status == ModelStatus::Failed).count();
                let headline = if failed == 1 { "1 model failed".into() } else { format!("{failed} models failed") };
                let all: Vec<Error> =
                    errors.into_iter().map(|(table, error)| error.about(table)).chain(tests).collect();
                Error::of_several(all.first().map_or(Kind::CheckFailed, Error::kind), headline, all)
            }
        };
        let unpublished = self.unpublished();
        let hint = match failure.hint_text() {
            Some(hint) => format!("{hint}; {unpublished}"),
            None => unpublished,
        };
        Some(failure.hint(hint))
    }

    /// Which tables readers do not get from this run, and why: those at fault, those that read them, and those
    /// that were built all the same.
    fn unpublished(&self) -> String {
        let named = |status| {
            let models = self.report.models.iter().filter(move |model| model.status == status);
            models.map(|model| format!("`{}`", model.table)).collect::<Vec<_>>()
        };
        let blocked = self.report.models.iter().filter(|model| model.status == ModelStatus::Blocked);
        let blocked = blocked.map(|model| format!("`{}` ({})", model.table, model.reason));
        let broken: Vec<String> = named(ModelStatus::Failed).into_iter().chain(blocked).collect();
        let text = format!("not published, readers keep the old version: {}", broken.join(", "));
        match named(ModelStatus::Built) {
            built if built.is_empty() => text,
            built => format!(
                "{text}; held back with them, though built: {} (the tables of a run are published together)",
                built.join(", ")
            ),
        }
    }

    /// Where this run's tests are run; no table is there yet.
    fn bench(&self) -> Bench<'a> {
        Bench { project: self.project, root: self.root, session: self.engine.session(), known: Known::default() }
    }

    fn note_warning(&self, test: &TestReport) {
        if let (TestStatus::Warn, Some(message)) = (test.status, &test.message) {
            self.progress.note(format!("test `{}` warns: {message}", test.name));
        }
    }

    fn tests_of_status(&self, status: TestStatus, names: &[String]) -> Vec<String> {
        let tests = self.report.tests.iter().filter(|test| test.status == status && names.contains(&test.name));
        tests.map(|test| format!("`{}`", test.name)).collect()
    }
}
