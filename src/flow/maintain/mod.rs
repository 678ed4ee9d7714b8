//! `lake maintain`: what keeps a table as fast after a million commits as on its first day.
//!
//! Per table, in this order: small files are merged; files and commits older than the retention that nothing needs
//! are deleted; a checkpoint is written. Every step can run beside writers and readers, be killed anywhere and be
//! run again; one that somebody else was faster at is left out.
//!
//! - `pins` says which versions somebody may still read;
//! - `clean` deletes what no such version needs, old commits after adding them up.

mod clean;
mod pins;
#[cfg(test)]
mod tests;

use super::{Progress, Stop};
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::ident::{Layer, TableName, nearest};
use crate::table::{Commit, Committed, Extent, Lake, Mode, Table, manifest};
use crate::warehouse::Entry;
use pins::Pins;
use serde::Serialize;
use serde_json::{Map, Value};
use std::time::Duration;

/// A shorter retention could delete files of a commit under way or of a query that is running.
pub const LEAST_RETENTION: Duration = Duration::from_secs(60 * 60);

#[derive(Debug, Clone)]
pub struct Options {
    /// Bytes a file should have.
    pub target_file_size: u64,
    /// How long a version that nothing names can still be read.
    pub retain: Duration,
    /// Run manifests kept, the newest ones.
    pub keep_runs: usize,
    /// Delete what is not needed; otherwise only merge and write checkpoints.
    pub clean: bool,
    /// Change nothing, say what would be done.
    pub dry_run: bool,
}

/// What was done, or with `dry_run` what would be.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    pub tables: Vec<TableReport>,
    /// Manifests deleted.
    pub runs: usize,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct TableReport {
    pub table: String,
    pub version: i64,
    pub before: Extent,
    pub after: Extent,
    /// Files merged into fewer.
    pub merged_files: usize,
    /// Data files deleted, and their bytes.
    pub deleted_files: usize,
    pub deleted_bytes: u64,
    /// Files of the log deleted.
    pub deleted_log_files: u64,
    /// Whether a checkpoint was written at the end.
    pub checkpoint: bool,
    /// With `dry_run`: the paths of the files to be deleted, below the table's folder.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unused: Vec<String>,
}

/// Tends to these tables. One that fails does not keep the others from their turn; the second value is the first
/// such failure. `ledger` is what the warehouse says was loaded into it: while that is unknown nothing of Gold is
/// deleted. `Err` alone means that nothing was done.
pub async fn maintain(
    lake: &Lake,
    tables: &[TableName],
    ledger: &Result<Vec<Entry>>,
    options: &Options,
    progress: &Progress,
    stop: &Stop,
) -> Result<(Report, Option<Error>)> {
    if options.retain < LEAST_RETENTION {
        return Err(Error::config("files can be deleted after 1h at the earliest")
            .hint("a younger one may belong to a commit under way, or to a query that is running"));
    }
    let mut report = Report::default();
    let pruned = options.clean && !options.dry_run;
    if pruned {
        report.runs = manifest::prune(lake, options.keep_runs).await?.len();
    }
    let pins = Pins::read(lake, options.keep_runs, ledger).await?;
    let mut failure = None;
    for name in tables {
        stop.check()?;
        let turn = Turn { lake, pins: &pins, options, progress, stop };
        match turn.tend(name).await {
            Ok(table) => report.tables.push(table),
            Err(error) if matches!(error.kind(), Kind::Interrupted(_)) => return Ok((report, Some(error))),
            Err(error) => {
                progress.note(format!("`{name}` {error}"));
                failure = failure.or(Some(error));
            }
        }
    }
    Ok((report, failure))
}

/// The tables of the lake of these names (`books` or `bronze.books`), all when none is named.
pub async fn select(lake: &Lake, names: &[String]) -> Result<Vec<TableName>> {
    let mut all = Vec::new();
    for layer in Layer::ALL {
        all.extend(lake.tables(layer).await?);
    }
    if names.is_empty() {
        return Ok(all);
    }
    let mut selected = Vec::new();
    for name in names {
        let found: Vec<_> = all.iter().filter(|table| table.to_string() == *name || table.name() == name).collect();
        if found.is_empty() {
            let error = Error::input(format!("there is no table `{name}` in {}", lake.root()));
            let known: Vec<String> = all.iter().map(ToString::to_string).collect();
            return Err(match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error,
            });
        }
        selected.extend(found.into_iter().cloned());
    }
    Ok(selected)
}

/// The turn of one table.
struct Turn<'a> {
    lake: &'a Lake,
    pins: &'a Pins,
    options: &'a Options,
    progress: &'a Progress,
    stop: &'a Stop,
}

impl Turn<'_> {
    async fn tend(&self, name: &TableName) -> Result<TableReport> {
        let Some(mut table) = self.lake.table(name).await? else {
            return Err(Error::input(format!("there is no table `{name}`")));
        };
        // A checkpoint is what would make the table forget.
        table.keeps_positions()?;
        let stage = format!("maintain {name}");
        self.progress.started(&stage, None);
        let before = table.extent(self.options.target_file_size)?;
        let mut report = TableReport { table: name.to_string(), before, ..TableReport::default() };
        report.merged_files = self.merge(&mut table).await?;
        if self.options.clean {
            clean::clean(&mut table, self.pins, self.options, &mut report).await?;
        }
        if !self.options.dry_run && !table.has_checkpoint().await? {
            table.checkpoint().await?;
            report.checkpoint = true;
        }
        report.version = table.version();
        report.after = table.extent(self.options.target_file_size)?;
        self.progress.finished(&stage, summary(&report));
        Ok(report)
    }

    /// Merges small files, one commit for each file that comes of it. Answers how many gave way.
    async fn merge(&self, table: &mut Table) -> Result<usize> {
        let target = self.options.target_file_size;
        let mut merged = 0;
        for bin in table.bins(target)? {
            self.stop.check()?;
            if self.options.dry_run {
                merged += bin.files();
                continue;
            }
            let staged = table.rewrite(&bin, target).await?;
            let info = info(&[("files", bin.files().into()), ("bytes", bin.bytes().into())]);
            failpoint::hit("maintain.before_commit");
            let commit = Commit { mode: Mode::Rewrite, staged, txns: Vec::new(), info };
            match table.commit(commit, "maintain.commit").await {
                Ok(Committed::Done { .. }) => merged += bin.files(),
                Ok(Committed::Fenced { .. } | Committed::Reshaped | Committed::Outgrown) => {
                    return Err(Error::internal("a commit without positions was fenced"));
                }
                Err(error) if error.kind() == Kind::Conflict => {
                    self.progress.note(format!("{error}; those files have to wait for the next time"));
                }
                Err(error) => return Err(error),
            }
            failpoint::hit("maintain.after_commit");
        }
        Ok(merged)
    }
}

/// What a commit of maintenance says of itself.
fn info(entries: &[(&str, Value)]) -> Map<String, Value> {
    let verb = ("verb".to_string(), Value::from("maintain"));
    entries.iter().map(|(key, value)| (key.to_string(), value.clone())).chain([verb]).collect()
}

fn summary(report: &TableReport) -> String {
    let done = [
        (report.merged_files as u64, "small files merged"),
        (report.deleted_files as u64, "unused files deleted"),
        (report.deleted_log_files, "old log files deleted"),
    ];
    let done: Vec<String> =
        done.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if done.is_empty() { "nothing to do".into() } else { done.join(", ") }
}
