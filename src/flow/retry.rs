//! `lake retry`: what failed or was blocked in the last run from this folder, and nothing else.
//!
//! Told by `target/run_results.json`. Runs nothing itself: answers what `promote` or `test` has to be asked for. Models
//! the last run did build stay in the selection, for they are published together with those that failed, but none
//! of them is built again.

use super::checks::results;
use super::{promote, test};
use crate::error::{Error, Result};
use crate::ident::{Layer, TableName};
use crate::model::Project;
use std::collections::BTreeSet;
use std::path::Path;

#[derive(Debug, Clone)]
pub enum Retry {
    Models(promote::Options),
    Tests(test::Options),
    /// Nothing failed.
    Nothing,
}

/// What has to be run again. Models that left the project since are left out.
pub async fn retry(root: &Path, project: &Project) -> Result<Retry> {
    let Some(last) = results::last(root).await? else {
        return Err(Error::config("there is no last run to retry").hint("run `lake promote all` or `lake test` first"));
    };
    let tables: BTreeSet<&TableName> = project.models.iter().map(|model| &model.table).collect();
    let known = |name: &str| TableName::parse(name).ok().filter(|table| tables.contains(table));
    let models: Vec<_> =
        last.results.iter().filter_map(|ran| Some((known(ran.model()?)?, ran.is_unfinished()))).collect();
    let only: BTreeSet<TableName> =
        models.iter().filter(|(_, unfinished)| *unfinished).map(|(table, _)| table.clone()).collect();
    if !only.is_empty() {
        return Ok(Retry::Models(promote::Options {
            layers: vec![Layer::Silver, Layer::Gold],
            select: models.iter().map(|(table, _)| table.to_string()).collect(),
            exclude: Vec::new(),
            only: Some(only),
            full_refresh: last.args.full_refresh,
            since_version: last.args.since_version,
        }));
    }
    let failed = last.results.iter().filter(|ran| ran.is_unfinished());
    let tests: BTreeSet<String> = failed.filter_map(|ran| ran.test()).map(str::to_string).collect();
    match tests.is_empty() {
        true => Ok(Retry::Nothing),
        false => Ok(Retry::Tests(test::Options { only: Some(tests), ..test::Options::default() })),
    }
}
