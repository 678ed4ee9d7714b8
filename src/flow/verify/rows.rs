//! Every row of each declared file is in Bronze, good or quarantined, exactly once.
//!
//! The files are read again from their start; a row is recognised by file and row number, and that it is as it was
//! sent by the digest in its position, which covers everything up to it. What a stream's own SQL dropped, and what was
//! deleted from quarantine on purpose, is known by number only, so that many rows may be missing; but none behind the
//! last row of the file that the table has a mark of. Which sendings of a file there are is asked of [`sendings`].

use super::offsets::OfTopic;
use super::sendings::Sendings;
use super::{Difference, EXAMPLES, Remedy};
use crate::engine::{self, Engine, Session};
use crate::error::{Context, Error, Kind, Result};
use crate::flow::bronze::{HEADERS, QUARANTINED, SOURCE, SOURCE_ROW, Stream, TOPIC, source_app};
use crate::flow::count::{counted, grouped};
use crate::ident::{literal, quote};
use crate::partition::Partition;
use crate::record::{HEADER_POSITION, SourcePosition};
use crate::source::{self, Input, SourceConfig};
use crate::table::Table;
use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int64Type};
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use serde::Serialize;
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

/// How often a row was found, and where; counted no further than 255.
#[derive(Clone, Copy, Default)]
struct Found {
    good: u8,
    quarantined: u8,
}

impl Found {
    fn times(&self) -> u8 {
        self.good.saturating_add(self.quarantined)
    }
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
    for source in sources {
        let Some(inputs) = proof.readable(source::inputs(source, project))? else { continue };
        for input in inputs {
            let (newest, superseded) = sendings.take(&input.id);
            proof.superseded += superseded;
            let Some(digests) = proof.readable(digests(input.clone(), (*source).clone()).await)? else { continue };
            let held = match (&newest, table) {
                (Some(id), Some(table)) => Held {
                    passed: passed(table, topic, read, id).await?,
                    ..find(&session, (stream, topic), id, &digests).await?
                },
                _ => Held::default(),
            };
            lost.add(proof.compare(&input, digests.len(), &held));
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

    /// Answers the missing rows, which need not be a difference. `rows`: those of the file.
    fn compare(&mut self, input: &Input, rows: usize, held: &Held) -> Lost {
        self.files += 1;
        self.file_rows += rows as u64;
        let found = &held.found;
        let (mut unread, mut among, mut doubled) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..rows {
            let Found { good, quarantined } = found.get(index).copied().unwrap_or_default();
            self.good += u64::from(good > 0);
            self.quarantined += u64::from(good == 0 && quarantined > 0);
            match found.get(index).map_or(0, Found::times) {
                0 if index >= held.passed => unread.push(index + 1),
                0 => among.push(index + 1),
                1 => {}
                _ => doubled.push(index + 1),
            }
        }
        let unknown: Vec<usize> =
            (rows..found.len()).filter(|index| found[*index].times() > 0).map(|index| index + 1).collect();
        self.missing += (unread.len() + among.len()) as u64;
        self.unread += unread.len() as u64;
        self.doubled += doubled.len() as u64;
        self.unknown += unknown.len() as u64;
        let file = &input.id;
        if let Some(row) = held.changed {
            let text = format!("rows of `{file}` at or before row {row} were changed after they were sent");
            self.differences.push(Difference::new(Remedy::Restore, text));
        }
        let examples = |numbers: Vec<usize>, remedy: Remedy, what: &str| -> Vec<Difference> {
            let named = numbers.iter().take(EXAMPLES).map(|row| format!("{file} row {row} {what}"));
            named.map(|text| Difference::new(remedy, text)).collect()
        };
        self.differences.extend(examples(doubled, Remedy::Reread, "is in the table more than once"));
        self.differences.extend(examples(unknown, Remedy::Restore, "is in the table, and the file ends before it"));
        let neither = "is neither in the table nor in its quarantine";
        Lost { unread: examples(unread, Remedy::Run, neither), among: examples(among, Remedy::Run, neither) }
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
async fn passed(table: &Table, topic: &str, read: &OfTopic, id: &str) -> Result<usize> {
    let mut highest = 0;
    for number in &read.partitions {
        let mark = table.txn(&source_app(&Partition::new(topic, *number), id)).await?;
        highest = highest.max(mark.unwrap_or(0));
    }
    Ok(usize::try_from(highest).unwrap_or(0))
}

/// The digest of each row of a file, by reading it.
async fn digests(input: Input, config: SourceConfig) -> Result<Vec<u64>> {
    let read = tokio::task::spawn_blocking(move || {
        let mut source = source::open(&input, &config)?;
        let mut digests = Vec::new();
        while let Some(record) = source.next()? {
            digests.push(record.position.digest);
        }
        Ok(digests)
    });
    read.await.context(Kind::Internal, || "read a source file")?
}

/// What the table holds of one sending of a file.
#[derive(Default)]
struct Held {
    /// Row n at index n - 1.
    found: Vec<Found>,
    /// The first row whose digest is not the file's.
    changed: Option<usize>,
    /// The last row that was taken in, wherever it went.
    passed: usize,
}

impl Held {
    fn add(&mut self, index: usize, quarantined: bool, sent: Option<u64>, digests: &[u64]) {
        if self.found.len() <= index {
            self.found.resize(index + 1, Found::default());
        }
        let found = &mut self.found[index];
        let seen = if quarantined { &mut found.quarantined } else { &mut found.good };
        *seen = seen.saturating_add(1);
        if let (Some(sent), Some(now)) = (sent, digests.get(index))
            && sent != *now
        {
            self.changed = Some(self.changed.map_or(index + 1, |first| first.min(index + 1)));
        }
    }

    /// Adds rows of number, quarantined, headers; false when one has no number.
    fn add_all(&mut self, batch: &RecordBatch, digests: &[u64]) -> Result<bool> {
        let cast = |column: usize, to: &DataType| {
            arrow::compute::cast(batch.column(column), to).context(Kind::Internal, || "read rows of Bronze")
        };
        let (rows, quarantined, headers) =
            (cast(0, &DataType::Int64)?, cast(1, &DataType::Boolean)?, cast(2, &DataType::Utf8)?);
        let (quarantined, headers) = (quarantined.as_boolean(), headers.as_string::<i32>());
        for ((row, quarantined), headers) in rows.as_primitive::<Int64Type>().iter().zip(quarantined).zip(headers) {
            let Some(index) = row.and_then(|row| usize::try_from(row).ok()?.checked_sub(1)) else { return Ok(false) };
            self.add(index, quarantined == Some(true), headers.and_then(sent_digest), digests);
        }
        Ok(true)
    }
}

/// The digest in the position among these headers; none in rows that another program sent.
fn sent_digest(headers: &str) -> Option<u64> {
    let headers: serde_json::Value = serde_json::from_str(headers).ok()?;
    Some(SourcePosition::parse(headers.get(HEADER_POSITION)?.as_str()?).ok()?.digest)
}

/// Which rows of a sending the table holds.
async fn find(session: &Session, (stream, topic): (&Stream, &str), id: &str, digests: &[u64]) -> Result<Held> {
    let [source, row, of_topic, quarantined, headers] = [SOURCE, SOURCE_ROW, TOPIC, QUARANTINED, HEADERS].map(quote);
    let sql = format!(
        "select {row}, {quarantined}, {headers} from {} where {source} = {} and {of_topic} = {}",
        stream.table.quoted(),
        literal(id),
        literal(topic)
    );
    let mut held = Held::default();
    let mut batches = session.stream(&sql).await?;
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(|error| engine::failed(error, format!("read `{}`", stream.table)))?;
        if !held.add_all(&batch, digests)? {
            let message = format!("`{}` holds a row of `{id}` without a number", stream.table);
            return Err(Error::input(message).hint(format!(
                "lake numbers every row, so another program wrote it; delete the folder of `{}` and `lake bronze` \
                 reads its topic again",
                stream.table
            )));
        }
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Format;

    fn compared(rows: usize, filtered: u64, found: &[(u8, u8)]) -> Rows {
        compared_up_to(rows, rows, filtered, found)
    }

    fn compared_up_to(passed: usize, rows: usize, filtered: u64, found: &[(u8, u8)]) -> Rows {
        let input = Input { id: "data/a.csv".into(), path: "a.csv".into(), format: Format::Csv };
        let found: Vec<Found> =
            found.iter().map(|(good, quarantined)| Found { good: *good, quarantined: *quarantined }).collect();
        let mut proof = Rows { filtered, ..Rows::default() };
        let lost = proof.compare(&input, rows, &Held { found, changed: None, passed });
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

    #[test]
    fn the_first_row_with_another_digest_is_named() {
        let mut held = Held::default();
        for (index, sent) in [(3, Some(9)), (1, Some(7)), (0, Some(1)), (2, None)] {
            held.add(index, false, sent, &[1, 2, 3]);
        }
        assert_eq!((held.changed, held.found.len()), (Some(2), 4), "row 4 is beyond the file");
        assert_eq!(sent_digest(r#"{"lake-source":"a","lake-position":"5;1;000000000000beef"}"#), Some(0xbeef));
        assert_eq!(sent_digest("{}"), None);
    }

    #[test]
    fn a_row_found_beyond_counting_is_a_difference_and_no_overflow() {
        let proof = compared(1, 0, &[(255, 255), (255, 1)]);
        assert_eq!((proof.doubled, proof.unknown), (1, 1));
    }
}
