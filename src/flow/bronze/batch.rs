//! The offsets a batch covers, and the law that each of them is accounted for.
//!
//! Gaps are summed where they are met, never computed as what is missing, so a message lost between here and
//! the commit breaks the law instead of hiding in it.

use crate::error::{Error, Result};
use crate::kafka::{Messages, Tip};
use crate::partition::{Partition, Step};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Consecutive offsets of all partitions that are read, and what became of the messages there.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    partitions: Arc<[Partition]>,
    /// By slot, as `partitions`.
    parts: Vec<Part>,
    pub messages: usize,
    /// Payload, key and header bytes.
    pub bytes: usize,
}

/// The offsets of one partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub step: Step,
    pub counts: Counts,
    /// The last message that was taken.
    pub tip: Option<Tip>,
    /// Its timestamp, in milliseconds since 1970.
    pub newest_ms: Option<i64>,
}

impl Batch {
    /// An empty batch that goes on from `positions`, the ones that were assigned.
    pub fn starting_at(positions: &BTreeMap<Partition, i64>) -> Batch {
        let part = |at: &i64| Part {
            step: Step { from: *at, to: *at },
            counts: Counts::default(),
            tip: None,
            newest_ms: None,
        };
        let (partitions, parts) = (positions.keys().cloned().collect(), positions.values().map(part).collect());
        Batch { partitions, parts, messages: 0, bytes: 0 }
    }

    /// The partitions by slot.
    pub fn partitions(&self) -> Arc<[Partition]> {
        self.partitions.clone()
    }

    /// Covers the next messages of their partitions.
    pub fn take(&mut self, messages: &Messages) -> Result<()> {
        let mut last = BTreeMap::new();
        for (index, message) in messages.iter().enumerate() {
            let (slot, offset) = (message.slot, message.offset);
            let Some(part) = self.parts.get_mut(slot) else {
                return Err(Error::internal(format!("received a message of slot {slot}, which is not assigned")));
            };
            if offset < part.step.to {
                let (to, partition) = (part.step.to, &self.partitions[slot]);
                return Err(Error::unavailable(format!("{partition} went back from offset {to} to {offset}")).hint(
                    "the broker lost its end, as after an unclean leader election; look at the topic before going on",
                ));
            }
            part.pass(offset);
            part.step.to = offset + 1;
            last.insert(slot, index);
        }
        for (slot, index) in last {
            let message = messages.get(index);
            let part = &mut self.parts[slot];
            (part.tip, part.newest_ms) = (Some(Tip::of(&message)), message.timestamp_ms);
        }
        self.messages += messages.len();
        self.bytes += messages.bytes();
        Ok(())
    }

    /// Moves each partition to where its consumer stands, past offsets that hold no message.
    pub fn reach(&mut self, positions: &BTreeMap<Partition, i64>) {
        for (partition, position) in positions {
            if let Some(slot) = self.slot(partition) {
                self.parts[slot].pass(*position);
            }
        }
    }

    /// Adds what became of messages that were taken.
    pub fn count(&mut self, slot: usize, add: impl FnOnce(&mut Counts)) {
        if let Some(part) = self.parts.get_mut(slot) {
            add(&mut part.counts);
        }
    }

    pub fn moved(&self) -> bool {
        self.parts.iter().any(|part| part.step.to > part.step.from)
    }

    /// Where the next batch begins.
    pub fn ends(&self) -> BTreeMap<Partition, i64> {
        self.parts().map(|(partition, part)| (partition.clone(), part.step.to)).collect()
    }

    /// True when every partition of `targets` stands at its target or beyond.
    pub fn reached(&self, targets: &BTreeMap<Partition, i64>) -> bool {
        let there = |(partition, target): (&Partition, &i64)| {
            self.slot(partition).is_none_or(|slot| self.parts[slot].step.to >= *target)
        };
        targets.iter().all(there)
    }

    pub fn parts(&self) -> impl Iterator<Item = (&Partition, &Part)> {
        self.partitions.iter().zip(&self.parts)
    }

    /// The conservation law; an error names the partition and both sides.
    pub fn check_conservation(&self) -> Result<()> {
        for (partition, Part { step: Step { from, to }, counts, .. }) in self.parts() {
            if i64::try_from(counts.total()) != Ok(to - from) {
                return Err(Error::internal(format!("offsets {from}..{to} of {partition} do not add up: {counts:?}"))
                    .hint("nothing was committed; please report this"));
            }
        }
        Ok(())
    }

    fn slot(&self, partition: &Partition) -> Option<usize> {
        self.partitions.binary_search(partition).ok()
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
    /// Of another kind than the stream takes, or dropped by its SQL.
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
        Batch::starting_at(&positions(at))
    }

    fn positions(at: &[i64]) -> BTreeMap<Partition, i64> {
        at.iter().enumerate().map(|(number, at)| (Partition::new("t", number as i32), *at)).collect()
    }

    fn messages(places: &[(usize, i64)]) -> Messages {
        let mut messages = Messages::default();
        for (slot, offset) in places {
            messages.push(*slot, *offset, None, None, Some(b"{}"), std::iter::empty());
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
        let gaps: Vec<u64> = batch.parts().map(|(_, part)| part.counts.gaps).collect();
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
