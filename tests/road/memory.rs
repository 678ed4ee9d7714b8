//! What is several times as big as the memory it may take goes through the disk: a join, and a test that looks at each row.

use crate::support::Project;
use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use lake::ident::TableName;
use lake::table::{Commit, Lake, LakeConfig, Mode};
use serde_json::Map;
use std::fs::read_to_string;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

const BUDGET: u64 = 64 << 20;
const ROWS: i64 = 300_000;
const TEXT_BYTES: usize = 800;

/// A table of 240 MB, most of it text, in files that are small because the text repeats.
async fn fill(root: &Path, name: &str, ids: impl Iterator<Item = i64>) {
    let lake = LakeConfig { root: root.display().to_string(), ..LakeConfig::default() };
    let lake = Lake::open(&lake).await.unwrap();
    let ids: Vec<i64> = ids.collect();
    let batch = |ids: &[i64]| {
        let text = |id: &i64| format!("{id:>10}").repeat(TEXT_BYTES / 10);
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values(ids.iter().map(text)));
        let ids: ArrayRef = Arc::new(Int64Array::from(ids.to_vec()));
        RecordBatch::try_from_iter([("id", ids), ("text", texts)]).unwrap()
    };
    let mut table = lake.create(&TableName::parse(name).unwrap(), batch(&[]).schema(), &[]).await.unwrap();
    let mut stage = table.stage(table.schema()).await.unwrap();
    for some in ids.chunks(8192) {
        stage.write(batch(some)).await.unwrap();
    }
    let staged = stage.finish().await.unwrap();
    let commit = Commit { mode: Mode::Append, staged, txns: Vec::new(), info: Map::new() };
    table.commit(commit, "table.commit").await.unwrap();
}

/// Runs to a good end; answers the most memory it held, in bytes.
fn peak(project: &Project, arguments: &[&str]) -> u64 {
    let mut command = project.command(arguments);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let status = read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let held =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peak = peak.max(held.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(5));
    }
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    peak * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_and_a_test_stay_within_their_memory() {
    let mut project = Project::empty();
    project.write("lake.toml", "[lake]\nroot = \"lake\"\n");
    project.write(
        "models/sources.yml",
        "version: 2\nsources:\n  - name: bronze\n    tables: [{name: one}, {name: other}]\n",
    );
    project.write("models/gold/dim_small.sql", "select 1 as id\n");
    fill(&project.path().join("lake"), "bronze.one", 0..ROWS).await;
    fill(&project.path().join("lake"), "bronze.other", (0..ROWS).rev()).await;
    project.env("LAKE__ENGINE__MEMORY", &BUDGET.to_string());
    let program = peak(&project, &["promote", "gold"]);

    let join =
        "select one.id, one.text, other.text as again from bronze.one join bronze.other on other.text = one.text\n";
    project.write("models/gold/fact_joined.sql", join);
    let unique = "models:\n  - name: fact_joined\n    columns: [{name: text, data_tests: [unique]}]\n";
    project.write("models/gold/schema.yml", unique);
    let most = peak(&project, &["promote", "gold"]);
    let counted = project.lake(&["query", "--output", "csv", "select count(*), sum(id) from gold.fact_joined"]).ok();
    assert_eq!(counted.stdout.lines().last(), Some(format!("{ROWS},{}", ROWS * (ROWS - 1) / 2).as_str()));
    assert!(
        most - program <= BUDGET * 5 / 4,
        "{} MB beside the program's {} MB",
        (most - program) >> 20,
        program >> 20
    );
}
