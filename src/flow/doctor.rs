//! `lake doctor`: is every part there, does it do what the promises rest on, and what to do if not.
//!
//! Takes each part as it came, connected or with the error of trying, and asks it a few harmless
//! questions. Never creates, changes or repairs anything, the store's probe object apart. To add a
//! question, push one more [`Finding`].

use crate::error::{Error, Kind, Result};
use crate::kafka::{Consumer, KafkaConfig, admin};
use crate::table::Lake;
use crate::warehouse::Warehouse;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Below this the next commit may already fail.
const LEAST_FREE_BYTES: u64 = 200 << 20;
/// Below this it is time to make room.
const LOW_FREE_BYTES: u64 = 2 << 30;
/// S3 refuses requests 15 minutes off; event times get misleading long before.
const MOST_SKEW_SECONDS: f64 = 10.0;

/// What is examined. A part that could not be had comes as the error that says why.
pub struct Parts {
    pub kafka: Result<KafkaConfig>,
    pub topics: Vec<String>,
    pub lake: Result<Lake>,
    pub warehouse: Result<Box<dyn Warehouse>>,
    /// Schema that receives the Gold tables.
    pub schema: String,
    /// Folder of the embedded parts.
    pub dot_lake: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Ok,
    Warn,
    Fail,
}

/// One line of the examination.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    pub part: &'static str,
    pub state: State,
    pub message: String,
    pub remedy: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub findings: Vec<Finding>,
}

impl Report {
    fn failure(&self) -> Option<Error> {
        let failed: Vec<&str> =
            self.findings.iter().filter(|finding| finding.state == State::Fail).map(|finding| finding.part).collect();
        (!failed.is_empty()).then(|| Error::unavailable(format!("not in order: {}", failed.join(", "))))
    }

    fn ok(&mut self, part: &'static str, message: impl Into<String>) {
        self.findings.push(Finding { part, state: State::Ok, message: message.into(), remedy: None });
    }

    fn warn(&mut self, part: &'static str, message: impl Into<String>, remedy: &str) {
        let remedy = Some(remedy.to_string());
        self.findings.push(Finding { part, state: State::Warn, message: message.into(), remedy });
    }

    fn fail(&mut self, part: &'static str, error: &Error) {
        let remedy = error.hint_text().map(str::to_string);
        self.findings.push(Finding { part, state: State::Fail, message: error.in_one_line(), remedy });
    }
}

/// Examines every part; a part that is down is a finding. The second value is the failure (kind Unavailable) when
/// anything is not in order.
pub async fn doctor(parts: Parts) -> (Report, Option<Error>) {
    let mut report = Report { findings: Vec::new() };
    match parts.kafka {
        Ok(kafka) => examine_broker(&mut report, kafka, parts.topics).await,
        Err(error) => report.fail("broker", &error),
    }
    match &parts.lake {
        Ok(lake) => examine_lake(&mut report, lake).await,
        Err(error) => report.fail("lake", error),
    }
    match parts.warehouse {
        Ok(mut warehouse) => examine_warehouse(&mut report, warehouse.as_mut(), &parts.schema).await,
        Err(error) => report.fail("warehouse", &error),
    }
    examine_disk(&mut report, &parts.dot_lake).await;
    let failure = report.failure();
    (report, failure)
}

async fn examine_broker(report: &mut Report, kafka: KafkaConfig, topics: Vec<String>) {
    let address = kafka.brokers.clone();
    let asked = tokio::task::spawn_blocking(move || ask_broker(&kafka, &topics)).await;
    match asked.unwrap_or_else(|_| Err(Error::internal("the examination of the broker ended early"))) {
        Err(error) => report.fail("broker", &error),
        Ok((brokers, missing)) => {
            report.ok("broker", format!("{address} answers, {brokers} in the cluster"));
            if !missing.is_empty() {
                let message = format!("no topic yet: {}", missing.join(", "));
                report.warn("topics", message, "lake produce makes them");
            }
        }
    }
}

/// Number of brokers, and the topics that do not exist.
fn ask_broker(kafka: &KafkaConfig, topics: &[String]) -> Result<(usize, Vec<String>)> {
    let brokers = admin::reachable(kafka)?;
    let consumer = Consumer::new(kafka)?;
    let mut missing = Vec::new();
    for topic in topics {
        if consumer.partitions(topic)?.is_none() {
            missing.push(topic.clone());
        }
    }
    Ok((brokers, missing))
}

async fn examine_lake(report: &mut Report, lake: &Lake) {
    match lake.probe().await {
        Ok(()) => report.ok("lake", format!("{} takes writes and honours conditional PUT", lake.root())),
        Err(error) => report.fail("lake", &error),
    }
}

async fn examine_warehouse(report: &mut Report, warehouse: &mut dyn Warehouse, schema: &str) {
    let address = warehouse.address().to_string();
    let schema = crate::ident::literal(schema);
    let question = format!(
        "select current_setting('server_version'), current_user, extract(epoch from clock_timestamp())::text, \
         case when to_regnamespace({schema}) is null then has_database_privilege(current_database(), 'CREATE') \
         else has_schema_privilege({schema}, 'CREATE') end"
    );
    let row = match warehouse.query(&question).await {
        Err(error) => return report.fail("warehouse", &error),
        Ok(answer) => answer.rows.into_iter().next().unwrap_or_default(),
    };
    let cell = |index: usize| row.get(index).cloned().flatten().unwrap_or_default();
    report.ok("warehouse", format!("{address} answers, PostgreSQL {}, user {}", cell(0), cell(1)));
    if !matches!(cell(3).as_str(), "t" | "true") {
        let message = format!("user `{}` may not create in schema {schema}", cell(1));
        let error = Error::new(Kind::Unavailable, message);
        report.fail("rights", &error.hint("grant create on the schema, or on the database for a new schema"));
    }
    examine_clock(report, cell(2).parse().ok());
}

fn examine_clock(report: &mut Report, server_seconds: Option<f64>) {
    let here = chrono::Utc::now().timestamp_micros() as f64 / 1e6;
    match server_seconds.map(|there| here - there) {
        Some(skew) if skew.abs() <= MOST_SKEW_SECONDS => report.ok("clock", "agrees with the warehouse's"),
        Some(skew) => {
            let message =
                format!("{:.0} s {} the warehouse's", skew.abs(), if skew > 0.0 { "ahead of" } else { "behind" });
            report.warn("clock", message, "set both clocks by NTP; S3 refuses requests 15 minutes off");
        }
        None => report.warn("clock", "the warehouse did not tell its time", "compare the clocks by hand"),
    }
}

async fn examine_disk(report: &mut Report, folder: &Path) {
    let existing = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let Some(free) = free_bytes(existing).await else {
        return report.warn("disk", "free space unknown", "look with: df -h");
    };
    let message = format!("{} MB free at {}", free / 1_000_000, existing.display());
    match free {
        ..LEAST_FREE_BYTES => report.fail("disk", &Error::unavailable(message).hint("make room before the next run")),
        LEAST_FREE_BYTES..LOW_FREE_BYTES => report.warn("disk", message, "make room soon"),
        _ => report.ok("disk", message),
    }
}

/// By POSIX `df`; the standard library cannot ask.
async fn free_bytes(folder: &Path) -> Option<u64> {
    let output = tokio::process::Command::new("df").arg("-Pk").arg(folder).output().await.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let kilobytes: u64 = text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_part_makes_the_whole_unavailable() {
        let mut report = Report { findings: Vec::new() };
        report.ok("broker", "answers");
        report.warn("clock", "60 s ahead", "set it");
        assert!(report.failure().is_none());
        report.fail("warehouse", &Error::unavailable("connect").caused_by(std::io::Error::other("refused")));
        assert_eq!(report.findings[2].message, "connect: refused");
        assert_eq!(report.failure().unwrap().kind(), Kind::Unavailable);
    }

    #[test]
    fn a_clock_far_off_is_told_with_its_direction() {
        let now = chrono::Utc::now().timestamp() as f64;
        let table = [
            (Some(now), State::Ok, "agrees"),
            (Some(now + 100.0), State::Warn, "behind"),
            (None, State::Warn, "did not"),
        ];
        for (server, state, word) in table {
            let mut report = Report { findings: Vec::new() };
            examine_clock(&mut report, server);
            assert_eq!(report.findings[0].state, state);
            assert!(report.findings[0].message.contains(word), "{:?}", report.findings);
        }
    }
}
