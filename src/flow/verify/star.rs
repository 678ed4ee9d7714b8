//! What the ledger says was loaded is equal in Gold, at the loaded version, and in the warehouse.
//!
//! Only what this lake loaded into this warehouse's schema: others may share the database.
//! Both sides run the same query ([`warehouse::totals`]); its figures are exact and free of any order.

use super::{Difference, Remedy};
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::flow::{load, rows};
use crate::ident::{Layer, TableName, quote};
use crate::table::Lake;
use crate::table::manifest::{self, ManifestTable};
use crate::warehouse::{self, Entry, Warehouse};
use arrow::record_batch::RecordBatch;
use serde::Serialize;
use std::collections::BTreeMap;

/// The proof of one loaded table.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Star {
    pub table: String,
    /// Delta version of the Gold table that was loaded.
    pub version: i64,
    pub rows: u64,
    /// Figures compared.
    pub figures: usize,
    pub differences: Vec<Difference>,
}

/// One proof per loaded table, and one that fails per published Gold table that was never loaded.
pub async fn prove(lake: &Lake, engine: &Engine, warehouse: &mut dyn Warehouse) -> Result<Vec<Star>> {
    let mut proofs = Vec::new();
    let ledger = load::loaded(lake, warehouse).await?;
    let published = manifest::latest(lake).await?.map(|run| run.tables).unwrap_or_default();
    for entry in &ledger {
        let mut proof = compare(entry, lake, engine, warehouse).await?;
        let text = behind(entry, &published).map(|(gold, version)| {
            format!("`{gold}` version {version} was published and never loaded (loaded: {})", entry.delta_version)
        });
        proof.differences.extend(text.map(|text| Difference::new(Remedy::Load, text)));
        proofs.push(proof);
    }
    for (table, at) in published {
        let Some(name) = table.strip_prefix("gold.") else { continue };
        if !ledger.iter().any(|entry| entry.place().is_some_and(|(_, own)| own == name)) {
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

async fn compare(entry: &Entry, lake: &Lake, engine: &Engine, warehouse: &mut dyn Warehouse) -> Result<Star> {
    let mut proof =
        Star { table: entry.table.clone(), version: entry.delta_version, rows: entry.rows, ..Star::default() };
    let Some((schema, name)) = entry.place() else {
        return Err(Error::input(format!("`{}` in the ledger is no table", entry.table))
            .hint("`lake load-warehouse --full` writes the ledger rows of this lake's tables anew"));
    };
    let gold = TableName::new(Layer::Gold, name)?;
    let Some(table) = lake.table(&gold).await? else {
        proof.differ(Remedy::Run, format!("`{gold}` is not in the lake"));
        return Ok(proof);
    };
    if !entry.table_id.is_empty() && entry.table_id != table.id() {
        proof.differ(Remedy::Load, format!("`{gold}` was made anew since it was loaded"));
        return Ok(proof);
    }
    let table = match table.at(entry.delta_version).await {
        Err(error) if error.kind() == Kind::Input => {
            proof.differ(Remedy::LoadFull, error.to_string());
            return Ok(proof);
        }
        table => table?,
    };
    let columns = warehouse::column_differences(warehouse, entry, &table.schema()).await?;
    if !columns.is_empty() {
        columns.into_iter().for_each(|column| proof.differ(Remedy::LoadFull, column));
        return Ok(proof);
    }
    let session = engine.session();
    session.register(&gold, table.provider().await?)?;
    let here = warehouse::totals(&table.schema(), &gold.quoted());
    let there = warehouse::totals(&table.schema(), &format!("{}.{}", quote(schema), quote(name)));
    let in_lake: Vec<Option<String>> = first_row(&session.query(&here.sql).await?)?;
    match warehouse.query(&there.sql).await {
        Ok(answer) => proof.contrast(&here.labels, &in_lake, answer.rows.first().map_or(&[], Vec::as_slice)),
        Err(error) if error.kind() == Kind::Unavailable => return Err(error),
        Err(error) => {
            proof.differ(Remedy::LoadFull, format!("the table cannot be summed up in the warehouse: {error}"));
        }
    }
    Ok(proof)
}

impl Star {
    fn differ(&mut self, remedy: Remedy, text: String) {
        self.differences.push(Difference::new(remedy, text));
    }

    fn contrast(&mut self, labels: &[String], lake: &[Option<String>], warehouse: &[Option<String>]) {
        self.figures = labels.len();
        for (index, label) in labels.iter().enumerate() {
            let (here, there) = (lake.get(index).cloned().flatten(), warehouse.get(index).cloned().flatten());
            if here != there {
                let shown = |value: Option<String>| value.unwrap_or_else(|| "null".into());
                let text = format!("{label}: {} in the lake, {} in the warehouse", shown(here), shown(there));
                self.differ(Remedy::LoadFull, text);
            }
        }
        let rows = lake.first().cloned().flatten();
        if rows.as_deref() != Some(self.rows.to_string().as_str()) {
            let stands = rows.unwrap_or_default();
            let text = format!("the ledger says {} rows, the lake's version has {stands}", self.rows);
            self.differ(Remedy::LoadFull, text);
        }
    }
}

fn first_row(batches: &[RecordBatch]) -> Result<Vec<Option<String>>> {
    let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(Vec::new()) };
    Ok(rows::texts(&batch.slice(0, 1))?.into_iter().next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_differing_figure_is_named() {
        let mut proof = Star { rows: 3, ..Star::default() };
        let labels = ["rows", "count of a", "sum of a"].map(String::from);
        let row = |cells: [Option<&str>; 3]| cells.map(|cell| cell.map(String::from));
        proof.contrast(&labels, &row([Some("3"), Some("2"), Some("5.10")]), &row([Some("3"), Some("2"), None]));
        assert_eq!(proof.differences, ["sum of a: 5.10 in the lake, null in the warehouse"]);
    }
}
