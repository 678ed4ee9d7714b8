//! A Parquet file that belongs to no table: rows for others to read.

use crate::error::{Context, Kind, Result};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use deltalake::parquet::arrow::ArrowWriter;
use deltalake::parquet::basic::Compression;
use deltalake::parquet::file::properties::WriterProperties;
use std::fs::File;

/// The same rows in the same order make the same bytes.
pub struct ParquetFile(ArrowWriter<File>);

impl ParquetFile {
    pub fn create(file: File, schema: SchemaRef) -> Result<ParquetFile> {
        let properties = WriterProperties::builder()
            .set_created_by(concat!("lake ", env!("CARGO_PKG_VERSION")).to_string())
            .set_compression(Compression::SNAPPY)
            .build();
        let writer = ArrowWriter::try_new(file, schema, Some(properties));
        writer.map(ParquetFile).context(Kind::Internal, || "begin a Parquet file")
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.0.write(batch).context(Kind::Unavailable, || "write rows into a Parquet file")
    }

    /// Writes what is left, and yields the file.
    pub fn finish(self) -> Result<File> {
        self.0.into_inner().context(Kind::Unavailable, || "end a Parquet file")
    }
}
