//! `lake status`: how far each part has come, from the tables and the ledger themselves.
//!
//! Asks and changes nothing. A part that is down costs only its own figures and is named in the report.

use super::bronze::{Stream, position_app, topics_read};
use super::checks::TestStatus;
use super::checks::results::{self, Outcome};
use super::load;
use super::promote::record::record_of;
use super::unread::{self, Marks};
use super::verify::star;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::kafka::{KafkaConfig, Watermarks};
use crate::model;
use crate::partition::Partition;
use crate::table::manifest::{self, ManifestTable};
use crate::table::{Extent, Lake, Table};
use crate::warehouse::{Entry, Warehouse};
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Commits looked through for the newest of `lake bronze`.
const LOOKED_THROUGH: usize = 20;

/// What is asked. A part that could not be had comes as the error that says why.
pub struct Parts<'a> {
    /// The project's folder.
    pub root: &'a Path,
    pub project: &'a model::Project,
    pub streams: &'a [Stream],
    pub engine: &'a Engine,
    pub kafka: Result<KafkaConfig>,
    pub lake: Result<Lake>,
    /// `None` when nothing was ever loaded and nothing needs to be started to say so.
    pub warehouse: Option<Result<Box<dyn Warehouse>>>,
    /// Bytes a file should have; smaller ones are counted.
    pub target_file_size: u64,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    pub streams: Vec<StreamStatus>,
    pub models: Vec<ModelStatus>,
    pub loads: Vec<LoadStatus>,
    pub down: Vec<Down>,
}

/// One Bronze table and its topics.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StreamStatus {
    pub table: String,
    /// Those that are there or were read.
    pub topics: Vec<String>,
    /// `None` when the table does not exist.
    pub version: Option<i64>,
    pub rows: Option<u64>,
    pub rejects: Option<u64>,
    pub extent: Option<Extent>,
    /// RFC 3339, of the newest commit that moved a position.
    pub last_commit: Option<String>,
    pub partitions: Vec<PartitionStatus>,
}

impl StreamStatus {
    /// Records not read yet, when every partition knows.
    pub fn lag(&self) -> Option<i64> {
        self.partitions.iter().map(|partition| partition.lag).sum()
    }

    /// The longest wait of a record not read yet, when every partition knows.
    pub fn lag_seconds(&self) -> Option<f64> {
        let all = self.partitions.iter().map(|partition| partition.lag_seconds);
        all.reduce(|longest, next| Some(longest?.max(next?))).flatten()
    }
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct PartitionStatus {
    pub topic: String,
    pub partition: i32,
    /// Next offset to read, as committed.
    pub position: Option<i64>,
    /// First offset the topic still holds.
    pub low: Option<i64>,
    /// Next offset to be written.
    pub high: Option<i64>,
    pub lag: Option<i64>,
    /// How long the oldest record not read yet has waited, by its timestamp; 0 without one.
    pub lag_seconds: Option<f64>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct ModelStatus {
    pub model: String,
    /// Version of the newest complete run; `None` before the first.
    pub version: Option<i64>,
    pub run: Option<u64>,
    pub rows: Option<u64>,
    /// Why its last build was of all rows, where only new ones were to be built.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whole: Option<String>,
    /// Data tests declared on it, `sql/checks` included.
    pub tests: usize,
    /// How those that ever ran from this project's folder last ended.
    pub outcomes: Outcomes,
    /// RFC 3339.
    pub last_run: Option<String>,
}

/// Last outcomes of tests, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Outcomes {
    pub passed: usize,
    pub warned: usize,
    pub failed: usize,
    /// When the newest of them ran, RFC 3339.
    pub at: Option<String>,
}

impl Outcomes {
    fn count(&mut self, outcome: &Outcome) {
        match outcome.status {
            TestStatus::Pass => self.passed += 1,
            TestStatus::Warn => self.warned += 1,
            TestStatus::Fail => self.failed += 1,
            TestStatus::Skipped => return,
        }
        self.at = self.at.take().max(Some(outcome.at.clone()));
    }
}

/// What the warehouse holds of one Gold table.
#[derive(Debug, Clone, Serialize)]
pub struct LoadStatus {
    #[serde(flatten)]
    pub entry: Entry,
    /// The published version, when that is newer than the loaded one.
    pub behind: Option<i64>,
}

/// A part that did not answer.
#[derive(Debug, Clone, Serialize)]
pub struct Down {
    pub part: &'static str,
    pub error: String,
}

/// Fails only for faults of lake itself.
pub async fn status(parts: Parts<'_>) -> Result<Report> {
    let mut report = Report::default();
    let kafka = report.up("broker", parts.kafka);
    let marks = match &kafka {
        Some(kafka) => report.up("broker", unread::watermarks(kafka.clone(), parts.streams).await).unwrap_or_default(),
        None => Marks::default(),
    };
    let lake = report.up("lake", parts.lake);
    if let Some(lake) = &lake {
        for stream in parts.streams {
            let found = stream_status(stream, lake, parts.engine, parts.target_file_size, &marks).await;
            if let Some(stream) = report.up("lake", found) {
                report.streams.push(stream);
            }
        }
        if let Some(kafka) = kafka {
            let waits = waits(&kafka, &mut report.streams).await;
            report.up("broker", waits);
        }
        let models = models(parts.project, lake).await;
        report.models = report.up("lake", models).unwrap_or_default();
        let outcomes = results::outcomes(parts.root).await;
        let outcomes = report.up("test results", outcomes).unwrap_or_default();
        report.tell_outcomes(parts.project, &outcomes);
    }
    if let Some(warehouse) = parts.warehouse {
        let loads = match (warehouse, &lake) {
            (Ok(mut warehouse), Some(lake)) => loads(lake, warehouse.as_mut()).await,
            (Ok(mut warehouse), None) => warehouse.ledger().await.map(|ledger| contrast(ledger, &BTreeMap::new())),
            (Err(error), _) => Err(error),
        };
        report.loads = report.up("warehouse", loads).unwrap_or_default();
    }
    Ok(report)
}

impl Report {
    /// Adds how the tests last ended.
    fn tell_outcomes(&mut self, project: &model::Project, known: &BTreeMap<String, Outcome>) {
        for model in &mut self.models {
            for check in project.checks().filter(|check| check.table.to_string() == model.model) {
                if let Some(outcome) = known.get(&check.name) {
                    model.outcomes.count(outcome);
                }
            }
        }
    }

    /// The value of a part that answered; one that did not is noted once.
    fn up<T>(&mut self, part: &'static str, outcome: Result<T>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(error) => {
                if !self.down.iter().any(|down| down.part == part) {
                    self.down.push(Down { part, error: error.in_one_line() });
                }
                None
            }
        }
    }
}

/// Looks at the first record behind each position.
async fn waits(kafka: &KafkaConfig, streams: &mut [StreamStatus]) -> Result<()> {
    for stream in streams {
        let behind = stream.partitions.iter().filter(|partition| partition.lag.is_some_and(|lag| lag > 0));
        let first = |partition: &PartitionStatus| partition.position.max(partition.low);
        let behind: BTreeMap<Partition, i64> = behind
            .filter_map(|partition| Some((Partition::new(&partition.topic, partition.partition), first(partition)?)))
            .collect();
        let sent = unread::sent(kafka.clone(), behind).await?;
        let now = chrono::Utc::now().timestamp_millis();
        for partition in &mut stream.partitions {
            let sent = sent.get(&Partition::new(&partition.topic, partition.partition));
            partition.lag_seconds = match partition.lag {
                Some(0) => Some(0.0),
                _ => sent.map(|sent| (now - sent).max(0) as f64 / 1000.0),
            };
        }
    }
    Ok(())
}

async fn stream_status(
    stream: &Stream,
    lake: &Lake,
    engine: &Engine,
    target_file_size: u64,
    marks: &Marks,
) -> Result<StreamStatus> {
    let mut status = StreamStatus { table: stream.table.to_string(), ..StreamStatus::default() };
    let mut topics: BTreeSet<String> = stream.topics.names().iter().cloned().collect();
    topics.extend(marks.keys().map(|partition| &partition.topic).filter(|topic| stream.topics.include(topic)).cloned());
    let table = lake.table(&stream.table).await?;
    if let Some(table) = &table {
        status.version = Some(table.version());
        status.last_commit = last_commit(table).await?;
        status.extent = Some(table.extent(target_file_size)?);
        let (rows, rejects) = count(table, engine).await?;
        (status.rows, status.rejects) = (Some(rows), Some(rejects));
        topics.extend(topics_read(table).await?.into_iter().filter(|topic| stream.topics.include(topic)));
    }
    for topic in &topics {
        status.partitions.extend(partitions(topic, table.as_ref(), marks).await?);
    }
    status.topics = topics.into_iter().collect();
    Ok(status)
}

/// Those of a topic that are there or of which a position is stored.
async fn partitions(topic: &str, table: Option<&Table>, marks: &Marks) -> Result<Vec<PartitionStatus>> {
    let mut found = Vec::new();
    for number in 0.. {
        let partition = Partition::new(topic, number);
        let position = match table {
            Some(table) => table.txn(&position_app(&partition)).await?,
            None => None,
        };
        let marks = marks.get(&partition);
        if position.is_none() && marks.is_none() {
            break;
        }
        found.push(partition_status(partition, position, marks));
    }
    Ok(found)
}

/// When `lake bronze` last wrote; above it there may be commits of maintenance.
async fn last_commit(table: &Table) -> Result<Option<String>> {
    let history = table.history(LOOKED_THROUGH).await?;
    let newest = history.iter().find(|commit| commit.info.contains_key("partitions")).or(history.first());
    Ok(newest.and_then(|commit| time(commit.timestamp_ms)))
}

fn partition_status(partition: Partition, position: Option<i64>, marks: Option<&Watermarks>) -> PartitionStatus {
    let (low, high) = (marks.map(|marks| marks.low), marks.map(|marks| marks.high));
    let lag = marks.map(|marks| marks.high - position.unwrap_or(marks.low));
    let Partition { topic, number: partition } = partition;
    PartitionStatus { topic, partition, position, low, high, lag, lag_seconds: None }
}

/// Good rows and quarantined ones.
async fn count(table: &Table, engine: &Engine) -> Result<(u64, u64)> {
    let session = engine.session();
    session.register(table.name(), table.provider().await?)?;
    let sql = format!(
        "select count(*) filter (where not _quarantined), count(*) filter (where _quarantined) from {}",
        table.name().quoted()
    );
    let batches = session.query(&sql).await?;
    let row = batches.iter().find(|batch| batch.num_rows() > 0);
    let row = row.ok_or_else(|| Error::internal("a count yields a row"))?;
    let figure = |column: usize| row.column(column).as_primitive::<Int64Type>().value(0).unsigned_abs();
    Ok((figure(0), figure(1)))
}

async fn models(project: &model::Project, lake: &Lake) -> Result<Vec<ModelStatus>> {
    let newest = manifest::latest(lake).await?;
    let mut found = Vec::new();
    for model in &project.models {
        let name = model.table.to_string();
        let tests = project.checks().filter(|check| check.table == model.table).count();
        let mut status = ModelStatus { model: name.clone(), tests, ..ModelStatus::default() };
        let published = newest.as_ref().and_then(|run| Some((run, run.tables.get(&name)?)));
        if let Some((run, published)) = published {
            (status.version, status.run) = (Some(published.version), Some(run.run));
            // One made anew since has other versions under the same numbers.
            if let Some(table) = lake.table(&model.table).await?.filter(|table| published.is_of(table)) {
                let table = table.at(published.version).await?;
                status.rows = table.rows();
                status.whole = record_of(&table).await?.whole;
                status.last_run = table.history(1).await?.first().and_then(|commit| time(commit.timestamp_ms));
            }
        }
        found.push(status);
    }
    Ok(found)
}

async fn loads(lake: &Lake, warehouse: &mut dyn Warehouse) -> Result<Vec<LoadStatus>> {
    let published = manifest::latest(lake).await?.map(|run| run.tables).unwrap_or_default();
    Ok(contrast(load::loaded(lake, warehouse).await?, &published))
}

fn contrast(ledger: Vec<Entry>, published: &BTreeMap<String, ManifestTable>) -> Vec<LoadStatus> {
    let status = |entry: Entry| {
        let behind = star::behind(&entry, published).map(|(_, version)| version);
        LoadStatus { entry, behind }
    };
    ledger.into_iter().map(status).collect()
}

fn time(milliseconds: Option<i64>) -> Option<String> {
    let time = chrono::DateTime::from_timestamp_millis(milliseconds?)?;
    Some(time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_counts_from_where_reading_would_begin() {
        let marks = Watermarks { low: 10, high: 25 };
        let table = [(Some(20), Some(&marks), Some(5)), (None, Some(&marks), Some(15)), (Some(20), None, None)];
        for (position, marks, lag) in table {
            assert_eq!(partition_status(Partition::new("t", 0), position, marks).lag, lag, "{position:?}");
        }
    }

    #[test]
    fn outcomes_are_counted_and_the_newest_time_is_kept() {
        let mut outcomes = Outcomes::default();
        let table = [
            (TestStatus::Pass, "2026-01-02T00:00:00Z"),
            (TestStatus::Fail, "2026-01-03T00:00:00Z"),
            (TestStatus::Pass, "2026-01-01T00:00:00Z"),
        ];
        for (status, at) in table {
            outcomes.count(&Outcome { status, at: at.into() });
        }
        let at = Some("2026-01-03T00:00:00Z".to_string());
        assert_eq!(outcomes, Outcomes { passed: 2, warned: 0, failed: 1, at });
    }

    #[test]
    fn a_part_that_is_down_is_named_once() {
        let mut report = Report::default();
        assert_eq!(report.up("lake", Ok(1)), Some(1));
        assert_eq!(report.up::<u8>("lake", Err(Error::unavailable("no"))), None);
        assert_eq!(report.up::<u8>("lake", Err(Error::unavailable("no"))), None);
        assert_eq!(report.down.len(), 1);
    }
}
