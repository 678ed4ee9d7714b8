//! Reads messages on a thread of its own, in chunks.
//!
//! Assignment is manual, so a slow commit cannot cost the assignment; what it must not cost is memory. The
//! thread stops polling once a few chunks wait, and librdkafka's own queue is bounded by its settings.

use super::reading::{self, Share};
use crate::error::{Context, Error, Kind, Result};
use crate::kafka::{Consumer, Messages, Tip};
use crate::model::Topics;
use crate::partition::Partition;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Chunks that may wait; beside them one is filled and one is worked on.
pub(super) const WAITING_CHUNKS: usize = 2;
const POLL: Duration = Duration::from_millis(100);
/// How often the thread asks which partitions there are: one request, which also tells of a topic that is gone before
/// another one of its name can take its place.
const LOOK_FOR_PARTITIONS: Duration = Duration::from_secs(1);

/// Where messages come from; all calls block.
pub(super) trait Feed: Send + 'static {
    /// As [`Consumer::tips`].
    fn tips(&mut self, offsets: &BTreeMap<Partition, i64>) -> Result<BTreeMap<Partition, Tip>>;
    fn assign(&mut self, positions: &BTreeMap<Partition, i64>) -> Result<()>;
    /// As [`Consumer::fill`].
    fn fill(&mut self, messages: &mut Messages, full: &Full, timeout: Duration) -> Result<()>;
    fn position(&self, partition: &Partition) -> Option<i64>;
    /// As [`Consumer::end`].
    fn end(&self, partition: &Partition) -> Option<i64>;
    /// The partitions these topics have now, in order.
    fn partitions(&self, topics: &Topics) -> Result<Vec<Partition>>;
}

impl Feed for Consumer {
    fn tips(&mut self, offsets: &BTreeMap<Partition, i64>) -> Result<BTreeMap<Partition, Tip>> {
        Consumer::tips(self, offsets)
    }

    fn assign(&mut self, positions: &BTreeMap<Partition, i64>) -> Result<()> {
        Consumer::assign(self, positions)
    }

    fn fill(&mut self, messages: &mut Messages, full: &Full, timeout: Duration) -> Result<()> {
        Consumer::fill(self, messages, |messages| full.holds(messages), timeout)
    }

    fn position(&self, partition: &Partition) -> Option<i64> {
        Consumer::position(self, partition)
    }

    fn end(&self, partition: &Partition) -> Option<i64> {
        Consumer::end(self, partition)
    }

    fn partitions(&self, topics: &Topics) -> Result<Vec<Partition>> {
        reading::partitions(self, topics)
    }
}

/// When a chunk is full.
#[derive(Debug, Clone, Copy)]
pub(super) struct Full {
    pub messages: usize,
    pub bytes: usize,
}

impl Full {
    pub fn holds(&self, messages: &Messages) -> bool {
        messages.len() >= self.messages || messages.bytes() >= self.bytes
    }
}

/// Messages polled in a row, then where each partition stands: every message below a position is in this
/// chunk or an earlier one.
pub(super) struct Chunk {
    pub messages: Messages,
    pub positions: BTreeMap<Partition, i64>,
    /// Where partitions ended a moment ago, of those of which it is known.
    pub ends: BTreeMap<Partition, i64>,
    /// There are more partitions to be read than are assigned.
    pub partitions_added: bool,
}

/// The receiving side. Dropping it ends the thread at its next poll.
pub(super) struct Intake {
    chunks: mpsc::Receiver<Result<Chunk>>,
    /// Where chunks go that were worked on, for their room to be filled again.
    spent: Spent,
}

pub(super) type Spent = std::sync::mpsc::Sender<Messages>;

impl Intake {
    /// Reads from these positions, which are those of `share` among the partitions of `topics`.
    pub fn start(
        feed: impl Feed,
        topics: Topics,
        share: Share,
        positions: BTreeMap<Partition, i64>,
        full: Full,
    ) -> Result<Intake> {
        let (send, chunks) = mpsc::channel(WAITING_CHUNKS);
        let (spent, room) = std::sync::mpsc::channel();
        let mut poller = Poller { feed, topics, share, positions, full, room, looked: Instant::now() };
        std::thread::Builder::new()
            .name("poll-kafka".into())
            .spawn(move || poller.run(&send))
            .context(Kind::Unavailable, || "start the thread that reads Kafka")?;
        Ok(Intake { chunks, spent })
    }

    pub fn spent(&self) -> Spent {
        self.spent.clone()
    }

    /// The next chunk, which may hold positions alone; `None` when there was none for a while.
    pub async fn receive(&mut self) -> Result<Option<Chunk>> {
        let Ok(received) = tokio::time::timeout(2 * POLL, self.chunks.recv()).await else { return Ok(None) };
        received.ok_or_else(|| Error::internal("the thread that reads Kafka ended"))?.map(Some)
    }
}

struct Poller<F> {
    feed: F,
    topics: Topics,
    share: Share,
    positions: BTreeMap<Partition, i64>,
    full: Full,
    room: std::sync::mpsc::Receiver<Messages>,
    looked: Instant,
}

impl<F: Feed> Poller<F> {
    fn run(&mut self, send: &mpsc::Sender<Result<Chunk>>) {
        let mut outcome = self.feed.assign(&self.positions);
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
        let mut messages = self.room.try_recv().unwrap_or_default();
        messages.clear();
        // One huge message is no reason to keep its room.
        if messages.room() > 2 * self.full.bytes {
            messages = Messages::default();
        }
        self.feed.fill(&mut messages, &self.full, POLL)?;
        for (partition, at) in &mut self.positions {
            if let Some(position) = self.feed.position(partition) {
                *at = position.max(*at);
            }
        }
        let end = |partition: &Partition| Some((partition.clone(), self.feed.end(partition)?));
        let ends = self.positions.keys().filter_map(end).collect();
        Ok(Chunk { messages, positions: self.positions.clone(), ends, partitions_added: self.partitions_added()? })
    }

    fn partitions_added(&mut self) -> Result<bool> {
        if self.looked.elapsed() < LOOK_FOR_PARTITIONS {
            return Ok(false);
        }
        self.looked = Instant::now();
        partitions_added(&self.feed.partitions(&self.topics)?, self.share, &self.positions)
    }
}

/// Kafka takes no partition away, so a topic that lost one is gone, or another one of the same name.
fn partitions_added(there: &[Partition], share: Share, assigned: &BTreeMap<Partition, i64>) -> Result<bool> {
    if let Some(gone) = assigned.keys().find(|partition| !there.contains(partition)) {
        let topic = &gone.topic;
        let of = assigned.keys().filter(|partition| partition.topic == *topic);
        let left = of.clone().filter(|partition| there.contains(partition)).count();
        let what =
            format!("topic `{topic}` was deleted while it was read: of {} partitions {left} are left", of.count());
        return Err(Error::input(what).hint(
            "every record that was committed is in the table; \
             move the table away to read a new topic of that name from its beginning",
        ));
    }
    Ok(there.iter().any(|partition| share.takes(partition) && !assigned.contains_key(partition)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn partitions(places: &[(&str, i32)]) -> Vec<Partition> {
        places.iter().map(|(topic, number)| Partition::new(*topic, *number)).collect()
    }

    #[test]
    fn a_topic_that_lost_partitions_is_gone() {
        let three = partitions(&[("books", 0), ("books", 1), ("books", 2)]);
        let assigned = three.iter().map(|partition| (partition.clone(), 0)).collect();
        let added = |there: &[Partition]| partitions_added(there, Share::WHOLE, &assigned);
        assert!(!added(&three).unwrap());
        for more in [("books", 3), ("books2", 0)] {
            assert!(added(&[three.clone(), partitions(&[more])].concat()).unwrap(), "{more:?}");
        }
        for left in [0, 2] {
            let gone = added(&three[..left]).unwrap_err();
            let expected = format!("topic `books` was deleted while it was read: of 3 partitions {left} are left");
            assert_eq!((gone.kind(), gone.to_string()), (Kind::Input, expected));
            assert!(gone.hint_text().unwrap().contains("move the table away"));
        }
    }

    #[test]
    fn partitions_of_other_shares_are_nothing_new() {
        let there = partitions(&[("books", 0), ("books", 1), ("books", 2), ("books", 3)]);
        for number in 1..=2 {
            let share = Share::parse(&format!("{number}/2")).unwrap();
            let own = there.iter().filter(|partition| share.takes(partition));
            let mut assigned: BTreeMap<Partition, i64> = own.map(|partition| (partition.clone(), 0)).collect();
            assert_eq!(assigned.len(), 2);
            assert!(!partitions_added(&there, share, &assigned).unwrap());
            assigned.pop_last();
            assert!(partitions_added(&there, share, &assigned).unwrap());
        }
    }

    #[test]
    fn keys_and_headers_fill_a_chunk_too() {
        let full = Full { messages: 3, bytes: 8 };
        let mut messages = Messages::default();
        assert!(!full.holds(&messages));
        let headers = [("h", Some(b"v".as_slice()))];
        messages.push(0, 0, None, Some(b"k"), None, headers.into_iter());
        assert!(full.holds(&messages), "{}", messages.bytes());
        let mut messages = Messages::default();
        (0..3).for_each(|offset| messages.push(0, offset, None, None, None, std::iter::empty()));
        assert!(full.holds(&messages));
    }
}
