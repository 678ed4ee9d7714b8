//! The relational end: a database that receives the Gold tables as one whole.
//!
//! Owns the contract of such a database ([`Warehouse`], [`Load`]), how a table looks there ([`Target`]),
//! and its one implementation, PostgreSQL. Never reads the lake and never decides what is loaded; the
//! flow `load` does both and hands in Arrow batches.
//!
//! A load is one transaction: the rows of every table, their constraints and their ledger rows become
//! visible together or not at all. Tables stay the same objects from load to load, so that views, grants
//! and foreign keys of others survive; no reader ever sees an empty or half-filled table.
//!
//! What becomes of a table whose model has changed its columns stands in the head of `migrate`.
//!
//! To add a database: one file that implements both traits, and one arm in [`connect`].

mod catalog;
mod comparable;
mod connect;
mod copy;
mod culprit;
mod ddl;
mod encode;
mod failure;
mod fingerprint;
mod json;
mod ledger;
mod merge;
mod migrate;
mod names;
mod numeric;
mod place;
mod postgres;
mod query;
mod sql_type;
mod stage;
mod target;
#[cfg(test)]
pub(crate) mod throwaway;
mod tls;
mod widening;

pub use comparable::{column_differences, primary_key};
pub use fingerprint::{Checksums, Fingerprint, Hashed, Heap, Part, RowPrint};
pub use ledger::Entry;
pub use migrate::foreseen;
pub use target::{Column, Condition, Declared, ForeignKey, Target};

use crate::error::{Error, Result};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use futures::stream::BoxStream;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// How to reach Postgres: `postgres://user@host:port/database`, the password apart so that it never prints.
///
/// `?sslmode=` takes `disable`, `prefer` (the default), `require` (encrypted, the certificate is not
/// checked: what these words mean to every Postgres client) and `verify-full` (checked against the
/// machine's certificates, or those in the PEM file `?sslrootcert=`).
#[derive(Clone, Default)]
pub struct WarehouseConfig {
    pub url: String,
    pub password: Option<String>,
    /// Postgres schema that receives the Gold tables; any name Postgres can hold and does not keep for itself.
    pub schema: String,
}

impl fmt::Debug for WarehouseConfig {
    /// Leaves out the password, and the address too: somebody may have written a password into it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WarehouseConfig").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// Rows of one table in batches; the first error ends them.
pub type Batches = BoxStream<'static, Result<RecordBatch>>;

/// The rows of one table, the same ones in the same order each time they are read: when the database names a row by
/// its number only, it is looked up here.
#[async_trait]
pub trait Rows: Send + Sync {
    async fn open(&self) -> Result<Batches>;
}

/// Opens the database that `config` names.
pub async fn connect(config: &WarehouseConfig) -> Result<Box<dyn Warehouse>> {
    names::check_schema(&config.schema)?;
    match config.url.split("://").next() {
        Some("postgres" | "postgresql") => Ok(Box::new(postgres::Postgres::connect(config).await?)),
        _ => Err(Error::config("the warehouse address is no PostgreSQL address")
            .hint("write warehouse.url = \"postgres://user@host:5432/database\"")),
    }
}

/// A database that takes whole loads.
///
/// * Ordering: loads are serialised by [`Load::try_lock`]; within one load tables may come in any order,
///   because references between them are only enforced from [`Load::constrain`] on.
/// * Duplicates: loading the same rows again changes no row. The ledger, written in the same transaction,
///   tells which version of a table stands, so a caller can see that there is nothing to do.
/// * Durability: once [`Load::commit`] answered [`Outcome::Committed`] the load survives a crash of the
///   server. [`Outcome::Unknown`] means the reply was lost: ask the ledger, never load blindly again.
/// * Cancellation: dropping a [`Load`], or a future of it, at any point undoes it.
#[async_trait]
pub trait Warehouse: Send + Sync {
    /// `host:port/database` for messages; no secret in it.
    fn address(&self) -> &str;

    /// The schema that receives the tables.
    fn schema(&self) -> &str;

    /// Starts a load. A connection lost earlier is opened again.
    async fn begin(&mut self) -> Result<Box<dyn Load + '_>>;

    /// Drops the connection and opens another.
    async fn reconnect(&mut self) -> Result<()>;

    /// One row per loaded table, by name, of every lake and schema; empty when nothing was ever loaded.
    async fn ledger(&mut self) -> Result<Vec<Entry>>;

    /// Runs one statement that returns rows, read only, with the Gold schema first in its search path; the
    /// whole result is held in memory as text.
    async fn query(&mut self, sql: &str) -> Result<Answer>;
}

/// One transaction. Nothing of it is visible to anybody before [`Load::commit`].
#[async_trait]
pub trait Load: Send {
    /// The schema that receives the tables.
    fn schema(&self) -> &str;

    /// Takes the lock that serialises loads, which comes before everything that writes. False: another load is running.
    /// Kind Config when the database takes no writes.
    async fn try_lock(&mut self) -> Result<bool>;

    async fn ledger(&mut self) -> Result<Vec<Entry>>;

    /// What stands where `target` belongs.
    async fn standing(&mut self, target: &Target) -> Result<Standing>;

    /// Refuses targets that the standing tables cannot be brought to; changes nothing. Comes before the first
    /// [`Load::stage`] of the load.
    async fn prepare(&mut self, targets: &[Target]) -> Result<()>;

    /// Whether the standing table has the target's columns, so that it can take [`Extent::Changes`].
    async fn fits(&mut self, target: &Target) -> Result<bool>;

    /// Takes in rows for the table, whose columns are the target's in its order. No reader of a table that stands is
    /// held off by it.
    async fn stage(&mut self, target: &Target, extent: Extent, rows: &dyn Rows) -> Result<()>;

    /// Makes each staged table hold what was staged, in the order of staging: creates it, or adds, widens and drops
    /// columns of it; only rows that differ are touched.
    async fn merge(&mut self) -> Result<Vec<Changes>>;

    /// Checks pending references, then declares the keys, NOT NULLs, checks and references that are still missing.
    async fn constrain(&mut self, targets: &[Target]) -> Result<()>;

    /// Writes ledger rows, replacing those of the same tables.
    async fn record(&mut self, entries: &[Entry]) -> Result<()>;

    /// Digest of each script as it was last run, by its path.
    async fn scripts(&mut self) -> Result<BTreeMap<String, String>>;

    /// Runs a script of several statements, with the Gold schema first in its search path, then notes its
    /// digest. It must not end the transaction, and must be idempotent: it runs again with every load that
    /// changes something.
    async fn run_script(&mut self, path: &Path, sql: &str, digest: &str) -> Result<()>;

    /// Publishes everything. An error means that nothing was.
    async fn commit(self: Box<Self>) -> Result<Outcome>;
}

/// What stands in the warehouse where a table belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Absent,
    Empty,
    Filled,
}

/// What the rows are that a table is brought up to date with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All it is to hold.
    All,
    /// Those that came or left since the last load. One more column, an int64 at the end, says how many copies of the
    /// row came, or left when it is negative; each row once, of each key at most one that came.
    Changes,
}

/// How many rows a load changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    /// Rows that were staged; of [`Extent::All`] those the table holds now.
    pub rows: u64,
    pub inserted: u64,
    pub updated: u64,
    pub deleted: u64,
}

/// How a commit ended when it was not refused.
#[derive(Debug)]
pub enum Outcome {
    Committed,
    /// The connection ended before the reply came: the load is in, or it is not.
    Unknown(Error),
}

/// A query's result: column names, and rows of text as the database prints it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Option<String>>>,
}

#[cfg(test)]
mod tests;
