//! Merging files, cleaning up files and log, and that neither loses a row.

use super::*;
use crate::table::Bin;
use chrono::{TimeDelta, Utc};

const TARGET: u64 = 1 << 20;

async fn merge(table: &mut Table, bin: &Bin) -> Result<Committed> {
    let staged = table.rewrite(bin, TARGET).await?;
    table.commit(Commit { mode: Mode::Rewrite, staged, txns: vec![], info: Map::new() }, "table.commit").await
}

pub(super) async fn merge_all(table: &mut Table) {
    table.refresh().await.unwrap();
    for bin in table.bins(TARGET).unwrap() {
        merge(table, &bin).await.unwrap();
    }
}

async fn all(table: &Table) -> Vec<i64> {
    let rows = query(table.provider().await.unwrap(), "select n from t order by n").await;
    rows.column(0).as_primitive::<Int64Type>().values().to_vec()
}

pub(super) fn flagged(values: &[i64], quarantined: bool) -> RecordBatch {
    let flags = BooleanArray::from(vec![quarantined; values.len()]);
    let numbers = Int64Array::from(values.to_vec());
    RecordBatch::try_from_iter([("n", Arc::new(numbers) as ArrayRef), ("_quarantined", Arc::new(flags))]).unwrap()
}

pub(super) async fn append_batch(table: &mut Table, batch: RecordBatch) {
    let staged = staged(table, batch).await;
    let commit = Commit { mode: Mode::Append, staged, txns: vec![], info: Map::new() };
    table.commit(commit, "table.commit").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn merged_files_hold_the_same_rows_in_order_and_partitions_apart() {
    let (_directory, lake) = lake().await;
    let empty = flagged(&[], false);
    let mut table = lake.create(&name("bronze.x"), empty.schema(), &["_quarantined"]).await.unwrap();
    for step in 0..10 {
        append_batch(&mut table, flagged(&[step, 100 - step], false)).await;
        append_batch(&mut table, flagged(&[-step], true)).await;
    }
    let before = all(&table).await;
    assert_eq!(table.extent(TARGET).unwrap().files, 20);
    merge_all(&mut table).await;
    let extent = table.extent(TARGET).unwrap();
    assert_eq!((extent.files, extent.small_files, table.rows()), (2, 2, Some(30)));
    assert!(extent.bytes > 0 && table.bins(TARGET).unwrap().is_empty());
    assert_eq!(all(&table).await, before);
    let good = query(table.provider().await.unwrap(), "select n from t where not _quarantined").await;
    let expected: Vec<i64> = (0..10).flat_map(|step| [step, 100 - step]).collect();
    assert_eq!(good.column(0).as_primitive::<Int64Type>().values(), &expected[..]);
    assert_eq!(table.history(1).await.unwrap()[0].operation, "OPTIMIZE");
    // Merged with what came later, the order still stands.
    for step in 10..16 {
        append_batch(&mut table, flagged(&[step], false)).await;
    }
    let bins = table.bins(TARGET).unwrap();
    assert_eq!(bins.iter().map(Bin::files).collect::<Vec<_>>(), [7]);
    merge_all(&mut table).await;
    let good = query(table.provider().await.unwrap(), "select n from t where not _quarantined").await;
    let expected: Vec<i64> = expected.into_iter().chain(10..16).collect();
    assert_eq!(good.column(0).as_primitive::<Int64Type>().values(), &expected[..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_from_before_a_column_was_added_are_merged_with_later_ones() {
    let (_directory, lake) = lake().await;
    let mut table = lake.create(&name("bronze.x"), numbers(&[]).schema(), &[]).await.unwrap();
    append(&mut table, &[1], vec![]).await.unwrap();
    let wider = RecordBatch::try_from_iter([
        ("note", Arc::new(StringArray::from(vec!["new"])) as ArrayRef),
        ("n", Arc::new(Int64Array::from(vec![2]))),
    ]);
    append_batch(&mut table, wider.unwrap()).await;
    merge_all(&mut table).await;
    let rows = query(table.provider().await.unwrap(), "select n, note from t order by n").await;
    assert_eq!((rows.num_rows(), rows.column(1).null_count(), table.extent(TARGET).unwrap().files), (2, 1, 1));
}

/// Four writers of 50 commits each, and one that merges all the while.
#[tokio::test(flavor = "multi_thread")]
async fn appends_and_merges_do_not_hinder_each_other() {
    let (_directory, lake) = lake().await;
    lake.create(&name("bronze.x"), numbers(&[]).schema(), &[]).await.unwrap();
    let writer = |lake: Lake, writer: i64| async move {
        let mut table = lake.table(&name("bronze.x")).await.unwrap().unwrap();
        let app = writer.to_string();
        for step in 0..50 {
            let position = txn(&app, (step > 0).then_some(step), step + 1);
            let done = append(&mut table, &[writer * 50 + step], vec![position]).await.unwrap();
            assert!(matches!(done, Committed::Done { .. }), "{writer} {step}: {done:?}");
        }
    };
    let writers: Vec<_> = (0..4).map(|number| tokio::spawn(writer(lake.clone(), number))).collect();
    let mut table = lake.table(&name("bronze.x")).await.unwrap().unwrap();
    let mut merged = 0;
    while !writers.iter().all(|writer| writer.is_finished()) {
        table.refresh().await.unwrap();
        for bin in table.bins(TARGET).unwrap() {
            let done = merge(&mut table, &bin).await.unwrap();
            assert!(matches!(done, Committed::Done { .. }), "{done:?}");
            merged += bin.files();
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    merge_all(&mut table).await;
    assert!(merged > 20, "only {merged} files were merged beside the writers");
    let fresh = lake.table(&name("bronze.x")).await.unwrap().unwrap();
    assert_eq!(all(&fresh).await, (0..200).collect::<Vec<_>>());
    for number in ["0", "1", "2", "3"] {
        assert_eq!(fresh.txn(number).await.unwrap(), Some(50));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_merge_the_same_files_one_gives_up_and_leaves_none() {
    let (directory, lake) = lake().await;
    let mut table = lake.create(&name("bronze.x"), numbers(&[]).schema(), &[]).await.unwrap();
    for value in 0..5 {
        append(&mut table, &[value], vec![]).await.unwrap();
    }
    let mut other = table.clone();
    let (first, second) = (table.bins(TARGET).unwrap(), other.bins(TARGET).unwrap());
    let late = other.rewrite(&second[0], TARGET).await.unwrap();
    merge(&mut table, &first[0]).await.unwrap();
    let commit = Commit { mode: Mode::Rewrite, staged: late, txns: vec![], info: Map::new() };
    assert_eq!(other.commit(commit, "table.commit").await.unwrap_err().kind(), Kind::Conflict);
    assert_eq!((all(&other).await, files_below(directory.path())), (vec![0, 1, 2, 3, 4], 6));
    // Somebody replaced the table while its files were merged.
    append(&mut table, &[5], vec![]).await.unwrap();
    let bins = table.bins(TARGET).unwrap();
    let late = table.rewrite(&bins[0], TARGET).await.unwrap();
    other.refresh().await.unwrap();
    replace(&mut other, numbers(&[7]), vec![]).await.unwrap();
    let commit = Commit { mode: Mode::Rewrite, staged: late, txns: vec![], info: Map::new() };
    assert_eq!(table.commit(commit, "table.commit").await.unwrap_err().kind(), Kind::Conflict);
    assert_eq!(all(&table).await, [7]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_goes_on_beside_a_merge_and_removes_what_it_made() {
    let (_directory, lake) = lake().await;
    let mut table = lake.create(&name("gold.x"), numbers(&[]).schema(), &[]).await.unwrap();
    for value in 0..4 {
        append(&mut table, &[value], vec![]).await.unwrap();
    }
    let rebuilt = staged(&table, numbers(&[9])).await;
    let mut other = table.clone();
    merge_all(&mut other).await;
    let commit = Commit { mode: Mode::Replace, staged: rebuilt, txns: vec![], info: Map::new() };
    table.commit(commit, "table.commit").await.unwrap();
    assert_eq!(all(&table).await, [9]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_the_same_while_files_are_only_merged() {
    let (_directory, lake) = lake().await;
    let mut table = lake.create(&name("bronze.x"), numbers(&[]).schema(), &[]).await.unwrap();
    for value in 0..4 {
        append(&mut table, &[value], vec![]).await.unwrap();
    }
    merge_all(&mut table).await;
    assert_eq!(table.version(), 5);
    for (version, same) in [(5, true), (4, true), (3, false), (6, false), (-1, false)] {
        assert_eq!(table.same_rows_since(version).await.unwrap(), same, "{version}");
    }
    append(&mut table, &[4], vec![]).await.unwrap();
    assert!(!table.same_rows_since(5).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_files_that_nothing_needs_are_deleted() {
    let (directory, lake) = lake().await;
    let empty = flagged(&[], false);
    let mut table = lake.create(&name("bronze.x"), empty.schema(), &["_quarantined"]).await.unwrap();
    for value in 0..4 {
        append_batch(&mut table, flagged(&[value], false)).await;
    }
    let pinned = table.at(2).await.unwrap();
    merge_all(&mut table).await;
    let in_flight = staged(&table, flagged(&[8], false)).await;
    let later = Utc::now() + TimeDelta::minutes(1);
    let earlier = Utc::now() - TimeDelta::minutes(1);
    assert_eq!(table.unused_files(&[], earlier).await.unwrap().paths().len(), 0, "young files stay");
    // Four were merged, of which the pinned version needs two; the staged one is young only by a later clock.
    assert_eq!(table.unused_files(&[], later).await.unwrap().paths().len(), 5);
    let unused = table.unused_files(std::slice::from_ref(&pinned), later).await.unwrap();
    assert_eq!((unused.paths().len(), unused.bytes > 0), (3, true));
    in_flight.discard().await;
    let before = files_below(directory.path());
    let unused = table.unused_files(std::slice::from_ref(&pinned), later).await.unwrap();
    table.delete_unused(unused).await.unwrap();
    assert_eq!(files_below(directory.path()), before - 2);
    assert_eq!((all(&table).await, all(&pinned).await), (vec![0, 1, 2, 3], vec![0, 1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_cleaned_up_to_a_checkpoint_and_the_table_stands() {
    let (_directory, lake) = lake().await;
    let mut table = lake.create(&name("bronze.x"), numbers(&[]).schema(), &[]).await.unwrap();
    for value in 0..25 {
        append(&mut table, &[value], vec![txn("a", (value > 0).then_some(value), value + 1)]).await.unwrap();
    }
    assert!(!table.has_checkpoint().await.unwrap() && table.at(19).await.unwrap().has_checkpoint().await.unwrap());
    table.checkpoint().await.unwrap();
    assert!(table.has_checkpoint().await.unwrap());
    let log = table.log_files(chrono::Utc::now()).await.unwrap();
    assert_eq!(log.may_begin_at(24), Some(19));
    assert_eq!(table.begin_log_at(19, &log).await.unwrap(), 19);
    let mut fresh = lake.table(&name("bronze.x")).await.unwrap().unwrap();
    assert_eq!((all(&fresh).await.len(), fresh.txn("a").await.unwrap()), (25, Some(25)));
    assert_eq!(
        (fresh.history(usize::MAX).await.unwrap().len(), all(&fresh.at(19).await.unwrap()).await.len()),
        (7, 19)
    );
    assert_eq!(fresh.at(18).await.err().unwrap().kind(), Kind::Input);
    append(&mut fresh, &[25], vec![txn("a", Some(25), 26)]).await.unwrap();
    // A writer that looked on while the log was cleaned goes on.
    append(&mut table, &[26], vec![txn("a", Some(26), 27)]).await.unwrap();
    assert_eq!(all(&table).await.len(), 27);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_forgets_positions_is_refused() {
    let (_directory, lake) = lake().await;
    let mut table = lake.create(&name("bronze.x"), numbers(&[]).schema(), &[]).await.unwrap();
    table.keeps_positions().unwrap();
    let log = table.log.clone();
    let property = [("delta.setTransactionRetentionDuration".to_string(), "interval 7 days".to_string())];
    let mut foreign = deltalake::DeltaTable::new(log);
    foreign.load().await.unwrap();
    foreign.set_tbl_properties().with_properties(property.into()).await.unwrap();
    let error = append(&mut table, &[1], vec![txn("a", None, 1)]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().contains("`bronze.x` forgets positions") && error.hint_text().is_some(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_do_not_grow_with_the_files_that_were_merged() {
    let (directory, lake) = lake().await;
    let mut table = lake.create(&name("bronze.x"), numbers(&[]).schema(), &[]).await.unwrap();
    let mut sizes = Vec::new();
    for round in 0..6 {
        for value in 0..10 {
            append(&mut table, &[round * 10 + value], vec![]).await.unwrap();
        }
        merge_all(&mut table).await;
        table.checkpoint().await.unwrap();
        let name = format!("{:020}.checkpoint.parquet", table.version());
        let path = directory.path().join("a lake/of mine, é #1 100%/bronze/x/_delta_log").join(name);
        sizes.push(std::fs::metadata(path).unwrap().len());
    }
    assert!(sizes[5] < sizes[0] + sizes[0] / 20, "{sizes:?}");
    assert_eq!(all(&table).await, (0..60).collect::<Vec<_>>());
    // A table that is kept up to date for long is read anew now and then, and misses nothing by that.
    let mut other = lake.table(&name("bronze.x")).await.unwrap().unwrap();
    for value in 60..180 {
        append(&mut table, &[value], vec![txn("a", (value > 60).then_some(value), value + 1)]).await.unwrap();
        other.refresh().await.unwrap();
        assert_eq!(other.txn("a").await.unwrap(), Some(value + 1));
    }
    assert_eq!(all(&other).await.len(), 180);
}
