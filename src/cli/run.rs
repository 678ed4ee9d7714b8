//! `lake run`

use super::connections::Connections;
use super::output::Answer;
use super::{bronze, load, maintain, produce, promote};
use crate::error::{Error, Kind, Result};
use crate::flow;
use crate::flow::load::Status;
use crate::flow::promote::ModelStatus;
use serde::Serialize;

/// Produce, bronze, promote and load-warehouse in a row
#[derive(clap::Args)]
pub struct Args {
    /// One round over what there is now, instead of a round each interval. Without it a service that does not
    /// answer is waited for; any other failure ends the run when its round is done
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    pub threads: promote::Threads,
}

/// What one round did.
#[derive(Serialize)]
pub struct Round {
    /// Absent when the project declares no source.
    pub produce: Option<flow::produce::Report>,
    pub bronze: flow::bronze::Report,
    pub promote: flow::promote::Report,
    /// Absent when a model failed: nothing half is loaded.
    pub load: Option<flow::load::Report>,
}

impl Round {
    /// No row was sent, read, built or loaded.
    pub fn nothing_to_do(&self) -> bool {
        let sent = self.produce.iter().flat_map(|report| &report.sources).any(|source| source.sent > 0);
        let read = self.bronze.tables.iter().any(|table| table.commits > 0);
        let built = self.promote.models.iter().any(|model| model.status != ModelStatus::Skipped);
        let loaded = self.load.iter().flat_map(|report| &report.tables).any(|table| table.status == Status::Loaded);
        !(sent || read || built || loaded)
    }
}

pub async fn run(args: Args, connections: &mut Connections) -> Result<Answer> {
    let mut schedule = maintain::Schedule::new(&connections.config.maintain);
    loop {
        let (report, failure) = match round(connections).await {
            Err(error) if !args.once && passes(&error) => {
                let wait = connections.config.bronze.interval.as_secs_f64();
                connections.progress.note(format!("{}; trying again in {wait} s", error.in_one_line()));
                if connections.pause().await {
                    continue;
                }
                return Err(error);
            }
            outcome => outcome?,
        };
        if failure.is_some() || args.once || !connections.pause().await {
            return Ok(Answer::new("", &report)?.failing(failure));
        }
        if let Some(options) = schedule.due() {
            maintain::tend_all(connections, &options).await;
        }
    }
}

/// Whether the next round may succeed without anybody mending something.
fn passes(error: &Error) -> bool {
    matches!(error.kind(), Kind::Unavailable | Kind::Conflict)
}

/// The four verbs in a row, each to the end of what there is when it starts. A source that cannot be sent keeps
/// back nothing of the others; a model that fails ends the round before the load.
pub async fn round(connections: &mut Connections) -> Result<(Round, Option<Error>)> {
    let (produce, unsent) = produce_declared(connections).await?;
    match (onward(connections, produce).await, unsent) {
        (Ok((round, None)), unsent) => Ok((round, unsent)),
        (Ok((round, Some(failure))), Some(unsent)) => Ok((round, Some(both(unsent, failure)))),
        (Err(error), Some(unsent)) if is_fault(&error) => Err(both(unsent, error)),
        (outcome, _) => outcome,
    }
}

/// A fault of data or settings, as against a service or a signal.
fn is_fault(error: &Error) -> bool {
    matches!(error.kind(), Kind::Input | Kind::Config | Kind::CheckFailed)
}

/// What was not sent, and what went wrong after it, most likely because it is missing there.
fn both(unsent: Error, later: Error) -> Error {
    Error::of_several(unsent.kind(), "produce is incomplete, and a later step failed", vec![unsent, later])
}

/// What follows `produce`.
async fn onward(
    connections: &mut Connections,
    produce: Option<flow::produce::Report>,
) -> Result<(Round, Option<Error>)> {
    let streams = connections.streams(&[])?;
    let options = connections.bronze_options(true);
    let bronze = bronze::bronze(connections, &streams, &options).await?;
    connections.stop.check()?;
    let (promote, failure) = promote::promote(connections, &promote::all()).await?;
    connections.stop.check()?;
    let load = match failure {
        None => Some(load::load(connections, &flow::load::Options::default()).await?),
        Some(_) => None,
    };
    Ok((Round { produce, bronze, promote, load }, failure))
}

async fn produce_declared(connections: &mut Connections) -> Result<(Option<flow::produce::Report>, Option<Error>)> {
    let sources = connections.config.sources.clone();
    if sources.is_empty() {
        return Ok((None, None));
    }
    let options = connections.produce_options();
    let (report, failure) = produce::produce(connections, &sources, &options).await?;
    Ok((Some(report), failure))
}
