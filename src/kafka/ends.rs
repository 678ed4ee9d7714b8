//! Which partition has been read to its end.
//!
//! An end-of-partition event comes with a partition's number and without its topic. While one partition of that number
//! is assigned that is enough. Among several, those that are before their end are in doubt: a second client, with
//! one topic at a time, looks whether any record lies in between. It matters where the last offsets of a partition
//! hold no record (transactions, compaction), so that no message tells how far reading has come.

use super::{CONNECT_TIMEOUT, Consumer, Messages};
use crate::error::Result;
use crate::partition::Partition;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Least time between two looks.
const LOOK: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_millis(100);
/// Bytes the second client holds: one record of a partition says enough.
const BUFFER_BYTES: usize = 1 << 20;

impl Consumer {
    /// Takes notice that some partition of this number was read to its end.
    pub(super) fn end_of(&mut self, number: i32) {
        self.lost_since = None;
        match self.assigned.numbered(number) {
            [] => {}
            [only] => {
                let only = *only;
                self.assigned.reach_end(only);
            }
            _ => drop(self.doubts.insert(number)),
        }
    }

    /// Resolves what is in doubt, now and then.
    pub(super) fn settle_doubts(&mut self) -> Result<()> {
        if self.doubts.is_empty() || self.asked.is_some_and(|asked| asked.elapsed() < LOOK) {
            return Ok(());
        }
        let mut open: BTreeMap<String, BTreeMap<Partition, i64>> = BTreeMap::new();
        for number in std::mem::take(&mut self.doubts) {
            let slots = self.assigned.numbered(number).iter();
            for (partition, next) in slots.filter_map(|slot| self.assigned.before_end(*slot)) {
                open.entry(partition.topic.clone()).or_default().insert(partition, next);
            }
        }
        for offsets in open.values() {
            let mut second = match self.second.take() {
                Some(second) => second,
                None => Box::new(Consumer::buffering(&self.config, BUFFER_BYTES)?),
            };
            for partition in second.without_records(offsets)? {
                if let Some(slot) = self.assigned.slot(&partition) {
                    self.assigned.reach_end(slot);
                }
            }
            self.second = Some(second);
        }
        self.asked = Some(Instant::now());
        Ok(())
    }

    /// Of these partitions of one topic, those that hold no record from the given offset to their end.
    fn without_records(&mut self, offsets: &BTreeMap<Partition, i64>) -> Result<Vec<Partition>> {
        self.assign(offsets)?;
        let (mut open, mut empty) = (offsets.clone(), Vec::new());
        let started = Instant::now();
        while !open.is_empty() && started.elapsed() < CONNECT_TIMEOUT {
            let mut messages = Messages::default();
            self.fill(&mut messages, |messages| !messages.is_empty(), POLL)?;
            let holding: Vec<usize> = messages.iter().map(|message| message.slot).collect();
            let mut answered = Vec::new();
            for partition in open.keys() {
                let holds = self.assigned.slot(partition).is_some_and(|slot| holding.contains(&slot));
                if !holds && self.position(partition).is_none() {
                    continue;
                }
                if !holds {
                    empty.push(partition.clone());
                }
                answered.push(partition.clone());
            }
            open.retain(|partition, _| !answered.contains(partition));
            self.pause(&answered)?;
        }
        Ok(empty)
    }
}
