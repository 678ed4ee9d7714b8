//! One loaded table on both sides: its version in the lake and what stands in the warehouse, asked the same questions.
//!
//! Each question is one pass over the rows; both sides work on it at the same time, the lake's here, batch by batch, the
//! warehouse's in the server. Never decides what the answers mean.

use crate::engine::{self, Session};
use crate::error::Result;
use crate::flow::rows;
use crate::warehouse::{Answer, Checksums, Fingerprint, Hashed, Heap, Part, RowPrint, Warehouse};
use futures::StreamExt;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// What the lake says, and what the warehouse does.
pub struct Both<T> {
    pub lake: T,
    pub warehouse: T,
}

pub struct Sides<'a> {
    pub session: &'a Session,
    /// Selects the fingerprint's columns in the lake.
    pub select: String,
    pub warehouse: &'a mut dyn Warehouse,
    /// The table in the warehouse, quoted.
    pub place: String,
    pub print: Fingerprint,
}

impl Sides<'_> {
    /// The inner error is the warehouse's.
    pub async fn checksums(&mut self, part: &Part) -> Result<Result<Both<Checksums>>> {
        let mut sums = Checksums::default();
        let sql = self.print.checksums_sql(&self.place, part);
        let (lake, answer) = self
            .ask(part, &sql, |hashed| {
                sums.add(&hashed);
                Ok(())
            })
            .await;
        lake?;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(error)),
        };
        let warehouse = self.print.read_checksums(&answer.rows)?;
        sums.columns.resize(warehouse.columns.len(), Heap::default());
        Ok(Ok(Both { lake: sums, warehouse }))
    }

    /// The part's rows in buckets by the first `bits` of their key's hash.
    pub async fn buckets(&mut self, part: &Part, bits: u32) -> Result<Both<BTreeMap<i64, Heap>>> {
        let mut buckets = BTreeMap::new();
        let sql = self.print.buckets_sql(&self.place, part, bits);
        let (lake, answer) = self
            .ask(part, &sql, |hashed| {
                hashed.share_out(bits, &mut buckets);
                Ok(())
            })
            .await;
        lake?;
        Ok(Both { lake: buckets, warehouse: Fingerprint::read_buckets(&answer?.rows)? })
    }

    /// One row of each key in the part, by the key's hash.
    pub async fn examples(&mut self, part: &Part) -> Result<Both<BTreeMap<i64, RowPrint>>> {
        let mut found = BTreeMap::new();
        let sql = self.print.examples_sql(&self.place, part);
        let (lake, answer) = self
            .ask(part, &sql, |hashed| {
                for (row, key) in hashed.keys.iter().enumerate() {
                    if let Entry::Vacant(vacant) = found.entry(*key) {
                        let values = rows::texts(&hashed.batch.slice(row, 1))?.pop().unwrap_or_default();
                        let hashes = hashed.values.iter().map(|column| column[row]).collect();
                        vacant.insert(RowPrint { hashes, values });
                    }
                }
                Ok(())
            })
            .await;
        lake?;
        Ok(Both { lake: found, warehouse: Fingerprint::read_examples(&answer?.rows)? })
    }

    /// Goes once over the rows that take part on both sides.
    async fn ask(
        &mut self,
        part: &Part,
        sql: &str,
        mut take: impl FnMut(Hashed) -> Result<()>,
    ) -> (Result<()>, Result<Answer>) {
        let Sides { session, select, warehouse, print, .. } = self;
        let lake = async {
            let mut batches = session.stream(select).await?;
            while let Some(batch) = batches.next().await {
                let batch = batch.map_err(|error| engine::failed(error, "read a loaded table"))?;
                take(print.hash(&batch, part)?)?;
            }
            Ok(())
        };
        tokio::join!(lake, warehouse.query(sql))
    }
}
