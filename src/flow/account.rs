//! What the commits of a Bronze table say became of their offsets, and the sum of what cleaned-away commits said.
//!
//! A commit of `lake bronze` has one [`Range`] per partition under `partitions` in its `commitInfo`. A commit that takes
//! records out of quarantine says under `resolved` what became of them ([`Resolved`]), which moves them from one side of
//! the sum to another and never changes it. Both say under `declared` how the stream was declared. Before `lake maintain`
//! deletes old commits it adds them up and puts the sum, [`Carried`], into a commit of its own: the conservation law is
//! provable over the whole history although most of it is gone.

use crate::error::{Context, Error, Kind, Result};
use crate::table::CommitInfo;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

const PARTITIONS: &str = "partitions";
pub const CARRIED: &str = "carried";
pub const RESOLVED: &str = "resolved";
pub const DECLARED: &str = "declared";
/// Stands for a declaration of which a commit says nothing.
const UNKNOWN: &str = "";

/// The offsets `from..to` of one partition, and what became of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    pub from: i64,
    pub to: i64,
    pub rows: u64,
    pub rejects: u64,
    pub duplicates: u64,
    pub tombstones: u64,
    pub filtered: u64,
    pub gaps: u64,
    /// Deleted from quarantine on purpose.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What became of records of one partition that were in quarantine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    pub rows: u64,
    pub filtered: u64,
    pub dropped: u64,
}

impl Resolved {
    /// So many rejects fewer there are.
    pub fn records(&self) -> u64 {
        self.rows + self.filtered + self.dropped
    }

    pub fn add(&mut self, more: &Resolved) {
        self.rows += more.rows;
        self.filtered += more.filtered;
        self.dropped += more.dropped;
    }
}

impl Range {
    pub fn accounted(&self) -> u64 {
        let Range { rows, rejects, duplicates, tombstones, filtered, gaps, dropped, .. } = self;
        rows + rejects + duplicates + tombstones + filtered + gaps + dropped
    }

    /// False, and nothing changes, when there are not as many rejects.
    pub fn resolve(&mut self, resolved: &Resolved) -> bool {
        let Some(left) = self.rejects.checked_sub(resolved.records()) else { return false };
        self.rejects = left;
        self.rows += resolved.rows;
        self.filtered += resolved.filtered;
        self.dropped += resolved.dropped;
        true
    }

    fn join(&mut self, next: &Range) {
        self.to = next.to;
        self.rows += next.rows;
        self.rejects += next.rejects;
        self.duplicates += next.duplicates;
        self.tombstones += next.tombstones;
        self.filtered += next.filtered;
        self.gaps += next.gaps;
        self.dropped += next.dropped;
    }
}

/// `topic/number` -> range, as a commit says it; `None` when it is no commit of `lake bronze`.
pub fn ranges(commit: &CommitInfo, table: &str) -> Result<Option<BTreeMap<String, Range>>> {
    read(commit, PARTITIONS, || format!("read what commit {} of `{table}` says of its offsets", commit.version))
}

/// `topic/number` -> what became of its quarantined records, as a commit says it; `None` when it touched none.
pub fn resolved(commit: &CommitInfo, table: &str) -> Result<Option<BTreeMap<String, Resolved>>> {
    read(commit, RESOLVED, || format!("read what commit {} of `{table}` says of its quarantine", commit.version))
}

/// How the stream was declared, as its [fingerprint](crate::flow::bronze::Stream::fingerprint), when a commit made rows or
/// rejects of records; `None` when it made none.
pub fn declared(commit: &CommitInfo, table: &str) -> Result<Option<String>> {
    let came = ranges(commit, table)?.unwrap_or_default().into_values().any(|range| range.rows + range.rejects > 0);
    let moved = resolved(commit, table)?.unwrap_or_default().into_values().any(|resolved| resolved.rows > 0);
    let said = commit.info.get(DECLARED).and_then(|said| said.as_str()).unwrap_or(UNKNOWN);
    Ok((came || moved).then(|| said.to_string()))
}

/// The sum of all commits from the first to `through`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    pub through: i64,
    /// Of these, how many moved offsets.
    pub commits: u64,
    /// By `topic/number`.
    pub partitions: BTreeMap<String, Range>,
    /// Each of [`declared`]; older sums do not say.
    #[serde(default = "unknown")]
    pub declared: BTreeSet<String>,
}

fn unknown() -> BTreeSet<String> {
    BTreeSet::from([UNKNOWN.to_string()])
}

impl Carried {
    /// The sum of no commit.
    pub fn nothing() -> Carried {
        Carried { through: -1, commits: 0, partitions: BTreeMap::new(), declared: BTreeSet::new() }
    }

    /// What a commit carries, if it does.
    pub fn of(commit: &CommitInfo, table: &str) -> Result<Option<Carried>> {
        read(commit, CARRIED, || format!("read what commit {} of `{table}` carries of older ones", commit.version))
    }

    /// Adds the commit after `through`. Kind Input when its offsets do not follow those before: a sum would hide it.
    pub fn add(&mut self, commit: &CommitInfo, table: &str) -> Result<()> {
        for (name, range) in ranges(commit, table)?.unwrap_or_default() {
            let start = Range { from: range.from, to: range.from, ..Range::default() };
            let standing = self.partitions.entry(name.clone()).or_insert(start);
            if standing.to != range.from || range.to.abs_diff(range.from) != range.accounted() {
                return Err(contradiction("offsets", &name, commit, table));
            }
            standing.join(&range);
        }
        for (name, resolved) in resolved(commit, table)?.unwrap_or_default() {
            if !self.partitions.get_mut(&name).is_some_and(|standing| standing.resolve(&resolved)) {
                return Err(contradiction("quarantined records", &name, commit, table));
            }
        }
        self.declared.extend(declared(commit, table)?);
        self.commits += u64::from(commit.info.contains_key(PARTITIONS));
        self.through = commit.version;
        Ok(())
    }
}

fn contradiction(what: &str, partition: &str, commit: &CommitInfo, table: &str) -> Error {
    Error::input(format!("the {what} of {partition} in commit {} of `{table}` do not add up", commit.version))
        .hint("`lake verify` tells more; the log is kept as it is until then")
}

fn read<T: DeserializeOwned>(commit: &CommitInfo, key: &str, attempt: impl Fn() -> String) -> Result<Option<T>> {
    commit.info.get(key).map(|said| T::deserialize(said).context(Kind::Input, attempt)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn commit(version: i64, from: i64, to: i64, rejects: u64) -> CommitInfo {
        let rows = (to - from) as u64 - rejects;
        let range = Range { from, to, rows, rejects, ..Range::default() };
        let info = serde_json::Map::from_iter([(PARTITIONS.to_string(), json!({"t/0": range}))]);
        CommitInfo { version, info, ..CommitInfo::default() }
    }

    #[test]
    fn commits_add_up_and_survive_being_carried() {
        let mut carried = Carried::nothing();
        for commit in [
            CommitInfo::default(),
            commit(1, 5, 9, 1),
            CommitInfo { version: 2, ..CommitInfo::default() },
            commit(3, 9, 10, 0),
        ] {
            carried.add(&commit, "bronze.x").unwrap();
        }
        let sum = Range { from: 5, to: 10, rows: 4, rejects: 1, ..Range::default() };
        assert_eq!((carried.through, carried.commits, carried.partitions["t/0"]), (3, 2, sum));
        let info = serde_json::Map::from_iter([(CARRIED.to_string(), json!(carried))]);
        let carrying = CommitInfo { version: 4, info, ..CommitInfo::default() };
        assert_eq!(Carried::of(&carrying, "bronze.x").unwrap(), Some(carried));
        assert_eq!(Carried::of(&CommitInfo::default(), "bronze.x").unwrap(), None);
    }

    fn resolving(version: i64, resolved: Resolved) -> CommitInfo {
        let info = serde_json::Map::from_iter([(RESOLVED.to_string(), json!({"t/0": resolved}))]);
        CommitInfo { version, info, ..CommitInfo::default() }
    }

    #[test]
    fn what_leaves_quarantine_changes_sides_and_no_sum() {
        let mut carried = Carried::nothing();
        carried.add(&commit(1, 0, 9, 6), "bronze.x").unwrap();
        carried.add(&resolving(2, Resolved { rows: 2, filtered: 1, dropped: 0 }), "bronze.x").unwrap();
        carried.add(&resolving(3, Resolved { dropped: 2, ..Resolved::default() }), "bronze.x").unwrap();
        let sum = Range { to: 9, rows: 5, rejects: 1, filtered: 1, dropped: 2, ..Range::default() };
        assert_eq!((carried.partitions["t/0"], sum.accounted(), carried.commits), (sum, 9, 1));
        carried.add(&commit(4, 9, 10, 0), "bronze.x").unwrap();
        assert_eq!(carried.partitions["t/0"].dropped, 2);
        let error = carried.add(&resolving(5, Resolved { rows: 2, ..Resolved::default() }), "bronze.x").unwrap_err();
        assert_eq!(error.to_string(), "the quarantined records of t/0 in commit 5 of `bronze.x` do not add up");
    }

    #[test]
    fn what_does_not_add_up_is_not_summed() {
        let mut carried = Carried::nothing();
        carried.add(&commit(1, 0, 4, 0), "bronze.x").unwrap();
        for wrong in [commit(2, 5, 6, 0), commit(2, 3, 6, 0)] {
            let error = carried.clone().add(&wrong, "bronze.x").unwrap_err();
            assert_eq!(error.kind(), Kind::Input);
        }
        let mut lost = commit(2, 4, 6, 0);
        lost.info[PARTITIONS]["t/0"]["rows"] = json!(1);
        assert!(carried.add(&lost, "bronze.x").is_err());
    }
}
