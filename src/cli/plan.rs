//! `lake plan`

use super::columns::{columns, grouped};
use super::connections::Connections;
use super::graph::{Drawing, Graph};
use super::load;
use super::output::{Answer, Format};
use super::promote::{Anew, Chosen, Target};
use super::screen;
use crate::error::Result;
use crate::flow;
use crate::flow::plan::{self, Changes, ModelPlan, Options, Read, Report};
use serde::Serialize;

/// Show what promote, and a load of what is published, would do and why; writes nothing and reads no row. More with -v
#[derive(clap::Args)]
pub struct Args {
    /// Which layer
    #[arg(value_enum, default_value = "all")]
    layer: Target,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    anew: Anew,
    /// Draw tables and models instead, those that would be built marked
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub graph: Option<Drawing>,
}

pub async fn run(args: Args, connections: &mut Connections) -> Result<Answer> {
    let (lake, engine) = (connections.lake().await?, connections.engine()?);
    let detailed = connections.verbose;
    let options = Options {
        promote: args.chosen.options(args.layer, args.anew),
        lineage: detailed || connections.format == Format::Json,
        schema: connections.config.warehouse.schema.clone(),
    };
    let root = &connections.config.project;
    let (report, failure) = plan::plan(root, &connections.project()?, &lake, &engine, &options).await?;
    if let Some(drawing) = args.graph {
        return Ok(Answer::new(Graph::of(&report).draw(drawing), &report)?.failing(failure));
    }
    let load = Load::foreseen(connections).await;
    let text = text(&report, detailed) + &load.text();
    Ok(Answer::new(text, &Whole { report: &report, load })?.failing(failure))
}

/// The plan, and what becomes of what is published.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    report: &'a Report,
    load: Load,
}

/// What `load-warehouse` would do now.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Load {
    Known(flow::load::Report),
    /// Why not.
    Unknown(String),
}

impl Load {
    /// Nothing is started for it.
    async fn foreseen(connections: &mut Connections) -> Load {
        if connections.config.warehouse.url.is_none() {
            return Load::Unknown("ask `lake load-warehouse --dry-run`, which starts the embedded PostgreSQL".into());
        }
        match load::load(connections, &flow::load::Options { dry_run: true, full: false }).await {
            Ok(report) => Load::Known(report),
            Err(error) => Load::Unknown(error.in_one_line()),
        }
    }

    fn text(&self) -> String {
        match self {
            Load::Known(report) => {
                let run = report.run.map(|run| format!(" of run {run}")).unwrap_or_default();
                format!("\nthe next load{run}:\n{}", load::plan(report))
            }
            Load::Unknown(why) => format!("\nthe next load is not known: {why}\n"),
        }
    }
}

fn text(report: &Report, detailed: bool) -> String {
    let row = |model: &ModelPlan| {
        let does = if model.runs { "build" } else { "-" };
        let tests = if model.tests.is_empty() { String::new() } else { model.tests.len().to_string() };
        vec![model.table.clone(), does.into(), model.reason.clone(), amount(model), tests, changes(model)]
    };
    let rows: Vec<Vec<String>> = report.models.iter().map(row).collect();
    let mut text = columns(&["model", "does", "why", "reads", "tests", "columns"], &rows);
    for model in &report.models {
        for broken in &model.breaks {
            text.push_str(&format!("\n`{}` breaks {}: {}\n", model.table, broken.what, broken.why));
        }
        if let Some(failure) = &model.last_failure {
            text.push_str(&format!("\n`{}` in the last run: {failure}\n", model.table));
        }
    }
    if detailed {
        report.models.iter().for_each(|model| text.push_str(&details(model)));
    }
    let runs = report.models.iter().filter(|model| model.runs).count();
    let tests: usize = report.models.iter().map(|model| model.tests.len()).sum();
    let (models, tests) = (grouped(report.models.len() as u64), grouped(tests as u64));
    text.push_str(&format!("\n{} of {models} models would be built, {tests} tests run\n", grouped(runs as u64)));
    text
}

/// What is known beforehand of what a build reads.
fn amount(model: &ModelPlan) -> String {
    if model.reads.is_empty() {
        return String::new();
    }
    let known: Vec<&Read> = model.reads.iter().filter(|read| !read.rebuilt).collect();
    let rows: Option<u64> = known.iter().map(|read| read.rows).sum();
    let bytes: Option<u64> = known.iter().map(|read| read.bytes).sum();
    let standing = format!("{} rows, {}", count(rows), size(bytes));
    match (known.is_empty(), known.len() < model.reads.len()) {
        (true, _) => "what is rebuilt".into(),
        (false, true) => format!("{standing}, and what is rebuilt"),
        (false, false) => standing,
    }
}

/// `+2 -1 ~1`: added, dropped, of another type.
fn changes(model: &ModelPlan) -> String {
    let Changes { before, after, added, dropped, retyped } = &model.columns;
    match (before, after) {
        (_, None) => return "not known".into(),
        (None, Some(after)) => return format!("{} new", after.len()),
        _ => {}
    }
    let counts = [('+', added.len()), ('-', dropped.len()), ('~', retyped.len())];
    let told = counts.iter().filter(|(_, count)| *count > 0).map(|(sign, count)| format!("{sign}{count}"));
    told.collect::<Vec<_>>().join(" ")
}

fn details(model: &ModelPlan) -> String {
    let mut lines = vec![format!("\n{}  {}", model.table, model.file)];
    for read in &model.reads {
        lines.push(match read.version {
            Some(version) => {
                let (rows, bytes) = (count(read.rows), size(read.bytes));
                format!("  reads {} version {version}: {rows} rows, {bytes}", read.table)
            }
            None => format!("  reads {}, rebuilt before: not known yet", read.table),
        });
    }
    lines.extend(model.tests.iter().map(|test| format!("  tests {test}")));
    let Changes { before, after, added, dropped, retyped } = &model.columns;
    let typed = |columns: &Option<Vec<plan::Column>>, name: &String| {
        let column = columns.iter().flatten().find(|column| column.name == *name);
        column.map(|column| format!("{name} {}", column.data_type)).unwrap_or_default()
    };
    lines.extend(added.iter().map(|name| format!("  + {}", typed(after, name))));
    lines.extend(dropped.iter().map(|name| format!("  - {}", typed(before, name))));
    lines.extend(retyped.iter().map(|column| format!("  ~ {} {} -> {}", column.name, column.before, column.after)));
    let listed = |names: &std::collections::BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
    if let Some(lineage) = &model.lineage {
        for column in after.iter().flatten() {
            let from = lineage.get(&column.name).map(listed).filter(|from| !from.is_empty());
            let from = from.unwrap_or_else(|| "no column".into());
            lines.push(format!("  {} {} <- {from}", column.name, column.data_type));
        }
    }
    if !model.influences.is_empty() {
        lines.push(format!("  rows decided by {}", listed(&model.influences)));
    }
    lines.join("\n") + "\n"
}

fn count(rows: Option<u64>) -> String {
    rows.map_or_else(|| "?".into(), grouped)
}

fn size(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "?".into(), screen::size)
}
