//! How it is known how many rows fail: by the statistics of files, or by reading them.

use super::TestReport;
use crate::check::{Check, Statistics};
use crate::ident::TableName;
use crate::table::FileFacts;
use arrow::datatypes::SchemaRef;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// No row was read.
    Statistics,
    ScannedBytes(u64),
}

/// Over all tests of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Tests that read no row.
    pub proved_by_statistics: usize,
    pub scanned: usize,
    pub scanned_bytes: u64,
}

impl Totals {
    pub fn of(tests: &[TestReport]) -> Totals {
        let mut totals = Totals::default();
        for evidence in tests.iter().filter_map(|test| test.evidence) {
            match evidence {
                Evidence::Statistics => totals.proved_by_statistics += 1,
                Evidence::ScannedBytes(bytes) => {
                    totals.scanned += 1;
                    totals.scanned_bytes += bytes;
                }
            }
        }
        totals
    }
}

/// The tables of which statistics may prove something.
pub(in crate::flow) fn provable_tables<'a>(checks: &[&'a Check]) -> BTreeSet<&'a TableName> {
    checks.iter().filter(|check| check.is_provable()).map(|check| &check.table).collect()
}

/// What is known of tables without reading them.
#[derive(Default)]
pub(in crate::flow) struct Known(BTreeMap<TableName, (SchemaRef, Vec<Option<Statistics>>)>);

impl Known {
    pub fn insert(&mut self, table: &TableName, schema: SchemaRef, files: &[FileFacts]) {
        let statistics = files.iter().map(|file| Statistics::parse(file.statistics.as_deref()?));
        self.0.insert(table.clone(), (schema, statistics.collect()));
    }

    pub(super) fn proves(&self, check: &Check) -> bool {
        self.0.get(&check.table).is_some_and(|(schema, files)| check.is_proved_by(schema, files))
    }
}
