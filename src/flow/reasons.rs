//! Why records were rejected, counted by kind: reasons that differ only in their values are one kind.
//!
//! Holds two examples of each kind, and no more kinds than a person would look through.

use chrono::{DateTime, SecondsFormat};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

/// Kinds told apart; what comes after them is counted together.
const MOST_KINDS: usize = 1000;
const FURTHER: &str = "(further reasons)";

/// Where a record stands in Kafka.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} offset {}", self.topic, self.partition, self.offset)
    }
}

/// The reason with its values left out: a text in quotes becomes `"…"`, a number `N`. Names in backticks stay, for they
/// say which column it is about.
pub fn kind(reason: &str) -> String {
    let mut kind = String::with_capacity(reason.len());
    let mut rest = reason;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '`' => quoted(rest, '`').unwrap_or(1),
            '"' => {
                kind.push_str("\"…\"");
                rest = &rest[quoted(rest, '"').unwrap_or(rest.len())..];
                continue;
            }
            '0'..='9' if !kind.ends_with(|before: char| before.is_alphanumeric() || before == '_') => {
                kind.push('N');
                rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E'));
                continue;
            }
            c => c.len_utf8(),
        };
        kind.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    kind
}

/// Bytes up to and with the closing mark of a text that begins with one; a mark behind `\` closes nothing.
fn quoted(text: &str, mark: char) -> Option<usize> {
    let mut escaped = false;
    let closes = |(_, c): &(usize, char)| {
        let closes = *c == mark && !escaped;
        escaped = *c == '\\' && !escaped;
        closes
    };
    text.char_indices().skip(1).find(closes).map(|(at, c)| at + c.len_utf8())
}

/// A record that was rejected.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Seen {
    /// When Bronze took it in, in microseconds since 1970; RFC 3339 for programs.
    #[serde(serialize_with = "as_text")]
    pub at: Option<i64>,
    #[serde(flatten)]
    pub place: Place,
    /// The whole reason.
    pub reason: String,
}

/// RFC 3339 of microseconds since 1970.
pub fn time(micros: i64) -> Option<String> {
    Some(DateTime::from_timestamp_micros(micros)?.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

fn as_text<S: Serializer>(at: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    at.and_then(time).serialize(serializer)
}

/// How often a kind occurred, and its first and last record by the time they were taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    pub kind: String,
    pub records: u64,
    pub first: Seen,
    pub last: Seen,
}

/// Reasons as they are counted.
#[derive(Debug, Clone, Default)]
pub struct Reasons(BTreeMap<String, Reason>);

impl Reasons {
    pub fn count(&mut self, seen: Seen) {
        let mut kind = kind(&seen.reason);
        if self.0.len() >= MOST_KINDS && !self.0.contains_key(&kind) {
            kind = FURTHER.to_string();
        }
        match self.0.entry(kind) {
            Entry::Vacant(entry) => {
                let kind = entry.key().clone();
                entry.insert(Reason { kind, records: 1, first: seen.clone(), last: seen });
            }
            Entry::Occupied(mut entry) => entry.get_mut().count(seen),
        }
    }

    /// The commonest first.
    pub fn ranked(&self) -> Vec<Reason> {
        let mut all: Vec<Reason> = self.0.values().cloned().collect();
        all.sort_by(|a, b| b.records.cmp(&a.records).then_with(|| a.kind.cmp(&b.kind)));
        all
    }
}

impl Reason {
    fn count(&mut self, seen: Seen) {
        self.records += 1;
        if seen < self.first {
            self.first = seen;
        } else if seen > self.last {
            self.last = seen;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_left_out_and_names_stay() {
        let table = [
            ("column `n`: expected bigint, found \"number 17\"", "column `n`: expected bigint, found \"…\""),
            ("column `n`: expected bigint, found \"a \\\" b\" there", "column `n`: expected bigint, found \"…\" there"),
            ("column `n`: expected bigint, found \"cut off…", "column `n`: expected bigint, found \"…\""),
            ("column `x1`: -1.5e9 is out of range for int", "column `x1`: -N is out of range for int"),
            ("the JSON object ends too early, at byte 29", "the JSON object ends too early, at byte N"),
            ("data/a1.csv:33: 3 cells where the header has 2", "data/a1.csv:N: N cells where the header has N"),
            ("", ""),
            ("é `", "é `"),
        ];
        for (reason, expected) in table {
            assert_eq!(kind(reason), expected, "{reason}");
        }
    }

    #[test]
    fn reasons_are_counted_by_kind_with_their_first_and_last_record() {
        let seen = |at: i64, offset: i64, reason: String| {
            let place = Place { topic: "t".into(), partition: 1, offset };
            Seen { at: Some(at), place, reason }
        };
        let mut reasons = Reasons::default();
        for (at, offset) in [(5, 2), (4, 9), (5, 1)] {
            reasons.count(seen(at, offset, format!("at byte {offset}")));
        }
        reasons.count(seen(0, 0, "empty payload".into()));
        let ranked = reasons.ranked();
        assert_eq!((ranked.len(), ranked[0].kind.as_str(), ranked[0].records), (2, "at byte N", 3));
        assert_eq!((ranked[0].first.place.offset, ranked[0].last.place.to_string()), (9, "t/1 offset 2".into()));
        let shown = serde_json::to_value(&ranked[0].first).unwrap();
        let expected = serde_json::json!({"at": "1970-01-01T00:00:00.000004Z", "topic": "t", "partition": 1, "offset": 9, "reason": "at byte 9"});
        assert_eq!(shown, expected);
        for n in 0..2 * MOST_KINDS {
            reasons.count(seen(0, 0, format!("column `c{n}`")));
        }
        assert_eq!((reasons.ranked().len(), reasons.ranked()[0].kind.as_str()), (MOST_KINDS + 1, FURTHER));
    }
}
