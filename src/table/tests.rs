//! Tables on a temporary directory; their columns in `columns`, on a store that loses replies in `lossy`, with many
//! partitions in `partitions`, their maintenance in `upkeep`, files that give way to others in `exchange`, damaged logs in
//! `damage`, what is no table in `beside`.

mod beside;
mod columns;
mod damage;
mod exact;
mod exchange;
mod lossy;
mod partitions;
mod upkeep;

use super::*;
use crate::ident::Layer;
use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit};
use arrow::record_batch::RecordBatch;
use deltalake::datafusion::common::ScalarValue;
use deltalake::datafusion::prelude::{SessionContext, col, lit};
use serde_json::{Map, json};

async fn lake() -> (tempfile::TempDir, Lake) {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("a lake/of mine, é #1 100%").display().to_string();
    let lake = Lake::open(&LakeConfig { root: root.clone(), ..LakeConfig::default() }).await.unwrap();
    assert_eq!(lake.root(), root);
    (directory, lake)
}

fn name(text: &str) -> TableName {
    TableName::parse(text).unwrap()
}

fn numbers(values: &[i64]) -> RecordBatch {
    RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(values.to_vec())) as _)]).unwrap()
}

async fn staged(table: &Table, batch: RecordBatch) -> Staged {
    let mut stage = table.stage(batch.schema()).await.unwrap();
    stage.write(batch).await.unwrap();
    stage.finish().await.unwrap()
}

fn txn(app: &str, expected: Option<i64>, next: i64) -> Txn {
    Txn { app: app.into(), expected, next }
}

async fn append(table: &mut Table, values: &[i64], txns: Vec<Txn>) -> Result<Committed> {
    let staged = staged(table, numbers(values)).await;
    table.commit(Commit { mode: Mode::Append, staged, txns, info: Map::new() }, "table.commit").await
}

async fn replace(table: &mut Table, batch: RecordBatch, txns: Vec<Txn>) -> Result<Committed> {
    let staged = staged(table, batch).await;
    table.commit(Commit { mode: Mode::Replace, staged, txns, info: Map::new() }, "table.commit").await
}

async fn query(provider: Arc<dyn TableProvider>, sql: &str) -> RecordBatch {
    let context = SessionContext::new();
    context.register_table("t", provider).unwrap();
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap()
}

async fn sum(table: &Table) -> i64 {
    let result = query(table.provider().await.unwrap(), "select coalesce(sum(n), 0) from t").await;
    result.column(0).as_primitive::<Int64Type>().value(0)
}

fn files_below(directory: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| match entry.file_type().unwrap().is_dir() {
            true => files_below(&entry.path()),
            false => usize::from(entry.path().extension().is_some_and(|extension| extension == "parquet")),
        })
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_created_once_and_found_again() {
    let (_directory, lake) = lake().await;
    let books = name("silver.books");
    assert!(lake.table(&books).await.unwrap().is_none());
    assert!(lake.tables(Layer::Silver).await.unwrap().is_empty());
    let created = lake.create(&books, numbers(&[]).schema(), &[]).await.unwrap();
    assert_eq!((created.version(), created.rows()), (0, Some(0)));
    let other = Arc::new(Schema::new(vec![Field::new("other", DataType::Utf8, false)]));
    assert_eq!(lake.create(&books, other, &[]).await.unwrap().schema().field(0).name(), "n");
    assert_eq!(lake.tables(Layer::Silver).await.unwrap(), [books]);
    assert!(lake.tables(Layer::Gold).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_creators_agree_on_one_table() {
    let (_directory, lake) = lake().await;
    let create =
        |lake: Lake| async move { lake.create(&name("bronze.x"), numbers(&[]).schema(), &[]).await.unwrap().version() };
    let versions: Vec<_> = futures::future::join_all((0..8).map(|_| tokio::spawn(create(lake.clone())))).await;
    assert!(versions.into_iter().all(|version| version.unwrap() == 0));
    assert_eq!(lake.table(&name("bronze.x")).await.unwrap().unwrap().version(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_add_up_and_carry_their_information() {
    let (_directory, lake) = lake().await;
    let mut table = lake.create(&name("silver.x"), numbers(&[]).schema(), &[]).await.unwrap();
    for (step, values) in [[1, 2], [3, 4]].iter().enumerate() {
        let staged = staged(&table, numbers(values)).await;
        assert_eq!(staged.rows, 2);
        let info = Map::from_iter([("step".to_string(), json!(step))]);
        let done =
            table.commit(Commit { mode: Mode::Append, staged, txns: vec![], info }, "table.commit").await.unwrap();
        assert_eq!(done, Committed::Done { version: step as i64 + 1 });
    }
    assert_eq!((sum(&table).await, table.rows()), (10, Some(4)));
    let history = table.history(2).await.unwrap();
    assert_eq!(history.iter().map(|commit| commit.version).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(history[0].info["step"], json!(1));
    assert_eq!(history[0].operation, "WRITE");
    assert!(history[0].timestamp_ms.is_some());
    assert_eq!(table.history(100).await.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_versions_stay_readable() {
    let (_directory, lake) = lake().await;
    let mut table = lake.create(&name("silver.x"), numbers(&[]).schema(), &[]).await.unwrap();
    append(&mut table, &[1], vec![]).await.unwrap();
    let old = table.clone();
    append(&mut table, &[2], vec![]).await.unwrap();
    assert_eq!((sum(&old).await, sum(&table).await), (1, 3));
    let again = table.at(1).await.unwrap();
    assert_eq!((again.version(), sum(&again).await), (1, 1));
    assert_eq!(old.at(2).await.unwrap().rows(), Some(2));
    for missing in [-1, 3, 99] {
        assert_eq!(table.at(missing).await.err().unwrap().kind(), Kind::Input, "{missing}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_position_fences_and_leaves_no_file() {
    let (directory, lake) = lake().await;
    let mut table = lake.create(&name("bronze.x"), numbers(&[]).schema(), &[]).await.unwrap();
    let mut zombie = table.clone();
    append(&mut table, &[1], vec![txn("a", None, 5)]).await.unwrap();
    assert_eq!(table.txn("a").await.unwrap(), Some(5));
    assert_eq!(table.txn("b").await.unwrap(), None);
    let before = files_below(directory.path());
    let fenced = append(&mut zombie, &[1], vec![txn("b", None, 1), txn("a", None, 5)]).await.unwrap();
    assert_eq!(fenced, Committed::Fenced { app: "a".into(), stored: Some(5) });
    assert_eq!(files_below(directory.path()), before);
    // The same position written again is no progress either.
    assert!(matches!(append(&mut zombie, &[1], vec![txn("a", Some(4), 5)]).await.unwrap(), Committed::Fenced { .. }));
    assert_eq!(append(&mut zombie, &[2], vec![txn("a", Some(5), 6)]).await.unwrap(), Committed::Done { version: 2 });
    table.refresh().await.unwrap();
    assert_eq!((sum(&table).await, table.txn("a").await.unwrap()), (3, Some(6)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_rows_still_moves_the_position() {
    let (_directory, lake) = lake().await;
    let mut table = lake.create(&name("bronze.x"), numbers(&[]).schema(), &[]).await.unwrap();
    let staged = table.stage(table.schema()).await.unwrap().finish().await.unwrap();
    let empty = staged.provider().await.unwrap();
    assert_eq!(query(empty, "select count(*) from t").await.column(0).as_primitive::<Int64Type>().value(0), 0);
    let commit = Commit { mode: Mode::Append, staged, txns: vec![txn("a", None, 9)], info: Map::new() };
    assert_eq!(table.commit(commit, "table.commit").await.unwrap(), Committed::Done { version: 1 });
    assert_eq!(lake.table(&name("bronze.x")).await.unwrap().unwrap().txn("a").await.unwrap(), Some(9));
}

#[tokio::test(flavor = "multi_thread")]
async fn disjoint_writers_do_not_lose_a_row() {
    let (_directory, lake) = lake().await;
    lake.create(&name("bronze.x"), numbers(&[]).schema(), &[]).await.unwrap();
    let writer = |lake: Lake, app: &'static str| async move {
        let mut table = lake.table(&name("bronze.x")).await.unwrap().unwrap();
        for step in 0..20 {
            let expected = (step > 0).then_some(step);
            let done = append(&mut table, &[1], vec![txn(app, expected, step + 1)]).await.unwrap();
            assert!(matches!(done, Committed::Done { .. }), "{app} {step}: {done:?}");
        }
    };
    let tasks = ["a", "b"].map(|app| tokio::spawn(writer(lake.clone(), app)));
    for task in tasks {
        task.await.unwrap();
    }
    let table = lake.table(&name("bronze.x")).await.unwrap().unwrap();
    assert_eq!((table.version(), sum(&table).await, table.rows()), (40, 40, Some(40)));
    assert_eq!((table.txn("a").await.unwrap(), table.txn("b").await.unwrap()), (Some(20), Some(20)));
    assert!(lake.list("bronze/x/_delta_log").await.unwrap().iter().any(|path| path.contains("checkpoint")));
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_one_position_take_turns() {
    let (_directory, lake) = lake().await;
    lake.create(&name("bronze.x"), numbers(&[]).schema(), &[]).await.unwrap();
    let writer = |lake: Lake| async move {
        let mut table = lake.table(&name("bronze.x")).await.unwrap().unwrap();
        let mut done = 0;
        while table.txn("a").await.unwrap().unwrap_or(0) < 10 {
            let at = table.txn("a").await.unwrap();
            let committed = append(&mut table, &[1], vec![txn("a", at, at.unwrap_or(0) + 1)]).await.unwrap();
            done += i64::from(matches!(committed, Committed::Done { .. }));
        }
        done
    };
    let tasks = [(); 3].map(|()| tokio::spawn(writer(lake.clone())));
    let mut total = 0;
    for task in tasks {
        total += task.await.unwrap();
    }
    let table = lake.table(&name("bronze.x")).await.unwrap().unwrap();
    assert_eq!((total, sum(&table).await, table.version()), (10, 10, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn replacing_changes_rows_and_columns_in_one_commit() {
    let (_directory, lake) = lake().await;
    let mut table = lake.create(&name("gold.x"), numbers(&[]).schema(), &[]).await.unwrap();
    append(&mut table, &[1, 2], vec![txn("a", None, 1)]).await.unwrap();
    let times = TimestampMicrosecondArray::from(vec![Some(1), None]);
    let batch = RecordBatch::try_from_iter([
        ("name", Arc::new(StringArray::from(vec!["é", "b"])) as _),
        ("n", Arc::new(StringArray::from(vec!["10", "20"])) as _),
        ("at", Arc::new(times) as _),
    ])
    .unwrap();
    let done = replace(&mut table, batch.clone(), vec![txn("a", Some(1), 2)]).await.unwrap();
    assert_eq!(done, Committed::Done { version: 2 });
    for table in [table.clone(), lake.table(&name("gold.x")).await.unwrap().unwrap()] {
        let columns: Vec<_> = table.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(columns, ["name", "n", "at"]);
        assert_eq!(table.schema().field(2).data_type(), &DataType::Timestamp(TimeUnit::Microsecond, None));
        assert_eq!(table.rows(), Some(2));
        assert_eq!(query(table.provider().await.unwrap(), "select * from t where at is null").await.num_rows(), 1);
        assert_eq!(sum(&table.at(1).await.unwrap()).await, 3);
    }
    // Replaced by the same columns: no new schema, and the rows of before are gone.
    replace(&mut table, batch, vec![]).await.unwrap();
    assert_eq!(table.rows(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn replacing_refuses_what_changed_meanwhile() {
    let (_directory, lake) = lake().await;
    let mut table = lake.create(&name("gold.x"), numbers(&[]).schema(), &[]).await.unwrap();
    let rebuilt = staged(&table, numbers(&[7])).await;
    let mut other = table.clone();
    append(&mut other, &[1], vec![]).await.unwrap();
    table.refresh().await.unwrap();
    let commit = Commit { mode: Mode::Replace, staged: rebuilt, txns: vec![], info: Map::new() };
    assert_eq!(table.commit(commit, "table.commit").await.unwrap_err().kind(), Kind::Conflict);
    assert_eq!(sum(&table).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn appending_may_add_columns_but_not_change_one() {
    let (directory, lake) = lake().await;
    let mut table = lake.create(&name("bronze.x"), numbers(&[]).schema(), &[]).await.unwrap();
    append(&mut table, &[1], vec![]).await.unwrap();
    let wider = RecordBatch::try_from_iter([
        ("n", Arc::new(Int64Array::from(vec![2])) as _),
        ("note", Arc::new(StringArray::from(vec!["new"])) as _),
    ])
    .unwrap();
    let wide = staged(&table, wider).await;
    let commit = Commit { mode: Mode::Append, staged: wide, txns: vec![], info: Map::new() };
    table.commit(commit, "table.commit").await.unwrap();
    let notes = query(table.provider().await.unwrap(), "select note from t where note is null").await;
    assert_eq!((notes.num_rows(), sum(&table).await), (1, 3));
    // Rows without the newer column still fit.
    append(&mut table, &[3], vec![]).await.unwrap();
    assert_eq!(table.schema().fields().len(), 2);
    let text = RecordBatch::try_from_iter([("n", Arc::new(StringArray::from(vec!["x"])) as _)]).unwrap();
    let wrong = staged(&table, text).await;
    let commit = Commit { mode: Mode::Append, staged: wrong, txns: vec![], info: Map::new() };
    assert_eq!(table.commit(commit, "table.commit").await.unwrap_err().kind(), Kind::Config);
    assert_eq!(files_below(directory.path()), 3, "a refused commit leaves no file");
}

#[tokio::test(flavor = "multi_thread")]
async fn staged_files_are_readable_before_they_are_visible() {
    let (directory, lake) = lake().await;
    let schema = Arc::new(Schema::new(vec![
        Field::new("n", DataType::Int64, true),
        Field::new("_quarantined", DataType::Boolean, true),
        Field::new("Author(s)", DataType::Utf8, true),
        Field::new("Approximate sales in millions", DataType::Utf8, true),
    ]));
    let mut table = lake.create(&name("bronze.x"), schema.clone(), &["_quarantined"]).await.unwrap();
    assert_eq!(table.partition_by(), ["_quarantined"]);
    let batch = RecordBatch::try_new(
        schema.clone(),
        vec![
            Arc::new(Int64Array::from(vec![1, 2, 3])),
            Arc::new(BooleanArray::from(vec![false, true, false])),
            Arc::new(StringArray::from(vec![Some("a"), None, Some("ц")])),
            Arc::new(StringArray::from(vec!["1.5", "x", "3"])),
        ],
    )
    .unwrap();
    let staged = staged(&table, batch).await;
    let good = r#"select "n", "Author(s)", "_quarantined", "Approximate sales in millions" from t
        where not _quarantined order by n"#;
    let check = |rows: RecordBatch| {
        assert_eq!(rows.column(0).as_primitive::<Int64Type>().values(), &[1, 3]);
        let text = arrow::compute::cast(rows.column(1), &DataType::Utf8).unwrap();
        assert_eq!(text.as_string::<i32>().iter().collect::<Vec<_>>(), [Some("a"), Some("ц")]);
        assert!(!rows.column(2).as_boolean().value(0));
    };
    check(query(staged.provider().await.unwrap(), good).await);
    assert_eq!((sum(&table).await, files_below(directory.path())), (0, 2));
    assert_eq!(staged.provider().await.unwrap().schema(), schema);
    table.commit(Commit { mode: Mode::Append, staged, txns: vec![], info: Map::new() }, "table.commit").await.unwrap();
    check(query(table.provider().await.unwrap(), good).await);
    assert_eq!((sum(&table).await, table.schema()), (6, schema));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_partition_has_files_of_its_own_whatever_the_order_of_rows() {
    let (directory, lake) = lake().await;
    let schema = Arc::new(Schema::new(vec![
        Field::new("n", DataType::Int64, true),
        Field::new("part", DataType::Utf8, true),
        Field::new("text", DataType::Utf8, true),
    ]));
    let mut table = lake.create(&name("bronze.x"), schema.clone(), &["part"]).await.unwrap();
    let mut stage = table.stage(schema.clone()).await.unwrap().tuned(1 << 20, &["n", "text", "part"]);
    let long = "z".repeat(100);
    for (first, parts) in [(0, [Some("a"), Some("a"), None, Some("null")]), (4, [None, Some("a"), Some("b/c é"), None])]
    {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(first..first + 4)),
            Arc::new(StringArray::from(parts.to_vec())),
            Arc::new(StringArray::from(vec![Some(long.as_str()), None, Some("b"), None])),
        ];
        stage.write(RecordBatch::try_new(schema.clone(), columns).unwrap()).await.unwrap();
    }
    let staged = stage.finish().await.unwrap();
    assert_eq!((staged.rows, files_below(directory.path())), (8, 4));
    let grouped = "select part, count(*), sum(n), max(text) from t group by part order by part nulls first";
    let check = |rows: RecordBatch| {
        let parts = arrow::compute::cast(rows.column(0), &DataType::Utf8).unwrap();
        assert_eq!(parts.as_string::<i32>().iter().collect::<Vec<_>>(), [None, Some("a"), Some("b/c é"), Some("null")]);
        assert_eq!(rows.column(1).as_primitive::<Int64Type>().values(), &[3, 3, 1, 1]);
        assert_eq!(rows.column(2).as_primitive::<Int64Type>().values(), &[2 + 4 + 7, 6, 6, 3]);
        let texts = arrow::compute::cast(rows.column(3), &DataType::Utf8).unwrap();
        assert_eq!(texts.as_string::<i32>().iter().collect::<Vec<_>>(), [Some(&*long), Some(&long), Some("b"), None]);
    };
    check(query(staged.provider().await.unwrap(), grouped).await);
    table.commit(Commit { mode: Mode::Append, staged, txns: vec![], info: Map::new() }, "table.commit").await.unwrap();
    check(query(table.provider().await.unwrap(), grouped).await);
    assert_eq!(table.rows(), Some(8));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_other_columns_spoils_only_its_stage() {
    let (directory, lake) = lake().await;
    let table = lake.create(&name("gold.x"), numbers(&[]).schema(), &[]).await.unwrap();
    let mut stage = table.stage(numbers(&[]).schema()).await.unwrap();
    stage.write(numbers(&[1])).await.unwrap();
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let error = stage.write(RecordBatch::try_from_iter([("n", text)]).unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Input);
    stage.abort().await;
    assert_eq!(files_below(directory.path()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_no_table_can_hold_are_refused_by_name() {
    let (_directory, lake) = lake().await;
    let table = lake.create(&name("gold.x"), numbers(&[]).schema(), &[]).await.unwrap();
    let time = DataType::Time64(TimeUnit::Microsecond);
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true), Field::new("opens", time, true)]));
    for error in [table.stage(schema.clone()).await.err(), lake.create(&name("gold.y"), schema, &[]).await.err()] {
        let error = error.unwrap();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.to_string().contains("`opens`"), "{error}");
    }
}

/// Pairs of values whose statistics are cut, rounded or without order: a low and a high one.
fn treacherous_values() -> Vec<(&'static str, ArrayRef, ArrayRef)> {
    let text = |end: char| Arc::new(StringArray::from(vec![format!("{}{end}", "z".repeat(99))])) as ArrayRef;
    let number = |n: i64| Arc::new(Int64Array::from(vec![n])) as ArrayRef;
    let money = |digits: i128| {
        Arc::new(Decimal128Array::from(vec![digits]).with_precision_and_scale(38, 2).unwrap()) as ArrayRef
    };
    let at = |us: i64| Arc::new(TimestampMicrosecondArray::from(vec![us])) as ArrayRef;
    let zoned = |us: i64| Arc::new(TimestampMicrosecondArray::from(vec![us]).with_timezone("UTC")) as ArrayRef;
    let ratio = |ratio: f64| Arc::new(Float64Array::from(vec![ratio])) as ArrayRef;
    let day = |days: i32| Arc::new(Date32Array::from(vec![days])) as ArrayRef;
    vec![
        ("text", text('a'), text('\u{10ffff}')),
        ("number", number(i64::MAX - 1), number(i64::MAX)),
        ("money", money(-12_345_678_901_234_567_899), money(12_345_678_901_234_567_899)),
        ("at", at(-1_700_000_000_000_999), at(1_700_000_000_000_999)),
        ("zoned", zoned(-1_700_000_000_000_001), zoned(1_700_000_000_000_999)),
        ("ratio", ratio(-0.0), ratio(f64::NAN)),
        ("day", day(-800_000), day(2_932_896)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_hide_no_row_and_change_no_result() {
    let (_directory, lake) = lake().await;
    for (column, low, high) in treacherous_values() {
        let batch = |values: &ArrayRef| RecordBatch::try_from_iter([("v", values.clone())]).unwrap();
        let table_name = TableName::new(Layer::Silver, column).unwrap();
        let mut table = lake.create(&table_name, batch(&low).schema(), &[]).await.unwrap();
        for values in [&low, &high] {
            let staged = staged(&table, batch(values)).await;
            table
                .commit(Commit { mode: Mode::Append, staged, txns: vec![], info: Map::new() }, "table.commit")
                .await
                .unwrap();
        }
        let context = SessionContext::new();
        context.register_table("t", table.provider().await.unwrap()).unwrap();
        for values in [&low, &high] {
            let wanted = lit(ScalarValue::try_from_array(values, 0).unwrap());
            let between = col("v").gt_eq(wanted.clone()).and(col("v").lt_eq(wanted.clone()));
            for predicate in [col("v").eq(wanted.clone()), between] {
                let rows = context.table("t").await.unwrap().filter(predicate).unwrap();
                assert_eq!(rows.count().await.unwrap(), 1, "{column} {wanted}");
            }
        }
        let extremes = context.sql("select min(v), max(v), count(v) from t").await.unwrap().collect().await.unwrap();
        for (found, expected) in extremes[0].columns().iter().zip([&low, &high]) {
            let found = arrow::compute::cast(found, expected.data_type()).unwrap();
            assert_eq!(&found, expected, "{column}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn discarded_files_are_gone() {
    let (directory, lake) = lake().await;
    let table = lake.create(&name("gold.x"), numbers(&[]).schema(), &[]).await.unwrap();
    staged(&table, numbers(&[1])).await.discard().await;
    let mut stage = table.stage(numbers(&[]).schema()).await.unwrap();
    stage.write(numbers(&[1])).await.unwrap();
    stage.abort().await;
    assert_eq!(files_below(directory.path()), 0);
}
