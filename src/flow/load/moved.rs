//! Which rows came and which left when files took the place of others: rows that are on both sides cancel out.
//!
//! Both sides are read twice. The first reading, here, counts rows by 128 bits of a hash of all their values; of what
//! remains a place and a number are kept. The second, in `rows`, takes the rows in these places. That takes 35 MB at
//! most, and 16 bytes for each row that remains. Rows are equal when all their values are, floats bit by bit.

use super::tally::{Net, Tally};
use crate::error::{Context, Kind, Result};
use crate::ident::TableName;
use crate::warehouse::Batches;
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, SortField};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};

/// Batches whose rows are hashed ahead of being counted.
const AHEAD: usize = 2;

/// A row by its number among those of its side, from 0, and how many copies of it came, or left when negative.
pub type Moved = (u64, i64);

/// The rows that do not cancel out, each once and where it stands: among those that left, and among those that came.
/// `None` when there are more than `most`.
pub async fn moved(name: &TableName, left: Batches, came: Batches, most: u64) -> Result<Option<[Vec<Moved>; 2]>> {
    let mut sides = [(hashed(name, left), 0, -1), (hashed(name, came), 0, 1)];
    let (mut tally, mut more) = (Tally::new(), true);
    // In step: rows that are in the same order on both sides meet soon and are forgotten.
    while more {
        more = false;
        for (side, (hashes, number, copies)) in sides.iter_mut().enumerate() {
            for hash in hashes.try_next().await?.unwrap_or_default() {
                more = true;
                tally.add(hash, Net { place: *number * 2 + side as u64, copies: *copies })?;
                *number += 1;
            }
        }
    }
    let Some(mut remaining) = tally.remaining(most)? else { return Ok(None) };
    remaining.sort_unstable();
    let of = |side| {
        let own = remaining.iter().filter(|net| net.place % 2 == side);
        own.map(|net| (net.place / 2, net.copies)).collect()
    };
    Ok(Some([of(0), of(1)]))
}

/// The hashes of the rows, those of a batch in a task of its own.
fn hashed(name: &TableName, rows: Batches) -> BoxStream<'static, Result<Vec<u128>>> {
    let name = name.clone();
    let filled = rows.try_filter(|batch| std::future::ready(batch.num_rows() > 0));
    let hashes = filled.map(move |batch| {
        let name = name.clone();
        async move {
            let batch = batch?;
            let what = format!("tell the rows of `{name}` apart");
            tokio::spawn(async move { hashes(&batch) })
                .await
                .context(Kind::Internal, || what.clone())?
                .context(Kind::Internal, || what)
        }
    });
    hashes.buffered(AHEAD).boxed()
}

fn hashes(batch: &RecordBatch) -> Result<Vec<u128>, arrow::error::ArrowError> {
    let fields = batch.columns().iter().map(|column| SortField::new(column.data_type().clone()));
    let rows = RowConverter::new(fields.collect())?.convert_columns(batch.columns())?;
    let half = |digest: &[u8]| u128::from_le_bytes(std::array::from_fn(|byte| digest[byte]));
    Ok(rows.iter().map(|row| half(&Sha256::digest(row.as_ref()))).collect())
}
