//! `lake verify`

use super::columns::{columns, grouped};
use super::connections::Connections;
use super::output::Answer;
use crate::error::Result;
use crate::flow::count::counted;
use crate::flow::verify::{self, Proof, Report, Scope, cells::Cells, offsets::Offsets, remade::Remade, rows::Rows};
use crate::ident::TableName;
use std::num::NonZeroU64;

/// Prove that no row was lost, doubled or changed from the files to PostgreSQL
#[derive(clap::Args)]
pub struct Args {
    /// Only this table, bronze.books or gold.dim_book; may be given several times
    #[arg(long = "table", value_name = "TABLE")]
    tables: Vec<String>,
    /// Compare about so many rows of each table instead of all
    #[arg(long, value_name = "ROWS")]
    sample: Option<NonZeroU64>,
    /// Compare Bronze with its files cell by cell, too, and Silver and Gold with what their SQL makes
    #[arg(long)]
    cells: bool,
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
    let declared =
        verify::Declared { root: &config.project, sources: &config.sources, streams: &streams, project: &project };
    let tables = args.tables.iter().map(|name| TableName::parse(name)).collect::<Result<_>>()?;
    let scope = Scope { tables, sample: args.sample.map(NonZeroU64::get), cells: args.cells };
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
        Proof::Cells(cells) => format!("cells of {}", cells.table),
        Proof::Remade(remade) => format!("{} -> {}", remade.file, remade.table),
        Proof::Star(star) => format!("gold -> {}", star.table),
        Proof::Absent(absent) => absent.table.clone(),
    }
}

fn figures(proof: &Proof) -> String {
    match proof {
        Proof::Rows(rows) => of_rows(rows),
        Proof::Offsets(offsets) => of_offsets(offsets),
        Proof::Cells(Cells { not_compared: Some(why), .. }) | Proof::Remade(Remade { not_compared: Some(why), .. }) => {
            format!("not compared: {why}")
        }
        Proof::Cells(cells) => {
            format!("{}{}", compared(cells.rows, cells.columns), beside(cells.changed, "changed in their files since"))
        }
        Proof::Remade(remade) => of_remade(remade),
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

fn of_rows(rows: &Rows) -> String {
    let told = said(&[
        (rows.good, "good"),
        (rows.quarantined, "quarantined"),
        (rows.filtered, "filtered"),
        (rows.dropped, "dropped from quarantine"),
        (rows.lost(), "missing"),
        (rows.doubled, "doubled"),
        (rows.unknown, "unknown"),
    ]);
    let superseded = match rows.superseded {
        0 => String::new(),
        rows => format!("; {} superseded", grouped(rows)),
    };
    format!("{} = {told}{superseded}", counted(rows.file_rows, "row"))
}

fn of_offsets(offsets: &Offsets) -> String {
    let told = said(&[
        (offsets.rows, "rows"),
        (offsets.rejects, "quarantined"),
        (offsets.duplicates, "duplicates"),
        (offsets.tombstones, "tombstones"),
        (offsets.filtered, "filtered"),
        (offsets.gaps, "gaps"),
        (offsets.dropped, "dropped from quarantine"),
    ]);
    let (commits, retained) = (counted(offsets.commits, "commit"), grouped(offsets.retained));
    format!("{} in {commits} = {told}; the topic holds {retained}", grouped(offsets.offsets))
}

fn of_remade(remade: &Remade) -> String {
    let left_out = match remade.left_out.as_slice() {
        [] => String::new(),
        columns => format!("; sums of floats not compared: {}", columns.join(", ")),
    };
    let (figures, rejected) = (compared(remade.rows, remade.columns), beside(remade.rejected, "rejected"));
    format!("{figures} at version {}{rejected}{left_out}", remade.version)
}

fn compared(rows: u64, columns: usize) -> String {
    format!("{}, {}", counted(rows, "row"), counted(columns as u64, "column"))
}

fn beside(count: u64, what: &str) -> String {
    if count > 0 { format!(", {} {what}", grouped(count)) } else { String::new() }
}

/// Those that are not 0.
fn said(figures: &[(u64, &str)]) -> String {
    let told = figures.iter().filter(|(figure, _)| *figure > 0);
    told.map(|(figure, what)| format!("{} {what}", grouped(*figure))).collect::<Vec<_>>().join(", ")
}
