//! Run manifests: which versions of which tables belong together.
//!
//! Delta commits one table at a time. When every table of a run is committed, one conditional PUT of
//! `_lake/runs/<n>.json` names their versions and the versions they were made from, and repeats what the manifest
//! before said of the tables the run left alone. A manifest is a record, never state: without it everything can be
//! recomputed from the tables.

use super::{Lake, Table};
use crate::error::{Context, Error, Kind, Result};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const FOLDER: &str = "_lake/runs";

/// One run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// 1, 2, 3, ... without gaps; set by [`publish`].
    pub run: u64,
    /// Tells two runs apart that raced for a number: a uuid.
    pub id: String,
    /// RFC 3339.
    pub at: String,
    /// By `layer.name`.
    pub tables: BTreeMap<String, ManifestTable>,
}

/// The version a run left a table at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestTable {
    pub version: i64,
    /// [`Table::id`], for versions are counted anew when a table is; empty in manifests from before it was kept.
    #[serde(default)]
    pub id: String,
    /// The upstream versions it was made from, by `layer.name`.
    pub inputs: BTreeMap<String, i64>,
}

impl ManifestTable {
    /// Whether the version meant is one of this very table, not of an earlier one of the same name.
    pub fn is_of(&self, table: &Table) -> bool {
        self.id.is_empty() || self.id == table.id()
    }

    /// Whether the table, at the version it is pinned to, has the very rows of the version that is meant.
    pub async fn names_rows_of(&self, table: &Table) -> Result<bool> {
        Ok(self.is_of(table) && table.same_rows_since(self.version).await?)
    }

    /// Whether it means the version the table is pinned to.
    pub fn names(&self, table: &Table) -> bool {
        self.is_of(table) && self.version == table.version()
    }
}

/// Publishes as the run after the one numbered `after`, 0 before the first, and returns the manifest with its number;
/// `None` when another run took that. `manifest.run` is not read.
pub async fn publish(lake: &Lake, mut manifest: Manifest, after: u64) -> Result<Option<Manifest>> {
    manifest.run = after + 1;
    let text = serde_json::to_vec_pretty(&manifest).context(Kind::Internal, || "write a run manifest")?;
    if lake.put_new(&path(manifest.run), Bytes::from(text)).await? {
        return Ok(Some(manifest));
    }
    // Taken by another run, or by this one when the reply to its write was lost.
    let own = read(lake, manifest.run).await?.is_some_and(|standing| standing.id == manifest.id);
    Ok(own.then_some(manifest))
}

/// The manifest of the newest run; `None` before the first.
pub async fn latest(lake: &Lake) -> Result<Option<Manifest>> {
    match numbers(lake).await?.last() {
        Some(run) => read(lake, *run).await,
        None => Ok(None),
    }
}

/// The newest `limit` manifests, newest first.
pub async fn list(lake: &Lake, limit: usize) -> Result<Vec<Manifest>> {
    let mut manifests = Vec::new();
    for run in numbers(lake).await?.into_iter().rev().take(limit) {
        manifests.extend(read(lake, run).await?);
    }
    Ok(manifests)
}

/// Deletes all but the newest `keep` manifests, at least one of which stays. Returns the runs that went.
pub async fn prune(lake: &Lake, keep: usize) -> Result<Vec<u64>> {
    let mut runs = numbers(lake).await?;
    runs.truncate(runs.len().saturating_sub(keep.max(1)));
    for run in &runs {
        lake.delete(&path(*run)).await?;
    }
    Ok(runs)
}

/// The manifest of one run.
pub async fn read(lake: &Lake, run: u64) -> Result<Option<Manifest>> {
    let Some(bytes) = lake.get(&path(run)).await? else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .context(Kind::Internal, || format!("run manifest `{}` in `{}` is broken", path(run), lake.root()))
}

fn path(run: u64) -> String {
    format!("{FOLDER}/{run:020}.json")
}

/// Numbers of all runs, rising.
async fn numbers(lake: &Lake) -> Result<Vec<u64>> {
    let number = |path: &String| path.rsplit('/').next()?.strip_suffix(".json")?.parse().ok();
    let paths = lake.list(FOLDER).await?;
    paths
        .iter()
        .map(|path| {
            number(path).ok_or_else(|| Error::internal(format!("`{path}` in `{}` is no run manifest", lake.root())))
        })
        .collect()
}
