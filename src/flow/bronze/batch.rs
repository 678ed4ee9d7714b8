//! The offsets a batch covers, and the law that each of them is accounted for.
//!
//! Gaps are summed where they are met, never computed as what is missing, so a message lost between here and
//! the commit breaks the law instead of hiding in it.

use crate::error::{Error, Result};
use crate::kafka::{Messages, Tip};
use crate::partition::{Partition, Step};
use serde::Serialize;
use std::collections::BTreeMap;

/// Consecutive offsets of all partitions of a topic, and what became of the messages there.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    topic: String,
    parts: BTreeMap<i32, Part>,
    pub messages: usize,
    /// Payload, key and header bytes.
    pub bytes: usize,
}

#[derive(Debug, Clone, Copy)]
struct Part {
    step: Step,
    counts: Counts,
    /// The last message that was taken.
    tip: Option<Tip>,
    /// Its timestamp, in milliseconds since 1970.
    newest_ms: Option<i64>,
}

impl Batch {
    /// An empty batch that goes on from `positions`.
    pub fn starting_at(topic: &str, positions: &BTreeMap<Partition, i64>) -> Batch {
        let part =
            |at: i64| Part { step: Step { from: at, to: at }, counts: Counts::default(), tip: None, newest_ms: None };
        let parts = positions.iter().map(|(partition, at)| (partition.number, part(*at))).collect();
        Batch { topic: topic.to_string(), parts, messages: 0, bytes: 0 }
    }

    /// Covers the next messages of their partitions.
    pub fn take(&mut self, messages: &Messages) -> Result<()> {
        let mut last = BTreeMap::new();
        for (index, message) in messages.iter().enumerate() {
            let (number, offset) = (message.partition, message.offset);
            let Some(part) = self.parts.get_mut(&number) else {
                let partition = self.named(number);
                return Err(Error::internal(format!("received a message of {partition}, which is not assigned")));
            };
            if offset < part.step.to {
                let (to, partition) = (part.step.to, self.named(number));
                return Err(Error::unavailable(format!("{partition} went back from offset {to} to {offset}")).hint(
                    "the broker lost its end, as after an unclean leader election; look at the topic before going on",
                ));
            }
            part.pass(offset);
            part.step.to = offset + 1;
            last.insert(number, index);
        }
        for (number, index) in last {
            let message = messages.get(index);
            let (tip, newest_ms) = (Some(Tip::of(&message)), message.timestamp_ms);
            self.parts.entry(number).and_modify(|part| (part.tip, part.newest_ms) = (tip, newest_ms));
        }
        self.messages += messages.len();
        self.bytes += messages.bytes();
        Ok(())
    }

    /// Moves each partition to where its consumer stands, past offsets that hold no message.
    pub fn reach(&mut self, positions: &BTreeMap<Partition, i64>) {
        for (partition, position) in positions {
            if let Some(part) = self.parts.get_mut(&partition.number) {
                part.pass(*position);
            }
        }
    }

    /// Adds what became of messages that were taken.
    pub fn count(&mut self, number: i32, add: impl FnOnce(&mut Counts)) {
        if let Some(part) = self.parts.get_mut(&number) {
            add(&mut part.counts);
        }
    }

    pub fn moved(&self) -> bool {
        self.parts.values().any(|part| part.step.to > part.step.from)
    }

    /// Where the next batch begins.
    pub fn ends(&self) -> BTreeMap<Partition, i64> {
        self.parts.iter().map(|(number, part)| (self.named(*number), part.step.to)).collect()
    }

    /// True when every partition of `targets` stands at its target or beyond.
    pub fn reached(&self, targets: &BTreeMap<Partition, i64>) -> bool {
        let there = |(partition, target): (&Partition, &i64)| {
            self.parts.get(&partition.number).is_none_or(|part| part.step.to >= *target)
        };
        targets.iter().all(there)
    }

    pub fn parts(&self) -> impl Iterator<Item = (Partition, Step, Counts)> {
        self.parts.iter().map(|(number, part)| (self.named(*number), part.step, part.counts))
    }

    /// The last message of a partition; `None` when the batch has none.
    pub fn tip(&self, partition: &Partition) -> Option<Tip> {
        self.parts.get(&partition.number)?.tip
    }

    /// The timestamp of the last message of a partition; `None` when the batch has none, or it has none.
    pub fn newest_ms(&self, partition: &Partition) -> Option<i64> {
        self.parts.get(&partition.number)?.newest_ms
    }

    /// The conservation law; an error names the partition and both sides.
    pub fn check_conservation(&self) -> Result<()> {
        for (partition, Step { from, to }, counts) in self.parts() {
            if i64::try_from(counts.total()) != Ok(to - from) {
                return Err(Error::internal(format!("offsets {from}..{to} of {partition} do not add up: {counts:?}"))
                    .hint("nothing was committed; please report this"));
            }
        }
        Ok(())
    }

    fn named(&self, number: i32) -> Partition {
        Partition::new(&self.topic, number)
    }
}

impl Part {
    /// Moves on over offsets without a message.
    fn pass(&mut self, to: i64) {
        if to > self.step.to {
            self.counts.gaps += (to - self.step.to) as u64;
            self.step.to = to;
        }
    }
}

/// What became of the offsets of one partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    /// In the table and good.
    pub rows: u64,
    /// In the table and quarantined.
    pub rejects: u64,
    /// Seen before: their source's row is at or below the mark.
    pub duplicates: u64,
    /// Messages without a payload.
    pub tombstones: u64,
    /// Dropped by the stream's SQL.
    pub filtered: u64,
    /// Offsets without a message: compacted away, aborted, or a transaction's own marker.
    pub gaps: u64,
}

impl Counts {
    pub fn add(&mut self, more: &Counts) {
        self.rows += more.rows;
        self.rejects += more.rejects;
        self.duplicates += more.duplicates;
        self.tombstones += more.tombstones;
        self.filtered += more.filtered;
        self.gaps += more.gaps;
    }

    /// Records, whatever became of them.
    pub fn records(&self) -> u64 {
        self.total() - self.gaps
    }

    fn total(&self) -> u64 {
        self.rows + self.rejects + self.duplicates + self.tombstones + self.filtered + self.gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(at: &[i64]) -> Batch {
        Batch::starting_at("t", &positions(at))
    }

    fn positions(at: &[i64]) -> BTreeMap<Partition, i64> {
        at.iter().enumerate().map(|(number, at)| (Partition::new("t", number as i32), *at)).collect()
    }

    fn messages(places: &[(i32, i64)]) -> Messages {
        let mut messages = Messages::default();
        for (number, offset) in places {
            messages.push(*number, *offset, None, None, Some(b"{}"), std::iter::empty());
        }
        messages
    }

    #[test]
    fn gaps_are_met_between_messages_and_behind_the_last() {
        let mut batch = batch(&[5, 0]);
        batch.take(&messages(&[(0, 7), (0, 8)])).unwrap();
        batch.reach(&positions(&[12, 0]));
        batch.reach(&positions(&[11, 0]));
        assert_eq!(batch.ends(), positions(&[12, 0]));
        let gaps: Vec<u64> = batch.parts().map(|(_, _, counts)| counts.gaps).collect();
        assert_eq!((gaps, batch.bytes, batch.messages), (vec![2 + 3, 0], 4, 2));
        assert!(batch.reached(&positions(&[12])) && !batch.reached(&positions(&[12, 1])));
    }

    #[test]
    fn only_assigned_partitions_in_rising_order_are_taken() {
        let mut batch = batch(&[5]);
        assert!(!batch.moved());
        assert!(batch.take(&messages(&[(1, 0)])).is_err());
        assert!(batch.take(&messages(&[(0, 4)])).is_err());
        batch.take(&messages(&[(0, 5)])).unwrap();
        assert!(batch.take(&messages(&[(0, 5)])).is_err());
        assert!(batch.moved());
    }

    #[test]
    fn the_law_refuses_a_lost_and_a_doubled_message() {
        let mut batch = batch(&[0]);
        batch.take(&messages(&[(0, 0), (0, 3)])).unwrap();
        for (rows, good) in [(1, false), (2, true), (3, false)] {
            batch.count(0, |counts| counts.rows = rows);
            assert_eq!(batch.check_conservation().is_ok(), good, "{rows}");
        }
    }
}
