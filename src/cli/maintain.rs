//! `lake maintain`, and the same now and then beside a daemon.

use super::columns::{columns, grouped};
use super::connections::Connections;
use super::output::Answer;
use crate::config::{Maintain, duration};
use crate::error::{Kind, Result};
use crate::flow::maintain::{self, Options, Report, TableReport};
use crate::flow::{Progress, Stop, load};
use crate::ident::{Layer, TableName};
use crate::table::Lake;
use crate::warehouse::Entry;
use std::convert::Infallible;
use std::time::{Duration, Instant};

/// A daemon deletes what is old this often; it merges files far more often.
const CLEAN_EVERY: Duration = Duration::from_secs(60 * 60);

/// Merge small files, delete what is old and needed by nobody, write checkpoints
#[derive(clap::Args)]
pub struct Args {
    /// Tables, books or bronze.books [default: all of the lake]
    #[arg(value_name = "TABLE")]
    tables: Vec<String>,
    /// How long old versions stay readable, for example 7d [default: maintain.retain, 7d]
    #[arg(long, value_name = "TIME", value_parser = parse_retention)]
    retain: Option<Duration>,
    /// Change nothing; list the files that would be deleted
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(args: Args, connections: &mut Connections) -> Result<Answer> {
    let lake = connections.lake().await?;
    let tables = maintain::select(&lake, &args.tables).await?;
    let ledger = match tables.iter().any(|table| table.layer() == Layer::Gold) {
        true => ledger(connections, &lake).await,
        false => Ok(Vec::new()),
    };
    let mut options = options(&connections.config.maintain);
    options.retain = args.retain.unwrap_or(options.retain);
    options.dry_run = args.dry_run;
    let (progress, stop) = (&connections.progress, &connections.stop);
    let (report, failure) = maintain::maintain(&lake, &tables, &ledger, &options, progress, stop).await?;
    Ok(Answer::new(text(&report), &report)?.failing(failure))
}

fn parse_retention(text: &str) -> Result<Duration, String> {
    duration(text).map_err(|expected| format!("write {expected}"))
}

fn options(settings: &Maintain) -> Options {
    Options {
        target_file_size: settings.target_file_size as u64,
        retain: settings.retain,
        keep_runs: settings.keep_runs,
        clean: true,
        dry_run: false,
    }
}

/// What stands in the warehouse; nothing when there never was one.
async fn ledger(connections: &mut Connections, lake: &Lake) -> Result<Vec<Entry>> {
    if !connections.warehouse_exists() {
        return Ok(Vec::new());
    }
    load::loaded(lake, connections.warehouse().await?.as_mut()).await
}

fn text(report: &Report) -> String {
    let row = |table: &TableReport| {
        vec![
            table.table.clone(),
            grouped(table.before.files),
            grouped(table.after.files),
            grouped(table.after.bytes),
            grouped(table.merged_files as i128),
            grouped(table.deleted_files as i128),
            grouped(table.deleted_bytes),
            grouped(table.deleted_log_files),
        ]
    };
    let head = ["table", "files before", "files", "bytes", "merged", "deleted", "bytes deleted", "log files deleted"];
    let mut text = columns(&head, &report.tables.iter().map(row).collect::<Vec<_>>());
    for table in &report.tables {
        for path in &table.unused {
            text.push_str(&format!("would delete {} {path}\n", table.table));
        }
    }
    text
}

/// Maintenance beside a daemon. Nothing that goes wrong with it ends the daemon.
pub struct Upkeep {
    lake: Lake,
    tables: Vec<TableName>,
    options: Options,
    interval: Option<Duration>,
    progress: Progress,
    stop: Stop,
}

impl Upkeep {
    pub async fn new(connections: &mut Connections, tables: impl Iterator<Item = TableName>) -> Result<Upkeep> {
        let settings = &connections.config.maintain;
        let (options, interval) = (options(settings), settings.interval);
        let (progress, stop) = (connections.progress.clone(), connections.stop.clone());
        let mut tables: Vec<TableName> = tables.collect();
        tables.sort();
        tables.dedup();
        Ok(Upkeep { lake: connections.lake().await?, tables, options, interval, progress, stop })
    }

    /// Rounds until it is dropped.
    pub async fn go_on(mut self) -> Infallible {
        let Some(interval) = self.interval else { return std::future::pending().await };
        let mut cleaned = Instant::now();
        loop {
            tokio::time::sleep(interval).await;
            self.options.clean = cleaned.elapsed() >= CLEAN_EVERY;
            if self.options.clean {
                cleaned = Instant::now();
            }
            self.round().await;
        }
    }

    async fn round(&self) {
        let mut standing = Vec::new();
        for table in &self.tables {
            // A table that nobody has made yet is nothing to speak of.
            if let Ok(Some(_)) = self.lake.table(table).await {
                standing.push(table.clone());
            }
        }
        let quiet = Progress::silent();
        let outcome =
            maintain::maintain(&self.lake, &standing, &Ok(Vec::new()), &self.options, &quiet, &self.stop).await;
        match outcome.map(|(_, failure)| failure) {
            Ok(None) => {}
            Err(error) | Ok(Some(error)) if matches!(error.kind(), Kind::Interrupted(_)) => {}
            Err(error) | Ok(Some(error)) => self.progress.note(format!("maintenance: {error}")),
        }
    }
}
