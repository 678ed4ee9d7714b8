//! Bytes that may be text and may be anything, where only text can stand: base64 for programs, escapes for people.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fmt::Write;

/// A text where the bytes are one, else `{"base64": ..}`; null for none.
pub fn to_json(bytes: Option<&[u8]>) -> Value {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => Value::Null,
        Some((_, Ok(text))) => text.into(),
        Some((bytes, Err(_))) => json!({ "base64": STANDARD.encode(bytes) }),
    }
}

/// What [`to_json`] was given; `None` when it did not make this.
pub fn from_json(value: Value) -> Option<Option<Vec<u8>>> {
    match value {
        Value::Null => Some(None),
        Value::String(text) => Some(Some(text.into_bytes())),
        Value::Object(object) => STANDARD.decode(object.get("base64")?.as_str()?).ok().map(Some),
        _ => None,
    }
}

/// One line: text as it is, but for what a terminal would act on, and every byte that is no text as `\xff`.
pub fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' | '\n' | '\r' | '\t' => text.extend(c.escape_default()),
                c if c.is_control() => text.extend(c.escape_unicode()),
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            // Writing into a String cannot fail.
            write!(text, "\\x{byte:02x}").unwrap_or_default();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_from_their_json() {
        for (bytes, expected) in [
            (None, "null"),
            (Some(b"".as_slice()), "\"\""),
            (Some("é\"".as_bytes()), "\"é\\\"\""),
            (Some(&[0xff, 0xfe]), r#"{"base64":"//4="}"#),
        ] {
            let written = to_json(bytes);
            assert_eq!(written.to_string(), expected);
            assert_eq!(from_json(written), Some(bytes.map(<[u8]>::to_vec)));
        }
        for bad in [json!(1), json!([]), json!({}), json!({"base64": "Zh=="}), json!({"base64": "Zg"})] {
            assert_eq!(from_json(bad.clone()), None, "{bad}");
        }
    }

    #[test]
    fn what_is_no_text_is_escaped() {
        for (bytes, expected) in [
            (b"{\"a\":\"\xc3\xa9\"}".as_slice(), "{\"a\":\"é\"}"),
            (b"\xff\xfea", "\\xff\\xfea"),
            (b"a\nb\\c\x1b[1m", "a\\nb\\\\c\\u{1b}[1m"),
            (b"\xc3", "\\xc3"),
        ] {
            assert_eq!(escaped(bytes), expected);
        }
    }
}
