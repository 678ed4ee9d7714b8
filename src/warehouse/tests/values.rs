//! Each type: what was sent is asked back as text and compared with Arrow's own.

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
