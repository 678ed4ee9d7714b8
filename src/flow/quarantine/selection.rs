//! Which quarantined records are meant.

use super::record::Record;
use crate::flow::reasons;

/// Records that meet every condition that is set; all when none is.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    pub partition: Option<Partitions>,
    pub offset: Option<i64>,
    /// Part of the reason, or of its kind as `list` shows it.
    pub reason: Option<String>,
    /// Taken in before this time, in microseconds since 1970.
    pub before: Option<i64>,
}

/// A partition of one topic, or of every topic when there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partitions {
    pub topic: Option<String>,
    pub number: i32,
}

impl Selection {
    pub fn holds(&self, record: &Record<'_>) -> bool {
        let place = &record.place;
        let here = |wanted: &Partitions| {
            wanted.number == place.partition && wanted.topic.as_ref().is_none_or(|topic| *topic == place.topic)
        };
        self.partition.as_ref().is_none_or(here)
            && self.offset.is_none_or(|offset| offset == place.offset)
            && self.before.is_none_or(|before| record.ingested_at.is_some_and(|at| at < before))
            && self.reason.as_ref().is_none_or(|text| says(record.reason, text))
    }
}

fn says(reason: &str, text: &str) -> bool {
    reason.contains(text) || reasons::kind(reason).contains(text)
}
