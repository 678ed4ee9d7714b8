//! Columns that come while rows are written, and two writers that disagree about them.

use super::*;

fn with(column: &str, values: ArrayRef) -> RecordBatch {
    let numbers = Int64Array::from(vec![1; values.len()]);
    RecordBatch::try_from_iter([("n", Arc::new(numbers) as ArrayRef), (column, values)]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_one_commit_may_have_different_columns() {
    let (_directory, lake) = lake().await;
    let mut table = lake.create(&name("bronze.x"), numbers(&[]).schema(), &[]).await.unwrap();
    let mut stage = table.stage(table.schema()).await.unwrap();
    stage.write(numbers(&[1, 2])).await.unwrap();
    let late = with("late", Arc::new(StringArray::from(vec!["a"])));
    stage.widen(late.schema()).await.unwrap();
    stage.write(late.clone()).await.unwrap();
    stage.widen(late.schema()).await.unwrap();
    let staged = stage.finish().await.unwrap();
    assert_eq!(staged.rows, 3);
    table.commit(Commit { mode: Mode::Append, staged, txns: vec![], info: Map::new() }, "table.commit").await.unwrap();
    let read = query(table.provider().await.unwrap(), "select n, late from t order by n, late nulls last").await;
    let texts: Vec<_> = cast_to_text(&read, 1);
    assert_eq!(texts, [Some("a".to_string()), None, None]);
    let (bins, target) = (table.bins(1 << 20).unwrap(), 1 << 20);
    let staged = table.rewrite(&bins[0], target).await.unwrap();
    table.commit(Commit { mode: Mode::Rewrite, staged, txns: vec![], info: Map::new() }, "table.commit").await.unwrap();
    let read = query(table.provider().await.unwrap(), "select n, late from t order by n, late nulls last").await;
    assert_eq!(cast_to_text(&read, 1), texts);

    let unused = async || table.unused_files(&[], chrono::Utc::now()).await.unwrap().paths().count();
    let before = unused().await;
    let mut stage = table.stage(table.schema()).await.unwrap();
    stage.write(late.clone()).await.unwrap();
    stage.widen(late.schema()).await.unwrap();
    stage.abort().await;
    assert_eq!(unused().await, before);
}

fn cast_to_text(batch: &RecordBatch, column: usize) -> Vec<Option<String>> {
    let column = arrow::compute::cast(batch.column(column), &DataType::Utf8).unwrap();
    column.as_string::<i32>().iter().map(|text| text.map(str::to_string)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_whose_columns_another_writer_gave_other_types_changes_nothing() {
    let (_directory, lake) = lake().await;
    let mut one = lake.create(&name("bronze.x"), numbers(&[]).schema(), &[]).await.unwrap();
    let mut other = one.clone();
    let texts = staged(&other, with("late", Arc::new(StringArray::from(vec!["a"])))).await;
    let whole = staged(&one, with("late", Arc::new(Int64Array::from(vec![7])))).await;
    let commit = |staged| Commit { mode: Mode::Append, staged, txns: vec![txn("a", None, 1)], info: Map::new() };
    assert_eq!(one.commit(commit(whole), "table.commit").await.unwrap(), Committed::Done { version: 1 });
    let second = Commit { txns: vec![txn("b", None, 1)], ..commit(texts) };
    assert_eq!(other.commit(second, "table.commit").await.unwrap(), Committed::Reshaped);
    assert_eq!((other.version(), other.txn("b").await.unwrap(), other.rows()), (1, None, Some(1)));
    let more = staged(&one, with("more", Arc::new(StringArray::from(vec!["a"])))).await;
    let third = Commit { txns: vec![txn("b", None, 1)], ..commit(more) };
    assert_eq!(other.commit(third, "table.commit").await.unwrap(), Committed::Done { version: 2 });
}

fn dated(first: i32) -> RecordBatch {
    RecordBatch::try_from_iter([
        ("n", Arc::new(arrow::array::Int32Array::from(vec![Some(first), Some(i32::MAX), None])) as ArrayRef),
        ("f", Arc::new(arrow::array::Float32Array::from(vec![Some(0.1), Some(f32::MIN_POSITIVE), None]))),
        ("d", Arc::new(Date32Array::from(vec![Some(-1), Some(19_000), None]))),
        ("p", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
    ])
    .unwrap()
}

fn wide_types() -> SchemaRef {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    let moment = DataType::Timestamp(TimeUnit::Microsecond, None);
    let columns = [("n", DataType::Int64), ("f", DataType::Float64), ("d", moment), ("p", DataType::Boolean)];
    Arc::new(Schema::new(columns.map(|(name, data_type)| field(name, data_type)).to_vec()))
}

async fn written_anew(table: &Table, types: SchemaRef, done: Option<Staged>) -> Result<Staged> {
    table.rewrite_all(types, 1 << 20, done, &|| Ok(())).await
}

fn widening(staged: Staged) -> Commit {
    Commit { mode: Mode::Widen, staged, txns: vec![], info: Map::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn types_get_wider_with_every_value_as_it_was() {
    let (_directory, lake) = lake().await;
    let mut table = lake.create(&name("bronze.x"), dated(0).schema(), &["p"]).await.unwrap();
    for first in [1, 2] {
        let staged = staged(&table, dated(first)).await;
        let commit = Commit { mode: Mode::Append, staged, txns: vec![txn("a", None, 1)], info: Map::new() };
        table.commit(Commit { txns: vec![txn(&first.to_string(), None, 1)], ..commit }, "table.commit").await.unwrap();
    }
    let before = table.clone();
    let staged = written_anew(&table, wide_types(), None).await.unwrap();
    assert_eq!(staged.rows, 6);
    let done = table.commit(widening(staged), "table.commit").await.unwrap();
    assert_eq!(done, Committed::Done { version: 3 });
    assert_eq!((table.schema(), table.rows(), table.txn("2").await.unwrap()), (wide_types(), Some(6), Some(1)));
    let entry = log::entry(table.log.as_ref(), "bronze.x", 3).await.unwrap().unwrap();
    assert!(entry.changes_columns && !entry.info.changes_rows);
    let sql = "select n, cast(f as double) as f, cast(d as timestamp) as d, p from t order by n, f, d";
    let (old, new) =
        (query(before.provider().await.unwrap(), sql).await, query(table.provider().await.unwrap(), sql).await);
    for column in 0..4 {
        let text = |batch: &RecordBatch| cast_to_text(batch, column);
        assert_eq!(text(&old), text(&new), "{column}");
    }
    let again = lake.table(&name("bronze.x")).await.unwrap().unwrap();
    assert_eq!(again.at(2).await.unwrap().schema(), before.schema());
}

#[tokio::test(flavor = "multi_thread")]
async fn types_do_not_get_wider_over_what_another_writer_did_meanwhile() {
    let (_directory, lake) = lake().await;
    let mut table = lake.create(&name("bronze.x"), dated(0).schema(), &[]).await.unwrap();
    let append = |staged| Commit { mode: Mode::Append, staged, txns: vec![], info: Map::new() };
    table.commit(append(staged(&table, dated(1)).await), "table.commit").await.unwrap();
    let late = RecordBatch::try_from_iter([("late", Arc::new(StringArray::from(vec!["a"])) as ArrayRef)]).unwrap();
    let wide = written_anew(&table, wide_types(), None).await.unwrap();
    let mut faster = table.clone();
    faster.commit(append(staged(&faster, dated(2)).await), "table.commit").await.unwrap();
    let outgrown = table.commit(widening(wide.clone()), "table.commit").await.unwrap();
    assert_eq!((outgrown, table.has_files_of(&wide)), (Committed::Outgrown, true));
    // Only what came in is written.
    let both = written_anew(&table, wide_types(), Some(wide.clone())).await.unwrap();
    assert_eq!((wide.rows, both.rows), (3, 6));
    assert_eq!(wide.files().adds[..], both.files().adds[..wide.files().adds.len()]);
    let stopped = table.rewrite_all(wide_types(), 1 << 20, None, &|| Err(Error::interrupted(15))).await;
    assert_eq!(stopped.err().map(|error| error.kind()), Some(Kind::Interrupted(15)));
    faster.commit(append(staged(&faster, late).await), "table.commit").await.unwrap();
    let expected = faster.schema();
    let error = table.commit(widening(both), "table.commit").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict, "{error}");
    table.refresh().await.unwrap();
    assert_eq!((table.schema(), table.version()), (expected, faster.version()));
    assert_eq!(
        written_anew(&table, wide_types(), None).await.err().unwrap().kind(),
        Kind::Internal,
        "a column would be lost"
    );
    let narrow = staged(&table, dated(3)).await;
    let mut fields = wide_types().fields().to_vec();
    fields.insert(0, Field::new("late", DataType::Utf8, true).into());
    let wide = written_anew(&table, Arc::new(Schema::new(fields)), None).await.unwrap();
    let mut slower = table.clone();
    assert!(matches!(table.commit(widening(wide), "table.commit").await.unwrap(), Committed::Done { .. }));
    assert_eq!(slower.commit(append(narrow), "table.commit").await.unwrap(), Committed::Reshaped);
}
