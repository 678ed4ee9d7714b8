//! The commits of a Bronze table add up: each partition's offset ranges join without gap or overlap and end
//! at the stored position, what each commit says became of its records sums up to its range, what was taken out of
//! quarantine later was in it, no other program changed rows, and the table holds as many rows and rejects as the
//! commits say, each offset once. What the brokers still hold is accounted for ([`retained`]).

use super::retained::{self, Retained};
use super::{Difference, EXAMPLES, Remedy};
use crate::engine::Engine;
use crate::error::Result;
use crate::flow::account::{self, Carried, Range, Resolved};
use crate::flow::bronze::{OFFSET, PARTITION, QUARANTINED, Stream, TOPIC, position_app};
use crate::flow::rows;
use crate::ident::quote;
use crate::kafka::KafkaConfig;
use crate::partition::Partition;
use crate::table::{CommitInfo, Table};
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What the commits say of one topic.
#[derive(Debug, Clone, Default)]
pub struct OfTopic {
    /// Numbers of the partitions that were read.
    pub partitions: BTreeSet<i32>,
    /// Records that are not in the table on purpose.
    pub filtered: u64,
    pub dropped: u64,
}

/// The proof of one table.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Offsets {
    pub table: String,
    pub commits: u64,
    /// Offsets the commits cover: the sum of what follows.
    pub offsets: u64,
    pub rows: u64,
    pub rejects: u64,
    pub duplicates: u64,
    pub tombstones: u64,
    pub filtered: u64,
    pub gaps: u64,
    /// Deleted from quarantine on purpose.
    pub dropped: u64,
    /// Offsets the brokers still hold.
    pub retained: u64,
    /// Of these, how many are not read.
    pub unread: u64,
    #[serde(skip)]
    pub topics: BTreeMap<String, OfTopic>,
    /// How the stream was declared when rows were taken in, each of [`account::declared`].
    #[serde(skip)]
    pub declared: BTreeSet<String>,
    pub differences: Vec<Difference>,
}

pub async fn prove(stream: &Stream, table: &Table, engine: &Engine, kafka: &KafkaConfig) -> Result<Offsets> {
    let mut proof = Offsets { table: stream.table.to_string(), ..Offsets::default() };
    let history = table.history(usize::MAX).await?;
    let oldest = history.last().map_or(0, |commit| commit.version);
    let carried = carried(&history, oldest, &proof.table)?;
    let whole = oldest == 0 || carried.is_some();
    let reached = walk(&mut proof, carried, whole, history.iter().rev())?;
    for (partition, Reached { to, .. }) in &reached {
        let stored = table.txn(&position_app(partition)).await?;
        if stored != Some(*to) {
            let stored = stored.map_or("nothing".into(), |at| at.to_string());
            proof.differ(format!("{partition}: the commits end at {to}, the stored position is {stored}"));
        }
    }
    compare_table(&mut proof, stream, table, engine, whole).await?;
    let begun = reached.into_iter().filter(|_| whole).map(|(partition, reached)| (partition, reached.from)).collect();
    let Retained { offsets, unread, differences } = retained::prove((stream, table), &begun, kafka).await?;
    (proof.retained, proof.unread) = (offsets, unread);
    proof.differences.extend(differences);
    Ok(proof)
}

/// What the cleaned-away commits before `oldest` added up to.
fn carried(history: &[CommitInfo], oldest: i64, table: &str) -> Result<Option<Carried>> {
    let mut found = None;
    if oldest > 0 {
        for commit in history {
            let carried = Carried::of(commit, table)?.filter(|carried| carried.through >= oldest - 1);
            found = carried.or(found);
        }
    }
    Ok(found)
}

/// How far the commits gone through have come in a partition.
#[derive(Debug, Clone, Copy, Default)]
struct Reached {
    /// Where the first of them begins.
    from: i64,
    to: i64,
    /// In quarantine by then.
    rejects: u64,
}

/// Goes through the commits, oldest first, those left out that `carried` holds; yields where each partition ends.
/// `whole`: they are all there are.
fn walk<'a>(
    proof: &mut Offsets,
    carried: Option<Carried>,
    whole: bool,
    commits: impl Iterator<Item = &'a CommitInfo>,
) -> Result<BTreeMap<Partition, Reached>> {
    let mut reached: BTreeMap<Partition, Reached> = BTreeMap::new();
    let mut done = -1;
    if let Some(Carried { through, commits, partitions, declared }) = carried {
        done = through;
        proof.commits += commits;
        proof.declared = declared;
        proof.follow(&mut reached, through, partitions);
    }
    for commit in commits.filter(|commit| commit.version > done) {
        if commit.changes_rows && !commit.is_ours() {
            let (version, operation) = (commit.version, &commit.operation);
            proof.differ(format!(
                "commit {version} ({operation}) of another program changed rows: what it changed is not proven"
            ));
        }
        proof.declared.extend(account::declared(commit, &proof.table)?);
        if let Some(ranges) = account::ranges(commit, &proof.table)? {
            proof.commits += 1;
            proof.follow(&mut reached, commit.version, ranges);
        }
        // Of what was quarantined before the first commit that is left, nothing is known.
        if let Some(resolved) = account::resolved(commit, &proof.table)?.filter(|_| whole) {
            proof.resolve(&mut reached, commit.version, resolved);
        }
    }
    Ok(reached)
}

impl Offsets {
    fn differ(&mut self, text: String) {
        self.differences.push(Difference::new(Remedy::Reread, text));
    }

    /// Adds what a commit says of each partition and moves on to where it ends.
    fn follow(&mut self, reached: &mut BTreeMap<Partition, Reached>, version: i64, ranges: BTreeMap<String, Range>) {
        for (name, range) in ranges {
            let Some(partition) = parse(&name) else {
                self.differ(format!("commit {version}: `{name}` is no partition"));
                continue;
            };
            let before =
                reached.get(&partition).copied().unwrap_or(Reached { from: range.from, to: range.from, rejects: 0 });
            let (expected, from) = (before.to, range.from);
            if expected != from {
                self.differ(format!("{partition}: commit {version} begins at {from}, not at {expected}"));
            }
            self.add(&partition, version, &range);
            reached.insert(
                partition,
                Reached { from: before.from, to: range.to, rejects: before.rejects + range.rejects },
            );
        }
    }

    /// Moves records out of the rejects.
    fn resolve(
        &mut self,
        reached: &mut BTreeMap<Partition, Reached>,
        version: i64,
        resolved: BTreeMap<String, Resolved>,
    ) {
        for (name, resolved) in resolved {
            let (taken, standing) =
                (resolved.records(), parse(&name).and_then(|partition| reached.get_mut(&partition)));
            let held = standing.as_ref().map_or(0, |standing| standing.rejects);
            let Some(standing) = standing.filter(|standing| standing.rejects >= taken) else {
                self.differ(format!("{name}: commit {version} takes {taken} records out of a quarantine of {held}"));
                continue;
            };
            standing.rejects -= taken;
            if let Some(partition) = parse(&name) {
                self.leave_out(&partition, resolved.filtered, resolved.dropped);
            }
            self.rejects -= taken;
            self.rows += resolved.rows;
            self.filtered += resolved.filtered;
            self.dropped += resolved.dropped;
        }
    }

    fn leave_out(&mut self, partition: &Partition, filtered: u64, dropped: u64) {
        let topic = self.topics.entry(partition.topic.clone()).or_default();
        topic.partitions.insert(partition.number);
        topic.filtered += filtered;
        topic.dropped += dropped;
    }

    fn add(&mut self, partition: &Partition, version: i64, range: &Range) {
        let covered = range.to.abs_diff(range.from);
        if range.to < range.from || covered != range.accounted() {
            let (from, to, accounted) = (range.from, range.to, range.accounted());
            self.differ(format!("{partition}: commit {version} accounts for {accounted} records of {from}..{to}"));
        }
        self.offsets += covered;
        self.rows += range.rows;
        self.rejects += range.rejects;
        self.duplicates += range.duplicates;
        self.tombstones += range.tombstones;
        self.filtered += range.filtered;
        self.gaps += range.gaps;
        self.dropped += range.dropped;
        self.leave_out(partition, range.filtered, range.dropped);
    }
}

/// The rows that stand in the table against the sums; only possible while the commits that were cleaned away, if
/// any, are carried by a later one.
async fn compare_table(
    proof: &mut Offsets,
    stream: &Stream,
    table: &Table,
    engine: &Engine,
    whole: bool,
) -> Result<()> {
    let session = engine.session();
    session.register(&stream.table, table.provider().await?)?;
    let (name, quarantined) = (stream.table.quoted(), quote(QUARANTINED));
    let [topic, partition, offset] = [TOPIC, PARTITION, OFFSET].map(quote);
    let (good, rejects) =
        (count(&session, &name, &format!("not {quarantined}")).await?, count(&session, &name, &quarantined).await?);
    for (what, stands, said) in [("rows", good, proof.rows), ("rejects", rejects, proof.rejects)] {
        if whole && stands != said {
            proof.differ(format!("the table holds {stands} {what}, its commits say {said}"));
        }
    }
    let twice = format!(
        "select concat({topic}, '/', {partition}, ' offset ', {offset}) as place from {name} \
         group by {topic}, {partition}, {offset} having count(*) > 1 limit {EXAMPLES}"
    );
    for batch in session.query(&twice).await? {
        for place in rows::texts(&batch)?.into_iter().flatten().flatten() {
            proof.differ(format!("{place} stands in the table more than once"));
        }
    }
    Ok(())
}

async fn count(session: &crate::engine::Session, table: &str, condition: &str) -> Result<u64> {
    let batches = session.query(&format!("select count(*) from {table} where {condition}")).await?;
    let counts = batches.iter().filter(|batch| batch.num_rows() > 0);
    Ok(counts.map(|batch| batch.column(0).as_primitive::<Int64Type>().value(0).unsigned_abs()).sum())
}

/// `topic/number`
fn parse(name: &str) -> Option<Partition> {
    let (topic, number) = name.rsplit_once('/')?;
    Some(Partition::new(topic, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn commit(version: i64, partitions: serde_json::Value) -> CommitInfo {
        let info = serde_json::Map::from_iter([("partitions".to_string(), partitions)]);
        CommitInfo { version, info, ..CommitInfo::default() }
    }

    fn range(from: i64, to: i64, rows: u64, rejects: u64) -> serde_json::Value {
        json!({"from": from, "to": to, "rows": rows, "rejects": rejects,
               "duplicates": 0, "tombstones": 0, "filtered": 0, "gaps": 0})
    }

    fn walked(commits: &[CommitInfo]) -> (Offsets, Option<i64>) {
        let mut proof = Offsets::default();
        let reached = walk(&mut proof, None, true, commits.iter()).unwrap();
        (proof, reached.get(&Partition::new("t", 0)).map(|reached| reached.to))
    }

    #[test]
    fn joining_ranges_hold() {
        let commits = [
            CommitInfo::default(),
            commit(1, json!({"t/0": range(5, 9, 3, 1), "t/1": range(0, 0, 0, 0)})),
            commit(2, json!({"t/0": range(9, 10, 1, 0)})),
        ];
        let (proof, reached) = walked(&commits);
        assert_eq!((proof.commits, proof.offsets, proof.rows, proof.rejects, reached), (2, 5, 4, 1, Some(10)));
        assert!(proof.differences.is_empty(), "{:?}", proof.differences);
    }

    #[test]
    fn what_was_cleaned_away_counts_as_it_was_carried() {
        let sum = Range { from: 5, to: 9, rows: 4, ..Range::default() };
        let partitions = BTreeMap::from([("t/0".to_string(), sum)]);
        let carried_by = |version, through| {
            let carried = Carried { through, commits: 3, partitions: partitions.clone(), ..Carried::nothing() };
            CommitInfo {
                version,
                info: [("carried".to_string(), json!(carried))].into_iter().collect(),
                ..CommitInfo::default()
            }
        };
        let newest_first = [
            carried_by(9, 6),
            commit(8, json!({"t/0": range(9, 12, 3, 0)})),
            carried_by(7, 2),
            commit(4, json!({"t/0": range(8, 9, 1, 0)})),
        ];
        let found = carried(&newest_first, 4, "bronze.x").unwrap().unwrap();
        assert_eq!(found.through, 6, "what ends before the oldest commit is of no use");
        assert_eq!(carried(&newest_first, 3, "bronze.x").unwrap().unwrap().through, 2);
        assert_eq!(carried(&newest_first, 0, "bronze.x").unwrap(), None);
        let mut proof = Offsets::default();
        let reached = walk(&mut proof, Some(found), true, newest_first.iter().rev()).unwrap();
        assert_eq!((proof.commits, proof.offsets, proof.rows, reached[&Partition::new("t", 0)].to), (4, 7, 7, 12));
        assert!(proof.differences.is_empty(), "{:?}", proof.differences);
    }

    #[test]
    fn what_was_taken_out_of_quarantine_was_in_it() {
        let taking = |version: i64, rows: u64, dropped: u64| {
            let resolved = json!({"t/0": {"rows": rows, "filtered": 1, "dropped": dropped}});
            let info = serde_json::Map::from_iter([("resolved".to_string(), resolved)]);
            CommitInfo { version, info, ..CommitInfo::default() }
        };
        let commits = [commit(0, json!({"t/0": range(0, 9, 3, 6)})), taking(1, 2, 0), taking(2, 0, 2)];
        let (proof, _) = walked(&commits);
        let sums = (proof.rows, proof.rejects, proof.filtered, proof.dropped);
        assert_eq!((sums, proof.offsets, proof.commits), ((5, 0, 2, 2), 9, 1));
        assert!(proof.differences.is_empty(), "{:?}", proof.differences);
        let [first, second, _] = commits;
        let (proof, _) = walked(&[first, second, taking(2, 3, 0)]);
        assert_eq!(proof.differences, ["t/0: commit 2 takes 4 records out of a quarantine of 3"]);
    }

    #[test]
    fn gaps_overlaps_and_wrong_sums_are_named() {
        let table = [
            ([range(0, 4, 4, 0), range(5, 6, 1, 0)], "t/0: commit 1 begins at 5, not at 4"),
            ([range(0, 4, 4, 0), range(3, 6, 3, 0)], "t/0: commit 1 begins at 3, not at 4"),
            ([range(0, 4, 4, 0), range(4, 6, 1, 0)], "t/0: commit 1 accounts for 1 records of 4..6"),
        ];
        for ([first, second], expected) in table {
            let (proof, _) = walked(&[commit(0, json!({"t/0": first})), commit(1, json!({"t/0": second}))]);
            assert_eq!(proof.differences, [expected]);
        }
    }
}
