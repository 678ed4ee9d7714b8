//! Records that were read before, decoded by the stream as it is declared now: those set aside, to become rows, and all
//! of a file, to be compared with the table.
//!
//! The same door as for new ones, but for the marks: that a row of a source was sent before was judged when it came.
//! Commits nothing and moves no position. Fields nobody declared become columns as they do when records are new, with the
//! commit of whoever takes what was written; types stay as they are.

use super::Stream;
use super::columns::{OFFSET, PARTITION, REASON};
use super::desk::Desk;
use super::memory::Shares;
use super::sort::Sorted;
use crate::engine::Engine;
use crate::error::{Context, Error, Kind, Result};
use crate::kafka::Messages;
use crate::partition::Partition;
use crate::table::schema::align;
use crate::table::{Lake, Stage, Table};
use arrow::array::AsArray;
use arrow::compute::concat_batches;
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;

/// The decoder and the SQL of a stream, and its table.
pub struct Again(Desk);

/// Messages of one topic; what is in neither part the stream left out on purpose.
pub struct Decoded {
    /// The table's rows, taken in now.
    pub good: RecordBatch,
    /// Partition, offset, and what is still wrong.
    pub rejects: Vec<(i32, i64, String)>,
}

impl Again {
    /// Fails as `lake bronze` would when the stream does not fit its table. `memory`: [`super::Options::memory`].
    pub async fn open(lake: &Lake, engine: &Engine, stream: &Stream, memory: usize, table: Table) -> Result<Again> {
        Desk::open(lake, engine, stream, Shares::of(memory, 1), Some(table), None).await.map(Again)
    }

    /// As it was opened.
    pub fn table(&self) -> &Table {
        &self.0.table
    }

    /// What the stream's SQL asks for beside the records, such as the time: its rows cannot be made again.
    pub fn unsteady(&self) -> Option<&str> {
        self.0.unsteady()
    }

    /// The rows that messages become, good and quarantined, in the columns the table has; as of [`Again::decode`].
    pub async fn rows(&mut self, partitions: &[Partition], messages: Messages) -> Result<RecordBatch> {
        let Sorted { good, quarantined, .. } = self.0.decode_again(partitions.into(), messages).await?;
        let schema = self.table().schema();
        let both = [align(&good, &schema)?, align(&quarantined, &schema)?];
        concat_batches(&schema, &both).context(Kind::Internal, || "join the rows of messages")
    }

    /// Writes rows into files that have the columns of the table and, by the contract, should have.
    pub async fn write(&mut self, good: &RecordBatch, quarantined: &RecordBatch) -> Result<()> {
        self.0.stage_rows(good, quarantined).await
    }

    /// What there is to tell of columns that records brought.
    pub fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.0.notes)
    }

    /// What was written so far.
    pub async fn into_stage(mut self) -> Result<Stage> {
        self.0.open_stage().await
    }

    /// Deletes what was written.
    pub async fn abandon(mut self) {
        self.0.abandon().await;
    }

    /// Decodes messages of these partitions of one topic, which are in order; a message's slot is its place there.
    pub async fn decode(&mut self, partitions: &[Partition], messages: Messages) -> Result<Decoded> {
        let Sorted { good, quarantined, .. } = self.0.decode_again(partitions.into(), messages).await?;
        let missing = || Error::internal("a quarantined record without a place or a reason");
        let column = |name: &str| quarantined.column_by_name(name).ok_or_else(missing);
        let partitions = column(PARTITION)?.as_primitive_opt::<Int32Type>().ok_or_else(missing)?;
        let offsets = column(OFFSET)?.as_primitive_opt::<Int64Type>().ok_or_else(missing)?;
        let reasons = column(REASON)?.as_string_opt::<i32>().ok_or_else(missing)?;
        let places = partitions.values().iter().zip(offsets.values());
        let rejects = places
            .zip(reasons)
            .map(|((partition, offset), reason)| (*partition, *offset, reason.unwrap_or_default().to_string()));
        Ok(Decoded { rejects: rejects.collect(), good })
    }
}
