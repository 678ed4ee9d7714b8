//! Records into rows; that the straight and the explaining way agree on every record, and that a bad one leaves
//! nothing behind.

use super::*;
use crate::decode::RESCUED;
use arrow::array::AsArray;
use arrow::datatypes::{DataType, Decimal128Type, Field as ArrowField, Int32Type, TimeUnit};
use proptest::prelude::*;

fn decoder(columns: &[(&str, DataType)]) -> JsonDecoder {
    let fields: Fields =
        columns.iter().map(|(name, data_type)| ArrowField::new(*name, data_type.clone(), true)).collect();
    JsonDecoder::new(&fields).unwrap()
}

fn texts(batch: &RecordBatch, column: &str) -> Vec<Option<String>> {
    let array = batch.column_by_name(column).unwrap().as_string::<i32>();
    array.iter().map(|text| text.map(str::to_string)).collect()
}

#[test]
fn good_rows_stand_in_order_around_the_bad_ones() {
    let mut decoder = decoder(&[("qty", DataType::Int32), ("price", DataType::Decimal128(10, 2))]);
    let payloads: Vec<&[u8]> = vec![
        br#"{"qty":1,"price":"1.10"}"#,
        b"{\"qty\":2",
        br#"{"qty":"x"}"#,
        br#"{"price":2.5,"qty":"3"}"#,
        b"{}{}",
        br#"{"qty":99999999999}"#,
        br#"{"qty":null}"#,
    ];
    let decoded = decoder.decode(&payloads).unwrap();
    let quantities: Vec<_> = decoded.batch.column(0).as_primitive::<Int32Type>().iter().collect();
    let prices: Vec<_> = decoded.batch.column(1).as_primitive::<Decimal128Type>().iter().collect();
    assert_eq!(quantities, [Some(1), Some(3), None]);
    assert_eq!(prices, [Some(110), Some(250), None]);
    let rejects: Vec<_> = decoded.rejects.iter().map(|reject| (reject.index, reject.reason.as_str())).collect();
    assert_eq!(
        rejects,
        [
            (1, "the JSON object ends too early, at byte 8"),
            (2, "column `qty`: expected integer, found \"x\""),
            (4, "text after the JSON object at byte 2"),
            (5, "column `qty`: 99999999999 is out of range for integer"),
        ]
    );
}

#[test]
fn undeclared_fields_are_kept_as_written() {
    let mut decoder = decoder(&[("post_code", DataType::Utf8)]);
    let payloads: Vec<&[u8]> = vec![
        br#"{"post_code":2600,"rate": 1.10,"more":{"a": [1]}}"#,
        br#"{"post_code":"02600"}"#,
        "{\"ключ \\\"\":null}".as_bytes(),
    ];
    let decoded = decoder.decode(&payloads).unwrap();
    assert_eq!(texts(&decoded.batch, "post_code"), [Some("2600".into()), Some("02600".into()), None]);
    let rescued = [Some(r#"{"rate":1.10,"more":{"a": [1]}}"#.into()), None, Some(r#"{"ключ \"":null}"#.into())];
    assert_eq!(texts(&decoded.batch, RESCUED), rescued);
}

#[test]
fn fields_find_their_columns() {
    let mut decoder = decoder(&[("author_s", DataType::Utf8), ("id", DataType::Utf8)]);
    let good = [
        (r#"{"Author(s)":"a"}"#, [Some("a"), None, None]),
        (r#"{"ID":1,"id":2}"#, [None, Some("2"), Some(r#"{"ID":1}"#)]),
        (r#"{"id":2,"ID":1}"#, [None, Some("2"), Some(r#"{"ID":1}"#)]),
    ];
    for (payload, expected) in good {
        let decoded = decoder.decode(&[payload.as_bytes()]).unwrap();
        let read = ["author_s", "id", RESCUED].map(|name| texts(&decoded.batch, name)[0].clone());
        assert_eq!(read, expected.map(|text| text.map(str::to_string)), "{payload}");
    }
    let bad = [
        (r#"{"ID":2,"Id":1}"#, "fields `ID` and `Id` both belong to column `id`"),
        (r#"{"id":2,"id":2}"#, "field `id` occurs twice"),
        (r#"{"x":2,"y":1,"x":2}"#, "field `x` occurs twice"),
    ];
    for (payload, reason) in bad {
        let decoded = decoder.decode(&[payload.as_bytes()]).unwrap();
        assert_eq!(decoded.rejects[0].reason, reason, "{payload}");
    }
}

#[test]
fn a_nul_is_a_reject_in_a_column_and_stays_an_escape_in_kept_json() {
    let mut decoder = decoder(&[("a", DataType::Utf8)]);
    let payloads: [&[u8]; 3] = [br#"{"a":"x\u0000"}"#, br#"{"a":{"b":"\u0000"}}"#, br#"{"b":"\u0000"}"#];
    let decoded = decoder.decode(&payloads).unwrap();
    let reason = r#"column `a`: "x\u0000" holds a NUL character, which no text column of the warehouse can store"#;
    assert_eq!((decoded.rejects.len(), decoded.rejects[0].reason.as_str()), (1, reason));
    assert_eq!(texts(&decoded.batch, "a"), [Some(r#"{"b":"\u0000"}"#.into()), None]);
    assert_eq!(texts(&decoded.batch, RESCUED), [None, Some(r#"{"b":"\u0000"}"#.into())]);
}

#[test]
fn columns_json_cannot_fill_are_refused() {
    let refuse = |name: &str, data_type| {
        let fields: Fields = vec![ArrowField::new(name, data_type, true)].into();
        JsonDecoder::new(&fields).err().unwrap()
    };
    assert_eq!(refuse("a", DataType::Binary).kind(), Kind::Config);
    assert_eq!(refuse(RESCUED, DataType::Utf8).kind(), Kind::Config);
}

proptest! {
    #[test]
    fn any_bytes_are_a_row_or_a_reject(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8)) {
        let mut decoder = decoder(&[("a", DataType::Int32), ("b", DataType::Utf8)]);
        let slices: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        let decoded = decoder.decode(&slices).unwrap();
        prop_assert_eq!(decoded.batch.num_rows() + decoded.rejects.len(), payloads.len());
    }

    #[test]
    fn any_text_survives(text in any::<String>(), other in any::<String>()) {
        let mut decoder = decoder(&[("a", DataType::Utf8)]);
        let payload = serde_json::json!({"a": text, "other name": other}).to_string();
        let decoded = decoder.decode(&[payload.as_bytes()]).unwrap();
        prop_assert_eq!(texts(&decoded.batch, "a"), vec![Some(text)]);
        let rescued: serde_json::Value = serde_json::from_str(texts(&decoded.batch, RESCUED)[0].as_deref().unwrap()).unwrap();
        prop_assert_eq!(rescued, serde_json::json!({"other name": other}));
    }
}

/// Columns of every type, so that each kind of value meets each.
fn every_type() -> JsonDecoder {
    let list = DataType::List(ArrowField::new("element", DataType::Int64, true).into());
    decoder(&[
        ("a", DataType::Utf8),
        ("b", DataType::Boolean),
        ("c", DataType::Int8),
        ("d", DataType::Int64),
        ("e", DataType::Float64),
        ("f", DataType::Decimal128(12, 2)),
        ("g", DataType::Date32),
        ("h", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ("i_j", DataType::Float32),
        ("k", list.clone()),
        (
            "l",
            DataType::Struct(vec![ArrowField::new("a", DataType::Utf8, true), ArrowField::new("b", list, true)].into()),
        ),
    ])
}

/// What the explaining path alone makes of the payloads.
fn explained(decoder: &mut JsonDecoder, payloads: &[&[u8]]) -> Decoded {
    let mut rejects = Vec::new();
    for (index, payload) in payloads.iter().enumerate() {
        if let Err(reason) = decoder.explain(payload) {
            decoder.rows.take_back();
            rejects.push(Reject { index, reason });
        }
    }
    let arrays = decoder.rows.finish().unwrap();
    Decoded { batch: RecordBatch::try_new(decoder.schema(), arrays).unwrap(), rejects }
}

fn value() -> impl Strategy<Value = String> {
    let number = "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,8})?([eE][-+]?[0-9]{1,3})?";
    let moment = "\"[0-9]{4}-[01][0-9]-[0-3][0-9]([T ][0-2][0-9]:[0-5][0-9](:[0-6][0-9](\\.[0-9]{1,7})?)?(Z| UTC|[-+][0-9]{2}(:?[0-9]{2})?)?)?\"";
    let text = "\"([ a-zé,:{}\\[\\]]|\\\\[\"\\\\/bfnrtu]|\\\\u0000|\\\\u[0-9a-f]{4}){0,12}\"";
    let word = prop::sample::select(vec!["null", "true", "false", "\"yes\"", "{}", "[]", "", "NaN", "\"\""]);
    prop_oneof![number, moment, text, number.prop_map(|n| format!("\"{n}\"")), word.prop_map(String::from)]
}

fn nested() -> impl Strategy<Value = String> {
    value().prop_recursive(3, 12, 4, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4).prop_map(|all| format!("[{}]", all.join(" , ")));
        let object = prop::collection::vec(("\"[a-c]\"", inner), 0..4)
            .prop_map(|all| all.into_iter().map(|(k, v)| format!("{k}:{v}")).collect::<Vec<_>>().join(","));
        prop_oneof![list, object.prop_map(|members| format!("{{{members}}}"))]
    })
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![6 => "[a-hkl]", 2 => "[a-hklA-HKL]", 3 => "(i_j|I j|x|y)", 1 => "\\\\u006[1-9]"];
    let members = prop::collection::vec((name, nested()), 0..8);
    let object = (members, "[ \n]{0,1}").prop_map(|(members, space)| {
        let members: Vec<String> = members.into_iter().map(|(k, v)| format!("\"{k}\"{space}:{space}{v}")).collect();
        format!("{space}{{{space}{}{space}}}{space}", members.join(",")).into_bytes()
    });
    (object, prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>(), 0..3u8))).prop_map(
        |(mut bytes, change)| {
            if let Some((at, byte, kind)) = change {
                let at = at.index(bytes.len());
                match kind {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ => bytes.truncate(at),
                }
            }
            bytes
        },
    )
}

#[test]
fn bad_records_leave_no_trace_in_the_columns() {
    let good =
        br#"{"a":"x","b":true,"c":1,"d":2,"e":1.5,"f":"1.10","g":"2020-02-29","h":"2020-02-29T01:02:03.5Z","u":1}"#;
    let mut decoder = every_type();
    let mut payloads: Vec<&[u8]> = vec![good];
    payloads.extend((0..good.len()).map(|end| &good[..end]));
    payloads.push(good);
    let decoded = decoder.decode(&payloads).unwrap();
    assert_eq!((decoded.batch.num_rows(), decoded.rejects.len()), (2, good.len()));
    assert_eq!(decoded.batch.slice(0, 1), decoded.batch.slice(1, 1));
    assert_eq!(decoded.batch, decoder.decode(&[good, good]).unwrap().batch);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn both_paths_agree(payloads in prop::collection::vec(payload(), 1..8)) {
        let slices: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        let (mut straight, mut slow) = (every_type(), every_type());
        for _ in 0..2 {
            let (one, other) = (straight.decode(&slices).unwrap(), explained(&mut slow, &slices));
            prop_assert_eq!(&one.rejects, &other.rejects);
            prop_assert_eq!(one.batch, other.batch);
        }
    }
}
