//! The loop of one table: open, read, work chunk by chunk, commit, again.

use super::batch::{Batch, Part};
use super::commits::{Commits, Landed};
use super::desk::Desk;
use super::intake::{Chunk, Feed, Intake};
use super::limit::Met;
use super::memory::Shares;
use super::start::{self, Survey};
use super::stored::Stored;
use super::told::told;
use super::{Halt, Options, Start, Stream, TableReport};
use crate::engine::Engine;
use crate::error::{Context, Error, Kind, Result};
use crate::failpoint;
use crate::flow::Progress;
use crate::flow::reasons::Reasons;
use crate::kafka::Tip;
use crate::model::Topics;
use crate::partition::Partition;
use crate::table::{Committed, Lake, Table};
use chrono::Utc;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub(super) struct Worker<'a> {
    lake: &'a Lake,
    engine: &'a Engine,
    stream: &'a Stream,
    options: &'a Options,
    shares: Shares,
    progress: &'a Progress,
    halt: &'a Halt,
    stage: String,
    report: TableReport,
    /// High watermarks of the first look at the topics, for a run to the end.
    targets: Option<BTreeMap<Partition, i64>>,
}

/// What an assignment is worked off with.
struct Work {
    desk: Desk,
    commits: Commits,
    batch: Batch,
    /// Where partitions ended when that was last heard of.
    ends: BTreeMap<Partition, i64>,
}

/// Why an assignment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Finished,
    Reassign,
}

/// Why a batch is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Its limits or its interval are used up.
    Due,
    /// The positions a run to the end was to reach are reached.
    Reached,
    /// There are more partitions to be read than are assigned.
    PartitionsAdded,
    /// Another stream failed.
    Halted,
    /// Another writer was first, or added columns.
    Fenced,
}

impl<'a> Worker<'a> {
    pub fn new(
        lake: &'a Lake,
        engine: &'a Engine,
        stream: &'a Stream,
        options: &'a Options,
        shares: Shares,
        progress: &'a Progress,
        halt: &'a Halt,
    ) -> Worker<'a> {
        let stage = stream.table.to_string();
        let report = TableReport { table: stage.clone(), ..TableReport::default() };
        Worker { lake, engine, stream, options, shares, progress, halt, stage, report, targets: None }
    }

    /// Works until the end, a stop or a failure. `connect` blocks; it gives an unassigned reader and what the broker
    /// says about the stream's topics.
    pub async fn run<F: Feed>(
        mut self,
        connect: impl Fn() -> Result<(F, Survey)> + Clone + Send + 'static,
    ) -> Result<TableReport> {
        let mut told = false;
        while self.halt.go_on()? {
            // Before the survey: topics only grow, so they reach at least as far as any position stored by now.
            let table = self.lake.table(&self.stream.table).await?;
            let connected = tokio::task::spawn_blocking(connect.clone());
            let (feed, survey) = connected.await.context(Kind::Internal, || "ask the broker about topics")??;
            self.miss(&survey, &mut told)?;
            if survey.watermarks.is_empty() {
                self.wait_a_second().await?;
                continue;
            }
            match self.serve(table, feed, &survey).await? {
                Ended::Finished => break,
                Ended::Reassign => {}
            }
        }
        self.progress.finished(&self.stage, summary(&self.report));
        Ok(self.report)
    }

    /// Topics that are not there fail a run to the end; otherwise they are named once and read once they are there.
    fn miss(&self, survey: &Survey, told: &mut bool) -> Result<()> {
        let Stream { table, topics, .. } = self.stream;
        let missing = match survey.missing(topics) {
            names if !names.is_empty() => Topics::Named(names.into_iter().map(String::from).collect()),
            _ if survey.watermarks.is_empty() => topics.clone(),
            _ => return Ok(()),
        };
        let (does, it_does) = match &missing {
            Topics::Named(names) if names.len() == 1 => ("does", "it does"),
            _ => ("do", "they do"),
        };
        if self.options.once {
            return Err(Error::input(format!("{missing} of `{table}` {does} not exist"))
                .hint("`lake produce` creates and fills the topics of the declared sources"));
        }
        if !std::mem::replace(told, true) {
            self.progress.note(format!("`{table}` waits for {missing}; {it_does} not exist yet"));
        }
        Ok(())
    }

    async fn wait_a_second(&self) -> Result<()> {
        for _ in 0..10 {
            self.halt.go_on()?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Reads from where the table stands until the end, a fence or a change of the partitions. Whatever
    /// ends it, no commit is under way and no file is open afterwards.
    async fn serve(&mut self, table: Option<Table>, feed: impl Feed, survey: &Survey) -> Result<Ended> {
        let before_survey = table.as_ref().map(Table::version);
        let keep_on = || self.halt.stop.check();
        let mut desk = Desk::open(self.lake, self.engine, self.stream, self.shares, table, Some(&keep_on)).await?;
        desk.notes.drain(..).for_each(|note| self.progress.note(note));
        if before_survey != Some(desk.table.version()) {
            return Ok(Ended::Reassign);
        }
        self.report.version = Some(desk.table.version());
        let stored = Stored::read(&desk.table, &self.stream.topics, survey).await?;
        let mut positions = start::positions(&self.stream.table, survey, &stored.positions, self.options.start)?;
        // A start that moves with time is stored at once, for all partitions whoever reads them, so that whatever goes
        // on from it skips nothing.
        let pin_start = self.options.start != Start::Earliest && stored.positions.values().all(Option::is_none);
        positions.retain(|partition, _| pin_start || self.options.share.takes(partition));
        let feed = self.check_tips(feed, stored.tips_of(positions.keys(), survey)).await?;
        let batch = Batch::starting_at(&positions);
        let commits = Commits::new(survey.topics(), self.stream.fingerprint(), desk.table.clone(), stored);
        let ends = survey.watermarks.iter().map(|(partition, marks)| (partition.clone(), marks.high)).collect();
        let mut work = Work { desk, commits, batch, ends };
        work.desk.reasons = self.limit().map(|_| Reasons::default());
        self.begin(survey, &positions);
        let ended = self.read(feed, positions, pin_start, &mut work).await;
        work.desk.abandon().await;
        let landed = self.land(&mut work).await;
        // A run that is told to stop is over as well, and too many rejects are the graver news.
        let over = ended
            .as_ref()
            .map_or_else(|stopped| matches!(stopped.kind(), Kind::Interrupted(_)), |ended| *ended == Ended::Finished);
        if over && matches!(landed, Ok(true)) {
            self.check_rejects(&work, true)?;
        }
        match (ended?, landed?) {
            (Ended::Finished, false) => Ok(Ended::Reassign),
            (ended, _) => Ok(ended),
        }
    }

    async fn check_tips<F: Feed>(&self, mut feed: F, tips: BTreeMap<Partition, Tip>) -> Result<F> {
        let name = self.stream.table.clone();
        let checked = tokio::task::spawn_blocking(move || {
            start::check_tips(&name, &tips, &mut feed)?;
            Ok(feed)
        });
        checked.await.context(Kind::Internal, || "look at the records read last")?
    }

    async fn read(
        &mut self,
        feed: impl Feed,
        positions: BTreeMap<Partition, i64>,
        pin_start: bool,
        work: &mut Work,
    ) -> Result<Ended> {
        if pin_start {
            self.settle(work, false).await?;
            return Ok(Ended::Reassign);
        }
        if self.targets.as_ref().is_some_and(|targets| work.batch.reached(targets)) {
            return Ok(Ended::Finished);
        }
        let full = self.shares.full_chunk(self.options.max_rows);
        let mut intake = Intake::start(feed, self.stream.topics.clone(), self.options.share, positions, full)?;
        work.desk.spent = Some(intake.spent());
        loop {
            let end = self.collect(&mut intake, work).await?;
            match end {
                End::Halted => return Ok(Ended::Finished),
                End::Fenced => return Ok(Ended::Reassign),
                _ if work.batch.moved() && !self.settle(work, end == End::Reached).await? => {
                    return Ok(Ended::Reassign);
                }
                End::Due => {}
                End::Reached => return Ok(Ended::Finished),
                End::PartitionsAdded => return Ok(Ended::Reassign),
            }
        }
    }

    /// Works on chunks until the batch is due or there is a reason to stop.
    async fn collect(&mut self, intake: &mut Intake, work: &mut Work) -> Result<End> {
        let mut since = None;
        loop {
            if !self.halt.go_on()? {
                return Ok(End::Halted);
            }
            if work.commits.is_over() && !self.land(work).await? {
                return Ok(End::Fenced);
            }
            if work.batch.moved() && since.get_or_insert_with(Instant::now).elapsed() >= self.options.interval {
                return Ok(End::Due);
            }
            let begun = Instant::now();
            let received = intake.receive().await?;
            work.desk.steps.poll += begun.elapsed();
            let Some(Chunk { messages, positions, ends, partitions_added }) = received else { continue };
            work.ends.extend(ends);
            if !messages.is_empty() {
                failpoint::hit("bronze.after_poll");
            }
            let Work { desk, batch, .. } = work;
            batch.take(&messages)?;
            batch.reach(&positions);
            desk.take(messages, batch).await?;
            if self.targets.as_ref().is_some_and(|targets| batch.reached(targets)) {
                return Ok(End::Reached);
            }
            if partitions_added {
                return Ok(End::PartitionsAdded);
            }
            if batch.messages >= self.options.max_rows || batch.bytes >= self.options.max_bytes || desk.is_full() {
                return Ok(End::Due);
            }
        }
    }

    /// Notes the first look at the topics: what a run to the end has to reach, and how much that is.
    fn begin(&mut self, survey: &Survey, positions: &BTreeMap<Partition, i64>) {
        let named = positions.iter().map(|(partition, at)| (partition.to_string(), *at));
        self.report.positions = named.collect();
        self.report.topics = survey.topics();
        if !self.options.once || self.targets.is_some() {
            return;
        }
        let own = survey.watermarks.iter().filter(|(partition, _)| self.options.share.takes(partition));
        let targets: BTreeMap<_, _> = own.map(|(partition, marks)| (partition.clone(), marks.high)).collect();
        let left =
            |(partition, at): (&Partition, &i64)| targets.get(partition).map_or(0, |high| (high - at).max(0) as u64);
        self.progress.started(&self.stage, Some(positions.iter().map(left).sum()));
        self.targets = Some(targets);
    }

    /// Hands the batch over to be committed and begins the next one. False: as [`Worker::land`]. `last`: the run
    /// ends with it.
    async fn settle(&mut self, work: &mut Work, last: bool) -> Result<bool> {
        let worked = work.desk.finish(&mut work.batch).await?;
        let landed = self.land(work).await;
        let go_on = match landed {
            Ok(true) => self.check(work, last).map(|()| true),
            ended => ended,
        };
        if !matches!(go_on, Ok(true)) {
            worked.stage.abort().await;
            return go_on;
        }
        let next = Batch::starting_at(&work.batch.ends());
        work.commits.start(std::mem::replace(&mut work.batch, next), worked)?;
        Ok(true)
    }

    fn limit(&self) -> Option<f64> {
        self.stream.max_reject_rate.or(self.options.max_reject_rate)
    }

    /// What a batch has to hold to before it is committed.
    fn check(&self, work: &Work, last: bool) -> Result<()> {
        work.batch.check_conservation()?;
        self.check_rejects(work, last)
    }

    /// Fails when this run has met too many rejects with the batch at hand; all before it is committed.
    fn check_rejects(&self, work: &Work, last: bool) -> Result<()> {
        let Some((most, reasons)) = self.limit().zip(work.desk.reasons.as_ref()) else { return Ok(()) };
        let report = &self.report;
        let mut met = Met {
            records: report.rows + report.rejects + report.duplicates + report.tombstones + report.filtered,
            rejects: report.rejects,
        };
        for (_, Part { counts, .. }) in work.batch.parts() {
            met.records += counts.records();
            met.rejects += counts.rejects;
        }
        met.check(&self.stream.table, most, reasons, last)
    }

    /// Waits for the commit under way, if any. False: look at the table again before going on, because another writer
    /// was first and nothing of ours is in, or has added columns.
    async fn land(&mut self, work: &mut Work) -> Result<bool> {
        let Some(Landed { committed, batch, steps, notes, table }) = work.commits.land().await? else {
            return Ok(true);
        };
        let name = &self.stream.table;
        let Committed::Done { version } = committed else {
            let messages = batch.messages;
            self.progress.note(format!(
                "another writer of `{name}` was first; {messages} messages are dropped and looked up again"
            ));
            return Ok(false);
        };
        work.desk.table = table;
        self.record(&batch, version);
        self.progress.committed(told(name, version, &batch, &work.ends, steps, Utc::now()));
        notes.into_iter().for_each(|note| self.progress.note(note));
        // Columns that another writer added meanwhile are to be filled from here on, or to be kept to.
        Ok(!work.desk.is_behind())
    }

    fn record(&mut self, batch: &Batch, version: i64) {
        let report = &mut self.report;
        let (rows, rejects) = (report.rows, report.rejects);
        for (partition, Part { step, counts, .. }) in batch.parts() {
            report.rows += counts.rows;
            report.rejects += counts.rejects;
            report.duplicates += counts.duplicates;
            report.tombstones += counts.tombstones;
            report.filtered += counts.filtered;
            report.gaps += counts.gaps;
            report.positions.insert(partition.to_string(), step.to);
        }
        report.commits += 1;
        report.version = Some(version);
        self.progress.advanced(&self.stage, report.rows - rows, report.rejects - rejects);
    }
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
