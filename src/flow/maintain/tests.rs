//! Maintenance over a lake in a temporary directory: what it keeps, and that the books still balance.

use super::*;
use crate::flow::account::{Carried, Range};
use crate::table::manifest::{Manifest, ManifestTable};
use crate::table::{LakeConfig, Txn};
use arrow::array::{ArrayRef, Int64Array};
use arrow::record_batch::RecordBatch;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

async fn lake() -> (tempfile::TempDir, Lake) {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().display().to_string();
    let lake = Lake::open(&LakeConfig { root, ..LakeConfig::default() }).await.unwrap();
    (directory, lake)
}

fn numbers(values: &[i64]) -> RecordBatch {
    RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(values.to_vec())) as ArrayRef)]).unwrap()
}

fn name(text: &str) -> TableName {
    TableName::parse(text).unwrap()
}

/// One row at each offset of `offsets`, one commit each, as `lake bronze` describes them.
async fn fill(lake: &Lake, table: &str, offsets: std::ops::Range<i64>) -> Table {
    let mut table = lake.create(&name(table), numbers(&[]).schema(), &[]).await.unwrap();
    for offset in offsets {
        let mut stage = table.stage(table.schema()).await.unwrap();
        stage.write(numbers(&[offset])).await.unwrap();
        let staged = stage.finish().await.unwrap();
        let range = Range { from: offset, to: offset + 1, rows: 1, ..Range::default() };
        let info = Map::from_iter([("partitions".to_string(), json!({"t/0": range}))]);
        let txns = vec![Txn { app: "t/0".into(), expected: (offset > 0).then_some(offset), next: offset + 1 }];
        table.commit(Commit { mode: Mode::Append, staged, txns, info }, "table.commit").await.unwrap();
    }
    table
}

/// Makes every file of the lake this much older.
fn age(directory: &Path, by: Duration) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            age(&path, by);
        } else {
            let file = std::fs::File::options().append(true).open(&path).unwrap();
            let made = file.metadata().unwrap().modified().unwrap();
            file.set_modified(made.checked_sub(by).unwrap_or(SystemTime::UNIX_EPOCH)).unwrap();
        }
    }
}

fn files(directory: &Path, ending: &str) -> usize {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| match path.is_dir() {
            true => files(&path, ending),
            false => usize::from(path.to_string_lossy().ends_with(ending)),
        })
        .sum()
}

fn options() -> Options {
    let retain = Duration::from_secs(7 * 24 * 3600);
    Options { target_file_size: 1 << 20, retain, keep_runs: 2, clean: true, dry_run: false }
}

const DAYS_30: Duration = Duration::from_secs(30 * 24 * 3600);

async fn tend(lake: &Lake, table: &str, ledger: Result<Vec<Entry>>, options: &Options) -> (Report, Option<Error>) {
    let tables = [name(table)];
    maintain(lake, &tables, &ledger, options, &Progress::silent(), &Stop::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_round_finds_nothing_to_do() {
    let (_directory, lake) = lake().await;
    fill(&lake, "bronze.x", 0..5).await;
    let (report, failure) = tend(&lake, "bronze.x", Ok(vec![]), &options()).await;
    let table = &report.tables[0];
    assert!(failure.is_none() && table.checkpoint, "{failure:?}");
    assert_eq!((table.merged_files, table.before.files, table.after.files, table.version), (5, 5, 1, 6));
    let (report, _) = tend(&lake, "bronze.x", Ok(vec![]), &options()).await;
    let table = &report.tables[0];
    assert_eq!((table.merged_files, table.version, table.checkpoint, table.deleted_files), (0, 6, false, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_goes_and_the_old_commits_are_added_up() {
    let (directory, lake) = lake().await;
    fill(&lake, "bronze.x", 0..30).await;
    tend(&lake, "bronze.x", Ok(vec![]), &options()).await;
    age(directory.path(), DAYS_30);
    let dry = Options { dry_run: true, ..options() };
    let (planned, _) = tend(&lake, "bronze.x", Ok(vec![]), &dry).await;
    assert_eq!((planned.tables[0].unused.len(), planned.tables[0].version), (30, 31));
    assert_eq!(files(directory.path(), "parquet"), 31 + 2, "30 rows, the merged file, two checkpoints");
    let (report, failure) = tend(&lake, "bronze.x", Ok(vec![]), &options()).await;
    let done = &report.tables[0];
    assert!(failure.is_none(), "{failure:?}");
    assert_eq!((done.deleted_files, done.deleted_bytes), (30, planned.tables[0].deleted_bytes));
    assert_eq!(done.deleted_log_files, planned.tables[0].deleted_log_files);
    let table = lake.table(&name("bronze.x")).await.unwrap().unwrap();
    assert_eq!((table.rows(), table.txn("t/0").await.unwrap()), (Some(30), Some(30)));
    let history = table.history(100).await.unwrap();
    assert_eq!(history.iter().map(|commit| commit.version).collect::<Vec<_>>(), [32, 31]);
    let carried = Carried::of(&history[0], "bronze.x").unwrap().unwrap();
    let sum = Range { from: 0, to: 30, rows: 30, ..Range::default() };
    assert_eq!((carried.through, carried.commits, carried.partitions), (30, 30, BTreeMap::from([("t/0".into(), sum)])));
    // A month later once more: the sum goes on from the one that was carried.
    fill(&lake, "bronze.x", 30..55).await;
    tend(&lake, "bronze.x", Ok(vec![]), &options()).await;
    age(directory.path(), DAYS_30);
    tend(&lake, "bronze.x", Ok(vec![]), &options()).await;
    let table = lake.table(&name("bronze.x")).await.unwrap().unwrap();
    let carried = Carried::of(&table.history(1).await.unwrap()[0], "bronze.x").unwrap().unwrap();
    assert_eq!((carried.commits, carried.partitions["t/0"].to, carried.partitions["t/0"].rows), (55, 55, 55));
    assert_eq!(table.rows(), Some(55));
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_that_do_not_add_up_keep_their_log() {
    let (directory, lake) = lake().await;
    fill(&lake, "bronze.x", 0..3).await;
    let table = fill(&lake, "bronze.x", 3..20).await;
    let log = directory.path().join("bronze/x/_delta_log");
    let broken = log.join(format!("{:020}.json", 2));
    let text = std::fs::read_to_string(&broken).unwrap().replace(r#""rows":1"#, r#""rows":2"#);
    std::fs::write(broken, text).unwrap();
    table.checkpoint().await.unwrap();
    age(directory.path(), DAYS_30);
    let (_, failure) = tend(&lake, "bronze.x", Ok(vec![]), &options()).await;
    let failure = failure.unwrap();
    assert_eq!(failure.kind(), Kind::Input);
    assert!(failure.to_string().contains("t/0 in commit 2"), "{failure}");
    assert!(log.join(format!("{:020}.json", 0)).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_runs_and_the_warehouse_need_stay_readable() {
    let (directory, lake) = lake().await;
    let table = fill(&lake, "gold.x", 0..50).await;
    for (run, version) in [10, 41, 45].into_iter().enumerate() {
        let made = ManifestTable { version, id: table.id().into(), ..ManifestTable::default() };
        let tables = BTreeMap::from([("gold.x".to_string(), made)]);
        let manifest = Manifest { run: 0, id: run.to_string(), at: String::new(), tables };
        assert!(manifest::publish(&lake, manifest, run as u64).await.unwrap().is_some());
    }
    tend(&lake, "gold.x", Ok(vec![]), &options()).await;
    assert_eq!(manifest::list(&lake, 10).await.unwrap().len(), 2, "the newest two are kept");
    age(directory.path(), DAYS_30);
    let loaded = |version, id: &str| Entry {
        table: "star.x".into(),
        table_id: id.into(),
        delta_version: version,
        ..Entry::default()
    };
    let unknown = Err(Error::unavailable("the warehouse is down"));
    let (report, failure) = tend(&lake, "gold.x", unknown, &options()).await;
    assert!(report.tables.is_empty() && failure.unwrap().kind() == Kind::Unavailable);
    let ledger = vec![loaded(22, table.id()), loaded(30, "another table of that name")];
    let (report, failure) = tend(&lake, "gold.x", Ok(ledger), &options()).await;
    assert!(failure.is_none(), "{failure:?}");
    let table = lake.table(&name("gold.x")).await.unwrap().unwrap();
    for version in [22, 41, 45] {
        let pinned = table.at(version).await.unwrap();
        assert_eq!(
            pinned.unused_files(&[], chrono::Utc::now()).await.unwrap().paths().len(),
            1 + 45 - version as usize
        );
    }
    assert_eq!(report.tables[0].deleted_files, 5, "what only version 50 named");
    assert_eq!(table.at(18).await.err().unwrap().kind(), Kind::Input);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_short_a_retention_is_refused() {
    let (_directory, lake) = lake().await;
    let options = Options { retain: Duration::from_secs(3599), ..options() };
    let outcome = maintain(&lake, &[], &Ok(vec![]), &options, &Progress::silent(), &Stop::default()).await;
    assert_eq!(outcome.err().unwrap().kind(), Kind::Config);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_found_by_either_name() {
    let (_directory, lake) = lake().await;
    fill(&lake, "bronze.books", 0..1).await;
    fill(&lake, "silver.books", 0..1).await;
    for (asked, found) in [(&[][..], 2), (&["books"], 2), (&["silver.books"], 1)] {
        let asked: Vec<String> = asked.iter().map(ToString::to_string).collect();
        assert_eq!(select(&lake, &asked).await.unwrap().len(), found, "{asked:?}");
    }
    let error = select(&lake, &["silver.bokks".to_string()]).await.unwrap_err();
    assert_eq!(error.hint_text(), Some("did you mean `silver.books`?"));
}
