//! A quarantined row: where it came from, why it is here, and the message it was.

use crate::error::{Error, Result};
use crate::flow::bronze::{
    HEADERS, INGESTED_AT, KEY, OFFSET, PARTITION, RAW, REASON, SOURCE, SOURCE_ROW, TIMESTAMP, TOPIC,
};
use crate::flow::bytes::from_json;
use crate::flow::reasons::Place;
use crate::kafka::Messages;
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array, PrimitiveArray, StringArray};
use arrow::datatypes::{ArrowPrimitiveType, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use serde_json::{Map, Value};

/// One record as it stands in quarantine. Times are in microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'b> {
    pub place: Place,
    /// When it was sent or happened.
    pub timestamp: Option<i64>,
    /// When Bronze took it in.
    pub ingested_at: Option<i64>,
    pub source: Option<&'b str>,
    pub source_row: Option<i64>,
    pub reason: &'b str,
    pub key: Option<&'b [u8]>,
    /// A JSON object.
    pub headers: Option<&'b str>,
    pub raw: Option<&'b [u8]>,
}

/// The rows of a batch that was read from the quarantine files of a table.
pub struct Records<'b> {
    topics: &'b StringArray,
    partitions: &'b PrimitiveArray<Int32Type>,
    offsets: &'b Int64Array,
    timestamps: &'b PrimitiveArray<TimestampMicrosecondType>,
    ingested: &'b PrimitiveArray<TimestampMicrosecondType>,
    sources: &'b StringArray,
    source_rows: &'b Int64Array,
    reasons: &'b StringArray,
    keys: &'b BinaryArray,
    headers: &'b StringArray,
    raws: &'b BinaryArray,
}

impl<'b> Records<'b> {
    /// Kind Input when a column is not what Bronze writes.
    pub fn of(batch: &'b RecordBatch) -> Result<Records<'b>> {
        Ok(Records {
            topics: text(batch, TOPIC)?,
            partitions: numbers::<Int32Type>(batch, PARTITION)?,
            offsets: numbers::<Int64Type>(batch, OFFSET)?,
            timestamps: numbers(batch, TIMESTAMP)?,
            ingested: numbers(batch, INGESTED_AT)?,
            sources: text(batch, SOURCE)?,
            source_rows: numbers::<Int64Type>(batch, SOURCE_ROW)?,
            reasons: text(batch, REASON)?,
            keys: bytes(batch, KEY)?,
            headers: text(batch, HEADERS)?,
            raws: bytes(batch, RAW)?,
        })
    }

    pub fn len(&self) -> usize {
        self.topics.len()
    }

    /// The record at a place below [`Records::len`]. Kind Input when somebody took its place away.
    pub fn get(&self, row: usize) -> Result<Record<'b>> {
        let place = || {
            Some(Place {
                topic: value(self.topics, row, StringArray::value)?.to_string(),
                partition: value(self.partitions, row, PrimitiveArray::value)?,
                offset: value(self.offsets, row, PrimitiveArray::value)?,
            })
        };
        let place = place().ok_or_else(|| {
            Error::input("a quarantined row says nothing of where it came from")
                .hint("only another program writes such rows")
        })?;
        Ok(Record {
            place,
            timestamp: value(self.timestamps, row, PrimitiveArray::value),
            ingested_at: value(self.ingested, row, PrimitiveArray::value),
            source: value(self.sources, row, StringArray::value),
            source_row: value(self.source_rows, row, PrimitiveArray::value),
            reason: value(self.reasons, row, StringArray::value).unwrap_or_default(),
            key: value(self.keys, row, BinaryArray::value),
            headers: value(self.headers, row, StringArray::value),
            raw: value(self.raws, row, BinaryArray::value),
        })
    }
}

impl Record<'_> {
    /// Adds the message it was; `slot` stands for its partition. Kind Input when the bytes or headers are not there as they came.
    pub fn push_to(&self, slot: usize, messages: &mut Messages) -> Result<()> {
        let spoilt = |what: &str| {
            Error::input(format!("the {what} of the quarantined record at {} are not as they came", self.place)).hint(
                "somebody changed the table; `lake quarantine drop --partition P --offset O` takes the record out of it",
            )
        };
        let Some(raw) = self.raw else { return Err(spoilt("bytes")) };
        let headers = self.headers.map_or(Some(Vec::new()), headers).ok_or_else(|| spoilt("headers"))?;
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
        let timestamp_ms = self.timestamp.map(|micros| micros.div_euclid(1000));
        messages.push(slot, self.place.offset, timestamp_ms, self.key, Some(raw), headers);
        Ok(())
    }
}

type Header = (String, Option<Vec<u8>>);

/// The headers a JSON object was made of; those of one name follow each other.
fn headers(text: &str) -> Option<Vec<Header>> {
    let object: Map<String, Value> = serde_json::from_str(text).ok()?;
    let mut headers = Vec::with_capacity(object.len());
    for (name, value) in object {
        let values = if let Value::Array(values) = value { values } else { vec![value] };
        for value in values {
            headers.push((name.clone(), from_json(value)?));
        }
    }
    Some(headers)
}

fn value<'b, A: Array, T>(column: &'b A, row: usize, value: impl Fn(&'b A, usize) -> T) -> Option<T> {
    column.is_valid(row).then(|| value(column, row))
}

fn column<'b>(batch: &'b RecordBatch, name: &str) -> Result<&'b ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| unlike(name))
}

fn unlike(name: &str) -> Error {
    Error::input(format!("column `{name}` is not as Bronze writes it"))
}

fn text<'b>(batch: &'b RecordBatch, name: &str) -> Result<&'b StringArray> {
    column(batch, name)?.as_string_opt().ok_or_else(|| unlike(name))
}

fn bytes<'b>(batch: &'b RecordBatch, name: &str) -> Result<&'b BinaryArray> {
    column(batch, name)?.as_binary_opt().ok_or_else(|| unlike(name))
}

fn numbers<'b, T: ArrowPrimitiveType>(batch: &'b RecordBatch, name: &str) -> Result<&'b PrimitiveArray<T>> {
    column(batch, name)?.as_primitive_opt().ok_or_else(|| unlike(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_from_their_json() {
        let read = headers(r#"{"a":["1","3"],"b":"2","c":null,"d":{"base64":"//4="}}"#).unwrap();
        let header = |name: &str, value: Option<&[u8]>| (name.to_string(), value.map(<[u8]>::to_vec));
        let expected = [
            header("a", Some(b"1")),
            header("a", Some(b"3")),
            header("b", Some(b"2")),
            header("c", None),
            header("d", Some(&[0xff, 0xfe])),
        ];
        assert_eq!(read, expected);
        for bad in ["", "[]", "{\"a\":1}", "{\"a\":{\"base64\":\"?\"}}"] {
            assert_eq!(headers(bad), None, "{bad}");
        }
    }
}
