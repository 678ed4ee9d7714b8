//! Columns of a stream nobody declared, from its first records.
//!
//! bigint, double, boolean or text, all nullable: text for objects and arrays (as JSON), for fields of
//! several kinds and for fields that are always null. Strings are text whatever they look like. Once the
//! table exists its schema is the contract, so this runs once per table.
//!
//! A field whose name leaves nothing to name a column with, or a name that PostgreSQL keeps for itself, and fields
//! that would share a column, get none; they are kept in `_rescued`, and so are those beyond [`MOST_COLUMNS`].
//!
//! A stream whose columns may grow asks later for those of fields it does not know yet ([`shown`]).

use super::object;
use super::value::{self, Value};
use crate::ident::{is_postgres_column, name_from};
use arrow::datatypes::{DataType, Field, Fields};
use std::collections::{BTreeMap, BTreeSet};

/// Columns a table gets without a contract: records with endless names would make a table nobody can read.
pub const MOST_COLUMNS: usize = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    Boolean,
    Integer,
    /// A whole number that a double may change.
    LongInteger,
    Float,
    Text,
    /// Text that no column can hold.
    Unfit,
}

impl Seen {
    fn of(raw: &str) -> Seen {
        match raw.as_bytes().first() {
            Some(b'"') if raw.contains('\\') && value::parse(raw, &DataType::Utf8).is_err() => Seen::Unfit,
            Some(b'n') => Seen::Nothing,
            Some(b't' | b'f') => Seen::Boolean,
            Some(b'-' | b'0'..=b'9') => Seen::of_number(raw),
            _ => Seen::Text,
        }
    }

    fn of_number(raw: &str) -> Seen {
        let Ok(Value::Float64(double)) = value::parse(raw, &DataType::Float64) else { return Seen::Text };
        let is_kept = normalised(raw) == normalised(&format!("{double:e}"));
        match (raw.parse::<i64>().is_ok(), is_kept) {
            (true, true) => Seen::Integer,
            (true, false) => Seen::LongInteger,
            (false, true) if raw.contains(['.', 'e', 'E']) => Seen::Float,
            (false, _) => Seen::Text,
        }
    }

    fn and(self, other: Seen) -> Seen {
        match (self, other) {
            (same, again) if same == again => same,
            (Seen::Unfit, _) | (_, Seen::Unfit) => Seen::Unfit,
            (Seen::Nothing, seen) | (seen, Seen::Nothing) => seen,
            (Seen::Integer, Seen::Float) | (Seen::Float, Seen::Integer) => Seen::Float,
            (Seen::Integer, Seen::LongInteger) | (Seen::LongInteger, Seen::Integer) => Seen::LongInteger,
            _ => Seen::Text,
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Seen::Boolean => DataType::Boolean,
            Seen::Integer | Seen::LongInteger => DataType::Int64,
            Seen::Float => DataType::Float64,
            Seen::Nothing | Seen::Text | Seen::Unfit => DataType::Utf8,
        }
    }
}

/// A number as its sign, its digits from the first to the last that is not zero, and the power of ten of the last:
/// two texts of the same number are equal so.
fn normalised(number: &str) -> (bool, String, i64) {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{}{fraction}", whole.trim_start_matches('-'));
    let kept = digits.trim_end_matches('0');
    if kept.is_empty() {
        return (false, String::new(), 0);
    }
    let shift = (digits.len() - kept.len()) as i64 - fraction.len() as i64;
    let power = exponent.parse::<i64>().unwrap_or(i64::MAX).saturating_add(shift);
    (number.starts_with('-'), kept.trim_start_matches('0').to_string(), power)
}

/// The columns of the records among `payloads`, in the order their fields first occur. Payloads that are no
/// records say nothing.
pub fn columns(payloads: &[&[u8]]) -> Fields {
    let found = look(payloads, |_| true).into_iter();
    found.take(MOST_COLUMNS).map(|(name, seen)| Field::new(name, seen.data_type(), true)).collect()
}

/// As [`columns`], of the fields whose names are wanted and that show a value, each of them one that its column takes.
pub fn shown(payloads: &[&[u8]], wanted: impl Fn(&str) -> bool) -> Fields {
    let found = look(payloads, wanted).into_iter();
    let fit = found.filter(|(_, seen)| !matches!(seen, Seen::Nothing | Seen::Unfit));
    fit.map(|(name, seen)| Field::new(name, seen.data_type(), true)).collect()
}

/// The first few names of a record's fields, shortened.
pub fn names(payload: &[u8]) -> Vec<String> {
    let fields = object::fields(payload).unwrap_or_default();
    fields.iter().take(3).map(|field| object::shortened(&field.name)).collect()
}

/// Names of columns in the order their fields first occur, and what the fields hold.
fn look(payloads: &[&[u8]], wanted: impl Fn(&str) -> bool) -> Vec<(String, Seen)> {
    let mut names = Vec::new();
    let mut seen: BTreeMap<String, (String, Seen)> = BTreeMap::new();
    let mut shared = BTreeSet::new();
    let fields = payloads.iter().filter_map(|payload| object::fields(payload).ok()).flatten();
    for field in fields.filter(|field| wanted(&field.name)) {
        let Some(name) = name_from(&field.name).filter(|name| !is_postgres_column(name)) else { continue };
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
    names.retain(|name| !shared.contains(name));
    names.into_iter().filter_map(|name| seen.remove(&name).map(|(_, kind)| (name, kind))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_the_narrowest_that_keep_every_value() {
        let records: [&[u8]; 4] = [
            br#"{"Id":1,"mixed":1,"money":1,"flag":true,"nested":{"a":1},"nothing":null,"big":99999999999999999999,"id16":9007199254740993,"exact":9007199254740993,"fine":0.123456789012345678,"sum":0.30000000000000004}"#,
            br#"{"Id":2,"mixed":"x","money":1.5,"flag":false,"nested":[1],"late":"7","id16":1,"exact":0.5,"sum":-1.50e3}"#,
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
            ("id16", DataType::Int64),
            ("exact", DataType::Utf8),
            ("fine", DataType::Utf8),
            ("sum", DataType::Float64),
            ("late", DataType::Utf8),
        ];
        assert_eq!(inferred, expected.map(|(name, data_type)| (name.to_string(), data_type)));
    }

    #[test]
    fn numbers_are_equal_however_they_are_written() {
        for (one, other) in
            [("1.50", "15e-1"), ("-0.0012", "-1.2e-3"), ("100", "1e2"), ("0.0", "-0e7"), ("1E+3", "1000")]
        {
            assert_eq!(normalised(one), normalised(other), "{one} {other}");
        }
        for (one, other) in [("1", "-1"), ("1", "10"), ("0.1", "0.01"), ("9007199254740993", "9007199254740992")] {
            assert_ne!(normalised(one), normalised(other), "{one} {other}");
        }
    }

    #[test]
    fn only_values_show_a_column() {
        let records: [&[u8]; 2] =
            [br#"{"a":null,"b":null,"c":"\u0000","d":"\ud800","e":1,"xmin":1,"x":1}"#, br#"{"b":2,"c":"ok","e":2.5}"#];
        let shown = shown(&records, |name| name != "x");
        let names: Vec<_> = shown.iter().map(|field| (field.name().as_str(), field.data_type())).collect();
        assert_eq!(names, [("b", &DataType::Int64), ("e", &DataType::Float64)]);
        assert_eq!(super::names(records[1]), ["b", "c", "e"]);
    }

    #[test]
    fn endless_names_do_not_make_endless_columns() {
        let members: Vec<String> = (0..2 * MOST_COLUMNS).map(|n| format!("\"f{n}\":{n}")).collect();
        let record = format!("{{{}}}", members.join(","));
        assert_eq!(columns(&[record.as_bytes()]).len(), MOST_COLUMNS);
    }

    #[test]
    fn nothing_readable_gives_no_columns() {
        assert!(columns(&[b"", b"[1]"]).is_empty());
    }
}
