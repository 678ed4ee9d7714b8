//! `lake export`

use super::connections::Connections;
use super::output::Answer;
use crate::error::Result;
use crate::flow::export;
use crate::ident::TableName;
use clap::ValueEnum;
use std::path::PathBuf;

/// Write a table of the lake into a file: every value exactly, ordered by its key
#[derive(clap::Args)]
pub struct Args {
    /// gold.dim_book, silver.orders or bronze.books
    #[arg(value_name = "TABLE")]
    table: String,
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
    /// Folder the file TABLE.FORMAT is written into [default: export in the project]
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Write over a file that stands there
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Csv,
    Parquet,
    Jsonl,
}

pub async fn run(args: Args, connections: &mut Connections) -> Result<Answer> {
    let project = connections.project()?;
    let format = match args.format {
        Format::Csv => export::Format::Csv,
        Format::Parquet => export::Format::Parquet,
        Format::Jsonl => export::Format::Jsonl,
    };
    let folder = args.to.unwrap_or_else(|| connections.config.project.join("export"));
    let options = export::Options { table: TableName::parse(&args.table)?, format, folder, force: args.force };
    let (lake, engine) = (connections.lake().await?, connections.engine()?);
    let (progress, stop) = (&connections.progress, &connections.stop);
    let exporting = export::export(&project, &lake, &engine, &options, progress, stop);
    let report = stop.before(exporting).await?;
    Answer::new(report.file.display().to_string(), &report)
}
