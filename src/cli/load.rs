//! `lake load-warehouse`

use super::columns::columns;
use super::connections::Connections;
use super::output::Answer;
use crate::error::Result;
use crate::flow::load::{Options, Report, Status, TableReport};

/// Load the Gold tables into PostgreSQL in one transaction
#[derive(clap::Args)]
pub struct Args {
    /// Compare all rows of every table, not only what changed, and take over tables another lake loaded
    #[arg(long)]
    full: bool,
    /// Only show what would be loaded, and why
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(args: Args, connections: &mut Connections) -> Result<Answer> {
    let options = Options { full: args.full, dry_run: args.dry_run };
    let report = load(connections, &options).await?;
    Answer::new(if args.dry_run { plan(&report) } else { String::new() }, &report)
}

/// What would be loaded, and why.
pub fn plan(report: &Report) -> String {
    let row = |table: &TableReport| {
        let does = if table.status == Status::Due { "load" } else { "-" };
        vec![table.table.clone(), does.into(), table.version.to_string(), table.how.clone()]
    };
    columns(&["table", "does", "version", "why"], &report.tables.iter().map(row).collect::<Vec<_>>())
}

/// The flow with the project's connections; `run` and `plan` use it too.
pub async fn load(connections: &mut Connections, options: &Options) -> Result<Report> {
    let project = connections.project()?;
    let (lake, engine) = (connections.lake().await?, connections.engine()?);
    let mut warehouse = connections.warehouse().await?;
    let (progress, stop) = (&connections.progress, &connections.stop);
    let report = crate::flow::load::load(&project, &lake, &engine, warehouse.as_mut(), options, progress, stop).await?;
    if !options.dry_run && report.tables.iter().all(|table| table.status == Status::Unchanged) {
        progress.note(format!("load: nothing to do, {} tables stand as they should", report.tables.len()));
    }
    Ok(report)
}
