//! Deleting what is old and needed by nobody: data files, then commits.
//!
//! Needed are the version that stood when the retention began, all later ones, and the pinned ones. A file that
//! came and went within the retention is young itself; that it may have been written long before it was committed
//! is what [`slack`] is for.

use super::pins::Pins;
use super::{Options, TableReport, info};
use crate::error::{Context, Error, Kind, Result};
use crate::failpoint;
use crate::flow::account::{CARRIED, Carried};
use crate::ident::Layer;
use crate::table::{Commit, Committed, LogFiles, Mode, Table};
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

/// The longest a commit may take from its first file on, as far as the retention allows.
const LONGEST_COMMIT: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) async fn clean(table: &mut Table, pins: &Pins, options: &Options, report: &mut TableReport) -> Result<()> {
    if let Some(why) = pins.unknown(table.name()) {
        let message = format!("nothing of `{}` is deleted while it is unknown what the warehouse holds", table.name());
        return Err(Error::unavailable(message).caused_by(why.to_string()));
    }
    let began = Utc::now() - options.retain;
    let log = table.log_files(began).await?;
    let Some(oldest) = log.standing_at(began) else { return Ok(()) };
    let mut versions = pins.of_table(table);
    versions.insert(oldest);
    delete_files(table, &versions, began - slack(options.retain), options, report).await?;
    let needed = versions.first().copied().unwrap_or(oldest);
    let Some(begin) = log.may_begin_at(needed) else { return Ok(()) };
    report.deleted_log_files = match options.dry_run {
        true => log.files_before(begin),
        false => begin_log_at(table, begin, &log).await?,
    };
    Ok(())
}

fn slack(retain: Duration) -> Duration {
    retain.min(LONGEST_COMMIT)
}

async fn delete_files(
    table: &Table,
    versions: &BTreeSet<i64>,
    before: DateTime<Utc>,
    options: &Options,
    report: &mut TableReport,
) -> Result<()> {
    let mut kept = Vec::new();
    for version in versions {
        match table.at(*version).await {
            Ok(version) => kept.push(version),
            // It left the log already: nobody can begin to read it.
            Err(error) if error.kind() == Kind::Input => {}
            Err(error) => return Err(error),
        }
    }
    let unused = table.unused_files(&kept, before).await?;
    (report.deleted_files, report.deleted_bytes) = (unused.paths().len(), unused.bytes);
    if options.dry_run {
        report.unused = unused.paths().map(str::to_string).collect();
        return Ok(());
    }
    failpoint::hit("maintain.before_delete");
    table.delete_unused(unused).await
}

/// Deletes the commits before `begin`; those of a Bronze table are added up first.
async fn begin_log_at(table: &mut Table, begin: i64, log: &LogFiles) -> Result<u64> {
    if table.name().layer() == Layer::Bronze
        && let Some(carried) = sum(table, begin - 1).await?
    {
        let carried = serde_json::to_value(carried).context(Kind::Internal, || "write what old commits add up to")?;
        let staged = table.stage(table.schema()).await?.finish().await?;
        let info = info(&[(CARRIED, carried)]);
        let commit = Commit { mode: Mode::Append, staged, txns: Vec::new(), info };
        match table.commit(commit, "maintain.commit").await? {
            Committed::Done { .. } => {}
            Committed::Reshaped | Committed::Outgrown => {
                let message = format!("`{}` was given other columns meanwhile", table.name());
                return Err(Error::conflict(message).hint("run again"));
            }
            Committed::Fenced { .. } => return Err(Error::internal("a commit without positions was fenced")),
        }
    }
    failpoint::hit("maintain.before_log_delete");
    table.begin_log_at(begin, log).await
}

/// What the commits through `through` add up to; `None` when a later commit carries it already, or when commits
/// have left the log that nobody added up.
async fn sum(table: &Table, through: i64) -> Result<Option<Carried>> {
    let name = table.name().to_string();
    let Some(mut sum) = base(table, &name).await? else { return Ok(None) };
    if sum.through >= through {
        return Ok(None);
    }
    let mut commits = pin!(table.commits(sum.through + 1..=through));
    while let Some(commit) = commits.try_next().await? {
        sum.add(&commit, &name)?;
    }
    Ok((sum.through == through).then_some(sum))
}

/// What can be added to: nothing when the log is whole, else what the newest such commit carries.
async fn base(table: &Table, name: &str) -> Result<Option<Carried>> {
    if pin!(table.commits(0..=0)).try_next().await?.is_some() {
        return Ok(Some(Carried::nothing()));
    }
    let mut newest_first = pin!(table.commits_backwards());
    while let Some(commit) = newest_first.try_next().await? {
        if let Some(carried) = Carried::of(&commit, name)? {
            return Ok(Some(carried));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_may_take_as_long_as_the_retention_but_no_more_than_a_day() {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        assert_eq!((slack(hours(2)), slack(hours(24 * 7))), (hours(2), hours(24)));
    }
}
