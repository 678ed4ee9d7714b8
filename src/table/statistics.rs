//! What the log says of the values in a file: only what holds exactly.
//!
//! Readers skip files by these bounds, and take a column whose bounds are equal for a constant, DataFusion and others
//! alike. Bounds are numbers of JSON there (Delta protocol, "Per-file Statistics"), which readers hold as floating
//! numbers: a decimal of more digits comes back as another one. And bounds of floating numbers leave NaN out. So neither
//! is written. Counts of rows and nulls always are.

use arrow::datatypes::{DataType, Fields};
use deltalake::kernel::Add;
use serde_json::{Map, Value};

/// Digits of a decimal that go through a floating number and come back.
const MOST_DIGITS: u8 = 15;

/// The action without bounds that are not exact.
pub(super) fn only_exact(add: Add, columns: &Fields) -> Add {
    let Some(Ok(mut statistics)) = add.stats.as_deref().map(serde_json::from_str::<Value>) else { return add };
    for bounds in ["minValues", "maxValues"] {
        if let Some(bounds) = statistics.get_mut(bounds).and_then(Value::as_object_mut) {
            keep_exact(bounds, columns);
        }
    }
    Add { stats: Some(statistics.to_string()), ..add }
}

fn keep_exact(bounds: &mut Map<String, Value>, columns: &Fields) {
    for column in columns {
        match (column.data_type(), bounds.get_mut(column.name())) {
            (DataType::Struct(members), Some(Value::Object(inner))) => keep_exact(inner, members),
            (data_type, Some(_)) if !is_exact(data_type) => drop(bounds.remove(column.name())),
            _ => {}
        }
    }
}

/// Whether bounds of such values come back from the log as they were.
pub(super) fn is_exact(data_type: &DataType) -> bool {
    match data_type {
        DataType::Decimal128(digits, _) | DataType::Decimal256(digits, _) => *digits <= MOST_DIGITS,
        other => !other.is_floating(),
    }
}
