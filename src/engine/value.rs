//! What a query says of a value it cannot take, in the words contracts use: `expected bigint, found "x"`.
//!
//! Arrow writes its own names of types and puts a value between single quotes. Here types have the names of SQL, and a
//! value stands in double quotes, cut to what a line can show, as the decoder's reasons have it.

use super::types::type_name;
use arrow::datatypes::DataType;

/// Bytes of a value that are shown.
const MOST_SHOWN: usize = 100;

/// The sentence without what Arrow alone understands.
pub(super) fn fault(text: &str) -> String {
    let Some((before, value, after)) = quoted(text) else { return lowered(&in_sql(text)) };
    let expected = after.strip_prefix(" to value of ").and_then(|rest| rest.strip_suffix(" type"));
    match expected.filter(|_| before == "Cannot cast string ") {
        Some(expected) => format!("expected {}, found {}", in_sql(expected), shown(value)),
        None => lowered(&format!("{}{}{}", in_sql(before), shown(value), in_sql(after))),
    }
}

/// What stands before, in and behind the outermost single quotes; an apostrophe within a word is none.
fn quoted(text: &str) -> Option<(&str, &str, &str)> {
    let open = text.find(" '")? + 1;
    let close = text.rfind('\'').filter(|close| *close > open)?;
    Some((&text[..open], &text[open + 1..close], &text[close + 1..]))
}

fn shown(value: &str) -> String {
    match value.char_indices().find(|(at, c)| at + c.len_utf8() > MOST_SHOWN) {
        Some((end, _)) => format!("\"{}…\"", &value[..end]),
        None => format!("\"{value}\""),
    }
}

/// The text with SQL's names of types for Arrow's.
fn in_sql(text: &str) -> String {
    let (mut told, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(c) = rest.chars().next() {
        let begins = c.is_ascii_uppercase() && !told.ends_with(|before: char| before.is_alphanumeric());
        let (said, length) = match begins.then(|| arrow_type(rest)).flatten() {
            Some((data_type, length)) => (type_name(&data_type), length),
            None => (c.to_string(), c.len_utf8()),
        };
        told.push_str(&said);
        rest = &rest[length..];
    }
    told
}

/// The type a text begins with, and its length there.
fn arrow_type(text: &str) -> Option<(DataType, usize)> {
    let word = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    let mut depth = 0;
    let closes = |(_, c): &(usize, char)| {
        depth += i32::from(*c == '(') - i32::from(*c == ')');
        depth == 0
    };
    let arguments = text[word..].starts_with('(').then(|| text[word..].char_indices().find(closes)).flatten();
    let with_arguments = arguments.map(|(close, _)| word + close + 1);
    let data_type = |length: usize| Some((text[..length].parse().ok()?, length));
    with_arguments.and_then(data_type).or_else(|| data_type(word)).filter(|(found, _)| *found != DataType::Null)
}

fn lowered(text: &str) -> String {
    let mut characters = text.chars();
    match (characters.next(), characters.clone().next()) {
        (Some(first), Some(second)) if !second.is_uppercase() => {
            format!("{}{}", first.to_lowercase(), characters.as_str())
        }
        _ => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_values_are_told_as_contracts_have_them() {
        let long = "é".repeat(80);
        let table = [
            ("Cannot cast string 'it's' to value of Int64 type", "expected bigint, found \"it's\""),
            ("Cannot cast string '' to value of Decimal128(10, 2) type", "expected decimal(10,2), found \"\""),
            ("Can't cast value 300 to type Int8", "can't cast value 300 to type tinyint"),
            (
                "Error parsing timestamp from 'x': error parsing date",
                "error parsing timestamp from \"x\": error parsing date",
            ),
            ("Cannot cast Utf8 to Timestamp(Microsecond, None)", "cannot cast text to timestamp"),
            ("Divide by zero error", "divide by zero error"),
            ("Null value of nobody's Int", "null value of nobody's Int"),
            ("", ""),
        ];
        for (said, expected) in table {
            assert_eq!(fault(said), expected);
        }
        let cut = fault(&format!("Cannot cast string '{long}' to value of Date32 type"));
        assert_eq!(cut, format!("expected date, found \"{}…\"", "é".repeat(50)));
    }
}
