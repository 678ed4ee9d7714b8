//! Reads messages on a thread of its own and cuts them into batches.
//!
//! Assignment is manual, so a slow commit cannot cost the assignment; what it must not cost is memory. The
//! thread stops polling once a few chunks wait, and librdkafka's own queue is bounded by its settings.

use super::batch::{Batch, size};
use super::{Halt, Options};
use crate::error::{Context, Error, Kind, Result};
use crate::kafka::{Consumer, Message};
use crate::partition::Partition;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const CHUNK_MESSAGES: usize = 2_000;
const CHUNK_BYTES: usize = 1 << 20;
/// Chunks that may wait; with the one being filled, what a stream holds beside its batch.
const WAITING_CHUNKS: usize = 4;
const POLL: Duration = Duration::from_millis(100);
/// How often the thread asks whether partitions were added to the topic.
const LOOK_FOR_PARTITIONS: Duration = Duration::from_secs(60);

/// Where messages come from; all calls block.
pub(super) trait Messages: Send + 'static {
    fn assign(&mut self, positions: &BTreeMap<Partition, i64>) -> Result<()>;
    fn poll(&mut self, timeout: Duration) -> Result<Option<Message>>;
    fn position(&self, partition: &Partition) -> Result<Option<i64>>;
    /// Partitions the topic has now.
    fn partition_count(&self, topic: &str) -> Result<usize>;
}

impl Messages for Consumer {
    fn assign(&mut self, positions: &BTreeMap<Partition, i64>) -> Result<()> {
        Consumer::assign(self, positions)
    }

    fn poll(&mut self, timeout: Duration) -> Result<Option<Message>> {
        Consumer::poll(self, timeout)
    }

    fn position(&self, partition: &Partition) -> Result<Option<i64>> {
        Consumer::position(self, partition)
    }

    fn partition_count(&self, topic: &str) -> Result<usize> {
        Ok(self.partitions(topic)?.map_or(0, |partitions| partitions.len()))
    }
}

/// Messages polled in a row, then where each partition stands: every message below a position is in this
/// chunk or an earlier one.
struct Chunk {
    messages: Vec<Message>,
    positions: BTreeMap<Partition, i64>,
    partitions_added: bool,
}

/// Why a batch is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Its limits or its interval are used up.
    Due,
    /// The positions a run to the end was to reach are reached.
    Reached,
    /// The topic has more partitions than are assigned.
    PartitionsAdded,
    /// Another stream failed.
    Halted,
}

/// The receiving side. Dropping it ends the thread at its next poll.
pub(super) struct Intake {
    chunks: mpsc::Receiver<Result<Chunk>>,
    waiting: VecDeque<Message>,
    positions: BTreeMap<Partition, i64>,
    partitions_added: bool,
}

impl Intake {
    pub fn start(source: impl Messages, topic: &str, positions: BTreeMap<Partition, i64>) -> Result<Intake> {
        let (send, chunks) = mpsc::channel(WAITING_CHUNKS);
        let mut poller = Poller { source, topic: topic.to_string(), positions, looked: Instant::now() };
        std::thread::Builder::new()
            .name(format!("poll-{topic}"))
            .spawn(move || poller.run(&send))
            .context(Kind::Unavailable, || "start the thread that reads Kafka")?;
        Ok(Intake { chunks, waiting: VecDeque::new(), positions: BTreeMap::new(), partitions_added: false })
    }

    /// Adds messages until the batch is due or there is a reason to stop. `targets` are positions to end at.
    pub async fn fill(
        &mut self,
        batch: &mut Batch,
        options: &Options,
        targets: Option<&BTreeMap<Partition, i64>>,
        halt: &Halt,
    ) -> Result<End> {
        let mut since = None;
        loop {
            if !halt.go_on()? {
                return Ok(End::Halted);
            }
            if self.take_waiting(batch, options)? {
                return Ok(End::Due);
            }
            batch.reach(&self.positions);
            if targets.is_some_and(|targets| reached(batch, targets)) {
                return Ok(End::Reached);
            }
            if self.partitions_added {
                return Ok(End::PartitionsAdded);
            }
            if batch.moved() && since.get_or_insert_with(Instant::now).elapsed() >= options.interval {
                return Ok(End::Due);
            }
            self.receive().await?;
        }
    }

    /// True when the batch is full.
    fn take_waiting(&mut self, batch: &mut Batch, options: &Options) -> Result<bool> {
        while let Some(message) = self.waiting.pop_front() {
            batch.push(message)?;
            if batch.messages.len() >= options.max_rows || batch.bytes >= options.max_bytes {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn receive(&mut self) -> Result<()> {
        let Ok(received) = tokio::time::timeout(2 * POLL, self.chunks.recv()).await else { return Ok(()) };
        let chunk = received.ok_or_else(|| Error::internal("the thread that reads Kafka ended"))??;
        self.waiting.extend(chunk.messages);
        self.positions = chunk.positions;
        self.partitions_added |= chunk.partitions_added;
        Ok(())
    }
}

/// True when every partition of `targets` stands at its target or beyond.
pub(super) fn reached(batch: &Batch, targets: &BTreeMap<Partition, i64>) -> bool {
    targets.iter().all(|(partition, target)| batch.steps.get(partition).is_none_or(|step| step.to >= *target))
}

struct Poller<M> {
    source: M,
    topic: String,
    positions: BTreeMap<Partition, i64>,
    looked: Instant,
}

impl<M: Messages> Poller<M> {
    fn run(&mut self, send: &mpsc::Sender<Result<Chunk>>) {
        let mut outcome = self.source.assign(&self.positions);
        while !send.is_closed() {
            let chunk = outcome.and_then(|()| self.chunk());
            let failed = chunk.is_err();
            if send.blocking_send(chunk).is_err() || failed {
                return;
            }
            outcome = Ok(());
        }
    }

    fn chunk(&mut self) -> Result<Chunk> {
        let (mut messages, mut bytes, mut timeout) = (Vec::new(), 0, POLL);
        while messages.len() < CHUNK_MESSAGES && bytes < CHUNK_BYTES {
            let Some(message) = self.source.poll(timeout)? else { break };
            bytes += size(&message);
            messages.push(message);
            timeout = Duration::ZERO;
        }
        for (partition, at) in &mut self.positions {
            if let Some(position) = self.source.position(partition)? {
                *at = position.max(*at);
            }
        }
        Ok(Chunk { messages, positions: self.positions.clone(), partitions_added: self.partitions_added()? })
    }

    fn partitions_added(&mut self) -> Result<bool> {
        if self.looked.elapsed() < LOOK_FOR_PARTITIONS {
            return Ok(false);
        }
        self.looked = Instant::now();
        Ok(self.source.partition_count(&self.topic)? > self.positions.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Endless messages without a payload, each of half a chunk.
    struct Keys;

    impl Messages for Keys {
        fn assign(&mut self, _positions: &BTreeMap<Partition, i64>) -> Result<()> {
            Ok(())
        }

        fn poll(&mut self, _timeout: Duration) -> Result<Option<Message>> {
            let bytes = |length| Some(vec![0; length].into());
            Ok(Some(Message {
                partition: Partition::new("t", 0),
                offset: 0,
                timestamp_ms: None,
                key: bytes(CHUNK_BYTES / 4),
                payload: None,
                headers: vec![("h".into(), bytes(CHUNK_BYTES / 4))],
            }))
        }

        fn position(&self, _partition: &Partition) -> Result<Option<i64>> {
            Ok(None)
        }

        fn partition_count(&self, _topic: &str) -> Result<usize> {
            Ok(0)
        }
    }

    #[test]
    fn keys_and_headers_fill_a_chunk_too() {
        let (topic, positions) = ("t".to_string(), BTreeMap::new());
        let mut poller = Poller { source: Keys, topic, positions, looked: Instant::now() };
        assert_eq!(poller.chunk().unwrap().messages.len(), 2);
    }
}
