//! One field of a JSON payload as text, by which records of several kinds in one topic are told apart.

use super::object;
use super::value::unescape;
use std::borrow::Cow;

/// The text of a field at the top of the object: a string without its quotes, anything else as it is written. `None`:
/// the payload is no object, or names the field twice. An absent field and null are an empty text.
pub fn field_text<'p>(payload: &'p [u8], name: &str) -> Option<Cow<'p, str>> {
    let fields = object::fields(payload).ok()?;
    let mut found = fields.iter().filter(|field| field.name == name);
    match (found.next().map(|field| field.raw), found.next()) {
        (_, Some(_)) => None,
        (None | Some("null"), None) => Some(Cow::Borrowed("")),
        (Some(raw), None) if raw.starts_with('"') => unescape(raw).ok(),
        (Some(raw), None) => Some(Cow::Borrowed(raw)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_or_the_payload_is_for_the_decoder_to_judge() {
        let table: [(&str, Option<&str>); 9] = [
            (r#"{"kind":"order","n":1}"#, Some("order")),
            (r#"{"n":1,"k\u0069nd":"caf\u00e9"}"#, Some("café")),
            (r#"{"kind":7}"#, Some("7")),
            (r#"{"kind":null}"#, Some("")),
            (r#"{"n":{"kind":"order"}}"#, Some("")),
            (r#"{"kind":"order","kind":"order"}"#, None),
            (r#"{"kind":"order""#, None),
            (r#"["kind"]"#, None),
            ("", None),
        ];
        for (payload, expected) in table {
            assert_eq!(field_text(payload.as_bytes(), "kind").as_deref(), expected, "{payload}");
        }
    }
}
