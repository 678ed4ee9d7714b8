//! Against a real PostgreSQL: what was sent is asked back as text and compared with Arrow's own.

use super::*;
use arrow::array::*;
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::*;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::StreamExt;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::sync::Arc;

fn target(name: &str, columns: &[(&str, DataType)], key: &[&str]) -> Target {
    let column = |(name, data_type): &(&str, DataType)| Column {
        name: name.to_string(),
        data_type: data_type.clone(),
        nullable: !key.contains(name),
        description: String::new(),
    };
    Target {
        name: name.into(),
        description: "a test's table".into(),
        columns: columns.iter().map(column).collect(),
        primary_key: key.iter().map(|name| name.to_string()).collect(),
        unique: vec![],
        foreign_keys: vec![],
    }
}

fn batches(arrays: Vec<(&str, ArrayRef)>) -> Batches {
    let batch = RecordBatch::try_from_iter_with_nullable(arrays.into_iter().map(|(name, array)| (name, array, true)));
    futures::stream::iter([Ok(batch.unwrap())]).boxed()
}

async fn put(warehouse: &mut dyn Warehouse, target: &Target, rows: Batches) -> Result<Changes> {
    let mut load = warehouse.begin().await?;
    assert!(load.try_lock().await?);
    let changes = load.replace(target, rows).await?;
    load.constrain(std::slice::from_ref(target)).await?;
    assert!(matches!(load.commit().await?, Outcome::Committed));
    Ok(changes)
}

/// One column of a table, as text.
async fn ask(warehouse: &mut dyn Warehouse, sql: &str) -> Vec<Option<String>> {
    warehouse.query(sql).await.unwrap().rows.into_iter().map(|mut row| row.remove(0)).collect()
}

fn sample<S: Strategy>(strategy: S, count: usize, edges: Vec<S::Value>) -> Vec<S::Value> {
    let mut runner = TestRunner::deterministic();
    let drawn = (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current());
    edges.into_iter().chain(drawn.collect::<Vec<_>>()).collect()
}

/// Sends an array and compares every value with what PostgreSQL prints for it.
async fn round_trip(warehouse: &mut dyn Warehouse, array: ArrayRef, text: impl Fn(&str) -> String) {
    let table = format!("t{}", uuid::Uuid::new_v4().simple());
    let data_type = array.data_type().clone();
    let target = target(&table, &[("n", DataType::Int64), ("v", data_type.clone())], &["n"]);
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..array.len() as i64));
    put(warehouse, &target, batches(vec![("n", numbers), ("v", Arc::clone(&array))])).await.unwrap();
    let found = ask(warehouse, &format!("select v::text from gold.{table} order by n")).await;
    let options = FormatOptions::default();
    let shown = ArrayFormatter::try_new(array.as_ref(), &options).unwrap();
    assert_eq!(found.len(), array.len());
    for (row, found) in found.into_iter().enumerate() {
        let expected = (!array.is_null(row)).then(|| text(&shown.value(row).to_string()));
        assert_eq!(found, expected, "{data_type} row {row}");
    }
}

#[tokio::test]
async fn decimals_arrive_exactly() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    for (precision, scale) in [(1, 0), (38, 0), (38, 38), (38, 37), (15, 2), (10, 4), (18, 5), (7, 7), (5, -3)] {
        let largest = 10i128.pow(u32::from(precision)) - 1;
        let edges = vec![None, Some(0), Some(1), Some(-1), Some(largest), Some(-largest), Some(largest / 10), Some(10)];
        let values = sample(prop::option::weighted(0.9, -largest..=largest), 60, edges).into_iter().chain(sample(
            prop::option::of(-20_000i128.min(largest)..=20_000.min(largest)),
            40,
            vec![],
        ));
        let values = values.map(|value| value.filter(|value| value.abs() <= largest));
        let array = Decimal128Array::from_iter(values).with_precision_and_scale(precision, scale).unwrap();
        // Arrow prints the zeros that a negative scale adds even behind a zero.
        let plain = |text: &str| if text.bytes().all(|digit| digit == b'0') { "0".into() } else { text.to_string() };
        round_trip(warehouse.as_mut(), Arc::new(array), |text| if scale < 0 { plain(text) } else { text.into() }).await;
    }
    for (precision, scale) in [(76, 0), (76, 76), (76, 10), (50, 49)] {
        let digits = |count: u8| "9".repeat(usize::from(count));
        let wide = |text: &str| i256::from_string(text);
        let mut values = vec![None, wide("0"), wide(&digits(precision)), wide(&format!("-{}", digits(precision)))];
        for count in 1..precision {
            values.push(wide(&format!("-1{}", "0".repeat(usize::from(count)))));
            values.push(wide(&format!("{}7", digits(count))).filter(|_| count < precision));
        }
        let array = Decimal256Array::from_iter(values).with_precision_and_scale(precision, scale).unwrap();
        round_trip(warehouse.as_mut(), Arc::new(array), str::to_string).await;
    }
}

#[tokio::test]
async fn plain_values_arrive_exactly() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let warehouse = warehouse.as_mut();
    let same = str::to_string;
    let integers = sample(any::<Option<i64>>(), 50, vec![None, Some(i64::MIN), Some(i64::MAX), Some(0)]);
    round_trip(warehouse, Arc::new(Int64Array::from(integers)), same).await;
    let unsigned = sample(any::<Option<u64>>(), 50, vec![Some(1 << 63), Some(u64::MAX)]);
    round_trip(warehouse, Arc::new(UInt64Array::from(unsigned)), same).await;
    round_trip(warehouse, Arc::new(UInt32Array::from(vec![Some(u32::MAX), None, Some(0)])), same).await;
    round_trip(warehouse, Arc::new(UInt16Array::from(vec![Some(u16::MAX), None])), same).await;
    round_trip(warehouse, Arc::new(Int8Array::from(vec![Some(i8::MIN), None])), same).await;
    round_trip(warehouse, Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])), same).await;

    let texts = sample(any::<Option<String>>(), 80, vec![None, Some(String::new()), Some("Книга 📚 \\N \" '".into())]);
    let texts: Vec<_> = texts.into_iter().map(|text| text.map(|text| text.replace('\0', ""))).collect();
    round_trip(warehouse, Arc::new(StringArray::from(texts.clone())), same).await;
    round_trip(warehouse, Arc::new(StringViewArray::from_iter(texts.clone())), same).await;
    let dictionary: DictionaryArray<Int32Type> = texts.iter().map(Option::as_deref).collect();
    round_trip(warehouse, Arc::new(dictionary), same).await;
    let bytes: Vec<&[u8]> = vec![b"", b"\0\xff", b"abc"];
    round_trip(warehouse, Arc::new(BinaryArray::from_vec(bytes)), |hex| format!("\\x{hex}")).await;

    let days = sample(-700_000i32..2_900_000, 60, vec![0, -1, 10_957]);
    let days = Date32Array::from_iter_values(days.into_iter().filter(|day| (-719_000..2_900_000).contains(day)));
    round_trip(warehouse, Arc::new(days), same).await;
    let instants = sample(-62_000_000_000_000_000i64..200_000_000_000_000_000, 60, vec![0, -1, 1_700_000_000_123_456]);
    let plain = TimestampMicrosecondArray::from(instants.clone());
    round_trip(warehouse, Arc::new(plain), postgres_time).await;
    let zoned = TimestampMicrosecondArray::from(instants).with_timezone("UTC");
    round_trip(warehouse, Arc::new(zoned), |text| format!("{}+00", postgres_time(text.trim_end_matches('Z')))).await;
    round_trip(warehouse, Arc::new(TimestampSecondArray::from(vec![0, -1, 1_700_000_000])), postgres_time).await;
    round_trip(warehouse, Arc::new(TimestampMillisecondArray::from(vec![1, -1])), postgres_time).await;
}

/// `2023-11-14T22:13:20.500` -> `2023-11-14 22:13:20.5`
fn postgres_time(text: &str) -> String {
    let text = text.replacen('T', " ", 1);
    if text.contains('.') { text.trim_end_matches('0').to_string() } else { text }
}

#[tokio::test]
async fn floats_keep_every_bit() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let edges = vec![f64::MIN_POSITIVE, f64::MAX, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 0.1];
    let values = sample(any::<f64>(), 100, edges);
    let target = target("floats", &[("n", DataType::Int32), ("v", DataType::Float64)], &["n"]);
    let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(0..values.len() as i32));
    let rows = batches(vec![("n", numbers), ("v", Arc::new(Float64Array::from(values.clone())))]);
    put(warehouse.as_mut(), &target, rows).await.unwrap();
    let found = ask(warehouse.as_mut(), "select v::text from gold.floats order by n").await;
    for (found, value) in found.into_iter().zip(values) {
        let found: f64 = found.unwrap().replace("Infinity", "inf").parse().unwrap();
        assert!(found.to_bits() == value.to_bits() || (found.is_nan() && value.is_nan()), "{found} {value}");
    }
}

#[tokio::test]
async fn lists_are_arrays_and_structs_are_json() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let values: ArrayRef = Arc::new(StringArray::from(vec![Some("a,b"), None, Some("{\"}")]));
    let item = Arc::new(Field::new_list_field(DataType::Utf8, true));
    let offsets = OffsetBuffer::<i32>::from_lengths([2, 0, 1]);
    let list: ArrayRef = Arc::new(ListArray::new(item, offsets, values, None));
    let inner: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(3)]));
    let structs: ArrayRef =
        Arc::new(StructArray::from(vec![(Arc::new(Field::new("x", DataType::Int32, true)), inner)]));
    let columns = [("l", list.data_type().clone()), ("s", structs.data_type().clone())];
    let rows = batches(vec![("l", list), ("s", structs)]);
    put(warehouse.as_mut(), &target("nested", &columns, &[]), rows).await.unwrap();
    let found = warehouse.query("select l[1], cardinality(l), s->>'x' from gold.nested").await.unwrap().rows;
    let text = |text: &str| Some(text.to_string());
    assert_eq!(
        found,
        [[text("a,b"), text("2"), text("1")], [None, text("0"), None], [text("{\"}"), text("1"), text("3")],]
    );
}

/// The strings are those of PostgreSQL's own `to_jsonb`.
#[tokio::test]
async fn floats_within_json_keep_their_value() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let values = [Some(0.1), Some(f64::NAN), Some(f64::INFINITY), Some(f64::NEG_INFINITY), None, Some(-1e300)];
    let wide: ArrayRef = Arc::new(Float64Array::from(values.to_vec()));
    let narrow: ArrayRef =
        Arc::new(Float32Array::from_iter(values.iter().map(|v| v.map(|v: f64| v.clamp(-9., 9.) as f32))));
    let field = |name: &str, kind| Arc::new(Field::new(name, kind, true));
    let structs =
        StructArray::from(vec![(field("x", DataType::Float64), wide), (field("y", DataType::Float32), narrow)]);
    let item = Arc::new(Field::new_list_field(structs.data_type().clone(), true));
    let list = ListArray::new(item, OffsetBuffer::<i32>::from_lengths([6]), Arc::new(structs), None);
    let target = target("floats", &[("l", list.data_type().clone())], &[]);
    put(warehouse.as_mut(), &target, batches(vec![("l", Arc::new(list))])).await.unwrap();
    let sql = "select item ->> 'x' from gold.floats, jsonb_array_elements(l) as item";
    let texts = ask(warehouse.as_mut(), sql).await;
    let seen: Vec<Option<f64>> =
        texts.iter().map(|text| text.as_ref().map(|text| text.replace("Infinity", "inf").parse().unwrap())).collect();
    assert_eq!(format!("{seen:?}"), format!("{:?}", values), "{texts:?}");
    let sql = "select item -> 'y' = '0.1' from gold.floats, jsonb_array_elements(l) as item limit 1";
    let sql = format!("select ({sql})::text");
    assert_eq!(ask(warehouse.as_mut(), &sql).await, [Some("true".into())], "a narrow float is printed as one");
    let native = "select to_jsonb('NaN'::float8) = to_jsonb('NaN'::text) and to_jsonb('-Infinity'::float8) = to_jsonb('-Infinity'::text)";
    assert_eq!(ask(warehouse.as_mut(), &format!("select ({native})::text")).await, [Some("true".into())]);
}

#[tokio::test]
async fn what_postgres_cannot_hold_is_refused_with_its_place() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let cases: Vec<(ArrayRef, &str)> = vec![
        (Arc::new(StringArray::from(vec!["fine", "a\0b"])), "`bad`: column `v` of row 2 contains a NUL"),
        (Arc::new(Date32Array::from(vec![0, i32::MIN])), "`bad`: column `v` of row 2 is a date outside"),
        (Arc::new(TimestampSecondArray::from(vec![0, i64::MAX])), "`bad`: column `v` of row 2 is a timestamp"),
        (
            Arc::new(TimestampMicrosecondArray::from(vec![0, i64::MIN + 946_684_800_000_000])),
            "`bad`: column `v` of row 2 is a timestamp",
        ),
        (
            Arc::new(TimestampNanosecondArray::from(vec![-5_000, 1_001])),
            "`bad`: column `v` of row 2 is a time finer than microseconds",
        ),
        (
            Arc::new(Time64NanosecondArray::from(vec![5_000, 999])),
            "`bad`: column `v` of row 2 is a time finer than microseconds",
        ),
        (Arc::new(Date64Array::from(vec![-86_400_000, 1])), "`bad`: column `v` of row 2 is a date with a time of day"),
    ];
    for (array, expected) in cases {
        let target = target("bad", &[("v", array.data_type().clone())], &[]);
        let error = put(warehouse.as_mut(), &target, batches(vec![("v", array)])).await.unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
    }
    let answer = ask(warehouse.as_mut(), "select to_regclass('gold.bad')::text").await;
    assert_eq!(answer, [None], "nothing of a refused load stays");
}

fn books(rows: &[(i64, Option<&str>, i128)]) -> Batches {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
    let titles: ArrayRef = Arc::new(StringArray::from_iter(rows.iter().map(|row| row.1)));
    let prices = Decimal128Array::from_iter_values(rows.iter().map(|row| row.2)).with_precision_and_scale(10, 2);
    batches(vec![("id", ids), ("title", titles), ("price", Arc::new(prices.unwrap()))])
}

fn book_columns() -> [(&'static str, DataType); 3] {
    [("id", DataType::Int64), ("title", DataType::Utf8), ("price", DataType::Decimal128(10, 2))]
}

#[tokio::test]
async fn a_later_load_touches_only_rows_that_differ() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let warehouse = warehouse.as_mut();
    let books_table = target("book", &book_columns(), &["id"]);
    let first = put(warehouse, &books_table, books(&[(1, Some("a"), 100), (2, None, 200), (3, Some("c"), 300)])).await;
    assert_eq!(first.unwrap(), Changes { rows: 3, inserted: 3, ..Changes::default() });
    let place = "select id || ' ' || ctid::text || ' ' || xmin::text from gold.book where id in (2, 3) order by id";
    let before = ask(warehouse, place).await;
    let second =
        put(warehouse, &books_table, books(&[(1, None, 100), (2, None, 200), (3, Some("c"), 300), (4, None, 4)]));
    assert_eq!(second.await.unwrap(), Changes { rows: 4, inserted: 1, updated: 1, deleted: 0 });
    assert_eq!(ask(warehouse, place).await, before, "equal rows were not written again");
    let third = put(warehouse, &books_table, books(&[(2, None, 200), (4, None, 4)])).await.unwrap();
    assert_eq!(third, Changes { rows: 2, inserted: 0, updated: 0, deleted: 2 });
    assert_eq!(
        ask(warehouse, "select string_agg(id::text, ',' order by id) from gold.book").await,
        [Some("2,4".into())]
    );

    let twice = put(warehouse, &books_table, books(&[(2, None, 200), (2, None, 201)])).await.unwrap_err();
    assert_eq!(twice.kind(), crate::error::Kind::Input, "{twice:?}");
}

#[tokio::test]
async fn without_a_key_rows_are_a_bag() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let bag = target("bag", &book_columns(), &[]);
    let (a, b, c) = ((1, Some("a"), 1), (1, None, 1), (2, Some("c"), 3));
    type Rows = Vec<(i64, Option<&'static str>, i128)>;
    let steps: [(Rows, (u64, u64)); 4] =
        [(vec![a, a, a, b], (4, 0)), (vec![a, b, b, c], (2, 2)), (vec![c, b, a, b], (0, 0)), (vec![], (0, 4))];
    for (rows, (inserted, deleted)) in steps {
        let changes = put(warehouse.as_mut(), &bag, books(&rows)).await.unwrap();
        assert_eq!(changes, Changes { rows: rows.len() as u64, inserted, updated: 0, deleted }, "{rows:?}");
        let count = ask(warehouse.as_mut(), "select count(*)::text from gold.bag").await;
        assert_eq!(count, [Some(rows.len().to_string())]);
    }
}

#[tokio::test]
async fn values_of_a_unique_column_may_change_places() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let mut table = target("code", &book_columns(), &["id"]);
    table.unique = vec!["title".into()];
    put(warehouse.as_mut(), &table, books(&[(1, Some("a"), 1), (2, Some("b"), 2), (3, None, 3)])).await.unwrap();
    let swapped = books(&[(1, Some("b"), 1), (2, Some("a"), 2), (3, None, 4)]);
    let changes = put(warehouse.as_mut(), &table, swapped).await.unwrap();
    assert_eq!(changes, Changes { rows: 3, inserted: 2, updated: 1, deleted: 2 });
}

#[tokio::test]
async fn views_references_and_added_columns_survive() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let mut load = warehouse.begin().await.unwrap();
    load.try_lock().await.unwrap();
    let dim = target("dim", &book_columns(), &["id"]);
    let mut fact = target("fact", &[("book", DataType::Int64)], &[]);
    fact.foreign_keys = vec![ForeignKey { column: "book".into(), table: "dim".into(), field: "id".into() }];
    let facts = |ids: Vec<i64>| batches(vec![("book", Arc::new(Int64Array::from(ids)) as ArrayRef)]);
    load.replace(&fact, facts(vec![1, 2])).await.unwrap();
    load.replace(&dim, books(&[(1, None, 1), (2, None, 2)])).await.unwrap();
    load.constrain(&[fact.clone(), dim.clone()]).await.unwrap();
    let script = "create or replace view gold.cheap as select b.title from gold.dim b join gold.fact f on f.book = b.id;\n\
         alter table gold.dim add column if not exists note text default 'ours';";
    load.run_script(Path::new("sql/warehouse/views.sql"), script, "d1").await.unwrap();
    assert!(matches!(load.commit().await.unwrap(), Outcome::Committed));

    // Both sides change: row 1 goes, row 3 comes.
    let mut load = warehouse.begin().await.unwrap();
    load.try_lock().await.unwrap();
    let mut wider = dim.clone();
    wider.columns.push(Column {
        name: "extra".into(),
        data_type: DataType::Int32,
        nullable: true,
        description: "new".into(),
    });
    let rows = books(&[(2, None, 2), (3, None, 3)]).map(|batch| {
        let batch = batch.unwrap();
        let mut arrays: Vec<(String, ArrayRef)> =
            batch.schema().fields().iter().map(|f| f.name().clone()).zip(batch.columns().iter().cloned()).collect();
        arrays.push(("extra".into(), Arc::new(Int32Array::from(vec![7, 8]))));
        Ok(RecordBatch::try_from_iter_with_nullable(arrays.into_iter().map(|(n, a)| (n, a, true))).unwrap())
    });
    load.replace(&wider, rows.boxed()).await.unwrap();
    load.replace(&fact, facts(vec![2, 3])).await.unwrap();
    load.constrain(&[wider, fact.clone()]).await.unwrap();
    assert!(matches!(load.commit().await.unwrap(), Outcome::Committed));
    let sql = "select count(*)::text from gold.cheap union all \
         select string_agg(concat_ws(' ', id, extra, note), ', ' order by id) from gold.dim";
    let answer = ask(warehouse.as_mut(), sql).await;
    assert_eq!(answer, [Some("2".into()), Some("2 7 ours, 3 8 ours".into())]);

    let error = put(warehouse.as_mut(), &fact, facts(vec![99])).await.unwrap_err();
    assert_eq!(error.kind(), crate::error::Kind::Input);
    assert_eq!(error.to_string(), "check the references between the tables");
}

#[tokio::test]
async fn scripts_stay_inside_the_load_and_show_their_faults() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let mut load = warehouse.begin().await.unwrap();
    load.try_lock().await.unwrap();
    let path = Path::new("sql/warehouse/a.sql");
    let error = load.run_script(path, "select 1;\nselect nonsense;", "d").await.unwrap_err();
    assert_eq!(error.to_string(), "run `sql/warehouse/a.sql:2:8` in Postgres\n2 | select nonsense;\n  |        ^");
    drop(load);
    let mut load = warehouse.begin().await.unwrap();
    load.try_lock().await.unwrap();
    let error = load.run_script(path, "select 1; commit;", "d").await.unwrap_err();
    assert_eq!(error.to_string(), "`sql/warehouse/a.sql` ended the load's transaction");
    drop(load);
    let mut load = warehouse.begin().await.unwrap();
    load.try_lock().await.unwrap();
    assert!(load.scripts().await.unwrap().is_empty(), "a script that was refused is not noted as run");
}

#[tokio::test]
async fn queries_only_read_and_only_one_statement() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let answer = warehouse.query("select 1 as one, null as none, 'x' as one").await.unwrap();
    assert_eq!(answer.columns, ["one", "none", "one"]);
    assert_eq!(answer.rows, [[Some("1".into()), None, Some("x".into())]]);
    for refused in [
        "create table t (a int)",
        "commit; create table t (a int)",
        "select 1; select 2",
        "select * into t from (select 1) q",
        "insert into lake.ledger values (1) returning 1",
        "copy (select 1) to program 'true'",
        "",
    ] {
        let error = warehouse.query(refused).await.err().unwrap_or_else(|| panic!("ran: {refused}"));
        assert_eq!(error.kind(), crate::error::Kind::Config, "{refused}: {error}");
    }
    assert_eq!(ask(warehouse.as_mut(), "select to_regclass('t')::text").await, [None]);
    let error = warehouse.query("select nope").await.unwrap_err();
    assert!(error.to_string().contains("`query:1:8`"), "{error}");
}

#[tokio::test]
async fn loads_are_serialised_and_the_ledger_is_part_of_them() {
    let Some(config) = throwaway::database().await else { return };
    let (mut one, mut other) = (connect(&config).await.unwrap(), connect(&config).await.unwrap());
    assert!(one.ledger().await.unwrap().is_empty(), "no ledger yet is no error");
    let mut first = one.begin().await.unwrap();
    assert!(first.try_lock().await.unwrap());
    let mut second = other.begin().await.unwrap();
    assert!(!second.try_lock().await.unwrap());
    let entry = Entry {
        table: "gold.t".into(),
        lake_id: "l".into(),
        table_id: "t".into(),
        delta_version: 3,
        run: 2,
        schema_hash: "h".into(),
        rows: 5,
        load_id: uuid::Uuid::new_v4().to_string(),
        loaded_at: String::new(),
    };
    first.record(std::slice::from_ref(&entry)).await.unwrap();
    assert!(matches!(first.commit().await.unwrap(), Outcome::Committed));
    assert!(second.try_lock().await.unwrap());
    let mut found = second.ledger().await.unwrap().remove(0);
    assert!(found.loaded_at.ends_with('Z'));
    found.loaded_at.clear();
    assert_eq!(found, entry);
}

#[tokio::test]
async fn a_ledger_of_an_earlier_release_is_read_and_completed() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let mut load = warehouse.begin().await.unwrap();
    load.try_lock().await.unwrap();
    let entry = Entry { table: "gold.t".into(), load_id: uuid::Uuid::new_v4().to_string(), ..Entry::default() };
    load.record(std::slice::from_ref(&entry)).await.unwrap();
    let older = "alter table lake.ledger drop column table_id";
    load.run_script(Path::new("older.sql"), older, "d").await.unwrap();
    assert!(matches!(load.commit().await.unwrap(), Outcome::Committed));
    assert_eq!(warehouse.ledger().await.unwrap()[0].table_id, "");
    let mut load = warehouse.begin().await.unwrap();
    load.try_lock().await.unwrap();
    load.record(&[Entry { table_id: "id".into(), ..entry }]).await.unwrap();
    assert_eq!(load.ledger().await.unwrap()[0].table_id, "id");
}

#[tokio::test]
async fn wrong_names_are_configuration_faults() {
    let Some(config) = throwaway::database().await else { return };
    let elsewhere = WarehouseConfig { url: config.url.replace("/t", "/nowhere"), ..config.clone() };
    let error = connect(&elsewhere).await.err().unwrap();
    assert_eq!(error.kind(), crate::error::Kind::Config);
    assert!(error.to_string().ends_with("/nowhere`") || error.to_string().contains("/nowhere"), "{error}");
}

#[tokio::test]
async fn tls_modes_mean_what_they_say() {
    let Some(config) = throwaway::database().await else { return };
    let Some(certificate) = throwaway::certificate() else {
        eprintln!("left out: no openssl to make a certificate with");
        return;
    };
    let mode = |mode: &str| WarehouseConfig { url: config.url.replace("disable", mode), ..config.clone() };
    let encrypted = "select ssl::text from pg_stat_ssl where pid = pg_backend_pid()";
    let trusted = format!("verify-full&sslrootcert={}", certificate.display());
    for (name, expected) in [("disable", "false"), ("prefer", "true"), ("require", "true"), (&trusted, "true")] {
        let mut warehouse = connect(&mode(name)).await.unwrap();
        assert_eq!(ask(warehouse.as_mut(), encrypted).await, [Some(expected.to_string())], "{name}");
    }
    let stranger = connect(&mode("verify-full")).await.err().unwrap();
    assert_eq!(stranger.kind(), crate::error::Kind::Unavailable);
    let named = mode(&trusted);
    let elsewhere = WarehouseConfig { url: named.url.replace("127.0.0.1", "localhost"), ..named };
    assert!(connect(&elsewhere).await.is_err(), "the certificate is for another name");
}

/// The query of `totals` gives the same text here as the engine does for the same rows; the engine's side
/// is checked where both meet, in the flow `verify`.
#[tokio::test]
async fn totals_are_exact_text() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let table = target("sums", &book_columns(), &["id"]);
    put(warehouse.as_mut(), &table, books(&[(1, Some("öa"), 110), (2, None, -5)])).await.unwrap();
    let fields: Vec<Field> = book_columns().into_iter().map(|(name, kind)| Field::new(name, kind, true)).collect();
    let totals = totals(&Schema::new(fields), "gold.sums");
    let row: Vec<String> =
        warehouse.query(&totals.sql).await.unwrap().rows.remove(0).into_iter().map(Option::unwrap).collect();
    assert_eq!(row, ["2", "2", "3", "1", "2", "2", "1.05"]);
}
