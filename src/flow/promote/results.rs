//! A promote in `target/run_results.json`: dbt's entries of the models.

use super::{ModelReport, ModelStatus, Options, Report};
use crate::error::Result;
use crate::flow::checks::results;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// Writes the results of a run, replacing those of the one before.
pub(super) async fn write(root: &Path, options: &Options, report: &Report, elapsed: Duration) -> Result<()> {
    let models = report.models.iter().map(model).collect();
    let args = results::Args { which: "build".into(), full_refresh: options.full_refresh };
    results::write(root, args, models, &report.tests, elapsed).await
}

fn model(model: &ModelReport) -> Value {
    let status = match model.status {
        ModelStatus::Built => "success",
        ModelStatus::Failed => "error",
        ModelStatus::Skipped | ModelStatus::Blocked => "skipped",
    };
    json!({
        "unique_id": format!("{}{}", results::MODEL, model.table),
        "status": status,
        "execution_time": model.seconds,
        "message": model.reason,
        "failures": null,
        "relation_name": model.table,
        "adapter_response": { "rows_affected": model.rows, (results::BLOCKED): model.status == ModelStatus::Blocked },
        "timing": [],
        "thread_id": "main",
    })
}
