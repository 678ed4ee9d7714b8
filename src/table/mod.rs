//! Delta tables on an object store: open, stage, commit, read back.
//!
//! Owns every use of delta-rs and of the object store. A table is reached through [`Lake`], and a [`Table`]
//! is pinned to one version until it is refreshed. Rows are written in two steps: [`Table::stage`] makes
//! files that nobody sees, [`Table::commit`] makes them visible together with the positions they stand for.
//!
//! Never retries an append whose outcome is unknown without first looking for it in the log, never reads a
//! topic or runs a query, and never deletes a file that a version it is told to keep names. What a commit means (which
//! positions, which `commitInfo`) is decided by `flow`.
//!
//! To add a kind of commit, add a [`Mode`] and its actions in `commit.rs`; to add a store, add its builder
//! in `store.rs`.

mod changes;
mod commit;
mod compact;
mod crash;
mod damage;
mod exchange;
mod facts;
mod failure;
mod foreign;
mod holding;
mod lake;
mod local;
mod log;
pub mod manifest;
mod parquet_file;
mod parts;
mod retain;
pub mod schema;
mod staged;
mod statistics;
mod store;
mod vacuum;
mod values;
mod write;

#[cfg(test)]
mod tests;

pub use changes::Since;
pub use commit::{Commit, Committed, Mode, Txn};
pub use compact::{Bin, Extent, KeepOn};
pub use exchange::Picked;
pub use facts::FileFacts;
pub use holding::Bounds;
pub use lake::Lake;
pub use parquet_file::ParquetFile;
pub use retain::LogFiles;
pub use staged::Staged;
pub use store::LakeConfig;
pub use vacuum::Unused;
pub use write::Stage;

use crate::error::{Error, Kind, Result};
use crate::ident::TableName;
use arrow::datatypes::SchemaRef;
use deltalake::datafusion::datasource::TableProvider;
use deltalake::delta_datafusion::DeltaScanNext;
use deltalake::kernel::LogicalFileView;
use deltalake::logstore::LogStoreRef;
use deltalake::table::state::DeltaTableState;
use failure::failed;
use futures::{Stream, StreamExt, TryStreamExt, future};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Versions after which a table that is kept up to date is read anew.
const READ_WHOLE_AFTER: u64 = 100;
/// Commits of the log read at the same time.
const READ_AT_ONCE: usize = 16;

/// Rows for queries.
pub type Provider = Arc<dyn TableProvider>;

/// One table pinned to one version.
#[derive(Clone)]
pub struct Table {
    name: TableName,
    log: LogStoreRef,
    state: DeltaTableState,
    schema: SchemaRef,
    /// The version `state` was last read whole at.
    read_whole: u64,
    /// Positions read before, kept true by every refresh; an app id not in here is looked up in the log.
    positions: BTreeMap<String, Option<i64>>,
}

/// One entry of a table's history.
#[derive(Debug, Clone, Default)]
pub struct CommitInfo {
    pub version: i64,
    /// Milliseconds since 1970 by the writer's clock.
    pub timestamp_ms: Option<i64>,
    pub operation: String,
    /// What [`Commit::info`] carried, plus `commit_id`.
    pub info: serde_json::Map<String, serde_json::Value>,
    /// Rows were added or removed (rewriting files without changing rows does not count).
    pub changes_rows: bool,
}

impl CommitInfo {
    /// False of a commit that another program made.
    pub fn is_ours(&self) -> bool {
        self.info.contains_key(log::COMMIT_ID)
    }
}

impl Table {
    async fn load(name: TableName, log: LogStoreRef, version: Option<u64>) -> Result<Table> {
        let state = match DeltaTableState::try_new(log.as_ref(), version).await {
            Ok(state) => state,
            Err(error) => {
                let attempt = match version {
                    None => format!("read table `{name}`"),
                    Some(version) => format!("read version {version} of `{name}`"),
                };
                return Err(damage::located(failed(error, attempt), log.as_ref()).await);
            }
        };
        let schema = schema::storable(&state.snapshot().arrow_schema());
        let read_whole = state.version();
        Ok(Table { name, log, state, schema, read_whole, positions: BTreeMap::new() })
    }

    pub fn name(&self) -> &TableName {
        &self.name
    }

    pub fn version(&self) -> i64 {
        self.state.version() as i64
    }

    /// The id Delta gave the table when it was made: a table deleted and made anew counts its versions from
    /// zero again, but under another id.
    pub fn id(&self) -> &str {
        self.state.metadata().id()
    }

    /// The columns in order, partition columns where they were declared. All nullable, no view types.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Names of the partition columns.
    pub fn partition_by(&self) -> &[String] {
        self.state.metadata().partition_columns()
    }

    /// The files of this version.
    fn standing(&self) -> Result<Box<dyn Iterator<Item = LogicalFileView>>> {
        let files = self.state.snapshot().try_log_data();
        let files = files.map_err(|error| failed(error, format!("list the files of `{}`", self.name)))?;
        Ok(files.into_iter())
    }

    /// Rows by the statistics of the files; `None` when a file has none.
    pub fn rows(&self) -> Option<u64> {
        self.standing().ok()?.try_fold(0, |rows, file| {
            let whole = file.deletion_vector_descriptor().is_none();
            Some(rows + file.num_records().filter(|_| whole)? as u64)
        })
    }

    /// The same table at another version; kind Input when it never existed or was cleaned away.
    pub async fn at(&self, version: i64) -> Result<Table> {
        if version == self.version() {
            return Ok(self.clone());
        }
        let missing = || Error::input(format!("`{}` has no version {version}", self.name));
        let wanted = u64::try_from(version).map_err(|_| missing())?;
        if wanted > self.state.version()
            && log::entry(self.log.as_ref(), &self.name.to_string(), wanted).await?.is_none()
        {
            return Err(missing());
        }
        Table::load(self.name.clone(), self.log.clone(), Some(wanted)).await.map_err(|error| match error.kind() {
            Kind::Internal => missing().caused_by(error),
            _ => error,
        })
    }

    /// Moves to the newest version.
    pub async fn refresh(&mut self) -> Result<()> {
        let before = self.state.version();
        // What delta-rs keeps of each version it goes through stays until it reads the table anew.
        let outcome = match before.saturating_sub(self.read_whole) < READ_WHOLE_AFTER {
            true => self.state.update(self.log.as_ref(), None).await,
            false => DeltaTableState::try_new(self.log.as_ref(), None).await.map(|state| {
                self.read_whole = state.version();
                self.state = state;
            }),
        };
        if let Err(error) = outcome {
            let failure = failed(error, format!("read the newest version of `{}`", self.name));
            return Err(damage::located(failure, self.log.as_ref()).await);
        }
        self.follow(before).await
    }

    /// Brings what is remembered of the table up to the version it moved to.
    async fn follow(&mut self, before: u64) -> Result<()> {
        let now = self.state.version();
        if now == before {
            return Ok(());
        }
        self.schema = schema::storable(&self.state.snapshot().arrow_schema());
        if self.positions.is_empty() {
            return Ok(());
        }
        for version in before + 1..=now {
            let Some(entry) = log::entry(self.log.as_ref(), &self.name.to_string(), version).await? else {
                self.positions.clear();
                return Ok(());
            };
            for (app, position) in entry.txns {
                self.positions.entry(app).and_modify(|known| *known = Some(position));
            }
        }
        Ok(())
    }

    /// Version of the `txn` action of this app id, if any. Kind Config when the table is set to forget them: a
    /// partition that was quiet for that long would be read from its beginning again.
    pub async fn txn(&self, app: &str) -> Result<Option<i64>> {
        self.keeps_positions()?;
        if let Some(known) = self.positions.get(app) {
            return Ok(*known);
        }
        self.state
            .transaction_version(self.log.as_ref(), app)
            .await
            .map_err(|error| failed(error, format!("read position `{app}` of `{}`", self.name)))
    }

    /// The last `limit` commits up to this version, newest first; ends where the log was cleaned.
    pub async fn history(&self, limit: usize) -> Result<Vec<CommitInfo>> {
        self.commits_backwards().take(limit).try_collect().await
    }

    /// All commits up to this version, newest first; ends where the log was cleaned.
    pub fn commits_backwards(&self) -> impl Stream<Item = Result<CommitInfo>> {
        self.entries((0..=self.state.version()).rev()).map_ok(|entry| entry.info)
    }

    /// The commits of these versions, oldest first; ends at one the log does not hold.
    pub fn commits(&self, versions: RangeInclusive<i64>) -> impl Stream<Item = Result<CommitInfo>> {
        let versions = versions.filter_map(|version| u64::try_from(version).ok());
        self.entries(versions).map_ok(|entry| entry.info)
    }

    /// Whether the rows have been the same ever since `version`: files may have been merged, no row changed and
    /// no column did. False, too, when the log no longer tells.
    pub async fn same_rows_since(&self, version: i64) -> Result<bool> {
        if version == self.version() {
            return Ok(true);
        }
        let Some(after) = u64::try_from(version).ok().filter(|version| *version < self.state.version()) else {
            return Ok(false);
        };
        let mut entries = std::pin::pin!(self.entries((after + 1..=self.state.version()).rev()));
        let mut told = after + 1;
        while let Some(entry) = entries.try_next().await? {
            if entry.info.changes_rows || entry.changes_columns {
                return Ok(false);
            }
            told += 1;
        }
        Ok(told == self.state.version() + 1)
    }

    /// The commits of these versions, in this order; ends where the log holds none.
    fn entries(&self, versions: impl Iterator<Item = u64>) -> impl Stream<Item = Result<log::Entry>> {
        let name = self.name.to_string();
        let read = move |version| {
            let (log, name) = (self.log.clone(), name.clone());
            async move { log::entry(log.as_ref(), &name, version).await }
        };
        let entries = futures::stream::iter(versions).map(read).buffered(READ_AT_ONCE);
        entries.map(Result::transpose).take_while(|entry| future::ready(entry.is_some())).filter_map(future::ready)
    }

    /// For queries. Registers the store it reads from in whatever session scans it.
    pub async fn provider(&self) -> Result<Arc<dyn TableProvider>> {
        let scan = DeltaScanNext::builder()
            .with_log_store(self.log.clone())
            .with_eager_snapshot(self.state.snapshot().clone())
            .build()
            .await
            .map_err(|error| failed(error, format!("prepare `{}` for reading", self.name)))?;
        Ok(Arc::new(scan))
    }
}
