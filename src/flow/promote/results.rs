//! A promote in `target/run_results.json`: dbt's entries of the models.

use super::{ModelReport, ModelStatus, Options, Report};
use crate::error::Result;
use crate::flow::checks::results;
use crate::model::{Model, Project};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Writes the results of a run, replacing those of the one before.
pub(super) async fn write(
    root: &Path,
    project: &Project,
    options: &Options,
    report: &Report,
    elapsed: Duration,
) -> Result<()> {
    let models: BTreeMap<String, &Model> = project.nodes().map(|model| (model.table.to_string(), model)).collect();
    let built = report.models.iter().filter_map(|report| Some(entry(report, models.get(&report.table)?)));
    let built = built.chain(report.unit_tests.iter().map(results::unit_entry)).collect();
    let Options { full_refresh, since_version, .. } = *options;
    let args = results::Args { which: "build".into(), full_refresh, since_version };
    results::write(root, project, args, built, &report.tests, elapsed).await
}

fn entry(report: &ModelReport, model: &Model) -> Value {
    let status = match report.status {
        ModelStatus::Built | ModelStatus::View => "success",
        ModelStatus::Failed => "error",
        ModelStatus::Skipped | ModelStatus::Blocked => "skipped",
    };
    json!({
        "unique_id": results::model_id(model),
        "status": status,
        "execution_time": report.seconds,
        "message": report.reason,
        "failures": null,
        "relation_name": report.table,
        "adapter_response": { "rows_affected": report.rows, (results::BLOCKED): report.status == ModelStatus::Blocked },
        "timing": [],
        "thread_id": "main",
        "compiled": true,
        "compiled_code": model.sql,
    })
}
