//! Single commits of a table as they stand in its log: what they carried and which positions they moved.

use super::CommitInfo;
use super::failure::{DAMAGED, failed};
use crate::error::{Context, Kind, Result};
use bytes::Bytes;
use deltalake::kernel::{Add, Remove};
use deltalake::logstore::LogStore;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Map, Value};

/// The key of `commitInfo` under which everything of ours lies.
pub(super) const INFO_KEY: &str = "lake";
/// Inside [`INFO_KEY`]: tells our own commit from any other after its reply was lost.
pub(super) const COMMIT_ID: &str = "commit_id";

/// One commit.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// The version a `RESTORE` went back to, unless it was chosen by its time.
    pub restored_version: Option<u64>,
    pub info: CommitInfo,
    pub txns: Vec<(String, i64)>,
    pub changes_columns: bool,
}

impl Entry {
    pub fn is_restore(&self) -> bool {
        self.info.operation == "RESTORE"
    }

    pub fn commit_id(&self) -> Option<&str> {
        self.info.info.get(COMMIT_ID)?.as_str()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    commit_info: Option<Map<String, Value>>,
    txn: Option<TxnLine>,
    add: Option<FileLine>,
    remove: Option<FileLine>,
    #[serde(rename = "metaData")]
    metadata: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TxnLine {
    app_id: String,
    version: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileLine {
    data_change: bool,
}

/// The commit that made `version`; `None` when the log no longer holds it.
pub(super) async fn entry(log: &dyn LogStore, table: &str, version: u64) -> Result<Option<Entry>> {
    let bytes = read(log, table, version).await?;
    bytes.map(|bytes| parse(&bytes, table, version)).transpose()
}

async fn read(log: &dyn LogStore, table: &str, version: u64) -> Result<Option<Bytes>> {
    let bytes = log.read_commit_entry(version).await;
    bytes.map_err(|error| failed(error, format!("read version {version} of `{table}`")))
}

/// The actions of a commit, one a line; of each only what `T` asks for.
fn lines<T: DeserializeOwned>(bytes: &[u8], table: &str, version: u64) -> Result<Vec<T>> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let broken = || format!("`_delta_log/{version:020}.json` of `{table}` holds a broken line");
    let parsed = lines.map(|line| serde_json::from_slice(line).context(Kind::Input, broken));
    parsed.collect::<Result<_>>().map_err(|error| error.hint(DAMAGED))
}

/// The files of one commit whose rows came or left.
#[derive(Debug, Default)]
pub(super) struct FileChanges {
    pub added: Vec<Add>,
    pub removed: Vec<Remove>,
    pub changes_columns: bool,
}

#[derive(Deserialize)]
struct ActionLine {
    add: Option<Add>,
    remove: Option<Remove>,
    #[serde(rename = "metaData")]
    metadata: Option<IgnoredAny>,
}

/// What the commit that made `version` did to files; `None` when the log no longer holds it.
pub(super) async fn files(log: &dyn LogStore, table: &str, version: u64) -> Result<Option<FileChanges>> {
    let Some(bytes) = read(log, table, version).await? else { return Ok(None) };
    let mut changes = FileChanges::default();
    for line in lines::<ActionLine>(&bytes, table, version)? {
        changes.changes_columns |= line.metadata.is_some();
        changes.added.extend(line.add.filter(|add| add.data_change));
        changes.removed.extend(line.remove.filter(|remove| remove.data_change));
    }
    Ok(Some(changes))
}

fn parse(bytes: &[u8], table: &str, version: u64) -> Result<Entry> {
    let mut entry = Entry::default();
    entry.info.version = version as i64;
    for line in lines::<Line>(bytes, table, version)? {
        if let Some(commit_info) = line.commit_info {
            entry.restored_version = restored_version(&commit_info);
            describe(&mut entry.info, commit_info);
        }
        entry.txns.extend(line.txn.map(|txn| (txn.app_id, txn.version)));
        entry.changes_columns |= line.metadata.is_some();
        entry.info.changes_rows |= line.add.or(line.remove).is_some_and(|file| file.data_change);
    }
    Ok(entry)
}

/// By writer the number stands there as such or as text.
fn restored_version(commit_info: &Map<String, Value>) -> Option<u64> {
    let version = commit_info.get("operationParameters")?.get("version")?;
    version.as_u64().or_else(|| version.as_str()?.parse().ok())
}

fn describe(info: &mut CommitInfo, mut commit_info: Map<String, Value>) {
    info.timestamp_ms = commit_info.get("timestamp").and_then(Value::as_i64);
    info.operation = commit_info.get("operation").and_then(Value::as_str).unwrap_or_default().to_string();
    if let Some(Value::Object(ours)) = commit_info.remove(INFO_KEY) {
        info.info = ours;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_read_back() {
        let text = concat!(
            r#"{"commitInfo":{"timestamp":5,"operation":"WRITE","lake":{"commit_id":"c","rows":2}}}"#,
            "\n",
            r#"{"add":{"path":"a","dataChange":false}}"#,
            "\n\n",
            r#"{"txn":{"appId":"a","version":7}}"#,
        );
        let entry = parse(text.as_bytes(), "bronze.x", 3).unwrap();
        assert_eq!((entry.info.version, entry.info.timestamp_ms), (3, Some(5)));
        assert_eq!(entry.info.operation, "WRITE");
        assert_eq!(entry.commit_id(), Some("c"));
        assert_eq!(entry.txns, [("a".to_string(), 7)]);
        assert!(!entry.info.changes_rows && entry.info.is_ours());
        assert!(parse(b"{\"add\":", "bronze.x", 3).is_err());
    }
}
