//! The log as files: which versions it holds, its checkpoints, and what of it may go.

use super::Table;
use super::failure::failed;
use super::vacuum::delete;
use crate::error::Result;
use chrono::{DateTime, Utc};
use deltalake::DeltaTable;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use std::collections::{BTreeMap, BTreeSet};

const LOG: &str = "_delta_log";
const CHECKPOINT: &str = "checkpoint.parquet";
/// Files deleted with one request where the store can do that.
const AT_ONCE: usize = 1000;

/// What the folder of the log holds.
#[derive(Debug, Default)]
pub struct LogFiles {
    /// Each commit, and when it was made by the store's clock.
    commits: BTreeMap<u64, DateTime<Utc>>,
    /// Versions with a checkpoint in one file.
    checkpoints: BTreeSet<u64>,
    /// The files that are old enough to go, by the version they belong to. Of the others, of which a busy day leaves
    /// a hundred thousand, no path is kept.
    old: Vec<(u64, Path)>,
}

impl LogFiles {
    /// The version that stood at a time; the oldest one the log can still give when that is gone.
    pub fn standing_at(&self, time: DateTime<Utc>) -> Option<i64> {
        let newest = *self.commits.last_key_value()?.0;
        let later = self.commits.iter().find(|(_, made)| **made > time);
        let standing = later.map_or(newest, |(version, _)| version.saturating_sub(1));
        Some(standing.max(self.oldest_readable()?) as i64)
    }

    /// A version is put together from a checkpoint and all commits after it, or from all commits.
    fn oldest_readable(&self) -> Option<u64> {
        let newest = *self.commits.last_key_value()?.0;
        let unbroken = self.commits.keys().rev().zip((0..=newest).rev()).take_while(|(found, due)| *found == due);
        let first = unbroken.last().map_or(newest, |(version, _)| *version);
        match first.checked_sub(1) {
            None => Some(0),
            Some(before) => self.checkpoints.range(before..).next().copied(),
        }
    }

    /// Where a log that can still give `version` may begin: its newest checkpoint up to there. `None` when the
    /// log does not hold anything older that may go.
    pub fn may_begin_at(&self, version: i64) -> Option<i64> {
        let version = u64::try_from(version).ok()?;
        let begin = *self.checkpoints.range(..=version).next_back()?;
        self.old.iter().any(|(file, _)| *file < begin).then_some(begin as i64)
    }

    /// Number of old files of versions before `version`.
    pub fn files_before(&self, version: i64) -> u64 {
        self.before(version).count() as u64
    }

    fn before(&self, version: i64) -> impl Iterator<Item = &Path> {
        self.old.iter().filter(move |(file, _)| (*file as i64) < version).map(|(_, path)| path)
    }

    fn note(&mut self, path: Path, made: DateTime<Utc>, before: DateTime<Utc>) {
        let name = path.filename().unwrap_or_default();
        let Some((number, kind)) = name.split_once('.') else { return };
        let digits = number.len() == 20 && number.bytes().all(|byte| byte.is_ascii_digit());
        let Some(version) = number.parse().ok().filter(|_| digits) else { return };
        match kind {
            "json" => drop(self.commits.insert(version, made)),
            CHECKPOINT => drop(self.checkpoints.insert(version)),
            _ => {}
        }
        if made <= before {
            self.old.push((version, path));
        }
    }
}

impl Table {
    /// The log as it stands; what was made after `before` stays whatever it belongs to.
    pub async fn log_files(&self, before: DateTime<Utc>) -> Result<LogFiles> {
        let store = self.log.object_store(None);
        let mut listed = store.list(Some(&Path::from(LOG)));
        let mut log = LogFiles::default();
        let attempt = || format!("list the log of `{}`", self.name());
        while let Some(file) = listed.try_next().await.map_err(|error| failed(error, attempt()))? {
            log.note(file.location, file.last_modified, before);
        }
        Ok(log)
    }

    /// Whether this version has a checkpoint.
    pub async fn has_checkpoint(&self) -> Result<bool> {
        let path = Path::from(format!("{LOG}/{:020}.{CHECKPOINT}", self.state.version()));
        match self.log.object_store(None).head(&path).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(failed(error, format!("look for a checkpoint of `{}`", self.name()))),
        }
    }

    /// Writes a checkpoint at this version: what opens the table reads it instead of the commits up to here.
    pub async fn checkpoint(&self) -> Result<()> {
        let attempt = || format!("write a checkpoint of `{}`", self.name());
        let mut table = DeltaTable::new(self.log.clone());
        table.state = Some(self.state.clone());
        deltalake::checkpoints::create_checkpoint(&table, None).await.map_err(|error| failed(error, attempt()))
    }

    /// Deletes the log's files of versions before `version`, which is one of [`LogFiles::may_begin_at`].
    pub async fn begin_log_at(&self, version: i64, log: &LogFiles) -> Result<u64> {
        let store = self.log.object_store(None);
        let mut paths: Vec<Path> = log.before(version).cloned().collect();
        paths.sort();
        // Oldest first: what is left when this ends half-way has no hole but at its beginning.
        for some in paths.chunks(AT_ONCE) {
            let some = futures::stream::iter(some.to_vec()).map(Ok).boxed();
            delete(store.as_ref(), some, || format!("clean the log of `{}`", self.name())).await?;
        }
        Ok(paths.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(names: &[(&str, i64)]) -> LogFiles {
        let mut log = LogFiles::default();
        for (name, made) in names {
            log.note(Path::from(format!("_delta_log/{name}")), time(*made), time(100));
        }
        log
    }

    fn time(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn the_log_tells_what_stood_when_and_where_it_may_begin() {
        let whole: Vec<(String, i64)> = (0..6)
            .map(|version| (format!("{version:020}.json"), version * 10))
            .chain([2, 4].map(|version| (format!("{version:020}.checkpoint.parquet"), version * 10)))
            .chain([("_last_checkpoint".into(), 40), ("00000000000000000009.x.json".into(), 0), ("x.json".into(), 0)])
            .collect();
        let named: Vec<(&str, i64)> = whole.iter().map(|(name, made)| (name.as_str(), *made)).collect();
        let log = log(&named);
        for (at, version) in [(-1, 0), (0, 0), (9, 0), (10, 1), (35, 3), (1000, 5)] {
            assert_eq!(log.standing_at(time(at)), Some(version), "{at}");
        }
        for (kept, begin) in [(0, None), (1, None), (2, Some(2)), (3, Some(2)), (4, Some(4)), (5, Some(4))] {
            assert_eq!(log.may_begin_at(kept), begin, "{kept}");
        }
        assert_eq!((log.files_before(2), log.files_before(4)), (2, 5));
    }

    #[test]
    fn what_is_young_stays_whichever_version_it_belongs_to() {
        let log = log(&[
            ("00000000000000000000.json", 0),
            ("00000000000000000001.json", 10),
            ("00000000000000000001.checkpoint.parquet", 101),
            ("00000000000000000002.json", 20),
            ("00000000000000000002.checkpoint.parquet", 20),
        ]);
        assert_eq!((log.may_begin_at(2), log.files_before(2)), (Some(2), 2));
    }

    #[test]
    fn a_cleaned_log_gives_only_what_follows_its_first_checkpoint() {
        let log = log(&[
            ("00000000000000000000.json", 0),
            ("00000000000000000003.json", 30),
            ("00000000000000000004.checkpoint.parquet", 40),
            ("00000000000000000004.json", 40),
            ("00000000000000000005.json", 50),
        ]);
        assert_eq!((log.standing_at(time(35)), log.standing_at(time(50))), (Some(4), Some(5)));
        assert_eq!((log.may_begin_at(3), log.may_begin_at(5)), (None, Some(4)));
        assert_eq!(LogFiles::default().standing_at(time(0)), None);
    }
}
