//! `lake doctor`

use super::columns::columns;
use super::connections::Connections;
use super::output::Answer;
use crate::error::Result;
use crate::flow::doctor::{self, Finding, Parts, Report, State};

/// Examine every part: reachable, conditional PUT, rights, clock, disk
#[derive(clap::Args)]
pub struct Args {}

pub async fn run(_args: Args, connections: &mut Connections) -> Result<Answer> {
    let parts = Parts {
        kafka: connections.kafka(),
        topics: connections.config.sources.iter().map(|source| source.topic().to_string()).collect(),
        lake: connections.lake().await,
        warehouse: connections.warehouse().await,
        schema: connections.config.warehouse.schema.clone(),
        dot_lake: connections.config.dot_lake(),
    };
    let (report, failure) = doctor::doctor(parts).await;
    Ok(Answer::new(text(&report), &report)?.failing(failure))
}

fn text(report: &Report) -> String {
    let row = |finding: &Finding| {
        let state = match finding.state {
            State::Ok => "ok",
            State::Warn => "warn",
            State::Fail => "FAIL",
        };
        vec![state.to_string(), finding.part.to_string(), finding.message.clone()]
    };
    let rows: Vec<_> = report.findings.iter().map(row).collect();
    let mut text = columns(&["", "part", "finding"], &rows);
    for finding in &report.findings {
        if let Some(remedy) = &finding.remedy {
            text.push_str(&format!("{}: {remedy}\n", finding.part));
        }
    }
    text
}
