//! Rows of a file as the messages they were sent in, a stretch of the file at a time.
//!
//! What a message says is taken from the file; where and when it stood in its topic, from the row the table has of it.
//! Compares nothing.

use super::held::sent_digest;
use crate::error::{Error, Result};
use crate::flow::bronze::{HEADERS, OFFSET, PARTITION, SOURCE_ROW, TIMESTAMP};
use crate::kafka::Messages;
use crate::partition::Partition;
use crate::record::{HEADER_ERROR, HEADER_POSITION, HEADER_SOURCE, Record};
use crate::source::{self, Input, SourceConfig};
use arrow::array::{Array, AsArray, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use std::collections::BTreeSet;
use tokio::sync::mpsc;

/// Rows of a file, and bytes of these, in a stretch; the table is read once for each.
const ROWS: usize = 32 << 10;
const BYTES: usize = 8 << 20;

/// Reads a file from its start; of a sample the rows with a digest up to `share`.
pub fn read(input: Input, config: SourceConfig, share: u64) -> mpsc::Receiver<Result<Vec<Record>>> {
    let (send, stretches) = mpsc::channel(1);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = read_into(&input, &config, share, |records| send.blocking_send(Ok(records)).is_ok()) {
            drop(send.blocking_send(Err(error)));
        }
    });
    stretches
}

/// Until `take` is false: nobody asks any more.
fn read_into(
    input: &Input,
    config: &SourceConfig,
    share: u64,
    mut take: impl FnMut(Vec<Record>) -> bool,
) -> Result<()> {
    let mut source = source::open(input, config)?;
    let (mut records, mut passed, mut bytes) = (Vec::new(), 0, 0);
    while let Some(record) = source.next()? {
        passed += 1;
        if record.position.digest <= share {
            bytes += record.payload.len();
            records.push(record);
        }
        if passed == ROWS || bytes >= BYTES {
            if !take(std::mem::take(&mut records)) {
                return Ok(());
            }
            (passed, bytes) = (0, 0);
        }
    }
    take(records);
    Ok(())
}

/// The digests up to this one belong to about `wanted` of `rows` rows.
pub fn share(wanted: u64, rows: u64) -> u64 {
    if wanted >= rows { u64::MAX } else { ((u128::from(wanted) << 64) / u128::from(rows)) as u64 }
}

/// Messages of one topic.
pub struct Sent {
    /// In order; the slots of the messages.
    pub partitions: Vec<Partition>,
    pub messages: Messages,
    /// Of each message its row among those stored.
    pub rows: Vec<u32>,
    /// Stored rows that are not in the file as they were sent.
    pub changed: u64,
}

impl Sent {
    /// Sends each of the rows `stored` again that stands in its file as it was sent. They are of one topic and of one file,
    /// known under a name, in its order.
    pub fn again(stored: &RecordBatch, (topic, id): (&str, &str), records: &[Record]) -> Result<Sent> {
        let own = Own::of(stored)?;
        let slots: Vec<i32> = own.partitions.iter().flatten().collect::<BTreeSet<_>>().into_iter().collect();
        let partitions = slots.iter().map(|number| Partition::new(topic, *number)).collect();
        let mut sent = Sent { partitions, messages: Messages::default(), rows: Vec::new(), changed: 0 };
        let (mut before, mut places) = (0, BTreeSet::new());
        for row in 0..stored.num_rows() {
            let (partition, offset, number) =
                (own.partitions.value(row), own.offsets.value(row), own.numbers.value(row).unsigned_abs());
            let Ok(at) = records.binary_search_by_key(&number, |record| record.position.row) else { continue };
            let Ok(slot) = slots.binary_search(&partition) else { continue };
            let record = &records[at];
            if sent_digest(own.headers.value(row)).is_some_and(|digest| digest != record.position.digest) {
                sent.changed += 1;
                continue;
            }
            // What stands twice has no place of its own; the other proofs of Bronze tell of it.
            if number != before && places.insert((partition, offset)) {
                before = number;
                sent.push((slot, offset, own.moment(row)), id, record);
                sent.rows.push(row as u32);
            }
        }
        Ok(sent)
    }

    fn push(&mut self, (slot, offset, moment): (usize, i64, Option<i64>), id: &str, record: &Record) {
        let position = record.position.to_string();
        let texts = [(HEADER_SOURCE, id), (HEADER_POSITION, position.as_str())];
        let texts = texts.into_iter().chain(record.error.as_deref().map(|reason| (HEADER_ERROR, reason)));
        let headers = texts.map(|(name, text)| (name, Some(text.as_bytes())));
        self.messages.push(slot, offset, moment, record.key.as_deref(), Some(&record.payload), headers);
    }
}

/// Columns of Bronze's own.
struct Own<'a> {
    partitions: &'a Int32Array,
    offsets: &'a Int64Array,
    numbers: &'a Int64Array,
    moments: &'a TimestampMicrosecondArray,
    headers: &'a StringArray,
}

impl Own<'_> {
    fn of(stored: &RecordBatch) -> Result<Own<'_>> {
        let column = |name: &str| stored.column_by_name(name);
        let found = || {
            Some(Own {
                partitions: column(PARTITION)?.as_primitive_opt::<Int32Type>()?,
                offsets: column(OFFSET)?.as_primitive_opt::<Int64Type>()?,
                numbers: column(SOURCE_ROW)?.as_primitive_opt::<Int64Type>()?,
                moments: column(TIMESTAMP)?.as_primitive_opt::<TimestampMicrosecondType>()?,
                headers: column(HEADERS)?.as_string_opt::<i32>()?,
            })
        };
        found().ok_or_else(|| Error::internal("a Bronze table lacks columns of its own"))
    }

    /// In milliseconds since 1970.
    fn moment(&self, row: usize) -> Option<i64> {
        self.moments.is_valid(row).then(|| self.moments.value(row).div_euclid(1000))
    }
}
