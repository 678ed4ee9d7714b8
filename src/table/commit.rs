//! One Delta commit, and the truth about its outcome.
//!
//! A commit's write can be lost, or land while its reply is lost, or be answered "exists already" because
//! the store's client sent it twice. So delta-rs gets one attempt at one version, and after anything but a
//! plain success the log is read for our own commit id. Trying again is safe because one id is only ever
//! written at the version after the one just read: whatever is still under way competes for that same
//! version, and one of the two loses.

use super::failure::failed;
use super::lake::delta_schema;
use super::log::{self, COMMIT_ID, INFO_KEY};
use super::staged::{Files, Staged};
use super::{Table, schema};
use crate::error::{Context, Error, Kind, Result};
use crate::failpoint;
use arrow::datatypes::SchemaRef;
use deltalake::DeltaTableError;
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties, TransactionError};
use deltalake::kernel::{Action, LogicalFileView, MetadataExt, Protocol, Remove, Transaction, contains_timestampntz};
use deltalake::protocol::{DeltaOperation, SaveMode};
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use std::time::Duration;
use uuid::Uuid;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Rows are added. The staged schema may have columns the table does not have yet, and lack others.
    Append,
    /// All earlier files leave the table in the same commit; the schema becomes the staged one.
    Replace,
    /// The files of a [`super::Bin`] give way to others with the same rows; made by [`Table::rewrite`].
    Rewrite,
    /// The files of a [`super::Picked`] give way to others made from their rows ([`Staged::in_place_of`]). The
    /// schema may grow as by an append.
    Exchange,
    /// All files give way to others with the same rows in wider types, which the schema takes over; made by
    /// [`Table::rewrite_all`].
    Widen,
}

/// A position stored as a Delta `txn` action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Txn {
    pub app: String,
    /// What the writer believes is stored; the commit is fenced when it is not.
    pub expected: Option<i64>,
    pub next: i64,
}

pub struct Commit {
    pub mode: Mode,
    pub staged: Staged,
    pub txns: Vec<Txn>,
    /// Into `commitInfo`, under the key `lake`.
    pub info: Map<String, Value>,
}

/// How a commit ended when it did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// Ours is in, at this version (also when the reply was lost and re-reading proved it).
    Done { version: i64 },
    /// Somebody else moved this `txn` first: nothing of ours is visible; the staged files are deleted, or a
    /// warning says why not.
    Fenced { app: String, stored: Option<i64> },
    /// Somebody else gave the table columns that these files do not fit; nothing of ours is visible, as above.
    Reshaped,
    /// Rows came in while all files were written anew in wider types: nothing of ours is visible, and the staged files are
    /// kept, for [`Table::rewrite_all`] to go on from.
    Outgrown,
}

/// Lost races for the next version before giving up; each waits a little longer.
const MAX_RACES: u32 = 200;
/// A file this young when it left the table is dated by its age.
const YOUNG_MS: i64 = 60 * 60 * 1000;
/// Attempts whose outcome stayed unknown before giving up.
const MAX_UNKNOWN: u32 = 4;

/// How one attempt ended.
enum Attempt {
    Done,
    /// Another commit took the version, or our own did when its reply was lost.
    Taken(DeltaTableError),
    /// The write may be in, may come in, or may be lost.
    Unknown(Error),
    /// Refused before anything was written.
    Refused(Error),
}

impl Table {
    /// One Delta commit. See [`Committed`]. Errors: Conflict when another writer changed what is being
    /// replaced, or won every race; Unavailable when the outcome stays unknown (positions tell on the next
    /// run); Config when the staged columns do not fit the table.
    ///
    /// At `failpoint`, which is the caller's own (`bronze.commit`), a test may lose the reply of a commit that
    /// succeeded. `table.commit` works as well.
    pub async fn commit(&mut self, commit: Commit, failpoint: &str) -> Result<Committed> {
        let id = Uuid::new_v4().to_string();
        // Every commit after `seen` is read once: is it ours, does it change rows? What is only added to may
        // have changed since its files were begun.
        let mut seen = match commit.mode {
            Mode::Replace | Mode::Rewrite | Mode::Exchange | Mode::Widen => commit.staged.files().base,
            Mode::Append => self.state.version(),
        };
        let (mut races, mut unknown) = (0, 0);
        loop {
            self.refresh().await.map_err(|error| in_doubt(error, unknown > 0))?;
            let landed = self.landed(seen, &id).await.map_err(|error| in_doubt(error, unknown > 0))?;
            if seen == self.state.version() {
                self.check_still_there().await.map_err(|error| in_doubt(error, unknown > 0))?;
            }
            seen = self.state.version();
            if let Some(version) = landed.ours {
                return Ok(Committed::Done { version: version as i64 });
            }
            if landed.restored && !commit.txns.is_empty() {
                self.check_not_restored().await?;
            }
            if let Some(fenced) = self.moved(&commit.txns).await? {
                commit.staged.discard().await;
                return Ok(fenced);
            }
            if let Some(overtaken) = self.overtaken(&commit, &landed)? {
                commit.staged.discard().await;
                return Err(overtaken);
            }
            if commit.mode == Mode::Widen && landed.changes_rows {
                return Ok(Committed::Outgrown);
            }
            if self.reshaped(&commit) {
                commit.staged.discard().await;
                return Ok(Committed::Reshaped);
            }
            match self.attempt(&commit, &id, failpoint).await {
                Attempt::Done => {
                    self.remember(&commit.txns);
                    return Ok(Committed::Done { version: self.version() });
                }
                Attempt::Refused(error) => {
                    // An earlier attempt may still come in and name these files.
                    if unknown == 0 {
                        commit.staged.discard().await;
                    }
                    return Err(error);
                }
                Attempt::Taken(error) if races >= MAX_RACES => {
                    let message = format!("other writers won every race to commit to `{}`", self.name);
                    return Err(Error::conflict(message).hint("run again").caused_by(error));
                }
                Attempt::Taken(_) => races += 1,
                Attempt::Unknown(error) if unknown >= MAX_UNKNOWN => return Err(in_doubt(error, true)),
                Attempt::Unknown(_) => unknown += 1,
            }
            tokio::time::sleep(pause(races + 4 * unknown)).await;
        }
    }

    /// What came into the log after version `seen`.
    async fn landed(&self, seen: u64, id: &str) -> Result<Landed> {
        let mut landed = Landed::default();
        for version in seen + 1..=self.state.version() {
            let Some(entry) = log::entry(self.log.as_ref(), &self.name.to_string(), version).await? else {
                return Err(Error::conflict(format!("version {version} of `{}` left the log already", self.name)));
            };
            landed.changes_rows |= entry.info.changes_rows;
            landed.changes_columns |= entry.changes_columns;
            landed.restored |= entry.is_restore();
            if entry.commit_id() == Some(id) {
                landed.ours = Some(version);
            }
        }
        Ok(landed)
    }

    /// The conflict when what the commit takes out of the table is no longer what it was made from.
    fn overtaken(&self, commit: &Commit, landed: &Landed) -> Result<Option<Error>> {
        let (overtaken, what) = match (commit.mode, &commit.staged.files().rewrite) {
            (Mode::Append, _) => (false, ""),
            (Mode::Replace, _) => (landed.changes_rows, "it was rebuilt"),
            (Mode::Rewrite | Mode::Exchange | Mode::Widen, None) => {
                return Err(Error::internal("a rewrite that says nothing of what it rewrites"));
            }
            (mode, Some(rewrite)) => {
                let rewritten = self.still_standing(&rewrite.paths)?.len() < rewrite.paths.len();
                let reshaped = mode == Mode::Widen && landed.changes_columns;
                (rewritten || reshaped, "its files were rewritten")
            }
        };
        let error =
            || Error::conflict(format!("another writer changed `{}` while {what}", self.name)).hint("run again");
        Ok(overtaken.then(error))
    }

    /// Whether files to be added fitted the table when they were begun and no longer do.
    fn reshaped(&self, commit: &Commit) -> bool {
        let files = commit.staged.files();
        let fits = || schema::widened(&self.schema, &files.schema, &self.name.to_string()).is_ok();
        matches!(commit.mode, Mode::Append | Mode::Exchange) && files.base < self.state.version() && !fits()
    }

    /// Those of the files that are still in the table with all their rows.
    fn still_standing(&self, paths: &HashSet<String>) -> Result<Vec<LogicalFileView>> {
        let whole = |file: &LogicalFileView| file.deletion_vector_descriptor().is_none();
        Ok(self.standing()?.filter(|file| paths.contains(file.path().as_ref()) && whole(file)).collect())
    }

    /// Whether all files are still in the table in whose place these are to come.
    pub fn has_files_of(&self, staged: &Staged) -> bool {
        let Some(rewrite) = &staged.files().rewrite else { return true };
        self.still_standing(&rewrite.paths).is_ok_and(|standing| standing.len() == rewrite.paths.len())
    }

    /// The first position that is not where the writer believes it to be.
    async fn moved(&mut self, txns: &[Txn]) -> Result<Option<Committed>> {
        for txn in txns {
            let stored = self.txn(&txn.app).await?;
            self.positions.insert(txn.app.clone(), stored);
            if stored != txn.expected {
                return Ok(Some(Committed::Fenced { app: txn.app.clone(), stored }));
            }
        }
        Ok(None)
    }

    fn remember(&mut self, txns: &[Txn]) {
        for txn in txns {
            self.positions.insert(txn.app.clone(), Some(txn.next));
        }
    }

    /// Writes the commit at the version after this one, once.
    async fn attempt(&mut self, commit: &Commit, id: &str, failpoint: &str) -> Attempt {
        let actions = match self.actions(commit) {
            Ok(actions) => actions,
            Err(error) => return Attempt::Refused(error),
        };
        let mut info = commit.info.clone();
        info.insert(COMMIT_ID.to_string(), json!(id));
        let moved = chrono::Utc::now().timestamp_millis();
        let txns = commit.txns.iter().map(|txn| Transaction::new_with_last_update(&txn.app, txn.next, Some(moved)));
        // The log is cleaned by maintenance alone, which first saves what the old commits are still needed for.
        let properties = CommitProperties::default()
            .with_metadata([(INFO_KEY.to_string(), Value::Object(info))])
            .with_application_transactions(txns.collect())
            .with_cleanup_expired_logs(Some(false))
            .with_max_retries(0);
        let written = CommitBuilder::from(properties)
            .with_actions(actions)
            .build(Some(&self.state), self.log.clone(), self.operation(commit))
            .await;
        match written {
            Ok(_) if failpoint::lost_reply("table.commit") || failpoint::lost_reply(failpoint) => {
                Attempt::Unknown(Error::unavailable(format!("the reply to a commit to `{}` was lost", self.name)))
            }
            Ok(finished) => {
                self.state = finished.snapshot();
                self.schema = schema::storable(&self.state.snapshot().arrow_schema());
                Attempt::Done
            }
            Err(error) => self.judge(error),
        }
    }

    fn judge(&self, error: DeltaTableError) -> Attempt {
        use TransactionError::*;
        match &error {
            DeltaTableError::VersionAlreadyExists(_) => Attempt::Taken(error),
            DeltaTableError::Transaction { source: MaxCommitAttempts(_) | CommitConflict(_) } => Attempt::Taken(error),
            DeltaTableError::Transaction {
                source: DeltaTableAppendOnly | UnsupportedTableFeatures(_) | TableFeaturesRequired(_),
            }
            | DeltaTableError::SerializeLogJson { .. } => {
                Attempt::Refused(failed(error, format!("commit to `{}`", self.name)))
            }
            _ => Attempt::Unknown(failed(error, format!("commit to `{}`", self.name))),
        }
    }

    fn operation(&self, commit: &Commit) -> DeltaOperation {
        let partition_by = Some(self.partition_by().to_vec()).filter(|columns| !columns.is_empty());
        let mode = match commit.mode {
            Mode::Rewrite | Mode::Widen => {
                let target = commit.staged.files().rewrite.as_ref().and_then(|rewrite| rewrite.merged_to);
                let target_size = target.and_then(|bytes| i64::try_from(bytes).ok()).unwrap_or(i64::MAX);
                return DeltaOperation::Optimize { predicate: None, target_size };
            }
            Mode::Exchange => return DeltaOperation::Update { predicate: None },
            Mode::Replace => SaveMode::Overwrite,
            Mode::Append => SaveMode::Append,
        };
        DeltaOperation::Write { mode, partition_by, predicate: None }
    }

    fn actions(&self, commit: &Commit) -> Result<Vec<Action>> {
        let files = commit.staged.files();
        let mut actions = self.schema_actions(&self.schema_after(commit.mode, files)?)?;
        if commit.mode == Mode::Replace {
            actions.extend(self.standing()?.map(|file| Action::Remove(file.remove_action(true))));
        }
        if let Some(rewrite) = &files.rewrite {
            let remove = |file| if rewrite.merged_to.is_some() { merged_away(file) } else { file.remove_action(true) };
            actions.extend(self.still_standing(&rewrite.paths)?.iter().map(remove).map(Action::Remove));
        }
        actions.extend(files.adds.iter().cloned().map(Action::Add));
        Ok(actions)
    }

    /// The table's columns once this commit is in.
    fn schema_after(&self, mode: Mode, files: &Files) -> Result<SchemaRef> {
        if files.partition_by != self.partition_by() {
            return Err(Error::conflict(format!("`{}` was given other partition columns meanwhile", self.name)));
        }
        match mode {
            Mode::Replace | Mode::Widen => Ok(files.schema.clone()),
            Mode::Rewrite => Ok(self.schema.clone()),
            Mode::Append | Mode::Exchange => schema::widened(&self.schema, &files.schema, &self.name.to_string()),
        }
    }

    /// The actions that give the table these columns; none when it has them.
    fn schema_actions(&self, after: &SchemaRef) -> Result<Vec<Action>> {
        if *after == self.schema {
            return Ok(Vec::new());
        }
        let columns = delta_schema(after, &self.name)?;
        let mut actions = Vec::new();
        if contains_timestampntz(columns.fields()) {
            actions.extend(with_timestamp_ntz(self.state.protocol())?.map(Action::Protocol));
        }
        let metadata = self.state.metadata().clone().with_schema(&columns);
        let metadata = metadata.map_err(|error| failed(error, format!("change the columns of `{}`", self.name)))?;
        actions.push(Action::Metadata(metadata));
        Ok(actions)
    }
}

/// The action that takes a merged file out of the table.
///
/// Checkpoints repeat dated removals for a week: other programs that delete files need them to tell how long ago a file
/// left the table. A file that was young then is dated well enough by its own age, so its removal goes without a date
/// and is forgotten by the next checkpoint, which maintenance writes at once. Otherwise a commit a second would leave
/// six hundred thousand of them to every reader.
fn merged_away(file: &LogicalFileView) -> Remove {
    let mut remove = file.remove_action(false);
    let written = file.modification_time();
    remove.deletion_timestamp = remove.deletion_timestamp.filter(|removed| removed - written > YOUNG_MS);
    remove
}

#[derive(Default)]
struct Landed {
    ours: Option<u64>,
    changes_rows: bool,
    changes_columns: bool,
    restored: bool,
}

/// The protocol that allows timestamps without zone, when the table's own does not yet.
fn with_timestamp_ntz(protocol: &Protocol) -> Result<Option<Protocol>> {
    const FEATURE: &str = "timestampNtz";
    let mut value = serde_json::to_value(protocol).context(Kind::Internal, || "read a table's protocol")?;
    let has = |value: &Value, key: &str| {
        value[key].as_array().is_some_and(|features| features.iter().any(|feature| feature == FEATURE))
    };
    if has(&value, "readerFeatures") && has(&value, "writerFeatures") {
        return Ok(None);
    }
    // Naming features at all means naming those that came with the older writer version too.
    let older =
        if value["minWriterVersion"].as_i64() >= Some(7) { json!([]) } else { json!(["appendOnly", "invariants"]) };
    for (key, implied) in [("readerFeatures", json!([])), ("writerFeatures", older)] {
        let features = value[key].as_array().cloned().or(implied.as_array().cloned()).unwrap_or_default();
        let added = features.into_iter().filter(|feature| feature != FEATURE).chain([json!(FEATURE)]);
        value[key] = added.collect();
    }
    value["minReaderVersion"] = json!(3);
    value["minWriterVersion"] = json!(7);
    serde_json::from_value(value).map(Some).context(Kind::Internal, || "raise a table's protocol")
}

/// Says so when a failure leaves it open whether a commit is in.
fn in_doubt(error: Error, doubtful: bool) -> Error {
    if !doubtful {
        return error;
    }
    Error::unavailable("a commit was sent and whether it is in could not be found out")
        .hint("run again: the positions in the table tell what is in")
        .caused_by(error)
}

/// Grows with the number of attempts and differs between writers.
fn pause(attempts: u32) -> Duration {
    let longest = 20 * u64::from(attempts.min(50));
    Duration::from_millis(Uuid::new_v4().as_u128() as u64 % longest.max(1))
}
