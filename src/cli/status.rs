//! `lake status`

use super::columns::{columns, grouped};
use super::connections::Connections;
use super::output::Answer;
use crate::config;
use crate::error::{Error, Result};
use crate::flow::status::{self, Parts, Report};
use crate::model::DBT_FILE;
use crate::table::Extent;

/// Show how far each stream, model and load has come
#[derive(clap::Args)]
pub struct Args {}

pub async fn run(_args: Args, connections: &mut Connections) -> Result<Answer> {
    let folder = &connections.config.project;
    if ![config::FILE, DBT_FILE, "models"].iter().any(|sign| folder.join(sign).exists()) {
        return Err(Error::config(format!("there is no project in `{}`, nor in a folder above it", folder.display()))
            .hint("make one with `lake init shop --from any.csv`, or name one with --project"));
    }
    let (project, streams, engine) = (connections.project()?, connections.streams(&[])?, connections.engine()?);
    let root = connections.config.project.clone();
    let parts = Parts {
        root: &root,
        project: &project,
        streams: &streams,
        engine: &engine,
        kafka: connections.kafka(),
        lake: connections.lake().await,
        warehouse: match connections.warehouse_exists() {
            true => Some(connections.warehouse().await),
            false => None,
        },
        target_file_size: connections.config.maintain.target_file_size as u64,
    };
    let report = status::status(parts).await?;
    Answer::new(text(&report), &report)
}

fn text(report: &Report) -> String {
    let sections = [streams(report), models(report), loads(report)];
    let mut text = sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n");
    for down in &report.down {
        text.push_str(&format!("\nno figures of the {}: {}\n", down.part, down.error));
    }
    text
}

fn streams(report: &Report) -> String {
    let row = |stream: &status::StreamStatus| {
        let places = stream.partitions.iter().map(|partition| {
            let topic = if stream.topics.len() == 1 { String::new() } else { format!("{}/", partition.topic) };
            format!("{topic}{}:{}/{}", partition.partition, known(partition.position), known(partition.high))
        });
        vec![
            stream.table.clone(),
            stream.topics.join(" "),
            number(stream.rows),
            number(stream.rejects),
            stream.extent.map(files).unwrap_or_default(),
            number(stream.lag().filter(|_| !stream.partitions.is_empty()).map(i64::unsigned_abs)),
            stream.lag_seconds().map_or_else(|| "-".into(), |seconds| format!("{seconds:.1}")),
            places.collect::<Vec<_>>().join(" "),
            stream.last_commit.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = report.streams.iter().map(row).collect();
    let head = [
        "stream",
        "topics",
        "rows",
        "quarantined",
        "files",
        "lag",
        "lag seconds",
        "partition:position/end",
        "last commit",
    ];
    if rows.is_empty() { String::new() } else { columns(&head, &rows) }
}

/// `12 (10 small)`: small ones are merged by `lake maintain`.
fn files(extent: Extent) -> String {
    match extent.small_files {
        0 => grouped(extent.files),
        small => format!("{} ({} small)", grouped(extent.files), grouped(small)),
    }
}

fn models(report: &Report) -> String {
    let row = |model: &status::ModelStatus| {
        vec![
            model.model.clone(),
            known(model.version),
            number(model.rows),
            model.tests.to_string(),
            outcomes(model),
            model.last_run.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = report.models.iter().map(row).collect();
    let head = ["model", "version", "rows", "tests", "last outcomes", "last run"];
    let whole =
        |model: &status::ModelStatus| Some(format!("{} was built whole: {}\n", model.model, model.whole.as_ref()?));
    let notes: String = report.models.iter().filter_map(whole).collect();
    if rows.is_empty() { String::new() } else { columns(&head, &rows) + &notes }
}

/// `2 passed, 1 FAILED at 2026-..`; tests that never ran are counted too.
fn outcomes(model: &status::ModelStatus) -> String {
    let status::Outcomes { passed, warned, failed, at } = &model.outcomes;
    let never = model.tests.saturating_sub(passed + warned + failed);
    let counts = [(*passed, "passed"), (*warned, "warned"), (*failed, "FAILED"), (never, "never run")];
    let told = counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    let told = told.collect::<Vec<_>>().join(", ");
    match at {
        Some(at) => format!("{told} at {at}"),
        None => told,
    }
}

fn loads(report: &Report) -> String {
    let row = |status::LoadStatus { entry, behind }: &status::LoadStatus| {
        let (version, run) = (entry.delta_version.to_string(), entry.run.to_string());
        let state = behind.map_or_else(|| "current".into(), |published| format!("behind, {published} is published"));
        vec![entry.table.clone(), version, state, run, grouped(entry.rows), entry.loaded_at.clone()]
    };
    let rows: Vec<_> = report.loads.iter().map(row).collect();
    if rows.is_empty() { String::new() } else { columns(&["loaded", "version", "state", "run", "rows", "at"], &rows) }
}

fn number(figure: Option<u64>) -> String {
    figure.map_or_else(|| "-".into(), grouped)
}

fn known(figure: Option<i64>) -> String {
    figure.map_or_else(|| "-".into(), |figure| figure.to_string())
}
