//! `target/run_results.json` in dbt's shape, for the tools that read it.

use super::{ModelReport, ModelStatus, Report};
use crate::error::{Context, Kind, Result};
use crate::flow::checks::{TestReport, TestStatus};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

const FILE: &str = "target/run_results.json";
/// The dbt schema whose fields are used.
const SCHEMA: &str = "https://schemas.getdbt.com/dbt/run-results/v6.json";

/// Writes the results of a run, replacing those of the one before.
pub(super) async fn write(root: &Path, report: &Report, elapsed: Duration) -> Result<()> {
    let doing = || format!("write `{FILE}`");
    let results = report.models.iter().map(model).chain(report.tests.iter().map(test));
    let document = json!({
        "metadata": {
            "dbt_schema_version": SCHEMA,
            "generated_at": chrono::Utc::now().to_rfc3339(),
            "invocation_id": uuid::Uuid::new_v4().to_string(),
            "generator": concat!("lake ", env!("CARGO_PKG_VERSION")),
        },
        "results": results.collect::<Vec<Value>>(),
        "elapsed_time": elapsed.as_secs_f64(),
        "args": {},
    });
    let bytes = serde_json::to_vec_pretty(&document).context(Kind::Internal, doing)?;
    tokio::fs::create_dir_all(root.join("target")).await.context(Kind::Unavailable, doing)?;
    tokio::fs::write(root.join(FILE), bytes).await.context(Kind::Unavailable, doing)
}

fn model(model: &ModelReport) -> Value {
    let status = match model.status {
        ModelStatus::Built => "success",
        ModelStatus::Failed => "error",
        ModelStatus::Skipped | ModelStatus::Blocked => "skipped",
    };
    json!({
        "unique_id": format!("model.lake.{}", model.table),
        "status": status,
        "execution_time": model.seconds,
        "message": model.reason,
        "failures": null,
        "relation_name": model.table,
        "adapter_response": { "rows_affected": model.rows },
        "timing": [],
        "thread_id": "main",
    })
}

fn test(test: &TestReport) -> Value {
    let status = match test.status {
        TestStatus::Pass => "pass",
        TestStatus::Warn => "warn",
        TestStatus::Fail => "fail",
        TestStatus::Skipped => "skipped",
    };
    json!({
        "unique_id": format!("test.lake.{}", test.name),
        "status": status,
        "execution_time": test.seconds,
        "message": test.message,
        "failures": test.failures,
        "relation_name": test.table,
        "adapter_response": {},
        "timing": [],
        "thread_id": "main",
    })
}
