//! The one commit that takes records out of quarantine: files that were read leave, what was made of them comes in.

use crate::error::{Context, Error, Kind, Result};
use crate::failpoint;
use crate::flow::Progress;
use crate::flow::account::{DECLARED, RESOLVED, Resolved};
use crate::table::{Commit, Committed, Mode, Picked, Stage, Table};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Times the files are read before giving up on others who rewrite them.
const ATTEMPTS: u32 = 5;

/// By `topic/number`.
pub(super) type ByPartition = BTreeMap<String, Resolved>;

/// Tries again from the start while others are faster.
pub(super) async fn persistently<T>(progress: &Progress, attempt: impl AsyncFn() -> Result<T>) -> Result<T> {
    for _ in 1..ATTEMPTS {
        match attempt().await {
            Err(error) if error.kind() == Kind::Conflict => progress.note(format!("{error}; looking again")),
            outcome => return outcome,
        }
    }
    attempt().await
}

/// Commits; answers the version. Kind Conflict: nothing is changed, for some of the files are gone. `verb` names the
/// failpoints too; `declared` is the fingerprint of the stream that made rows of records.
pub(super) async fn commit(
    mut table: Table,
    picked: &Picked,
    stage: Stage,
    verb: &str,
    resolved: &ByPartition,
    declared: Option<String>,
) -> Result<i64> {
    let staged = stage.finish().await?.in_place_of(picked);
    let resolved = serde_json::to_value(resolved).context(Kind::Internal, || "write what became of rejects")?;
    let said = [("verb", verb.into()), (RESOLVED, resolved), (DECLARED, declared.into())];
    let info = said.map(|(key, value): (&str, Value)| (key.to_string(), value)).into_iter().collect::<Map<_, _>>();
    failpoint::hit(&format!("{verb}.before_commit"));
    let commit = Commit { mode: Mode::Exchange, staged, txns: Vec::new(), info };
    let committed = table.commit(commit, &format!("{verb}.commit")).await?;
    failpoint::hit(&format!("{verb}.after_commit"));
    match committed {
        Committed::Done { version } => Ok(version),
        Committed::Reshaped => {
            let message = format!("`{}` was given other columns meanwhile", table.name());
            Err(Error::conflict(message).hint("run again"))
        }
        Committed::Fenced { .. } | Committed::Outgrown => Err(Error::internal("a commit without positions was fenced")),
    }
}

/// Fails when files hold another number of records than the log says: a change to them would not be accounted for.
pub(super) fn check_read(table: &Table, picked: &Picked, read: u64) -> Result<()> {
    match picked.rows() {
        Some(said) if said != read => Err(Error::input(format!(
            "files of the quarantine of `{}` hold {read} records, the log says {said}",
            table.name()
        ))
        .hint("somebody changed a file of the table; its records were left as they are")),
        _ => Ok(()),
    }
}
