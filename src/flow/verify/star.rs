//! What the ledger says was loaded is equal in Gold, at the loaded version, and in the warehouse.
//!
//! Only what this lake loaded into this warehouse's schema: others may share the database.
//! Equal are the counts and the checksums of the rows and of each column ([`warehouse::Fingerprint`]), which are exact
//! and free of any order; where they are not, [`narrow`] finds rows that differ.

use super::narrow;
use super::sides::{Both, Sides};
use super::{Difference, EXAMPLES, Remedy, Scope};
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::flow::load;
use crate::ident::{Layer, TableName, quote};
use crate::table::manifest::{self, ManifestTable};
use crate::table::{Lake, Table};
use crate::warehouse::{self, Checksums, Entry, Fingerprint, Part, Warehouse};
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
    let names = print.columns().map(quote).collect::<Vec<_>>().join(", ");
    let mut sides = Sides {
        session: &session,
        select: format!("select {names} from {}", gold.quoted()),
        place: format!("{}.{}", quote(warehouse.schema()), quote(gold.name())),
        warehouse,
        print,
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
        let sums = match sides.checksums(&part).await? {
            Ok(sums) => sums,
            Err(error) if matches!(error.kind(), Kind::Unavailable | Kind::Interrupted(_)) => return Err(error),
            Err(error) => {
                self.differ(Remedy::LoadFull, format!("the table cannot be summed up in the warehouse: {error}"));
                return Ok(());
            }
        };
        if sample.is_some() {
            self.count_all(sides).await?;
        }
        let names: Vec<&str> = sides.print.columns().collect();
        self.judge(&names, &sums, part == Part::ALL);
        if sums.lake != sums.warehouse {
            for row in narrow::differing_rows(sides, &part).await? {
                self.differ(Remedy::LoadFull, row);
            }
        }
        Ok(())
    }

    /// A row that is gone or more need not be in the sample.
    async fn count_all(&mut self, sides: &mut Sides<'_>) -> Result<()> {
        let answer = sides.warehouse.query(&format!("select count(*) from {}", sides.place)).await?;
        let counted = answer.rows.first().and_then(|row| row.first()?.as_deref()?.parse::<u64>().ok());
        if counted != Some(self.rows) {
            let counted = counted.unwrap_or_default();
            let text = format!("rows: {} were loaded, the warehouse has {counted}", self.rows);
            self.differ(Remedy::LoadFull, text);
        }
        Ok(())
    }

    /// `whole`: it is not a sample.
    fn judge(&mut self, names: &[&str], sums: &Both<Checksums>, whole: bool) {
        let Both { lake, warehouse } = sums;
        (self.compared, self.columns, self.checksum) = (lake.rows.count, names.len(), lake.rows.sum.to_string());
        if lake.rows.count != warehouse.rows.count {
            let text = format!("rows: {} in the lake, {} in the warehouse", lake.rows.count, warehouse.rows.count);
            self.differ(Remedy::LoadFull, text);
        }
        let pairs = names.iter().zip(lake.columns.iter().zip(&warehouse.columns));
        let differing: Vec<&str> = pairs.filter(|(_, (one, other))| one != other).map(|(name, _)| *name).collect();
        if lake.rows.count == warehouse.rows.count && !differing.is_empty() {
            let more = differing.len().saturating_sub(EXAMPLES);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let text = format!("values differ in {}{more}", differing[..differing.len().min(EXAMPLES)].join(", "));
            self.differ(Remedy::LoadFull, text);
        } else if lake.rows.count == warehouse.rows.count && lake.rows != warehouse.rows {
            self.differ(Remedy::LoadFull, "each column has its values, in other rows".into());
        }
        if whole && lake.rows.count != self.rows {
            let text = format!("the ledger says {} rows, the lake's version has {}", self.rows, lake.rows.count);
            self.differ(Remedy::LoadFull, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::warehouse::Heap;

    #[test]
    fn counts_columns_and_rows_are_judged_apart() {
        let sums = |rows: (u64, i128), column: (u64, i128)| Checksums {
            rows: Heap { count: rows.0, sum: rows.1 },
            columns: vec![Heap { count: column.0, sum: column.1 }],
        };
        let judged = |lake: Checksums, warehouse: Checksums| {
            let mut proof = Star { rows: 3, ..Star::default() };
            proof.judge(&["a"], &Both { lake, warehouse }, true);
            proof.differences.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let same = || sums((3, 7), (2, 5));
        assert!(judged(same(), same()).is_empty());
        assert_eq!(judged(same(), sums((3, 8), (2, 6))), ["values differ in a"]);
        assert_eq!(judged(same(), sums((3, 8), (2, 5))), ["each column has its values, in other rows"]);
        assert_eq!(judged(same(), sums((4, 8), (3, 6))), ["rows: 3 in the lake, 4 in the warehouse"]);
        let ledger = "the ledger says 3 rows, the lake's version has 2";
        assert_eq!(judged(sums((2, 1), (2, 1)), sums((2, 1), (2, 1))), [ledger]);
    }
}
