//! The columns every Bronze row has beside the stream's own, built column by column.

use super::columns::SYSTEM_COLUMNS;
use super::marks::Identity;
use crate::flow::bytes::to_json;
use crate::kafka::{Headers, Message, Messages};
use crate::partition::Partition;
use arrow::array::{
    ArrayRef, BinaryArray, BinaryBuilder, Int32Array, Int64Array, StringArray, StringBuilder,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::DataType;
use serde_json::{Map, Value};
use std::sync::Arc;

/// A message that becomes a row, by its place among the messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept<'m> {
    pub index: usize,
    pub identity: Option<Identity<'m>>,
}

/// The columns of [`SYSTEM_COLUMNS`] up to `_ingested_at`, in their order. `now` is in microseconds since 1970.
pub(super) fn columns(
    partitions: &[Partition],
    messages: &Messages,
    rows: &[Kept<'_>],
    now: i64,
) -> Vec<(&'static str, ArrayRef)> {
    let each = || rows.iter().map(|row| messages.get(row.index));
    let origins = || each().map(|message| &partitions[message.slot]);
    let timestamps = each().map(|message| message.timestamp_ms.and_then(|ms| ms.checked_mul(1000)));
    let moments = |moments: TimestampMicrosecondArray| -> ArrayRef { Arc::new(moments.with_timezone("UTC")) };
    let sources = || rows.iter().map(|row| row.identity);
    let columns: [ArrayRef; 9] = [
        Arc::new(StringArray::from_iter_values(origins().map(|partition| &partition.topic))),
        Arc::new(Int32Array::from_iter_values(origins().map(|partition| partition.number))),
        Arc::new(Int64Array::from_iter_values(each().map(|message| message.offset))),
        moments(timestamps.collect()),
        binary(rows.len(), each().map(|message| message.key)),
        headers(rows.len(), each()),
        texts(rows.len(), sources().map(|identity| identity.map(|identity| identity.source))),
        numbers(rows.len(), sources().map(|identity| identity.map(|identity| identity.row))),
        moments(TimestampMicrosecondArray::from(vec![now; rows.len()])),
    ];
    SYSTEM_COLUMNS.into_iter().zip(columns).collect()
}

/// Values that may be absent; when all are, the column costs nothing.
pub(super) fn binary<'m>(rows: usize, values: impl Iterator<Item = Option<&'m [u8]>> + Clone) -> ArrayRef {
    let bytes: Option<usize> = values.clone().flatten().map(<[u8]>::len).reduce(|sum, length| sum + length);
    let Some(bytes) = bytes else { return new_null_array(&DataType::Binary, rows) };
    let mut builder = BinaryBuilder::with_capacity(rows, bytes);
    values.for_each(|value| builder.append_option(value));
    let array: BinaryArray = builder.finish();
    Arc::new(array)
}

fn texts<'m>(rows: usize, values: impl Iterator<Item = Option<&'m str>> + Clone) -> ArrayRef {
    if values.clone().flatten().next().is_none() {
        return new_null_array(&DataType::Utf8, rows);
    }
    Arc::new(values.collect::<StringArray>())
}

fn numbers(rows: usize, values: impl Iterator<Item = Option<i64>> + Clone) -> ArrayRef {
    if values.clone().flatten().next().is_none() {
        return new_null_array(&DataType::Int64, rows);
    }
    Arc::new(values.collect::<Int64Array>())
}

fn headers<'m>(rows: usize, messages: impl Iterator<Item = Message<'m>> + Clone) -> ArrayRef {
    if messages.clone().all(|message| message.headers.is_empty()) {
        return new_null_array(&DataType::Utf8, rows);
    }
    let mut builder = StringBuilder::with_capacity(rows, 0);
    messages.for_each(|message| builder.append_option(headers_text(message.headers)));
    Arc::new(builder.finish())
}

/// A JSON object of the headers; the values of a name that repeats become an array.
fn headers_text(headers: Headers<'_>) -> Option<String> {
    if headers.is_empty() {
        return None;
    }
    let mut object = Map::new();
    for (name, value) in headers {
        let value = to_json(value);
        match object.get_mut(name) {
            None => {
                object.insert(name.to_string(), value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    Some(Value::Object(object).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_become_one_json_object() {
        let mut messages = Messages::default();
        let text = |value: &'static str| Some(value.as_bytes());
        let headers =
            [("a", text("1")), ("b", text("2")), ("a", text("3")), ("c", None), ("d", Some([0xff, 0xfe].as_slice()))];
        messages.push(0, 0, None, None, None, headers.into_iter());
        let read = headers_text(messages.get(0).headers).unwrap();
        assert_eq!(read, r#"{"a":["1","3"],"b":"2","c":null,"d":{"base64":"//4="}}"#);
    }
}
