//! Which rows of one file the table holds, a stretch of the file at a time: what a file takes in memory does not grow
//! with it (ten bytes for each of [`STRETCH`] rows).

use super::EXAMPLES;
use crate::engine::{self, Session};
use crate::error::{Context, Error, Kind, Result};
use crate::flow::bronze::{HEADERS, QUARANTINED, SOURCE, SOURCE_ROW, Stream, TOPIC};
use crate::ident::{literal, quote};
use crate::record::{HEADER_POSITION, SourcePosition};
use crate::source::{self, Input, SourceConfig};
use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int64Type};
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use std::collections::BTreeSet;
use tokio::sync::mpsc;

/// Rows of a file that are compared at once; the table is read once for each stretch.
const STRETCH: usize = 4 << 20;

/// How often a row was found, and where; counted no further than 255.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    pub good: u8,
    pub quarantined: u8,
}

impl Found {
    pub fn times(&self) -> u8 {
        self.good.saturating_add(self.quarantined)
    }
}

/// Some rows of a file, one after the other.
#[derive(Debug, Default)]
pub struct Stretch {
    /// Rows of the file before these.
    pub before: u64,
    digests: Vec<u64>,
    /// The file ends with these.
    pub is_last: bool,
}

/// What the table holds of a stretch.
#[derive(Debug, Default)]
pub struct Held {
    /// Of each row, in order.
    pub found: Vec<Found>,
    /// Number of the first row whose digest is not the file's.
    pub changed: Option<u64>,
    /// Rows under numbers behind the file's end, and the lowest of these numbers.
    pub beyond: u64,
    pub beyond_first: BTreeSet<u64>,
}

/// Reads a file from its start, a stretch at a time; the last one comes even when it has no row.
pub fn read(input: Input, config: SourceConfig) -> mpsc::Receiver<Result<Stretch>> {
    let (send, stretches) = mpsc::channel(1);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = read_into(&input, &config, STRETCH, |stretch| send.blocking_send(Ok(stretch)).is_ok()) {
            drop(send.blocking_send(Err(error)));
        }
    });
    stretches
}

/// Until `take` is false: nobody asks any more.
fn read_into(input: &Input, config: &SourceConfig, most: usize, mut take: impl FnMut(Stretch) -> bool) -> Result<()> {
    let mut source = source::open(input, config)?;
    let mut stretch = Stretch::default();
    while let Some(record) = source.next()? {
        if stretch.digests.len() == most {
            let next = Stretch { before: stretch.before + most as u64, ..Stretch::default() };
            if !take(std::mem::replace(&mut stretch, next)) {
                return Ok(());
            }
        }
        stretch.digests.push(record.position.digest);
    }
    stretch.is_last = true;
    take(stretch);
    Ok(())
}

impl Stretch {
    pub fn len(&self) -> usize {
        self.digests.len()
    }

    /// Nothing of it.
    pub fn missing(&self) -> Held {
        Held { found: vec![Found::default(); self.len()], ..Held::default() }
    }

    /// What the table holds of it under the name `id`.
    pub async fn find(&self, session: &Session, (stream, topic): (&Stream, &str), id: &str) -> Result<Held> {
        let [source, row, of_topic, quarantined, headers] =
            [SOURCE, SOURCE_ROW, TOPIC, QUARANTINED, HEADERS].map(quote);
        let from = if self.before > 0 { format!("and {row} > {}", self.before) } else { String::new() };
        let to = if self.is_last { String::new() } else { format!("and {row} <= {}", self.before + self.len() as u64) };
        let sql = format!(
            "select {row}, {quarantined}, {headers} from {} where {source} = {} and {of_topic} = {} {from} {to}",
            stream.table.quoted(),
            literal(id),
            literal(topic)
        );
        let mut held = self.missing();
        let mut batches = session.stream(&sql).await?;
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(|error| engine::failed(error, format!("read `{}`", stream.table)))?;
            if !self.add_all(&batch, &mut held)? {
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

    /// Adds rows of number, quarantined, headers; false when one has no number.
    fn add_all(&self, batch: &RecordBatch, held: &mut Held) -> Result<bool> {
        let cast = |column: usize, to: &DataType| {
            arrow::compute::cast(batch.column(column), to).context(Kind::Internal, || "read rows of Bronze")
        };
        let (rows, quarantined, headers) =
            (cast(0, &DataType::Int64)?, cast(1, &DataType::Boolean)?, cast(2, &DataType::Utf8)?);
        let (quarantined, headers) = (quarantined.as_boolean(), headers.as_string::<i32>());
        for ((row, quarantined), headers) in rows.as_primitive::<Int64Type>().iter().zip(quarantined).zip(headers) {
            let Some(row) = row.and_then(|row| u64::try_from(row).ok()).filter(|row| *row > 0) else {
                return Ok(false);
            };
            self.add(row, quarantined == Some(true), headers.and_then(sent_digest), held);
        }
        Ok(true)
    }

    /// Adds row number `row`.
    fn add(&self, row: u64, quarantined: bool, sent: Option<u64>, held: &mut Held) {
        let index = usize::try_from(row - 1 - self.before).unwrap_or(usize::MAX);
        let Some(found) = held.found.get_mut(index) else {
            held.beyond += 1;
            held.beyond_first.insert(row);
            if held.beyond_first.len() > EXAMPLES {
                held.beyond_first.pop_last();
            }
            return;
        };
        let seen = if quarantined { &mut found.quarantined } else { &mut found.good };
        *seen = seen.saturating_add(1);
        if sent.is_some_and(|sent| sent != self.digests[index]) {
            held.changed = Some(held.changed.map_or(row, |first| first.min(row)));
        }
    }
}

/// The digest in the position among these headers; none in rows that another program sent.
pub(super) fn sent_digest(headers: &str) -> Option<u64> {
    let headers: serde_json::Value = serde_json::from_str(headers).ok()?;
    Some(SourcePosition::parse(headers.get(HEADER_POSITION)?.as_str()?).ok()?.digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Format;

    #[test]
    fn a_file_comes_in_stretches_and_ends_once() {
        let file = tempfile::NamedTempFile::with_suffix(".csv").unwrap();
        let input = Input { id: "a".into(), path: file.path().into(), format: Format::Csv };
        for (rows, expected) in [
            (0u64, vec![(0u64, 0, true)]),
            (2, vec![(0, 2, true)]),
            (3, vec![(0, 3, true)]),
            (7, vec![(0, 3, false), (3, 3, false), (6, 1, true)]),
        ] {
            let text: String = (0..rows).map(|row| format!("{row}\n")).collect();
            std::fs::write(file.path(), format!("id\n{text}")).unwrap();
            let mut seen = Vec::new();
            let config = SourceConfig { name: "a".into(), ..SourceConfig::default() };
            read_into(&input, &config, 3, |stretch| {
                seen.push((stretch.before, stretch.len(), stretch.is_last));
                true
            })
            .unwrap();
            assert_eq!(seen, expected, "{rows} rows");
        }
    }

    #[test]
    fn the_first_row_with_another_digest_is_named_and_rows_behind_the_end_take_no_room() {
        let stretch = Stretch { before: 10, digests: vec![1, 2, 3], is_last: true };
        let mut held = stretch.missing();
        for (row, sent) in [(14, Some(9)), (12, Some(7)), (11, Some(1)), (13, None), (1 << 60, None), (13, None)] {
            stretch.add(row, row == 11, sent, &mut held);
        }
        assert_eq!((held.changed, held.beyond), (Some(12), 2));
        assert_eq!(held.beyond_first.into_iter().collect::<Vec<_>>(), [14, 1 << 60]);
        let times: Vec<u8> = held.found.iter().map(Found::times).collect();
        assert_eq!((times, held.found[0].quarantined), (vec![1, 1, 2], 1));
        assert_eq!(sent_digest(r#"{"lake-source":"a","lake-position":"5;1;000000000000beef"}"#), Some(0xbeef));
        assert_eq!(sent_digest("{}"), None);
    }

    #[test]
    fn more_finds_than_can_be_counted_are_no_overflow() {
        let stretch = Stretch { digests: vec![1], ..Stretch::default() };
        let mut held = stretch.missing();
        (0..600).for_each(|n| stretch.add(1, n % 2 == 0, None, &mut held));
        assert_eq!(held.found[0].times(), 255);
    }
}
