//! Silver and Gold are what their SQL makes: the statement of each model is run whole on the versions of its inputs that
//! the table's own commit names, and its rows are compared with the table's as multisets, cell by cell.
//!
//! Rows that tests took out are compared with `<model>__rejected`. Nothing is claimed of a table that differs where one
//! run of its statement need not give its rows ([`again`] says why), nor of floating numbers that were added up in no
//! order.

#[cfg(test)]
mod tests;

use super::contrast::{Contrast, contrast};
use super::sides::{Both, Side, Sides};
use super::{Declared, Difference, Remedy, Scope};
use crate::engine::Engine;
use crate::engine::types::type_name;
use crate::error::{Error, Kind, Result};
use crate::flow::catalog;
use crate::flow::count::counted;
use crate::flow::promote::again::{self, Again, Rejected};
use crate::flow::promote::hashes::{Hasher, Hashes};
use crate::flow::promote::record::record_of;
use crate::flow::{Progress, Stop};
use crate::ident::quote;
use crate::model::{Materialization, Model, rejected_of};
use crate::table::manifest::{self, Manifest};
use crate::table::{CommitInfo, Lake, Table};
use crate::warehouse::{Fingerprint, Part};
use arrow::datatypes::{DataType, Field, Schema};
use futures::TryStreamExt;
use serde::Serialize;
use std::pin::pin;
use std::sync::Arc;

const NAMES: Both<&str> = Both { one: "by its SQL", other: "in the table" };

/// The proof of one version of a table.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Remade {
    pub table: String,
    /// Of the model, relative to the project.
    pub file: String,
    pub version: i64,
    /// Rows its SQL makes that were compared.
    pub rows: u64,
    /// Rows its tests take out that were compared.
    pub rejected: u64,
    /// Columns compared.
    pub columns: usize,
    /// Columns that were not: their last digits depend on the order of rows.
    pub left_out: Vec<String>,
    /// Sum of the hashes of the rows compared.
    pub checksum: String,
    /// Why nothing was compared, or nothing follows from it.
    pub not_compared: Option<String>,
    pub differences: Vec<Difference>,
}

/// One proof per published model of the scope, of its newest version and, where its rows are others, of the one that the
/// newest run names.
pub async fn prove(
    declared: Declared<'_>,
    lake: &Lake,
    engine: &Engine,
    scope: &Scope,
    progress: &Progress,
    stop: &Stop,
) -> Result<Vec<Remade>> {
    let models: Vec<&Model> = declared.project.models.iter().collect();
    let hashes = Hasher::of(declared.project).all(&models)?;
    let newest = manifest::latest(lake).await?;
    let mut proofs = Vec::new();
    for (model, hashes) in models.into_iter().zip(&hashes).filter(|(model, _)| scope.includes(&model.table)) {
        stop.check()?;
        let Some(table) = lake.table(&model.table).await?.filter(catalog::published) else { continue };
        let stage = format!("verify {}", model.table);
        progress.started(&stage, None);
        let before = proofs.len();
        for table in versions(table, newest.as_ref()).await? {
            let mut proof = compare(model, hashes, &table, (lake, engine), scope.sample).await?;
            proof.tell_others(&table).await?;
            proofs.push(proof);
        }
        progress.finished(&stage, summary(&proofs[before..]));
    }
    Ok(proofs)
}

fn summary(proofs: &[Remade]) -> String {
    let differences: usize = proofs.iter().map(|proof| proof.differences.len()).sum();
    match (proofs.iter().all(|proof| proof.not_compared.is_some()), differences) {
        (true, _) => "not compared".to_string(),
        (false, 0) => "as its SQL makes it".to_string(),
        (false, differences) => counted(differences as u64, "difference"),
    }
}

/// The newest version, which the next run goes on from, and the one that readers see if its rows are others.
async fn versions(table: Table, newest: Option<&Manifest>) -> Result<Vec<Table>> {
    let named = newest.and_then(|newest| newest.tables.get(&table.name().to_string()));
    let Some(named) = named.filter(|named| named.is_of(&table)) else { return Ok(vec![table]) };
    if named.names_rows_of(&table).await? {
        return Ok(vec![table]);
    }
    let seen = match table.at(named.version).await {
        // Whoever reads it is told so.
        Err(error) if error.kind() == Kind::Input => None,
        seen => Some(seen?),
    };
    Ok(seen.into_iter().chain([table]).collect())
}

async fn compare(
    model: &Model,
    hashes: &Hashes,
    table: &Table,
    (lake, engine): (&Lake, &Engine),
    sample: Option<u64>,
) -> Result<Remade> {
    let mut proof = Remade {
        table: model.table.to_string(),
        file: model.file.display().to_string(),
        version: table.version(),
        ..Remade::default()
    };
    let again = match again::again(lake, engine, model, hashes, table).await? {
        Err(why) => {
            proof.not_compared = Some(why);
            return Ok(proof);
        }
        Ok(again) => again,
    };
    if let Some(text) = column_difference(&again.schema, &table.schema()) {
        proof.differ(text);
        return Ok(proof);
    }
    let making = Making { model, again, lake, engine };
    making.compare_kept(&mut proof, table, sample).await?;
    if let Some(rejected) = making.again.rejected.as_ref().filter(|_| proof.not_compared.is_none()) {
        making.compare_rejected(&mut proof, rejected).await?;
    }
    Ok(proof)
}

/// Columns that tell its rows apart, if any do.
fn key(model: &Model) -> Vec<String> {
    match &model.materialization {
        Materialization::Incremental(incremental) if !incremental.strategy.key().is_empty() => {
            incremental.strategy.key().to_vec()
        }
        _ => model.primary_key().unwrap_or_default(),
    }
}

fn column_difference(made: &Schema, standing: &Schema) -> Option<String> {
    let listed = |schema: &Schema| {
        let column = |field: &Arc<Field>| format!("{} {}", field.name(), type_name(field.data_type()));
        let mut columns: Vec<String> = schema.fields().iter().map(column).collect();
        columns.sort();
        columns.join(", ")
    };
    let (made, standing) = (listed(made), listed(standing));
    (made != standing).then(|| format!("its columns are {made} {}, {standing} {}", NAMES.one, NAMES.other))
}

impl Remade {
    fn differ(&mut self, text: impl Into<String>) {
        self.differences.push(Difference::new(Remedy::Rebuild, text));
    }

    /// Where rows cannot be compared, that another program changed them is a fault all the same.
    async fn tell_others(&mut self, table: &Table) -> Result<()> {
        if self.not_compared.is_none() && self.left_out.is_empty() {
            return Ok(());
        }
        let built = record_of(table).await?.version;
        if let Some(CommitInfo { version, operation, .. }) = by_another(table, built).await? {
            self.differ(format!("commit {version} ({operation}) of another program changed rows"));
        }
        Ok(())
    }
}

/// A model's rows about to be made again.
struct Making<'a> {
    model: &'a Model,
    again: Again,
    lake: &'a Lake,
    engine: &'a Engine,
}

impl Making<'_> {
    async fn compare_kept(&self, proof: &mut Remade, table: &Table, sample: Option<u64>) -> Result<()> {
        let (schema, left_out) = comparable(&self.again.schema, self.again.adds_floats);
        proof.left_out = left_out;
        if schema.fields().is_empty() {
            proof.not_compared = Some("all its columns are floating numbers that were added up in no order".into());
            return Ok(());
        }
        let part = match (sample, table.rows()) {
            (Some(wanted), Some(rows)) => Part::sample(wanted, rows),
            _ => Part::ALL,
        };
        let print = Fingerprint::new(&schema, &key(self.model));
        let (found, unsteady) = self.contrast(&self.again.kept, table, print, &part).await?;
        (proof.rows, proof.columns, proof.checksum) = (found.rows, found.columns, found.checksum);
        proof.not_compared = unsteady;
        found.differences.into_iter().for_each(|text| proof.differ(text));
        Ok(())
    }

    async fn compare_rejected(&self, proof: &mut Remade, rejected: &Rejected) -> Result<()> {
        let name = rejected_of(&self.model.table)?;
        let table = match self.lake.table(&name).await? {
            Some(table) => at_build(table, rejected.version).await?,
            None => Err(format!("`{name}` is gone")),
        };
        let table = match table {
            Ok(table) => table,
            Err(lost) => {
                proof.differ(lost);
                return Ok(());
            }
        };
        let (schema, _) = comparable(&self.again.schema, self.again.adds_floats);
        let by = Field::new(Rejected::BY, DataType::Utf8, true);
        let fields = schema.fields().iter().map(|field| field.as_ref().clone()).chain([by]);
        let (schema, standing) = (Schema::new(fields.collect::<Vec<_>>()), table.schema());
        if let Some(missing) = schema.fields().iter().find(|field| standing.index_of(field.name()).is_err()) {
            proof.differ(format!("`{name}` has no column `{}`", missing.name()));
            return Ok(());
        }
        let print = Fingerprint::new(&schema, &[]);
        let (found, unsteady) = self.contrast(&rejected.from, &table, print, &Part::ALL).await?;
        proof.rejected = found.rows;
        proof.not_compared = unsteady.filter(|_| proof.differences.is_empty());
        found.differences.into_iter().for_each(|text| proof.differ(format!("`{name}`: {text}")));
        Ok(())
    }

    /// The rows made, which are selected `from` what its SQL makes, against those of a table. The second value says why
    /// nothing follows from the comparison.
    async fn contrast(
        &self,
        from: &str,
        table: &Table,
        print: Fingerprint,
        part: &Part,
    ) -> Result<(Contrast, Option<String>)> {
        let columns = print.columns().map(quote).collect::<Vec<_>>().join(", ");
        let standing = self.engine.session();
        catalog::register(&standing, table).await?;
        let one = Side::query(&self.again.session, format!("select {columns} {from}"));
        let other = Side::query(&standing, format!("select {columns} from {}", table.name().quoted()));
        let mut sides = Sides { one, other, print, names: NAMES };
        let Both { one, other } = sides.checksums(part).await?;
        let other = other?;
        let one = match one {
            Err(error) if error.kind() == Kind::Input => return Ok((failing(&error), None)),
            one => one?,
        };
        let sums = Both { one, other };
        let mut found = contrast(&mut sides, part, &sums).await?;
        // A row that is gone or more need not be in a sample.
        let (made, stands) = (sides.one.count().await?, sides.other.count().await?);
        if *part != Part::ALL && made != stands {
            found.differences.insert(0, format!("rows: {made} {}, {stands} {} in all", NAMES.one, NAMES.other));
        }
        if found.differences.is_empty() {
            return Ok((found, None));
        }
        let why = match &self.again.doubt {
            Some(doubt) => format!("its rows are not those of one build, and {doubt}"),
            None if sides.checksums(part).await?.one? != sums.one => {
                "its SQL gives other rows each time it runs, as where an order leaves ties".to_string()
            }
            None => return Ok((found, None)),
        };
        Ok((Contrast { differences: Vec::new(), ..found }, Some(why)))
    }
}

fn failing(error: &Error) -> Contrast {
    Contrast { differences: vec![format!("its SQL fails now: {}", error.in_one_line())], ..Contrast::default() }
}

/// The columns whose values follow from the rows alone, and the names of the others.
fn comparable(schema: &Schema, adds_floats: bool) -> (Schema, Vec<String>) {
    let (left_out, kept): (Vec<_>, Vec<_>) =
        schema.fields().iter().cloned().partition(|field| adds_floats && holds_floats(field.data_type()));
    (Schema::new(kept), left_out.iter().map(|field| field.name().clone()).collect())
}

fn holds_floats(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(item) => holds_floats(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| holds_floats(field.data_type())),
        plain => plain.is_floating(),
    }
}

/// A table of rejected rows as the build noted it, or as it stands when another program went on from there; the inner
/// error says that it cannot be had.
async fn at_build(table: Table, version: i64) -> Result<std::result::Result<Table, String>> {
    if by_another(&table, version).await?.is_some() {
        return Ok(Ok(table));
    }
    match table.at(version).await {
        Err(error) if error.kind() == Kind::Input => Ok(Err(error.to_string())),
        table => table.map(Ok),
    }
}

/// The first commit after `version` by which another program changed rows.
async fn by_another(table: &Table, version: i64) -> Result<Option<CommitInfo>> {
    let mut commits = pin!(table.commits(version + 1..=table.version()));
    while let Some(commit) = commits.try_next().await? {
        if commit.changes_rows && !commit.is_ours() {
            return Ok(Some(commit));
        }
    }
    Ok(None)
}
