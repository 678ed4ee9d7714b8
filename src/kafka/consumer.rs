//! Reading partitions from given offsets.
//!
//! A consumer is told which partitions it reads, of one topic or of several, and where each begins; it joins no group,
//! commits nothing and keeps no position beyond its own life. What waits in the client for being taken is
//! bounded in bytes; nobody is evicted for taking it late, because no group is joined.

use super::assigned::Assigned;
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
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The first time-out of a question to the broker; doubled until [`CONNECT_TIMEOUT`] is used up.
const FIRST_TRY: Duration = Duration::from_secs(1);
/// How long a broker that refuses connections, or a name that stands for no machine, is given before anything was heard
/// from it: an address is wrong more often than a broker is about to start.
const REFUSED_TIMEOUT: Duration = Duration::from_secs(3);
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

/// A manually assigned consumer. Never commits group offsets.
pub struct Consumer {
    pub(super) config: KafkaConfig,
    client: BaseConsumer<Watch>,
    /// A question was answered.
    answered: AtomicBool,
    pub(super) assigned: Assigned,
    /// Partition numbers whose end was reached by one of several topics.
    pub(super) doubts: BTreeSet<i32>,
    /// Asked about them, and when it was.
    pub(super) second: Option<Box<Consumer>>,
    pub(super) asked: Option<Instant>,
    /// When the connection was reported lost, until something arrives again.
    pub(super) lost_since: Option<Instant>,
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
            answered: AtomicBool::new(false),
            assigned: Assigned::default(),
            doubts: BTreeSet::new(),
            second: None,
            asked: None,
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

    /// Partitions in order of all topics with a name that is `wanted`, by one request.
    pub fn partitions_of(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<Partition>> {
        let mut found = self.ask("list the topics", |client, timeout| {
            let metadata = client.fetch_metadata(None, timeout)?;
            let mut found = Vec::new();
            for topic in metadata.topics().iter().filter(|topic| wanted(topic.name())) {
                let numbers = partition_numbers(topic)?.unwrap_or_default();
                found.extend(numbers.into_iter().map(|number| Partition::new(topic.name(), number)));
            }
            Ok(found)
        })?;
        found.sort_unstable();
        Ok(found)
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

    /// Replaces the assignment: reads each partition from the given offset on. The slot of a message is the place of its
    /// partition among these.
    pub fn assign(&mut self, positions: &BTreeMap<Partition, i64>) -> Result<()> {
        let attempt = "assign partitions";
        // A paused partition would stay paused when it is assigned again.
        let resumed = self.client.assignment().and_then(|former| self.client.resume(&former));
        resumed.and_then(|()| self.client.unassign()).map_err(|failure| self.explain(attempt, failure))?;
        self.assigned = Assigned::default();
        self.doubts.clear();
        self.lost_since = None;
        if positions.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        let mut assigned = Assigned::default();
        for (partition, offset) in positions {
            assigned.push(partition, *offset, self.watermarks(partition)?.high);
            list.add_partition_offset(&partition.topic, partition.number, Offset::Offset(*offset))
                .map_err(|failure| self.explain(attempt, failure))?;
        }
        self.client.assign(&list).map_err(|failure| self.explain(attempt, failure))?;
        self.assigned = assigned;
        Ok(())
    }

    /// Appends messages of the assigned partitions. Comes back when `full` says so, a moment after the first
    /// message when no more are there, after `timeout` without any, or when a partition's end was reached and
    /// nothing was appended. Blocking.
    ///
    /// A lost connection is waited out for [`CONNECT_TIMEOUT`] before it becomes `Unavailable`.
    pub fn fill(&mut self, messages: &mut Messages, full: impl Fn(&Messages) -> bool, timeout: Duration) -> Result<()> {
        self.take_delivered(messages, full, timeout)?;
        self.check_topics()?;
        match messages.is_empty() {
            true => self.check_connection()?,
            false => self.lost_since = None,
        }
        self.settle_doubts()
    }

    fn take_delivered(
        &mut self,
        messages: &mut Messages,
        full: impl Fn(&Messages) -> bool,
        timeout: Duration,
    ) -> Result<()> {
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
                    let Some(slot) = self.assigned.slot_of(&message) else { return Err(not_assigned(&message)) };
                    append(messages, slot, &message);
                    self.assigned.advance(slot, message.offset());
                }
                Some(Err(KafkaError::PartitionEOF(number))) => {
                    self.end_of(number);
                    if messages.is_empty() {
                        return Ok(());
                    }
                }
                Some(Err(failure)) => self.outlive(failure)?,
                None if Instant::now() >= deadline => break,
                None => {}
            }
        }
        Ok(())
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
                    if let Some(slot) = self.assigned.slot_of(&message) {
                        self.assigned.advance(slot, message.offset());
                    }
                    return Ok(Some(read(&message)));
                }
                Some(Err(failure)) => failure,
                None if left.is_zero() => return self.check_connection().map(|()| None),
                None => continue,
            };
            if let KafkaError::PartitionEOF(number) = failure {
                self.end_of(number);
                return Ok(None);
            }
            self.outlive(failure)?;
        }
    }

    /// The next offset the consumer would deliver, also past gaps of transactions and compaction;
    /// `None` before anything was fetched.
    pub fn position(&self, partition: &Partition) -> Option<i64> {
        self.assigned.position(partition)
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

    fn outlive(&mut self, failure: KafkaError) -> Result<()> {
        let lasting = !fault::is_transient(&failure) || self.client.context().refused().is_some();
        if lasting {
            return Err(self.explain(&self.reading(), failure));
        }
        tracing::info!(attempt = self.reading(), "connection to kafka lost, trying again: {failure}");
        self.lost_since.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Fails when a topic is not any more the one that was assigned, before a message of the new one is handed out.
    fn check_topics(&self) -> Result<()> {
        let Some(topic) = self.client.context().replaced() else { return Ok(()) };
        Err(Error::input(format!("topic `{topic}` was deleted and made again while it was read")).hint(
            "every record that was committed is in the table; move the table away to read the new topic from its \
             beginning, or give the new topic another name",
        ))
    }

    /// librdkafka reports a loss once and a recovery never, so after a long silence the broker is asked.
    fn check_connection(&mut self) -> Result<()> {
        if self.lost_since.is_none_or(|since| since.elapsed() < CONNECT_TIMEOUT) {
            return Ok(());
        }
        match self.client.fetch_metadata(self.assigned.topics().first().copied(), FIRST_TRY) {
            Ok(_) => {
                self.lost_since = None;
                Ok(())
            }
            Err(failure) => Err(self.explain(&self.reading(), failure)),
        }
    }

    /// What is attempted while messages are taken.
    fn reading(&self) -> String {
        let topics = self.assigned.topics();
        let ending = if topics.len() == 1 { "" } else { "s" };
        format!("read topic{ending} `{}`", topics.join("`, `"))
    }

    /// Puts a question until it is answered, refused for good, or [`CONNECT_TIMEOUT`] is over; [`REFUSED_TIMEOUT`]
    /// where nobody listens.
    fn ask<T>(&self, attempt: &str, question: impl Fn(&BaseConsumer<Watch>, Duration) -> KafkaResult<T>) -> Result<T> {
        let begun = Instant::now();
        let (mut deadline, mut timeout) = (begun + CONNECT_TIMEOUT, FIRST_TRY);
        loop {
            let failure = match question(&self.client, timeout) {
                Ok(answer) => {
                    self.answered.store(true, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            if !self.answered.load(Ordering::Relaxed) && self.client.context().is_nobody_there() {
                deadline = deadline.min(begun + REFUSED_TIMEOUT);
            }
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
        while self.assigned.is_empty() && !left().is_zero() {
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

fn not_assigned(message: &BorrowedMessage<'_>) -> Error {
    let partition = Partition::new(message.topic(), message.partition());
    Error::internal(format!("received a message of {partition}, which is not assigned"))
}

fn append(messages: &mut Messages, slot: usize, message: &BorrowedMessage<'_>) {
    let headers = message.headers();
    let headers = headers.iter().flat_map(|headers| (0..headers.count()).filter_map(|index| header(headers, index)));
    let (offset, timestamp_ms) = (message.offset(), message.timestamp().to_millis());
    messages.push(slot, offset, timestamp_ms, message.key(), message.payload(), headers);
}

/// Name and value of a header. rdkafka panics at a name that is not UTF-8; one such record must not stop a
/// stream, so the name is replaced then, and the value is lost.
pub(super) fn header(headers: &BorrowedHeaders, index: usize) -> Option<(&str, Option<&[u8]>)> {
    catch_unwind(AssertUnwindSafe(|| headers.try_get(index).map(|header| (header.key, header.value))))
        .unwrap_or(Some(("(name is not UTF-8)", None)))
}
