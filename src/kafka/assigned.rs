//! The partitions a consumer reads, and how far it has read each.
//!
//! A partition has a slot: its place in the list of those assigned, in their order. Messages carry the slot alone, so
//! a name is compared only where partitions of several topics share a number.

use crate::partition::Partition;
use rdkafka::message::{BorrowedMessage, Message as _};
use std::collections::HashMap;

#[derive(Debug, Default)]
pub(super) struct Assigned {
    partitions: Vec<Partition>,
    cursors: Vec<Cursor>,
    /// Slots of the partitions of a number, one of each topic that has it.
    numbered: HashMap<i32, Vec<usize>>,
}

#[derive(Debug, Clone, Copy)]
struct Cursor {
    /// Where reading began.
    from: i64,
    next: Option<i64>,
    /// High watermark when it was assigned.
    end: i64,
}

impl Assigned {
    /// The next partition in order, to be read from an offset; `end` is its high watermark.
    pub fn push(&mut self, partition: &Partition, from: i64, end: i64) {
        self.numbered.entry(partition.number).or_default().push(self.partitions.len());
        self.partitions.push(partition.clone());
        self.cursors.push(Cursor { from, next: None, end });
    }

    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// Names of the topics in order, each once.
    pub fn topics(&self) -> Vec<&str> {
        let mut topics: Vec<&str> = self.partitions.iter().map(|partition| partition.topic.as_str()).collect();
        topics.dedup();
        topics
    }

    /// Slots of the partitions of this number.
    pub fn numbered(&self, number: i32) -> &[usize] {
        self.numbered.get(&number).map_or(&[], Vec::as_slice)
    }

    pub fn slot_of(&self, message: &BorrowedMessage<'_>) -> Option<usize> {
        match self.numbered(message.partition()) {
            [only] => Some(*only),
            several => {
                let topic = message.topic();
                several.iter().copied().find(|slot| self.partitions[*slot].topic == topic)
            }
        }
    }

    /// The message at this offset was delivered.
    pub fn advance(&mut self, slot: usize, offset: i64) {
        self.cursors[slot].next = Some(offset + 1);
    }

    /// Everything up to the end known at assignment was delivered. Only that end is sure to have been reached: the
    /// sign may be older than any later look at the watermark.
    pub fn reach_end(&mut self, slot: usize) {
        let cursor = &mut self.cursors[slot];
        cursor.next = Some(cursor.next.map_or(cursor.end, |next| next.max(cursor.end)));
    }

    /// The partition and its next offset, when the end known at assignment lies behind that.
    pub fn before_end(&self, slot: usize) -> Option<(Partition, i64)> {
        let Cursor { from, next, end } = self.cursors[slot];
        let next = next.unwrap_or(from);
        (next < end).then(|| (self.partitions[slot].clone(), next))
    }

    /// The next offset that would be delivered; `None` before anything was, or when the partition is not assigned.
    pub fn position(&self, partition: &Partition) -> Option<i64> {
        self.slot(partition).and_then(|slot| self.cursors[slot].next)
    }

    pub fn slot(&self, partition: &Partition) -> Option<usize> {
        self.partitions.binary_search(partition).ok()
    }
}
