//! Which file of a table's log is damaged: asked only once the table cannot be read, because it takes reading all that
//! a reader would.

use super::failure::{DAMAGED, failed};
use crate::error::{Error, Kind, Result};
use arrow::error::ArrowError;
use deltalake::logstore::LogStore;
use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use deltalake::parquet::errors::ParquetError;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::de::IgnoredAny;

const FOLDER: &str = "_delta_log";

/// The failure with the file it comes from, when one is damaged; otherwise as it was.
pub(super) async fn located(failure: Error, log: &dyn LogStore) -> Error {
    if failure.kind() != Kind::Internal {
        return failure;
    }
    match find(log).await {
        Ok(Some((file, why))) => Error::input(format!("{failure}: `{file}` is damaged")).hint(DAMAGED).caused_by(why),
        Ok(None) | Err(_) => failure,
    }
}

/// The first damaged file among the newest checkpoint and the commits after it, and what is wrong with it.
async fn find(log: &dyn LogStore) -> Result<Option<(Path, String)>> {
    let store = log.object_store(None);
    let attempt = || "look through the log".to_string();
    let objects: Vec<_> =
        store.list(Some(&Path::from(FOLDER))).try_collect().await.map_err(|e| failed(e, attempt()))?;
    let mut files: Vec<Path> = objects.into_iter().map(|object| object.location).collect();
    files.sort();
    let newest = files.iter().rposition(|file| file.as_ref().ends_with(".checkpoint.parquet"));
    for file in files.drain(newest.unwrap_or(0)..) {
        let bytes = match file.extension() {
            Some("json" | "parquet") => store.get(&file).await.map_err(|error| failed(error, attempt()))?.bytes().await,
            _ => continue,
        };
        let bytes = bytes.map_err(|error| failed(error, attempt()))?;
        let why = match file.extension() {
            Some("json") => broken_line(&bytes),
            _ => check_parquet(bytes).err().map(|error| error.to_string()),
        };
        if let Some(why) = why {
            return Ok(Some((file, why)));
        }
    }
    Ok(None)
}

fn broken_line(bytes: &[u8]) -> Option<String> {
    let mut lines = bytes.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
    lines.find_map(|(at, line)| {
        let broken = serde_json::from_slice::<IgnoredAny>(line).err()?;
        Some(format!("line {} is no JSON: {broken}", at + 1))
    })
}

fn check_parquet(bytes: bytes::Bytes) -> Result<(), ParquetError> {
    let rows = ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()?;
    let read: Result<Vec<()>, ArrowError> = rows.map(|batch| batch.map(drop)).collect();
    read.map(drop).map_err(ParquetError::from)
}
