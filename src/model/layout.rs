//! Which table each file of a model, a seed or a snapshot makes, its layer above all, and the configs that folders give it.
//!
//! In a project of `lake` the folder directly below `models/` says the layer. A dbt project has no layers: there a
//! `schema` config that names one decides, else the nearest folder that does, else the table is Gold, as something made
//! for others to read. Seeds and snapshots are Silver unless a config says otherwise.

use crate::ident::{Layer, TableName};
use crate::model::contract::{Declared, DeclaredConfig, DeclaredModel, read_config};
use crate::model::dbt::ProjectFile;
use crate::model::fault::{Faults, Place};
use crate::model::files::{Files, Folders, SourceFile};
use std::collections::{BTreeMap, BTreeSet};

/// The layer a folder or a schema is named after; dbt's usual folders are understood.
pub(super) fn layer_named(name: &str) -> Option<Layer> {
    match name {
        "silver" | "staging" | "intermediate" => Some(Layer::Silver),
        "gold" | "marts" => Some(Layer::Gold),
        _ => None,
    }
}

/// The files of models, seeds and snapshots that are enabled, by their tables.
#[derive(Default)]
pub(super) struct Placed {
    pub tables: BTreeMap<TableName, PlacedFile>,
    /// Which of the declared models speak of files that are not.
    pub disabled: BTreeSet<usize>,
}

pub(super) struct PlacedFile {
    pub file: SourceFile,
    /// Of its folders.
    pub config: DeclaredConfig,
}

pub(super) struct Layout {
    pub dbt: Option<ProjectFile>,
    pub folders: Folders,
}

/// Files and contracts by their names.
struct Known<'a> {
    contracts: &'a [DeclaredModel],
    by_name: BTreeMap<&'a str, Vec<usize>>,
    /// How many models, seeds and snapshots have the name.
    files: BTreeMap<&'a str, usize>,
}

impl<'a> Known<'a> {
    fn of(files: &'a Files, contracts: &'a [DeclaredModel]) -> Known<'a> {
        let mut known = Known { contracts, by_name: BTreeMap::new(), files: BTreeMap::new() };
        for (number, contract) in contracts.iter().enumerate() {
            known.by_name.entry(&contract.name).or_default().push(number);
        }
        for file in files.tables() {
            *known.files.entry(file.name()).or_default() += 1;
        }
        known
    }
}

impl Layout {
    pub fn of(dbt: Option<ProjectFile>) -> Layout {
        let folders = dbt.as_ref().map_or_else(Folders::default, |dbt| dbt.folders.clone());
        Layout { dbt, folders }
    }

    /// What folders say of a file.
    fn config_of(&self, file: &SourceFile, faults: &mut Faults) -> DeclaredConfig {
        match self.dbt.as_ref().and_then(|dbt| dbt.config_of(file)) {
            Some(node) => read_config(&node, faults),
            None => DeclaredConfig::default(),
        }
    }

    /// `None` for a file that lies in no folder that says it. `configs` are those of the file, the stronger first.
    fn layer_of(&self, file: &SourceFile, configs: [Option<&DeclaredConfig>; 2]) -> Option<Layer> {
        let schemas = configs.into_iter().flatten().filter_map(|config| config.schema.as_deref());
        let said = schemas.filter_map(layer_named).next();
        if file.is_seed() || file.is_snapshot() {
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

    /// The contract of the file of this name and layer, before `schema` makes it another: by its name with the layer, or
    /// by the name alone, which of two files in different layers means the one in the contract's own.
    fn contract_of(&self, name: &str, layer: Option<Layer>, known: &Known<'_>) -> Option<usize> {
        let is_only = known.files.get(name) == Some(&1);
        let beside = |number: &usize| is_only || self.layer_beside(&known.contracts[*number].place.file) == layer;
        let numbers = |name: &str| known.by_name.get(name).into_iter().flatten().copied();
        let full = layer.map(|layer| format!("{}.{name}", layer.as_str()));
        numbers(name).filter(beside).chain(full.iter().flat_map(|name| numbers(name))).min()
    }

    /// The table of every file; a file without one is a fault.
    pub fn place(&self, files: &Files, declared: &Declared, faults: &mut Faults) -> Placed {
        let mut placed = Placed::default();
        let known = Known::of(files, &declared.models);
        for file in files.tables() {
            let start = Place::start_of(file);
            let config = self.config_of(file, faults);
            let usual = self.layer_of(file, [None, Some(&config)]);
            let number = self.contract_of(file.name(), usual, &known);
            let own = number.map(|number| &declared.models[number].config);
            if own.and_then(|own| own.enabled).or(config.enabled) == Some(false) {
                placed.disabled.extend(number);
                continue;
            }
            let Some(layer) = self.layer_of(file, [own, Some(&config)]) else {
                let usual = "a model lies below models/silver or models/gold (or staging, intermediate, marts)";
                faults.push(start.fault(usual));
                continue;
            };
            let named = TableName::new(layer, file.name()).map_err(|error| start.refuse(&error));
            let Some(table) = faults.keep(named) else { continue };
            match placed.tables.get(&table) {
                Some(other) => {
                    faults.push(start.fault(format!("`{table}` is already the model {}", other.file.path())))
                }
                None => drop(placed.tables.insert(table, PlacedFile { file: file.clone(), config })),
            }
        }
        placed
    }

    /// A source of a dbt project that a seed fills is that seed: there both have the same name in the warehouse.
    pub fn seeds_for_sources(&self, placed: &Placed, declared: &mut Declared) {
        if self.dbt.is_none() {
            return;
        }
        let seeds = placed.tables.iter().filter(|(_, placed)| placed.file.is_seed());
        let seeds: BTreeMap<&str, &TableName> = seeds.map(|(table, _)| (table.name(), table)).collect();
        for source in &mut declared.sources {
            if let Some(seed) = seeds.get(source.table.name()) {
                source.table = (*seed).clone();
            }
        }
    }
}
