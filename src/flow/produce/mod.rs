//! `lake produce`: rows of files become records of topics, each row once however often it is run.
//!
//! For each source: the topic is made if missing, what of each file it already holds is looked up there
//! ([`tail`]), the file is read again from its start to prove that the rows sent are still the same
//! ([`resume`]), and the rows not yet there are sent in file order. Position and identity of a row travel in
//! its headers, so there is no state beside the topic. Bronze recognises a row sent twice.
//!
//! Sources are sent one after the other, in the order given; one that cannot be sent does not keep back the
//! others. Never reads a table, never decides what a row means: a row the source could not parse is sent as its
//! raw bytes with the reason in a header.

mod pace;
mod resume;

use super::count::{counted, grouped};
use super::{Progress, Stop};
use crate::error::{Context, Error, Kind, Result};
use crate::failpoint;
use crate::kafka::{Consumer, KafkaConfig, Producer, admin, tail};
use crate::source::{self, LastRow, Source, SourceConfig};
use pace::Pace;
use resume::{Change, Plan, Verified, verify};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest sleep between two looks at the stop flag.
const NAP: Duration = Duration::from_millis(100);

/// Time left to acknowledge what was sent when a stop was asked for.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Rows between two crash points and at least between two progress events.
const STRIDE: u64 = 1_000;

#[derive(Debug, Clone)]
pub struct Options {
    /// Send every row again at its old position; Bronze drops what it has.
    pub again: bool,
    /// Send a file whose already sent rows were changed as another source.
    pub as_new: bool,
    /// How long the broker may leave a row unacknowledged.
    pub ack_timeout: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options { again: false, as_new: false, ack_timeout: Duration::from_secs(30) }
    }
}

#[derive(Debug, Serialize)]
pub struct Report {
    /// Those sent to their end.
    pub sources: Vec<SourceReport>,
    pub elapsed_seconds: f64,
}

/// What became of one source. `rows = sent + already`, and `acknowledged = sent` unless the run failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SourceReport {
    pub name: String,
    pub topic: String,
    pub files: usize,
    /// Rows in the files, good or bad.
    pub rows: u64,
    pub sent: u64,
    /// Rows the topic held before.
    pub already: u64,
    /// Of the rows sent, those that could not be parsed and went as raw bytes.
    pub rejected: u64,
    pub acknowledged: u64,
}

/// Sends what is new in each source to its topic. A source at fault (a file that is missing or cannot be read,
/// rows that were changed after they were sent) is left and the others are sent; alone it is the error. The second
/// value tells of those at fault, as one error of kind `Input`.
///
/// Errors, which end it for all: `Unavailable` when the broker is lost, with the rows acknowledged; `Interrupted` after a
/// stop, everything sent being acknowledged.
pub async fn produce(
    kafka: &KafkaConfig,
    sources: &[SourceConfig],
    project: &Path,
    options: &Options,
    progress: &Progress,
    stop: &Stop,
) -> Result<(Report, Option<Error>)> {
    let started = Instant::now();
    let mut reports = Vec::with_capacity(sources.len());
    let mut failures = Vec::new();
    for source in sources {
        let job = Job {
            kafka: kafka.clone(),
            source: source.clone(),
            project: project.to_path_buf(),
            options: options.clone(),
            progress: progress.clone(),
            stop: stop.clone(),
        };
        let finished = tokio::task::spawn_blocking(move || job.run()).await;
        match finished.context(Kind::Internal, || format!("produce `{}`", source.name))? {
            Ok(report) => reports.push(report),
            Err(error) if sources.len() > 1 && matches!(error.kind(), Kind::Input | Kind::Config) => {
                progress.note(format!("`{}` is not sent to its end: {}", source.name, error.in_one_line()));
                failures.push(error.about(&source.name));
            }
            Err(error) => return Err(error),
        }
    }
    let headline = format!("{} of {} sources were not sent to their end", failures.len(), sources.len());
    let failure = (!failures.is_empty()).then(|| Error::of_several(Kind::Input, headline, failures));
    Ok((Report { sources: reports, elapsed_seconds: started.elapsed().as_secs_f64() }, failure))
}

/// One file and how to read it from its start.
struct File<'a> {
    id: String,
    open: Box<dyn Fn() -> Result<Box<dyn Source>> + 'a>,
    /// Whether its last row sent has only grown.
    grew: Box<dyn Fn(LastRow) -> Result<bool> + 'a>,
}

/// Everything one source's run needs; owned, because it runs on a thread for blocking work.
struct Job {
    kafka: KafkaConfig,
    source: SourceConfig,
    project: PathBuf,
    options: Options,
    progress: Progress,
    stop: Stop,
}

impl Job {
    fn run(&self) -> Result<SourceReport> {
        let inputs = source::inputs(&self.source, &self.project)?;
        let files = inputs.iter().map(|input| File {
            id: input.id.clone(),
            open: Box::new(|| source::open(input, &self.source)),
            grew: Box::new(|last| source::grew(input, &last)),
        });
        self.send(&files.collect::<Vec<_>>())
    }

    /// The seam for tests: files need not exist.
    fn send(&self, files: &[File<'_>]) -> Result<SourceReport> {
        let stage = format!("produce {}", self.source.name);
        let mut report = SourceReport {
            name: self.source.name.clone(),
            topic: self.source.topic().to_string(),
            files: files.len(),
            ..SourceReport::default()
        };
        let pace = Pace::new(&self.source)?;
        self.stop.check()?;
        self.progress.started(&stage, None);
        let sent = self.send_files(files, pace, &stage, &mut report);
        sent.map_err(|error| lost_after(error, &report))?;
        self.progress.finished(&stage, summary(&report));
        Ok(report)
    }

    fn send_files(&self, files: &[File<'_>], pace: Pace, stage: &str, report: &mut SourceReport) -> Result<()> {
        let topic = self.source.topic();
        let partitions = admin::ensure_topic(&self.kafka, topic, self.source.partitions.unwrap_or(1))?;
        let ids = files.iter().map(|file| file.id.clone()).collect();
        let mut tails = tail::find(&mut Consumer::new(&self.kafka)?, topic, &ids, &|| self.stop.check())?;
        let mut run = Run {
            job: self,
            producer: Producer::new(&self.kafka, topic, self.options.ack_timeout)?,
            pace,
            meter: Meter::new(&self.progress, stage),
            report,
        };
        failpoint::hit("produce.before_send");
        for file in files {
            let plan = Plan::new(&file.id, tails.remove(&file.id), !self.source.key.is_empty(), partitions)?;
            let sent = run.send_file(file, plan);
            run.report.acknowledged = run.producer.acknowledged();
            sent?;
        }
        failpoint::hit("produce.after_send");
        Ok(())
    }
}

/// One source being sent.
struct Run<'a> {
    job: &'a Job,
    producer: Producer,
    pace: Pace,
    meter: Meter<'a>,
    report: &'a mut SourceReport,
}

impl Run<'_> {
    fn send_file(&mut self, file: &File<'_>, mut plan: Plan) -> Result<()> {
        let mut rows = (file.open)()?;
        let mut former = None;
        match verify(rows.as_mut(), &plan, &|| self.job.stop.check())? {
            Verified::Same { rows: read, complete: true } if !self.job.options.again => {
                self.report.rows += read;
                self.report.already += read;
            }
            Verified::Same { .. } => rows = (file.open)()?,
            Verified::Changed(_) if self.job.options.as_new => {
                former = Some((plan.source(), plan.highest()));
                plan = plan.next_generation();
                self.job.progress.note(format!("`{}` was changed and is sent as `{}`", file.id, plan.source()));
                rows = (file.open)()?;
            }
            Verified::Changed(change) => return Err(explain(change, file)?.error(&file.id)),
        }
        let before = self.report.sent;
        let sent = self.send_rows(rows.as_mut(), &plan);
        self.meter.flush();
        if let Some((source, stay)) = former {
            let (now, new) = (self.report.sent - before, plan.source());
            self.job.progress.note(format!(
                "warning: {} sent earlier as `{source}` stay beside the {} sent now as `{new}`, so a row that is in both \
                 is in Bronze twice",
                counted(stay, "row"),
                grouped(now)
            ));
        }
        match sent {
            Err(error) if matches!(error.kind(), Kind::Interrupted(_)) => self.say_last_words(error),
            sent => sent.and_then(|()| self.producer.flush()),
        }
    }

    fn send_rows(&mut self, rows: &mut dyn Source, plan: &Plan) -> Result<()> {
        let source = plan.source();
        while let Some(mut record) = rows.next()? {
            self.job.stop.check()?;
            self.report.rows += 1;
            let partition = plan.partition(record.key.as_deref());
            if !self.job.options.again && plan.holds(partition, record.position.row) {
                self.report.already += 1;
                continue;
            }
            self.wait_for_turn(record.timestamp_ms)?;
            record.position.partitions = plan.partitions();
            self.producer.send(partition, &source, &record)?;
            self.report.sent += 1;
            self.report.rejected += u64::from(record.error.is_some());
            self.meter.count(record.error.is_some());
            if self.report.sent.is_multiple_of(STRIDE) {
                failpoint::hit("produce.mid_send");
            }
        }
        Ok(())
    }

    fn wait_for_turn(&mut self, timestamp_ms: Option<i64>) -> Result<()> {
        let Some(due) = self.pace.due(timestamp_ms, Instant::now()) else {
            return Ok(());
        };
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.meter.show();
            self.producer.serve(left.min(NAP))?;
            self.job.stop.check()?;
        }
    }

    /// What was sent before the stop is waited for, but not for long: anything unacknowledged is found
    /// missing and sent by the next run.
    fn say_last_words(&mut self, stopped: Error) -> Result<()> {
        let deadline = Instant::now() + LAST_WORDS;
        while self.producer.unacknowledged() > 0 && Instant::now() < deadline {
            if let Err(error) = self.producer.serve(Duration::from_millis(10)) {
                tracing::warn!("rows sent before the stop were not acknowledged: {error}");
                break;
            }
        }
        Err(stopped)
    }
}

/// Tells a last row that was sent before its line was complete from one that was edited.
fn explain(change: Change, file: &File<'_>) -> Result<Change> {
    let Change::Edited { row, last: Some(last) } = change else { return Ok(change) };
    Ok(match (file.grew)(last)? {
        true => Change::Torn { row },
        false => Change::Edited { row, last: None },
    })
}

/// A lost broker is reported with what had arrived until then.
fn lost_after(error: Error, report: &SourceReport) -> Error {
    if error.kind() != Kind::Unavailable {
        return error;
    }
    let hint = error.hint_text().unwrap_or("start the broker").to_string();
    let SourceReport { name, acknowledged, .. } = report;
    Error::unavailable(format!("produce `{name}` ended after {} acknowledged rows", grouped(*acknowledged)))
        .hint(format!("{hint}; run it again and only the missing rows are sent"))
        .caused_by(error)
}

fn summary(report: &SourceReport) -> String {
    let SourceReport { topic, sent, already, rejected, .. } = report;
    let mut text = match (sent, already) {
        (0, 1) => format!("nothing new for topic {topic}, 1 row was there"),
        (0, _) => format!("nothing new for topic {topic}, {} were there", counted(*already, "row")),
        (_, 0) => format!("{} to topic {topic}", counted(*sent, "row")),
        _ => format!("{} to topic {topic}, {} there before", counted(*sent, "row"), grouped(*already)),
    };
    if *rejected > 0 {
        text.push_str(&format!(", {} to be quarantined", grouped(*rejected)));
    }
    text
}

/// Gathers progress, so that a watcher hears of each 1,000 rows or each 100 ms.
struct Meter<'a> {
    progress: &'a Progress,
    stage: &'a str,
    rows: u64,
    rejects: u64,
    shown: Instant,
}

impl<'a> Meter<'a> {
    fn new(progress: &'a Progress, stage: &'a str) -> Meter<'a> {
        Meter { progress, stage, rows: 0, rejects: 0, shown: Instant::now() }
    }

    fn count(&mut self, rejected: bool) {
        self.rows += 1;
        self.rejects += u64::from(rejected);
        if self.rows >= STRIDE {
            self.flush();
        }
    }

    fn show(&mut self) {
        if self.shown.elapsed() >= NAP {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.rows > 0 {
            self.progress.advanced(self.stage, self.rows, self.rejects);
            (self.rows, self.rejects) = (0, 0);
        }
        self.shown = Instant::now();
    }
}

#[cfg(test)]
mod tests;
