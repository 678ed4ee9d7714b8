//! What is to be proven: everything, or some tables, or of the large ones a sample.

use super::Declared;
use crate::error::{Error, Result};
use crate::ident::{Layer, TableName, known_names};

/// The default proves everything.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Only these; all when empty.
    pub tables: Vec<TableName>,
    /// About so many rows of each table are compared, chosen by their keys; else all.
    pub sample: Option<u64>,
    /// Bronze is compared cell by cell with its files, Silver and Gold with what their SQL makes.
    pub cells: bool,
}

impl Scope {
    /// Refuses a table that nothing declares, and one that nothing is compared with.
    pub(super) fn check(&self, declared: Declared<'_>) -> Result<()> {
        let streams = declared.streams.iter().map(|stream| &stream.table);
        let models = declared.project.models.iter().map(|model| &model.table);
        let known: Vec<&TableName> = streams.chain(models).collect();
        let silver = |table: &&TableName| table.layer() == Layer::Silver && known.contains(table);
        if let Some(silver) = self.tables.iter().find(silver).filter(|_| !self.cells) {
            return Err(Error::config(format!("nothing is compared with `{silver}`")).hint(
                "Bronze tables are compared with files and topics, Gold tables with the warehouse; `--cells` compares \
                 Silver tables, too, with what their SQL makes",
            ));
        }
        let Some(unknown) = self.tables.iter().find(|table| !known.contains(table)) else { return Ok(()) };
        let names: Vec<String> = known.iter().map(ToString::to_string).collect();
        let hint = known_names(&unknown.to_string(), names.iter().map(String::as_str));
        Err(Error::config(format!("the project declares no table `{unknown}`")).hint(hint))
    }

    pub fn includes(&self, table: &TableName) -> bool {
        self.tables.is_empty() || self.tables.contains(table)
    }
}
