//! Deleting quarantined records on purpose. They are counted as dropped for ever after; their offsets stay accounted
//! for.

use super::exchange::{ByPartition, check_read, commit, persistently};
use super::record::Records;
use super::{Selection, files, open};
use crate::error::{Context, Error, Kind, Result};
use crate::flow::account::Resolved;
use crate::flow::{Progress, Stop};
use crate::ident::TableName;
use crate::partition::Partition;
use crate::table::Lake;
use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use serde::Serialize;

/// What one call deleted.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Dropped {
    pub table: String,
    /// Of the commit; `None` when no record was meant.
    pub version: Option<i64>,
    pub records: u64,
    /// Those that are left in quarantine.
    pub stayed: u64,
}

/// Deletes the selected records of a table in one commit; none of them if they are more than `at_most`, because some
/// came after somebody had counted.
pub async fn drop(
    lake: &Lake,
    name: &TableName,
    selection: &Selection,
    at_most: Option<u64>,
    progress: &Progress,
    stop: &Stop,
) -> Result<Dropped> {
    persistently(progress, async || attempt(lake, name, selection, at_most, stop).await).await
}

/// How many records [`drop`] would delete.
pub async fn count(lake: &Lake, name: &TableName, selection: &Selection, stop: &Stop) -> Result<u64> {
    let table = open(lake, name).await?;
    let mut rows = table.read(&files(&table)?).await?;
    let mut sorting = Sorting::default();
    while let Some(batch) = rows.try_next().await? {
        stop.check()?;
        sorting.sort(&batch, selection)?;
    }
    Ok(sorting.dropped)
}

async fn attempt(
    lake: &Lake,
    name: &TableName,
    selection: &Selection,
    at_most: Option<u64>,
    stop: &Stop,
) -> Result<Dropped> {
    let table = open(lake, name).await?;
    let picked = files(&table)?;
    let mut rows = table.read(&picked).await?;
    let mut stage = table.stage(table.schema()).await?;
    let mut sorting = Sorting::default();
    let sorted = async {
        while let Some(batch) = rows.try_next().await? {
            stop.check()?;
            stage.write(sorting.sort(&batch, selection)?).await?;
        }
        check_read(&table, &picked, sorting.dropped + sorting.stayed)?;
        check_agreed(name, sorting.dropped, at_most)
    };
    let sorted = sorted.await;
    let mut report = Dropped { table: name.to_string(), stayed: sorting.stayed, ..Dropped::default() };
    if sorted.is_err() || sorting.dropped == 0 {
        stage.abort().await;
        return sorted.map(|()| report);
    }
    report.records = sorting.dropped;
    report.version = Some(commit(table, &picked, stage, "drop", &sorting.resolved, None).await?);
    Ok(report)
}

fn check_agreed(name: &TableName, records: u64, at_most: Option<u64>) -> Result<()> {
    match at_most.filter(|most| records > *most) {
        None => Ok(()),
        Some(most) => {
            Err(Error::input(format!("{records} records of the quarantine of `{name}` are meant now, not {most}"))
                .hint("nothing was deleted; look at those that came meanwhile, then say it again"))
        }
    }
}

#[derive(Default)]
struct Sorting {
    resolved: ByPartition,
    dropped: u64,
    stayed: u64,
}

impl Sorting {
    /// Counts the selected records and answers the others.
    fn sort(&mut self, batch: &RecordBatch, selection: &Selection) -> Result<RecordBatch> {
        let records = Records::of(batch)?;
        let mut stays = Vec::with_capacity(records.len());
        for row in 0..records.len() {
            let record = records.get(row)?;
            let stay = !selection.holds(&record);
            stays.push(stay);
            if stay {
                self.stayed += 1;
                continue;
            }
            self.dropped += 1;
            let partition = Partition::new(&record.place.topic, record.place.partition).to_string();
            self.resolved.entry(partition).or_default().add(&Resolved { dropped: 1, ..Resolved::default() });
        }
        filter_record_batch(batch, &BooleanArray::from(stays))
            .context(Kind::Internal, || "pick the records that stay in quarantine")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::Layer;

    #[test]
    fn no_more_is_deleted_than_was_agreed_to() {
        let name = TableName::new(Layer::Bronze, "books").unwrap();
        for (records, at_most, good) in [(3, None, true), (3, Some(3), true), (2, Some(3), true), (4, Some(3), false)] {
            assert_eq!(check_agreed(&name, records, at_most).is_ok(), good, "{records} {at_most:?}");
        }
    }
}
