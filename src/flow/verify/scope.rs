//! What is to be proven: everything, or some tables, or of the large ones a sample.

use super::Declared;
use crate::error::{Error, Result};
use crate::ident::{TableName, known_names};

/// The default proves everything.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Only these; all when empty.
    pub tables: Vec<TableName>,
    /// About so many rows of each table are compared with the warehouse, chosen by their keys; else all.
    pub sample: Option<u64>,
}

impl Scope {
    /// Refuses a table that nothing declares.
    pub(super) fn check(&self, declared: Declared<'_>) -> Result<()> {
        let streams = declared.streams.iter().map(|stream| &stream.table);
        let known: Vec<&TableName> = streams.chain(declared.models.iter().map(|model| &model.table)).collect();
        let Some(unknown) = self.tables.iter().find(|table| !known.contains(table)) else { return Ok(()) };
        let names: Vec<String> = known.iter().map(ToString::to_string).collect();
        let hint = known_names(&unknown.to_string(), names.iter().map(String::as_str));
        Err(Error::config(format!("the project declares no table `{unknown}`")).hint(hint))
    }

    pub fn includes(&self, table: &TableName) -> bool {
        self.tables.is_empty() || self.tables.contains(table)
    }
}
