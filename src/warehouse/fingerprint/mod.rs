//! What two tables can be compared by without moving either: hashes of rows and of values, and sums of them.
//!
//! Each value has one text (`text`), a text has PostgreSQL's own 64-bit hash (`hash`), a row has the hash of its
//! values' hashes, and a table has the exact sum of its rows' hashes and of each column's: free of any order, and a
//! doubled row counts twice. The lake's side is computed here over Arrow batches, the warehouse's by the server
//! ([`Fingerprint::checksums_sql`] and what follows it). Rows fall into buckets by the first bits of the hash of their
//! key, so that two tables that differ can be narrowed down to the rows that do.
//!
//! Never decides which tables are compared and never reads either. To add a type: `text`, on both sides.

mod hash;
mod json;
mod statement;
mod text;

use crate::error::{Context, Kind, Result};
use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{FieldRef, Schema};
use arrow::record_batch::RecordBatch;
use std::collections::BTreeMap;
use std::io::Write;

/// How the rows of a table are hashed.
#[derive(Debug, Clone)]
pub struct Fingerprint {
    columns: Vec<Column>,
    /// Places of the columns that tell rows apart; all of them when no key does.
    key: Vec<usize>,
}

#[derive(Debug, Clone)]
struct Column {
    name: String,
    field: FieldRef,
}

/// Values or rows that were summed: how many that are not null, and the exact sum of their hashes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Heap {
    pub count: u64,
    pub sum: i128,
}

/// The checksums of a table: of its rows, and of each column in the schema's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checksums {
    pub rows: Heap,
    pub columns: Vec<Heap>,
}

/// Which rows take part, by the hash of their key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Hashes up to this one.
    pub most: i64,
    /// The buckets, by so many first bits of the hash; `None`: all.
    pub buckets: Option<(u32, Vec<i64>)>,
}

/// One row to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowPrint {
    pub hashes: Vec<Option<i64>>,
    pub values: Vec<Option<String>>,
}

/// A batch, cut down to the rows that take part, and their hashes.
pub struct Hashed {
    pub batch: RecordBatch,
    pub keys: Vec<i64>,
    pub rows: Vec<i64>,
    /// By column, then by row.
    pub values: Vec<Vec<Option<i64>>>,
}

impl Part {
    pub const ALL: Part = Part { most: i64::MAX, buckets: None };

    /// About `wanted` of `rows` rows, the same on both sides.
    pub fn sample(wanted: u64, rows: u64) -> Part {
        if wanted >= rows {
            return Part::ALL;
        }
        let share = (u128::from(wanted) << 64) / u128::from(rows);
        Part { most: (i128::from(i64::MIN) + share as i128) as i64, buckets: None }
    }

    fn includes(&self, key: i64) -> bool {
        let bucketed = |(bits, of): &(u32, Vec<i64>)| of.contains(&bucket(key, *bits));
        key <= self.most && self.buckets.as_ref().is_none_or(bucketed)
    }
}

/// The first `bits` (1 to 64) of a hash.
pub fn bucket(hash: i64, bits: u32) -> i64 {
    hash >> (64 - bits)
}

impl Heap {
    fn add(&mut self, hash: i64) {
        self.count += 1;
        self.sum += i128::from(hash);
    }
}

impl Checksums {
    pub fn add(&mut self, hashed: &Hashed) {
        self.columns.resize(hashed.values.len(), Heap::default());
        hashed.rows.iter().for_each(|hash| self.rows.add(*hash));
        for (heap, values) in self.columns.iter_mut().zip(&hashed.values) {
            values.iter().flatten().for_each(|hash| heap.add(*hash));
        }
    }
}

impl Hashed {
    /// Adds the rows to the sums of their buckets.
    pub fn share_out(&self, bits: u32, buckets: &mut BTreeMap<i64, Heap>) {
        for (key, row) in self.keys.iter().zip(&self.rows) {
            buckets.entry(bucket(*key, bits)).or_default().add(*row);
        }
    }
}

impl Fingerprint {
    /// Of a table with these columns, all of types that a table of the lake has. Rows are told apart by `key`, by all
    /// columns when it is empty or not whole.
    pub fn new(schema: &Schema, key: &[String]) -> Fingerprint {
        let column = |field: &FieldRef| Column { name: field.name().clone(), field: field.clone() };
        let columns: Vec<Column> = schema.fields().iter().map(column).collect();
        let place = |name: &String| columns.iter().position(|column| column.name == *name);
        let found: Option<Vec<usize>> = key.iter().map(place).collect();
        let key = found.filter(|key| !key.is_empty()).unwrap_or_else(|| (0..columns.len()).collect());
        Fingerprint { columns, key }
    }

    /// Names of the columns, in order.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    /// Places of the columns that tell rows apart.
    pub fn key(&self) -> &[usize] {
        &self.key
    }

    /// Hashes the batch's rows that take part. Its columns are those of the schema, in its order.
    pub fn hash(&self, batch: &RecordBatch, part: &Part) -> Result<Hashed> {
        if *part == Part::ALL {
            return self.hash_all(batch.clone());
        }
        let keys: Vec<Vec<Option<i64>>> =
            self.key.iter().map(|index| self.values(batch, *index)).collect::<Result<_>>()?;
        let keys = combined(&keys.iter().collect::<Vec<_>>(), batch.num_rows())?;
        let mask: BooleanArray = keys.iter().map(|key| Some(part.includes(*key))).collect();
        let kept = filter_record_batch(batch, &mask).context(Kind::Internal, || "take a part of a table's rows")?;
        self.hash_all(kept)
    }

    fn hash_all(&self, batch: RecordBatch) -> Result<Hashed> {
        let values: Vec<_> = (0..self.columns.len()).map(|index| self.values(&batch, index)).collect::<Result<_>>()?;
        let rows = combined(&values.iter().collect::<Vec<_>>(), batch.num_rows())?;
        let keys = combined(&self.key.iter().map(|index| &values[*index]).collect::<Vec<_>>(), batch.num_rows())?;
        Ok(Hashed { batch, keys, rows, values })
    }

    fn values(&self, batch: &RecordBatch, index: usize) -> Result<Vec<Option<i64>>> {
        let mut hashes = Vec::with_capacity(batch.num_rows());
        text::each(&self.columns[index].field, batch.column(index), |text| hashes.push(text.map(hash::hash)))?;
        Ok(hashes)
    }
}

/// One hash for each row, of its hashes' numbers with blanks between, `-` for NULL.
fn combined(columns: &[&Vec<Option<i64>>], rows: usize) -> Result<Vec<i64>> {
    let mut text = Vec::new();
    let mut one = |row: usize| {
        text.clear();
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                text.push(b' ');
            }
            match column[row] {
                Some(hash) => write!(text, "{hash}")?,
                None => text.push(b'-'),
            }
        }
        std::io::Result::Ok(hash::hash(&text))
    };
    (0..rows).map(&mut one).collect::<std::io::Result<_>>().context(Kind::Internal, || "hash a row")
}
