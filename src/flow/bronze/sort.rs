//! Says of each message what it is, and builds the rows the table gets for it.
//!
//! In this order: no payload, a tombstone; a row its source sent before, a duplicate; a row its source could
//! not parse, or that does not decode, a reject; anything else a row. A reject moves its source's mark too,
//! so a replay does not quarantine it twice.

use super::batch::{Batch, Counts};
use super::columns::{self, QUARANTINED, RAW, REASON, SYSTEM_COLUMNS};
use super::marks::{Marks, header, identity};
use crate::decode::{Decoded, Decoder, RESCUED};
use crate::error::{Error, Result};
use crate::kafka::Message;
use crate::record::HEADER_ERROR;
use crate::table::schema::{align, assemble};
use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanArray, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
    new_null_array,
};
use arrow::datatypes::{Fields, Schema};
use arrow::record_batch::RecordBatch;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A batch told apart. Both record batches hold the stream's columns and Bronze's own.
pub(super) struct Sorted {
    pub good: RecordBatch,
    pub quarantined: RecordBatch,
    /// By partition number; without `rows` and `rejects`, which are counted in what is written.
    pub counts: BTreeMap<i32, Counts>,
}

/// Sorts and decodes a batch; `marks` move on. `now` is in microseconds since 1970.
pub(super) fn sort(batch: &Batch, decoder: &mut dyn Decoder, marks: &mut Marks, now: i64) -> Result<Sorted> {
    let mut counts = batch.open_counts();
    let mut candidates: Vec<&Message> = Vec::with_capacity(batch.messages.len());
    let mut rejects: Vec<(&Message, String)> = Vec::new();
    for message in &batch.messages {
        let count = counts.entry(message.partition.number).or_default();
        match judge(message, marks)? {
            Verdict::Tombstone => count.tombstones += 1,
            Verdict::Duplicate => count.duplicates += 1,
            Verdict::Reject(reason) => rejects.push((message, reason)),
            Verdict::Candidate => candidates.push(message),
        }
    }
    let payloads: Vec<&[u8]> =
        candidates.iter().map(|message| message.payload.as_deref().unwrap_or_default()).collect();
    let Decoded { batch: decoded, rejects: undecoded } = decoder.decode(&payloads)?;
    let mut reasons = undecoded.into_iter().peekable();
    let mut good = Vec::with_capacity(decoded.num_rows());
    for (index, message) in candidates.into_iter().enumerate() {
        match reasons.next_if(|reject| reject.index == index) {
            Some(reject) => rejects.push((message, reject.reason)),
            None => good.push(message),
        }
    }
    if good.len() != decoded.num_rows() {
        return Err(Error::internal("the decoder's rows and rejects do not add up to its payloads"));
    }
    rejects.sort_by_key(|(message, _)| (message.partition.number, message.offset));
    let stream_columns = columns::stream_columns(&decoder.schema());
    Ok(Sorted {
        good: good_rows(&good, &decoded, &stream_columns, now)?,
        quarantined: quarantined_rows(&rejects, &stream_columns, now)?,
        counts,
    })
}

enum Verdict {
    Tombstone,
    Duplicate,
    Reject(String),
    Candidate,
}

fn judge(message: &Message, marks: &mut Marks) -> Result<Verdict> {
    if message.payload.is_none() {
        return Ok(Verdict::Tombstone);
    }
    match identity(message) {
        Err(reason) => return Ok(Verdict::Reject(reason)),
        Ok(Some(identity)) if !marks.admit(message.partition.number, &identity)? => return Ok(Verdict::Duplicate),
        Ok(_) => {}
    }
    Ok(match message.headers.iter().any(|(name, _)| name == HEADER_ERROR) {
        true => Verdict::Reject(header(message, HEADER_ERROR).unwrap_or("the source could not read this row").into()),
        false => Verdict::Candidate,
    })
}

fn good_rows(messages: &[&Message], decoded: &RecordBatch, stream_columns: &Fields, now: i64) -> Result<RecordBatch> {
    let own = own_columns(messages, now);
    build(stream_columns, messages.len(), |name| match name {
        QUARANTINED => Some(Arc::new(BooleanArray::from(vec![false; messages.len()]))),
        _ => decoded.column_by_name(name).or_else(|| own.get(name)).cloned(),
    })
}

fn quarantined_rows(rejects: &[(&Message, String)], stream_columns: &Fields, now: i64) -> Result<RecordBatch> {
    let messages: Vec<&Message> = rejects.iter().map(|(message, _)| *message).collect();
    let own = own_columns(&messages, now);
    build(stream_columns, rejects.len(), |name| match name {
        QUARANTINED => Some(Arc::new(BooleanArray::from(vec![true; rejects.len()]))),
        REASON => Some(Arc::new(StringArray::from_iter_values(rejects.iter().map(|(_, reason)| reason)))),
        RAW => Some(binary(messages.iter().map(|message| message.payload.as_deref()))),
        RESCUED => None,
        _ => own.get(name).cloned(),
    })
}

fn build(
    stream_columns: &Fields,
    rows: usize,
    mut column: impl FnMut(&str) -> Option<ArrayRef>,
) -> Result<RecordBatch> {
    let schema = columns::table_schema(stream_columns);
    let arrays = schema.fields().iter().map(|field| {
        let null = || new_null_array(field.data_type(), rows);
        column(field.name()).unwrap_or_else(null)
    });
    let arrays = arrays.collect();
    assemble(schema, arrays, rows)
}

/// The columns every record has, good or not.
fn own_columns(messages: &[&Message], now: i64) -> BTreeMap<&'static str, ArrayRef> {
    let identities: Vec<_> = messages.iter().map(|message| identity(message).ok().flatten()).collect();
    let sources = identities.iter().map(|identity| identity.map(|identity| identity.source));
    let rows = identities.iter().map(|identity| identity.map(|identity| identity.row));
    let timestamps = messages.iter().map(|message| message.timestamp_ms.and_then(|ms| ms.checked_mul(1000)));
    let moments = |moments: TimestampMicrosecondArray| -> ArrayRef { Arc::new(moments.with_timezone("UTC")) };
    let [topic, partition, offset, timestamp, key, headers, source, source_row, ingested_at, ..] = SYSTEM_COLUMNS;
    BTreeMap::from([
        (topic, text(messages.iter().map(|message| Some(message.partition.topic.as_str())))),
        (
            partition,
            Arc::new(Int32Array::from_iter_values(messages.iter().map(|message| message.partition.number))) as _,
        ),
        (offset, Arc::new(Int64Array::from_iter_values(messages.iter().map(|message| message.offset))) as _),
        (timestamp, moments(timestamps.collect())),
        (key, binary(messages.iter().map(|message| message.key.as_deref()))),
        (headers, text(messages.iter().map(|message| headers_text(message)))),
        (source, text(sources)),
        (source_row, Arc::new(rows.collect::<Int64Array>()) as _),
        (ingested_at, moments(TimestampMicrosecondArray::from(vec![now; messages.len()]))),
    ])
}

fn text<T: AsRef<str>>(values: impl Iterator<Item = Option<T>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn binary<'m>(values: impl Iterator<Item = Option<&'m [u8]>>) -> ArrayRef {
    let mut builder = BinaryBuilder::new();
    values.for_each(|value| builder.append_option(value));
    Arc::new(builder.finish())
}

/// A JSON object of the headers; the values of a name that repeats become an array.
fn headers_text(message: &Message) -> Option<String> {
    if message.headers.is_empty() {
        return None;
    }
    let mut object = Map::new();
    for (name, value) in &message.headers {
        let value = header_value(value.as_deref());
        match object.get_mut(name) {
            None => {
                object.insert(name.clone(), value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    Some(Value::Object(object).to_string())
}

fn header_value(value: Option<&[u8]>) -> Value {
    match value.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => Value::Null,
        Some((_, Ok(text))) => text.into(),
        Some((bytes, Err(_))) => json!({ "base64": base64(bytes) }),
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// Counts the rows of a batch by partition number.
pub(super) fn count_by_partition(batch: &RecordBatch) -> Result<BTreeMap<i32, u64>> {
    let column = batch.column_by_name(columns::PARTITION);
    let numbers = column.and_then(|column| column.as_any().downcast_ref::<Int32Array>());
    let numbers = numbers.ok_or_else(|| Error::internal("a Bronze batch has no partition numbers"))?;
    let mut counts = BTreeMap::new();
    for number in numbers.iter().flatten() {
        *counts.entry(number).or_default() += 1;
    }
    Ok(counts)
}

/// The columns a stream's SQL may read: all but those only quarantined records use.
pub(super) fn readable(batch: &RecordBatch) -> Result<RecordBatch> {
    let fields = batch
        .schema()
        .fields()
        .iter()
        .filter(|field| !columns::HIDDEN_COLUMNS.contains(&field.name().as_str()))
        .cloned()
        .collect::<Fields>();
    let schema = Arc::new(Schema::new(fields));
    align(batch, &schema)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::JsonDecoder;
    use crate::partition::Partition;
    use crate::record::{HEADER_POSITION, HEADER_SOURCE, SourcePosition};
    use arrow::array::AsArray;
    use arrow::datatypes::{DataType, Field, Int64Type};

    fn message(offset: i64, payload: Option<&str>, headers: &[(&str, &str)]) -> Message {
        Message {
            partition: Partition::new("books", 0),
            offset,
            timestamp_ms: Some(1_000),
            key: Some("k".into()),
            payload: payload.map(|payload| payload.to_string().into()),
            headers: headers.iter().map(|(name, value)| (name.to_string(), Some(value.to_string().into()))).collect(),
        }
    }

    #[test]
    fn every_message_is_told_apart() {
        let row = |row| SourcePosition { row, partitions: 1, digest: 7 }.to_string();
        let (first, second) = (row(1), row(2));
        let sent = |position: &'static str| [(HEADER_SOURCE, "data/a.csv"), (HEADER_POSITION, position)];
        let (first, second): (&'static str, &'static str) = (first.leak(), second.leak());
        let mut batch = Batch::starting_at(&BTreeMap::from([(Partition::new("books", 0), 0)]));
        let broken = [sent(second).as_slice(), &[(HEADER_ERROR, "data/a.csv:3: ragged")]].concat();
        for message in [
            message(0, Some("{\"n\":1}"), &sent(first)),
            message(1, Some("{\"n\":1}"), &sent(first)),
            message(2, None, &[]),
            message(3, Some("raw,bytes"), &broken),
            message(4, Some("raw,bytes"), &broken),
            message(6, Some("{\"n\":\"x\"}"), &[]),
            message(7, Some("{\"n\":2}"), &[("lake-source", "a")]),
            message(8, Some("{\"n\":3,\"m\":0}"), &[]),
        ] {
            batch.push(message).unwrap();
        }
        let mut marks = Marks::default();
        for (partition, source) in marks.unknown(&batch.messages) {
            marks.learn(partition.number, source, None);
        }
        let fields: Fields = vec![Field::new("n", DataType::Int64, true)].into();
        let sorted = sort(&batch, &mut JsonDecoder::new(&fields).unwrap(), &mut marks, 5).unwrap();

        let counts = Counts { duplicates: 2, tombstones: 1, gaps: 1, ..Counts::default() };
        assert_eq!(sorted.counts, BTreeMap::from([(0, counts)]));
        let offsets = |batch: &RecordBatch| {
            batch.column_by_name("_offset").unwrap().as_primitive::<Int64Type>().values().to_vec()
        };
        assert_eq!(offsets(&sorted.good), [0, 8]);
        assert_eq!(offsets(&sorted.quarantined), [3, 6, 7]);
        let reasons: Vec<_> =
            sorted.quarantined.column_by_name("_reason").unwrap().as_string::<i32>().iter().flatten().collect();
        assert_eq!(
            reasons,
            [
                "data/a.csv:3: ragged",
                "column `n`: expected bigint, found \"x\"",
                "header `lake-source` comes without a readable `lake-position`"
            ]
        );
        assert_eq!(sorted.good.column_by_name(RESCUED).unwrap().as_string::<i32>().value(1), "{\"m\":0}");
        assert_eq!(sorted.quarantined.column_by_name("_raw").unwrap().as_binary::<i32>().value(0), b"raw,bytes");
        assert_eq!(marks.moved()[0].highest, 2);
    }

    #[test]
    fn headers_become_one_json_object() {
        let mut message = message(0, None, &[("a", "1"), ("b", "2"), ("a", "3")]);
        message.headers.push(("c".into(), None));
        message.headers.push(("d".into(), Some(vec![0xff, 0xfe].into())));
        assert_eq!(headers_text(&message).unwrap(), r#"{"a":["1","3"],"b":"2","c":null,"d":{"base64":"//4="}}"#);
    }

    #[test]
    fn base64_is_padded() {
        for (bytes, expected) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), expected);
        }
    }
}
