//! What the commit of a build says of it: what it was made of and by, and which tests passed. Written with the commit,
//! read back to know whether another build is due; nothing else is kept of a run.

use super::hashes::Hashes;
use crate::error::{Error, Result};
use crate::ident::TableName;
use crate::table::{Committed, Table};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Commits looked through for the newest that built the table; others (maintenance) may lie above it.
const HISTORY: usize = 100;

/// One build.
#[derive(Debug, Clone, Default)]
pub(in crate::flow) struct Record {
    pub hashes: Hashes,
    /// Version of each upstream and of each table that a test which takes rows out looks into, by `layer.name`.
    pub inputs: BTreeMap<String, i64>,
    /// [`Table::id`] of each of these; older commits do not hold it.
    pub input_ids: BTreeMap<String, String>,
    /// The version of the table of rejected rows that belongs to it; none when there is none.
    pub rejected: Option<i64>,
    /// Names of the tests that passed.
    pub passed: BTreeSet<String>,
    /// The version it made; of one not committed 0.
    pub version: i64,
    /// Why all rows were built where only new ones were to be.
    pub whole: Option<String>,
    /// Rows that stood stayed; older commits do not say.
    pub adds: Option<bool>,
}

impl Record {
    pub fn into_info(self, rows: u64, tests: Map<String, Value>) -> Map<String, Value> {
        let inputs: Map<String, Value> = self.inputs.into_iter().map(|(name, at)| (name, at.into())).collect();
        let ids: Map<String, Value> = self.input_ids.into_iter().map(|(name, id)| (name, id.into())).collect();
        let whole = self.whole.map(|why| ("whole", why.into()));
        let entries = [
            ("verb", "promote".into()),
            ("sql_hash", self.hashes.sql.into()),
            ("contract_hash", self.hashes.contract.into()),
            ("text_hash", self.hashes.text.into()),
            ("inputs", inputs.into()),
            ("input_ids", ids.into()),
            ("rows", rows.into()),
            ("rejected_version", self.rejected.into()),
            ("tests", tests.into()),
            ("adds", self.adds.into()),
        ];
        entries.into_iter().chain(whole).map(|(key, value): (&str, Value)| (key.to_string(), value)).collect()
    }

    /// Of a commit that no build made there is none.
    pub(super) fn from_info(info: &Map<String, Value>) -> Option<Record> {
        let text = |key: &str| info.get(key).and_then(Value::as_str).map(str::to_string);
        let inputs = info.get("inputs").and_then(Value::as_object)?;
        let inputs = inputs.iter().filter_map(|(name, version)| Some((name.clone(), version.as_i64()?)));
        let ids = info.get("input_ids").and_then(Value::as_object).into_iter().flatten();
        let ids = ids.filter_map(|(name, id)| Some((name.clone(), id.as_str()?.to_string())));
        let tests = info.get("tests").and_then(Value::as_object).into_iter().flatten();
        let passed = tests.filter(|(_, status)| status.as_str() == Some("pass")).map(|(name, _)| name.clone());
        Some(Record {
            passed: passed.collect(),
            rejected: info.get("rejected_version").and_then(Value::as_i64),
            version: 0,
            hashes: Hashes {
                sql: text("sql_hash")?,
                contract: text("contract_hash")?,
                text: text("text_hash").unwrap_or_default(),
            },
            inputs: inputs.collect(),
            input_ids: ids.collect(),
            whole: text("whole"),
            adds: info.get("adds").and_then(Value::as_bool),
        })
    }

    /// Notes the version of an input.
    pub fn reads(&mut self, upstream: &Table) {
        let name = upstream.name().to_string();
        self.inputs.insert(name.clone(), upstream.version());
        self.input_ids.insert(name, upstream.id().to_string());
    }
}

/// The app id under which a table stores the version of one of its inputs.
pub(in crate::flow) fn app(upstream: &TableName) -> String {
    format!("lake:promote:{upstream}")
}

/// Of the newest build of a published table; one without hashes and inputs when no promote wrote it.
pub(in crate::flow) async fn record_of(table: &Table) -> Result<Record> {
    for limit in [1, HISTORY] {
        let history = table.history(limit).await?;
        let found = history.iter().find_map(|commit| Some((commit.version, Record::from_info(&commit.info)?)));
        if let Some((version, record)) = found {
            return Ok(Record { version, ..record });
        }
    }
    Ok(Record::default())
}

/// The version a commit made. Kind Conflict when another promote was faster.
pub(super) fn version_of(committed: Committed, table: &TableName) -> Result<i64> {
    match committed {
        Committed::Done { version } => Ok(version),
        Committed::Fenced { .. } | Committed::Reshaped | Committed::Outgrown => {
            Err(Error::conflict(format!("another promote published `{table}` first"))
                .hint("run again: what it published counts"))
        }
    }
}
