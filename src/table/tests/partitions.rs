//! Tables with many partitions: names that need escaping, more of them than files can be open, rows that come mixed.

use super::*;

const BY: &[&str] = &["_quarantined", "day"];

/// A row for each of the values, numbered from 0.
fn rows(values: &[Option<&str>]) -> RecordBatch {
    let numbers: Vec<i64> = (0..values.len() as i64).collect();
    let columns: [(&str, ArrayRef); 3] = [
        ("n", Arc::new(Int64Array::from(numbers))),
        ("day", Arc::new(StringArray::from(values.to_vec()))),
        ("_quarantined", Arc::new(BooleanArray::from(vec![false; values.len()]))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

async fn table_of(lake: &Lake, batch: &RecordBatch) -> Table {
    lake.create(&name("bronze.x"), batch.schema(), BY).await.unwrap()
}

async fn commit(table: &mut Table, staged: Staged) {
    let commit = Commit { mode: Mode::Append, staged, txns: vec![], info: Map::new() };
    table.commit(commit, "table.commit").await.unwrap();
}

async fn count(table: &Table, condition: &str) -> i64 {
    let sql = format!("select count(*) from t where {condition}");
    query(table.provider().await.unwrap(), &sql).await.column(0).as_primitive::<Int64Type>().value(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_any_kind_come_back_and_an_empty_text_is_null() {
    let (_directory, lake) = lake().await;
    let odd = "a/b c%=é:#?*'\"\\ {x}";
    let values = [Some(odd), None, Some(""), Some("x"), Some(odd), Some("__HIVE_DEFAULT_PARTITION__"), Some("x")];
    let batch = rows(&values);
    let mut table = table_of(&lake, &batch).await;
    let staged = staged(&table, batch).await;
    commit(&mut table, staged).await;
    let read = query(table.provider().await.unwrap(), "select n, day from t order by n").await;
    let read = arrow::compute::cast(read.column(1), &DataType::Utf8).unwrap();
    let mut expected = values;
    expected[2] = None;
    assert_eq!(read.as_string::<i32>().iter().collect::<Vec<_>>(), expected);
    assert_eq!(table.standing().unwrap().count(), 4);
    let standing = query(table.provider().await.unwrap(), "select n from t where day = 'x'").await;
    assert_eq!(
        standing.column(0).as_primitive::<Int64Type>().values(),
        &[3, 6],
        "rows of a partition keep their order"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_without_end_cost_files_and_lose_nothing() {
    const VALUES: usize = 1_000;
    let (_directory, lake) = lake().await;
    let values: Vec<String> = (0..VALUES).map(|n| format!("day {n}")).collect();
    let batch = rows(&values.iter().map(|value| Some(value.as_str())).collect::<Vec<_>>());
    let mut table = table_of(&lake, &batch).await;
    let mut stage = table.stage(batch.schema()).await.unwrap();
    stage.write(batch.slice(0, VALUES / 2)).await.unwrap();
    stage.write(batch.slice(VALUES / 2, VALUES / 2)).await.unwrap();
    let staged = stage.finish().await.unwrap();
    assert_eq!((staged.rows, staged.files().adds.len()), (VALUES as u64, VALUES));
    commit(&mut table, staged).await;
    assert_eq!(table.rows(), Some(VALUES as u64));
    assert_eq!(count(&table, "day = 'day 471' and n = 471").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_hold_too_much_together_are_closed() {
    let (_directory, lake) = lake().await;
    let batch = |day: usize| {
        let numbers = Int64Array::from(vec![day as i64; 64 << 10]);
        let columns: [(&str, ArrayRef); 3] = [
            ("day", Arc::new(StringArray::from(vec![format!("d{day}"); numbers.len()]))),
            ("_quarantined", Arc::new(BooleanArray::from(vec![false; numbers.len()]))),
            ("n", Arc::new(numbers)),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    };
    let mut table = table_of(&lake, &batch(0)).await;
    let mut stage = table.stage(batch(0).schema()).await.unwrap().tuned(1 << 20, &[]);
    // 6 partitions of 8 MB each, where two may hold 30 MB.
    for _ in 0..16 {
        for day in 0..6 {
            stage.write(batch(day)).await.unwrap();
        }
    }
    let begun = stage.files();
    let staged = stage.finish().await.unwrap();
    assert!(begun > 6 && begun < 30, "{begun} files were begun");
    assert_eq!(staged.rows, 16 * 6 * (64 << 10));
    commit(&mut table, staged).await;
    assert_eq!(count(&table, "day = 'd5'").await, 16 * (64 << 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_merged_within_their_partition() {
    const TARGET: u64 = 1 << 20;
    let (_directory, lake) = lake().await;
    let batch = rows(&[Some("a/b"), Some("c"), None, Some("c")]);
    let mut table = table_of(&lake, &batch).await;
    for _ in 0..5 {
        let staged = staged(&table, batch.clone()).await;
        commit(&mut table, staged).await;
    }
    assert_eq!(table.extent(TARGET).unwrap().files, 15);
    for bin in table.bins(TARGET).unwrap() {
        let staged = table.rewrite(&bin, TARGET).await.unwrap();
        let merged = Commit { mode: Mode::Rewrite, staged, txns: vec![], info: Map::new() };
        table.commit(merged, "table.commit").await.unwrap();
    }
    assert_eq!((table.extent(TARGET).unwrap().files, table.rows()), (3, Some(20)));
    for (condition, rows) in [("day = 'a/b' and n = 0", 5), ("day = 'c'", 10), ("day is null", 5)] {
        assert_eq!(count(&table, condition).await, rows, "{condition}");
    }
}
