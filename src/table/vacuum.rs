//! Files that no version worth keeping names, and versions that lost theirs.
//!
//! Which versions are worth keeping is the caller's to say. A file that is young stays whatever they say: it may belong to
//! a commit under way.

use super::Table;
use super::failure::failed;
use crate::error::Result;
use chrono::{DateTime, Utc};
use deltalake::kernel::LogicalFileView;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use std::collections::HashSet;

/// Files of a table that nothing needs.
#[derive(Debug, Default)]
pub struct Unused {
    files: Vec<Path>,
    pub bytes: u64,
}

impl Unused {
    /// Paths below the table's folder.
    pub fn paths(&self) -> impl ExactSizeIterator<Item = &str> {
        self.files.iter().map(AsRef::as_ref)
    }
}

impl Table {
    /// Whether each data file of this version is still there: those of an old one may have been cleaned away.
    pub async fn is_kept(&self) -> Result<bool> {
        let store = self.log.object_store(None);
        let listed = store.list(None).map_ok(|file| file.location.to_string()).try_collect::<HashSet<String>>();
        let listed = listed.await.map_err(|error| failed(error, format!("list the files of `{}`", self.name())))?;
        Ok(self.standing()?.all(|file| names(&file).iter().any(|name| listed.contains(name))))
    }

    /// The data files written before `before` that neither this version nor one of `kept` names.
    pub async fn unused_files(&self, kept: &[Table], before: DateTime<Utc>) -> Result<Unused> {
        let mut named = HashSet::new();
        for table in kept.iter().chain([self]) {
            named.extend(table.standing()?.flat_map(|file| names(&file)));
        }
        let store = self.log.object_store(None);
        let mut listed = store.list(None);
        let mut unused = Unused::default();
        let attempt = || format!("list the files of `{}`", self.name());
        while let Some(file) = listed.try_next().await.map_err(|error| failed(error, attempt()))? {
            if file.last_modified < before && self.is_data(&file) && !named.contains(file.location.as_ref()) {
                unused.bytes += file.size;
                unused.files.push(file.location);
            }
        }
        Ok(unused)
    }

    /// Data lies in the table's folder and in those of its partitions; what else begins with `_` or `.` is not ours.
    fn is_data(&self, file: &ObjectMeta) -> bool {
        let hidden = |part: &str| {
            let column = part.split('=').next().filter(|name| *name != part);
            part.starts_with(['_', '.']) && !column.is_some_and(|name| self.partition_by().iter().any(|by| by == name))
        };
        let parquet = file.location.extension() == Some("parquet");
        parquet && !file.location.parts().any(|part| hidden(part.as_ref()))
    }

    pub async fn delete_unused(&self, unused: Unused) -> Result<()> {
        let store = self.log.object_store(None);
        let files = futures::stream::iter(unused.files).map(Ok).boxed();
        delete(store.as_ref(), files, || format!("delete unused files of `{}`", self.name())).await
    }
}

/// A path may be kept encoded or not; what looks like either is the file.
fn names(file: &LogicalFileView) -> [String; 3] {
    [file.object_store_path().to_string(), Path::from(file.path().as_ref()).to_string(), file.path().into_owned()]
}

/// Deletes files; one that is gone already is no failure.
pub(super) async fn delete(
    store: &dyn ObjectStore,
    files: BoxStream<'static, object_store::Result<Path>>,
    attempt: impl Fn() -> String,
) -> Result<()> {
    let mut deleted = store.delete_stream(files);
    while let Some(outcome) = deleted.next().await {
        match outcome {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(failed(error, attempt())),
        }
    }
    Ok(())
}
