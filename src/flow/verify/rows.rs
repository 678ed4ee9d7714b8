//! Every row of each declared file is in Bronze, good or quarantined, exactly once.
//!
//! The files are read again from their start ([`held`]); a row is recognised by file and row number, and that it is as it
//! was sent by the digest in its position, which covers everything up to it. What a stream's own SQL dropped, and what was
//! deleted from quarantine on purpose, is known by number only, so that many rows may be missing; but none behind the
//! last row of the file that the table has a mark of. Which sendings of a file there are is asked of [`sendings`].

use super::held::{self, Held, Stretch};
use super::offsets::OfTopic;
use super::sendings::Sendings;
use super::{Difference, EXAMPLES, Remedy};
use crate::engine::{Engine, Session};
use crate::error::{Kind, Result};
use crate::flow::bronze::{Stream, source_app};
use crate::flow::count::{counted, grouped};
use crate::partition::Partition;
use crate::source::{self, Input, SourceConfig};
use crate::table::Table;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;

/// The proof of one topic's declared files.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Rows {
    pub sources: Vec<String>,
    pub table: String,
    pub files: u64,
    /// Rows in the files, bad ones included.
    pub file_rows: u64,
    /// Of these, found among the good rows.
    pub good: u64,
    /// Of these, found in the quarantine.
    pub quarantined: u64,
    /// Dropped by the stream's SQL, as its commits say.
    pub filtered: u64,
    /// Deleted from quarantine on purpose, as its commits say.
    pub dropped: u64,
    pub missing: u64,
    /// Of these, behind every row that was ever taken in, so that nothing can have left them out.
    pub unread: u64,
    pub doubled: u64,
    /// In Bronze under a row number the file does not have.
    pub unknown: u64,
    /// In Bronze from before their file was sent as new.
    pub superseded: u64,
    pub differences: Vec<Difference>,
}

pub async fn prove(
    project: &Path,
    sources: &[&SourceConfig],
    (stream, topic): (&Stream, &str),
    table: Option<&Table>,
    read: &OfTopic,
    engine: &Engine,
) -> Result<Rows> {
    let mut proof = Rows {
        sources: sources.iter().map(|source| source.name.clone()).collect(),
        table: stream.table.to_string(),
        filtered: read.filtered,
        dropped: read.dropped,
        ..Rows::default()
    };
    let session = engine.session();
    if let Some(table) = table {
        session.register(&stream.table, table.provider().await?)?;
    }
    let mut sendings = match table {
        Some(_) => Sendings::read(&session, stream, topic).await?,
        None => Sendings::default(),
    };
    let mut lost = Lost::default();
    let mut compared = BTreeSet::new();
    for source in sources {
        let Some(inputs) = proof.readable(source::inputs(source, project))? else { continue };
        // What one entry has sent to the topic, another one finds there.
        for input in inputs.into_iter().filter(|input| compared.insert(input.id.clone())) {
            let (newest, superseded) = sendings.take(&input.id);
            proof.superseded += superseded;
            let passed = match (&newest, table) {
                (Some(id), Some(table)) => passed(table, topic, read, id).await?,
                _ => 0,
            };
            let sending = Sending { session: &session, stream, topic, id: newest.as_deref(), passed };
            let Some(tally) = proof.readable(sending.compare(input.clone(), source).await)? else { continue };
            lost.add(proof.add(&input, tally));
        }
    }
    for (file, rows) in sendings.gone(project) {
        let text = format!("`{file}` is gone: of its {} in the table nothing is proven", counted(rows, "row"));
        proof.differences.push(Difference::new(Remedy::PutBack, text));
    }
    proof.judge(lost);
    Ok(proof)
}

impl Rows {
    /// A file that is missing or cannot be read is a difference, and ends no other proof.
    fn readable<T>(&mut self, read: Result<T>) -> Result<Option<T>> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(error) if matches!(error.kind(), Kind::Config | Kind::Input) => {
                self.differences.push(Difference::new(Remedy::PutBack, error.in_one_line()));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Rows that are in neither place, and that cannot have been left out: what was has no names.
    pub fn lost(&self) -> u64 {
        (self.missing - self.unread).saturating_sub(self.filtered + self.dropped) + self.unread
    }

    fn judge(&mut self, lost: Lost) {
        if self.lost() == 0 {
            return;
        }
        let left_out = match self.missing - self.lost() {
            0 => String::new(),
            records => format!(", beside {} left out by the stream or dropped from quarantine", grouped(records)),
        };
        let others = std::mem::take(&mut self.differences);
        let are = if self.lost() == 1 { "is" } else { "are" };
        let text = format!("{} {are} missing{left_out}", counted(self.lost(), "row"));
        self.differences.push(Difference::new(Remedy::Run, text));
        self.differences.extend(lost.unread);
        if self.lost() > self.unread {
            self.differences.extend(lost.among);
        }
        self.differences.extend(others);
    }

    /// Answers the missing rows, which need not be a difference.
    fn add(&mut self, input: &Input, tally: Tally) -> Lost {
        self.files += 1;
        self.file_rows += tally.rows;
        self.good += tally.good;
        self.quarantined += tally.quarantined;
        self.missing += tally.unread.count + tally.among.count;
        self.unread += tally.unread.count;
        self.doubled += tally.doubled.count;
        self.unknown += tally.unknown.count;
        let file = &input.id;
        if let Some(row) = tally.changed {
            let text = format!("rows of `{file}` at or before row {row} were changed after they were sent");
            self.differences.push(Difference::new(Remedy::Restore, text));
        }
        let examples = |named: Named, remedy: Remedy, what: &str| -> Vec<Difference> {
            let texts = named.first.into_iter().map(|row| format!("{file} row {row} {what}"));
            texts.map(|text| Difference::new(remedy, text)).collect()
        };
        self.differences.extend(examples(tally.doubled, Remedy::Reread, "is in the table more than once"));
        self.differences.extend(examples(
            tally.unknown,
            Remedy::Restore,
            "is in the table, and the file ends before it",
        ));
        let neither = "is neither in the table nor in its quarantine";
        Lost {
            unread: examples(tally.unread, Remedy::Run, neither),
            among: examples(tally.among, Remedy::Run, neither),
        }
    }
}

/// One sending of a file, in the table.
struct Sending<'a> {
    session: &'a Session,
    stream: &'a Stream,
    topic: &'a str,
    /// `None`: nothing of it is there.
    id: Option<&'a str>,
    /// The last row that was taken in, wherever it went.
    passed: u64,
}

impl Sending<'_> {
    async fn compare(&self, input: Input, source: &SourceConfig) -> Result<Tally> {
        let mut stretches = held::read(input, source.clone());
        let mut tally = Tally::default();
        while let Some(stretch) = stretches.recv().await {
            let stretch = stretch?;
            let held = match self.id {
                Some(id) => stretch.find(self.session, (self.stream, self.topic), id).await?,
                None => stretch.missing(),
            };
            tally.add(&stretch, held, self.passed);
        }
        Ok(tally)
    }
}

/// What became of the rows of one file.
#[derive(Debug, Default)]
struct Tally {
    rows: u64,
    good: u64,
    quarantined: u64,
    /// Missing, behind every row that was taken in.
    unread: Named,
    /// Missing among those that were.
    among: Named,
    doubled: Named,
    unknown: Named,
    /// The first row that is not as it was sent.
    changed: Option<u64>,
}

/// Numbers of rows, counted, and the first of them.
#[derive(Debug, Default)]
struct Named {
    count: u64,
    first: Vec<u64>,
}

impl Named {
    fn add(&mut self, row: u64) {
        self.count += 1;
        if self.first.len() < EXAMPLES {
            self.first.push(row);
        }
    }
}

impl Tally {
    fn add(&mut self, stretch: &Stretch, held: Held, passed: u64) {
        for (row, found) in (stretch.before + 1..).zip(&held.found) {
            self.rows += 1;
            self.good += u64::from(found.good > 0);
            self.quarantined += u64::from(found.good == 0 && found.quarantined > 0);
            match found.times() {
                0 if row > passed => self.unread.add(row),
                0 => self.among.add(row),
                1 => {}
                _ => self.doubled.add(row),
            }
        }
        self.changed = self.changed.or(held.changed);
        if held.beyond > 0 {
            self.unknown = Named { count: held.beyond, first: held.beyond_first.into_iter().collect() };
        }
    }
}

/// The first missing rows of each file.
#[derive(Default)]
struct Lost {
    unread: Vec<Difference>,
    /// Among rows that were taken in; they need not be a difference.
    among: Vec<Difference>,
}

impl Lost {
    fn add(&mut self, more: Lost) {
        self.unread.extend(more.unread);
        self.among.extend(more.among);
    }
}

/// The last row of a sending that the table has taken from any partition, by its marks.
async fn passed(table: &Table, topic: &str, read: &OfTopic, id: &str) -> Result<u64> {
    let mut highest = 0;
    for number in &read.partitions {
        let mark = table.txn(&source_app(&Partition::new(topic, *number), id)).await?;
        highest = highest.max(mark.unwrap_or(0));
    }
    Ok(u64::try_from(highest).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::super::held::Found;
    use super::*;
    use crate::source::Format;

    fn compared(rows: usize, filtered: u64, found: &[(u8, u8)]) -> Rows {
        compared_up_to(rows as u64, rows, filtered, found)
    }

    /// `found` of each row of a file of `rows`, and of those behind its end.
    fn compared_up_to(passed: u64, rows: usize, filtered: u64, found: &[(u8, u8)]) -> Rows {
        let input = Input { id: "data/a.csv".into(), path: "a.csv".into(), format: Format::Csv };
        let mut found: Vec<Found> =
            found.iter().map(|(good, quarantined)| Found { good: *good, quarantined: *quarantined }).collect();
        let beyond_first: BTreeSet<u64> = (rows as u64 + 1..=found.len() as u64).collect();
        found.resize(rows, Found::default());
        let mut tally = Tally::default();
        let beyond = beyond_first.len() as u64;
        tally.add(&Stretch::default(), Held { found, changed: None, beyond, beyond_first }, passed);
        let mut proof = Rows { filtered, ..Rows::default() };
        let lost = proof.add(&input, tally);
        proof.judge(lost);
        proof
    }

    #[test]
    fn each_row_once_holds() {
        let proof = compared(3, 0, &[(1, 0), (0, 1), (1, 0)]);
        assert_eq!((proof.file_rows, proof.good, proof.quarantined, proof.missing), (3, 2, 1, 0));
        assert!(proof.differences.is_empty());
    }

    #[test]
    fn lost_doubled_and_unknown_rows_are_named() {
        let proof = compared(3, 0, &[(1, 0), (1, 1), (0, 0), (1, 0)]);
        assert_eq!((proof.missing, proof.doubled, proof.unknown), (1, 1, 1));
        assert_eq!(
            proof.differences,
            [
                "1 row is missing",
                "data/a.csv row 3 is neither in the table nor in its quarantine",
                "data/a.csv row 2 is in the table more than once",
                "data/a.csv row 4 is in the table, and the file ends before it",
            ]
        );
    }

    #[test]
    fn a_table_that_does_not_exist_misses_every_row() {
        let proof = compared(7, 0, &[]);
        assert_eq!((proof.missing, proof.differences.len()), (7, 1 + EXAMPLES));
    }

    #[test]
    fn rows_the_sql_dropped_are_no_loss_and_hide_no_other_difference() {
        let proof = compared(3, 1, &[(1, 0), (0, 0), (2, 0)]);
        assert_eq!((proof.missing, proof.doubled), (1, 1));
        assert_eq!(proof.differences, ["data/a.csv row 3 is in the table more than once"]);
        let proof = compared(2, 1, &[]);
        assert_eq!(
            proof.differences[0],
            "1 row is missing, beside 1 left out by the stream or dropped from quarantine"
        );
        assert_eq!(proof.differences.len(), 3);
    }

    #[test]
    fn rows_behind_the_last_that_was_taken_in_were_never_left_out() {
        let proof = compared_up_to(3, 5, 9, &[(1, 0), (0, 0), (1, 0)]);
        assert_eq!((proof.missing, proof.unread, proof.lost()), (3, 2, 2));
        assert_eq!(
            proof.differences,
            [
                "2 rows are missing, beside 1 left out by the stream or dropped from quarantine",
                "data/a.csv row 4 is neither in the table nor in its quarantine",
                "data/a.csv row 5 is neither in the table nor in its quarantine",
            ]
        );
    }
}
