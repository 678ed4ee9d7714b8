//! `target/run_results.json`: the results of the last promote or test in dbt's shape (run-results v6), for the tools that
//! read it, and among its `args`, which dbt leaves open, how each test ended when it last ran.
//!
//! A test that fails keeps its table from being committed, so no commit and no manifest can tell of it; this file
//! can. It lies beside the project, not in the lake: what it tells is what was run from here.

use super::{TestReport, TestStatus};
use crate::check::Check;
use crate::error::{Context, Kind, Result};
use crate::flow::unit::UnitReport;
use crate::ident::TableName;
use crate::model::{Materialization, Model, Project};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

const FILE: &str = "target/run_results.json";
/// The dbt schema whose fields are used.
const SCHEMA: &str = "https://schemas.getdbt.com/dbt/run-results/v6.json";
/// Of `args`: outcomes by name of the test, kept over runs in which a test has no turn.
const OUTCOMES: &str = "lake_last_outcomes";

/// The project's name in every `unique_id`, whatever it calls itself.
pub(in crate::flow) const PROJECT: &str = "lake";
/// In front of a `unique_id`.
const MODEL: &str = "model.lake.";
const SEED: &str = "seed.lake.";
const SNAPSHOT: &str = "snapshot.lake.";
const TEST: &str = "test.lake.";
const UNIT_TEST: &str = "unit_test.lake.";
const SOURCE: &str = "source.lake.";
/// Of a model's `adapter_response`: true when it was not begun because one it reads had failed. dbt calls both that
/// and a model that is up to date skipped.
pub(in crate::flow) const BLOCKED: &str = "lake_blocked";

/// dbt's `unique_id` of a model, a seed or a snapshot, its `resource_type` in front.
pub(in crate::flow) fn model_id(model: &Model) -> String {
    let kind = match model.materialization {
        _ if model.seed.is_some() => SEED,
        Materialization::Snapshot(_) => SNAPSHOT,
        _ => MODEL,
    };
    format!("{kind}{}", model.table)
}

pub(in crate::flow) fn check_id(name: &str) -> String {
    format!("{TEST}{name}")
}

pub(in crate::flow) fn unit_id(name: &str) -> String {
    format!("{UNIT_TEST}{name}")
}

pub(in crate::flow) fn source_id(table: &TableName) -> String {
    format!("{SOURCE}{table}")
}

/// What dbt's files say of the program that wrote them.
pub(in crate::flow) fn metadata(schema: &str) -> Value {
    json!({
        "dbt_schema_version": schema,
        "generated_at": chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        "invocation_id": uuid::Uuid::new_v4().to_string(),
        "env": { "LAKE_VERSION": env!("CARGO_PKG_VERSION") },
    })
}

/// How a test ended when it last ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Never skipped.
    pub status: TestStatus,
    /// RFC 3339.
    pub at: String,
}

/// The last outcome of each test, by its name; none when nothing was run here yet.
pub async fn outcomes(root: &Path) -> Result<BTreeMap<String, Outcome>> {
    let Some(document) = read(root).await? else { return Ok(BTreeMap::new()) };
    match document.get("args").and_then(|args| args.get(OUTCOMES)) {
        Some(outcomes) => Deserialize::deserialize(outcomes).context(Kind::Input, || format!("read `{FILE}`")),
        None => Ok(BTreeMap::new()),
    }
}

/// What the last run said of the models that failed in it or were blocked, by `layer.name`; none when nothing was
/// run here yet.
pub(in crate::flow) async fn last_failures(root: &Path) -> Result<BTreeMap<String, String>> {
    let ran = last(root).await?.map(|run| run.results).unwrap_or_default();
    let models = ran.iter().filter(|result| result.is_unfinished());
    let named = models.filter_map(|result| Some((result.model()?.to_string(), result.message.clone()?)));
    Ok(named.collect())
}

/// What the last run was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::flow) struct Args {
    /// dbt's command: `build` or `test`.
    pub which: String,
    pub full_refresh: bool,
    pub since_version: Option<i64>,
}

/// The last run of this project's folder.
#[derive(Debug, Clone, Deserialize)]
pub(in crate::flow) struct LastRun {
    #[serde(default)]
    pub args: Args,
    pub results: Vec<Ran>,
}

/// One model or test of the last run.
#[derive(Debug, Clone, Deserialize)]
pub(in crate::flow) struct Ran {
    unique_id: String,
    status: String,
    message: Option<String>,
    adapter_response: Value,
}

impl Ran {
    /// `layer.name` of a model.
    pub fn model(&self) -> Option<&str> {
        [MODEL, SEED, SNAPSHOT].iter().find_map(|kind| self.unique_id.strip_prefix(kind))
    }

    /// The name of a test.
    pub fn test(&self) -> Option<&str> {
        self.unique_id.strip_prefix(TEST)
    }

    /// It failed, or was not begun because another one had failed.
    pub fn is_unfinished(&self) -> bool {
        let blocked = self.adapter_response.get(BLOCKED).and_then(Value::as_bool) == Some(true);
        blocked || matches!(self.status.as_str(), "error" | "fail")
    }
}

/// `None` when nothing was run here yet.
pub(in crate::flow) async fn last(root: &Path) -> Result<Option<LastRun>> {
    let Some(document) = read(root).await? else { return Ok(None) };
    LastRun::deserialize(document).context(Kind::Input, || format!("read `{FILE}`")).map(Some)
}

async fn read(root: &Path) -> Result<Option<Value>> {
    let doing = || format!("read `{FILE}`");
    match tokio::fs::read(root.join(FILE)).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        text => serde_json::from_slice(&text.context(Kind::Unavailable, doing)?).context(Kind::Input, doing).map(Some),
    }
}

/// Writes the results of a run, replacing those of the one before. `models` are dbt's entries of models.
pub(in crate::flow) async fn write(
    root: &Path,
    project: &Project,
    args: Args,
    models: Vec<Value>,
    tests: &[TestReport],
    elapsed: Duration,
) -> Result<()> {
    let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    // A file that cannot be read is replaced: it tells of the past only.
    let mut outcomes = outcomes(root).await.unwrap_or_default();
    for test in tests.iter().filter(|test| test.status != TestStatus::Skipped) {
        outcomes.insert(test.name.clone(), Outcome { status: test.status, at: now.clone() });
    }
    let checks: BTreeMap<&str, &Check> = project.checks().map(|check| (check.name.as_str(), check)).collect();
    let tests = tests.iter().map(|test| entry(test, checks.get(test.name.as_str()).copied()));
    let mut document = json!({
        "metadata": metadata(SCHEMA),
        "results": models.into_iter().chain(tests).collect::<Vec<Value>>(),
        "elapsed_time": elapsed.as_secs_f64(),
        "args": args,
    });
    document["args"][OUTCOMES] = json!(outcomes);
    write_json(root, FILE, &document).await
}

/// Writes one of the files below `target/`, which replaces the one before as a whole: no reader meets half of it.
pub(in crate::flow) async fn write_json(root: &Path, file: &str, document: &Value) -> Result<()> {
    let doing = || format!("write `{file}`");
    let bytes = serde_json::to_vec_pretty(document).context(Kind::Internal, doing)?;
    let folder = root.join("target");
    tokio::fs::create_dir_all(&folder).await.context(Kind::Unavailable, doing)?;
    let draft = folder.join(format!(".{}", uuid::Uuid::new_v4().simple()));
    let written = match tokio::fs::write(&draft, bytes).await {
        Ok(()) => tokio::fs::rename(&draft, root.join(file)).await,
        failed => failed,
    };
    if written.is_err() {
        // Nobody could act on this failure beside the first.
        drop(tokio::fs::remove_file(&draft).await);
    }
    written.context(Kind::Unavailable, doing)
}

/// dbt's entry of a unit test.
pub(in crate::flow) fn unit_entry(test: &UnitReport) -> Value {
    json!({
        "unique_id": unit_id(&test.name),
        "status": if test.passed { "pass" } else { "fail" },
        "execution_time": test.seconds,
        "message": test.message,
        "failures": i32::from(!test.passed),
        "relation_name": null,
        "adapter_response": {},
        "timing": [],
        "thread_id": "main",
        "compiled": null,
        "compiled_code": null,
    })
}

fn entry(test: &TestReport, check: Option<&Check>) -> Value {
    json!({
        "unique_id": check_id(&test.name),
        "status": test.status,
        "execution_time": test.seconds,
        "message": test.message,
        "failures": test.failures,
        "relation_name": test.table,
        "adapter_response": {},
        "timing": [],
        "thread_id": "main",
        "compiled": check.is_some(),
        "compiled_code": check.map(Check::failing_rows_sql),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_file_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let [place, kept] = [FILE, "kept.json"].map(|name| folder.path().join(name));
        write_json(folder.path(), FILE, &json!({ "results": [1, 2, 3] })).await.unwrap();
        std::fs::hard_link(&place, &kept).unwrap();
        write_json(folder.path(), FILE, &json!({ "results": [] })).await.unwrap();
        let held = |path: &Path| serde_json::from_slice::<Value>(&std::fs::read(path).unwrap()).unwrap();
        assert_eq!((held(&place), held(&kept)), (json!({ "results": [] }), json!({ "results": [1, 2, 3] })));
        assert_eq!(std::fs::read_dir(folder.path().join("target")).unwrap().count(), 1, "nothing else is left there");
    }
}
