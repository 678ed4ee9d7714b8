//! What tells a topic from another one of the same name: the record that was read last.
//!
//! An offset alone says nothing once a topic that was deleted and made again has grown past it. So a reader keeps a
//! tip beside its position: 48 bits of a hash of the last record it read, and how far below the position that lies.
//! Before it goes on it has [`Consumer::tips`] look at the one record there, a fetch per partition.
//!
//! A tip says nothing when its record is gone, by retention or compaction, or lies [`FAR`] or more below the position,
//! behind that many offsets without a record.

use super::{CONNECT_TIMEOUT, Consumer, Message, Messages};
use crate::error::Result;
use crate::partition::Partition;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const HASH_BITS: u32 = 48;
/// Distances below it have 15 bits, so that both together are no negative number.
const FAR: i64 = 1 << 15;
/// The number of a tip that lies too far below its position.
const NONE: i64 = -1;
const POLL: Duration = Duration::from_millis(100);

/// Which record lies at an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    pub offset: i64,
    hash: i64,
}

impl Tip {
    /// By offset, time, key and payload.
    pub fn of(message: &Message<'_>) -> Tip {
        let mut hash = Sha256::new();
        hash.update(message.offset.to_be_bytes());
        hash.update(message.timestamp_ms.unwrap_or(-1).to_be_bytes());
        for part in [message.key, message.payload] {
            hash.update(part.map_or(-1, |bytes| bytes.len() as i64).to_be_bytes());
            hash.update(part.unwrap_or_default());
        }
        let hash: [u8; 32] = hash.finalize().into();
        let [a, b, c, d, e, f, ..] = hash;
        Tip { offset: message.offset, hash: i64::from_be_bytes([0, 0, a, b, c, d, e, f]) }
    }

    /// One number to be stored beside the position, the offset to read next.
    pub fn number(self, position: i64) -> i64 {
        match position - self.offset {
            distance @ 1..FAR => distance << HASH_BITS | self.hash,
            _ => NONE,
        }
    }

    /// The tip of a number stored beside the position; `None` when it lay too far below.
    pub fn stored(number: i64, position: i64) -> Option<Tip> {
        let (distance, hash) = (number >> HASH_BITS, number & ((1 << HASH_BITS) - 1));
        (distance > 0).then(|| Tip { offset: position - distance, hash })
    }
}

impl Consumer {
    /// The records at these offsets, of partitions that hold later ones or end behind them; without those that are
    /// gone. Replaces the assignment. Blocking.
    pub fn tips(&mut self, offsets: &BTreeMap<Partition, i64>) -> Result<BTreeMap<Partition, Tip>> {
        self.assign(offsets)?;
        let wanted: Vec<(&Partition, &i64)> = offsets.iter().collect();
        let (mut open, mut found) = (offsets.clone(), BTreeMap::new());
        let mut heard = Instant::now();
        while !open.is_empty() {
            let mut messages = Messages::default();
            self.fill(&mut messages, |messages| !messages.is_empty(), POLL)?;
            for message in messages.iter() {
                let (partition, at) = wanted[message.slot];
                if *at == message.offset {
                    found.insert(partition.clone(), Tip::of(&message));
                }
                heard = Instant::now();
            }
            let mut passed = Vec::new();
            for (partition, at) in &open {
                if self.position(partition).is_some_and(|next| next > *at) {
                    passed.push(partition.clone());
                }
            }
            open.retain(|partition, _| !passed.contains(partition));
            self.pause(&passed)?;
            if heard.elapsed() > CONNECT_TIMEOUT {
                return Err(self.silent("look at the records read last", CONNECT_TIMEOUT));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tip(offset: i64, timestamp_ms: Option<i64>, key: Option<&[u8]>, payload: Option<&[u8]>) -> Tip {
        let mut messages = Messages::default();
        messages.push(0, offset, timestamp_ms, key, payload, std::iter::empty());
        Tip::of(&messages.get(0))
    }

    #[test]
    fn every_part_of_a_record_counts() {
        let (k, v) = (Some(b"k".as_slice()), Some(b"v".as_slice()));
        let all = [
            tip(7, Some(1), k, v),
            tip(8, Some(1), k, v),
            tip(7, Some(2), k, v),
            tip(7, None, k, v),
            tip(7, Some(1), None, v),
            tip(7, Some(1), v, k),
            tip(7, Some(1), k, None),
            tip(7, Some(1), Some(b"kv"), Some(b"")),
        ];
        let hashes: std::collections::BTreeSet<i64> = all.iter().map(|tip| tip.hash).collect();
        assert_eq!(hashes.len(), all.len());
        assert_eq!(all[0], tip(7, Some(1), k, v));
    }

    #[test]
    fn a_number_gives_the_tip_back_unless_it_lies_too_far_below() {
        let tip = tip(7, None, None, None);
        for position in [8, 9, 7 + FAR - 1] {
            let number = tip.number(position);
            assert!(number > 0);
            assert_eq!(Tip::stored(number, position), Some(tip), "{position}");
        }
        assert_eq!(tip.number(7 + FAR), NONE);
        assert_eq!(Tip::stored(NONE, 7 + FAR), None);
    }
}
