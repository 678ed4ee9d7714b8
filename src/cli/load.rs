//! `lake load-warehouse`

use super::connections::Connections;
use super::output::Answer;
use crate::error::Result;
use crate::flow::load::{Options, Report, Status};

/// Load the Gold tables into PostgreSQL in one transaction
#[derive(clap::Args)]
pub struct Args {
    /// Compare every table although its version stands, and take over tables another lake loaded
    #[arg(long)]
    full: bool,
}

pub async fn run(args: Args, connections: &mut Connections) -> Result<Answer> {
    let options = Options { full: args.full };
    let report = load(connections, &options).await?;
    Answer::new("", &report)
}

/// The flow with the project's connections; `run` uses it too.
pub async fn load(connections: &mut Connections, options: &Options) -> Result<Report> {
    let project = connections.project()?;
    let (lake, engine) = (connections.lake().await?, connections.engine()?);
    let mut warehouse = connections.warehouse().await?;
    let (progress, stop) = (&connections.progress, &connections.stop);
    let report = crate::flow::load::load(&project, &lake, &engine, warehouse.as_mut(), options, progress, stop).await?;
    if report.tables.iter().all(|table| table.status == Status::Unchanged) {
        progress.note(format!("load: nothing to do, {} tables stand as they should", report.tables.len()));
    }
    Ok(report)
}
