//! Gold -> warehouse: every Gold table of the newest run, in one transaction with its ledger rows.
//!
//! The position is the ledger: which version of which table stands in the warehouse. Versions that stand
//! already are not touched; when nothing changed, nothing is written. Loads are serialised by a lock in
//! the database, and the run manifest is read after it was obtained, so a load that waited does not put
//! an older run over a newer one. A COMMIT whose reply was lost is looked up in the ledger by the load's
//! own id and never simply repeated.
//!
//! `work` decides what is done to a table: only the rows that came and left since the version in the ledger, or all of
//! them. `rows` reads them (which of those that came and left are the same, `moved` finds with `tally`), `refresh` carries
//! it out.
//!
//! What becomes of a table whose columns changed is decided by the warehouse (see the head of its
//! `migrate`); this flow keeps in the ledger which columns the lake wrote.

mod commit;
mod contract;
mod identity;
mod moved;
mod refresh;
mod rows;
mod run;
mod scripts;
mod tally;
mod work;

pub(in crate::flow) use contract::targets;
pub use identity::loaded;

use super::{Progress, Stop};
use crate::engine::Engine;
use crate::error::Result;
use crate::failpoint;
use crate::model::Project;
use crate::table::Lake;
use crate::warehouse::{Load, Warehouse};
use refresh::Refresh;
use run::Run;
use serde::Serialize;
use std::time::Duration;

const LOCK_PAUSE: Duration = Duration::from_millis(250);

#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Compare all rows of every table, and take over tables that this lake did not load.
    pub full: bool,
    /// Only report what would be done, and why: nothing is written, here or there, and no other load waited for.
    pub dry_run: bool,
}

#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub tables: Vec<TableReport>,
    /// The run manifest whose versions stand now.
    pub run: Option<u64>,
}

#[derive(Debug, Clone, Serialize)]
pub struct TableReport {
    /// `gold.name`
    pub table: String,
    pub version: i64,
    /// Rows the table holds now.
    pub rows: u64,
    pub inserted: u64,
    pub updated: u64,
    pub deleted: u64,
    pub status: Status,
    /// What was done and why: `2 files since version 7`, `full: it was never loaded`.
    pub how: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Loaded,
    Unchanged,
    /// Would be loaded, were it not a dry run.
    Due,
}

/// Loads the newest run. Running it again without a newer one changes nothing.
pub async fn load(
    project: &Project,
    lake: &Lake,
    engine: &Engine,
    warehouse: &mut dyn Warehouse,
    options: &Options,
    progress: &Progress,
    stop: &Stop,
) -> Result<Report> {
    let id = uuid::Uuid::new_v4().to_string();
    let (report, unsure) = {
        let mut load = warehouse.begin().await?;
        if !options.dry_run {
            wait_for_lock(load.as_mut(), progress, stop).await?;
        }
        let run = Run::open(project, lake, options.dry_run).await?;
        let refresh = Refresh { id: &id, run: &run, lake, engine, options, progress, stop };
        let (report, changed) = refresh.bring_up(project, load.as_mut()).await?;
        if !changed {
            return Ok(report);
        }
        stop.check()?;
        failpoint::hit("load.before_commit");
        let outcome = load.commit().await?;
        failpoint::hit("load.after_commit");
        (report, commit::doubt(outcome))
    };
    if let Some(cause) = unsure {
        commit::settle(warehouse, &id, cause, progress, stop).await?;
    }
    Ok(report)
}

async fn wait_for_lock(load: &mut dyn Load, progress: &Progress, stop: &Stop) -> Result<()> {
    let mut said = false;
    while !load.try_lock().await? {
        stop.check()?;
        if !said {
            progress.note("another load is running; waiting for it");
            said = true;
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
