//! `lake bronze`

use super::connections::Connections;
use super::maintain;
use super::output::Answer;
use crate::config::{Flag, duration};
use crate::error::Result;
use crate::flow::bronze::{Options, Report, Start, Stream};
use std::time::Duration;

/// Append the records of each topic to its Bronze table, each exactly once
#[derive(clap::Args)]
pub struct Args {
    /// Bronze tables [default: all streams of the project]
    #[arg(value_name = "TABLE")]
    tables: Vec<String>,
    /// End at what the topics hold now instead of waiting for more
    #[arg(long)]
    once: bool,
    /// Where a stream without a position begins: earliest, latest, offset:N or timestamp:RFC3339
    #[arg(long, value_name = "WHERE", value_parser = parse_start, default_value = "earliest")]
    start: Start,
    /// Time between two commits, for example 10s
    #[arg(long, value_name = "TIME", value_parser = parse_interval)]
    interval: Option<Duration>,
    /// Memory for what was read and is not committed yet [default: 256MB]
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// Read the N-th of OF shares of the partitions, and leave the others to other processes [default: all]
    #[arg(long, value_name = "N/OF")]
    share: Option<String>,
}

impl Args {
    pub fn flags(&self) -> Vec<Flag> {
        let memory = self.memory.clone().map(|value| Flag { key: "bronze.memory", value, name: "--memory" });
        let share = self.share.clone().map(|value| Flag { key: "bronze.share", value, name: "--share" });
        memory.into_iter().chain(share).collect()
    }
}

pub async fn run(args: Args, connections: &mut Connections) -> Result<Answer> {
    let streams = connections.streams(&args.tables)?;
    let mut options = connections.bronze_options(args.once);
    options.start = args.start;
    options.interval = args.interval.unwrap_or(options.interval);
    let report = match args.once {
        true => bronze(connections, &streams, &options).await?,
        false => {
            let tending = maintain::keep_tending(
                connections.lake().await?,
                streams.iter().map(|stream| stream.table.clone()).collect(),
                maintain::Schedule::new(&connections.config.maintain),
                connections.progress.clone(),
                connections.stop.clone(),
            );
            tokio::select! {
                report = bronze(connections, &streams, &options) => report?,
                never = tending => match never {},
            }
        }
    };
    Answer::new("", &report)
}

/// The flow with the project's connections; `run` uses it too.
pub async fn bronze(connections: &mut Connections, streams: &[Stream], options: &Options) -> Result<Report> {
    let kafka = connections.kafka()?;
    let (lake, engine) = (connections.lake().await?, connections.engine()?);
    crate::flow::bronze::bronze(&kafka, &lake, &engine, streams, options, &connections.progress, &connections.stop)
        .await
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    duration(text).map_err(|expected| format!("write {expected}"))
}

fn parse_start(text: &str) -> Result<Start, String> {
    const EXPECTED: &str = "write earliest, latest, offset:N or timestamp:2026-01-31T00:00:00Z";
    match text.split_once(':') {
        None if text == "earliest" => Ok(Start::Earliest),
        None if text == "latest" => Ok(Start::Latest),
        Some(("offset", number)) => {
            number.parse().ok().filter(|offset| *offset >= 0).map(Start::Offset).ok_or_else(|| EXPECTED.into())
        }
        Some(("timestamp", time)) => {
            let time = chrono::DateTime::parse_from_rfc3339(time).map_err(|error| format!("{EXPECTED} ({error})"))?;
            Ok(Start::Timestamp(time.timestamp_millis()))
        }
        _ => Err(EXPECTED.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starting_points() {
        assert!(matches!(parse_start("earliest"), Ok(Start::Earliest)));
        assert!(matches!(parse_start("latest"), Ok(Start::Latest)));
        assert!(matches!(parse_start("offset:17"), Ok(Start::Offset(17))));
        assert!(matches!(parse_start("timestamp:1970-01-01T00:00:01Z"), Ok(Start::Timestamp(1000))));
        for bad in ["", "offset:-1", "offset:x", "timestamp:yesterday", "middle", "latest:1"] {
            assert!(parse_start(bad).is_err(), "{bad}");
        }
    }
}
