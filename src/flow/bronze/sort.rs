//! Says of each message what it is, and builds the rows the table gets for it.
//!
//! In this order: no payload, a tombstone; a row its source sent before, a duplicate; of another kind than the stream
//! takes, filtered, which a record without a payload can be by its headers; a row its source could not parse, or that
//! does not decode, a reject; anything else a row, unless the stream's SQL or the name of its folder makes it a reject
//! later ([`Sorted::reject`]). Whatever comes of a row, it moves its source's mark, so a replay is
//! neither quarantined nor left out twice.

use super::batch::Counts;
use super::columns::{self, HIDDEN_COLUMNS, QUARANTINED, RAW, REASON, SYSTEM_COLUMNS};
use super::marks::{Identity, Marks, identity};
use super::own::{self, Kept};
use crate::decode::{Decoded, Decoder, RESCUED, field_text};
use crate::error::{Context, Error, Kind, Result};
use crate::kafka::{Message, Messages};
use crate::model::{KindBy, Only};
use crate::partition::Partition;
use crate::record::HEADER_ERROR;
use crate::table::schema::{align, assemble};
use arrow::array::{ArrayRef, AsArray, BooleanArray, StringArray, UInt32Array, new_null_array};
use arrow::compute::{concat_batches, filter_record_batch, take};
use arrow::datatypes::{Fields, Int32Type, Schema};
use arrow::record_batch::RecordBatch;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Messages told apart. Both record batches hold the stream's columns and Bronze's own.
pub(super) struct Sorted {
    pub good: RecordBatch,
    /// Of each good row, the index of its message.
    origins: Vec<usize>,
    pub quarantined: RecordBatch,
    /// By slot of the partition; without `rows` and `rejects`, which are counted in what is written.
    pub counts: BTreeMap<usize, Counts>,
}

/// Sorts and decodes messages of these partitions; `marks` move on. Without marks nothing is a duplicate: these messages
/// were told from their repetitions before. `now` is in microseconds since 1970.
pub(super) fn sort(
    partitions: &[Partition],
    messages: &Messages,
    only: Option<&Only>,
    decoder: &mut dyn Decoder,
    mut marks: Option<&mut Marks>,
    now: i64,
) -> Result<Sorted> {
    let mut counts: BTreeMap<usize, Counts> = BTreeMap::new();
    let (mut candidates, mut payloads) = (Vec::with_capacity(messages.len()), Vec::with_capacity(messages.len()));
    let mut rejects: Vec<(Kept<'_>, String)> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        match judge(&message, only, marks.as_deref_mut())? {
            Verdict::Filtered => counts.entry(message.slot).or_default().filtered += 1,
            Verdict::Tombstone => counts.entry(message.slot).or_default().tombstones += 1,
            Verdict::Duplicate => counts.entry(message.slot).or_default().duplicates += 1,
            Verdict::Reject(identity, reason) => rejects.push((Kept { index, identity }, reason)),
            Verdict::Candidate(identity, payload) => {
                candidates.push(Kept { index, identity });
                payloads.push(payload);
            }
        }
    }
    let Decoded { batch: decoded, rejects: undecoded } = decoder.decode(&payloads)?;
    let mut reasons = undecoded.into_iter().peekable();
    let mut at = 0;
    candidates.retain(|kept| {
        let bad = reasons.next_if(|reject| reject.index == at);
        at += 1;
        let good = bad.is_none();
        rejects.extend(bad.map(|reject| (*kept, reject.reason)));
        good
    });
    if candidates.len() != decoded.num_rows() {
        return Err(Error::internal("the decoder's rows and rejects do not add up to its payloads"));
    }
    rejects.sort_by_key(|(kept, _)| (messages.get(kept.index).slot, kept.index));
    let stream_columns = columns::stream_columns(&decoder.schema());
    let own = |rows: &[Kept<'_>]| own::columns(partitions, messages, rows, now);
    let good = good_rows(own(&candidates), &decoded, &stream_columns)?;
    let (kept, reasons): (Vec<_>, Vec<_>) = rejects.into_iter().unzip();
    let raw = own::binary(kept.len(), kept.iter().map(|kept| messages.get(kept.index).payload));
    let quarantined = quarantined_rows(own(&kept), reasons, raw, &stream_columns)?;
    let origins = candidates.iter().map(|kept| kept.index).collect();
    Ok(Sorted { good, origins, quarantined, counts })
}

impl Sorted {
    /// Quarantines good rows, which are in order, each for a reason. `messages` are the ones that were sorted.
    pub fn reject(&mut self, rejects: Vec<(usize, String)>, messages: &Messages) -> Result<()> {
        if rejects.is_empty() {
            return Ok(());
        }
        let attempt = || "take rejects out of a batch";
        let (rows, reasons): (Vec<usize>, Vec<String>) = rejects.into_iter().unzip();
        let payloads = rows.iter().map(|row| messages.get(self.origins[*row]).payload);
        let raw = own::binary(rows.len(), payloads);
        let taken = UInt32Array::from_iter_values(rows.iter().map(|row| *row as u32));
        let of_record = SYSTEM_COLUMNS.into_iter().filter(|name| *name != RESCUED && !HIDDEN_COLUMNS.contains(name));
        let pick = |column: &ArrayRef| take(column, &taken, None).context(Kind::Internal, attempt);
        let own = of_record.filter_map(|name| Some((name, self.good.column_by_name(name)?)));
        let own = own.map(|(name, column)| pick(column).map(|column| (name, column))).collect::<Result<Own>>()?;
        let stream_columns = columns::stream_columns(&self.quarantined.schema());
        let rejected = quarantined_rows(own, reasons, raw, &stream_columns)?;
        let all = concat_batches(&self.quarantined.schema(), [&self.quarantined, &rejected]);
        self.quarantined = all.context(Kind::Internal, attempt)?;
        self.good = without(&self.good, &rows)?;
        let (mut rows, mut at) = (rows.into_iter().peekable(), 0);
        self.origins.retain(|_| {
            at += 1;
            rows.next_if_eq(&(at - 1)).is_none()
        });
        Ok(())
    }

    /// Puts what the stream's SQL made of the good rows in their place, `of` which each is one.
    pub fn replace(&mut self, kept: RecordBatch, of: &[u32], partitions: &[Partition]) -> Result<()> {
        let after = count_by_partition(&kept, partitions)?;
        for (slot, rows) in count_by_partition(&self.good, partitions)? {
            self.counts.entry(slot).or_default().filtered += rows - after.get(&slot).copied().unwrap_or(0);
        }
        self.origins = of.iter().map(|row| self.origins[*row as usize]).collect();
        self.good = kept;
        Ok(())
    }
}

enum Verdict<'m> {
    Filtered,
    Tombstone,
    Duplicate,
    Reject(Option<Identity<'m>>, String),
    Candidate(Option<Identity<'m>>, &'m [u8]),
}

fn judge<'m>(message: &Message<'m>, only: Option<&Only>, marks: Option<&mut Marks>) -> Result<Verdict<'m>> {
    let taken = only.is_none_or(|only| takes(only, message));
    let Some(payload) = message.payload else {
        return Ok(if taken { Verdict::Tombstone } else { Verdict::Filtered });
    };
    let identity = if message.headers.is_empty() { Ok(None) } else { identity(message) };
    // Marks pass over other kinds too, so what is sent again is not counted as left out again.
    if let (Ok(Some(identity)), Some(marks)) = (&identity, marks)
        && !marks.admit(message.slot, identity)?
    {
        return Ok(Verdict::Duplicate);
    }
    if !taken {
        return Ok(Verdict::Filtered);
    }
    let identity = match identity {
        Err(reason) => return Ok(Verdict::Reject(None, reason)),
        Ok(identity) => identity,
    };
    if !message.headers.has(HEADER_ERROR) {
        return Ok(Verdict::Candidate(identity, payload));
    }
    let reason = message.headers.text(HEADER_ERROR).unwrap_or("the source could not read this row");
    Ok(Verdict::Reject(identity, reason.into()))
}

/// Whether the record is of a kind that the stream takes. One whose kind cannot be read is for the decoder to judge.
pub(super) fn takes(only: &Only, message: &Message<'_>) -> bool {
    let listed = |kind: &str| only.is.iter().any(|each| each == kind);
    match &only.by {
        KindBy::Header(name) => message.headers.text(name).is_some_and(listed),
        KindBy::Field(name) => {
            let kind = message.payload.and_then(|payload| field_text(payload, name));
            kind.is_none_or(|kind| listed(&kind))
        }
    }
}

type Own = Vec<(&'static str, ArrayRef)>;

fn good_rows(own: Own, decoded: &RecordBatch, stream_columns: &Fields) -> Result<RecordBatch> {
    let rows = decoded.num_rows();
    build(stream_columns, rows, own, |name| match name {
        QUARANTINED => Some(Arc::new(BooleanArray::from(vec![false; rows]))),
        _ => decoded.column_by_name(name).cloned(),
    })
}

fn quarantined_rows(own: Own, reasons: Vec<String>, raw: ArrayRef, stream_columns: &Fields) -> Result<RecordBatch> {
    let rows = reasons.len();
    build(stream_columns, rows, own, |name| match name {
        QUARANTINED => Some(Arc::new(BooleanArray::from(vec![true; rows]))),
        REASON => Some(Arc::new(StringArray::from_iter_values(&reasons))),
        RAW => Some(raw.clone()),
        _ => None,
    })
}

/// The columns of a table: each from `column`, else Bronze's own, else null.
fn build(
    stream_columns: &Fields,
    rows: usize,
    own: Own,
    column: impl Fn(&str) -> Option<ArrayRef>,
) -> Result<RecordBatch> {
    let schema = columns::table_schema(stream_columns);
    let arrays = schema.fields().iter().map(|field| {
        let found = column(field.name()).or_else(|| own_column(&own, field.name()));
        found.unwrap_or_else(|| new_null_array(field.data_type(), rows))
    });
    let arrays = arrays.collect();
    assemble(schema, arrays, rows)
}

fn own_column(own: &Own, name: &str) -> Option<ArrayRef> {
    own.iter().find(|(each, _)| *each == name).map(|(_, column)| column.clone())
}

/// Counts the rows of a batch by slot, by what they say of their topic and partition.
pub(super) fn count_by_partition(batch: &RecordBatch, partitions: &[Partition]) -> Result<BTreeMap<usize, u64>> {
    let (topics, numbers) = (batch.column_by_name(columns::TOPIC), batch.column_by_name(columns::PARTITION));
    let topics = topics.and_then(|column| column.as_string_opt::<i32>());
    let numbers = numbers.and_then(|column| column.as_primitive_opt::<Int32Type>());
    let (Some(topics), Some(numbers)) = (topics, numbers) else {
        return Err(Error::internal("a Bronze batch does not say of which partitions its rows are"));
    };
    let (mut counts, mut slot) = (BTreeMap::new(), 0);
    for row in 0..batch.num_rows() {
        let (topic, number) = (topics.value(row), numbers.value(row));
        let stands = |at: &Partition| (at.topic.as_str(), at.number).cmp(&(topic, number));
        if !partitions.get(slot).is_some_and(|at| stands(at).is_eq()) {
            slot = partitions.binary_search_by(stands).map_err(|_| {
                Error::internal(format!("a row says that it is of {topic}/{number}, which is not read"))
            })?;
        }
        *counts.entry(slot).or_default() += 1;
    }
    Ok(counts)
}

/// The rows but for some.
pub(super) fn without(batch: &RecordBatch, rows: &[usize]) -> Result<RecordBatch> {
    let mut kept = vec![true; batch.num_rows()];
    rows.iter().for_each(|row| kept[*row] = false);
    filter_record_batch(batch, &BooleanArray::from(kept)).context(Kind::Internal, || "leave rows out of a batch")
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
    use crate::record::{HEADER_POSITION, HEADER_SOURCE, SourcePosition};
    use arrow::datatypes::{DataType, Field, Int64Type};

    fn add(messages: &mut Messages, offset: i64, payload: Option<&str>, headers: &[(&str, &str)]) {
        let headers = headers.iter().map(|(name, value)| (*name, Some(value.as_bytes())));
        messages.push(0, offset, Some(1_000), Some(b"k"), payload.map(str::as_bytes), headers);
    }

    #[test]
    fn every_message_is_told_apart() {
        let row = |row| SourcePosition { row, partitions: 1, digest: 7 }.to_string();
        let (first, second) = (row(1), row(2));
        let sent = |position| [(HEADER_SOURCE, "data/a.csv"), (HEADER_POSITION, position)];
        let (first, second) = (first.as_str(), second.as_str());
        let mut messages = Messages::default();
        let broken = [sent(second).as_slice(), &[(HEADER_ERROR, "data/a.csv:3: ragged")]].concat();
        for (offset, payload, headers) in [
            (0, Some("{\"n\":1}"), sent(first).to_vec()),
            (1, Some("{\"n\":1}"), sent(first).to_vec()),
            (2, None, vec![]),
            (3, Some("raw,bytes"), broken.clone()),
            (4, Some("raw,bytes"), broken.clone()),
            (6, Some("{\"n\":\"x\"}"), vec![]),
            (7, Some("{\"n\":2}"), vec![("lake-source", "a")]),
            (8, Some("{\"n\":3,\"m\":0}"), vec![]),
        ] {
            add(&mut messages, offset, payload, &headers);
        }
        let mut marks = Marks::default();
        for (partition, source) in marks.unknown(&messages) {
            marks.learn(partition, source, None);
        }
        let fields: Fields = vec![Field::new("n", DataType::Int64, true)].into();
        let partitions = [Partition::new("books", 0)];
        let mut decoder = JsonDecoder::new(&fields).unwrap();
        let sorted = sort(&partitions, &messages, None, &mut decoder, Some(&mut marks), 5).unwrap();

        let counts = Counts { duplicates: 2, tombstones: 1, ..Counts::default() };
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
}
