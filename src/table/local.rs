//! The local file system as a store whose listings of a log do not grow with the log.
//!
//! Delta asks for "the log's files from version n on" several times a commit. An object store answers from there on; a
//! file system reads the whole folder, which after a day of one commit a second holds ninety thousand names. Here the
//! files are looked up by the names they must have, as long as that tells the same as a listing would. A commit without
//! a byte is refused.

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use serde::Deserialize;
use std::fmt;
use std::ops::Range;

const LOG: &str = "_delta_log";
/// Versions looked up before one listing is the cheaper way.
const MOST_VERSIONS: u64 = 2_000;
/// Versions behind the first missing one that are looked up too.
const WIDEST_HOLE: u64 = 16;

#[derive(Debug, Default)]
pub struct LocalStore(LocalFileSystem);

impl fmt::Display for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl LocalStore {
    /// What a listing of the log from the version that `offset` names would find; `None` where only a listing tells.
    fn log_from(&self, folder: &Path, offset: &Path) -> Option<Vec<ObjectMeta>> {
        let name = offset.prefix_match(folder)?.next()?;
        let is_version = name.as_ref().len() == 20 && name.as_ref().bytes().all(|byte| byte.is_ascii_digit());
        let first: u64 = name.as_ref().parse().ok().filter(|_| is_version && folder.filename() == Some(LOG))?;
        let begins = self.holds(folder, &commit(first));
        if !begins && !first.checked_sub(1).is_some_and(|before| self.holds(folder, &commit(before))) {
            return None;
        }
        // A log that goes on where this version was cleaned away, or a checkpoint under a name of another program's.
        let goes_on = self.last_checkpoint(folder).filter(|at| *at >= first);
        if goes_on.is_some_and(|at| !begins || !self.holds(folder, &checkpoint(at))) {
            return None;
        }
        let mut found = Vec::new();
        for version in first..first.saturating_add(MOST_VERSIONS) {
            let Some(commit) = self.file(folder, &commit(version)) else {
                // A hole must not pass for the end: whoever took it for one would write these versions again.
                let goes_on = (1..=WIDEST_HOLE).any(|more| self.holds(folder, &commit(version + more)));
                return (!goes_on).then_some(found);
            };
            found.extend(self.file(folder, &checkpoint(version)));
            found.push(commit);
        }
        None
    }

    fn last_checkpoint(&self, folder: &Path) -> Option<u64> {
        #[derive(Deserialize)]
        struct Hint {
            version: u64,
        }
        let path = self.0.path_to_filesystem(&folder.clone().join("_last_checkpoint")).ok()?;
        serde_json::from_slice::<Hint>(&std::fs::read(path).ok()?).ok().map(|hint| hint.version)
    }

    fn holds(&self, folder: &Path, name: &str) -> bool {
        self.file(folder, name).is_some()
    }

    fn file(&self, folder: &Path, name: &str) -> Option<ObjectMeta> {
        let location = folder.clone().join(name);
        let metadata = std::fs::metadata(self.0.path_to_filesystem(&location).ok()?).ok()?;
        let last_modified: DateTime<Utc> = metadata.modified().ok()?.into();
        Some(ObjectMeta { location, last_modified, size: metadata.len(), e_tag: None, version: None })
    }
}

/// Said of a commit without a byte.
pub(super) const EMPTY: &str = "is empty, and no commit is";

/// What a power cut may leave of one has no bytes, and would be read as a commit of nothing.
fn is_commit(file: &Path) -> bool {
    let in_log = file.parts().rev().nth(1).is_some_and(|folder| folder.as_ref() == LOG);
    in_log && file.extension() == Some("json")
}

fn commit(version: u64) -> String {
    format!("{version:020}.json")
}

fn checkpoint(version: u64) -> String {
    format!("{version:020}.checkpoint.parquet")
}

#[async_trait]
impl ObjectStore for LocalStore {
    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        match prefix.and_then(|folder| self.log_from(folder, offset)) {
            Some(found) => stream::iter(found.into_iter().map(Ok)).boxed(),
            None => self.0.list_with_offset(prefix, offset),
        }
    }

    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.0.put_opts(at, payload, options).await
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        let found = self.0.get_opts(at, options).await?;
        match found.meta.size == 0 && is_commit(at) {
            true => Err(Error::Generic { store: "local", source: format!("`{at}` {EMPTY}").into() }),
            false => Ok(found),
        }
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.0.get_ranges(at, ranges).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.0.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::TryStreamExt;

    struct Log {
        directory: tempfile::TempDir,
        folder: Path,
    }

    impl Log {
        fn of(names: &[String]) -> Log {
            let directory = tempfile::tempdir().unwrap();
            let folder = directory.path().join("a table/_delta_log");
            std::fs::create_dir_all(&folder).unwrap();
            for name in names {
                std::fs::write(folder.join(name), name).unwrap();
            }
            Log { folder: Path::from_absolute_path(&folder).unwrap(), directory }
        }

        fn last_checkpoint(self, version: u64) -> Log {
            let text = format!(r#"{{"version":{version},"size":1}}"#);
            std::fs::write(self.directory.path().join("a table/_delta_log/_last_checkpoint"), text).unwrap();
            self
        }

        fn looked_up(&self, first: u64) -> Option<Vec<String>> {
            let found = LocalStore::default().log_from(&self.folder, &self.folder.clone().join(format!("{first:020}")));
            found.map(|found| found.iter().map(|meta| meta.location.filename().unwrap().to_string()).collect())
        }

        async fn listed(&self, first: u64) -> Vec<String> {
            let offset = self.folder.clone().join(format!("{first:020}"));
            let listed = LocalFileSystem::new().list_with_offset(Some(&self.folder), &offset);
            let listed: Vec<ObjectMeta> = listed.try_collect().await.unwrap();
            let mut names: Vec<_> = listed.iter().map(|meta| meta.location.filename().unwrap().to_string()).collect();
            names.retain(|name| !name.starts_with('_'));
            names.sort();
            names
        }
    }

    #[tokio::test]
    async fn looking_up_finds_what_a_listing_finds() {
        let names: Vec<String> = (0..30).map(commit).chain([19, 25].map(checkpoint)).collect();
        let log = Log::of(&names).last_checkpoint(25);
        for first in [0, 5, 19, 20, 25, 29, 30] {
            assert_eq!(log.looked_up(first), Some(log.listed(first).await), "{first}");
        }
    }

    #[test]
    fn what_only_a_listing_can_tell_is_left_to_it() {
        let cleaned: Vec<String> = (25..30).map(commit).chain([checkpoint(25)]).collect();
        let cleaned = Log::of(&cleaned).last_checkpoint(25);
        assert_eq!(cleaned.looked_up(25).map(|found| found.len()), Some(6));
        assert_eq!(cleaned.looked_up(30).map(|found| found.len()), Some(0), "nothing after the end");
        assert_eq!(cleaned.looked_up(20), None, "a reader from before the log was cleaned");
        assert_eq!(cleaned.looked_up(40), None);
        assert_eq!(cleaned.looked_up(0), None);
        let half: Vec<String> = (0..3).chain(25..30).map(commit).chain([checkpoint(25)]).collect();
        assert_eq!(Log::of(&half).last_checkpoint(25).looked_up(3), None, "while the log is cleaned");
        let parts = format!("{:020}.checkpoint.0000000001.0000000002.parquet", 3);
        let foreign: Vec<String> = (0..5).map(commit).chain([parts]).collect();
        let foreign = Log::of(&foreign).last_checkpoint(3);
        assert_eq!(foreign.looked_up(3), None, "a checkpoint in parts");
        assert_eq!(foreign.looked_up(4).map(|found| found.len()), Some(1), "it lies before that");
        let hole: Vec<String> = [0, 1, 3, 4].map(commit).into();
        let hole = Log::of(&hole);
        assert_eq!((hole.looked_up(0), hole.looked_up(2)), (None, None), "a hole");
        let data = Log::of(&[]);
        let store = LocalStore::default();
        assert!(store.log_from(&data.folder, &data.folder.clone().join("part-1.parquet")).is_none());
        let elsewhere = Path::from("x/data");
        assert!(store.log_from(&elsewhere, &elsewhere.clone().join(format!("{:020}", 1))).is_none());
    }

    #[tokio::test]
    async fn a_long_log_without_a_checkpoint_is_listed() {
        let names: Vec<String> = (0..MOST_VERSIONS + 1).map(commit).collect();
        let log = Log::of(&names);
        assert_eq!(log.looked_up(0), None);
        assert_eq!(log.looked_up(1_000).map(|found| found.len()), Some(1_001));
    }
}
