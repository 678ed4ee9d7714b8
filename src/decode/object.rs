//! One payload into the fields of one JSON object, strictly by the grammar, values left as they are written.
//!
//! Values are not looked into, with one exception: how deeply they are nested. Whoever reads them later
//! (a warehouse, a browser) may do so recursively.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Deepest nesting of objects and arrays in a payload, its own object counted.
pub(super) const MAX_DEPTH: usize = 128;

/// A field of the object: its name without escapes, its value as it is written.
#[derive(Debug)]
pub(super) struct Field<'p> {
    pub name: Cow<'p, str>,
    pub raw: &'p str,
}

/// The fields in the order they are written. Names may repeat: what that means is for the caller to say.
pub(super) fn fields(payload: &[u8]) -> Result<Vec<Field<'_>>, String> {
    let text = utf8(payload)?;
    expect_object(text)?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = deserializer.deserialize_map(Fields).and_then(|fields| deserializer.end().map(|()| fields));
    let fields = read.map_err(|fault| describe(text, &fault))?;
    match fields.iter().find(|field| depth(field.raw) >= MAX_DEPTH) {
        Some(field) => Err(format!("field `{}` is nested deeper than {MAX_DEPTH} levels", shortened(&field.name))),
        None => Ok(fields),
    }
}

/// The payload as text, without a byte order mark.
pub(super) fn utf8(payload: &[u8]) -> Result<&str, String> {
    let text =
        std::str::from_utf8(payload).map_err(|fault| format!("invalid UTF-8 at byte {}", fault.valid_up_to()))?;
    match text.starts_with('\u{feff}') {
        true => Err("begins with a byte order mark".into()),
        false => Ok(text),
    }
}

/// The first 60 characters, and a mark when there were more.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

fn expect_object(text: &str) -> Result<(), String> {
    let start = text.trim_start_matches([' ', '\t', '\r', '\n']);
    let found = match start.bytes().next() {
        None => return Err("empty payload".into()),
        Some(b'{') => return Ok(()),
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b'-' | b'0'..=b'9') => "a number",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        Some(_) => "",
    };
    match serde_json::from_str::<&RawValue>(text) {
        Ok(_) => Err(format!("expected one JSON object, found {found}")),
        Err(_) => Err(format!("no JSON object at byte {}", text.len() - start.len())),
    }
}

fn describe(text: &str, fault: &serde_json::Error) -> String {
    let line_start: usize = text.split_inclusive('\n').take(fault.line().saturating_sub(1)).map(str::len).sum();
    let byte = line_start + fault.column().saturating_sub(1);
    let message = fault.to_string();
    let what = message.split(" at line ").next().unwrap_or_default();
    match fault.classify() {
        serde_json::error::Category::Eof => format!("the JSON object ends too early, at byte {}", text.len()),
        _ if what == "trailing characters" => format!("text after the JSON object at byte {byte}"),
        _ => format!("invalid JSON at byte {byte}: {what}"),
    }
}

/// Levels of nesting of a valid JSON value; 0 for a scalar.
fn depth(raw: &str) -> usize {
    if !raw.starts_with(['{', '[']) {
        return 0;
    }
    let (mut level, mut deepest, mut in_string, mut escaped) = (0usize, 0, false, false);
    for byte in raw.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                level += 1;
                deepest = deepest.max(level);
            }
            b'}' | b']' if !in_string => level -= 1,
            _ => {}
        }
    }
    deepest
}

struct Fields;

#[derive(Deserialize)]
struct Name<'p>(#[serde(borrow)] Cow<'p, str>);

impl<'p> Visitor<'p> for Fields {
    type Value = Vec<Field<'p>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one JSON object")
    }

    fn visit_map<A: MapAccess<'p>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::with_capacity(16);
        while let Some((Name(name), value)) = map.next_entry::<Name<'p>, &'p RawValue>()? {
            fields.push(Field { name, raw: value.get() });
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_exactly_one_object() {
        let nested = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        let table: [(&[u8], &str); 22] = [
            (b"", "empty payload"),
            (b" \n", "empty payload"),
            (b"\xef\xbb\xbf{}", "begins with a byte order mark"),
            (b"{\"a\":\"\xff\"}", "invalid UTF-8 at byte 6"),
            (b"[1]", "expected one JSON object, found an array"),
            (b"\"a\"", "expected one JSON object, found a string"),
            (b"-1", "expected one JSON object, found a number"),
            (b"true", "expected one JSON object, found a boolean"),
            (b"null", "expected one JSON object, found null"),
            (b"  a=1", "no JSON object at byte 2"),
            (b"no record", "no JSON object at byte 0"),
            (b"1,The Hobbit", "no JSON object at byte 0"),
            (b"{\"a\":1}{\"a\":2}", "text after the JSON object at byte 7"),
            (b"{\"a\":1} x", "text after the JSON object at byte 8"),
            (b"{\"a\":1,\n\"b\"", "the JSON object ends too early, at byte 11"),
            (b"{\"a\":1", "the JSON object ends too early, at byte 6"),
            (b"{\"a\":NaN}", "invalid JSON at byte 5: expected value"),
            (b"{\"a\":1,}", "invalid JSON at byte 7: trailing comma"),
            (b"{\"a\":1,,\"b\":2}", "invalid JSON at byte 7: key must be a string"),
            (b"{\"a\":01}", "invalid JSON at byte 6: invalid number"),
            (b"{\"a\":1,\n \"b\":x}", "invalid JSON at byte 13: expected value"),
            (nested.as_bytes(), "field `a` is nested deeper than 128 levels"),
        ];
        for (payload, expected) in table {
            let reason = fields(payload).unwrap_err();
            assert_eq!(reason, expected, "{}", shortened(&String::from_utf8_lossy(payload)));
        }
    }

    #[test]
    fn unclosed_nesting_is_refused_without_recursion() {
        let payload = format!("{{\"a\":{}", "[".repeat(1_000_000));
        assert!(fields(payload.as_bytes()).unwrap_err().contains("ends too early"));
    }

    #[test]
    fn names_are_unescaped_and_values_are_not() {
        let payload = br#" {"caf\u00e9" : 1.10 , "b":{"x": [1, "]\""]}} "#;
        let read: Vec<(String, &str)> =
            fields(payload).unwrap().into_iter().map(|field| (field.name.into_owned(), field.raw)).collect();
        assert_eq!(read, [("café".into(), "1.10"), ("b".into(), r#"{"x": [1, "]\""]}"#)]);
    }

    #[test]
    fn depth_counts_brackets_outside_of_strings() {
        for (raw, expected) in [("1", 0), ("\"[[\"", 0), ("[]", 1), (r#"{"a":["[\"["]}"#, 2)] {
            assert_eq!(depth(raw), expected, "{raw}");
        }
    }
}
