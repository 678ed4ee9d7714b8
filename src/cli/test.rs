//! `lake test`

use super::columns::{columns, grouped};
use super::connections::Connections;
use super::done::Done;
use super::evidence::{receipt, told};
use super::output::Answer;
use super::promote::Chosen;
use crate::error::{Error, Result};
use crate::flow::checks::{TestReport, TestStatus};
use crate::flow::select;
use crate::flow::test::{Options, Report};
use crate::flow::unit::unit;

/// Run the unit tests, then the data tests on what stands
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    chosen: Chosen,
    /// Only the unit tests: nothing but the project is needed
    #[arg(long)]
    unit: bool,
}

pub async fn run(args: Args, connections: &mut Connections) -> Result<Answer> {
    let Chosen { select, exclude } = args.chosen;
    if args.unit {
        let (engine, project) = (connections.engine()?, connections.project()?);
        let selection = select::parse(&select, &exclude)?;
        let (unit_tests, failure) =
            unit(&project, &engine, &selection, &connections.progress, &connections.stop).await?;
        return Ok(Answer::new("", &Report { unit_tests, ..Report::default() })?.failing(failure));
    }
    let (report, failure) = test(connections, &Options { select, exclude, only: None }).await?;
    let text = format!("{}{}", text(&report.tests), receipt(&report.evidence).unwrap_or_default());
    Ok(Answer::new(text, &report)?.failing(failure))
}

/// The flow with the project's connections, and the failure when a test failed.
pub async fn test(connections: &mut Connections, options: &Options) -> Result<(Report, Option<Error>)> {
    let (lake, engine) = (connections.lake().await?, connections.engine()?);
    let config = &connections.config;
    let (progress, stop) = (&connections.progress, &connections.stop);
    let project = connections.project()?;
    let outcome = crate::flow::test::test(&config.project, &project, &lake, &engine, options, progress, stop).await?;
    if project.is_dbt() {
        progress.note(Done::of(&[], &outcome.0.tests, &outcome.0.unit_tests).to_string());
    }
    Ok(outcome)
}

/// One line per test that did not simply pass first, then the others.
pub fn text(tests: &[TestReport]) -> String {
    let mut sorted: Vec<&TestReport> = tests.iter().collect();
    sorted.sort_by_key(|test| test.status == TestStatus::Pass);
    let row = |test: &&TestReport| {
        let status = match test.status {
            TestStatus::Pass => "pass",
            TestStatus::Warn => "warn",
            TestStatus::Fail => "FAIL",
            TestStatus::Skipped => "skipped",
        };
        let failing = if test.failures > 0 { grouped(test.failures) } else { String::new() };
        let remark = test.kept_at.clone().or_else(|| test.message.clone()).unwrap_or_default();
        let evidence = test.evidence.map(told).unwrap_or_default();
        vec![status.to_string(), test.name.clone(), test.table.clone(), failing, evidence, remark]
    };
    let rows: Vec<Vec<String>> = sorted.iter().map(row).collect();
    if rows.is_empty() { String::new() } else { columns(&["", "test", "table", "failing", "evidence", ""], &rows) }
}
