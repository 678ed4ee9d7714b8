//! `lake verify`: proofs that nothing was lost, doubled or changed on the way.
//!
//! Six kinds, each in a file of its own, each from what the parts hold now and nothing else:
//! - [`rows`]: every row of each declared file is in Bronze or its quarantine exactly once;
//! - [`offsets`]: the commits of each Bronze table add up without gap or overlap, and cover what the brokers still hold;
//! - [`cells`], when asked for: each cell of Bronze is what its file's row becomes (`resent`);
//! - [`remade`], when asked for: Silver and Gold are what their SQL makes of their inputs;
//! - [`star`]: what the ledger says was loaded is equal in Gold and in the warehouse;
//! - [`absent`], which never holds: a declared table that is not there.
//!
//! Two tables are compared by `contrast`, which asks both `sides` for checksums and lets `narrow` find the rows that
//! differ. [`Scope`] says of which tables. Reads only. To add a proof: a file, a variant of [`Proof`].

pub mod absent;
pub mod cells;
mod contrast;
mod difference;
mod held;
mod narrow;
pub mod offsets;
pub mod remade;
mod resent;
mod retained;
pub mod rows;
mod scope;
mod sendings;
mod sides;
pub mod star;

pub use difference::{Difference, Remedy};
pub use scope::Scope;

use super::bronze::Stream;
use super::count::counted;
use super::{Progress, Stop, load};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::kafka::KafkaConfig;
use crate::model::Project;
use crate::source::SourceConfig;
use crate::table::{Lake, manifest};
use crate::warehouse::Warehouse;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// How many examples a difference names.
const EXAMPLES: usize = 5;

/// One proof with its figures; it holds when it has no difference.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "proof", rename_all = "snake_case")]
pub enum Proof {
    Rows(rows::Rows),
    Offsets(offsets::Offsets),
    Cells(cells::Cells),
    Remade(remade::Remade),
    Star(star::Star),
    Absent(absent::Absent),
}

impl Proof {
    pub fn differences(&self) -> &[Difference] {
        match self {
            Proof::Rows(proof) => &proof.differences,
            Proof::Offsets(proof) => &proof.differences,
            Proof::Cells(proof) => &proof.differences,
            Proof::Remade(proof) => &proof.differences,
            Proof::Star(proof) => &proof.differences,
            Proof::Absent(proof) => &proof.differences,
        }
    }

    /// False when nothing was compared, so that it neither holds nor fails.
    pub fn is_one(&self) -> bool {
        match self {
            Proof::Cells(cells) => cells.not_compared.is_none(),
            Proof::Remade(remade) => remade.not_compared.is_none() || !remade.differences.is_empty(),
            Proof::Star(star) => !star.unnamed,
            Proof::Rows(_) | Proof::Offsets(_) | Proof::Absent(_) => true,
        }
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub proofs: Vec<Proof>,
}

impl Report {
    fn failure(&self) -> Option<Error> {
        let failed = self.proofs.iter().filter(|proof| !proof.differences().is_empty()).count();
        let all = self.proofs.iter().filter(|proof| proof.is_one()).count();
        let error = || Error::check_failed(format!("{failed} of {all} proofs do not hold"));
        (failed > 0).then(|| error().hint(difference::hint(self.proofs.iter().flat_map(Proof::differences))))
    }
}

/// What the project says there should be.
#[derive(Debug, Clone, Copy)]
pub struct Declared<'a> {
    /// The project's folder.
    pub root: &'a Path,
    pub sources: &'a [SourceConfig],
    pub streams: &'a [Stream],
    pub project: &'a Project,
}

/// What is read.
pub struct Parts<'a> {
    pub kafka: &'a KafkaConfig,
    pub lake: &'a Lake,
    pub engine: &'a Engine,
    pub warehouse: &'a mut dyn Warehouse,
}

/// Proves source files against Bronze, Bronze against its topics' offsets, when asked for Bronze's cells against the files
/// and models against their inputs, Gold against the warehouse, and that every declared table is there. A difference is
/// part of the report and makes the second value, of kind CheckFailed, or Conflict when lake or warehouse were written to
/// meanwhile; `Err` is a part that could not be read.
pub async fn verify(
    declared: Declared<'_>,
    mut parts: Parts<'_>,
    scope: &Scope,
    progress: &Progress,
    stop: &Stop,
) -> Result<(Report, Option<Error>)> {
    scope.check(declared)?;
    let before = standing(declared.streams, parts.lake, parts.warehouse).await?;
    let report = Report { proofs: prove(declared, &mut parts, scope, progress, stop).await? };
    let failure = match report.failure() {
        Some(_) if standing(declared.streams, parts.lake, parts.warehouse).await? != before => Some(moved()),
        failure => failure,
    };
    Ok((report, failure))
}

async fn prove(
    declared: Declared<'_>,
    parts: &mut Parts<'_>,
    scope: &Scope,
    progress: &Progress,
    stop: &Stop,
) -> Result<Vec<Proof>> {
    let (lake, engine) = (parts.lake, parts.engine);
    let mut proofs = Vec::new();
    for stream in declared.streams.iter().filter(|stream| scope.includes(&stream.table)) {
        stop.check()?;
        let stage = format!("verify {}", stream.table);
        progress.started(&stage, None);
        let found = prove_stream(declared, stream, parts, scope).await?;
        progress.finished(&stage, summary(&found));
        proofs.extend(found);
    }
    if scope.cells {
        let remade = remade::prove(declared, lake, engine, scope, progress, stop).await?;
        proofs.extend(remade.into_iter().map(Proof::Remade));
    }
    proofs.extend(absent::models(&declared.project.models, lake, scope).await?.into_iter().map(Proof::Absent));
    stop.check()?;
    progress.started("verify warehouse", None);
    let before = proofs.len();
    proofs.extend(star::prove(lake, engine, parts.warehouse, scope).await?.into_iter().map(Proof::Star));
    progress.finished("verify warehouse", summary(&proofs[before..]));
    Ok(proofs)
}

/// The proofs of one Bronze table.
async fn prove_stream(declared: Declared<'_>, stream: &Stream, parts: &Parts<'_>, scope: &Scope) -> Result<Vec<Proof>> {
    let Parts { kafka, lake, engine, .. } = parts;
    let mut proofs = Vec::new();
    let table = lake.table(&stream.table).await?;
    let offsets = match &table {
        Some(table) => Some(offsets::prove(stream, table, engine, kafka).await?),
        None => None,
    };
    let mut sent: BTreeMap<&str, Vec<&SourceConfig>> = BTreeMap::new();
    for source in declared.sources.iter().filter(|source| stream.topics.include(source.topic())) {
        sent.entry(source.topic()).or_default().push(source);
    }
    if sent.is_empty() && table.is_none() {
        proofs.push(Proof::Absent(absent::stream(stream)));
    }
    let mut cells = Vec::new();
    if scope.cells && sent.is_empty() && table.is_some() {
        cells.push(Proof::Cells(cells::Cells::unsent(stream)));
    }
    for (topic, sources) in sent {
        let read = offsets.as_ref().and_then(|offsets| offsets.topics.get(topic)).cloned().unwrap_or_default();
        let rows = rows::prove(declared.root, &sources, (stream, topic), table.as_ref(), &read, engine).await?;
        if let (true, Some(table), Some(offsets)) = (scope.cells, &table, &offsets) {
            let sample = scope.sample.map(|wanted| (wanted, rows.file_rows));
            let (root, sources, declared) = (declared.root, sources.as_slice(), &offsets.declared);
            let asked = cells::Asked { root, sources, stream, topic, table, declared, sample };
            cells.push(Proof::Cells(cells::prove(&asked, lake, engine).await?));
        }
        proofs.push(Proof::Rows(rows));
    }
    proofs.extend(offsets.map(Proof::Offsets));
    proofs.extend(cells);
    Ok(proofs)
}

/// A difference between parts that were looked at before and after a commit says nothing.
fn moved() -> Error {
    Error::conflict("the lake or the warehouse moved while it was looked at, so the differences prove nothing")
        .hint("run `lake verify` again, best while no other command of lake is going on")
}

/// Where everything stands.
#[derive(Debug, PartialEq)]
struct Standing {
    /// The version of each Bronze table.
    bronze: Vec<Option<i64>>,
    run: Option<u64>,
    /// The load of each table.
    loads: Vec<(String, String)>,
}

async fn standing(streams: &[Stream], lake: &Lake, warehouse: &mut dyn Warehouse) -> Result<Standing> {
    let mut bronze = Vec::with_capacity(streams.len());
    for stream in streams {
        bronze.push(lake.table(&stream.table).await?.map(|table| table.version()));
    }
    let loads = load::loaded(lake, warehouse).await?.into_iter().map(|entry| (entry.table, entry.load_id)).collect();
    Ok(Standing { bronze, run: manifest::latest(lake).await?.map(|run| run.run), loads })
}

fn summary(proofs: &[Proof]) -> String {
    let differences: usize = proofs.iter().map(|proof| proof.differences().len()).sum();
    match (differences, proofs.iter().filter(|proof| proof.is_one()).count() as u64) {
        (0, 0) => "nothing to prove".to_string(),
        (0, 1) => "1 proof holds".to_string(),
        (0, proofs) => format!("{} hold", counted(proofs, "proof")),
        (_, proofs) => format!("{}, {}", counted(proofs, "proof"), counted(differences as u64, "difference")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Format;
    use crate::ident::{Layer, TableName};
    use crate::model::{Drift, Topics};
    use crate::table::LakeConfig;
    use crate::warehouse::{connect, throwaway};
    use arrow::datatypes::{DataType, Field, Schema};
    use std::sync::Arc;

    #[test]
    fn what_was_not_compared_is_not_counted_among_the_proofs() {
        let star = |unnamed| Proof::Star(star::Star { unnamed, ..star::Star::default() });
        assert_eq!(summary(&[star(true)]), "nothing to prove");
        assert_eq!(summary(&[star(true), star(false)]), "1 proof holds");
    }

    #[tokio::test]
    async fn a_table_that_appears_or_grows_moves_the_lake() {
        let Some(warehouse) = throwaway::database().await else { return };
        let mut warehouse = connect(&warehouse).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let config = LakeConfig { root: folder.path().display().to_string(), ..LakeConfig::default() };
        let lake = Lake::open(&config).await.unwrap();
        let table = TableName::new(Layer::Bronze, "a").unwrap();
        let stream = Stream {
            table: table.clone(),
            topics: Topics::one("a"),
            only: None,
            columns: Vec::new(),
            sql: None,
            partition_by: Vec::new(),
            max_reject_rate: None,
            format: Format::default(),
            drift: Drift::default(),
        };
        let before = standing(std::slice::from_ref(&stream), &lake, warehouse.as_mut()).await.unwrap();
        assert_eq!(before, Standing { bronze: vec![None], run: None, loads: Vec::new() });
        let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, true)]));
        lake.create(&table, schema, &[]).await.unwrap();
        assert_ne!(standing(&[stream], &lake, warehouse.as_mut()).await.unwrap(), before);
        assert_eq!(moved().kind().exit_code(), 75);
    }
}
