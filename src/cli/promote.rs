//! `lake promote`

use super::connections::Connections;
use super::done::Done;
use super::output::Answer;
use crate::config::Flag;
use crate::error::{Error, Result};
use crate::flow::promote::{ModelStatus, Options, Report};
use crate::ident::Layer;
use clap::ValueEnum;

/// Run the SQL models of a layer, test each result before it is committed
#[derive(clap::Args)]
pub struct Args {
    /// Which layer
    #[arg(value_enum)]
    layer: Target,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    anew: Anew,
    #[command(flatten)]
    pub threads: Threads,
}

/// What is made anew although it stands.
#[derive(clap::Args)]
pub struct Anew {
    /// Recompute models whose SQL and inputs have not changed, too
    #[arg(long)]
    full_refresh: bool,
    /// Make the keys anew that came into the driving table of the one selected model after this version of it
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(i64).range(0..), conflicts_with = "full_refresh")]
    since_version: Option<i64>,
}

/// How much is done at the same time.
#[derive(clap::Args)]
pub struct Threads {
    /// Models worked on at the same time, and parts of each query [default: engine.threads, else one for each core]
    #[arg(long, value_name = "N")]
    threads: Option<String>,
}

impl Threads {
    pub fn flags(&self) -> Vec<Flag> {
        let flag = |value: &String| Flag { key: "engine.threads", name: "--threads", value: value.clone() };
        self.threads.iter().map(flag).collect()
    }
}

/// Which models, in dbt's words.
#[derive(clap::Args)]
pub struct Chosen {
    /// Only these: name, +name, 2+name, name+, @name, tag:x, path:models/gold, state:modified; a,b is both at once
    #[arg(long, value_name = "MODEL", num_args = 1..)]
    pub select: Vec<String>,
    /// Not these, in the same words
    #[arg(long, value_name = "MODEL", num_args = 1..)]
    pub exclude: Vec<String>,
}

impl Chosen {
    pub fn options(self, target: Target, anew: Anew) -> Options {
        let Chosen { select, exclude } = self;
        let Anew { full_refresh, since_version } = anew;
        Options { layers: target.layers(), select, exclude, only: None, full_refresh, since_version }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Target {
    Silver,
    Gold,
    All,
}

impl Target {
    fn layers(self) -> Vec<Layer> {
        match self {
            Target::Silver => vec![Layer::Silver],
            Target::Gold => vec![Layer::Gold],
            Target::All => vec![Layer::Silver, Layer::Gold],
        }
    }
}

pub async fn run(args: Args, connections: &mut Connections) -> Result<Answer> {
    let options = args.chosen.options(args.layer, args.anew);
    let (report, failure) = promote(connections, &options).await?;
    Ok(Answer::new("", &report)?.failing(failure))
}

/// Everything that changed; what `run` does.
pub fn all() -> Options {
    Options { layers: Target::All.layers(), ..Options::default() }
}

/// The flow with the project's connections, and the failure when a model or a test failed.
pub async fn promote(connections: &mut Connections, options: &Options) -> Result<(Report, Option<Error>)> {
    let (lake, engine) = (connections.lake().await?, connections.engine()?);
    let (config, project) = (&connections.config, connections.project()?);
    let (progress, stop) = (&connections.progress, &connections.stop);
    let (report, failure) =
        crate::flow::promote::promote(&config.project, &project, &lake, &engine, options, progress, stop).await?;
    if failure.is_none()
        && report.models.iter().all(|model| matches!(model.status, ModelStatus::Skipped | ModelStatus::View))
    {
        progress.note(format!("promote: nothing to do, {} models are up to date", report.models.len()));
    }
    if let Some(slowest) = super::slowest::slowest(&report) {
        progress.note(slowest.trim_end());
    }
    if let Some(receipt) = super::evidence::receipt(&report.evidence) {
        progress.note(receipt.trim_end());
    }
    if project.is_dbt() {
        progress.note(Done::of(&report.models, &report.tests, &report.unit_tests).to_string());
    }
    Ok((report, failure))
}
