//! The same table on two sides that are asked the same questions: rows of the lake, or what stands in the warehouse.
//!
//! Each question is one pass over the rows; both sides work on it at the same time, the lake's here, batch by batch, the
//! warehouse's in the server. Never decides what the answers mean.

use crate::engine::{self, Session};
use crate::error::{Error, Result};
use crate::flow::rows;
use crate::warehouse::{Checksums, Fingerprint, Hashed, Heap, Part, RowPrint, Warehouse};
use futures::StreamExt;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// What the one side says, and what the other does.
pub struct Both<T> {
    pub one: T,
    pub other: T,
}

pub struct Sides<'a> {
    pub one: Side<'a>,
    pub other: Side<'a>,
    pub print: Fingerprint,
    /// How each side's rows are told of: `in the lake`.
    pub names: Both<&'static str>,
}

pub enum Side<'a> {
    Lake(Query<'a>),
    Warehouse {
        warehouse: &'a mut dyn Warehouse,
        /// The table, quoted.
        place: String,
    },
}

/// Rows of the lake.
pub struct Query<'a> {
    session: &'a Session,
    select: String,
    /// As many as the last pass met.
    rows: u64,
}

impl<'a> Side<'a> {
    /// `select` has the fingerprint's columns.
    pub fn query(session: &'a Session, select: String) -> Side<'a> {
        Side::Lake(Query { session, select, rows: 0 })
    }

    /// All rows there are, those included that took no part in the last pass.
    pub async fn count(&mut self) -> Result<u64> {
        let (warehouse, place) = match self {
            Side::Lake(query) => return Ok(query.rows),
            Side::Warehouse { warehouse, place } => (warehouse, place),
        };
        let answer = warehouse.query(&format!("select count(*) from {place}")).await?;
        let counted = answer.rows.first().and_then(|row| row.first()?.as_deref()?.parse().ok());
        counted.ok_or_else(|| Error::internal("the warehouse's answer is not the number that was asked for"))
    }

    /// The inner error is one of asking, not of understanding the answer.
    async fn checksums(&mut self, print: &Fingerprint, part: &Part) -> Result<Result<Checksums>> {
        let (warehouse, place) = match self {
            Side::Lake(query) => return Ok(query.checksums(print, part).await),
            Side::Warehouse { warehouse, place } => (warehouse, place),
        };
        match warehouse.query(&print.checksums_sql(place, part)).await {
            Ok(answer) => print.read_checksums(&answer.rows).map(Ok),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn buckets(&mut self, print: &Fingerprint, part: &Part, bits: u32) -> Result<BTreeMap<i64, Heap>> {
        match self {
            Side::Lake(query) => query.buckets(print, part, bits).await,
            Side::Warehouse { warehouse, place } => {
                Fingerprint::read_buckets(&warehouse.query(&print.buckets_sql(place, part, bits)).await?.rows)
            }
        }
    }

    async fn examples(&mut self, print: &Fingerprint, part: &Part) -> Result<BTreeMap<i64, RowPrint>> {
        match self {
            Side::Lake(query) => query.examples(print, part).await,
            Side::Warehouse { warehouse, place } => {
                Fingerprint::read_examples(&warehouse.query(&print.examples_sql(place, part)).await?.rows)
            }
        }
    }
}

impl Query<'_> {
    async fn checksums(&mut self, print: &Fingerprint, part: &Part) -> Result<Checksums> {
        let mut sums = Checksums::default();
        self.each(print, part, |hashed| {
            sums.add(&hashed);
            Ok(())
        })
        .await?;
        sums.columns.resize(print.columns().count(), Heap::default());
        Ok(sums)
    }

    async fn buckets(&mut self, print: &Fingerprint, part: &Part, bits: u32) -> Result<BTreeMap<i64, Heap>> {
        let mut buckets = BTreeMap::new();
        self.each(print, part, |hashed| {
            hashed.share_out(bits, &mut buckets);
            Ok(())
        })
        .await?;
        Ok(buckets)
    }

    async fn examples(&mut self, print: &Fingerprint, part: &Part) -> Result<BTreeMap<i64, RowPrint>> {
        let mut found = BTreeMap::new();
        self.each(print, part, |hashed| {
            for (row, key) in hashed.keys.iter().enumerate() {
                if let Entry::Vacant(vacant) = found.entry(*key) {
                    let values = rows::texts(&hashed.batch.slice(row, 1))?.pop().unwrap_or_default();
                    let hashes = hashed.values.iter().map(|column| column[row]).collect();
                    vacant.insert(RowPrint { hashes, values });
                }
            }
            Ok(())
        })
        .await?;
        Ok(found)
    }

    /// Goes once over the rows that take part.
    async fn each(
        &mut self,
        print: &Fingerprint,
        part: &Part,
        mut take: impl FnMut(Hashed) -> Result<()>,
    ) -> Result<()> {
        let mut batches = self.session.stream(&self.select).await?;
        self.rows = 0;
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(|error| engine::failed(error, "read rows to be compared"))?;
            self.rows += batch.num_rows() as u64;
            take(print.hash(&batch, part)?)?;
        }
        Ok(())
    }
}

impl Sides<'_> {
    /// The inner errors are of asking a side.
    pub async fn checksums(&mut self, part: &Part) -> Result<Both<Result<Checksums>>> {
        let Sides { one, other, print, .. } = self;
        let (one, other) = tokio::join!(one.checksums(print, part), other.checksums(print, part));
        Ok(Both { one: one?, other: other? })
    }

    /// The part's rows in buckets by the first `bits` of their key's hash.
    pub async fn buckets(&mut self, part: &Part, bits: u32) -> Result<Both<BTreeMap<i64, Heap>>> {
        let Sides { one, other, print, .. } = self;
        let (one, other) = tokio::join!(one.buckets(print, part, bits), other.buckets(print, part, bits));
        Ok(Both { one: one?, other: other? })
    }

    /// One row of each key in the part, by the key's hash.
    pub async fn examples(&mut self, part: &Part) -> Result<Both<BTreeMap<i64, RowPrint>>> {
        let Sides { one, other, print, .. } = self;
        let (one, other) = tokio::join!(one.examples(print, part), other.examples(print, part));
        Ok(Both { one: one?, other: other? })
    }
}
