//! Rows as text: each value digit for digit, as Arrow writes it, and as CSV and JSON.
//!
//! NULL stays apart from the empty text: in a row it is none, in CSV an empty cell beside `""`. Lists and structs are
//! JSON everywhere. A value that has no text, a date beyond the calendar, is an error that names its column. Never holds
//! more than one batch, never decides where a text goes.

use crate::error::{Context, Kind, Result};
use arrow::array::{Array, AsArray, StructArray};
use arrow::datatypes::{DataType, Float64Type, Schema};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Number, Value};

/// Every value as text, row by row; NULL is none.
pub fn texts(batch: &RecordBatch) -> Result<Vec<Vec<Option<String>>>> {
    let (options, schema) = (FormatOptions::default(), batch.schema());
    let cells = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options));
    let cells = cells.collect::<Result<Vec<_>, _>>().context(Kind::Internal, || "write values as text")?;
    let text = |row: usize, column: usize| match (batch.column(column), schema.field(column).name()) {
        (array, _) if array.is_null(row) => Ok(None),
        (array, name) if array.data_type().is_nested() => {
            json_value(array, row, name).map(|value| Some(value.to_string()))
        }
        (_, name) => shown(&cells[column], row, name).map(Some),
    };
    let row = |row| (0..batch.num_columns()).map(|column| text(row, column)).collect();
    (0..batch.num_rows()).map(row).collect()
}

fn shown(cells: &ArrayFormatter<'_>, row: usize, column: &str) -> Result<String> {
    cells.value(row).try_to_string().context(Kind::Input, || format!("a value of column `{column}` cannot be shown"))
}

/// The first line of CSV, with its line end.
pub fn csv_head(schema: &Schema) -> String {
    line(schema.fields().iter().map(|field| csv_cell(field.name())))
}

/// One line of CSV for each row.
pub fn csv(batch: &RecordBatch) -> Result<String> {
    let lines = texts(batch)?
        .into_iter()
        .map(|row| line(row.iter().map(|cell| cell.as_deref().map_or_else(String::new, csv_cell))));
    Ok(lines.collect())
}

fn line(cells: impl Iterator<Item = String>) -> String {
    cells.collect::<Vec<_>>().join(",") + "\n"
}

/// Quoted where RFC 4180 asks for it, and when empty.
fn csv_cell(text: &str) -> String {
    if text.is_empty() || text.contains(['"', ',', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_string()
}

/// An object for each row.
pub fn json(batch: &RecordBatch) -> Result<Vec<Value>> {
    let rows = StructArray::from(batch.clone());
    (0..rows.len()).map(|row| json_value(&rows, row, "")).collect()
}

/// Integers, finite floats and booleans as JSON's own; lists and structs likewise; all else as text. `column` is for
/// messages.
fn json_value(array: &dyn Array, row: usize, column: &str) -> Result<Value> {
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    let options = FormatOptions::default();
    let text = || -> Result<String> {
        let cell = ArrayFormatter::try_new(array, &options).context(Kind::Internal, || "format a value")?;
        shown(&cell, row, column)
    };
    Ok(match array.data_type() {
        DataType::Boolean => Value::Bool(array.as_boolean().value(row)),
        // From the number: reading its text again would not always give the same one.
        DataType::Float64 => match Number::from_f64(array.as_primitive::<Float64Type>().value(row)) {
            Some(number) => Value::Number(number),
            None => Value::String(text()?),
        },
        data_type if data_type.is_integer() || data_type.is_floating() => {
            let text = text()?;
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            Value::Array((0..items.len()).map(|item| json_value(&items, item, column)).collect::<Result<_>>()?)
        }
        DataType::Struct(fields) => {
            let mut object = serde_json::Map::new();
            for (field, values) in fields.iter().zip(array.as_struct().columns()) {
                object.insert(field.name().clone(), json_value(values, row, field.name())?);
            }
            Value::Object(object)
        }
        _ => Value::String(text()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        ArrayRef, Date32Array, Decimal128Array, Float64Array, Int64Array, ListArray, StringArray,
        TimestampMicrosecondArray,
    };
    use arrow::datatypes::{Date32Type, Int64Type};
    use std::sync::Arc;

    fn batch() -> RecordBatch {
        let sales = Decimal128Array::from(vec![Some(523_690), None]).with_precision_and_scale(38, 2).unwrap();
        let at = TimestampMicrosecondArray::from(vec![Some(1_500_000_000_123_456), None]).with_timezone("+00:00");
        RecordBatch::try_from_iter([
            ("n", Arc::new(Int64Array::from(vec![Some(9_007_199_254_740_993), None])) as ArrayRef),
            ("f", Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(123_456_789.123_456_79)]))),
            ("sales, all", Arc::new(sales)),
            ("at", Arc::new(at)),
            ("t", Arc::new(StringArray::from(vec![Some("a \"b\", c"), Some("")]))),
        ])
        .unwrap()
    }

    #[test]
    fn csv_is_exact_and_keeps_null_apart_from_empty() {
        let batch = batch();
        assert_eq!(csv_head(&batch.schema()), "n,f,\"sales, all\",at,t\n");
        let expected =
            "9007199254740993,NaN,5236.90,2017-07-14T02:40:00.123456Z,\"a \"\"b\"\", c\"\n,123456789.12345679,,,\"\"\n";
        assert_eq!(csv(&batch).unwrap(), expected);
    }

    #[test]
    fn json_keeps_every_digit() {
        let rows = json(&batch()).unwrap();
        assert_eq!(rows[0]["n"].to_string(), "9007199254740993");
        assert_eq!((rows[0]["f"].as_str(), rows[0]["sales, all"].as_str()), (Some("NaN"), Some("5236.90")));
        assert_eq!(rows[0]["at"], "2017-07-14T02:40:00.123456Z");
        assert_eq!((rows[1]["n"].is_null(), rows[1]["f"].to_string()), (true, "123456789.12345679".to_string()));
    }

    #[test]
    fn lists_are_json_everywhere() {
        let list = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None]);
        let batch = RecordBatch::try_from_iter_with_nullable([("l", Arc::new(list) as ArrayRef, true)]).unwrap();
        assert_eq!(
            (csv(&batch).unwrap().as_str(), json(&batch).unwrap()[0].to_string()),
            ("\"[1,null]\"\n\n", r#"{"l":[1,null]}"#.into())
        );
    }

    #[test]
    fn a_value_that_has_no_text_is_refused_and_its_column_named() {
        let far = i32::MAX;
        let plain: ArrayRef = Arc::new(Date32Array::from(vec![far]));
        let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Date32Type, _, _>([Some(vec![Some(far)])]));
        for column in [plain, list] {
            let batch = RecordBatch::try_from_iter([("day", column)]).unwrap();
            for error in [texts(&batch).unwrap_err(), json(&batch).unwrap_err()] {
                assert_eq!((error.kind(), error.to_string().contains("`day`")), (Kind::Input, true), "{error}");
            }
        }
    }
}
