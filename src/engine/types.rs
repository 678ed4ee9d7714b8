//! SQL type names of contracts <-> Arrow types.
//!
//! Understands the spellings of PostgreSQL, Spark and dbt; writes PostgreSQL's. To add a synonym, add it to
//! [`plain_type`].

use crate::error::{Error, Result};
use crate::ident::is_portable_column;
pub use crate::table::schema::type_name;
use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use std::sync::Arc;

/// Digits before and behind the point of a `decimal` without arguments, as DataFusion reads it.
const DEFAULT_DECIMAL: (u8, i8) = (38, 10);
const MAX_DIGITS: u8 = 38;

/// `decimal(10,2)`, `varchar`, `text`, `bigint`, `timestamp`, `timestamptz`, `text[]`, `array<text>`,
/// `struct<a: text, b: bigint>`, ... in any case. Error of kind Config for anything else.
pub fn parse_type(text: &str) -> Result<DataType> {
    let name = text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
    parse(&name).ok_or_else(|| {
        Error::config(format!("`{text}` is no type")).hint(
            "types are text, boolean, smallint, integer, bigint, real, double precision, decimal(p,s), date, \
             timestamp, timestamptz, binary, arrays like text[], and struct<name type, ..>",
        )
    })
}

fn parse(name: &str) -> Option<DataType> {
    let name = name.trim();
    if let Some(element) = name.strip_suffix("[]").or_else(|| inside(name, "array<", ">")) {
        return Some(list_of(parse(element)?));
    }
    if let Some(fields) = inside(name, "struct<", ">") {
        return struct_of(fields);
    }
    match name.split_once('(') {
        None => plain_type(name),
        Some((base, rest)) => {
            let (arguments, suffix) = rest.split_once(')')?;
            let arguments = arguments.split(',').map(|argument| argument.trim().parse().ok());
            with_arguments(&format!("{}{suffix}", base.trim()), &arguments.collect::<Option<Vec<u8>>>()?)
        }
    }
}

fn inside<'a>(name: &'a str, start: &str, end: &str) -> Option<&'a str> {
    name.strip_prefix(start)?.strip_suffix(end)
}

fn plain_type(name: &str) -> Option<DataType> {
    let data_type = match name {
        "text" | "string" | "varchar" | "char" | "character" | "character varying" | "bpchar" | "json" | "jsonb"
        | "uuid" => DataType::Utf8,
        "boolean" | "bool" => DataType::Boolean,
        "tinyint" | "byte" | "int1" => DataType::Int8,
        "smallint" | "short" | "int2" => DataType::Int16,
        "integer" | "int" | "int4" => DataType::Int32,
        "bigint" | "long" | "int8" => DataType::Int64,
        "real" | "float4" => DataType::Float32,
        "double precision" | "double" | "float8" | "float" => DataType::Float64,
        "decimal" | "numeric" | "dec" => DataType::Decimal128(DEFAULT_DECIMAL.0, DEFAULT_DECIMAL.1),
        "date" => DataType::Date32,
        "timestamp" | "datetime" | "timestamp without time zone" | "timestamp_ntz" => {
            DataType::Timestamp(TimeUnit::Microsecond, None)
        }
        "timestamptz" | "timestamp with time zone" | "timestamp_ltz" => {
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        }
        "binary" | "bytea" | "varbinary" | "blob" => DataType::Binary,
        _ => return None,
    };
    Some(data_type)
}

fn with_arguments(name: &str, arguments: &[u8]) -> Option<DataType> {
    match (plain_type(name)?, arguments) {
        (DataType::Decimal128(..), [digits]) if (1..=MAX_DIGITS).contains(digits) => {
            Some(DataType::Decimal128(*digits, 0))
        }
        (DataType::Decimal128(..), [digits, scale]) if (1..=MAX_DIGITS).contains(digits) && scale <= digits => {
            Some(DataType::Decimal128(*digits, *scale as i8))
        }
        // Arrow's text has no length, and microseconds are what the lake keeps.
        (DataType::Utf8, [_]) if matches!(name, "varchar" | "char" | "character" | "character varying") => {
            Some(DataType::Utf8)
        }
        (data_type @ DataType::Timestamp(..), [0..=6]) => Some(data_type),
        _ => None,
    }
}

fn list_of(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", element, true)))
}

/// `a: text, b bigint`, where a type may hold commas in brackets.
fn struct_of(fields: &str) -> Option<DataType> {
    let mut parsed: Vec<Field> = Vec::new();
    for field in split_at_commas(fields) {
        let (name, data_type) = field.trim().split_once([':', ' '])?;
        let data_type = parse(data_type.trim_start().trim_start_matches(':'))?;
        if !is_portable_column(name) || parsed.iter().any(|earlier| earlier.name() == name) {
            return None;
        }
        parsed.push(Field::new(name, data_type, true));
    }
    (!parsed.is_empty()).then(|| DataType::Struct(Fields::from(parsed)))
}

fn split_at_commas(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0_i32, 0, Vec::new());
    for (at, character) in text.char_indices() {
        match character {
            '<' | '(' => depth += 1,
            '>' | ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_means_one_type() {
        let us = TimeUnit::Microsecond;
        let table = [
            ("TEXT", DataType::Utf8, "text"),
            ("varchar(20)", DataType::Utf8, "text"),
            ("Character  Varying (20)", DataType::Utf8, "text"),
            ("INT", DataType::Int32, "integer"),
            ("int8", DataType::Int64, "bigint"),
            ("smallint", DataType::Int16, "smallint"),
            ("decimal(10, 2)", DataType::Decimal128(10, 2), "decimal(10,2)"),
            ("numeric(5)", DataType::Decimal128(5, 0), "decimal(5,0)"),
            ("numeric", DataType::Decimal128(38, 10), "decimal(38,10)"),
            ("double precision", DataType::Float64, "double precision"),
            ("float4", DataType::Float32, "real"),
            ("date", DataType::Date32, "date"),
            ("timestamp", DataType::Timestamp(us, None), "timestamp"),
            ("timestamp(6) without time zone", DataType::Timestamp(us, None), "timestamp"),
            ("timestamp with time zone", DataType::Timestamp(us, Some("UTC".into())), "timestamptz"),
            ("bytea", DataType::Binary, "binary"),
            ("text[]", list_of(DataType::Utf8), "text[]"),
            ("array<decimal(4,1)>", list_of(DataType::Decimal128(4, 1)), "decimal(4,1)[]"),
        ];
        for (text, expected, name) in table {
            assert_eq!(parse_type(text).unwrap(), expected, "{text}");
            assert_eq!(type_name(&expected), name, "{text}");
            assert_eq!(parse_type(name).unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn structs_nest() {
        let name = "struct<a: text, b: struct<c: decimal(4,1)[]>>";
        assert_eq!(type_name(&parse_type(name).unwrap()), name);
        for spelling in ["struct<a int, b array<text>>", "STRUCT<a : int, b :text[]>", "struct<a:int,b text[]>"] {
            assert_eq!(type_name(&parse_type(spelling).unwrap()), "struct<a: integer, b: text[]>", "{spelling}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "",
            "texte",
            "decimal(39,2)",
            "decimal(3,4)",
            "decimal(x)",
            "text(",
            "struct<>",
            "int(4)",
            "struct<a>",
            "struct<a int, a text>",
            "interval",
        ] {
            assert_eq!(parse_type(bad).unwrap_err().kind(), crate::error::Kind::Config, "{bad}");
        }
    }
}
