//! Every row of each declared file is in Bronze, good or quarantined, exactly once.
//!
//! The files are read again from their start; a row is recognised by file and row number. What a stream's
//! own SQL dropped is known by number only, so that many rows may be missing.

use super::EXAMPLES;
use crate::engine::{self, Engine, Session};
use crate::error::{Context, Error, Kind, Result};
use crate::flow::bronze::{QUARANTINED, SOURCE, SOURCE_ROW, Stream, TOPIC};
use crate::ident::{literal, quote};
use crate::source::{self, Input, SourceConfig};
use crate::table::Table;
use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int64Type};
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
    pub missing: u64,
    pub doubled: u64,
    /// In Bronze under a row number the file does not have.
    pub unknown: u64,
    pub differences: Vec<String>,
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
    stream: &Stream,
    table: Option<&Table>,
    filtered: u64,
    engine: &Engine,
) -> Result<Rows> {
    let mut proof = Rows {
        sources: sources.iter().map(|source| source.name.clone()).collect(),
        table: stream.table.to_string(),
        filtered,
        ..Rows::default()
    };
    let session = engine.session();
    if let Some(table) = table {
        session.register(&stream.table, table.provider().await?)?;
    }
    let mut lost = Vec::new();
    for source in sources {
        for input in source::inputs(source, project)? {
            let found = match table {
                Some(_) => find(&session, stream, &input.id).await?,
                None => Vec::new(),
            };
            let rows = count(input.clone(), (*source).clone()).await?;
            lost.extend(proof.compare(&input, rows, &found));
        }
    }
    proof.judge(lost);
    Ok(proof)
}

impl Rows {
    /// Rows that are in neither place are a loss when the stream's SQL cannot have dropped them all: what it
    /// dropped has no names.
    fn judge(&mut self, lost: Vec<String>) {
        if self.missing <= self.filtered {
            return;
        }
        let sql = match self.filtered {
            0 => String::new(),
            dropped => format!(", of which the stream's SQL dropped {dropped}"),
        };
        let others = std::mem::take(&mut self.differences);
        self.differences.push(format!("{} rows are missing{sql}", self.missing));
        self.differences.extend(lost);
        self.differences.extend(others);
    }

    /// Answers the missing rows, which need not be a difference. `found` holds row n at index n - 1.
    fn compare(&mut self, input: &Input, rows: u64, found: &[Found]) -> Vec<String> {
        self.files += 1;
        self.file_rows += rows;
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        let (mut lost, mut doubled) = (Vec::new(), Vec::new());
        for index in 0..rows {
            let Found { good, quarantined } = found.get(index).copied().unwrap_or_default();
            self.good += u64::from(good > 0);
            self.quarantined += u64::from(good == 0 && quarantined > 0);
            match found.get(index).map_or(0, Found::times) {
                0 => lost.push(index + 1),
                1 => {}
                _ => doubled.push(index + 1),
            }
        }
        let unknown: Vec<usize> =
            (rows..found.len()).filter(|index| found[*index].times() > 0).map(|index| index + 1).collect();
        self.missing += lost.len() as u64;
        self.doubled += doubled.len() as u64;
        self.unknown += unknown.len() as u64;
        let file = &input.id;
        let examples = |numbers: Vec<usize>, what: &str| -> Vec<String> {
            numbers.iter().take(EXAMPLES).map(|row| format!("{file} row {row} {what}")).collect()
        };
        self.differences.extend(examples(doubled, "is in the table more than once"));
        self.differences.extend(examples(unknown, "is in the table, and the file ends before it"));
        examples(lost, "is neither in the table nor in its quarantine")
    }
}

/// Rows of a file by reading it.
async fn count(input: Input, config: SourceConfig) -> Result<u64> {
    let read = tokio::task::spawn_blocking(move || {
        let mut source = source::open(&input, &config)?;
        let mut rows = 0;
        while source.next()?.is_some() {
            rows += 1;
        }
        Ok(rows)
    });
    read.await.context(Kind::Internal, || "read a source file")?
}

/// Which rows of a file the table holds. A file sent again as new counts by its newest sending.
async fn find(session: &Session, stream: &Stream, id: &str) -> Result<Vec<Found>> {
    let (table, id) = (stream.table.quoted(), newest_sending(session, stream, id).await?);
    let [source, row, topic, quarantined] = [SOURCE, SOURCE_ROW, TOPIC, QUARANTINED].map(quote);
    let sql = format!(
        "select {row}, {quarantined} from {table} where {source} = {} and {topic} = {}",
        literal(&id),
        literal(&stream.topic)
    );
    let mut found: Vec<Found> = Vec::new();
    let mut batches = session.stream(&sql).await?;
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(|error| engine::failed(error, format!("read `{}`", stream.table)))?;
        let quarantined = arrow::compute::cast(batch.column(1), &DataType::Boolean);
        let quarantined = quarantined.context(Kind::Internal, || format!("read `{QUARANTINED}`"))?;
        for (row, quarantined) in batch.column(0).as_primitive::<Int64Type>().iter().zip(quarantined.as_boolean()) {
            let index = row.and_then(|row| usize::try_from(row).ok()?.checked_sub(1));
            let Some(index) = index else {
                return Err(Error::input(format!("`{}` holds a row of `{id}` without a number", stream.table)));
            };
            if found.len() <= index {
                found.resize(index + 1, Found::default());
            }
            let seen = if quarantined == Some(true) { &mut found[index].quarantined } else { &mut found[index].good };
            *seen = seen.saturating_add(1);
        }
    }
    Ok(found)
}

/// `id`, or the highest of `id#2`, `id#3`, ... that the table knows.
async fn newest_sending(session: &Session, stream: &Stream, id: &str) -> Result<String> {
    let prefix = literal(&format!("{id}#"));
    let [source, topic] = [SOURCE, TOPIC].map(quote);
    let sql = format!(
        "select distinct {source} from {} where starts_with({source}, {prefix}) and {topic} = {}",
        stream.table.quoted(),
        literal(&stream.topic)
    );
    let mut newest = None;
    for batch in session.query(&sql).await? {
        let sendings = super::texts(batch.column(0))?;
        let numbers = sendings.iter().filter_map(|text| text.rsplit_once('#')?.1.parse::<u64>().ok());
        newest = newest.max(numbers.max());
    }
    Ok(newest.map_or_else(|| id.to_string(), |number| format!("{id}#{number}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Format;

    fn compared(rows: u64, filtered: u64, found: &[(u8, u8)]) -> Rows {
        let input = Input { id: "data/a.csv".into(), path: "a.csv".into(), format: Format::Csv };
        let found: Vec<Found> =
            found.iter().map(|(good, quarantined)| Found { good: *good, quarantined: *quarantined }).collect();
        let mut proof = Rows { filtered, ..Rows::default() };
        let lost = proof.compare(&input, rows, &found);
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
                "1 rows are missing",
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
        assert_eq!(proof.differences[0], "2 rows are missing, of which the stream's SQL dropped 1");
        assert_eq!(proof.differences.len(), 3);
    }

    #[test]
    fn a_row_found_beyond_counting_is_a_difference_and_no_overflow() {
        let proof = compared(1, 0, &[(255, 255), (255, 1)]);
        assert_eq!((proof.doubled, proof.unknown), (1, 1));
    }
}
