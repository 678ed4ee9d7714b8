//! `lake promote`: SQL models become Silver and Gold tables, each in one commit after its tests have passed.
//!
//! The order of things for one model: pass its unit tests, plan, write files nobody sees, run every test on them,
//! commit or throw them away. A failed test therefore leaves readers on the old version; models built from the failed
//! one are blocked, all others go on. Readers see a run's tables once its manifest names them together, which
//! a run with a failure never gets. All inputs are pinned to one version for the whole run, and what a
//! table was made from is stored in its own commit (`txn` per upstream, hashes in `commitInfo`), so a run
//! with nothing new does nothing.
//!
//! - `plan` says what must be built and which tests guard which commit, `reason` why in words, `hashes` whether a model is
//!   as it was built, `record` what a commit says of its build; `flow::plan` shows it;
//! - `freshness` judges the sources before anything is built;
//! - `run` gives the models their turns, as many at a time as the engine has threads: `order` says whose turn it is;
//!   `turn` is what a model sees and what becomes of it; `failures` makes one error of all;
//! - `build` makes one table: `prepare` finds out what is run and `contract` whether its columns are those declared,
//!   `increment` what it is run on; `stage` writes the rows, of which `sieve` takes some out, and `culprit` says which
//!   column a failed query failed in; `keys` and `merge` bring the rows into those that stand, `unique` proves that a key
//!   came once; `guard` runs the tests on what `candidate` shows them; `snapshot` writes the statement of a history;
//! - `publish` names the tables of a finished run together; `results` writes `target/run_results.json`;
//! - `again` is the statement of a table that stands, on the inputs it was built from, for whoever proves it.

pub(in crate::flow) mod again;
mod build;
mod candidate;
pub(in crate::flow) mod contract;
mod culprit;
mod failures;
mod freshness;
mod guard;
pub(in crate::flow) mod hashes;
mod increment;
mod keys;
mod merge;
mod order;
pub(in crate::flow) mod plan;
pub(in crate::flow) mod prepare;
mod publish;
pub mod reason;
pub(in crate::flow) mod record;
mod results;
mod run;
mod sieve;
mod snapshot;
mod stage;
#[cfg(test)]
pub(in crate::flow) mod tests;
mod turn;
mod unique;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::flow::checks::{TestReport, Totals};
use crate::flow::unit::UnitReport;
use crate::flow::{Progress, Stop, dbt_manifest};
use crate::ident::{Layer, TableName};
use crate::model::Project;
use crate::table::Lake;
pub use merge::Effort;
use run::Run;
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
    /// Of the models that were to be built, before each.
    pub unit_tests: Vec<UnitReport>,
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
    let mut run = Run::new(root, project, lake, engine, progress, stop, plan.pins.clone());
    let finished = run.work(&plan).await;
    let (mut report, errors) = run.end(&plan);
    report.evidence = Totals::of(&report.tests);
    let noted = results::write(root, project, options, &report, started.elapsed()).await;
    let noted = noted.and(dbt_manifest::write(root, project).await);
    let failure = finished.map_or_else(Some, |()| failures::of(&report, errors)).or(noted.err());
    Ok((report, failure))
}
