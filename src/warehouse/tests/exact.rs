//! Every type a Delta table can hold, ten thousand values each, sent as a load sends them and asked back from PostgreSQL
//! as text; and what is refused, with its place.

use super::oracle::{self, Random};
use super::*;
use arrow::array::types::ArrowPrimitiveType;
use arrow::buffer::OffsetBuffer;

const CASES: usize = 10_000;
/// Days since 1970 that PostgreSQL can hold, and microseconds.
const DAYS: std::ops::Range<i128> = -2_440_588..2_145_042_906;
const MICROS: std::ops::Range<i128> = -210_866_803_200_000_000..9_224_318_016_000_000_000;

/// Values and what must be printed for them.
struct Column {
    array: ArrayRef,
    texts: Vec<Option<String>>,
}

fn column<V, A: Array + 'static>(
    random: &mut Random,
    cases: usize,
    draw: impl Fn(&mut Random) -> V,
    text: impl Fn(&V) -> String,
    array: impl FnOnce(Vec<Option<V>>) -> A,
) -> Column {
    let values: Vec<Option<V>> = (0..cases).map(|_| random.some(&draw)).collect();
    let texts = values.iter().map(|value| value.as_ref().map(&text)).collect();
    Column { array: Arc::new(array(values)), texts }
}

fn numbers<T: ArrowPrimitiveType>(random: &mut Random, low: i128, high: i128) -> Column
where
    T::Native: TryFrom<i128>,
{
    let array = |values: Vec<Option<i128>>| {
        PrimitiveArray::<T>::from_iter(values.into_iter().map(|value| value.and_then(|value| value.try_into().ok())))
    };
    column(random, CASES, |random| random.within(low, high), i128::to_string, array)
}

fn truths(random: &mut Random) -> Column {
    column(random, CASES, |random| random.below(2) == 1, bool::to_string, BooleanArray::from)
}

fn texts(random: &mut Random) -> Column {
    column(random, CASES, Random::text, String::clone, StringArray::from)
}

fn dates(random: &mut Random, days: std::ops::Range<i128>) -> Column {
    let draw = |random: &mut Random| random.within(days.start, days.end) as i32;
    column(random, CASES, draw, |days| oracle::date(i64::from(*days)), Date32Array::from)
}

fn instants(random: &mut Random, zone: Option<&str>) -> Column {
    let draw = |random: &mut Random| random.within(MICROS.start, i128::from(i64::MAX)) as i64;
    let text = |at: &i64| oracle::instant(*at, zone.map_or("", |_| "+00"));
    let array = |values: Vec<Option<i64>>| TimestampMicrosecondArray::from(values).with_timezone_opt(zone);
    column(random, CASES, draw, text, array)
}

fn decimals(random: &mut Random, precision: u8, scale: i8) -> Column {
    let largest = 10i128.pow(u32::from(precision)) - 1;
    let draw = |random: &mut Random| random.within(-largest, largest + 1);
    let array =
        |values: Vec<Option<i128>>| Decimal128Array::from(values).with_precision_and_scale(precision, scale).unwrap();
    column(random, CASES, draw, |value| oracle::decimal(&value.to_string(), scale), array)
}

/// Loads the columns as one table and compares every value with its text.
async fn arrive(warehouse: &mut dyn Warehouse, columns: Vec<Column>) {
    let rows = columns[0].texts.len();
    let names: Vec<String> = (0..columns.len()).map(|index| format!("c{index}")).collect();
    let mut types = vec![("n", DataType::Int64)];
    types.extend(names.iter().zip(&columns).map(|(name, column)| (name.as_str(), column.array.data_type().clone())));
    let mut arrays: Vec<(&str, ArrayRef)> = vec![("n", Arc::new(Int64Array::from_iter_values(0..rows as i64)))];
    arrays.extend(names.iter().zip(&columns).map(|(name, column)| (name.as_str(), Arc::clone(&column.array))));
    let table = format!("t{}", uuid::Uuid::new_v4().simple());
    put(warehouse, &target(&table, &types, &["n"]), batches(arrays)).await.unwrap();
    let asked = names.iter().map(|name| format!("{name}::text")).collect::<Vec<_>>().join(", ");
    let found = warehouse.query(&format!("select {asked} from gold.{table} order by n")).await.unwrap().rows;
    assert_eq!(found.len(), rows);
    for (row, found) in found.into_iter().enumerate() {
        for (column, found) in columns.iter().zip(found) {
            let value = || place::value(column.array.as_ref(), row);
            assert_eq!(found, column.texts[row], "{} row {row}: {}", column.array.data_type(), value());
        }
    }
}

#[tokio::test]
async fn plain_values_arrive_exactly() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let random = &mut Random::new("plain_values_arrive_exactly");
    let columns = vec![
        truths(random),
        numbers::<Int8Type>(random, i8::MIN.into(), 128),
        numbers::<Int16Type>(random, i16::MIN.into(), 1 << 15),
        numbers::<Int32Type>(random, i32::MIN.into(), 1 << 31),
        numbers::<Int64Type>(random, i64::MIN.into(), 1 << 63),
        texts(random),
        column(
            random,
            CASES,
            |random| (0..random.below(9)).map(|_| random.next() as u8).collect::<Vec<u8>>(),
            |bytes| format!("\\x{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
            BinaryArray::from_iter,
        ),
        dates(random, DAYS),
        instants(random, None),
        instants(random, Some("UTC")),
    ];
    arrive(warehouse.as_mut(), columns).await;
}

/// Every precision and scale there is, both ends of each among the values.
#[tokio::test]
async fn decimals_arrive_exactly() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let random = &mut Random::new("decimals_arrive_exactly");
    let mut kinds: Vec<(u8, i8)> = (1..=38u8).flat_map(|p| (0..=p as i8).map(move |scale| (p, scale))).collect();
    kinds.extend([(1, -1), (5, -3), (20, -18), (38, -7)]);
    let rows = CASES.div_ceil(kinds.len()).max(16);
    for kinds in kinds.chunks(100) {
        let columns = kinds.iter().map(|(precision, scale)| {
            let largest = 10i128.pow(u32::from(*precision)) - 1;
            let mut edges = [0, 1, -1, largest, -largest, largest / 10 + 1].into_iter();
            let values: Vec<Option<i128>> = (0..rows)
                .map(|_| edges.next().or_else(|| random.some(|random| random.within(-largest, largest + 1))))
                .collect();
            let texts =
                values.iter().map(|value| Some(oracle::decimal(&value.as_ref()?.to_string(), *scale))).collect();
            let array = Decimal128Array::from(values).with_precision_and_scale(*precision, *scale).unwrap();
            Column { array: Arc::new(array), texts }
        });
        let columns = columns.collect();
        arrive(warehouse.as_mut(), columns).await;
    }
}

#[tokio::test]
async fn decimals_of_256_bits_arrive_exactly() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let random = &mut Random::new("decimals_of_256_bits_arrive_exactly");
    let kinds = [(39, 0), (39, 39), (50, 49), (60, 7), (76, 0), (76, 10), (76, 38), (76, 76), (70, -6)];
    let columns = kinds.map(|(precision, scale)| {
        let digits = |random: &mut Random| {
            let digits = 1 + random.below(u64::from(precision));
            let digit =
                |random: &mut Random| char::from(b'0' + [0, 9, random.below(10) as u8][random.below(3) as usize]);
            let text: String = (0..digits).map(|_| digit(random)).collect();
            i256::from_string(&format!("{}{text}", ["", "-"][random.below(2) as usize])).unwrap()
        };
        let array = |values| Decimal256Array::from_iter(values).with_precision_and_scale(precision, scale).unwrap();
        column(random, CASES / 9 + 1, digits, |value| oracle::wide_decimal(*value, scale), array)
    });
    arrive(warehouse.as_mut(), columns.into()).await;
}

/// Whoever reads the text gets the same number again; zero keeps its sign.
#[tokio::test]
async fn floats_keep_every_bit() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let random = &mut Random::new("floats_keep_every_bit");
    let odd = [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, f64::MAX, 5e-324, 0.1, 1e23];
    let wide: Vec<f64> = (0..CASES)
        .map(|at| match random.below(4) {
            _ if at < odd.len() => odd[at],
            0 => random.below(1_000_000) as f64 / 100.0,
            _ => f64::from_bits(random.next()),
        })
        .collect();
    let narrow: Vec<f32> = wide
        .iter()
        .map(|wide| if random.below(2) == 0 { *wide as f32 } else { f32::from_bits(random.next() as u32) })
        .collect();
    let target =
        target("floats", &[("n", DataType::Int32), ("w", DataType::Float64), ("s", DataType::Float32)], &["n"]);
    let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(0..CASES as i32));
    let (wides, narrows) = (Float64Array::from(wide.clone()), Float32Array::from(narrow.clone()));
    let rows = batches(vec![("n", numbers), ("w", Arc::new(wides)), ("s", Arc::new(narrows))]);
    put(warehouse.as_mut(), &target, rows).await.unwrap();
    let found = warehouse.query("select w::text, s::text from gold.floats order by n").await.unwrap().rows;
    for ((found, wide), narrow) in found.into_iter().zip(wide).zip(narrow) {
        let [w, s] = [0, 1].map(|at| found[at].clone().unwrap().replace("Infinity", "inf"));
        let (as_wide, as_narrow): (f64, f32) = (w.parse().unwrap(), s.parse().unwrap());
        assert!(as_wide.to_bits() == wide.to_bits() || (as_wide.is_nan() && wide.is_nan()), "{w} {wide:?}");
        assert!(as_narrow.to_bits() == narrow.to_bits() || (as_narrow.is_nan() && narrow.is_nan()), "{s} {narrow:?}");
    }
}

fn lists(items: Column, random: &mut Random) -> Column {
    let mut lengths = Vec::new();
    let mut left = items.array.len();
    while left > 0 {
        lengths.push((random.below(5) as usize).min(left));
        left -= lengths.last().unwrap();
    }
    lengths.resize(CASES, 0);
    let valid: Vec<bool> = lengths.iter().map(|length| *length > 0 || random.below(2) == 0).collect();
    let mut taken = items.texts.iter();
    let texts = lengths.iter().zip(&valid).map(|(length, valid)| {
        let items: Vec<Option<String>> = taken.by_ref().take(*length).cloned().collect();
        valid.then(|| oracle::list(&items))
    });
    let texts = texts.collect();
    let item = Arc::new(Field::new("element", items.array.data_type().clone(), true));
    let offsets = OffsetBuffer::<i32>::from_lengths(lengths);
    Column { array: Arc::new(ListArray::new(item, offsets, items.array, Some(valid.into()))), texts }
}

#[tokio::test]
async fn lists_are_arrays() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let random = &mut Random::new("lists_are_arrays");
    let items = [
        texts(random),
        numbers::<Int64Type>(random, i64::MIN.into(), 1 << 63),
        decimals(random, 15, 2),
        dates(random, DAYS),
    ];
    let columns = items.map(|items| lists(items, random));
    arrive(warehouse.as_mut(), columns.into()).await;
}

#[tokio::test]
async fn structs_are_json() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let random = &mut Random::new("structs_are_json");
    let fields = [
        ("i", numbers::<Int64Type>(random, i64::MIN.into(), 1 << 63)),
        ("t", texts(random)),
        ("b", truths(random)),
        ("d", decimals(random, 38, 4)),
        ("day", dates(random, -700_000..2_900_000)),
    ];
    let field = |name: &str, array: &ArrayRef| Arc::new(Field::new(name, array.data_type().clone(), true));
    let parts = fields.iter().map(|(name, column)| (field(name, &column.array), Arc::clone(&column.array)));
    let structs: ArrayRef = Arc::new(StructArray::from(parts.collect::<Vec<_>>()));
    let target = target("s", &[("n", DataType::Int64), ("s", structs.data_type().clone())], &["n"]);
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..CASES as i64));
    put(warehouse.as_mut(), &target, batches(vec![("n", numbers), ("s", structs)])).await.unwrap();
    let asked = fields.iter().map(|(name, _)| format!("s ->> '{name}'")).collect::<Vec<_>>().join(", ");
    let found = warehouse.query(&format!("select {asked} from gold.s order by n")).await.unwrap().rows;
    for (row, found) in found.into_iter().enumerate() {
        for ((name, column), found) in fields.iter().zip(found) {
            assert_eq!(found, column.texts[row], "`{name}` of row {row}");
        }
    }
}

/// The value, what is said of it after "column `v` of", and how it is shown.
fn refused() -> Vec<(ArrayRef, &'static str)> {
    let within = |name: &str, array: ArrayRef| -> ArrayRef {
        Arc::new(StructArray::from(vec![(Arc::new(Field::new(name, array.data_type().clone(), true)), array)]))
    };
    vec![
        (
            Arc::new(StringArray::from(vec!["fine", "a\0b"])),
            r"contains a NUL character, which Postgres text cannot hold: 'a\0b'",
        ),
        (Arc::new(Date32Array::from(vec![0, i32::MIN])), "is a date outside 4714 BC to 5874897 AD: -2147483648"),
        (
            Arc::new(Date32Array::from(vec![-2_440_588, -2_440_589])),
            "is a date outside 4714 BC to 5874897 AD: -4713-11-23",
        ),
        (
            Arc::new(Date32Array::from(vec![2_145_042_905, 2_145_042_906])),
            "is a date outside 4714 BC to 5874897 AD: 2145042906",
        ),
        (
            Arc::new(TimestampSecondArray::from(vec![0, i64::MAX])),
            "is a timestamp outside 4714 BC to 294276 AD: 9223372036854775807",
        ),
        (
            Arc::new(TimestampMicrosecondArray::from(vec![MICROS.start as i64, MICROS.start as i64 - 1])),
            "is a timestamp outside 4714 BC to 294276 AD: -4713-11-23T23:59:59.999999",
        ),
        (
            Arc::new(TimestampNanosecondArray::from(vec![-5_000, 1_001])),
            "is a time finer than microseconds, which Postgres cannot hold: 1970-01-01T00:00:00.000001001",
        ),
        (
            Arc::new(Time64NanosecondArray::from(vec![5_000, 999])),
            "is a time finer than microseconds, which Postgres cannot hold: 00:00:00.000000999",
        ),
        (
            Arc::new(Date64Array::from(vec![-86_400_000, 1])),
            "is a date with a time of day, which a date cannot hold: 1970-01-01T00:00:00.001",
        ),
        (
            within("a", Arc::new(StringArray::from(vec!["b", "\0"]))),
            r"contains a NUL character, which Postgres jsonb cannot hold: {a: \0}",
        ),
        (
            within("a", Arc::new(Date32Array::from(vec![0, i32::MAX]))),
            "holds a date or time outside the calendar: it cannot be shown",
        ),
    ]
}

#[tokio::test]
async fn what_postgres_cannot_hold_is_refused_with_its_place() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    for (array, expected) in refused() {
        let ids: ArrayRef = Arc::new(Int32Array::from(vec![7, 8]));
        let tags: ArrayRef = Arc::new(StringArray::from(vec!["x", "y\n"]));
        let columns = [("id", DataType::Int32), ("tag", DataType::Utf8), ("v", array.data_type().clone())];
        for (key, row) in [
            (&[][..], "row 2"),
            (&["id"][..], "the row with id = 8"),
            (&["tag", "id"], "the row with tag = 'y\\n', id = 8"),
        ] {
            let rows = batches(vec![("id", ids.clone()), ("tag", tags.clone()), ("v", array.clone())]);
            let error = put(warehouse.as_mut(), &target("bad", &columns, key), rows).await.unwrap_err();
            assert_eq!(error.to_string(), format!("`bad`: column `v` of {row} {expected}"));
            assert_eq!(error.kind(), Kind::Input);
        }
    }
    let answer = ask(warehouse.as_mut(), "select to_regclass('gold.bad')::text").await;
    assert_eq!(answer, [None], "nothing of a refused load stays");
}

/// The server tells a line of the COPY; whose it is, the rows tell.
#[tokio::test]
async fn what_the_server_refuses_is_told_with_its_row() {
    let rows = || books(&[(1, Some("a"), 1), (2, Some("long"), 2), (3, None, -3)]);
    let book = target("book", &book_columns(), &["id"]);
    for (theirs, said) in [
        ("title varchar(3), price numeric(10,2)", "column `title` of the row with id = 2"),
        ("title text not null, price numeric(10,2)", "the row with id = 3"),
        ("title text, price numeric(10,2) check (price > 0)", "the row with id = 3"),
        ("title text, price numeric(10,2), unique (id), check (id < 3)", "the row with id = 3"),
    ] {
        let Some(config) = throwaway::database().await else { return };
        let mut warehouse = connect(&config).await.unwrap();
        execute(&config, &format!("create schema gold; create table gold.book (id bigint, {theirs})")).await;
        let error = put(warehouse.as_mut(), &book, rows()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Input, "{theirs}: {error:?}");
        assert_eq!(error.to_string(), format!("copy rows into `book`: {said}"), "{theirs}: {error:?}");
    }
}

#[tokio::test]
async fn what_the_contract_forbids_is_told_with_its_row() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let mut book = target("book", &book_columns(), &["id"]);
    put(warehouse.as_mut(), &book, books(&[(1, Some("a"), 1), (2, None, 2)])).await.unwrap();
    book.columns[1].nullable = false;
    let error = put(warehouse.as_mut(), &book, books(&[(1, Some("a"), 1), (2, None, 2)])).await.unwrap_err();
    assert_eq!(error.to_string(), "`book`: column `title` of the row with id = 2 is null");
    let mut sale = target("sale", &[("no", DataType::Int64), ("book", DataType::Int64)], &["no"]);
    sale.foreign_keys = vec![ForeignKey { column: "book".into(), table: "book".into(), field: "id".into() }];
    let numbers = |values: [i64; 2]| -> ArrayRef { Arc::new(Int64Array::from(values.to_vec())) };
    let rows = batches(vec![("no", numbers([10, 11])), ("book", numbers([2, 3]))]);
    let error = put(warehouse.as_mut(), &sale, rows).await.unwrap_err();
    assert_eq!(error.to_string(), "`sale`: column `book` of the row with no = 11 is 3, which is not in `book`.`id`");
    assert_eq!(error.kind(), Kind::Input);
    let twice = put(warehouse.as_mut(), &sale, batches(vec![("no", numbers([4, 4])), ("book", numbers([1, 1]))])).await;
    let twice = twice.unwrap_err();
    assert_eq!(twice.to_string(), "declare the keys of `sale`");
    let cause = std::error::Error::source(&twice).unwrap().to_string();
    assert!(cause.contains("(no)=(4) is duplicated"), "{cause}");
}
