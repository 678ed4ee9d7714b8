//! Writing files that no version of a table names yet.
//!
//! Rows that follow each other with the same partition values are written as they come, as one piece without a
//! copy: a caller that knows its partitions hands over batches of one each. Encoding runs on threads for work
//! that takes long, one batch at a time, while the caller makes the next one.

use super::failure::failed;
use super::lake::delta_schema;
use super::staged::Staged;
use super::{Table, schema};
use crate::error::{Context, Error, Kind, Result};
use crate::ident::TableName;
use arrow::array::{Array, ArrayRef};
use arrow::compute::partition;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use deltalake::datafile::writer::{PartitionWriter, PartitionWriterConfig};
use deltalake::kernel::Add;
use deltalake::kernel::scalars::ScalarExt;
use deltalake::logstore::LogStoreRef;
use deltalake::operations::get_num_idx_cols_and_stats_columns;
use deltalake::parquet::basic::{Compression, Encoding};
use deltalake::parquet::file::properties::WriterProperties;
use deltalake::parquet::schema::types::ColumnPath;
use object_store::ObjectStore;
use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU64;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// A file is closed and the next one begun once it has about this many bytes.
pub(super) const FILE_BYTES: NonZeroU64 = NonZeroU64::MIN.saturating_add(128 * 1024 * 1024 - 1);
/// Rows after which a row group ends: what a reader can skip or share out.
const ROW_GROUP_ROWS: usize = 1 << 20;
/// Encoded bytes after which a row group ends, which a writer holds in memory for each open file.
const ROW_GROUP_BYTES: usize = 32 << 20;
/// Rows between two looks at the size of a file.
const LOOK_ROWS: usize = 16 << 10;
/// Parts of 5 MB of one file that may be under way to the store at once.
const PARTS_UNDER_WAY: usize = 3;

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
        let parts = Parts {
            store: self.log.object_store(None),
            file_schema: in_files(&schema, &partition_by),
            table: self.clone(),
            file_bytes,
            row_group_bytes: ROW_GROUP_BYTES,
            counting: Vec::new(),
            open: BTreeMap::new(),
        };
        let (base, log) = (self.state.version(), self.log.clone());
        let encoder = Encoder::Idle(Box::new(parts));
        let (table, closed) = (self.name.clone(), Vec::new());
        Ok(Stage { encoder, table, base, log, schema, partition_by, rows: 0, closed })
    }
}

/// Writer of files not yet committed. Dropped without [`Stage::finish`], it leaves files behind that no
/// version names; [`Stage::abort`] does not.
pub struct Stage {
    encoder: Encoder,
    table: TableName,
    base: u64,
    log: LogStoreRef,
    schema: SchemaRef,
    partition_by: Vec<String>,
    rows: u64,
    /// Files of fewer columns.
    closed: Vec<Add>,
}

enum Encoder {
    Idle(Box<Parts>),
    Busy(JoinHandle<Result<Box<Parts>>>),
    /// A write failed, and its parts with it.
    Broken,
}

impl Stage {
    /// For files whose columns are mostly known: a row group ends after this many encoded bytes, which stay in
    /// memory until then; the integers of the columns named `counting` mostly rise, and are stored as
    /// differences. To be called before the first write.
    pub fn tuned(mut self, row_group_bytes: usize, counting: &[&str]) -> Stage {
        if let Encoder::Idle(parts) = &mut self.encoder {
            parts.row_group_bytes = row_group_bytes;
            parts.counting = counting.iter().map(|name| name.to_string()).collect();
        }
        self
    }

    /// The columns of the files and those they are partitioned by, in the order of [`Stage::write`].
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Takes the batch's columns in order and casts them; kind Input when a value does not fit. Comes back when
    /// the batch before this one is encoded; a failure shows in a later call.
    pub async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = schema::conform(&batch, &self.schema)?;
        self.rows += batch.num_rows() as u64;
        let mut parts = self.parts().await?;
        let runtime = Handle::current();
        let encode = move || {
            let written = runtime.block_on(parts.write(&batch));
            match written {
                Ok(()) => Ok(parts),
                Err(error) => {
                    runtime.block_on(parts.abort());
                    Err(error)
                }
            }
        };
        self.encoder = Encoder::Busy(tokio::task::spawn_blocking(encode));
        Ok(())
    }

    /// Goes on with further columns: the files so far are closed without them, which Delta reads as null.
    pub async fn widen(&mut self, schema: SchemaRef) -> Result<()> {
        delta_schema(&schema, &self.table)?;
        let mut parts = self.parts().await?;
        self.closed.extend(parts.close().await?);
        self.schema = schema::storable(&schema);
        parts.file_schema = in_files(&self.schema, &self.partition_by);
        self.encoder = Encoder::Idle(parts);
        Ok(())
    }

    /// Closes the files.
    pub async fn finish(mut self) -> Result<Staged> {
        let mut adds = std::mem::take(&mut self.closed);
        adds.extend(self.parts().await?.close().await?);
        Ok(Staged::new(self.table, self.log, self.base, self.schema, self.partition_by, self.rows, adds))
    }

    /// Gives up: deletes what was written.
    pub async fn abort(self) -> Result<()> {
        self.finish().await?.discard().await
    }

    /// What is written to, as soon as nothing is being written.
    async fn parts(&mut self) -> Result<Box<Parts>> {
        match std::mem::replace(&mut self.encoder, Encoder::Broken) {
            Encoder::Idle(parts) => Ok(parts),
            Encoder::Busy(encoding) => {
                encoding.await.context(Kind::Internal, || format!("encode rows of `{}`", self.table))?
            }
            Encoder::Broken => Err(Error::internal(format!("rows of `{}` came after a failed write", self.table))),
        }
    }
}

/// The open file of each partition. Dropped, it may leave parts of uploads in the store.
struct Parts {
    table: Table,
    store: Arc<dyn ObjectStore>,
    /// The table's columns without those it is partitioned by.
    file_schema: SchemaRef,
    file_bytes: NonZeroU64,
    row_group_bytes: usize,
    counting: Vec<String>,
    /// By partition values as text, `None` for null.
    open: BTreeMap<Vec<Option<String>>, PartitionWriter>,
}

impl Parts {
    async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let by: Vec<ArrayRef> =
            self.table.partition_by().iter().filter_map(|name| batch.column_by_name(name).cloned()).collect();
        let fields = batch.schema_ref().fields();
        let columns = fields
            .iter()
            .zip(batch.columns())
            .filter_map(|(field, column)| self.file_schema.column_with_name(field.name()).map(|_| column.clone()));
        let whole = schema::assemble(self.file_schema.clone(), columns.collect(), batch.num_rows())?;
        if by.is_empty() {
            return self.write_part(&by, 0, &whole).await;
        }
        let runs = partition(&by).context(Kind::Internal, || format!("find the partitions of `{}`", self.table.name));
        for run in runs?.ranges() {
            self.write_part(&by, run.start, &whole.slice(run.start, run.len())).await?;
        }
        Ok(())
    }

    /// Writes rows that all have the partition values of row `at`.
    async fn write_part(&mut self, by: &[ArrayRef], at: usize, rows: &RecordBatch) -> Result<()> {
        let failure = |error| failed(error, format!("write rows of `{}`", self.table.name));
        let values = scalars(by, at).ok_or_else(|| {
            Error::config(format!("`{}` is partitioned by a column whose values name no folder", self.table.name))
        })?;
        let key = texts(&values, by, at);
        if !self.open.contains_key(&key) {
            let names = self.table.partition_by().iter().cloned();
            let config = PartitionWriterConfig::try_new(
                self.file_schema.clone(),
                names.zip(values).collect(),
                Some(self.properties()),
                Some(self.file_bytes),
                Some(LOOK_ROWS),
                Some(PARTS_UNDER_WAY),
                None,
            );
            let (indexed, columns) =
                get_num_idx_cols_and_stats_columns(Some(self.table.state.table_config()), HashMap::new());
            let writer = config
                .and_then(|config| PartitionWriter::try_with_config(self.store.clone(), config, indexed, columns))
                .map_err(failure)?;
            self.open.insert(key.clone(), writer);
        }
        match self.open.get_mut(&key) {
            Some(writer) => writer.write(rows).await.map_err(failure),
            None => Err(Error::internal("a file just opened is gone")),
        }
    }

    fn properties(&self) -> WriterProperties {
        let counting = self.file_schema.fields().iter().filter(|field| self.counting.contains(field.name()));
        let properties = WriterProperties::builder()
            .set_created_by(concat!("lake ", env!("CARGO_PKG_VERSION")).to_string())
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_max_row_group_bytes(Some(self.row_group_bytes));
        let properties = counting.filter(|field| is_integer(field)).fold(properties, |properties, field| {
            let path = || ColumnPath::from(field.name().as_str());
            properties
                .set_column_dictionary_enabled(path(), false)
                .set_column_encoding(path(), Encoding::DELTA_BINARY_PACKED)
        });
        properties.build()
    }

    async fn close(&mut self) -> Result<Vec<Add>> {
        let (mut adds, mut fault) = (Vec::new(), None);
        for writer in std::mem::take(&mut self.open).into_values() {
            match writer.close().await {
                Ok(closed) => adds.extend(closed),
                Err(error) => fault = fault.or(Some(error)),
            }
        }
        match fault {
            None => Ok(adds),
            Some(error) => Err(failed(error, format!("write rows of `{}`", self.table.name))),
        }
    }

    /// Ends the uploads. What failed before is what the caller has to hear of.
    async fn abort(self) {
        for writer in self.open.into_values() {
            if let Err(error) = writer.abort().await {
                tracing::warn!("an upload for `{}` could not be ended: {error}", self.table.name);
            }
        }
    }
}

/// The columns without those whose values name folders.
fn in_files(schema: &Schema, partition_by: &[String]) -> SchemaRef {
    let kept = schema.fields().iter().filter(|field| !partition_by.contains(field.name()));
    Arc::new(Schema::new(kept.cloned().collect::<Fields>()))
}

fn is_integer(field: &Field) -> bool {
    matches!(field.data_type(), DataType::Int32 | DataType::Int64 | DataType::Date32 | DataType::Timestamp(..))
}

fn scalars<S: ScalarExt>(columns: &[ArrayRef], row: usize) -> Option<Vec<S>> {
    columns.iter().map(|column| S::from_array(column, row)).collect()
}

fn texts<S: ScalarExt>(values: &[S], columns: &[ArrayRef], row: usize) -> Vec<Option<String>> {
    let text = |(value, column): (&S, &ArrayRef)| (!column.is_null(row)).then(|| value.serialize());
    values.iter().zip(columns).map(text).collect()
}
