//! One model becomes one commit: plan, stage, merge, test, commit.

use super::candidate::Candidate;
use super::contract::Query;
use super::increment::Work;
use super::keys::Keys;
use super::merge::{Effort, Merged, merge};
use super::plan::Step;
use super::record::{Record, app, version_of};
use super::sieve::{Rejects, compared};
use super::turn::{Outcome, Turn};
use super::{snapshot, unique};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::model::{Materialization, Model};
use crate::table::{Commit, Mode, Staged, Table, Txn};
use serde_json::{Map, Value};

/// What is about to be committed.
struct Made {
    staged: Staged,
    mode: Mode,
    /// Rows that came.
    rows: u64,
    /// Of the files that stood, when rows were merged into them.
    effort: Option<Effort>,
    /// None when no test takes rows out of the model.
    rejects: Option<Rejects>,
}

impl Made {
    async fn discard(self) {
        discard(self.staged, self.rejects).await;
    }
}

async fn discard(staged: Staged, rejects: Option<Rejects>) {
    staged.discard().await;
    if let Some(rejects) = rejects {
        rejects.discard().await;
    }
}

impl Turn<'_> {
    pub(super) async fn build(&mut self, step: &Step<'_>) -> Result<Outcome> {
        let name = step.model.table.to_string();
        let (query, mut table, work) = self.stop.before(self.prepare(step)).await?;
        self.progress.started(&name, None);
        let made = self.make(step, &query, &table, &work).await?;
        let (rows, effort, whole) = (made.rows, made.effort, work.why_whole());
        let candidate = Candidate { staged: &made.staged, table: &table, mode: made.mode };
        let by_test = made.rejects.as_ref().map(|rejects| &rejects.by_test);
        let tests = match self.test(step, Some(candidate), by_test).await {
            Ok((tests, failed)) if failed.is_empty() => tests,
            not_published => {
                made.discard().await;
                let (_, failed) = not_published?;
                self.progress.finished(&name, format!("{rows} rows, not published"));
                return Ok(Outcome::Rejected(failed));
            }
        };
        let rejected = made.rejects.as_ref().map_or(0, |rejects| rejects.rows);
        let version = self.commit(step, &mut table, made, whole.clone(), tests).await?;
        self.pins.insert(step.model.table.clone(), table);
        let files =
            effort.map(|Effort { rewritten, kept }| format!(", {rewritten} of {} files rewritten", rewritten + kept));
        let aside = if rejected > 0 { format!(", {rejected} set aside") } else { String::new() };
        self.progress.finished(&name, format!("{rows} rows{}{aside}", files.unwrap_or_default()));
        Ok(Outcome::Published { version, rows, whole, effort, rejected })
    }

    /// Stages the rows, merged into those that stand where the model says so.
    async fn make(&self, step: &Step<'_>, query: &Query, table: &Table, work: &Work) -> Result<Made> {
        let model = step.model;
        let session = self.stop.before(self.session_for(model, work)).await?;
        if let Materialization::Snapshot(snapshot) = &model.materialization {
            unique::prove_history(&session, model, snapshot, self.stop).await?;
        }
        let mut keys = keys(model, query, work)?;
        let (staged, rejects) = self.stage(&session, step, query, table, work, keys.as_mut()).await?;
        if let Err(error) = unique::prove(self.engine, model, &staged, keys.as_ref(), self.stop).await {
            discard(staged, rejects).await;
            return Err(error);
        }
        if let Some(mut keys) = keys {
            failpoint::hit("promote.before_merge");
            return match merge(table, staged, &mut keys, self.stop).await {
                Ok(Merged { staged, mode, rows, effort }) => {
                    Ok(Made { staged, mode, rows, effort: Some(effort), rejects })
                }
                Err(error) => {
                    if let Some(rejects) = rejects {
                        rejects.discard().await;
                    }
                    Err(error)
                }
            };
        }
        let mode = if work.adds() { Mode::Append } else { Mode::Replace };
        Ok(Made { rows: staged.rows, staged, mode, effort: None, rejects })
    }

    async fn commit(
        &mut self,
        step: &Step<'_>,
        table: &mut Table,
        made: Made,
        whole: Option<String>,
        tests: Map<String, Value>,
    ) -> Result<i64> {
        let (txns, mut record) = match self.read(step, table).await {
            Ok(read) => read,
            Err(error) => {
                made.discard().await;
                return Err(error);
            }
        };
        (record.whole, record.adds) = (whole, Some(made.mode != Mode::Replace));
        let Made { staged, mode, rows, rejects, .. } = made;
        if rejects.is_none() && mode != Mode::Replace {
            // Rows set aside when the model still had such a test stay known.
            record.rejected = step.last.as_ref().and_then(|last| last.rejected);
        }
        if let Some(rejects) = rejects {
            match rejects.commit(&txns, &step.model.table).await {
                Ok(version) => record.rejected = version,
                Err(error) => {
                    staged.discard().await;
                    return Err(error);
                }
            }
            failpoint::hit("promote.after_rejected");
        }
        let info = record.into_info(rows, tests);
        failpoint::hit("promote.before_commit");
        let committed = table.commit(Commit { mode, staged, txns, info }, "promote.commit").await?;
        failpoint::hit("promote.after_commit");
        version_of(committed, &step.model.table)
    }

    /// What the commit says of the inputs.
    async fn read(&self, step: &Step<'_>, table: &Table) -> Result<(Vec<Txn>, Record)> {
        let mut txns = Vec::new();
        let mut record = Record { hashes: step.hashes.clone(), ..Record::default() };
        for upstream in &step.model.upstream {
            let Some(pinned) = self.pins.get(upstream) else { continue };
            record.reads(pinned);
            let app = app(upstream);
            let expected = table.txn(&app).await?;
            txns.push(Txn { app, expected, next: pinned.version() });
        }
        for compared in compared(step.model, &self.pins).iter().filter_map(|name| self.pins.get(name)) {
            record.reads(compared);
        }
        Ok((txns, record))
    }
}

/// The keys of a build that merges its rows into those that stand.
fn keys(model: &Model, query: &Query, work: &Work) -> Result<Option<Keys>> {
    let key = match &model.materialization {
        Materialization::Snapshot(_) => vec![snapshot::ID.to_string()],
        Materialization::Incremental(incremental) => incremental.strategy.key().to_vec(),
        Materialization::Table => Vec::new(),
    };
    if key.is_empty() || matches!(work, Work::Whole(_) | Work::New { .. }) {
        return Ok(None);
    }
    let mut keys = Keys::of(&key, &query.layout.schema, matches!(work, Work::Keys { .. }))
        .map_err(|error| Error::config(format!("{}: no merge by its key", model.file.display())).caused_by(error))?;
    if let Work::Keys { keys: touched, .. } = work {
        touched.iter().try_for_each(|touched| keys.touch(touched))?;
    }
    Ok(Some(keys))
}
