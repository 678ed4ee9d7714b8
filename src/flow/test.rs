//! `lake test`: the unit tests (see `unit`), then the project's data tests on what stands. Changes nothing in the lake;
//! the first failing rows are kept below `target/failures` and the results in `target/run_results.json`, as in a
//! promote.

use crate::check::Check;
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::flow::catalog::{self, Pins};
use crate::flow::checks::{self, Bench, Known, TestReport, Totals};
use crate::flow::promote::plan::selected;
use crate::flow::select::{self, Selection};
use crate::flow::unit::{UnitReport, unit};
use crate::flow::{Progress, Stop, dbt_manifest};
use crate::model::Project;
use crate::table::{Lake, manifest};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

#[derive(Debug, Clone, Default)]
pub struct Options {
    /// As in `promote`; empty for every test of the project.
    pub select: Vec<String>,
    /// Of the selected ones not those of these models.
    pub exclude: Vec<String>,
    /// Of the selected ones these alone, by name. `None` for all.
    pub only: Option<BTreeSet<String>>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The run whose tables were tested; none when nothing was published yet.
    pub run: Option<u64>,
    /// Run first.
    pub unit_tests: Vec<UnitReport>,
    pub tests: Vec<TestReport>,
    pub evidence: Totals,
}

/// Runs the tests of sources, models and `sql/checks` on the newest run's versions, Bronze as it is now.
/// The second value is the failure (kind CheckFailed) when a test of severity error failed.
pub async fn test(
    root: &Path,
    project: &Project,
    lake: &Lake,
    engine: &Engine,
    options: &Options,
    progress: &Progress,
    stop: &Stop,
) -> Result<(Report, Option<Error>)> {
    let started = Instant::now();
    let selection = select::parse(&options.select, &options.exclude)?;
    let (unit_tests, unit_failure) = match options.only.is_none() && !selection.asks_state() {
        true => unit(project, engine, &selection, progress, stop).await?,
        false => (Vec::new(), None),
    };
    let mut checks = selected_checks(project, lake, &selection).await?;
    if let Some(only) = &options.only {
        checks.retain(|check| only.contains(&check.name));
    }
    let newest = manifest::latest(lake).await?;
    let mut pins = catalog::pin(lake, checks.iter().flat_map(|check| check.tables())).await?;
    if let Some(newest) = &newest {
        let (there, empty): (Pins, Pins) = pins.into_iter().partition(|(_, table)| catalog::published(table));
        pins = catalog::pin_to(there, newest).await?;
        pins.extend(empty);
    }
    let mut bench = Bench { project, root, session: engine.session(), known: Known::default() };
    for table in pins.values().filter(|table| catalog::published(table)) {
        catalog::register(&bench.session, table).await?;
    }
    for table in checks::provable_tables(&checks).into_iter().filter_map(|table| pins.get(table)) {
        bench.known.insert(table.name(), table.schema(), &catalog::facts(table)?);
    }
    let mut report = Report { run: newest.map(|manifest| manifest.run), unit_tests, ..Report::default() };
    progress.started("test", Some(checks.len() as u64));
    for check in checks {
        stop.check()?;
        report.tests.push(stop.before(run_or_skip(&bench, &pins, check)).await?);
        progress.advanced("test", 1, 0);
    }
    progress.finished("test", checks::summary(&report.tests));
    report.evidence = Totals::of(&report.tests);
    let args = checks::results::Args { which: "test".into(), ..Default::default() };
    checks::results::write(
        root,
        project,
        args,
        report.unit_tests.iter().map(checks::results::unit_entry).collect(),
        &report.tests,
        started.elapsed(),
    )
    .await?;
    dbt_manifest::write(root, project).await?;
    let hint = format!("the first failing rows of each are kept below {}", checks::FAILURES);
    let failure = checks::failure(&report.tests).map(|failed| failed.hint(hint));
    let failure = match (unit_failure, failure) {
        (Some(unit), Some(data)) => {
            Some(Error::of_several(Kind::CheckFailed, "unit tests and data tests failed", vec![unit, data]))
        }
        (unit, data) => unit.or(data),
    };
    Ok((report, failure))
}

async fn selected_checks<'a>(project: &'a Project, lake: &Lake, selection: &Selection) -> Result<Vec<&'a Check>> {
    if selection.is_everything() {
        return Ok(project.checks().collect());
    }
    let selected = selected(selection, project, lake).await?;
    Ok(project.checks().filter(|check| check.tables().iter().any(|table| selected.contains(table))).collect())
}

async fn run_or_skip(bench: &Bench<'_>, pins: &Pins, check: &Check) -> Result<TestReport> {
    match checks::missing(&check.tables(), pins) {
        Some(why) => Ok(TestReport::skipped(check, why)),
        None => checks::run(bench, check, false).await,
    }
}
