//! `lake verify`

use super::columns::{columns, grouped};
use super::connections::Connections;
use super::output::Answer;
use crate::error::Result;
use crate::flow::count::counted;
use crate::flow::verify::{self, Proof, Report, Scope};
use crate::ident::TableName;
use std::num::NonZeroU64;

/// Prove that no row was lost or doubled from the files to PostgreSQL
#[derive(clap::Args)]
pub struct Args {
    /// Only this table, bronze.books or gold.dim_book; may be given several times
    #[arg(long = "table", value_name = "TABLE")]
    tables: Vec<String>,
    /// Compare about so many rows of each Gold table with PostgreSQL instead of all
    #[arg(long, value_name = "ROWS")]
    sample: Option<NonZeroU64>,
}

pub async fn run(args: Args, connections: &mut Connections) -> Result<Answer> {
    let project = connections.project()?;
    if connections.config.sources.is_empty() && project.sources.is_empty() && project.models.is_empty() {
        connections.progress.note("verify: the project declares no source, no stream and no model; nothing to prove");
        return Answer::new("", &Report { proofs: Vec::new() });
    }
    let has_streams = !connections.config.sources.is_empty() || !project.sources.is_empty();
    let streams = if has_streams { connections.streams(&[])? } else { Vec::new() };
    let (kafka, lake, engine) = (connections.kafka()?, connections.lake().await?, connections.engine()?);
    let mut warehouse = connections.warehouse().await?;
    let config = &connections.config;
    let declared = verify::Declared {
        root: &config.project,
        sources: &config.sources,
        streams: &streams,
        models: &project.models,
    };
    let tables = args.tables.iter().map(|name| TableName::parse(name)).collect::<Result<_>>()?;
    let scope = Scope { tables, sample: args.sample.map(NonZeroU64::get) };
    let (progress, stop) = (&connections.progress, &connections.stop);
    let parts = verify::Parts { kafka: &kafka, lake: &lake, engine: &engine, warehouse: warehouse.as_mut() };
    let proving = verify::verify(declared, parts, &scope, progress, stop);
    let (report, failure) = stop.before(proving).await?;
    Ok(Answer::new(text(&report), &report)?.failing(failure))
}

fn text(report: &Report) -> String {
    let rows: Vec<Vec<String>> = report.proofs.iter().map(line).collect();
    let mut text = columns(&["holds", "proof", "figures"], &rows);
    for proof in &report.proofs {
        for difference in proof.differences() {
            text.push_str(&format!("{}: {difference}\n", subject(proof)));
        }
    }
    text
}

fn line(proof: &Proof) -> Vec<String> {
    let holds = match proof {
        proof if !proof.is_one() => "-",
        proof if proof.differences().is_empty() => "yes",
        _ => "NO",
    };
    vec![holds.into(), subject(proof), figures(proof)]
}

fn subject(proof: &Proof) -> String {
    match proof {
        Proof::Rows(rows) => format!("files of {} -> {}", rows.sources.join(", "), rows.table),
        Proof::Offsets(offsets) => format!("offsets of {}", offsets.table),
        Proof::Star(star) => format!("gold -> {}", star.table),
        Proof::Absent(absent) => absent.table.clone(),
    }
}

fn figures(proof: &Proof) -> String {
    let said = |figures: &[(u64, &str)]| {
        let told = figures.iter().filter(|(figure, _)| *figure > 0);
        told.map(|(figure, what)| format!("{} {what}", grouped(*figure))).collect::<Vec<_>>().join(", ")
    };
    match proof {
        Proof::Rows(rows) => {
            let found = [
                (rows.good, "good"),
                (rows.quarantined, "quarantined"),
                (rows.filtered, "filtered"),
                (rows.dropped, "dropped from quarantine"),
            ];
            let wrong = [(rows.lost(), "missing"), (rows.doubled, "doubled"), (rows.unknown, "unknown")];
            let superseded = match rows.superseded {
                0 => String::new(),
                rows => format!("; {} superseded", grouped(rows)),
            };
            format!("{} = {}{superseded}", counted(rows.file_rows, "row"), said(&[&found[..], &wrong[..]].concat()))
        }
        Proof::Offsets(offsets) => {
            let parts = [
                (offsets.rows, "rows"),
                (offsets.rejects, "quarantined"),
                (offsets.duplicates, "duplicates"),
                (offsets.tombstones, "tombstones"),
                (offsets.filtered, "filtered"),
                (offsets.gaps, "gaps"),
                (offsets.dropped, "dropped from quarantine"),
            ];
            let commits = counted(offsets.commits, "commit");
            let retained = grouped(offsets.retained);
            format!("{} in {commits} = {}; the topic holds {retained}", grouped(offsets.offsets), said(&parts))
        }
        Proof::Star(star) if star.unnamed => {
            format!("the newest run does not name it; its {} in the warehouse stay", counted(star.rows, "row"))
        }
        Proof::Star(star) => {
            let of = if star.compared < star.rows { format!(" of {}", grouped(star.rows)) } else { String::new() };
            let columns = counted(star.columns as u64, "column");
            format!("{}{of}, {columns} at version {}", counted(star.compared, "row"), star.version)
        }
        Proof::Absent(_) => "it is not there".into(),
    }
}
