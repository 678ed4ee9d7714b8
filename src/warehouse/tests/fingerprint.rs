//! PostgreSQL's own hashes of what was loaded are those computed here of what was sent: of each type, at its edges.

use super::*;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

fn drawn<S: Strategy>(strategy: S, count: usize) -> Vec<S::Value> {
    let mut runner = TestRunner::deterministic();
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// Loads the columns and compares the checksums, the buckets and the rows of both sides.
async fn same_on_both_sides(warehouse: &mut dyn Warehouse, columns: Vec<(&str, ArrayRef)>, key: &[&str]) {
    let table = format!("t{}", uuid::Uuid::new_v4().simple());
    let types: Vec<(&str, DataType)> = columns.iter().map(|(name, array)| (*name, array.data_type().clone())).collect();
    put(warehouse, &target(&table, &types, key), batches(columns.clone())).await.unwrap();
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let key: Vec<String> = key.iter().map(ToString::to_string).collect();
    let (print, place) = (Fingerprint::new(&batch.schema(), &key), format!("gold.{table}"));
    for part in [Part::ALL, Part::sample(7, batch.num_rows() as u64)] {
        let hashed = print.hash(&batch, &part).unwrap();
        let mut sums = Checksums::default();
        sums.add(&hashed);
        let answer = warehouse.query(&print.checksums_sql(&place, &part)).await.unwrap();
        assert_eq!(print.read_checksums(&answer.rows).unwrap(), sums);
        for bits in [3, 64] {
            let mut buckets = BTreeMap::new();
            hashed.share_out(bits, &mut buckets);
            let answer = warehouse.query(&print.buckets_sql(&place, &part, bits)).await.unwrap();
            assert_eq!(Fingerprint::read_buckets(&answer.rows).unwrap(), buckets);
        }
        let answer = warehouse.query(&print.examples_sql(&place, &part)).await.unwrap();
        let there = Fingerprint::read_examples(&answer.rows).unwrap().into_iter();
        let hashes = |row: usize| hashed.values.iter().map(|column| column[row]).collect::<Vec<_>>();
        let here: BTreeMap<_, _> = (0..hashed.rows.len()).map(|row| (hashed.keys[row], hashes(row))).collect();
        assert_eq!(there.map(|(key, row)| (key, row.hashes)).collect::<BTreeMap<_, _>>(), here);
    }
}

#[tokio::test]
async fn each_type_has_one_text_on_both_sides() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let rows = 400;
    let some = |edges: Vec<i64>| edges.into_iter().map(Some).chain([None]).chain(drawn(any::<Option<i64>>(), rows));
    let resized = |array: ArrayRef| array.slice(0, rows);
    let texts = drawn(any::<Option<String>>(), rows).into_iter().map(|text| text.map(|text| text.replace('\0', "")));
    let texts = [Some(String::new()), Some("é".repeat(40)), None].into_iter().chain(texts);
    let floats =
        [0.0, -0.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, 5e-324, f64::MAX];
    let floats: Vec<Option<f64>> = floats.map(Some).into_iter().chain(drawn(any::<Option<f64>>(), rows)).collect();
    let largest = 10i128.pow(38) - 1;
    let digits = [0, 1, -1, 10, -100, largest, -largest, largest / 10 * 10].map(Some).into_iter();
    let digits: Vec<Option<i128>> = digits.chain(drawn(prop::option::of(-largest..=largest), rows)).collect();
    let decimals = |scale| Decimal128Array::from(digits.clone()).with_precision_and_scale(38, scale).unwrap();
    let days = drawn(prop::option::of(-2_440_588i32..2_145_042_906), rows);
    let instants = drawn(prop::option::of(-210_866_803_200_000_000i64..9_214_646_400_000_000_000), rows);
    let bytes = drawn(prop::option::of(prop::collection::vec(any::<u8>(), 0..40)), rows);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(0..rows as i64))),
        ("big", Arc::new(Int64Array::from_iter(some(vec![i64::MIN, i64::MAX, 0])))),
        ("small", Arc::new(Int16Array::from_iter(some(vec![]).map(|value| value.map(|value| value as i16))))),
        ("tiny", Arc::new(Int8Array::from_iter(some(vec![-128]).map(|value| value.map(|value| value as i8))))),
        ("flag", Arc::new(BooleanArray::from_iter(some(vec![]).map(|value| value.map(|value| value % 2 == 0))))),
        ("text", Arc::new(StringArray::from_iter(texts))),
        ("real", Arc::new(Float32Array::from_iter(floats.iter().map(|value| value.map(|value| value as f32))))),
        ("double", Arc::new(Float64Array::from_iter(floats.clone()))),
        ("whole", Arc::new(decimals(0))),
        ("money", Arc::new(decimals(2))),
        ("fine", Arc::new(decimals(38))),
        ("day", Arc::new(Date32Array::from(days))),
        ("at", Arc::new(TimestampMicrosecondArray::from(instants.clone()))),
        ("zoned", Arc::new(TimestampMicrosecondArray::from(instants).with_timezone("UTC"))),
        ("bytes", Arc::new(BinaryArray::from_iter(bytes))),
    ];
    let columns: Vec<_> = columns.into_iter().map(|(name, array)| (name, resized(array))).collect();
    same_on_both_sides(warehouse.as_mut(), columns.clone(), &["id"]).await;
    same_on_both_sides(warehouse.as_mut(), columns[1..].to_vec(), &[]).await;
}

#[tokio::test]
async fn lists_and_documents_have_one_text_on_both_sides() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let strings = || ListBuilder::new(StringBuilder::new()).with_field(Field::new("element", DataType::Utf8, true));
    let mut texts = strings();
    texts.append_value([Some("a,\"{}"), None, Some(""), Some("é")]);
    texts.append_value(Vec::<Option<&str>>::new());
    texts.append_null();
    texts.append_value([None::<&str>]);
    let mut amounts = ListBuilder::new(Decimal128Builder::new().with_data_type(DataType::Decimal128(9, 2)))
        .with_field(Field::new("element", DataType::Decimal128(9, 2), true));
    for row in [vec![Some(150), None, Some(-1)], vec![Some(0)], vec![], vec![Some(100)]] {
        amounts.append_value(row);
    }
    let field = |name: &str, data_type: DataType| Arc::new(Field::new(name, data_type, true));
    let floats = Float64Array::from(vec![Some(1e21), Some(-0.0), Some(f64::NAN), Some(1.5e-7)]);
    let words = StringArray::from(vec![Some("a\n\u{1}\u{7f}\\\""), None, Some("é"), Some("")]);
    let money = Decimal128Array::from(vec![Some(150), None, Some(-1), Some(0)]).with_precision_and_scale(9, 2).unwrap();
    let document = StructArray::from(vec![
        (field("much longer", DataType::Float64), Arc::new(floats) as ArrayRef),
        (field("b", DataType::Utf8), Arc::new(words)),
        (field("a", DataType::Decimal128(9, 2)), Arc::new(money)),
    ]);
    let mut nested =
        ListBuilder::new(strings()).with_field(field("element", DataType::List(field("element", DataType::Utf8))));
    for _ in 0..4 {
        nested.values().append_value([Some("x"), None]);
        nested.append(true);
    }
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("texts", Arc::new(texts.finish())),
        ("amounts", Arc::new(amounts.finish())),
        ("document", Arc::new(document)),
        ("nested", Arc::new(nested.finish())),
    ];
    same_on_both_sides(warehouse.as_mut(), columns, &[]).await;
}

/// A function takes 100 arguments, a select list 1664 columns.
#[tokio::test]
async fn the_widest_table_is_hashed() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let names: Vec<String> = (0..1_600).map(|index| format!("c{index}")).collect();
    let column = || Arc::new(BooleanArray::from(vec![Some(true), None])) as ArrayRef;
    let columns = names.iter().map(|name| (name.as_str(), column())).collect();
    same_on_both_sides(warehouse.as_mut(), columns, &[]).await;
}

#[tokio::test]
async fn a_database_that_does_not_hash_utf8_is_told_apart() {
    let Some(mut config) = throwaway::database().await else { return };
    execute(&config, "create database latin encoding 'latin1' template template0 locale 'C'").await;
    let at = config.url.rfind('/').unwrap();
    config.url.replace_range(at.., "/latin?sslmode=disable");
    let mut warehouse = connect(&config).await.unwrap();
    let table = target("book", &book_columns(), &["id"]);
    put(warehouse.as_mut(), &table, books(&[(1, None, 1)])).await.unwrap();
    let fields: Vec<Field> = book_columns().into_iter().map(|(name, kind)| Field::new(name, kind, true)).collect();
    let print = Fingerprint::new(&Schema::new(fields), &[]);
    let answer = warehouse.query(&print.checksums_sql("gold.book", &Part::ALL)).await.unwrap();
    assert_eq!(print.read_checksums(&answer.rows).unwrap_err().kind(), Kind::Config);
}
