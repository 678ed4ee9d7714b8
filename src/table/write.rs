//! Writing files that no version of a table names yet.
//!
//! Encoding runs on threads for work that takes long, one batch at a time, while the caller makes the next one; of rows
//! in no order several at a time ([`Stage::unordered`]). Which row goes into which file is the business of `parts`.

use super::lake::delta_schema;
use super::parts::Parts;
use super::staged::Staged;
use super::{Table, schema};
use crate::error::{Context, Error, Kind, Result};
use crate::ident::TableName;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use deltalake::kernel::Add;
use deltalake::logstore::LogStoreRef;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// A file is closed and the next one begun once it has about this many bytes.
pub(super) const FILE_BYTES: NonZeroU64 = NonZeroU64::MIN.saturating_add(128 * 1024 * 1024 - 1);

/// Rows that one encoder takes alone before others begin files, too.
const ROWS_OF_ONE: u64 = 1 << 20;

impl Table {
    /// Starts writing files that nobody sees until [`Table::commit`]. A [`super::Mode::Replace`] may bring any
    /// schema that keeps the partition columns, an append one with further columns.
    pub async fn stage(&self, schema: SchemaRef) -> Result<Stage> {
        self.stage_files_of(FILE_BYTES, schema)
    }

    /// [`Table::stage`] with files of another size.
    pub(super) fn stage_files_of(&self, file_bytes: NonZeroU64, schema: SchemaRef) -> Result<Stage> {
        delta_schema(&schema, &self.name)?;
        let schema = schema::storable(&schema);
        let partition_by = self.partition_by().to_vec();
        if let Some(missing) = partition_by.iter().find(|column| schema.column_with_name(column).is_none()) {
            return Err(Error::config(format!("`{}` is partitioned by `{missing}`, which is not there", self.name)));
        }
        let parts = Parts::new(self.clone(), &schema, file_bytes);
        let (base, log, files) = (self.state.version(), self.log.clone(), parts.files());
        let encoders = vec![Encoder::Idle(Box::new(parts))];
        let table = self.name.clone();
        Ok(Stage { encoders, next: 0, ended: Vec::new(), table, base, log, schema, partition_by, rows: 0, files })
    }
}

/// Writer of files not yet committed. Dropped without [`Stage::finish`], it leaves files behind that no
/// version names; [`Stage::abort`] does not.
pub struct Stage {
    /// Each with files of its own.
    encoders: Vec<Encoder>,
    /// Which of them the next batch is for.
    next: usize,
    /// Files of encoders that ended, well or not.
    ended: Vec<Add>,
    table: TableName,
    base: u64,
    log: LogStoreRef,
    schema: SchemaRef,
    partition_by: Vec<String>,
    rows: u64,
    files: Arc<AtomicUsize>,
}

enum Encoder {
    Idle(Box<Parts>),
    Busy(JoinHandle<(Box<Parts>, Result<()>)>),
    /// A write failed, and its open files with it.
    Broken,
}

impl Stage {
    /// For files whose columns are mostly known: a row group ends after this many encoded bytes, which stay in
    /// memory until then; the integers of the columns named `counting` mostly rise, and are stored as
    /// differences. To be called before the first write.
    pub fn tuned(mut self, row_group_bytes: usize, counting: &[&str]) -> Stage {
        for encoder in &mut self.encoders {
            if let Encoder::Idle(parts) = encoder {
                parts.tune(row_group_bytes, counting);
            }
        }
        self
    }

    /// For rows whose order says nothing: once they are many, so many encoders take a batch in turn, and hold together
    /// about what one would hold. To be called before the first write.
    pub fn unordered(mut self, encoders: usize) -> Stage {
        if let Some(Encoder::Idle(parts)) = self.encoders.first_mut() {
            parts.share_out(encoders);
            let others: Vec<Parts> = (1..encoders).map(|_| parts.another()).collect();
            self.encoders.extend(others.into_iter().map(|parts| Encoder::Idle(Box::new(parts))));
        }
        self
    }

    /// The columns of the files and those they are partitioned by, in the order of [`Stage::write`].
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Partitions begun so far, one that was begun again counted again: each is a file or more.
    pub fn files(&self) -> usize {
        self.files.load(Ordering::Relaxed)
    }

    /// Takes the batch's columns in order and casts them; kind Input when a value does not fit. Comes back when
    /// the batch before this one of the same encoder is encoded; a failure shows in a later call.
    pub async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = schema::conform(&batch, &self.schema)?;
        schema::check_calendar(&batch)?;
        let at = self.next;
        self.rows += batch.num_rows() as u64;
        if self.rows > ROWS_OF_ONE {
            self.next = (at + 1) % self.encoders.len();
        }
        let mut parts = self.parts(at).await?;
        let runtime = Handle::current();
        let encode = move || {
            let written = runtime.block_on(parts.write(&batch));
            (parts, written)
        };
        self.encoders[at] = Encoder::Busy(tokio::task::spawn_blocking(encode));
        Ok(())
    }

    /// Goes on with further columns: the files so far are closed without them, which Delta reads as null.
    pub async fn widen(&mut self, schema: SchemaRef) -> Result<()> {
        delta_schema(&schema, &self.table)?;
        self.schema = schema::storable(&schema);
        for at in 0..self.encoders.len() {
            let mut parts = self.parts(at).await?;
            parts.widen(&self.schema).await?;
            self.encoders[at] = Encoder::Idle(parts);
        }
        Ok(())
    }

    /// Closes the files; when one cannot be closed, deletes the others.
    pub async fn finish(mut self) -> Result<Staged> {
        let mut closed = Ok(());
        for at in 0..self.encoders.len() {
            let ended = self.close(at).await;
            closed = closed.and(ended);
        }
        let Stage { table, log, base, schema, partition_by, rows, ended, .. } = self;
        let staged = Staged::new(table, log, base, schema, partition_by, rows, ended);
        match closed {
            Ok(()) => Ok(staged),
            Err(error) => {
                staged.discard().await;
                Err(error)
            }
        }
    }

    async fn close(&mut self, at: usize) -> Result<()> {
        let (files, closed) = self.parts(at).await?.close().await;
        self.ended.extend(files);
        closed
    }

    /// Gives up: deletes what was written, as [`Staged::discard`].
    pub async fn abort(mut self) {
        // Why it failed was told.
        self.encoders.retain(|encoder| !matches!(encoder, Encoder::Broken));
        match self.finish().await {
            Ok(staged) => staged.discard().await,
            Err(error) => tracing::warn!("{error}; what was written before costs space and is read by nobody"),
        }
    }

    /// What an encoder writes to, as soon as it is not writing.
    async fn parts(&mut self, at: usize) -> Result<Box<Parts>> {
        match std::mem::replace(&mut self.encoders[at], Encoder::Broken) {
            Encoder::Idle(parts) => Ok(parts),
            Encoder::Busy(encoding) => {
                let ended = encoding.await.context(Kind::Internal, || format!("encode rows of `{}`", self.table));
                let (parts, written) = ended?;
                match written {
                    Ok(()) => Ok(parts),
                    Err(error) => {
                        self.ended.extend(parts.abort().await);
                        Err(error)
                    }
                }
            }
            Encoder::Broken => Err(Error::internal(format!("rows of `{}` came after a failed write", self.table))),
        }
    }
}
