//! The contract every decoder keeps, whatever the format.

mod corpus;

use super::*;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, Fields};

/// A format with payloads that are good and bad in it.
struct Case {
    name: &'static str,
    format: Format,
    columns: Fields,
    good: Vec<&'static [u8]>,
    bad: Vec<&'static [u8]>,
}

fn fields(columns: &[(&str, DataType)]) -> Fields {
    columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect()
}

fn cases() -> Vec<Case> {
    let list = DataType::List(Field::new("element", DataType::Int64, true).into());
    vec![
        Case {
            name: "json",
            format: Format::Json,
            columns: fields(&[("n", DataType::Int32), ("a", DataType::Utf8)]),
            good: vec![br#"{"n":1,"a":"x"}"#, b"{}", br#" {"a":"","n":null,"u":[1]} "#],
            bad: vec![b"", br#"{"a":"x","n":"y"}"#, b"{}{}", b"\xff", br#"{"a":"\u0000"}"#],
        },
        Case {
            name: "json, nested",
            format: Format::Json,
            columns: fields(&[
                ("l", list.clone()),
                ("s", DataType::Struct(fields(&[("x", DataType::Utf8), ("l", list)]))),
            ]),
            good: vec![br#"{"l":[1,null,3],"s":{"x":"a","l":[]}}"#, br#"{"l":null}"#, br#"{"s":{"l":[7],"u":1}}"#],
            bad: vec![
                br#"{"l":[1,2,"x"]}"#,
                br#"{"l":[1],"s":{"x":"a","l":[1,{}]}}"#,
                br#"{"s":{"l":[1],"x":"\u0000"}}"#,
            ],
        },
        Case {
            name: "csv",
            format: Format::Csv(Layout::default()),
            columns: fields(&[("n", DataType::Int32), ("a", DataType::Utf8)]),
            good: vec![b"1,x", b",\n", b"\"3\",\"y,\"\"\""],
            bad: vec![b"", b"1", b"1,x,", b"x,1", b"1,\"x", b"1,x\n2,y", b"1,\xff", b"1,\0"],
        },
        Case {
            name: "raw bytes",
            format: Format::Raw,
            columns: fields(&[("value", DataType::Binary)]),
            good: vec![b"", b"\xff\x00", b"{}"],
            bad: vec![],
        },
        Case {
            name: "raw text",
            format: Format::Raw,
            columns: fields(&[("value", DataType::Utf8)]),
            good: vec![b"", "é\n".as_bytes(), b"{}"],
            bad: vec![b"\xff", b"a\0"],
        },
    ]
}

/// What the good payloads become one by one, by a decoder that has seen nothing else.
fn alone(case: &Case) -> Vec<RecordBatch> {
    let row = |payload: &&'static [u8]| {
        let decoded = decoder(&case.format, &case.columns).unwrap().decode(&[payload]).unwrap();
        assert_eq!((decoded.batch.num_rows(), decoded.rejects), (1, vec![]), "{}", case.name);
        decoded.batch
    };
    case.good.iter().map(row).collect()
}

#[test]
fn good_payloads_are_the_same_rows_in_order_whatever_stands_between_them() {
    for case in cases() {
        let rows = alone(&case);
        let mut payloads: Vec<&[u8]> = Vec::new();
        let mut bad = Vec::new();
        for (index, good) in case.good.iter().enumerate() {
            payloads.push(good);
            for faulty in &case.bad {
                bad.extend([payloads.len(), payloads.len() + 1]);
                payloads.extend([faulty, &case.bad[index % case.bad.len()]]);
            }
        }
        let mut decoder = decoder(&case.format, &case.columns).unwrap();
        for round in 0..2 {
            let decoded = decoder.decode(&payloads).unwrap();
            assert_eq!(decoded.batch.num_rows() + decoded.rejects.len(), payloads.len(), "{} {round}", case.name);
            let rejected: Vec<usize> = decoded.rejects.iter().map(|reject| reject.index).collect();
            assert_eq!(rejected, bad, "{} {round}", case.name);
            assert!(decoded.rejects.iter().all(|reject| !reject.reason.is_empty()), "{}", case.name);
            for (at, row) in rows.iter().enumerate() {
                assert_eq!(decoded.batch.slice(at, 1), *row, "{} {round}: row {at}", case.name);
            }
        }
    }
}

#[test]
fn the_schema_is_the_columns_and_the_rescued_and_never_changes() {
    for case in cases() {
        let mut decoder = decoder(&case.format, &case.columns).unwrap();
        let schema = decoder.schema();
        assert_eq!(schema.fields()[..case.columns.len()], case.columns[..], "{}", case.name);
        assert_eq!(schema.fields().last().unwrap().name(), RESCUED, "{}", case.name);
        for payloads in [&case.bad, &case.good, &Vec::new()] {
            let decoded = decoder.decode(payloads).unwrap();
            assert_eq!((decoded.batch.schema(), decoder.schema()), (schema.clone(), schema.clone()), "{}", case.name);
        }
    }
}

#[test]
fn nothing_and_nothing_but_faults_give_no_row() {
    for case in cases() {
        let mut decoder = decoder(&case.format, &case.columns).unwrap();
        assert_eq!(decoder.decode(&[]).unwrap().batch.num_rows(), 0, "{}", case.name);
        let decoded = decoder.decode(&case.bad).unwrap();
        assert_eq!((decoded.batch.num_rows(), decoded.rejects.len()), (0, case.bad.len()), "{}", case.name);
    }
}

#[test]
fn an_empty_payload_is_a_value_only_where_a_format_has_one() {
    for case in cases() {
        let decoded = decoder(&case.format, &case.columns).unwrap().decode(&[b""]).unwrap();
        let is_value = case.format == Format::Raw;
        assert_eq!((decoded.batch.num_rows(), decoded.rejects.len()), (usize::from(is_value), usize::from(!is_value)));
    }
}

#[test]
fn rows_of_any_number_keep_their_payloads() {
    let mut decoder = decoder(&Format::Raw, &fields(&[("value", DataType::Utf8)])).unwrap();
    let payloads: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
    let slices: Vec<&[u8]> = payloads.iter().map(String::as_bytes).collect();
    let decoded = decoder.decode(&slices).unwrap();
    let texts = decoded.batch.column(0).as_string::<i32>();
    assert!(texts.iter().flatten().eq(payloads.iter().map(String::as_str)) && texts.null_count() == 0);
}
