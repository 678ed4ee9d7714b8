//! Runs data tests: counts the rows that break a rule and keeps the first of them for people to see.
//!
//! What the statistics of files prove is not read (`evidence`). Kept rows lie as CSV below `target/failures`, one file
//! per test, replaced at each run and removed when the test passes. What a failure means for a table is decided by the
//! flow that asked. `results` notes how the tests ended.

mod evidence;
pub mod results;

pub use evidence::{Evidence, Totals};
pub(in crate::flow) use evidence::{Known, provable_tables};

use crate::check::{Check, Verdict};
use crate::engine::{self, Session};
use crate::error::{Context, Error, Kind, Result};
use crate::flow::catalog::{self, Pins};
use crate::flow::rows;
use crate::ident::TableName;
use crate::model::Project;
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Instant;

/// Failing rows kept per test.
const KEPT_ROWS: usize = 1_000;
/// Folder of the kept rows, relative to the project.
pub(super) const FAILURES: &str = "target/failures";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TestStatus {
    Pass,
    /// Rows fail, and the test is declared to only warn.
    Warn,
    Fail,
    Skipped,
}

impl From<Verdict> for TestStatus {
    fn from(verdict: Verdict) -> TestStatus {
        match verdict {
            Verdict::Pass => TestStatus::Pass,
            Verdict::Warn => TestStatus::Warn,
            Verdict::Fail => TestStatus::Fail,
        }
    }
}

/// How one test ended.
#[derive(Debug, Clone, Serialize)]
pub struct TestReport {
    pub name: String,
    /// `layer.name` of the tested table.
    pub table: String,
    pub status: TestStatus,
    /// Rows that break the rule, all of them.
    pub failures: u64,
    /// What is wrong, or why the test was skipped.
    pub message: Option<String>,
    /// Where the first failing rows were kept, relative to the project.
    pub kept_at: Option<String>,
    /// None when it was skipped.
    pub evidence: Option<Evidence>,
    pub seconds: f64,
}

impl TestReport {
    /// Notes rows that were taken out before the test ran, and judges them.
    pub(super) fn set_aside(&mut self, check: &Check, rows: u64, to: &TableName) {
        if self.status != TestStatus::Pass {
            return;
        }
        self.failures = rows;
        self.status = check.options.judge_rejected(rows).into();
        self.message = Some(format!("{}, set aside in `{to}`", check.message(rows)));
    }

    pub(super) fn skipped(check: &Check, why: impl Into<String>) -> TestReport {
        TestReport {
            name: check.name.clone(),
            table: check.table.to_string(),
            status: TestStatus::Skipped,
            failures: 0,
            message: Some(why.into()),
            kept_at: None,
            evidence: None,
            seconds: 0.0,
        }
    }
}

/// Why a check that reads these tables cannot be run: one of them is not there for readers.
pub(super) fn missing<'a>(tables: impl IntoIterator<Item = &'a TableName>, pins: &Pins) -> Option<String> {
    tables.into_iter().find_map(|name| match pins.get(name) {
        None => Some(format!("`{name}` does not exist yet")),
        Some(table) if !catalog::published(table) => Some(format!("`{name}` was never built")),
        Some(_) => None,
    })
}

/// Where tests are run.
pub(super) struct Bench<'a> {
    pub project: &'a Project,
    pub root: &'a Path,
    /// Has the tables.
    pub session: Session,
    pub known: Known,
}

/// Rows that are to join those that stand, each under a name of the session.
pub(super) const STANDING_ROWS: &str = "standing_rows";
pub(super) const ADDED_ROWS: &str = "added_rows";

/// Runs one check. `stands`: it holds for [`STANDING_ROWS`], which only get more.
pub(super) async fn run(bench: &Bench<'_>, check: &Check, stands: bool) -> Result<TestReport> {
    let Bench { project, root, session, known } = bench;
    let started = Instant::now();
    let (failures, kept, evidence) = match known.proves(check) {
        true => (0, Vec::new(), Evidence::Statistics),
        false => {
            let of_added = check.failing_rows_of_added_sql(STANDING_ROWS, ADDED_ROWS).filter(|_| stands);
            let found = match of_added {
                Some(sql) => failing_rows(session, check, None, &sql).await,
                None => failing_rows(session, check, check.count_sql(), &check.failing_rows_sql()).await,
            };
            let (failures, kept, bytes) = found.map_err(|error| explain(error, project, check))?;
            (failures, kept, Evidence::ScannedBytes(bytes))
        }
    };
    let status = TestStatus::from(check.options.judge(failures));
    let kept_at = keep(root, &check.name, &kept).await?;
    Ok(TestReport {
        name: check.name.clone(),
        table: check.table.to_string(),
        status,
        failures,
        evidence: Some(evidence),
        message: (failures > 0 || status != TestStatus::Pass).then(|| check.message(failures)),
        kept_at,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// The number of failing rows, the first of them, and bytes read to know.
async fn failing_rows(
    session: &Session,
    check: &Check,
    count: Option<String>,
    rows: &str,
) -> Result<(u64, Vec<RecordBatch>, u64)> {
    let doing = || format!("run the test `{}` on `{}`", check.name, check.table);
    let mut bytes = 0;
    if let Some(count) = count {
        let (counted, reading) = session.measured(&count).await?;
        let counted: Vec<RecordBatch> = counted.try_collect().await.map_err(|error| engine::failed(error, doing()))?;
        bytes = reading.bytes();
        if is_zero(&counted) {
            return Ok((0, Vec::new(), bytes));
        }
    }
    let (mut rows, reading) = session.measured(rows).await?;
    let (mut count, mut kept, mut room) = (0, Vec::new(), KEPT_ROWS);
    let limit = check.options.limit.unwrap_or(u64::MAX);
    while count < limit
        && let Some(batch) = rows.next().await
    {
        let batch = batch.map_err(|error| engine::failed(error, doing()))?;
        let counted = (batch.num_rows() as u64).min(limit - count);
        let batch = batch.slice(0, counted as usize);
        count += counted;
        let taken = room.min(batch.num_rows());
        if taken > 0 {
            kept.push(batch.slice(0, taken));
            room -= taken;
        }
    }
    Ok((count, kept, bytes + reading.bytes()))
}

/// Whether the one number of a counting query is zero.
fn is_zero(counted: &[RecordBatch]) -> bool {
    let batch = counted.iter().find(|batch| batch.num_rows() == 1);
    batch.is_some_and(|batch| batch.column(0).as_primitive_opt::<Int64Type>().is_some_and(|count| count.value(0) == 0))
}

/// Shows a planning error of a check in the file it comes from, when that file is SQL.
fn explain(error: Error, project: &Project, check: &Check) -> Error {
    let origin = project.origin_of(check);
    match (origin, engine::fault_of(&error)) {
        (Some(origin), Some(fault)) => {
            Error::config(origin.fault(fault, &check.failing_rows_sql(), &origin.map).to_string())
        }
        _ => {
            let message = format!("the test `{}` on `{}` cannot be run", check.name, check.table);
            Error::new(error.kind(), message).caused_by(error)
        }
    }
}

/// Writes the rows as `target/failures/<test>.csv`; without rows removes what an earlier run left there.
async fn keep(root: &Path, name: &str, failing: &[RecordBatch]) -> Result<Option<String>> {
    let safe: String = name.chars().map(|c| if c.is_alphanumeric() || "_.-".contains(c) { c } else { '_' }).collect();
    let shown = format!("{FAILURES}/{safe}.csv");
    let path = root.join(&shown);
    if failing.is_empty() {
        return match tokio::fs::remove_file(&path).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context(Kind::Unavailable, || format!("remove `{shown}`"))
            }
            _ => Ok(None),
        };
    }
    let head = failing.first().map(|batch| rows::csv_head(&batch.schema()));
    let lines = failing.iter().map(rows::csv).collect::<Result<Vec<String>>>()?;
    let doing = || format!("keep failing rows in `{shown}`");
    tokio::fs::create_dir_all(root.join(FAILURES)).await.context(Kind::Unavailable, doing)?;
    tokio::fs::write(&path, head.unwrap_or_default() + &lines.concat()).await.context(Kind::Unavailable, doing)?;
    Ok(Some(shown))
}

/// `12 passed, 1 warned, 2 failed`.
pub fn summary(tests: &[TestReport]) -> String {
    let count = |status| tests.iter().filter(|test| test.status == status).count();
    let parts = [
        (count(TestStatus::Pass), "passed"),
        (count(TestStatus::Warn), "warned"),
        (count(TestStatus::Fail), "failed"),
        (count(TestStatus::Skipped), "skipped"),
    ];
    let shown = parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
    match shown.collect::<Vec<_>>() {
        words if words.is_empty() => "no tests".to_string(),
        words => words.join(", "),
    }
}

/// One error for all failed tests, or none.
pub(super) fn failure(tests: &[TestReport]) -> Option<Error> {
    let failed: Vec<&TestReport> = tests.iter().filter(|test| test.status == TestStatus::Fail).collect();
    let mut lines = failed.iter().map(|test| {
        let kept = test.kept_at.as_ref().map(|path| format!(" (see {path})")).unwrap_or_default();
        format!("`{}`: {}{kept}", test.name, test.message.clone().unwrap_or_default())
    });
    let message = match failed.len() {
        0 => return None,
        1 => format!("data test {}", lines.next().unwrap_or_default()),
        count => format!("{count} data tests failed\n  {}", lines.collect::<Vec<_>>().join("\n  ")),
    };
    Some(Error::check_failed(message))
}
