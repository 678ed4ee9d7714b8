//! What other writers did to a table that makes its positions untrue.
//!
//! A position says which records of a topic are in the table. It is wrong once it is forgotten while the rows
//! stay, or stays while the rows are taken back. Both are refused by name, never worked around: only the owner
//! of the table knows which of the two he meant.

use super::failure::TAKEN_BACK;
use super::{Table, log};
use crate::error::{Error, Kind, Result};

impl Table {
    /// Fails when the table's properties let positions expire.
    pub fn keeps_positions(&self) -> Result<()> {
        let Some(after) = self.state.table_config().set_transaction_retention_duration else { return Ok(()) };
        let (name, seconds) = (&self.name, after.as_secs());
        Err(Error::config(format!("`{name}` forgets positions {seconds} s after they were last moved")).hint(
            "somebody set its property delta.setTransactionRetentionDuration; unset it \
             (in Spark: ALTER TABLE .. UNSET TBLPROPERTIES)",
        ))
    }

    /// Fails when the version this table stands at is no longer the one in its log: versions were taken back, or
    /// the table was deleted or made again. A commit on top of it would be a log nobody can read.
    pub(super) async fn check_still_there(&self) -> Result<()> {
        let (name, version) = (&self.name, self.state.version());
        let same = match log::entry(self.log.as_ref(), &name.to_string(), version).await? {
            Some(entry) => {
                entry.txns.iter().all(|(app, at)| self.positions.get(app).is_none_or(|known| *known == Some(*at)))
            }
            // An old table's last entries are cleaned away once a checkpoint has them.
            None => match Table::load(name.clone(), self.log.clone(), None).await {
                Ok(now) => now.id() == self.id() && now.state.version() >= version,
                Err(error) if error.kind() == Kind::Internal => false,
                Err(error) => return Err(error),
            },
        };
        let gone = || {
            Error::conflict(format!("version {version} of `{name}`, which was to be added to, is gone"))
                .hint(TAKEN_BACK)
        };
        if same { Ok(()) } else { Err(gone()) }
    }

    /// Fails when an older version was restored after the last commit that moved a position: no restore takes
    /// positions back, so they then tell of rows that are gone. Reads the log back to that commit.
    pub async fn check_not_restored(&self) -> Result<()> {
        let mut restored = None;
        for version in (0..=self.state.version()).rev() {
            let Some(entry) = log::entry(self.log.as_ref(), &self.name.to_string(), version).await? else { break };
            if !entry.txns.is_empty() {
                return restored.map_or(Ok(()), |(at, to)| self.compare_restored(at, to, version));
            }
            if entry.is_restore() && restored.is_none() {
                restored = Some((version, entry.restored_version));
            }
        }
        Ok(())
    }

    /// Version `at` restored version `to` (`None`: chosen by its time); positions were last moved by `moved`.
    fn compare_restored(&self, at: u64, to: Option<u64>, moved: u64) -> Result<()> {
        if to.is_some_and(|to| to >= moved) {
            return Ok(());
        }
        let (name, to) = (&self.name, to.map_or("an older state".into(), |to| format!("version {to}")));
        let message =
            format!("`{name}` was restored to {to} (by version {at}), but holds the positions of version {moved}");
        let hint = format!("restore version {} to have its rows again, or move `{name}` away to read all anew", at - 1);
        Err(Error::input(message).hint(hint))
    }
}
