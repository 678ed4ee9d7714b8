//! The commits of one table, one at a time and in order, while the next batch is collected.

use super::batch::{Batch, Part};
use super::desk::Worked;
use super::stored::{Stored, TOPICS};
use super::told::Steps;
use super::{COLUMNS_APP, position_app, source_app, tip_app};
use crate::error::{Context, Error, Kind, Result};
use crate::failpoint;
use crate::flow::account::DECLARED;
use crate::partition::Partition;
use crate::table::{Commit, Committed, Mode, Table, Txn};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Instant;
use tokio::task::JoinHandle;

pub(super) struct Commits {
    /// What the stream reads, whoever reads it.
    topics: Vec<String>,
    /// [`super::Stream::fingerprint`]
    declared: String,
    /// Away while a commit is under way.
    table: Option<Table>,
    /// As the table will have it when what is under way is in.
    stored: Stored,
    running: Option<JoinHandle<Result<Landed>>>,
}

/// A commit that ended without failing.
pub(super) struct Landed {
    pub committed: Committed,
    pub batch: Batch,
    pub steps: Steps,
    /// What to tell of the batch.
    pub notes: Vec<String>,
    pub table: Table,
}

impl Commits {
    pub fn new(topics: Vec<String>, declared: String, table: Table, stored: Stored) -> Commits {
        Commits { topics, declared, table: Some(table), stored, running: None }
    }

    /// Begins to close the files and to commit a batch that holds to the law. The commit before it has to have landed.
    pub fn start(&mut self, batch: Batch, worked: Worked) -> Result<()> {
        let Some(mut table) = self.table.take() else {
            return Err(Error::internal("a commit was begun before the last one had landed"));
        };
        let Worked { stage, marks, mut steps, notes, inferred } = worked;
        let partitions = batch.partitions();
        let marks = marks.into_iter().map(|mark| {
            let app = source_app(&partitions[mark.slot], &mark.source);
            Txn { app, expected: mark.stored, next: mark.highest }
        });
        // Two that share the table may both find its columns; the second has to take those of the first.
        let columns = inferred.then(|| Txn { app: COLUMNS_APP.into(), expected: None, next: 1 });
        let tips = self.tips(&batch);
        let txns = self.positions(&batch).chain(self.moved(&tips)).chain(marks).chain(columns).collect();
        let info = self.info(&batch);
        let positions = batch.ends().into_iter().map(|(partition, at)| (partition, Some(at))).collect();
        self.stored = Stored { positions, tips };
        self.running = Some(tokio::spawn(async move {
            let begun = Instant::now();
            let staged = stage.finish().await?;
            steps.write += begun.elapsed();
            failpoint::hit("bronze.before_commit");
            let commit = Commit { mode: Mode::Append, staged, txns, info };
            let begun = Instant::now();
            let committed = table.commit(commit, "bronze.commit").await?;
            steps.commit = begun.elapsed();
            if let Committed::Done { .. } = committed {
                failpoint::hit("bronze.after_commit");
            }
            Ok(Landed { committed, batch, steps, notes, table })
        }));
        Ok(())
    }

    fn positions(&self, batch: &Batch) -> impl Iterator<Item = Txn> {
        self.moved_parts(batch).map(|(partition, part)| {
            let expected = self.stored.positions.get(partition).copied().flatten();
            Txn { app: position_app(partition), expected, next: part.step.to }
        })
    }

    /// The partitions whose position the batch's commit moves. Of the others it says nothing: it is not fenced by where
    /// they stand, so another writer may have moved them on.
    fn moved_parts<'b>(&self, batch: &'b Batch) -> impl Iterator<Item = (&'b Partition, &'b Part)> {
        batch
            .parts()
            .filter(|(partition, part)| self.stored.positions.get(*partition).copied().flatten() != Some(part.step.to))
    }

    /// The tips at the end of a batch; a partition without messages in it keeps the one before.
    fn tips(&self, batch: &Batch) -> BTreeMap<Partition, i64> {
        let tip = |(partition, Part { step, tip, .. }): (&Partition, &Part)| {
            let last = tip.or_else(|| self.stored.tip(partition));
            let number = last.map(|tip| tip.number(step.to)).or_else(|| self.stored.tips.get(partition).copied());
            number.map(|number| (partition.clone(), number))
        };
        batch.parts().filter_map(tip).collect()
    }

    fn moved(&self, tips: &BTreeMap<Partition, i64>) -> impl Iterator<Item = Txn> {
        tips.iter().filter_map(|(partition, next)| {
            let expected = self.stored.tips.get(partition).copied();
            (expected != Some(*next)).then(|| Txn { app: tip_app(partition), expected, next: *next })
        })
    }

    fn info(&self, batch: &Batch) -> Map<String, Value> {
        let part = |(partition, Part { step, counts, .. }): (&Partition, &Part)| {
            let mut entry = json!(counts);
            (entry["from"], entry["to"]) = (step.from.into(), step.to.into());
            (partition.to_string(), entry)
        };
        Map::from_iter([
            ("verb".to_string(), "bronze".into()),
            (TOPICS.to_string(), json!(self.topics)),
            (DECLARED.to_string(), json!(self.declared)),
            ("partitions".to_string(), Value::Object(self.moved_parts(batch).map(part).collect())),
        ])
    }

    /// True when [`Commits::land`] would not wait.
    pub fn is_over(&self) -> bool {
        self.running.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Waits for the commit under way; `None` when there is none.
    pub async fn land(&mut self) -> Result<Option<Landed>> {
        let Some(running) = self.running.take() else { return Ok(None) };
        let landed = running.await.context(Kind::Internal, || "commit a batch")??;
        self.table = Some(landed.table.clone());
        Ok(Some(landed))
    }
}
