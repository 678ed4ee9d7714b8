//! The commits of a Bronze table add up: each partition's offset ranges join without gap or overlap and end
//! at the stored position, what each commit says became of its records sums up to its range, and the table
//! holds as many rows and rejects as the commits say, each offset once.

use super::{Difference, EXAMPLES, Remedy};
use crate::engine::Engine;
use crate::error::{Context, Kind, Result};
use crate::flow::bronze::{OFFSET, PARTITION, QUARANTINED, Stream, TOPIC, position_app};
use crate::flow::rows;
use crate::ident::quote;
use crate::partition::Partition;
use crate::table::{CommitInfo, Table};
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    pub differences: Vec<Difference>,
}

/// What a commit says of one partition.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Range {
    from: i64,
    to: i64,
    rows: u64,
    rejects: u64,
    duplicates: u64,
    tombstones: u64,
    filtered: u64,
    gaps: u64,
}

impl Range {
    fn accounted(&self) -> u64 {
        self.rows + self.rejects + self.duplicates + self.tombstones + self.filtered + self.gaps
    }
}

pub async fn prove(stream: &Stream, table: &Table, engine: &Engine) -> Result<Offsets> {
    let mut proof = Offsets { table: stream.table.to_string(), ..Offsets::default() };
    let history = table.history(usize::MAX).await?;
    let reached = walk(&mut proof, history.iter().rev())?;
    for (partition, to) in &reached {
        let stored = table.txn(&position_app(partition)).await?;
        if stored != Some(*to) {
            let stored = stored.map_or("nothing".into(), |at| at.to_string());
            proof.differ(format!("{partition}: the commits end at {to}, the stored position is {stored}"));
        }
    }
    let whole = history.last().is_some_and(|oldest| oldest.version == 0);
    compare_table(&mut proof, stream, table, engine, whole).await?;
    Ok(proof)
}

/// Goes through the commits, oldest first; yields where each partition ends.
fn walk<'a>(proof: &mut Offsets, commits: impl Iterator<Item = &'a CommitInfo>) -> Result<BTreeMap<Partition, i64>> {
    let mut reached: BTreeMap<Partition, i64> = BTreeMap::new();
    for commit in commits {
        let Some(said) = commit.info.get("partitions") else { continue };
        let ranges: BTreeMap<String, Range> = Deserialize::deserialize(said).context(Kind::Input, || {
            format!("read what commit {} of `{}` says of its offsets", commit.version, proof.table)
        })?;
        proof.commits += 1;
        for (name, range) in ranges {
            let Some(partition) = parse(&name) else {
                proof.differ(format!("commit {}: `{name}` is no partition", commit.version));
                continue;
            };
            let expected = *reached.get(&partition).unwrap_or(&range.from);
            if expected != range.from {
                let (version, from) = (commit.version, range.from);
                proof.differ(format!("{partition}: commit {version} begins at {from}, not at {expected}"));
            }
            proof.add(&partition, commit.version, &range);
            reached.insert(partition, range.to);
        }
    }
    Ok(reached)
}

impl Offsets {
    fn differ(&mut self, text: String) {
        self.differences.push(Difference::new(Remedy::Reread, text));
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
    }
}

/// The rows that stand in the table against the sums; only possible while no commit was cleaned away.
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
        let reached = walk(&mut proof, commits.iter()).unwrap();
        (proof, reached.get(&Partition::new("t", 0)).copied())
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
