//! Reading partitions from given offsets.
//!
//! A consumer reads the partitions of one topic at a time and is told where each begins; it joins no group,
//! commits nothing and keeps no position beyond its own life. What waits in the client for being taken is
//! bounded in bytes; nobody is evicted for taking it late, because no group is joined.

use super::messages::Messages;
use super::watch::Watch;
use super::{CONNECT_TIMEOUT, KafkaConfig, fault};
use crate::error::{Error, Result};
use crate::partition::Partition;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Headers, Message as _};
use rdkafka::metadata::MetadataTopic;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// The first time-out of a question to the broker; doubled until [`CONNECT_TIMEOUT`] is used up.
const FIRST_TRY: Duration = Duration::from_secs(1);
/// How long more messages are waited for once there is one: a slice of many costs less than many slices.
const LINGER: Duration = Duration::from_millis(20);
/// Fetched and not yet taken, unless the caller says otherwise.
const BUFFER_BYTES: usize = 32 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// First offset still kept.
    pub low: i64,
    /// Next offset to be written; with transactions under way, the first of them.
    pub high: i64,
}

/// How far an assigned partition was read.
#[derive(Debug, Clone, Copy)]
struct Cursor {
    next: Option<i64>,
    /// High watermark when it was assigned.
    end: i64,
}

/// A manually assigned consumer. Never commits group offsets.
pub struct Consumer {
    config: KafkaConfig,
    client: BaseConsumer<Watch>,
    topic: String,
    cursors: BTreeMap<i32, Cursor>,
    /// When the connection was reported lost, until something arrives again.
    lost_since: Option<Instant>,
}

impl Consumer {
    /// Sets the client up without connecting. Errors: [`Kind::Config`](crate::error::Kind::Config) when a
    /// property is wrong.
    pub fn new(config: &KafkaConfig) -> Result<Consumer> {
        Consumer::buffering(config, BUFFER_BYTES)
    }

    /// As [`Consumer::new`]; about `buffer` bytes of memory hold what was fetched and not yet taken.
    pub fn buffering(config: &KafkaConfig, buffer: usize) -> Result<Consumer> {
        let client = config.create(&config.reading(buffer)?, Watch::default())?;
        Ok(Consumer {
            config: config.clone(),
            client,
            topic: String::new(),
            cursors: BTreeMap::new(),
            lost_since: None,
        })
    }

    /// Partitions of a topic in order; `None` when the topic does not exist.
    pub fn partitions(&self, topic: &str) -> Result<Option<Vec<Partition>>> {
        let attempt = format!("read the partitions of topic `{topic}`");
        let numbers = self.ask(&attempt, |client, timeout| {
            let metadata = client.fetch_metadata(Some(topic), timeout)?;
            metadata.topics().first().map_or(Ok(None), partition_numbers)
        })?;
        Ok(numbers.map(|numbers| numbers.into_iter().map(|number| Partition::new(topic, number)).collect()))
    }

    /// Number of brokers that make up the cluster.
    pub(super) fn brokers(&self) -> Result<usize> {
        self.ask("reach kafka", |client, timeout| Ok(client.fetch_metadata(None, timeout)?.brokers().len()))
    }

    pub fn watermarks(&self, partition: &Partition) -> Result<Watermarks> {
        let (low, high) = self.ask(&format!("read the watermarks of `{partition}`"), |client, timeout| {
            client.fetch_watermarks(&partition.topic, partition.number, timeout)
        })?;
        Ok(Watermarks { low, high })
    }

    /// First offset at or after the time; the high watermark when there is none. The embedded broker looks
    /// into no compressed batch: it answers with the batch's first offset, so older records may precede.
    pub fn offset_at(&self, partition: &Partition, timestamp_ms: i64) -> Result<i64> {
        let found = self.ask(&format!("look a time up in `{partition}`"), |client, timeout| {
            let mut wanted = TopicPartitionList::new();
            wanted.add_partition_offset(&partition.topic, partition.number, Offset::Offset(timestamp_ms))?;
            let found = client.offsets_for_times(wanted, timeout)?;
            found.elements().first().map_or(Ok(None), |answer| answer.error().map(|()| Some(answer.offset())))
        })?;
        match found {
            Some(Offset::Offset(offset)) => Ok(offset),
            _ => Ok(self.watermarks(partition)?.high),
        }
    }

    /// Replaces the assignment: reads each partition, all of one topic, from the given offset on.
    pub fn assign(&mut self, positions: &BTreeMap<Partition, i64>) -> Result<()> {
        let attempt = "assign partitions";
        // A paused partition would stay paused when it is assigned again.
        let resumed = self.client.assignment().and_then(|former| self.client.resume(&former));
        resumed.and_then(|()| self.client.unassign()).map_err(|failure| self.explain(attempt, failure))?;
        self.cursors.clear();
        self.lost_since = None;
        let Some(topic) = positions.keys().next().map(|partition| partition.topic.clone()) else {
            return Ok(());
        };
        if positions.keys().any(|partition| partition.topic != topic) {
            // librdkafka's end-of-partition event names a partition without its topic.
            return Err(Error::internal("a consumer was assigned partitions of two topics"));
        }
        let mut list = TopicPartitionList::new();
        let mut cursors = BTreeMap::new();
        for (partition, offset) in positions {
            let end = self.watermarks(partition)?.high;
            cursors.insert(partition.number, Cursor { next: None, end });
            list.add_partition_offset(&topic, partition.number, Offset::Offset(*offset))
                .map_err(|failure| self.explain(attempt, failure))?;
        }
        self.client.assign(&list).map_err(|failure| self.explain(attempt, failure))?;
        self.topic = topic;
        self.cursors = cursors;
        Ok(())
    }

    /// Appends messages of the assigned partitions. Comes back when `full` says so, a moment after the first
    /// message when no more are there, after `timeout` without any, or when a partition's end was reached and
    /// nothing was appended. Blocking.
    ///
    /// A lost connection is waited out for [`CONNECT_TIMEOUT`] before it becomes `Unavailable`.
    pub fn fill(&mut self, messages: &mut Messages, full: impl Fn(&Messages) -> bool, timeout: Duration) -> Result<()> {
        let mut deadline = Instant::now() + timeout;
        while !full(messages) {
            // Without a time-out no clock is read, which counts per message.
            let polled = self.client.poll(Duration::ZERO).or_else(|| {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() { None } else { self.client.poll(left) }
            });
            match polled {
                Some(Ok(message)) => {
                    if messages.is_empty() {
                        deadline = Instant::now() + LINGER;
                    }
                    append(messages, &message);
                    advance(&mut self.cursors, &message);
                }
                Some(Err(KafkaError::PartitionEOF(number))) => {
                    self.reached_end(number);
                    if messages.is_empty() {
                        return Ok(());
                    }
                }
                Some(Err(failure)) => self.outlive(failure)?,
                None if Instant::now() >= deadline => break,
                None => {}
            }
        }
        match messages.is_empty() {
            true => self.check_connection(),
            false => {
                self.lost_since = None;
                Ok(())
            }
        }
    }

    /// Hands the next message of any assigned partition to `read`; `None` after the time-out, or sooner when
    /// the end of a partition was reached. Blocking.
    pub(super) fn poll_with<T>(
        &mut self,
        timeout: Duration,
        read: impl FnOnce(&BorrowedMessage<'_>) -> T,
    ) -> Result<Option<T>> {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let failure = match self.client.poll(left) {
                Some(Ok(message)) => {
                    self.lost_since = None;
                    advance(&mut self.cursors, &message);
                    return Ok(Some(read(&message)));
                }
                Some(Err(failure)) => failure,
                None if left.is_zero() => return self.check_connection().map(|()| None),
                None => continue,
            };
            if let KafkaError::PartitionEOF(number) = failure {
                self.reached_end(number);
                return Ok(None);
            }
            self.outlive(failure)?;
        }
    }

    /// The next offset the consumer would deliver, also past gaps of transactions and compaction;
    /// `None` before anything was fetched.
    pub fn position(&self, partition: &Partition) -> Result<Option<i64>> {
        if partition.topic != self.topic {
            return Ok(None);
        }
        Ok(self.cursors.get(&partition.number).and_then(|cursor| cursor.next))
    }

    /// The next offset to be written to an assigned partition, as of a second ago and without asking; `None` until it
    /// is known. With transactions under way, the first of them.
    pub fn end(&self, partition: &Partition) -> Option<i64> {
        self.client.context().end(&partition.topic, partition.number)
    }

    pub fn pause(&mut self, partitions: &[Partition]) -> Result<()> {
        let paused = self.client.pause(&list_of(partitions));
        paused.map_err(|failure| self.explain("pause partitions", failure))
    }

    /// Everything up to the end of the partition was delivered, so its position is past whatever records
    /// of transactions lie before the end. Only the end known at assignment is sure to have been reached:
    /// the event may be older than any later look at the watermark.
    fn reached_end(&mut self, number: i32) {
        self.lost_since = None;
        if let Some(cursor) = self.cursors.get_mut(&number) {
            cursor.next = Some(cursor.next.map_or(cursor.end, |next| next.max(cursor.end)));
        }
    }

    fn outlive(&mut self, failure: KafkaError) -> Result<()> {
        let lasting = !fault::is_transient(&failure) || self.client.context().refused().is_some();
        if lasting {
            return Err(self.explain(&format!("read topic `{}`", self.topic), failure));
        }
        tracing::info!(topic = self.topic, "connection to kafka lost, trying again: {failure}");
        self.lost_since.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// librdkafka reports a loss once and a recovery never, so after a long silence the broker is asked.
    fn check_connection(&mut self) -> Result<()> {
        if self.lost_since.is_none_or(|since| since.elapsed() < CONNECT_TIMEOUT) {
            return Ok(());
        }
        match self.client.fetch_metadata(Some(&self.topic), FIRST_TRY) {
            Ok(_) => {
                self.lost_since = None;
                Ok(())
            }
            Err(failure) => Err(self.explain(&format!("read topic `{}`", self.topic), failure)),
        }
    }

    /// Puts a question until it is answered, refused for good, or [`CONNECT_TIMEOUT`] is over.
    fn ask<T>(&self, attempt: &str, question: impl Fn(&BaseConsumer<Watch>, Duration) -> KafkaResult<T>) -> Result<T> {
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        let mut timeout = FIRST_TRY;
        loop {
            let failure = match question(&self.client, timeout) {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let left = deadline.saturating_duration_since(Instant::now());
            self.listen(Duration::from_millis(50).min(left));
            if !fault::is_transient(&failure) || self.client.context().refused().is_some() || left.is_zero() {
                return Err(self.explain(attempt, failure));
            }
            timeout = (timeout * 2).min(left.max(Duration::from_millis(100)));
        }
    }

    /// Waits a moment. Faults of the connection are only learnt by polling, which must not swallow a message; figures
    /// come between them, so one look is not enough.
    fn listen(&self, moment: Duration) {
        let until = Instant::now() + moment;
        let left = || until.saturating_duration_since(Instant::now());
        while self.cursors.is_empty() && !left().is_zero() {
            drop(self.client.poll(left()));
        }
        std::thread::sleep(left());
    }

    /// The error for a broker that answers but delivers nothing.
    pub(super) fn silent(&self, attempt: &str, waited: Duration) -> Error {
        fault::silent(&self.config, attempt, waited)
    }

    fn explain(&self, attempt: &str, failure: KafkaError) -> Error {
        fault::explain(&self.config, attempt, failure, self.client.context())
    }
}

/// Numbers in order; `None` when the broker does not know the topic.
fn partition_numbers(topic: &MetadataTopic) -> KafkaResult<Option<Vec<i32>>> {
    match topic.error().map(Code::from) {
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => return Ok(None),
        Some(code) => return Err(KafkaError::MetadataFetch(code)),
        None if topic.partitions().is_empty() => return Ok(None),
        None => {}
    }
    let mut numbers: Vec<i32> = topic.partitions().iter().map(|partition| partition.id()).collect();
    numbers.sort_unstable();
    Ok(Some(numbers))
}

fn list_of(partitions: &[Partition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(&partition.topic, partition.number);
    }
    list
}

fn advance(cursors: &mut BTreeMap<i32, Cursor>, message: &BorrowedMessage<'_>) {
    if let Some(cursor) = cursors.get_mut(&message.partition()) {
        cursor.next = Some(message.offset() + 1);
    }
}

fn append(messages: &mut Messages, message: &BorrowedMessage<'_>) {
    let headers = message.headers();
    let headers = headers.iter().flat_map(|headers| (0..headers.count()).filter_map(|index| header(headers, index)));
    let (partition, offset, timestamp_ms) = (message.partition(), message.offset(), message.timestamp().to_millis());
    messages.push(partition, offset, timestamp_ms, message.key(), message.payload(), headers);
}

/// Name and value of a header. rdkafka panics at a name that is not UTF-8; one such record must not stop a
/// stream, so the name is replaced then, and the value is lost.
pub(super) fn header(headers: &BorrowedHeaders, index: usize) -> Option<(&str, Option<&[u8]>)> {
    catch_unwind(AssertUnwindSafe(|| headers.try_get(index).map(|header| (header.key, header.value))))
        .unwrap_or(Some(("(name is not UTF-8)", None)))
}
