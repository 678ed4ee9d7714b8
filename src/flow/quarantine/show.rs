//! Single quarantined records, in the order Bronze took them in.

use super::record::{Record, Records};
use super::{Selection, files, open};
use crate::error::Result;
use crate::flow::Stop;
use crate::ident::TableName;
use crate::table::Lake;
use futures::TryStreamExt;

/// Hands the selected records of a table to `see`, at most `limit`; answers whether there were more.
pub async fn show(
    lake: &Lake,
    name: &TableName,
    selection: &Selection,
    limit: usize,
    stop: &Stop,
    mut see: impl FnMut(&Record<'_>) -> Result<()>,
) -> Result<bool> {
    let table = open(lake, name).await?;
    let mut rows = table.read(&files(&table)?).await?;
    let mut seen = 0;
    while let Some(batch) = rows.try_next().await? {
        stop.check()?;
        let records = Records::of(&batch)?;
        for row in 0..records.len() {
            let record = records.get(row)?;
            if !selection.holds(&record) {
                continue;
            }
            if seen == limit {
                return Ok(true);
            }
            see(&record)?;
            seen += 1;
        }
    }
    Ok(false)
}
