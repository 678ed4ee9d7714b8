//! `lake maintain`, and the same now and then beside a daemon.

use super::columns::{columns, grouped};
use super::connections::Connections;
use super::output::Answer;
use crate::config::{MaintainSettings, duration};
use crate::error::{Error, Kind, Result};
use crate::flow::maintain::{self, Options, Report, TableReport};
use crate::flow::{Progress, Stop, load};
use crate::ident::{Layer, TableName};
use crate::table::Lake;
use crate::warehouse::Entry;
use std::convert::Infallible;
use std::time::{Duration, Instant};

/// How often a daemon looks whether it is time.
const LOOK_EVERY: Duration = Duration::from_secs(1);
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

fn options(settings: &MaintainSettings) -> Options {
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

/// When a daemon tends to its tables.
pub struct Schedule {
    options: Options,
    /// `None`: never.
    interval: Option<Duration>,
    tended: Instant,
    cleaned: Instant,
}

impl Schedule {
    pub fn new(settings: &MaintainSettings) -> Schedule {
        let now = Instant::now();
        Schedule { options: options(settings), interval: settings.interval, tended: now, cleaned: now }
    }

    /// What to do when it is time; counts as done then.
    pub fn due(&mut self) -> Option<Options> {
        let interval = self.interval?;
        if self.tended.elapsed() < interval {
            return None;
        }
        self.tended = Instant::now();
        let clean = self.cleaned.elapsed() >= CLEAN_EVERY;
        if clean {
            self.cleaned = self.tended;
        }
        Some(Options { clean, ..self.options.clone() })
    }
}

/// One round over all tables between two rounds of `lake run`.
pub async fn tend_all(connections: &mut Connections, options: &Options) {
    let outcome = match connections.lake().await {
        Ok(lake) => {
            let ledger = if options.clean { ledger(connections, &lake).await } else { Ok(Vec::new()) };
            tend(&lake, |_| true, &ledger, options, &connections.stop).await
        }
        Err(error) => Err(error),
    };
    note(outcome, &connections.progress);
}

/// Rounds over these tables beside `lake bronze`, until it is dropped.
pub async fn keep_tending(
    lake: Lake,
    tables: Vec<TableName>,
    mut schedule: Schedule,
    progress: Progress,
    stop: Stop,
) -> Infallible {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(options) = schedule.due() else { continue };
        let outcome = tend(&lake, |table| tables.contains(table), &Ok(Vec::new()), &options, &stop).await;
        note(outcome, &progress);
    }
}

/// A round over those of these tables that exist by now.
async fn tend(
    lake: &Lake,
    wanted: impl Fn(&TableName) -> bool,
    ledger: &Result<Vec<Entry>>,
    options: &Options,
    stop: &Stop,
) -> Result<Option<Error>> {
    let mut tables = maintain::select(lake, &[]).await?;
    tables.retain(wanted);
    let (_, failure) = maintain::maintain(lake, &tables, ledger, options, &Progress::silent(), stop).await?;
    Ok(failure)
}

/// Nothing that goes wrong with maintenance ends a daemon.
fn note(outcome: Result<Option<Error>>, progress: &Progress) {
    match outcome {
        Ok(None) => {}
        Err(error) | Ok(Some(error)) if matches!(error.kind(), Kind::Interrupted(_)) => {}
        Err(error) | Ok(Some(error)) => progress.note(format!("maintenance: {error}")),
    }
}
