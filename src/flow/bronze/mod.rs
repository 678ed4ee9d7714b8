//! `lake bronze`: Kafka topics into Bronze tables, each record exactly once, good or quarantined.
//!
//! One stream is a topic, or several, into one table. Its loop: positions out of the table's `txn` actions, a batch of
//! consecutive messages, decode, one Delta commit that holds the rows, the quarantined records, the new
//! positions and what the topics are known by later. A batch that is not committed never happened; it is read again.
//!
//! A batch is a stretch of offsets and the files they went into, not a heap of messages: chunks of it are
//! decoded and encoded as they arrive, so its size costs no memory. Four things go on at the same time: one chunk
//! is polled, one decoded, one encoded, and the batch before is committed; each waits for the one behind it.
//!
//! Before each commit the conservation law is checked per partition:
//! `rows + rejects + duplicates + tombstones + filtered + gaps == to - from`.
//!
//! ```text
//! reading   which partitions are read: those of the stream's topics, or a share of them
//! stored    what the table holds of them
//! intake    polls Kafka on a thread of its own, hands over bounded chunks
//! memory    who holds how much of it
//! batch     which offsets a batch covers, and what became of each message (the law)
//! marks     highest row seen per source: what a replayed record is compared with
//! desk      a table with its decoder, its SQL and its open files
//! drift     fields nobody declared: made columns, or refused
//! sort      messages -> rows, rejects, duplicates, tombstones; decodes
//! own       the values of Bronze's own columns
//! columns   names and types of Bronze's own columns, and the shape of a table
//! folders   the columns a table is partitioned by, and values that name no folder
//! transform the optional SELECT over each chunk, and values it cannot take
//! widen     a contract whose types got wider
//! commits   one commit at a time, in order, while the next batch is collected
//! start     where to begin, and what to do when the topic no longer holds that place
//! told      what is told of each commit while a run goes on
//! worker    the loop that joins them for one table
//! limit     how many rejects a run puts up with
//! again     records that were quarantined, through the stream as it is declared now
//! ```

mod again;
mod batch;
mod columns;
mod commits;
mod desk;
mod drift;
mod folders;
mod intake;
mod limit;
mod marks;
mod memory;
mod own;
mod reading;
mod sort;
mod start;
mod stored;
#[cfg(test)]
mod tests;
mod told;
mod transform;
mod widen;
mod worker;

pub use again::{Again, Decoded};
pub use columns::{
    HEADERS, HIDDEN_COLUMNS, INGESTED_AT, KEY, OFFSET, PARTITION, QUARANTINED, RAW, REASON, SOURCE, SOURCE_ROW,
    SYSTEM_COLUMNS, TIMESTAMP, TOPIC,
};
pub(in crate::flow) use columns::{declared, table_schema};
pub use reading::{Share, partitions};
pub use stored::topics_read;
pub use told::Told;

use super::{Progress, Stop};
use crate::decode::Format;
use crate::engine::{Engine, sql};
use crate::error::Result;
use crate::ident::TableName;
use crate::kafka::KafkaConfig;
use crate::model::{Column, Drift, Only, Topics};
use crate::partition::Partition;
use crate::table::Lake;
use memory::Shares;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use worker::Worker;

/// A Bronze table and the topics it is filled from.
#[derive(Debug, Clone)]
pub struct Stream {
    pub table: TableName,
    pub topics: Topics,
    /// The kinds of records it takes; others are counted as filtered before anything of them is decoded.
    pub only: Option<Only>,
    /// The contract. Empty: inferred from the first batch that has a readable record, afterwards the table's
    /// own columns.
    pub columns: Vec<Column>,
    /// File and text of a SELECT over `batch`, applied to the good rows of each chunk of messages. It has to
    /// keep `_topic`, `_partition` and `_offset`, may drop rows and must not multiply them; how many rows it sees
    /// at a time depends on how they arrive. A record with a value it fails on is quarantined.
    pub sql: Option<(PathBuf, String)>,
    /// Columns the table is partitioned by: of the contract, or of the SQL where there is one.
    pub partition_by: Vec<String>,
    /// Above this share of rejects, between 0 and 1, a run ends; instead of [`Options::max_reject_rate`].
    pub max_reject_rate: Option<f64>,
    pub format: Format,
    /// With SQL, which says itself what columns there are, `Add` is as `Rescue`.
    pub drift: Drift,
}

impl Stream {
    /// The same as long as records become the same rows: by columns, SQL, format, the records it takes, and what becomes of
    /// fields nobody declared. Not for security.
    pub fn fingerprint(&self) -> String {
        let columns: Vec<_> = self.columns.iter().map(|column| (&column.name, &column.data_type)).collect();
        let sql = self.sql.as_ref().map(|(_, sql)| sql::fingerprint(sql));
        sql::digest(&format!("{columns:?} {sql:?} {:?} {:?} {:?}", self.format, self.only, self.drift))
    }
}

/// Where to begin on partitions of which nothing was committed yet. A partition, or a topic, that is added to what was
/// read before is always read from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
    /// The same offset on each partition, moved into the range the partition holds.
    Offset(i64),
    /// The first record at or after this time, in milliseconds since 1970.
    Timestamp(i64),
}

#[derive(Debug, Clone)]
pub struct Options {
    /// End at the high watermarks taken at the start instead of going on.
    pub once: bool,
    /// The partitions this process reads.
    pub share: Share,
    /// A batch is committed at the latest this long after its first message.
    pub interval: Duration,
    /// Messages after which a batch is committed early.
    pub max_rows: usize,
    /// Payload, key and header bytes after which a batch is committed early.
    pub max_bytes: usize,
    /// Bytes all streams together may hold in memory.
    pub memory: usize,
    /// Above this share of rejects, between 0 and 1, the run of a stream ends before its next commit.
    pub max_reject_rate: Option<f64>,
    pub start: Start,
}

/// What one call did, table by table in the order of the streams.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub tables: Vec<TableReport>,
}

/// Sums over the commits of one call.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TableReport {
    pub table: String,
    /// The topics that were there, in order: a stream may have several, and a pattern does not say which.
    pub topics: Vec<String>,
    pub rows: u64,
    pub rejects: u64,
    pub duplicates: u64,
    pub tombstones: u64,
    pub filtered: u64,
    pub gaps: u64,
    pub commits: u64,
    /// Newest version seen; `None` when the table does not exist yet.
    pub version: Option<i64>,
    /// `topic/partition` -> next offset to read.
    pub positions: BTreeMap<String, i64>,
}

/// App id of the `txn` that holds the next offset of a partition.
pub fn position_app(partition: &Partition) -> String {
    format!("lake:bronze:{}:{}", partition.topic, partition.number)
}

/// App id of the `txn` that holds the [`Tip`](crate::kafka::Tip) of a partition, as a number.
pub fn tip_app(partition: &Partition) -> String {
    format!("lake:tip:{}:{}", partition.topic, partition.number)
}

/// App id of the `txn` that comes with the columns of a table nobody declared.
const COLUMNS_APP: &str = "lake:columns";

/// App id of the `txn` that holds the highest row of a source seen in a partition.
pub fn source_app(partition: &Partition, source: &str) -> String {
    format!("lake:source:{}:{}:{source}", partition.topic, partition.number)
}

/// Serves all streams at the same time, each with its own consumer and commits.
///
/// With `once` every stream comes to its end, then the first failure is returned, if any. Otherwise it goes
/// on until `stop` is requested, which drops the batches being collected and returns `Interrupted`, or until
/// one stream fails, which ends the others the same way and returns that failure.
pub async fn bronze(
    kafka: &KafkaConfig,
    lake: &Lake,
    engine: &Engine,
    streams: &[Stream],
    options: &Options,
    progress: &Progress,
    stop: &Stop,
) -> Result<Report> {
    let halt = Halt { stop: stop.clone(), failed: AtomicBool::new(false) };
    let shares = Shares::of(options.memory, streams.len());
    let workers = streams.iter().map(|stream| {
        let worker = Worker::new(lake, engine, stream, options, shares, progress, &halt);
        let (kafka, topics, start, halt) = (kafka.clone(), stream.topics.clone(), options.start, &halt);
        async move {
            let outcome = worker.run(move || start::survey(&kafka, &topics, start, shares.queue)).await;
            halt.failed.fetch_or(outcome.is_err() && !options.once, Ordering::SeqCst);
            outcome
        }
    });
    let outcomes = futures::future::join_all(workers).await;
    let tables = outcomes.into_iter().collect::<Result<Vec<_>>>()?;
    Ok(Report { tables })
}

/// Whether a stream may go on.
struct Halt {
    stop: Stop,
    failed: AtomicBool,
}

impl Halt {
    /// False when another stream failed; an error when a signal asked to stop.
    fn go_on(&self) -> Result<bool> {
        self.stop.check()?;
        Ok(!self.failed.load(Ordering::SeqCst))
    }
}
