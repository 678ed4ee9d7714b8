//! Writing files that no version of a table names yet.

use super::lake::delta_schema;
use super::staged::Staged;
use super::store::failed;
use super::{Table, schema};
use crate::error::{Error, Result};
use crate::ident::TableName;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use deltalake::datafile::writer::{DeltaWriter, WriterConfig};
use deltalake::logstore::LogStoreRef;
use deltalake::operations::get_num_idx_cols_and_stats_columns;
use deltalake::parquet::basic::Compression;
use deltalake::parquet::file::properties::WriterProperties;
use std::collections::HashMap;
use std::num::NonZeroU64;

/// A file is closed and the next one begun once it has about this many bytes.
const FILE_BYTES: NonZeroU64 = NonZeroU64::MIN.saturating_add(128 * 1024 * 1024 - 1);
/// Bounds what a writer holds in memory per open file, and is what a reader can skip or share out.
const ROW_GROUP_ROWS: usize = 256 * 1024;

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
        let (indexed, columns) = get_num_idx_cols_and_stats_columns(Some(self.state.table_config()), HashMap::new());
        let config = WriterConfig::new(
            schema.clone(),
            partition_by.clone(),
            Some(writer_properties()),
            Some(file_bytes),
            None,
            indexed,
            columns,
        );
        Ok(Stage {
            writer: DeltaWriter::new(self.log.object_store(None), config),
            table: self.name.clone(),
            base: self.state.version(),
            log: self.log.clone(),
            schema,
            partition_by,
            rows: 0,
        })
    }
}

fn writer_properties() -> WriterProperties {
    WriterProperties::builder()
        .set_created_by(concat!("lake ", env!("CARGO_PKG_VERSION")).to_string())
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .build()
}

/// Writer of files not yet committed. Dropped without [`Stage::finish`], it leaves files behind that no
/// version names; [`Stage::abort`] does not.
pub struct Stage {
    writer: DeltaWriter,
    table: TableName,
    base: u64,
    log: LogStoreRef,
    schema: SchemaRef,
    partition_by: Vec<String>,
    rows: u64,
}

impl Stage {
    /// Takes the batch's columns in order and casts them; kind Input when a value does not fit.
    pub async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = schema::conform(&batch, &self.schema)?;
        self.rows += batch.num_rows() as u64;
        self.writer.write(&batch).await.map_err(|error| failed(error, format!("write rows of `{}`", self.table)))
    }

    /// Closes the files.
    pub async fn finish(self) -> Result<Staged> {
        let adds =
            self.writer.close().await.map_err(|error| failed(error, format!("write rows of `{}`", self.table)))?;
        Ok(Staged::new(self.table, self.log, self.base, self.schema, self.partition_by, self.rows, adds))
    }

    /// Gives up: deletes what was written.
    pub async fn abort(self) -> Result<()> {
        self.finish().await?.discard().await
    }
}
