//! Where a run goes on: which rows of a file the topic holds, whether the file still says the same in them,
//! and which partition each row belongs to. Pure but for reading the file.

use crate::error::{Error, Result};
use crate::flow::count::{counted, grouped};
use crate::kafka::partitioner::partition_of;
use crate::kafka::tail::{Last, Tail};
use crate::source::{LastRow, Source};
use std::collections::BTreeMap;

/// One file's rows and the topic: what is there, and the rule for what is to come.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    id: String,
    generation: u32,
    /// Over which its rows are spread.
    partitions: u32,
    /// Partition of rows that no key puts elsewhere.
    home: i32,
    last: BTreeMap<i32, Last>,
}

impl Plan {
    /// A file known to the topic keeps its partitions, even when the topic (`standing`: how many it has) has been
    /// given more since: rows sent again must meet their first copies.
    pub fn new(id: &str, tail: Option<Tail>, keyed: bool, standing: i32) -> Result<Plan> {
        let standing = u32::try_from(standing).unwrap_or(1).max(1);
        let Some(Tail { generation, last }) = tail else {
            let partitions = if keyed { standing } else { 1 };
            let home = partition_of(id.as_bytes(), standing);
            return Ok(Plan { id: id.to_string(), generation: 1, partitions, home, last: BTreeMap::new() });
        };
        let newest = last.iter().max_by_key(|(_, last)| last.position.row);
        let (partition, partitions) = newest.map_or((0, 1), |(partition, last)| (*partition, last.position.partitions));
        if partitions > standing {
            return Err(Error::input(format!(
                "rows of `{id}` were spread over {partitions} partitions, {standing} are left"
            ))
            .hint("give the topic its partitions back"));
        }
        let home = if partitions == 1 { partition } else { partition_of(id.as_bytes(), partitions) };
        Ok(Plan { id: id.to_string(), generation, partitions, home, last })
    }

    /// The same file once more as a source nobody has seen, in the same partitions.
    pub fn next_generation(self) -> Plan {
        Plan { generation: self.generation + 1, last: BTreeMap::new(), ..self }
    }

    /// The value of the `lake-source` header.
    pub fn source(&self) -> String {
        match self.generation {
            1 => self.id.clone(),
            generation => format!("{}#{generation}", self.id),
        }
    }

    pub fn partitions(&self) -> u32 {
        self.partitions
    }

    pub fn partition(&self, key: Option<&[u8]>) -> i32 {
        match key {
            Some(key) if self.partitions > 1 => partition_of(key, self.partitions),
            _ => self.home,
        }
    }

    /// Whether the topic holds the row, given the partition it belongs to.
    pub fn holds(&self, partition: i32, row: u64) -> bool {
        self.last.get(&partition).is_some_and(|last| row <= last.position.row)
    }

    /// The highest row the topic holds; 0 when it holds none.
    pub fn highest(&self) -> u64 {
        self.last.values().map(|last| last.position.row).max().unwrap_or(0)
    }
}

/// What became of the rows that were sent.
pub(super) enum Verified {
    /// They are as they were. `rows` of them were read; `complete`: none up to there is missing in the topic.
    Same {
        rows: u64,
        complete: bool,
    },
    Changed(Change),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Something up to this row is not what was sent. `last`: it is the last row sent, and might only have
    /// grown.
    Edited {
        row: u64,
        last: Option<LastRow>,
    },
    /// The row's line was incomplete when it was sent; everything before it is as it was.
    Torn {
        row: u64,
    },
    Shorter {
        rows: u64,
        sent: u64,
    },
    /// The columns of the key are others now: rows would change partitions.
    Rekeyed,
}

impl Change {
    pub fn error(&self, file: &str) -> Error {
        let remedy = "or send it as another source with `--as-new`";
        match self {
            Change::Edited { row, .. } => {
                Error::input(format!("rows already sent of `{file}` were changed, at or before row {row}"))
                    .hint(format!("restore them (`lake verify` finds the first that Bronze holds), {remedy}"))
            }
            Change::Torn { row } => Error::input(format!(
                "row {row} of `{file}` was sent while its line was incomplete, and has grown since"
            ))
            .hint(format!(
                "end the line where it ended then and write the whole row below it, {remedy}; whoever writes \
                         the file must add whole lines"
            )),
            Change::Shorter { rows, sent } => Error::input(format!(
                "rows already sent of `{file}` are gone: it has {}, {} were sent",
                counted(*rows, "row"),
                grouped(*sent)
            ))
            .hint(format!("restore them, {remedy}")),
            Change::Rekeyed => Error::config(format!("rows of `{file}` were sent with another key"))
                .hint(format!("restore the source's `key`, {remedy}")),
        }
    }
}

/// Reads the file up to the highest row sent and compares the digests, which cover everything before them.
/// Leaves `rows` right behind that row. `keep_on` is asked for each row.
pub(super) fn verify(rows: &mut dyn Source, plan: &Plan, keep_on: &dyn Fn() -> Result<()>) -> Result<Verified> {
    let marks: BTreeMap<u64, &Last> = plan.last.values().map(|last| (last.position.row, last)).collect();
    let sent = plan.highest();
    let (mut read, mut complete) = (0, true);
    let mut before = None;
    while read < sent {
        keep_on()?;
        let Some(record) = rows.next()? else {
            return Ok(Verified::Changed(Change::Shorter { rows: read, sent }));
        };
        read = record.position.row;
        complete &= plan.holds(plan.partition(record.key.as_deref()), read);
        let digest = record.position.digest;
        let preceding = before.replace(digest);
        let Some(last) = marks.get(&read) else {
            continue;
        };
        if last.position.digest != digest {
            let last_row = LastRow { preceding, sent: last.position.digest, now: digest };
            return Ok(Verified::Changed(Change::Edited { row: read, last: (read == sent).then_some(last_row) }));
        }
        if plan.partitions > 1 && last.key != record.key {
            return Ok(Verified::Changed(Change::Rekeyed));
        }
    }
    Ok(Verified::Same { rows: read, complete })
}
