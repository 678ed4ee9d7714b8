//! Columns of a stream nobody declared, from its first records.
//!
//! bigint, double, boolean or text, all nullable: text for objects and arrays (as JSON), for fields of
//! several kinds and for fields that are always null. Strings are text whatever they look like. Once the
//! table exists its schema is the contract, so this runs once per table.
//!
//! A field whose name leaves nothing to name a column with, and fields that would share a column, get none;
//! they are kept in `_rescued`.

use super::object;
use super::value::{self, Value};
use crate::ident::name_from;
use arrow::datatypes::{DataType, Field, Fields};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    Boolean,
    Integer,
    Float,
    Text,
}

impl Seen {
    fn of(raw: &str) -> Seen {
        match raw.as_bytes().first() {
            Some(b'n') => Seen::Nothing,
            Some(b't' | b'f') => Seen::Boolean,
            Some(b'-' | b'0'..=b'9') => Seen::of_number(raw),
            _ => Seen::Text,
        }
    }

    fn of_number(raw: &str) -> Seen {
        if raw.parse::<i64>().is_ok() {
            return Seen::Integer;
        }
        let fractional = raw.contains(['.', 'e', 'E']);
        match value::parse(raw, &DataType::Float64) {
            Ok(Value::Float64(_)) if fractional => Seen::Float,
            // A whole number beyond bigint: a double would change it.
            _ => Seen::Text,
        }
    }

    fn and(self, other: Seen) -> Seen {
        match (self, other) {
            (same, again) if same == again => same,
            (Seen::Nothing, seen) | (seen, Seen::Nothing) => seen,
            (Seen::Integer, Seen::Float) | (Seen::Float, Seen::Integer) => Seen::Float,
            _ => Seen::Text,
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Seen::Boolean => DataType::Boolean,
            Seen::Integer => DataType::Int64,
            Seen::Float => DataType::Float64,
            Seen::Nothing | Seen::Text => DataType::Utf8,
        }
    }
}

/// The columns of the records among `payloads`, in the order their fields first occur. Payloads that are no
/// records say nothing.
pub fn columns(payloads: &[&[u8]]) -> Fields {
    let mut names = Vec::new();
    let mut seen: BTreeMap<String, (String, Seen)> = BTreeMap::new();
    let mut shared = BTreeSet::new();
    for field in payloads.iter().filter_map(|payload| object::fields(payload).ok()).flatten() {
        let Some(name) = name_from(&field.name) else { continue };
        let kind = Seen::of(field.raw);
        match seen.get_mut(&name) {
            Some((original, _)) if *original != field.name => {
                shared.insert(name);
            }
            Some((_, so_far)) => *so_far = so_far.and(kind),
            None => {
                names.push(name.clone());
                seen.insert(name, (field.name.into_owned(), kind));
            }
        }
    }
    names
        .iter()
        .filter(|name| !shared.contains(*name))
        .filter_map(|name| seen.get(name).map(|(_, kind)| Field::new(name, kind.data_type(), true)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_the_narrowest_that_keep_every_value() {
        let records: [&[u8]; 4] = [
            br#"{"Id":1,"mixed":1,"money":1,"flag":true,"nested":{"a":1},"nothing":null,"big":99999999999999999999}"#,
            br#"{"Id":2,"mixed":"x","money":1.5,"flag":false,"nested":[1],"late":"7"}"#,
            b"no record",
            r#"{"Id":null,"книга":1,"A b":1,"a-b":2}"#.as_bytes(),
        ];
        let inferred: Vec<(String, DataType)> =
            columns(&records).iter().map(|field| (field.name().clone(), field.data_type().clone())).collect();
        let expected = [
            ("id", DataType::Int64),
            ("mixed", DataType::Utf8),
            ("money", DataType::Float64),
            ("flag", DataType::Boolean),
            ("nested", DataType::Utf8),
            ("nothing", DataType::Utf8),
            ("big", DataType::Utf8),
            ("late", DataType::Utf8),
        ];
        assert_eq!(inferred, expected.map(|(name, data_type)| (name.to_string(), data_type)));
    }

    #[test]
    fn nothing_readable_gives_no_columns() {
        assert!(columns(&[b"", b"[1]"]).is_empty());
    }
}
