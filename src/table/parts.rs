//! The open files of a table that is written to, one for each partition.
//!
//! Rows of a batch that are all of one partition go into its file as they are, without a copy: a caller that knows
//! its partitions hands over batches of one each. Others are brought together first, in their order.
//!
//! An open file holds memory: what is not encoded yet, and what is not sent yet. So only some are open at a time; when
//! there are too many, or they hold too much, those that were not written to for longest are closed.

use super::failure::failed;
use super::statistics::only_exact;
use super::values::{self, Stored};
use super::{Table, schema};
use crate::error::{Context, Error, Kind, Result};
use arrow::array::{Array, ArrayRef, AsArray, Scalar, StringArray, UInt32Array};
use arrow::compute::kernels::cmp::eq;
use arrow::compute::{nullif, partition, take, take_record_batch};
use arrow::datatypes::{DataType, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, SortField};
use deltalake::datafile::writer::{PartitionWriter, PartitionWriterConfig};
use deltalake::kernel::Add;
use deltalake::kernel::scalars::ScalarExt;
use deltalake::operations::get_num_idx_cols_and_stats_columns;
use deltalake::parquet::basic::{Compression, Encoding};
use deltalake::parquet::file::properties::{EnabledStatistics, WriterProperties};
use deltalake::parquet::schema::types::ColumnPath;
use object_store::ObjectStore;
use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Rows after which a row group ends: what a reader can skip or share out.
const ROW_GROUP_ROWS: usize = 1 << 20;
/// Encoded bytes after which a row group ends, which a writer holds in memory for each open file.
const ROW_GROUP_BYTES: usize = 32 << 20;
/// Of smaller ones there are too many in a file.
const LEAST_ROW_GROUP_BYTES: usize = 8 << 20;
/// Rows between two looks at the size of a file.
const LOOK_ROWS: usize = 16 << 10;
/// Parts of 5 MB of one file that may be under way to the store at once.
const PARTS_UNDER_WAY: usize = 3;
/// What one file holds at most beside its row group.
const UNDER_WAY_BYTES: usize = PARTS_UNDER_WAY * (5 << 20);
/// Files that are open whatever they hold: good rows and quarantined ones.
const LEAST_OPEN: usize = 2;
const MOST_OPEN: usize = 64;
/// Row groups that all open files together may hold, and at least what two files may.
const ROW_GROUPS_HELD: usize = 4;

/// Dropped, it may leave parts of uploads in the store.
pub(super) struct Parts {
    table: Table,
    store: Arc<dyn ObjectStore>,
    /// The table's columns without those it is partitioned by.
    file_schema: SchemaRef,
    file_bytes: NonZeroU64,
    row_group_bytes: usize,
    counting: Vec<String>,
    open: BTreeMap<Values, Open>,
    closed: Vec<Add>,
    /// Batches written so far.
    clock: u64,
    files: Arc<AtomicUsize>,
}

/// Partition values as text, `None` for null.
type Values = Vec<Option<String>>;

struct Open {
    writer: PartitionWriter,
    /// Of the rows written, before they are encoded.
    bytes: usize,
    /// The clock when it was last written to.
    used: u64,
}

impl Parts {
    pub fn new(table: Table, schema: &SchemaRef, file_bytes: NonZeroU64) -> Parts {
        Parts {
            store: table.log.object_store(None),
            file_schema: in_files(schema, table.partition_by()),
            table,
            file_bytes,
            row_group_bytes: ROW_GROUP_BYTES,
            counting: Vec::new(),
            open: BTreeMap::new(),
            closed: Vec::new(),
            clock: 0,
            files: Arc::default(),
        }
    }

    /// Files of its own, otherwise the same. Before the first write.
    pub fn another(&self) -> Parts {
        let mut another = Parts::new(self.table.clone(), &self.file_schema, self.file_bytes);
        another.row_group_bytes = self.row_group_bytes;
        another.counting.clone_from(&self.counting);
        another.files = self.files.clone();
        another
    }

    /// Holds the share of one of so many encoders.
    pub fn share_out(&mut self, encoders: usize) {
        self.row_group_bytes = (self.row_group_bytes / encoders.max(1)).max(LEAST_ROW_GROUP_BYTES);
    }

    /// As [`Stage::tuned`](super::Stage::tuned).
    pub fn tune(&mut self, row_group_bytes: usize, counting: &[&str]) {
        self.row_group_bytes = row_group_bytes;
        self.counting = counting.iter().map(|name| name.to_string()).collect();
    }

    /// How many files were begun, for others to look at.
    pub fn files(&self) -> Arc<AtomicUsize> {
        self.files.clone()
    }

    pub async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.clock += 1;
        let fields = batch.schema_ref().fields();
        let columns = fields
            .iter()
            .zip(batch.columns())
            .filter_map(|(field, column)| self.file_schema.column_with_name(field.name()).map(|_| column.clone()));
        let whole = schema::assemble(self.file_schema.clone(), columns.collect(), batch.num_rows())?;
        let by = self.table.partition_by().iter().filter_map(|name| batch.column_by_name(name));
        let attempt = || format!("find the partitions of `{}`", self.table.name);
        let by = by.map(no_empty_text).collect::<Result<Vec<ArrayRef>, _>>().context(Kind::Internal, attempt)?;
        if by.is_empty() {
            return self.write_part(&by, 0, &whole).await;
        }
        let (by, whole) = brought_together(by, whole).context(Kind::Internal, attempt)?;
        for run in partition(&by).context(Kind::Internal, attempt)?.ranges() {
            self.write_part(&by, run.start, &whole.slice(run.start, run.len())).await?;
        }
        Ok(())
    }

    /// Writes rows that all have the partition values of row `at`.
    async fn write_part(&mut self, by: &[ArrayRef], at: usize, rows: &RecordBatch) -> Result<()> {
        let values = scalars(by, at).ok_or_else(|| {
            Error::config(format!("`{}` is partitioned by a column whose values name no folder", self.table.name))
        })?;
        let key = texts(&values, by, at);
        if !self.open.contains_key(&key) {
            let names = self.table.partition_by().iter().cloned();
            let writer = self.begin(PartitionWriterConfig::try_new(
                self.file_schema.clone(),
                names.zip(values).collect(),
                Some(self.properties(rows)),
                Some(self.file_bytes),
                Some(LOOK_ROWS),
                Some(PARTS_UNDER_WAY),
                None,
            ))?;
            self.open.insert(key.clone(), Open { writer, bytes: 0, used: self.clock });
        }
        let Some(file) = self.open.get_mut(&key) else { return Err(Error::internal("a file just opened is gone")) };
        file.writer.write(rows).await.map_err(|error| failed(error, format!("write rows of `{}`", self.table.name)))?;
        file.bytes += rows.columns().iter().map(slice_bytes).sum::<usize>();
        file.used = self.clock;
        self.make_room().await
    }

    fn begin(&self, config: deltalake::DeltaResult<PartitionWriterConfig>) -> Result<PartitionWriter> {
        let (indexed, columns) =
            get_num_idx_cols_and_stats_columns(Some(self.table.state.table_config()), HashMap::new());
        let writer =
            config.and_then(|config| PartitionWriter::try_with_config(self.store.clone(), config, indexed, columns));
        self.files.fetch_add(1, Ordering::Relaxed);
        writer.map_err(|error| failed(error, format!("write rows of `{}`", self.table.name)))
    }

    async fn make_room(&mut self) -> Result<()> {
        while self.open.len() > LEAST_OPEN && (self.open.len() > MOST_OPEN || self.holds_too_much()) {
            let oldest = self.open.iter().min_by_key(|(_, file)| file.used).map(|(key, _)| key.clone());
            let Some(file) = oldest.and_then(|key| self.open.remove(&key)) else { return Ok(()) };
            let closed = file.writer.close().await;
            let adds = closed.map_err(|error| failed(error, format!("write rows of `{}`", self.table.name)))?;
            self.note(adds);
        }
        Ok(())
    }

    fn note(&mut self, adds: Vec<Add>) {
        let columns = self.file_schema.fields().clone();
        self.closed.extend(adds.into_iter().map(|add| only_exact(add, &columns)));
    }

    /// Encoded rows are no bigger than they were before, for the most part.
    fn holds_too_much(&self) -> bool {
        let most = self.row_group_bytes.max(UNDER_WAY_BYTES);
        let held: usize = self.open.values().map(|file| file.bytes.min(most)).sum();
        held > (ROW_GROUPS_HELD * self.row_group_bytes).max(LEAST_OPEN * most)
    }

    /// For a file that begins with these rows.
    fn properties(&self, first: &RecordBatch) -> WriterProperties {
        let properties = WriterProperties::builder()
            .set_created_by(concat!("lake ", env!("CARGO_PKG_VERSION")).to_string())
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_max_row_group_bytes(Some(self.row_group_bytes));
        // Bounds leave NaN out, and what compares with it would not be read.
        let floating = self.file_schema.fields().iter().filter(|field| field.data_type().is_floating());
        let properties = floating.fold(properties, |properties, field| {
            properties.set_column_statistics_enabled(ColumnPath::from(field.name().as_str()), EnabledStatistics::None)
        });
        let columns = self.file_schema.fields().iter().zip(first.columns());
        let stored = columns.map(|(field, sample)| match self.counting.contains(field.name()) {
            true if values::is_integer(field.data_type()) => (field, Stored::Differences),
            _ => (field, values::stored(sample)),
        });
        let properties = stored.fold(properties, |properties, (field, stored)| {
            let path = || ColumnPath::from(field.name().as_str());
            match stored {
                Stored::Dictionary => properties,
                Stored::Plain => properties.set_column_dictionary_enabled(path(), false),
                Stored::Differences => properties
                    .set_column_dictionary_enabled(path(), false)
                    .set_column_encoding(path(), Encoding::DELTA_BINARY_PACKED)
                    .set_column_compression(path(), Compression::UNCOMPRESSED),
            }
        });
        properties.build()
    }

    /// Goes on with files of these columns.
    pub async fn widen(&mut self, schema: &SchemaRef) -> Result<()> {
        self.close_open().await?;
        self.file_schema = in_files(schema, self.table.partition_by());
        Ok(())
    }

    /// The files that are closed, and whether all are.
    pub async fn close(mut self) -> (Vec<Add>, Result<()>) {
        let closed = self.close_open().await;
        (self.closed, closed)
    }

    async fn close_open(&mut self) -> Result<()> {
        let mut fault = None;
        for file in std::mem::take(&mut self.open).into_values() {
            match file.writer.close().await {
                Ok(closed) => self.note(closed),
                Err(error) => fault = fault.or(Some(error)),
            }
        }
        match fault {
            None => Ok(()),
            Some(error) => Err(failed(error, format!("write rows of `{}`", self.table.name))),
        }
    }

    /// Ends the uploads; yields the files closed before. What failed before is what the caller has to hear of.
    pub async fn abort(self) -> Vec<Add> {
        for file in self.open.into_values() {
            if let Err(error) = file.writer.abort().await {
                tracing::warn!("an upload for `{}` could not be ended: {error}", self.table.name);
            }
        }
        self.closed
    }
}

/// Delta reads an empty text as null where it names a partition.
fn no_empty_text(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    if *column.data_type() != DataType::Utf8 {
        return Ok(column.clone());
    }
    let empty = eq(column.as_string::<i32>(), &Scalar::new(StringArray::from(vec![""])))?;
    nullif(column, &empty)
}

/// Rows with the same values one after the other, otherwise in their order.
fn brought_together(by: Vec<ArrayRef>, rows: RecordBatch) -> Result<(Vec<ArrayRef>, RecordBatch), ArrowError> {
    if partition(&by)?.len() <= 1 {
        return Ok((by, rows));
    }
    let types = by.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let keys = RowConverter::new(types)?.convert_columns(&by)?;
    let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
    order.sort_by(|a, b| keys.row(*a as usize).cmp(&keys.row(*b as usize)));
    let order = UInt32Array::from(order);
    let by = by.iter().map(|column| take(column, &order, None)).collect::<Result<_, _>>()?;
    Ok((by, take_record_batch(&rows, &order)?))
}

/// Bytes of the values that a slice shows.
fn slice_bytes(column: &ArrayRef) -> usize {
    column.to_data().get_slice_memory_size().unwrap_or_default()
}

/// The columns without those whose values name folders.
fn in_files(schema: &Schema, partition_by: &[String]) -> SchemaRef {
    let kept = schema.fields().iter().filter(|field| !partition_by.contains(field.name()));
    Arc::new(Schema::new(kept.cloned().collect::<Fields>()))
}

fn scalars<S: ScalarExt>(columns: &[ArrayRef], row: usize) -> Option<Vec<S>> {
    columns.iter().map(|column| S::from_array(column, row)).collect()
}

fn texts<S: ScalarExt>(values: &[S], columns: &[ArrayRef], row: usize) -> Vec<Option<String>> {
    let text = |(value, column): (&S, &ArrayRef)| (!column.is_null(row)).then(|| value.serialize());
    values.iter().zip(columns).map(text).collect()
}
