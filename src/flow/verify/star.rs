//! What the ledger says was loaded is equal in Gold, at the loaded version, and in the warehouse.
//!
//! Only what this lake loaded into this warehouse's schema: others may share the database.
//! Equal are the counts and the checksums of the rows and of each column ([`warehouse::Fingerprint`]), which are exact
//! and free of any order.

use super::contrast::contrast;
use super::sides::{Both, Side, Sides};
use super::{Difference, Remedy, Scope};
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::flow::load;
use crate::ident::{Layer, TableName, quote};
use crate::table::manifest::{self, ManifestTable};
use crate::table::{Lake, Table};
use crate::warehouse::{self, Entry, Fingerprint, Part, Warehouse};
use serde::Serialize;
use std::collections::BTreeMap;

/// The proof of one loaded table.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Star {
    pub table: String,
    /// The newest run does not name it, as when its model was removed: its rows stay in the warehouse, and nothing is
    /// compared.
    pub unnamed: bool,
    /// Delta version of the Gold table that was loaded.
    pub version: i64,
    pub rows: u64,
    /// Rows compared; fewer than `rows` in a sample.
    pub compared: u64,
    /// Columns compared.
    pub columns: usize,
    /// Sum of the hashes of the rows compared, as the lake has them.
    pub checksum: String,
    pub differences: Vec<Difference>,
}

/// One proof per loaded table of the scope, without a difference when the newest run does not name it (a model without
/// a published table is [`super::absent`]'s), and one that fails per published Gold table that was never loaded.
pub async fn prove(lake: &Lake, engine: &Engine, warehouse: &mut dyn Warehouse, scope: &Scope) -> Result<Vec<Star>> {
    let mut proofs = Vec::new();
    let ledger = load::loaded(lake, warehouse).await?;
    let published = manifest::latest(lake).await?.map(|run| run.tables).unwrap_or_default();
    for entry in &ledger {
        let name = gold(entry)?;
        if !scope.includes(&name) {
            continue;
        }
        if !published.contains_key(&name.to_string()) {
            proofs.push(Star { unnamed: true, ..Star::of(entry) });
            continue;
        }
        let mut proof = compare(entry, lake, engine, warehouse, scope).await?;
        let text = behind(entry, &published).map(|(gold, version)| {
            format!("`{gold}` version {version} was published and never loaded (loaded: {})", entry.delta_version)
        });
        proof.differences.extend(text.map(|text| Difference::new(Remedy::Load, text)));
        proofs.push(proof);
    }
    for (table, at) in published {
        let name = TableName::parse(&table)?;
        let loaded = ledger.iter().any(|entry| entry.place().is_some_and(|(_, own)| own == name.name()));
        if name.layer() == Layer::Gold && scope.includes(&name) && !loaded {
            let differences = vec![Difference::new(Remedy::Load, "it was never loaded into the warehouse")];
            proofs.push(Star { table, version: at.version, differences, ..Star::default() });
        }
    }
    Ok(proofs)
}

/// The Gold table of an entry and its published version, when that is newer than the loaded one.
pub fn behind(entry: &Entry, published: &BTreeMap<String, ManifestTable>) -> Option<(String, i64)> {
    let gold = format!("gold.{}", entry.place()?.1);
    let at = published.get(&gold)?;
    let same = at.id.is_empty() || entry.table_id.is_empty() || at.id == entry.table_id;
    (same && at.version > entry.delta_version).then_some((gold, at.version))
}

/// The table of the lake that was loaded.
fn gold(entry: &Entry) -> Result<TableName> {
    let Some((_, name)) = entry.place() else {
        return Err(Error::input(format!("`{}` in the ledger is no table", entry.table))
            .hint("`lake load-warehouse --full` writes the ledger rows of this lake's tables anew"));
    };
    TableName::new(Layer::Gold, name)
}

async fn compare(
    entry: &Entry,
    lake: &Lake,
    engine: &Engine,
    warehouse: &mut dyn Warehouse,
    scope: &Scope,
) -> Result<Star> {
    let mut proof = Star::of(entry);
    let gold = gold(entry)?;
    let Some(table) = proof.loaded(entry, &gold, lake).await? else { return Ok(proof) };
    let columns = warehouse::column_differences(warehouse, entry, &table.schema()).await?;
    if !columns.is_empty() {
        columns.into_iter().for_each(|column| proof.differ(Remedy::LoadFull, column));
        return Ok(proof);
    }
    let session = engine.session();
    session.register(&gold, table.provider().await?)?;
    let print = Fingerprint::new(&table.schema(), &warehouse::primary_key(warehouse, entry).await?);
    let columns = print.columns().map(quote).collect::<Vec<_>>().join(", ");
    let place = format!("{}.{}", quote(warehouse.schema()), quote(gold.name()));
    let mut sides = Sides {
        one: Side::query(&session, format!("select {columns} from {}", gold.quoted())),
        other: Side::Warehouse { warehouse, place },
        print,
        names: Both { one: "in the lake", other: "in the warehouse" },
    };
    proof.contrast(&mut sides, scope.sample).await?;
    Ok(proof)
}

impl Star {
    /// What the ledger says of it.
    fn of(entry: &Entry) -> Star {
        Star { table: entry.table.clone(), version: entry.delta_version, rows: entry.rows, ..Star::default() }
    }

    fn differ(&mut self, remedy: Remedy, text: String) {
        self.differences.push(Difference::new(remedy, text));
    }

    /// The very version that was loaded; a difference when it is not there any more.
    async fn loaded(&mut self, entry: &Entry, gold: &TableName, lake: &Lake) -> Result<Option<Table>> {
        let Some(table) = lake.table(gold).await? else {
            self.differ(Remedy::Run, format!("`{gold}` is not in the lake"));
            return Ok(None);
        };
        if !entry.table_id.is_empty() && entry.table_id != table.id() {
            self.differ(Remedy::Load, format!("`{gold}` was made anew since it was loaded"));
            return Ok(None);
        }
        match table.at(entry.delta_version).await {
            Err(error) if error.kind() == Kind::Input => {
                self.differ(Remedy::LoadFull, error.to_string());
                Ok(None)
            }
            table => table.map(Some),
        }
    }

    async fn contrast(&mut self, sides: &mut Sides<'_>, sample: Option<u64>) -> Result<()> {
        let part = sample.map_or(Part::ALL, |wanted| Part::sample(wanted, self.rows));
        let Both { one, other } = sides.checksums(&part).await?;
        let one = one?;
        let other = match other {
            Err(error) if matches!(error.kind(), Kind::Unavailable | Kind::Interrupted(_)) => return Err(error),
            Err(error) => {
                self.differ(Remedy::LoadFull, format!("the table cannot be summed up in the warehouse: {error}"));
                return Ok(());
            }
            Ok(sums) => sums,
        };
        // A row that is gone or more need not be in the sample.
        let counted = if sample.is_some() { sides.other.count().await? } else { self.rows };
        if counted != self.rows {
            let text = format!("rows: {} were loaded, the warehouse has {counted}", self.rows);
            self.differ(Remedy::LoadFull, text);
        }
        let found = contrast(sides, &part, &Both { one, other }).await?;
        (self.compared, self.columns, self.checksum) = (found.rows, found.columns, found.checksum);
        found.differences.into_iter().for_each(|text| self.differ(Remedy::LoadFull, text));
        let rows = sides.one.count().await?;
        if rows != self.rows {
            let text = format!("the ledger says {} rows, the lake's version has {rows}", self.rows);
            self.differ(Remedy::LoadFull, text);
        }
        Ok(())
    }
}
