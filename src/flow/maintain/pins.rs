//! Versions that somebody may still read although they are old: those a kept run manifest names, the versions they
//! were made from, and those the warehouse was loaded with.

use crate::error::Result;
use crate::ident::{Layer, TableName};
use crate::table::manifest::{self, Manifest};
use crate::table::{Lake, Table};
use crate::warehouse::Entry;
use std::collections::{BTreeMap, BTreeSet};

pub struct Pins {
    /// `layer.name` -> versions, each with the id of the table it is one of; empty where that was not kept.
    versions: BTreeMap<String, BTreeSet<(i64, String)>>,
    /// Why the ledger could not be read.
    ledger_unknown: Option<String>,
}

impl Pins {
    pub async fn read(lake: &Lake, runs: usize, ledger: &Result<Vec<Entry>>) -> Result<Pins> {
        let manifests = manifest::list(lake, runs.max(1)).await?;
        Ok(Pins::of(&manifests, ledger))
    }

    fn of(manifests: &[Manifest], ledger: &Result<Vec<Entry>>) -> Pins {
        let mut versions: BTreeMap<String, BTreeSet<(i64, String)>> = BTreeMap::new();
        let mut pin = |table: &str, version: i64, id: &str| {
            versions.entry(table.to_string()).or_default().insert((version, id.to_string()));
        };
        for (name, made) in manifests.iter().flat_map(|manifest| &manifest.tables) {
            pin(name, made.version, &made.id);
            for (input, version) in &made.inputs {
                pin(input, *version, "");
            }
        }
        for entry in ledger.iter().flatten() {
            let name = entry.table.rsplit_once('.').map_or(entry.table.as_str(), |(_, name)| name);
            pin(&format!("{}.{name}", Layer::Gold), entry.delta_version, &entry.table_id);
        }
        Pins { versions, ledger_unknown: ledger.as_ref().err().map(ToString::to_string) }
    }

    /// The pinned versions of the table that its log can still give.
    pub fn of_table(&self, table: &Table) -> BTreeSet<i64> {
        let pinned = self.versions.get(&table.name().to_string()).into_iter().flatten();
        let of_this = pinned.filter(|(_, id)| id.is_empty() || id == table.id());
        of_this.map(|(version, _)| *version).filter(|version| *version <= table.version()).collect()
    }

    /// Why it cannot be told which versions of this table are needed.
    pub fn unknown(&self, table: &TableName) -> Option<&str> {
        self.ledger_unknown.as_deref().filter(|_| table.layer() == Layer::Gold)
    }
}
