//! Crash points around every write to the store, for tests.
//!
//! | name | the write |
//! |---|---|
//! | `table.before_file`, `table.after_file` | one data file |
//! | `table.before_entry`, `table.after_entry` | one log entry: the commit itself; a table's first makes the table |
//! | `table.before_checkpoint`, `table.after_checkpoint` | a checkpoint of the log |
//! | `table.before_pointer`, `table.after_pointer` | `_last_checkpoint`, which names the newest one |
//! | `table.before_delete`, `table.after_delete` | any object that is deleted |
//!
//! Stands between a lake and its store only when a failpoint is armed, so never in a release build. Changes
//! nothing of what it passes on. A large file is written in parts; its points are before and after the call
//! that joins them.

use crate::failpoint;
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The store itself, or with crash points in front when one is armed.
pub(super) fn guarded(objects: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
    if failpoint::any_armed() { Arc::new(Crashing(objects)) } else { objects }
}

#[derive(Debug)]
struct Crashing(Arc<dyn ObjectStore>);

impl fmt::Display for Crashing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What kind of object lies there; `None` for what is not part of a table.
fn kind(path: &Path) -> Option<&'static str> {
    let text = path.as_ref();
    match (text.split_once("_delta_log/"), text.ends_with(".parquet")) {
        (Some((_, "_last_checkpoint")), _) => Some("pointer"),
        (Some((_, name)), _) if name.contains(".checkpoint") => Some("checkpoint"),
        (Some((_, name)), _) if name.ends_with(".json") => Some("entry"),
        (None, true) => Some("file"),
        _ => None,
    }
}

fn hit(when: &str, kind: Option<&'static str>) {
    if let Some(kind) = kind {
        failpoint::hit(&format!("table.{when}_{kind}"));
    }
}

#[async_trait]
impl ObjectStore for Crashing {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        hit("before", kind(at));
        let done = self.0.put_opts(at, payload, options).await?;
        hit("after", kind(at));
        Ok(done)
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.0.put_multipart_opts(at, options).await?;
        Ok(Box::new(Parts { upload, kind: kind(at) }))
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(at, options).await
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.0.get_ranges(at, ranges).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let announced = paths.inspect(|_| hit("before", Some("delete"))).boxed();
        self.0.delete_stream(announced).inspect(|_| hit("after", Some("delete"))).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list_with_offset(prefix, offset)
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

#[derive(Debug)]
struct Parts {
    upload: Box<dyn MultipartUpload>,
    kind: Option<&'static str>,
}

#[async_trait]
impl MultipartUpload for Parts {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        hit("before", self.kind);
        let done = self.upload.complete().await?;
        hit("after", self.kind);
        Ok(done)
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_told_apart() {
        let table = [
            ("l/bronze/x/part-0.snappy.parquet", Some("file")),
            ("l/bronze/x/_quarantined=true/part-0.parquet", Some("file")),
            ("l/bronze/x/_delta_log/00000000000000000003.json", Some("entry")),
            ("l/bronze/x/_delta_log/00000000000000000019.checkpoint.parquet", Some("checkpoint")),
            ("l/bronze/x/_delta_log/_last_checkpoint", Some("pointer")),
            ("l/_lake/runs/1.json", None),
        ];
        for (path, expected) in table {
            assert_eq!(kind(&Path::from(path)), expected, "{path}");
        }
    }
}
