//! `lake verify`: proofs that nothing was lost or doubled on the way.
//!
//! Four kinds, each in a file of its own, each from what the parts hold now and nothing else:
//! [`rows`], every row of each declared file is in Bronze or its quarantine exactly once; [`offsets`], the
//! commits of each Bronze table add up without gap or overlap; [`star`], what the ledger says was loaded is
//! equal in Gold and in the warehouse; [`absent`], which never holds: a declared table that is not there.
//! Reads only. To add a proof: a file, a variant of [`Proof`].

pub mod absent;
pub mod offsets;
pub mod rows;
pub mod star;

use super::bronze::Stream;
use super::{Progress, Stop};
use crate::engine::Engine;
use crate::error::{Context, Error, Kind, Result};
use crate::model::Model;
use crate::source::SourceConfig;
use crate::table::Lake;
use crate::warehouse::Warehouse;
use arrow::array::{Array, ArrayRef};
use arrow::util::display::array_value_to_string;
use serde::Serialize;
use std::path::Path;

/// How many examples a difference names.
const EXAMPLES: usize = 5;

/// One proof with its figures; it holds when it has no difference.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "proof", rename_all = "snake_case")]
pub enum Proof {
    Rows(rows::Rows),
    Offsets(offsets::Offsets),
    Star(star::Star),
    Absent(absent::Absent),
}

impl Proof {
    pub fn differences(&self) -> &[String] {
        match self {
            Proof::Rows(proof) => &proof.differences,
            Proof::Offsets(proof) => &proof.differences,
            Proof::Star(proof) => &proof.differences,
            Proof::Absent(proof) => &proof.differences,
        }
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub proofs: Vec<Proof>,
}

impl Report {
    /// [`crate::error::Kind::CheckFailed`] when a proof does not hold.
    pub fn failure(&self) -> Option<Error> {
        let failed = self.proofs.iter().filter(|proof| !proof.differences().is_empty()).count();
        let error = || Error::check_failed(format!("{failed} of {} proofs do not hold", self.proofs.len()));
        (failed > 0).then(|| error().hint("bring everything up to date with `lake run --once`; rows changed by hand in the warehouse are put right by `lake load-warehouse --full`"))
    }
}

/// What the project says there should be.
#[derive(Debug, Clone, Copy)]
pub struct Declared<'a> {
    /// The project's folder.
    pub root: &'a Path,
    pub sources: &'a [SourceConfig],
    pub streams: &'a [Stream],
    pub models: &'a [Model],
}

/// Proves source files against Bronze, Bronze against its topics' offsets, Gold against the warehouse, and that
/// every declared table is there. A difference is part of the report; an error is a part that could not be read.
pub async fn verify(
    declared: Declared<'_>,
    lake: &Lake,
    engine: &Engine,
    warehouse: &mut dyn Warehouse,
    progress: &Progress,
    stop: &Stop,
) -> Result<Report> {
    let mut proofs = Vec::new();
    for stream in declared.streams {
        stop.check()?;
        let stage = format!("verify {}", stream.table);
        progress.started(&stage, None);
        let before = proofs.len();
        let table = lake.table(&stream.table).await?;
        let offsets = match &table {
            Some(table) => Some(offsets::prove(stream, table, engine).await?),
            None => None,
        };
        let filtered = offsets.as_ref().map_or(0, |offsets| offsets.filtered);
        let sent: Vec<&SourceConfig> =
            declared.sources.iter().filter(|source| source.topic() == stream.topic).collect();
        if !sent.is_empty() {
            let rows = rows::prove(declared.root, &sent, stream, table.as_ref(), filtered, engine).await?;
            proofs.push(Proof::Rows(rows));
        } else if table.is_none() {
            proofs.push(Proof::Absent(absent::stream(stream)));
        }
        proofs.extend(offsets.map(Proof::Offsets));
        progress.finished(&stage, summary(&proofs[before..]));
    }
    proofs.extend(absent::models(declared.models, lake).await?.into_iter().map(Proof::Absent));
    stop.check()?;
    progress.started("verify warehouse", None);
    let before = proofs.len();
    proofs.extend(star::prove(lake, engine, warehouse).await?.into_iter().map(Proof::Star));
    progress.finished("verify warehouse", summary(&proofs[before..]));
    Ok(Report { proofs })
}

fn summary(proofs: &[Proof]) -> String {
    let differences: usize = proofs.iter().map(|proof| proof.differences().len()).sum();
    match differences {
        0 if proofs.is_empty() => "nothing to prove".to_string(),
        0 => format!("{} proofs hold", proofs.len()),
        _ => format!("{} proofs, {differences} differences", proofs.len()),
    }
}

/// The texts of a column, whatever text type the engine chose; nulls are left out.
fn texts(column: &ArrayRef) -> Result<Vec<String>> {
    let values = (0..column.len()).map(|row| text_at(column, row));
    Ok(values.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

fn text_at(column: &ArrayRef, row: usize) -> Result<Option<String>> {
    if column.is_null(row) {
        return Ok(None);
    }
    array_value_to_string(column, row).map(Some).context(Kind::Internal, || "read a text")
}
