//! Files that were read give way to what was made of them, once, whoever else is at work.

use super::lossy::Lossy;
use super::upkeep::{append_batch, flagged, merge_all};
use super::*;
use futures::TryStreamExt;
use std::sync::atomic::Ordering;

async fn quarantine(lake: &Lake, values: &[i64]) -> Table {
    let mut table = lake.create(&name("bronze.x"), flagged(&[], false).schema(), &["_quarantined"]).await.unwrap();
    for value in values {
        append_batch(&mut table, flagged(&[*value, *value + 100], true)).await;
        append_batch(&mut table, flagged(&[-*value], false)).await;
    }
    table
}

async fn read(table: &Table, picked: &Picked) -> Vec<i64> {
    let batches: Vec<RecordBatch> = table.read(picked).await.unwrap().try_collect().await.unwrap();
    let values = |batch: &RecordBatch| batch.column(0).as_primitive::<Int64Type>().values().to_vec();
    batches.iter().flat_map(values).collect()
}

/// Of each picked pair the first becomes good, the second stays.
async fn exchanged(table: &Table, picked: &Picked) -> Staged {
    let mut stage = table.stage(table.schema()).await.unwrap();
    for value in read(table, picked).await {
        stage.write(flagged(&[value], value >= 100)).await.unwrap();
    }
    stage.finish().await.unwrap().in_place_of(picked)
}

async fn commit(table: &mut Table, staged: Staged) -> Result<Committed> {
    table.commit(Commit { mode: Mode::Exchange, staged, txns: vec![], info: Map::new() }, "table.commit").await
}

async fn standing(table: &Table) -> (Vec<i64>, Vec<i64>) {
    let mut found = Vec::new();
    for flag in ["not _quarantined", "_quarantined"] {
        let rows = query(table.provider().await.unwrap(), &format!("select n from t where {flag} order by n")).await;
        found.push(rows.column(0).as_primitive::<Int64Type>().values().to_vec());
    }
    (found.remove(0), found.remove(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_read_in_order_and_exchanged_beside_appends() {
    let (_directory, lake) = lake().await;
    let mut table = quarantine(&lake, &[1, 2, 3]).await;
    let picked = table.pick("_quarantined", "true").unwrap();
    assert_eq!((picked.rows(), read(&table, &picked).await), (Some(6), vec![1, 101, 2, 102, 3, 103]));
    let staged = exchanged(&table, &picked).await;
    let mut other = lake.table(&name("bronze.x")).await.unwrap().unwrap();
    append_batch(&mut other, flagged(&[7], false)).await;
    append_batch(&mut other, flagged(&[8], true)).await;
    let version = table.version();
    assert_eq!(commit(&mut table, staged).await.unwrap(), Committed::Done { version: version + 3 });
    assert_eq!(standing(&table).await, (vec![-3, -2, -1, 1, 2, 3, 7], vec![8, 101, 102, 103]));
    assert_eq!(table.history(1).await.unwrap()[0].operation, "UPDATE");
    assert!(!table.same_rows_since(version + 2).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_take_the_same_files_one_is_too_late() {
    let (_directory, lake) = lake().await;
    let mut table = quarantine(&lake, &[1]).await;
    let mut other = table.clone();
    let picked = table.pick("_quarantined", "true").unwrap();
    let (first, second) = (exchanged(&table, &picked).await, exchanged(&other, &picked).await);
    commit(&mut table, first).await.unwrap();
    let error = commit(&mut other, second).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.to_string().contains("while its files were rewritten"), "{error}");
    assert_eq!(standing(&other).await, (vec![-1, 1], vec![101]));

    // Merged away meanwhile: the same rows, but in other files.
    append_batch(&mut other, flagged(&[5, 105], true)).await;
    let picked = other.pick("_quarantined", "true").unwrap();
    let staged = exchanged(&other, &picked).await;
    merge_all(&mut table).await;
    assert_eq!(commit(&mut other, staged).await.unwrap_err().kind(), Kind::Conflict);
    // The other way round: what was to be merged is gone.
    let picked = other.pick("_quarantined", "true").unwrap();
    let staged = exchanged(&other, &picked).await;
    append_batch(&mut table, flagged(&[6], true)).await;
    let late = table.bins(1 << 20).unwrap().into_iter().next().unwrap();
    let merged = table.rewrite(&late, 1 << 20).await.unwrap();
    commit(&mut other, staged).await.unwrap();
    let late = Commit { mode: Mode::Rewrite, staged: merged, txns: vec![], info: Map::new() };
    assert_eq!(table.commit(late, "table.commit").await.unwrap_err().kind(), Kind::Conflict);
    assert_eq!(standing(&table).await, (vec![-1, 1, 5], vec![6, 101, 105]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_exchanges_once() {
    for (answer_taken, write) in [(true, true), (false, true), (false, false)] {
        let store = Arc::new(Lossy::new(answer_taken, write));
        let lake = Lake::over(store.clone());
        let mut table = quarantine(&lake, &[1]).await;
        let picked = table.pick("_quarantined", "true").unwrap();
        let staged = exchanged(&table, &picked).await;
        store.lose.store(2, Ordering::SeqCst);
        let version = table.version();
        assert_eq!(commit(&mut table, staged).await.unwrap(), Committed::Done { version: version + 1 });
        assert_eq!(standing(&table).await, (vec![-1, 1], vec![101]), "{answer_taken} {write}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_may_bring_new_columns() {
    let (_directory, lake) = lake().await;
    let mut table = quarantine(&lake, &[1]).await;
    let picked = table.pick("_quarantined", "true").unwrap();
    let wider = RecordBatch::try_from_iter([
        ("note", Arc::new(StringArray::from(vec!["new"])) as ArrayRef),
        ("n", Arc::new(Int64Array::from(vec![1]))),
        ("_quarantined", Arc::new(BooleanArray::from(vec![false]))),
    ]);
    let staged = staged(&table, wider.unwrap()).await.in_place_of(&picked);
    commit(&mut table, staged).await.unwrap();
    let rows = query(table.provider().await.unwrap(), "select n, note from t order by n").await;
    assert_eq!((rows.num_rows(), rows.column(1).null_count()), (2, 1));
    assert!(table.pick("_quarantined", "true").unwrap().rows() == Some(0));
}
