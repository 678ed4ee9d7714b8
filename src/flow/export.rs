//! `lake export`: one table of the lake as one file, for whoever reads files.
//!
//! At the version the newest run names, in the order of the table's primary key (of all columns without one), each
//! value exactly: the same rows make the same bytes. Written under a name of its own and renamed when it is whole, so
//! that nobody finds half a file. Sorting spills to disk; no more than a batch is held here. Never changes the lake.
//! To add a format: a variant of [`Format`] and of [`Writer`].

use super::catalog;
use super::rows::{csv, csv_head, json};
use super::{Progress, Stop};
use crate::engine::{self, Engine};
use crate::error::{Context, Error, Kind, Result};
use crate::ident::{Layer, TableName, known_names};
use crate::model::Project;
use crate::table::{Lake, ParquetFile, Table, manifest};
use arrow::array::Array;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use serde::Serialize;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// What a row of Bronze is known by.
const PLACE: [&str; 3] = ["_topic", "_partition", "_offset"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A header, then RFC 4180; NULL is an empty cell, the empty text is `""`, lists and structs are JSON.
    Csv,
    Parquet,
    /// An object a line; decimals, dates and timestamps are text.
    Jsonl,
}

impl Format {
    fn extension(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Parquet => "parquet",
            Format::Jsonl => "jsonl",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Options {
    pub table: TableName,
    pub format: Format,
    /// Made when it is not there.
    pub folder: PathBuf,
    /// Put the file in the place of one that stands there.
    pub force: bool,
}

#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub table: String,
    pub version: i64,
    pub file: PathBuf,
    pub rows: u64,
    pub bytes: u64,
}

/// Kind Config when the file stands already, or the table does not.
pub async fn export(
    project: &Project,
    lake: &Lake,
    engine: &Engine,
    options: &Options,
    progress: &Progress,
    stop: &Stop,
) -> Result<Report> {
    let file = options.folder.join(format!("{}.{}", options.table, options.format.extension()));
    free(&file, options.force)?;
    let table = open(lake, &options.table).await?;
    let session = engine.session();
    catalog::register(&session, &table).await?;
    let sql = format!("select * from {}", options.table.quoted());
    let schema = session.schema_of(&sql).await?;
    let mut batches = session.sorted(&sql, &order(project, &options.table, &schema)).await?;
    std::fs::create_dir_all(&options.folder)
        .context(Kind::Config, || format!("make folder `{}`", options.folder.display()))?;
    let stage = format!("export {}", options.table);
    progress.started(&stage, table.rows());
    let mut part = Part::create(&file)?;
    let mut writer = Writer::new(options.format, part.open()?, schema)?;
    let mut rows = 0;
    while let Some(batch) = batches.next().await {
        stop.check()?;
        let batch = batch.map_err(|error| engine::failed(error, format!("read `{}`", options.table)))?;
        writer.write(&batch)?;
        rows += batch.num_rows() as u64;
        progress.advanced(&stage, batch.num_rows() as u64, 0);
    }
    let bytes = writer.finish()?;
    free(&file, options.force)?;
    part.publish()?;
    progress.finished(&stage, format!("{rows} rows of version {} in `{}`", table.version(), file.display()));
    Ok(Report { table: options.table.to_string(), version: table.version(), file, rows, bytes })
}

fn free(file: &Path, force: bool) -> Result<()> {
    if force || !file.exists() {
        return Ok(());
    }
    Err(Error::config(format!("`{}` exists already", file.display()))
        .hint("`--force` writes over it, `--to` names another folder"))
}

/// The table as readers see it: of the newest run, where that names it.
async fn open(lake: &Lake, name: &TableName) -> Result<Table> {
    let mut pins = catalog::pin(lake, [name.clone()]).await?;
    pins.retain(|_, table| catalog::published(table));
    if let Some(newest) = manifest::latest(lake).await? {
        pins = catalog::pin_to(pins, &newest).await?;
    }
    if let Some(table) = pins.remove(name) {
        return Ok(table);
    }
    let mut known = Vec::new();
    for layer in Layer::ALL {
        known.extend(lake.tables(layer).await?.iter().map(ToString::to_string));
    }
    let hint = known_names(&name.to_string(), known.iter().map(String::as_str));
    Err(Error::config(format!("there is no table `{name}` in the lake")).hint(hint))
}

/// The columns to sort by.
fn order(project: &Project, table: &TableName, schema: &SchemaRef) -> Vec<String> {
    let model = project.models.iter().find(|model| model.table == *table);
    let key = match table.layer() {
        Layer::Bronze => Some(PLACE.map(String::from).to_vec()),
        Layer::Silver | Layer::Gold => model.and_then(|model| model.primary_key()),
    };
    let whole = key.filter(|key| key.iter().all(|column| schema.column_with_name(column).is_some()));
    whole.unwrap_or_else(|| schema.fields().iter().map(|field| field.name().clone()).collect())
}

/// A file on its way to its name; gone unless it got there.
struct Part {
    target: PathBuf,
    path: PathBuf,
}

impl Part {
    fn create(target: &Path) -> Result<Part> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let path = target.with_file_name(format!(".{name}.{}", uuid::Uuid::new_v4().simple()));
        Ok(Part { target: target.to_path_buf(), path })
    }

    fn open(&mut self) -> Result<File> {
        File::create_new(&self.path).context(Kind::Config, || format!("write `{}`", self.path.display()))
    }

    fn publish(self) -> Result<()> {
        std::fs::rename(&self.path, &self.target).context(Kind::Config, || format!("write `{}`", self.target.display()))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Published, it is not there any more; else nobody could act on the failure.
        drop(std::fs::remove_file(&self.path));
    }
}

enum Writer {
    Csv(BufWriter<File>),
    Jsonl(BufWriter<File>),
    Parquet(Box<ParquetFile>),
}

impl Writer {
    fn new(format: Format, file: File, schema: SchemaRef) -> Result<Writer> {
        Ok(match format {
            Format::Csv => {
                let mut out = BufWriter::new(file);
                put(&mut out, &csv_head(&schema))?;
                Writer::Csv(out)
            }
            Format::Jsonl => Writer::Jsonl(BufWriter::new(file)),
            Format::Parquet => Writer::Parquet(Box::new(ParquetFile::create(file, schema)?)),
        })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match self {
            Writer::Csv(_) if batch.num_columns() == 1 && batch.column(0).null_count() > 0 => {
                let column = batch.schema_ref().field(0).name().clone();
                Err(Error::input(format!("NULL in `{column}`, the only column, would be an empty line of CSV"))
                    .hint("export it with `--format jsonl` or `--format parquet`"))
            }
            Writer::Csv(out) => put(out, &csv(batch)?),
            Writer::Jsonl(out) => json(batch)?.into_iter().try_for_each(|row| put(out, &format!("{row}\n"))),
            Writer::Parquet(file) => file.write(batch),
        }
    }

    /// The file's bytes, all of them on the disk.
    fn finish(self) -> Result<u64> {
        let file = match self {
            Writer::Csv(out) | Writer::Jsonl(out) => {
                out.into_inner().map_err(|error| error.into_error()).context(Kind::Unavailable, || WRITE)?
            }
            Writer::Parquet(file) => file.finish()?,
        };
        file.sync_all().and_then(|()| file.metadata()).map(|about| about.len()).context(Kind::Unavailable, || WRITE)
    }
}

const WRITE: &str = "write the exported file";

fn put(out: &mut impl Write, text: &str) -> Result<()> {
    out.write_all(text.as_bytes()).context(Kind::Unavailable, || WRITE)
}
