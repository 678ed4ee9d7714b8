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
    by_partition: HashMap<i32, HashMap<String, Mark>>,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    stored: Option<i64>,
    highest: Option<i64>,
}

/// A mark that the batch has moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MovedMark {
    pub partition: i32,
    pub source: String,
    pub stored: Option<i64>,
    pub highest: i64,
}

impl Marks {
    /// Partitions and sources of these messages whose marks have to be read first.
    pub fn unknown(&self, messages: &Messages) -> BTreeSet<(i32, String)> {
        let mut unknown = BTreeSet::new();
        for message in messages.iter().filter(|message| !message.headers.is_empty()) {
            let Some(source) = message.headers.text(HEADER_SOURCE) else { continue };
            if self.mark(message.partition, source).is_none() {
                unknown.insert((message.partition, source.to_string()));
            }
        }
        unknown
    }

    pub fn learn(&mut self, partition: i32, source: String, stored: Option<i64>) {
        self.by_partition.entry(partition).or_default().insert(source, Mark { stored, highest: stored });
    }

    /// True, and the mark moves, when the row is above it; false for a row seen before.
    pub fn admit(&mut self, partition: i32, identity: &Identity<'_>) -> Result<bool> {
        let mark = self.by_partition.get_mut(&partition).and_then(|sources| sources.get_mut(identity.source));
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
        let all = self.by_partition.iter().flat_map(|(number, sources)| sources.iter().map(move |each| (number, each)));
        all.filter(|(_, (_, mark))| mark.highest != mark.stored)
            .filter_map(|(partition, (source, mark))| {
                let (partition, source, stored) = (*partition, source.clone(), mark.stored);
                Some(MovedMark { partition, source, stored, highest: mark.highest? })
            })
            .collect()
    }

    /// What was moved is stored now.
    pub fn committed(&mut self) {
        for mark in self.by_partition.values_mut().flat_map(HashMap::values_mut) {
            mark.stored = mark.highest;
        }
    }

    fn mark(&self, partition: i32, source: &str) -> Option<&Mark> {
        self.by_partition.get(&partition)?.get(source)
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
        for (partition, row, expected) in table {
            assert_eq!(marks.admit(partition, &Identity { source: "a", row }).unwrap(), expected, "{partition} {row}");
        }
        let mut moved = marks.moved();
        moved.sort_by_key(|mark| mark.partition);
        assert_eq!(
            moved,
            [
                MovedMark { partition: 0, source: "a".into(), stored: Some(5), highest: 9 },
                MovedMark { partition: 1, source: "a".into(), stored: None, highest: 1 },
            ]
        );
        marks.committed();
        assert_eq!(marks.moved(), []);
        assert!(marks.admit(0, &Identity { source: "b", row: 1 }).is_err());
    }
}
