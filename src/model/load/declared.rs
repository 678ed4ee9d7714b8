//! What contracts and files declare together: the snapshots and names there are, and of which model each contract speaks.

use super::table_of;
use crate::ident::{TableName, suggestion};
use crate::model::contract::{Declared, DeclaredModel};
use crate::model::fault::{Faults, Place};
use crate::model::files::SourceFile;
use crate::model::layout::{Layout, Placed, PlacedFile};
use crate::model::names::Names;
use crate::model::template::{snapshot_of, snapshots_in};
use std::collections::BTreeMap;

pub(super) fn names(
    declared: &Declared,
    topics: &[&str],
    tables: &BTreeMap<TableName, PlacedFile>,
    faults: &mut Faults,
) -> Names {
    let mut names = Names::default();
    let mut places: BTreeMap<&TableName, &Place> = BTreeMap::new();
    for source in &declared.sources {
        if let Some(earlier) = places.insert(&source.table, &source.place) {
            faults.push(source.place.fault(format!("`{}` is already declared at {earlier}", source.table)));
        }
        names.add_source(&source.source, &source.name, &source.table);
    }
    let is_declared = |topic: &&&str| declared.sources.iter().any(|source| source.stream.topics.include(topic));
    // A topic that names no table is an error where its stream is asked for; no model can read it.
    let undeclared = topics.iter().filter(|topic| !is_declared(topic)).filter_map(|topic| table_of(topic).ok());
    for table in undeclared.filter(|table| !places.contains_key(table)) {
        names.add_source("bronze", table.name(), &table);
    }
    for table in tables.keys() {
        names.add_model(table);
    }
    names
}

/// The snapshots in these files, and those that contracts declare.
pub(super) fn snapshots(files: &[SourceFile], declared: &Declared, faults: &mut Faults) -> Vec<SourceFile> {
    let mut found: Vec<SourceFile> = files.iter().flat_map(|file| snapshots_in(file, faults)).collect();
    for DeclaredModel { name, place, relation, .. } in &declared.models {
        let Some((relation, written)) = relation else { continue };
        found.extend(snapshot_of(name, place, relation, written, faults));
    }
    found
}

/// Finds the model each contract speaks of.
pub(super) fn contracts_of_models<'a>(
    declared: &'a Declared,
    placed: &Placed,
    layout: &Layout,
    faults: &mut Faults,
) -> BTreeMap<TableName, &'a DeclaredModel> {
    let tables = &placed.tables;
    let mut contracts: BTreeMap<TableName, &DeclaredModel> = BTreeMap::new();
    let mut by_name: BTreeMap<String, Vec<&TableName>> = BTreeMap::new();
    for table in tables.keys() {
        by_name.entry(table.name().to_string()).or_default().push(table);
        by_name.entry(table.to_string()).or_default().push(table);
    }
    for (number, model) in declared.models.iter().enumerate() {
        if placed.disabled.contains(&number) {
            continue;
        }
        let place = &model.place;
        let mut fitting: Vec<&TableName> = by_name.get(&model.name).cloned().unwrap_or_default();
        if fitting.len() > 1 {
            fitting.retain(|table| Some(table.layer()) == layout.layer_beside(&place.file));
        }
        // What is wrong with the relation was told.
        if fitting.is_empty() && model.relation.is_some() {
            continue;
        }
        let [table] = fitting.as_slice() else {
            let near = suggestion(&model.name, tables.keys().map(TableName::name));
            let message = match (by_name.contains_key(&model.name), model.below) {
                (true, _) => format!("several models are named `{}`, write layer.name", model.name),
                (_, "seeds") => format!("no seed is named `{}.csv`{near}", model.name),
                (_, "snapshots") => {
                    format!("no snapshot is named `{}`, write its block or its `relation`{near}", model.name)
                }
                _ => format!("no model file is named `{}.sql`{near}", model.name),
            };
            faults.push(place.fault(message));
            continue;
        };
        if let Some(earlier) = contracts.insert((*table).clone(), model) {
            faults.push(place.fault(format!("`{}` is already declared at {}", model.name, earlier.place)));
        }
    }
    contracts
}
