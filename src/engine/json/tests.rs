//! Values worked out by hand from the text.

use crate::engine::{Engine, EngineConfig, Session};
use crate::error::Result;
use arrow::array::{ArrayRef, StringArray};
use arrow::record_batch::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use std::sync::Arc;

const ORDER: &str = r#" {"id": 12345678901234567890123456789, "rate": 1.50, "big": 9007199254740993, "e": 1e3,
    "huge": 1e999, "who": {"name": "Zoë \"Z\" \u00e9\n", "vip": false, "note": null}, "a.b": 1, "$ref": 2,
    "lines": [{"sku": "x", "n": 2}, {"sku": "y"}, [7]], "twice": 1, "twice": 2, "größe": "ß", "none": {}} "#;

fn session(texts: &[Option<&str>]) -> Session {
    let session = Engine::new(&EngineConfig { memory_bytes: 64 << 20, threads: 1 }).unwrap().session();
    let texts: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
    let batch = RecordBatch::try_from_iter([("j", texts)]).unwrap();
    session.register_batches("t", batch.schema(), vec![batch]).unwrap();
    session
}

/// The one column, NULL as `-`.
async fn asked(session: &Session, expression: &str) -> Result<Vec<String>> {
    let batches = session.query(&format!("select coalesce(cast({expression} as text), '-') as x from t")).await?;
    let text = pretty_format_batches(&batches).unwrap().to_string();
    Ok(text
        .lines()
        .skip(3)
        .filter_map(|line| line.strip_prefix("| "))
        .map(|line| line[..line.len() - 1].trim_end().into())
        .collect())
}

#[tokio::test]
async fn a_value_is_found_by_its_path() {
    let session = session(&[Some(ORDER)]);
    let table = [
        ("j ->> 'id'", "12345678901234567890123456789"),
        ("j ->> 'rate'", "1.50"),
        ("j -> 'who' ->> 'vip'", "false"),
        ("j -> 'who' -> 'note'", "null"),
        ("j -> 'who' ->> 'note'", "-"),
        ("j ->> 'gone'", "-"),
        ("j -> 'who' -> 'gone' ->> 'x'", "-"),
        ("j -> 'lines' -> 0 ->> 'sku'", "x"),
        ("j ->> 'lines'", r#"[{"sku": "x", "n": 2}, {"sku": "y"}, [7]]"#),
        ("j ->> '$.lines[2][0]'", "7"),
        ("j ->> '$.lines[3]'", "-"),
        ("j ->> 'größe'", "ß"),
        ("j ->> 'a.b'", "1"),
        ("j ->> '$[\"a.b\"]'", "1"),
        ("j ->> '$ref'", "2"),
        ("j ->> 'twice'", "2"),
        ("json_as_text(j, 'lines', 1, 'sku')", "y"),
        ("json_extract_path_text(j, 'who', 'name') = 'Zoë \"Z\" é\n'", "true"),
        ("json_value(j, '$.rate')", "1.50"),
        ("json_extract_scalar(j, '$.who')", "-"),
        ("json_get_str(j, 'lines', 0, 'sku')", "x"),
        ("json_get_str(j, 'rate')", "-"),
        ("json_get_json(j, '$.lines[0].sku')", "\"x\""),
        ("json_get_int(j, 'big')", "9007199254740993"),
        ("json_get_int(j, 'id')", "-"),
        ("json_get_int(j, 'rate')", "-"),
        ("json_get_int(j, 'e')", "-"),
        ("json_get_float(j, 'rate')", "1.5"),
        ("json_get_float(j, 'e')", "1000.0"),
        ("json_get_float(j, 'huge')", "-"),
        ("json_get_float(j, 'größe')", "-"),
        ("json_get_bool(j, 'who', 'vip')", "false"),
        ("json_get_bool(j, 'id')", "-"),
        ("array_to_string(json_get_array(j, 'lines'), '|')", r#"{"sku": "x", "n": 2}|{"sku": "y"}|[7]"#),
        ("json_get_array(j, 'who')", "-"),
        ("array_to_string(json_keys(j, 'who'), ',')", "name,note,vip"),
        ("json_length(j, 'lines')", "3"),
        ("json_array_length(j, '$.none')", "0"),
        ("json_length(j, 'id')", "-"),
        ("json_contains(j, 'who', 'note')", "true"),
        ("json_exists(j, '$.lines[2][1]')", "false"),
        ("json_valid(j)", "true"),
        ("parse_decimal(j ->> 'rate', 9, 2) + 1", "2.50"),
        ("j -> 'who' ->> 'vip' = 'false' and not j ->> 'e' is null", "true"),
        ("j ->> 'rate'::double + 1", "2.5"),
        ("(j ->> 'rate')::double + 1", "2.5"),
        ("j ->> 'e' || ' ' || j ->> '$.lines[0].n'", "1e3 2"),
    ];
    for (expression, expected) in table {
        assert_eq!(asked(&session, expression).await.unwrap(), [expected], "{expression}");
    }
}

#[tokio::test]
async fn a_text_that_is_no_json_has_no_values() {
    let texts = [
        Some(r#"{"a": "x"}"#),
        Some(r#"{"a": "x""#),
        Some(r#"{"a": "x"} {}"#),
        Some("{'a': 'x'}"),
        Some(r#"{"a": 01}"#),
        Some(""),
        Some("\u{feff}{}"),
        None,
        Some("7"),
        Some("\"a\""),
        Some(r#"["x"]"#),
        Some("{\"a\": \"\u{1}\"}"),
    ];
    let session = session(&texts);
    let table: [(&str, [&str; 12]); 4] = [
        ("j ->> 'a'", ["x", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-"]),
        ("j ->> 0", ["-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "x", "-"]),
        ("json_contains(j, 'a')", ["true", "-", "-", "-", "-", "-", "-", "-", "false", "false", "false", "-"]),
        (
            "json_valid(j)",
            ["true", "false", "false", "false", "false", "false", "false", "-", "true", "true", "true", "false"],
        ),
    ];
    for (expression, expected) in table {
        assert_eq!(asked(&session, expression).await.unwrap(), expected, "{expression}");
    }
}

#[tokio::test]
async fn what_cannot_be_looked_for_is_told_when_it_is_planned() {
    let session = session(&[Some(ORDER)]);
    let table = [
        ("j -> j", "in json_get_json: keys and indices are written out: 'key', 0 or '$.key[0]'"),
        ("j -> -1", "the index -1 is below 0"),
        ("j ->> '$.lines[*]'", "`$.lines[*]` is no path from its byte 7 on"),
        ("json_get_int(1, 'a')", "json_get_int looks into text, not Int64"),
        ("json_valid(j, 'a')", "json_valid takes one text"),
    ];
    for (expression, part) in table {
        let error = session.schema_of(&format!("select {expression} as x from t")).await.unwrap_err();
        let told = std::iter::once(error.to_string()).chain(error.causes()).collect::<Vec<_>>().join(": ");
        assert!(told.contains(part), "{expression}: {told}");
    }
}
