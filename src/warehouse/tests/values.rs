//! Types that no Delta table has, and how values are spelled within JSON: what was sent is asked back as text and
//! compared with Arrow's own.

use super::*;
use arrow::buffer::OffsetBuffer;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

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
async fn values_of_other_encodings_arrive_exactly() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let warehouse = warehouse.as_mut();
    let same = str::to_string;
    let unsigned = sample(any::<Option<u64>>(), 50, vec![Some(1 << 63), Some(u64::MAX)]);
    round_trip(warehouse, Arc::new(UInt64Array::from(unsigned)), same).await;
    round_trip(warehouse, Arc::new(UInt32Array::from(vec![Some(u32::MAX), None, Some(0)])), same).await;
    round_trip(warehouse, Arc::new(UInt16Array::from(vec![Some(u16::MAX), None])), same).await;

    let texts = sample(any::<Option<String>>(), 80, vec![None, Some(String::new()), Some("Книга 📚 \\N \" '".into())]);
    let texts: Vec<_> = texts.into_iter().map(|text| text.map(|text| text.replace('\0', ""))).collect();
    round_trip(warehouse, Arc::new(StringViewArray::from_iter(texts.clone())), same).await;
    let dictionary: DictionaryArray<Int32Type> = texts.iter().map(Option::as_deref).collect();
    round_trip(warehouse, Arc::new(dictionary), same).await;
    round_trip(warehouse, Arc::new(TimestampSecondArray::from(vec![0, -1, 1_700_000_000])), postgres_time).await;
    round_trip(warehouse, Arc::new(TimestampMillisecondArray::from(vec![1, -1])), postgres_time).await;
}

/// `2023-11-14T22:13:20.500` -> `2023-11-14 22:13:20.5`
fn postgres_time(text: &str) -> String {
    let text = text.replacen('T', " ", 1);
    if text.contains('.') { text.trim_end_matches('0').to_string() } else { text }
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
