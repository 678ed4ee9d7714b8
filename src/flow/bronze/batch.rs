//! The offsets a batch covers, and the law that each of them is accounted for.
//!
//! Gaps are summed where they are met, never computed as what is missing, so a message lost between here and
//! the commit breaks the law instead of hiding in it.

use crate::error::{Error, Result};
use crate::kafka::Message;
use crate::partition::{Partition, Step};
use serde::Serialize;
use std::collections::BTreeMap;

/// Consecutive messages of all partitions of a stream.
pub(super) struct Batch {
    pub messages: Vec<Message>,
    pub steps: BTreeMap<Partition, Step>,
    gaps: BTreeMap<Partition, u64>,
    pub bytes: usize,
}

impl Batch {
    /// An empty batch that goes on from `positions`.
    pub fn starting_at(positions: &BTreeMap<Partition, i64>) -> Batch {
        let steps = positions.iter().map(|(partition, at)| (partition.clone(), Step { from: *at, to: *at })).collect();
        Batch { messages: Vec::new(), steps, gaps: BTreeMap::new(), bytes: 0 }
    }

    /// Takes the next message of its partition.
    pub fn push(&mut self, message: Message) -> Result<()> {
        let (partition, offset) = (&message.partition, message.offset);
        let Some(step) = self.steps.get(partition) else {
            return Err(Error::internal(format!("received a message of {partition}, which is not assigned")));
        };
        if offset < step.to {
            return Err(Error::unavailable(format!("{partition} went back from offset {} to {offset}", step.to)).hint(
                "the broker lost its end, as after an unclean leader election; look at the topic before going on",
            ));
        }
        self.bytes += size(&message);
        self.pass(&message.partition, offset);
        self.cover(&message.partition, offset + 1);
        self.messages.push(message);
        Ok(())
    }

    /// Moves each partition to where its consumer stands, past offsets that hold no message.
    pub fn reach(&mut self, positions: &BTreeMap<Partition, i64>) {
        for (partition, position) in positions {
            self.pass(partition, *position);
            self.cover(partition, *position);
        }
    }

    fn pass(&mut self, partition: &Partition, to: i64) {
        let Some(step) = self.steps.get(partition) else { return };
        if to > step.to {
            *self.gaps.entry(partition.clone()).or_default() += (to - step.to) as u64;
        }
    }

    fn cover(&mut self, partition: &Partition, to: i64) {
        if let Some(step) = self.steps.get_mut(partition) {
            step.to = step.to.max(to);
        }
    }

    pub fn moved(&self) -> bool {
        self.steps.values().any(|step| step.to > step.from)
    }

    /// Where the next batch begins.
    pub fn ends(&self) -> BTreeMap<Partition, i64> {
        self.steps.iter().map(|(partition, step)| (partition.clone(), step.to)).collect()
    }

    /// Counts of each partition with only the gaps filled in.
    pub fn open_counts(&self) -> BTreeMap<i32, Counts> {
        let gaps = |partition| self.gaps.get(partition).copied().unwrap_or(0);
        self.steps
            .keys()
            .map(|partition| (partition.number, Counts { gaps: gaps(partition), ..Counts::default() }))
            .collect()
    }
}

/// The bytes of a message that memory is bounded by.
pub(super) fn size(message: &Message) -> usize {
    let headers =
        message.headers.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, |value| value.len()));
    let length = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(0, |bytes| bytes.len());
    length(&message.payload) + length(&message.key) + headers.sum::<usize>()
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
    fn total(&self) -> u64 {
        self.rows + self.rejects + self.duplicates + self.tombstones + self.filtered + self.gaps
    }
}

/// The conservation law; an error names the partition and both sides.
pub(super) fn check_conservation(steps: &BTreeMap<Partition, Step>, counts: &BTreeMap<i32, Counts>) -> Result<()> {
    for (partition, step) in steps {
        let counts = counts.get(&partition.number).copied().unwrap_or_default();
        if i64::try_from(counts.total()) != Ok(step.to - step.from) {
            let Step { from, to } = step;
            return Err(Error::internal(format!("offsets {from}..{to} of {partition} do not add up: {counts:?}"))
                .hint("nothing was committed; please report this"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: i32, offset: i64) -> Message {
        Message {
            partition: Partition::new("t", number),
            offset,
            timestamp_ms: None,
            key: None,
            payload: Some("{}".into()),
            headers: vec![],
        }
    }

    fn positions(at: &[i64]) -> BTreeMap<Partition, i64> {
        at.iter().enumerate().map(|(number, at)| (Partition::new("t", number as i32), *at)).collect()
    }

    #[test]
    fn gaps_are_met_between_messages_and_behind_the_last() {
        let mut batch = Batch::starting_at(&positions(&[5, 0]));
        batch.push(message(0, 7)).unwrap();
        batch.push(message(0, 8)).unwrap();
        batch.reach(&positions(&[12, 0]));
        batch.reach(&positions(&[11, 0]));
        assert_eq!(batch.ends(), positions(&[12, 0]));
        assert_eq!(batch.open_counts()[&0].gaps, 2 + 3);
        assert_eq!(batch.open_counts()[&1].gaps, 0);
        assert_eq!(batch.bytes, 4);
    }

    #[test]
    fn only_assigned_partitions_in_rising_order_are_taken() {
        let mut batch = Batch::starting_at(&positions(&[5]));
        assert!(!batch.moved());
        assert!(batch.push(message(1, 0)).is_err());
        assert!(batch.push(message(0, 4)).is_err());
        batch.push(message(0, 5)).unwrap();
        assert!(batch.push(message(0, 5)).is_err());
        assert!(batch.moved());
    }

    #[test]
    fn the_law_refuses_a_lost_and_a_doubled_message() {
        let mut batch = Batch::starting_at(&positions(&[0]));
        batch.push(message(0, 0)).unwrap();
        batch.push(message(0, 3)).unwrap();
        for (rows, good) in [(1, false), (2, true), (3, false)] {
            let mut counts = batch.open_counts();
            counts.entry(0).or_default().rows = rows;
            assert_eq!(check_conservation(&batch.steps, &counts).is_ok(), good, "{rows}");
        }
    }
}
