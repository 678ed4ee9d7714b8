//! Nested values against serde_json, and where in them a fault is.

use crate::decode::{Decoded, Format, RESCUED, decoder};
use crate::engine::types::parse_type;
use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Fields};
use arrow::json::writer::{JsonArray, WriterBuilder};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn decode(columns: &[(&str, DataType)], payloads: &[&str]) -> Decoded {
    let fields: Fields = columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect();
    let payloads: Vec<&[u8]> = payloads.iter().map(|payload| payload.as_bytes()).collect();
    decoder(&Format::Json, &fields).unwrap().decode(&payloads).unwrap()
}

fn typed<'n>(columns: &[(&'n str, &str)]) -> Vec<(&'n str, DataType)> {
    columns.iter().map(|(name, kind)| (*name, parse_type(kind).unwrap())).collect()
}

/// The rows as another program writes them.
fn rows(decoded: &Decoded) -> Vec<Value> {
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(Vec::new());
    writer.write(&decoded.batch).unwrap();
    writer.finish().unwrap();
    match writer.into_inner() {
        empty if empty.is_empty() => Vec::new(),
        text => serde_json::from_slice(&text).unwrap(),
    }
}

fn rescued(decoded: &Decoded) -> Vec<Option<&str>> {
    decoded.batch.column_by_name(RESCUED).unwrap().as_string::<i32>().iter().collect()
}

#[test]
fn objects_and_arrays_fill_structs_and_lists() {
    let columns = typed(&[
        ("address", "struct<city text, lines text[], geo struct<lat double, lon double>>"),
        ("m", "decimal(5,2)[][]"),
    ]);
    let decoded = decode(
        &columns,
        &[
            r#"{"address":{"City":"Aarhus","lines":["a",null,"b"],"geo":{"lat":56.1,"lon":"10.2"}},"m":[[1,"2.50"],[],null]}"#,
            r#"{"m":[]}"#,
            r#"{ "address" : { "lines" : [ ] , "geo" : null } , "m" : null }"#,
        ],
    );
    assert_eq!(decoded.rejects, []);
    let none = Value::Null;
    let expected = [
        json!({"address": {"city": "Aarhus", "lines": ["a", null, "b"], "geo": {"lat": 56.1, "lon": 10.2}}, "m": [[1.00, 2.50], [], null], "_rescued": none}),
        json!({"address": none, "m": [], "_rescued": none}),
        json!({"address": {"city": none, "lines": [], "geo": none}, "m": none, "_rescued": none}),
    ];
    assert_eq!(rows(&decoded), expected);
}

#[test]
fn a_fault_is_named_with_its_path() {
    let columns =
        typed(&[("address", "struct<lines text[], zip integer, rooms struct<m2 smallint>[]>"), ("n", "bigint[][]")]);
    let table = [
        (
            r#"{"address":{"lines":["a","b","\u0000"]}}"#,
            r#"column `address.lines[2]`: "\u0000" holds a NUL character, which no text column of the warehouse can store"#,
        ),
        (r#"{"address":{"zip":"x"}}"#, r#"column `address.zip`: expected integer, found "x""#),
        (
            r#"{"address":{"rooms":[{},{"m2":40000}]}}"#,
            "column `address.rooms[1].m2`: 40000 is out of range for smallint",
        ),
        (r#"{"address":{"rooms":[{},[]]}}"#, "column `address.rooms[1]`: expected an object, found []"),
        (r#"{"address":[]}"#, "column `address`: expected an object, found []"),
        (r#"{"n":[[1],2]}"#, "column `n[1]`: expected an array, found 2"),
        (r#"{"n":[[1],[2,3.5]]}"#, "column `n[1][1]`: 3.5 does not fit bigint exactly"),
        (r#"{"address":{"zip":1,"zip":1}}"#, "field `address.zip` occurs twice"),
        (r#"{"address":{"rooms":[{"ZIP":1,"ZIP":2}]}}"#, "field `address.rooms[0].ZIP` occurs twice"),
        (
            r#"{"address":{"ZIP":1,"Zip":1}}"#,
            "fields `address.ZIP` and `address.Zip` both belong to column `address.zip`",
        ),
        (
            r#"{"address":{"\ud800":1}}"#,
            r#"column `address`: a name in {"\ud800":1} holds an escape that is no character"#,
        ),
        (r#"{"address":{"x":1},"address.x":2}"#, "field `address.x` occurs twice"),
    ];
    for (payload, reason) in table {
        let decoded = decode(&columns, &["{}", payload, r#"{"n":[[7]]}"#]);
        let found: Vec<_> = decoded.rejects.iter().map(|reject| (reject.index, reject.reason.as_str())).collect();
        assert_eq!(found, [(1, reason)]);
        assert_eq!(rows(&decoded)[1]["n"], json!([[7]]), "{payload}");
    }
}

#[test]
fn unknown_members_are_rescued_with_their_path() {
    let columns = typed(&[("address", "struct<rooms struct<m2 smallint>[]>")]);
    let payload = r#"{"x":0,"address":{"zip":1.10,"rooms":[{"m2":1},{"m2":2,"col our":{"a": [1]}}],"\u00e9":null}}"#;
    let decoded = decode(&columns, &[payload, "{}"]);
    let kept = r#"{"x":0,"address.rooms[1].col our":{"a": [1]},"address.zip":1.10,"address.é":null}"#;
    assert_eq!(rescued(&decoded), [Some(kept), None]);
}

/// What the columns of a record are to hold, by serde_json alone; fields nobody declared go into `rescued`.
fn expected(value: &Value, data_type: &DataType, path: &str, rescued: &mut Map<String, Value>) -> Result<Value, ()> {
    match (data_type, value) {
        (_, Value::Null) => Ok(Value::Null),
        (DataType::Int64, Value::Number(number)) => number.as_i64().map(Value::from).ok_or(()),
        (DataType::Int64, Value::String(text)) => text.parse::<i64>().map(Value::from).map_err(drop),
        (DataType::Boolean, Value::Bool(flag)) => Ok(Value::from(*flag)),
        (DataType::Utf8, Value::String(text)) => Ok(Value::from(text.as_str())),
        (DataType::Utf8, other) => Ok(Value::from(other.to_string())),
        (DataType::List(item), Value::Array(items)) => {
            let each = items.iter().enumerate();
            each.map(|(at, value)| expected(value, item.data_type(), &format!("{path}[{at}]"), rescued)).collect()
        }
        (DataType::Struct(fields), Value::Object(members)) => record(members, fields, &format!("{path}."), rescued),
        _ => Err(()),
    }
}

fn record(
    members: &Map<String, Value>,
    fields: &Fields,
    around: &str,
    rescued: &mut Map<String, Value>,
) -> Result<Value, ()> {
    let mut filled = Map::new();
    for field in fields {
        let value = members.get(field.name()).unwrap_or(&Value::Null);
        filled.insert(
            field.name().clone(),
            expected(value, field.data_type(), &format!("{around}{}", field.name()), rescued)?,
        );
    }
    for (name, value) in members.iter().filter(|(name, _)| fields.find(name).is_none()) {
        rescued.insert(format!("{around}{name}"), value.clone());
    }
    Ok(Value::Object(filled))
}

fn fields_of(types: Vec<DataType>) -> Fields {
    ["a", "b", "c"].iter().zip(types).map(|(name, data_type)| Field::new(*name, data_type, true)).collect()
}

fn data_type() -> impl Strategy<Value = DataType> {
    prop_oneof![Just(DataType::Int64), Just(DataType::Utf8), Just(DataType::Boolean)].prop_recursive(
        4,
        12,
        3,
        |inner| {
            prop_oneof![
                inner.clone().prop_map(|item| DataType::List(Field::new("element", item, true).into())),
                prop::collection::vec(inner, 1..3).prop_map(|types| DataType::Struct(fields_of(types))),
            ]
        },
    )
}

fn any_value() -> BoxedStrategy<Value> {
    let texts = prop::sample::select(vec!["", "x", "7", "é\"\\\n", "[1]"]).prop_map(Value::from);
    let leaf =
        prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), any::<i64>().prop_map(Value::from), texts];
    let nested = leaf.prop_recursive(3, 8, 3, |inner| {
        let object = prop::collection::btree_map("[a-d]", inner.clone(), 0..3);
        prop_oneof![
            prop::collection::vec(inner, 0..3).prop_map(Value::from),
            object.prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    nested.boxed()
}

/// Mostly a value of the type.
fn value_of(data_type: &DataType) -> BoxedStrategy<Value> {
    let fitting = match data_type {
        DataType::Int64 => any::<i64>().prop_map(Value::from).boxed(),
        DataType::Boolean => any::<bool>().prop_map(Value::from).boxed(),
        DataType::List(item) => prop::collection::vec(value_of(item.data_type()), 0..4).prop_map(Value::from).boxed(),
        DataType::Struct(fields) => object_of(fields),
        _ => "[a-zé\"\\\\]{0,6}".prop_map(Value::from).boxed(),
    };
    prop_oneof![20 => fitting, 2 => Just(Value::Null), 1 => any_value()].boxed()
}

fn object_of(fields: &Fields) -> BoxedStrategy<Value> {
    let members: Vec<_> = fields
        .iter()
        .map(|field| (Just(field.name().clone()), prop::option::weighted(0.9, value_of(field.data_type()))))
        .collect();
    let unknown = prop::option::weighted(0.1, any_value());
    let object = (members, unknown).prop_map(|(members, unknown)| {
        let known = members.into_iter().filter_map(|(name, value)| Some((name, value?)));
        Value::Object(known.chain(unknown.map(|value| ("d".to_string(), value))).collect())
    });
    object.boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nested_values_are_what_serde_json_reads(
        (fields, records) in prop::collection::vec(data_type(), 1..4).prop_map(fields_of).prop_flat_map(|fields| {
            let records = prop::collection::vec(object_of(&fields), 1..6);
            (Just(fields), records)
        })
    ) {
        let payloads: Vec<String> = records.iter().map(Value::to_string).collect();
        let slices: Vec<&[u8]> = payloads.iter().map(String::as_bytes).collect();
        let decoded = decoder(&Format::Json, &fields).unwrap().decode(&slices).unwrap();
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for (index, value) in records.iter().enumerate() {
            let mut rescued = Map::new();
            match record(value.as_object().unwrap(), &fields, "", &mut rescued) {
                Ok(Value::Object(mut row)) => {
                    row.insert(RESCUED.into(), if rescued.is_empty() { Value::Null } else { Value::Object(rescued) });
                    good.push(Value::Object(row));
                }
                _ => bad.push(index),
            }
        }
        prop_assert_eq!(decoded.rejects.iter().map(|reject| reject.index).collect::<Vec<_>>(), bad);
        let mut found = rows(&decoded);
        for row in &mut found {
            if let Some(Value::String(text)) = row.get(RESCUED) {
                row[RESCUED] = serde_json::from_str(text).unwrap();
            }
        }
        prop_assert_eq!(found, good);
    }
}
