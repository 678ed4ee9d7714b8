//! The highest row of each source that Bronze has taken from each partition.
//!
//! A source's rows stand in rising order within a partition, so one number per source and partition tells a
//! replayed record from a new one. The numbers live in the table as `txn` actions; here is what was read of
//! them, moved on by the batch at hand.

use crate::error::{Error, Result};
use crate::kafka::{Message, Messages};
use crate::record::{HEADER_POSITION, HEADER_SOURCE, SourcePosition};
use std::collections::{BTreeSet, HashMap};

#[derive(Debug, Clone, Default)]
pub(super) struct Marks {
    /// By slot of the partition.
    by_slot: HashMap<usize, HashMap<String, Mark>>,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    stored: Option<i64>,
    highest: Option<i64>,
}

/// A mark that the batch has moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MovedMark {
    pub slot: usize,
    pub source: String,
    pub stored: Option<i64>,
    pub highest: i64,
}

impl Marks {
    /// Partitions, by slot, and sources of these messages whose marks have to be read first.
    pub fn unknown(&self, messages: &Messages) -> BTreeSet<(usize, String)> {
        let mut unknown = BTreeSet::new();
        for message in messages.iter().filter(|message| !message.headers.is_empty()) {
            let Some(source) = message.headers.text(HEADER_SOURCE) else { continue };
            if self.mark(message.slot, source).is_none() {
                unknown.insert((message.slot, source.to_string()));
            }
        }
        unknown
    }

    pub fn learn(&mut self, slot: usize, source: String, stored: Option<i64>) {
        self.by_slot.entry(slot).or_default().insert(source, Mark { stored, highest: stored });
    }

    /// True, and the mark moves, when the row is above it; false for a row seen before.
    pub fn admit(&mut self, slot: usize, identity: &Identity<'_>) -> Result<bool> {
        let mark = self.by_slot.get_mut(&slot).and_then(|sources| sources.get_mut(identity.source));
        let Some(mark) = mark else {
            return Err(Error::internal(format!("no mark was read for source `{}`", identity.source)));
        };
        if mark.highest.is_some_and(|highest| identity.row <= highest) {
            return Ok(false);
        }
        mark.highest = Some(identity.row);
        Ok(true)
    }

    pub fn moved(&self) -> Vec<MovedMark> {
        let all = self.by_slot.iter().flat_map(|(slot, sources)| sources.iter().map(move |each| (slot, each)));
        all.filter(|(_, (_, mark))| mark.highest != mark.stored)
            .filter_map(|(slot, (source, mark))| {
                let (slot, source, stored) = (*slot, source.clone(), mark.stored);
                Some(MovedMark { slot, source, stored, highest: mark.highest? })
            })
            .collect()
    }

    /// What was moved is stored now.
    pub fn committed(&mut self) {
        for mark in self.by_slot.values_mut().flat_map(HashMap::values_mut) {
            mark.stored = mark.highest;
        }
    }

    fn mark(&self, slot: usize, source: &str) -> Option<&Mark> {
        self.by_slot.get(&slot)?.get(source)
    }
}

/// The row of a source that a message carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity<'m> {
    pub source: &'m str,
    pub row: i64,
}

/// `None` when the message was not sent by `lake produce`; an error when its position is not readable.
pub(super) fn identity<'m>(message: &Message<'m>) -> Result<Option<Identity<'m>>, String> {
    let headers = message.headers;
    let Some(source) = headers.text(HEADER_SOURCE) else { return Ok(None) };
    let position = headers
        .text(HEADER_POSITION)
        .ok_or_else(|| format!("header `{HEADER_SOURCE}` comes without a readable `{HEADER_POSITION}`"))?;
    let position = SourcePosition::parse(position).map_err(|fault| fault.to_string())?;
    let row =
        i64::try_from(position.row).map_err(|_| format!("row {} of `{HEADER_POSITION}` is too big", position.row))?;
    Ok(Some(Identity { source, row }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_pass_a_mark_once() {
        let mut marks = Marks::default();
        marks.learn(0, "a".into(), Some(5));
        marks.learn(1, "a".into(), None);
        let table =
            [(0, 5, false), (0, 6, true), (0, 6, false), (0, 9, true), (0, 8, false), (1, 1, true), (1, 1, false)];
        for (slot, row, expected) in table {
            assert_eq!(marks.admit(slot, &Identity { source: "a", row }).unwrap(), expected, "{slot} {row}");
        }
        let mut moved = marks.moved();
        moved.sort_by_key(|mark| mark.slot);
        assert_eq!(
            moved,
            [
                MovedMark { slot: 0, source: "a".into(), stored: Some(5), highest: 9 },
                MovedMark { slot: 1, source: "a".into(), stored: None, highest: 1 },
            ]
        );
        marks.committed();
        assert_eq!(marks.moved(), []);
        assert!(marks.admit(0, &Identity { source: "b", row: 1 }).is_err());
    }
}
