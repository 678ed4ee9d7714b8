//! Quarantined records through the stream as it is declared now, after its contract or its SQL was mended.
//!
//! Those that are good by now move among the rows with the topic, partition, offset, timestamp, key, headers, source and
//! source row they had; `_ingested_at` says when they became rows, so that whoever reads on from the newest one finds
//! them. Those that are not stay as they are, with today's reason. Memory holds a few records at a time; the commit is
//! one however many there are.
//!
//! Marks are not moved: a source's mark passed a reject when it came, so a row sent again is dropped as a duplicate
//! whether its record was redriven by then or not.

use super::exchange::{ByPartition, check_read, commit, persistently};
use super::record::Records;
use super::{files, open};
use crate::engine::Engine;
use crate::error::{Context, Error, Kind, Result};
use crate::flow::account::Resolved;
use crate::flow::bronze::{Again, Decoded, PARTITION, REASON, Stream};
use crate::flow::reasons::{Place, Reason, Reasons, Seen};
use crate::flow::{Progress, Stop};
use crate::kafka::Messages;
use crate::partition::Partition;
use crate::record::HEADER_ERROR;
use crate::table::Lake;
use crate::table::schema::assemble;
use arrow::array::{ArrayRef, AsArray, StringArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::Int32Type;
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What became of the quarantine of a table, or with `dry_run` what would.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Redriven {
    pub table: String,
    pub dry_run: bool,
    /// Of the commit; `None` when nothing changed.
    pub version: Option<i64>,
    /// Records that were in quarantine.
    pub records: u64,
    /// Of these, rows now.
    pub rows: u64,
    /// Of these, left out by the stream now.
    pub filtered: u64,
    /// Of these, still in quarantine.
    pub stayed: u64,
    /// Of those that stayed, the ones their source could not read: no contract mends them.
    pub unreadable: u64,
    /// Why the others stayed.
    pub reasons: Vec<Reason>,
}

/// Redrives all that a table has in quarantine. `memory`: [`crate::flow::bronze::Options::memory`]. Kind Conflict when
/// others rewrote its files again and again.
pub async fn redrive(
    lake: &Lake,
    engine: &Engine,
    stream: &Stream,
    memory: usize,
    dry_run: bool,
    progress: &Progress,
    stop: &Stop,
) -> Result<Redriven> {
    let stage = format!("redrive {}", stream.table);
    let redriven = persistently(progress, async || {
        let table = open(lake, &stream.table).await?;
        let again = Again::open(lake, engine, stream, memory, table).await?;
        Round { again, stream, progress, stage: &stage, stop, report: Redriven::default(), tally: Tally::default() }
            .run(dry_run)
            .await
    });
    let redriven = redriven.await?;
    progress.finished(&stage, format!("{} rows, {} still in quarantine", redriven.rows, redriven.stayed));
    Ok(redriven)
}

/// One look at all of the quarantine.
struct Round<'a> {
    again: Again,
    stream: &'a Stream,
    progress: &'a Progress,
    stage: &'a str,
    stop: &'a Stop,
    report: Redriven,
    tally: Tally,
}

#[derive(Default)]
struct Tally {
    resolved: ByPartition,
    reasons: Reasons,
    /// Whether a record has another reason now.
    reworded: bool,
}

impl Round<'_> {
    async fn run(mut self, dry_run: bool) -> Result<Redriven> {
        let table = self.again.table().clone();
        let picked = files(&table)?;
        self.progress.started(self.stage, picked.rows());
        let mut rows = table.read(&picked).await?;
        let mut outcome = Ok(());
        while outcome.is_ok() {
            outcome = match rows.try_next().await {
                Ok(Some(batch)) => self.work(&batch, dry_run).await,
                Ok(None) => break,
                Err(error) => Err(error),
            };
        }
        let changed = self.report.rows + self.report.filtered > 0 || self.tally.reworded;
        self.report.reasons = self.tally.reasons.ranked();
        (self.report.table, self.report.dry_run) = (table.name().to_string(), dry_run);
        let outcome = outcome.and_then(|()| check_read(&table, &picked, self.report.records));
        if outcome.is_err() || dry_run || !changed {
            self.again.abandon().await;
            return outcome.map(|()| self.report);
        }
        let notes = self.again.notes();
        let stage = self.again.into_stage().await?;
        let (resolved, declared) = (&self.tally.resolved, Some(self.stream.fingerprint()));
        self.report.version = Some(commit(table, &picked, stage, "redrive", resolved, declared).await?);
        notes.into_iter().for_each(|note| self.progress.note(note));
        Ok(self.report)
    }

    /// Decodes records and writes what they are now.
    async fn work(&mut self, batch: &RecordBatch, dry_run: bool) -> Result<()> {
        self.stop.check()?;
        let records = Records::of(batch)?;
        for (topic, group) in by_topic(&records)? {
            let Group { partitions, messages, origins } = group;
            let Decoded { good, rejects } = self.again.decode(&partitions, messages).await?;
            self.count_resolved(&topic, &good, &rejects, &origins)?;
            let rows = self.count_rejects(&topic, &records, &rejects, &origins)?;
            if !dry_run {
                self.again.write(&good, &remaining(batch, rows, &rejects)?).await?;
            }
            self.progress.advanced(self.stage, good.num_rows() as u64, rejects.len() as u64);
        }
        Ok(())
    }

    /// What is neither good nor a reject any more was left out by the stream.
    fn count_resolved(
        &mut self,
        topic: &str,
        good: &RecordBatch,
        rejects: &[Reject],
        origins: &HashMap<(i32, i64), Origin>,
    ) -> Result<()> {
        let numbers = good.column_by_name(PARTITION).and_then(|column| column.as_primitive_opt::<Int32Type>());
        let numbers = numbers.ok_or_else(|| Error::internal("rows without partition numbers"))?;
        let mut left: BTreeMap<i32, (u64, Resolved)> = BTreeMap::new();
        origins.keys().for_each(|(number, _)| left.entry(*number).or_default().0 += 1);
        for number in numbers.values() {
            left.entry(*number).or_default().1.rows += 1;
        }
        let mut stayed: BTreeMap<i32, u64> = BTreeMap::new();
        rejects.iter().for_each(|(number, _, _)| *stayed.entry(*number).or_default() += 1);
        for (number, (read, mut resolved)) in left {
            let kept = resolved.rows + stayed.remove(&number).unwrap_or(0);
            resolved.filtered = read.checked_sub(kept).ok_or_else(|| {
                Error::internal(format!("{read} quarantined records of {topic}/{number} became {kept}"))
            })?;
            self.report.records += read;
            self.report.rows += resolved.rows;
            self.report.filtered += resolved.filtered;
            if resolved.records() > 0 {
                self.tally.resolved.entry(Partition::new(topic, number).to_string()).or_default().add(&resolved);
            }
        }
        Ok(())
    }

    /// Answers the row of each reject in what was read.
    fn count_rejects(
        &mut self,
        topic: &str,
        records: &Records<'_>,
        rejects: &[Reject],
        origins: &HashMap<(i32, i64), Origin>,
    ) -> Result<UInt32Array> {
        let mut rows = Vec::with_capacity(rejects.len());
        for (partition, offset, reason) in rejects {
            let Some(origin) = origins.get(&(*partition, *offset)) else {
                let place = format!("{topic}/{partition} offset {offset}");
                return Err(Error::internal(format!("{place} was not among the quarantined records")));
            };
            let before = records.get(origin.row as usize)?;
            self.report.stayed += 1;
            self.tally.reworded |= before.reason != reason;
            match origin.unreadable {
                true => self.report.unreadable += 1,
                false => {
                    let seen = Seen { at: before.ingested_at, place: before.place, reason: reason.clone() };
                    self.tally.reasons.count(seen);
                }
            }
            rows.push(origin.row);
        }
        Ok(UInt32Array::from(rows))
    }
}

/// Partition, offset and reason.
type Reject = (i32, i64, String);

/// Where a record stands in the batch that was read.
struct Origin {
    row: u32,
    /// Its source could not read it.
    unreadable: bool,
}

/// Records of one topic.
#[derive(Default)]
struct Group {
    /// In order; the slots of the messages.
    partitions: Vec<Partition>,
    messages: Messages,
    origins: HashMap<(i32, i64), Origin>,
}

fn by_topic(records: &Records<'_>) -> Result<BTreeMap<String, Group>> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for row in 0..records.len() {
        let Place { topic, partition, .. } = records.get(row)?.place;
        let partitions = &mut groups.entry(topic.clone()).or_default().partitions;
        let partition = Partition::new(topic, partition);
        if let Err(slot) = partitions.binary_search(&partition) {
            partitions.insert(slot, partition);
        }
    }
    for row in 0..records.len() {
        let record = records.get(row)?;
        let Place { topic, partition, offset } = &record.place;
        let group = groups.entry(topic.clone()).or_default();
        let slot = group.partitions.binary_search(&Partition::new(topic, *partition)).unwrap_or_default();
        record.push_to(slot, &mut group.messages)?;
        let unreadable = group.messages.get(group.messages.len() - 1).headers.has(HEADER_ERROR);
        let origin = Origin { row: row as u32, unreadable };
        if group.origins.insert((*partition, *offset), origin).is_some() {
            return Err(Error::input(format!("the record at {} is in quarantine twice", record.place))
                .hint("`lake verify` tells what else is wrong with the table"));
        }
    }
    Ok(groups)
}

/// The rows of a batch as they were, but for their reasons.
fn remaining(batch: &RecordBatch, rows: UInt32Array, rejects: &[Reject]) -> Result<RecordBatch> {
    let reasons: ArrayRef = Arc::new(StringArray::from_iter_values(rejects.iter().map(|(_, _, reason)| reason)));
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| match field.name() == REASON {
        true => Ok(reasons.clone()),
        false => take(column, &rows, None).context(Kind::Internal, || "pick the records that stay in quarantine"),
    });
    assemble(schema.clone(), columns.collect::<Result<_>>()?, rejects.len())
}
