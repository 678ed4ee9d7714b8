//! `lake retry`

use super::connections::Connections;
use super::output::Answer;
use super::{promote, test};
use crate::error::Result;
use crate::flow::retry::{Retry, retry};

/// Run again what failed or was blocked in the last promote or test, and nothing else
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub threads: promote::Threads,
}

pub async fn run(_args: Args, connections: &mut Connections) -> Result<Answer> {
    match retry(&connections.config.project, &connections.project()?).await? {
        Retry::Models(options) => {
            let (report, failure) = promote::promote(connections, &options).await?;
            Ok(Answer::new("", &report)?.failing(failure))
        }
        Retry::Tests(options) => {
            let (report, failure) = test::test(connections, &options).await?;
            Ok(Answer::new(test::text(&report.tests), &report)?.failing(failure))
        }
        Retry::Nothing => {
            connections.progress.note("retry: nothing failed in the last run");
            Ok(Answer::written())
        }
    }
}
