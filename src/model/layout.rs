//! Which layer a file's table lies in, and the configs that folders give it.
//!
//! In a project of `lake` the folder directly below `models/` says the layer. A dbt project has no layers: there a
//! `schema` config that names one decides, else the nearest folder that does, else the table is Gold, as something made
//! for others to read. Seeds are Silver unless a config says otherwise.

use crate::ident::Layer;
use crate::model::contract::{DeclaredConfig, read_config};
use crate::model::dbt::ProjectFile;
use crate::model::fault::Faults;
use crate::model::files::{Folders, SourceFile};

/// The layer a folder or a schema is named after; dbt's usual folders are understood.
pub(super) fn layer_named(name: &str) -> Option<Layer> {
    match name {
        "silver" | "staging" | "intermediate" => Some(Layer::Silver),
        "gold" | "marts" => Some(Layer::Gold),
        _ => None,
    }
}

pub(super) struct Layout {
    pub dbt: Option<ProjectFile>,
    pub folders: Folders,
}

impl Layout {
    pub fn of(dbt: Option<ProjectFile>) -> Layout {
        let folders = dbt.as_ref().map_or_else(Folders::default, |dbt| dbt.folders.clone());
        Layout { dbt, folders }
    }

    /// What folders say of a file.
    pub fn config_of(&self, file: &SourceFile, faults: &mut Faults) -> DeclaredConfig {
        match self.dbt.as_ref().and_then(|dbt| dbt.config_of(file)) {
            Some(node) => read_config(&node, faults),
            None => DeclaredConfig::default(),
        }
    }

    /// `None` for a file that lies in no folder that says it. `configs` are those of the file, the stronger first.
    pub fn layer_of(&self, file: &SourceFile, configs: [Option<&DeclaredConfig>; 2]) -> Option<Layer> {
        let schemas = configs.into_iter().flatten().filter_map(|config| config.schema.as_deref());
        let said = schemas.filter_map(layer_named).next();
        if file.is_seed() {
            return Some(said.unwrap_or(Layer::Silver));
        }
        let folders = file.folders_below(&self.folders.models)?;
        match self.dbt {
            None => said.or(layer_named(folders.first()?)),
            Some(_) => said.or(folders.iter().rev().find_map(|folder| layer_named(folder))).or(Some(Layer::Gold)),
        }
    }

    /// The layer a contract's own folder says.
    pub fn layer_beside(&self, contract: &SourceFile) -> Option<Layer> {
        self.layer_of(contract, [None, None])
    }
}
