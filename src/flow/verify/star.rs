//! What the ledger says was loaded is equal in Gold, at the loaded version, and in the warehouse.
//!
//! Only what this lake loaded into this warehouse's schema: others may share the database.
//! Both sides run the same query ([`warehouse::totals`]); its figures are exact and free of any order.

use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::flow::load;
use crate::ident::{Layer, TableName, quote};
use crate::table::{Lake, manifest};
use crate::warehouse::{self, Entry, Warehouse};
use serde::Serialize;

/// The proof of one loaded table.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Star {
    pub table: String,
    /// Delta version of the Gold table that was loaded.
    pub version: i64,
    pub rows: u64,
    /// Figures compared.
    pub figures: usize,
    pub differences: Vec<String>,
}

/// One proof per loaded table, and one that fails per published Gold table that was never loaded.
pub async fn prove(lake: &Lake, engine: &Engine, warehouse: &mut dyn Warehouse) -> Result<Vec<Star>> {
    let mut proofs = Vec::new();
    let ledger = load::loaded(lake, warehouse).await?;
    for entry in &ledger {
        proofs.push(compare(entry, lake, engine, warehouse).await?);
    }
    let published = manifest::latest(lake).await?.map(|run| run.tables).unwrap_or_default();
    for (table, at) in published {
        let Some(name) = table.strip_prefix("gold.") else { continue };
        if !ledger.iter().any(|entry| entry.place().is_some_and(|(_, own)| own == name)) {
            let differences = vec!["it was never loaded into the warehouse".to_string()];
            proofs.push(Star { table, version: at.version, differences, ..Star::default() });
        }
    }
    Ok(proofs)
}

async fn compare(entry: &Entry, lake: &Lake, engine: &Engine, warehouse: &mut dyn Warehouse) -> Result<Star> {
    let mut proof =
        Star { table: entry.table.clone(), version: entry.delta_version, rows: entry.rows, ..Star::default() };
    let Some((schema, name)) = entry.place() else {
        return Err(Error::input(format!("`{}` in the ledger is no table", entry.table)));
    };
    let gold = TableName::new(Layer::Gold, name)?;
    let Some(table) = lake.table(&gold).await? else {
        proof.differences.push(format!("`{gold}` is not in the lake"));
        return Ok(proof);
    };
    if !entry.table_id.is_empty() && entry.table_id != table.id() {
        proof.differences.push(format!("`{gold}` was made anew since it was loaded"));
        return Ok(proof);
    }
    let table = match table.at(entry.delta_version).await {
        Err(error) if error.kind() == Kind::Input => {
            proof.differences.push(error.to_string());
            return Ok(proof);
        }
        table => table?,
    };
    let columns = warehouse::column_differences(warehouse, entry, &table.schema()).await?;
    if !columns.is_empty() {
        proof.differences.extend(columns);
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
        Err(error) => proof.differences.push(format!("the table cannot be summed up in the warehouse: {error}")),
    }
    Ok(proof)
}

impl Star {
    fn contrast(&mut self, labels: &[String], lake: &[Option<String>], warehouse: &[Option<String>]) {
        self.figures = labels.len();
        for (index, label) in labels.iter().enumerate() {
            let (here, there) = (lake.get(index).cloned().flatten(), warehouse.get(index).cloned().flatten());
            if here != there {
                let shown = |value: Option<String>| value.unwrap_or_else(|| "null".into());
                self.differences.push(format!(
                    "{label}: {} in the lake, {} in the warehouse",
                    shown(here),
                    shown(there)
                ));
            }
        }
        let rows = lake.first().cloned().flatten();
        if rows.as_deref() != Some(self.rows.to_string().as_str()) {
            let stands = rows.unwrap_or_default();
            self.differences.push(format!("the ledger says {} rows, the lake's version has {stands}", self.rows));
        }
    }
}

fn first_row(batches: &[arrow::record_batch::RecordBatch]) -> Result<Vec<Option<String>>> {
    let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(Vec::new()) };
    batch.columns().iter().map(|column| super::text_at(column, 0)).collect()
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
