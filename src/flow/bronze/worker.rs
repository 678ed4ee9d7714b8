//! The loop of one table: open, read, decode, commit, again.

use super::batch::{Batch, Counts, check_conservation};
use super::columns;
use super::desk::Desk;
use super::intake::{End, Intake, Messages, reached};
use super::marks::Marks;
use super::sort::{Sorted, count_by_partition};
use super::start::{self, Survey};
use super::{Halt, Options, Start, Stream, TableReport, position_app, source_app};
use crate::engine::Engine;
use crate::engine::types::type_name;
use crate::error::{Context, Error, Kind, Result};
use crate::failpoint;
use crate::flow::Progress;
use crate::ident::TableName;
use crate::partition::Partition;
use crate::table::schema::align;
use crate::table::{Commit, Committed, Lake, Mode, Staged, Table, Txn};
use arrow::datatypes::{Fields, SchemaRef};
use arrow::record_batch::RecordBatch;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) struct Worker<'a> {
    lake: &'a Lake,
    engine: &'a Engine,
    stream: &'a Stream,
    options: &'a Options,
    progress: &'a Progress,
    halt: &'a Halt,
    stage: String,
    report: TableReport,
    /// High watermarks of the first look at the topic, for a run to the end.
    targets: Option<BTreeMap<Partition, i64>>,
}

/// Positions as the table stores them and as far as they are known of each source.
struct Place {
    stored: BTreeMap<Partition, Option<i64>>,
    marks: Marks,
}

/// Why an assignment ends.
enum Ended {
    Finished,
    Reassign,
}

impl<'a> Worker<'a> {
    pub fn new(
        lake: &'a Lake,
        engine: &'a Engine,
        stream: &'a Stream,
        options: &'a Options,
        progress: &'a Progress,
        halt: &'a Halt,
    ) -> Worker<'a> {
        let stage = stream.table.to_string();
        let report = TableReport { table: stage.clone(), topic: stream.topic.clone(), ..TableReport::default() };
        Worker { lake, engine, stream, options, progress, halt, stage, report, targets: None }
    }

    /// Works until the end, a stop or a failure. `connect` blocks; it gives an unassigned reader of the topic
    /// and what the broker says about it, `None` when the topic does not exist.
    pub async fn run<M: Messages>(
        mut self,
        connect: impl Fn() -> Result<Option<(M, Survey)>> + Clone + Send + 'static,
    ) -> Result<TableReport> {
        let mut waiting = false;
        while self.halt.go_on()? {
            let connected = tokio::task::spawn_blocking(connect.clone());
            let Some((reader, survey)) =
                connected.await.context(Kind::Internal, || "ask the broker about a topic")??
            else {
                self.await_topic(&mut waiting).await?;
                continue;
            };
            match self.serve(reader, &survey).await? {
                Ended::Finished => break,
                Ended::Reassign => {}
            }
        }
        self.progress.finished(&self.stage, summary(&self.report));
        Ok(self.report)
    }

    async fn await_topic(&self, waiting: &mut bool) -> Result<()> {
        let Stream { table, topic, .. } = self.stream;
        if self.options.once {
            return Err(Error::input(format!("topic `{topic}` of `{table}` does not exist"))
                .hint("`lake produce` creates and fills the topics of the declared sources"));
        }
        if !std::mem::replace(waiting, true) {
            self.progress.note(format!("`{table}` waits for topic `{topic}`, which does not exist yet"));
        }
        for _ in 0..10 {
            self.halt.go_on()?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Reads from where the table stands until the end, a fence or a change of the topic's partitions.
    async fn serve(&mut self, reader: impl Messages, survey: &Survey) -> Result<Ended> {
        let mut desk = Desk::open(self.lake, self.engine, self.stream).await?;
        self.report.version = Some(desk.table.version());
        let stored = stored_positions(&desk.table, survey, &self.stream.topic).await?;
        let positions = start::positions(&self.stream.table, survey, &stored, self.options.start)?;
        self.begin(survey, &positions);
        // A start that moves with time is stored at once, so that the next run goes on from it and skips nothing.
        let pin_start = self.options.start != Start::Earliest && stored.values().all(Option::is_none);
        let mut place = Place { stored, marks: Marks::default() };
        let mut batch = Batch::starting_at(&positions);
        if pin_start && !self.settle(Batch::starting_at(&positions), &mut desk, &mut place).await? {
            return Ok(Ended::Reassign);
        }
        if self.targets.as_ref().is_some_and(|targets| reached(&batch, targets)) {
            return Ok(Ended::Finished);
        }
        let mut intake = Intake::start(reader, &self.stream.topic, positions)?;
        loop {
            let end = intake.fill(&mut batch, self.options, self.targets.as_ref(), self.halt).await?;
            if end != End::Halted && batch.moved() {
                let next = Batch::starting_at(&batch.ends());
                if !self.settle(std::mem::replace(&mut batch, next), &mut desk, &mut place).await? {
                    return Ok(Ended::Reassign);
                }
            }
            match end {
                End::Due => {}
                End::Reached | End::Halted => return Ok(Ended::Finished),
                End::PartitionsAdded => return Ok(Ended::Reassign),
            }
        }
    }

    /// Notes the first look at the topic: what a run to the end has to reach, and how much that is.
    fn begin(&mut self, survey: &Survey, positions: &BTreeMap<Partition, i64>) {
        let named = positions.iter().map(|(partition, at)| (partition.to_string(), *at));
        self.report.positions = named.collect();
        if !self.options.once || self.targets.is_some() {
            return;
        }
        let targets: BTreeMap<_, _> =
            survey.watermarks.iter().map(|(partition, marks)| (partition.clone(), marks.high)).collect();
        let left =
            |(partition, at): (&Partition, &i64)| targets.get(partition).map_or(0, |high| (high - at).max(0) as u64);
        self.progress.started(&self.stage, Some(positions.iter().map(left).sum()));
        self.targets = Some(targets);
    }

    /// Turns a batch into one commit. False: another writer was first and nothing was written.
    async fn settle(&mut self, batch: Batch, desk: &mut Desk, place: &mut Place) -> Result<bool> {
        failpoint::hit("bronze.after_poll");
        let inferred = desk.infer(&batch)?;
        let unknown = place.marks.unknown(&batch.messages);
        for (partition, source) in unknown {
            let stored = desk.table.txn(&source_app(&partition, &source)).await?;
            place.marks.learn(partition.number, source, stored);
        }
        let (batch, sorted) = desk.sort(batch, &mut place.marks).await?;
        let written = self.write(&batch, sorted, desk, place).await?;
        if let Some(columns) = inferred.filter(|_| written) {
            self.progress.note(inference(&self.stream.table, &columns));
        }
        Ok(written)
    }

    async fn write(&mut self, batch: &Batch, sorted: Sorted, desk: &mut Desk, place: &mut Place) -> Result<bool> {
        let Sorted { good, quarantined, mut counts } = sorted;
        let schema = columns::widened(&self.stream.table, &desk.table.schema(), &desk.wanted)?;
        let parts = [align(&good, &schema)?, align(&quarantined, &schema)?];
        for (number, rows) in count_by_partition(&parts[0])? {
            counts.entry(number).or_default().rows = rows;
        }
        for (number, rejects) in count_by_partition(&parts[1])? {
            counts.entry(number).or_default().rejects = rejects;
        }
        check_conservation(&batch.steps, &counts)?;
        failpoint::hit("bronze.before_stage");
        let staged = stage(&desk.table, schema, parts).await?;
        let info = info(batch, &counts, &self.stream.topic);
        failpoint::hit("bronze.before_commit");
        let commit = Commit { mode: Mode::Append, staged, txns: self.txns(batch, place), info };
        let version = match desk.table.commit(commit, "bronze.commit").await? {
            Committed::Done { version } => version,
            Committed::Fenced { .. } => {
                let (table, messages) = (&self.stream.table, batch.messages.len());
                self.progress.note(format!(
                    "another writer of `{table}` was first; {messages} messages are dropped and looked up again"
                ));
                return Ok(false);
            }
        };
        failpoint::hit("bronze.after_commit");
        place.stored = batch.ends().into_iter().map(|(partition, at)| (partition, Some(at))).collect();
        place.marks.committed();
        self.record(batch, &counts, version);
        Ok(true)
    }

    fn txns(&self, batch: &Batch, place: &Place) -> Vec<Txn> {
        let positions = batch.steps.iter().filter_map(|(partition, step)| {
            let expected = place.stored.get(partition).copied().flatten();
            (expected != Some(step.to)).then(|| Txn { app: position_app(partition), expected, next: step.to })
        });
        let marks = place.marks.moved().into_iter().map(|mark| {
            let partition = Partition::new(&self.stream.topic, mark.partition);
            Txn { app: source_app(&partition, &mark.source), expected: mark.stored, next: mark.highest }
        });
        positions.chain(marks).collect()
    }

    fn record(&mut self, batch: &Batch, counts: &BTreeMap<i32, Counts>, version: i64) {
        let report = &mut self.report;
        let (rows, rejects) = (report.rows, report.rejects);
        for counts in counts.values() {
            report.rows += counts.rows;
            report.rejects += counts.rejects;
            report.duplicates += counts.duplicates;
            report.tombstones += counts.tombstones;
            report.filtered += counts.filtered;
            report.gaps += counts.gaps;
        }
        report.commits += 1;
        report.version = Some(version);
        report.positions = batch.ends().into_iter().map(|(partition, at)| (partition.to_string(), at)).collect();
        self.progress.advanced(&self.stage, report.rows - rows, report.rejects - rejects);
    }
}

/// The stored position of each partition of the topic, and of the one behind its last: a topic made again
/// with fewer partitions shows by it.
async fn stored_positions(table: &Table, survey: &Survey, topic: &str) -> Result<BTreeMap<Partition, Option<i64>>> {
    let beyond = Partition::new(topic, survey.watermarks.len() as i32);
    let mut stored = BTreeMap::new();
    for partition in survey.watermarks.keys().chain([&beyond]) {
        stored.insert(partition.clone(), table.txn(&position_app(partition)).await?);
    }
    Ok(stored)
}

async fn stage(table: &Table, schema: SchemaRef, parts: [RecordBatch; 2]) -> Result<Staged> {
    let mut stage = table.stage(schema).await?;
    for part in parts.into_iter().filter(|part| part.num_rows() > 0) {
        stage.write(part).await?;
    }
    stage.finish().await
}

fn inference(table: &TableName, columns: &Fields) -> String {
    let columns = columns.iter().map(|column| format!("`{}` {}", column.name(), type_name(column.data_type())));
    let columns = columns.collect::<Vec<_>>().join(", ");
    format!("nobody declared columns of `{table}`; its first records show {columns}")
}

fn info(batch: &Batch, counts: &BTreeMap<i32, Counts>, topic: &str) -> Map<String, Value> {
    let mut partitions = Map::new();
    for (partition, step) in &batch.steps {
        let counts = counts.get(&partition.number).copied().unwrap_or_default();
        let mut entry = json!(counts);
        entry["from"] = step.from.into();
        entry["to"] = step.to.into();
        partitions.insert(partition.to_string(), entry);
    }
    Map::from_iter([
        ("verb".to_string(), "bronze".into()),
        ("topic".to_string(), topic.into()),
        ("partitions".to_string(), partitions.into()),
    ])
}

fn summary(report: &TableReport) -> String {
    let others = [
        (report.rejects, "quarantined"),
        (report.duplicates, "duplicates dropped"),
        (report.tombstones, "tombstones"),
        (report.filtered, "filtered"),
        (report.gaps, "gaps"),
    ];
    let others = others.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!(", {count} {what}"));
    format!("{} rows{}", report.rows, others.collect::<String>())
}
