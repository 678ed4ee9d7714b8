//! Joins files, contracts and statements into a [`Project`], collecting every fault on the way.

use crate::check::{Check, OnFailure, Rule};
use crate::error::{Error, Result};
use crate::ident::{self, Layer, TableName, suggestion};
use crate::model::contract::{self, Declared, DeclaredModel};
use crate::model::fault::{Faults, Place};
use crate::model::files::{self, Files, SourceFile};
use crate::model::graph::{self, Edges};
use crate::model::names::Names;
use crate::model::rules::target;
use crate::model::statement::{Statement, layer_of, resolve};
use crate::model::template::{Context, Rendered, render};
use crate::model::unit::{DeclaredUnit, Rows, UnitTest};
use crate::model::{Materialization, Model, Origin, Project, SourceTable};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) fn load(root: &Path, vars: &BTreeMap<String, String>, topics: &[&str]) -> Result<Project> {
    let files = files::read(root)?;
    let mut faults = Faults::default();
    let mut declared = Declared::default();
    for file in &files.contracts {
        contract::read(file, &files.fixtures, &mut declared, &mut faults);
    }
    let tables = model_tables(&files, &mut faults);
    let names = names(&declared, topics, &tables, &mut faults);
    let contracts = contracts_of_models(&declared, &tables, &mut faults);
    let mut loader = Loader {
        context: Context { names: Arc::new(names), vars: Arc::new(vars.clone()), this: None, incremental: false },
        faults,
    };
    let drafts: Vec<Draft> =
        tables.iter().filter_map(|(table, file)| loader.draft(table, file, contracts.get(table).copied())).collect();
    let models = loader.in_order(drafts);
    let mut project = Project { models, ..Project::default() };
    loader.sources(&declared, &files, &mut project);
    loader.singular(&files, &mut project);
    for unit in &declared.units {
        let test = loader.unit(unit, &tables, &project.unit_tests);
        project.unit_tests.extend(test);
    }
    project.warehouse_sql = files.warehouse_sql.iter().map(path_and_text).collect();
    name_checks_apart(&mut project);
    loader.faults.into_result(project)
}

/// The Bronze table of a topic without a contract.
pub fn table_of(topic: &str) -> Result<TableName> {
    let name = ident::name_from(topic).ok_or_else(|| {
        Error::config(format!("no table can be named after the topic `{topic}`"))
            .hint("declare a table for it in models/sources.yml")
    })?;
    TableName::new(Layer::Bronze, &name)
}

/// Each model file with its table, in table order.
fn model_tables(files: &Files, faults: &mut Faults) -> BTreeMap<TableName, SourceFile> {
    let mut tables: BTreeMap<TableName, SourceFile> = BTreeMap::new();
    for file in &files.models {
        let start = start_of(file);
        let Some(layer) = layer_of(file) else {
            faults
                .push(start.fault("a model lies below models/silver or models/gold (or staging, intermediate, marts)"));
            continue;
        };
        let named = TableName::new(layer, file.stem()).map_err(|error| start.refuse(&error));
        let Some(table) = faults.keep(named) else { continue };
        match tables.get(&table) {
            Some(other) => faults.push(start.fault(format!("`{table}` is already the model {}", other.path()))),
            None => drop(tables.insert(table, file.clone())),
        }
    }
    tables
}

fn names(declared: &Declared, topics: &[&str], tables: &BTreeMap<TableName, SourceFile>, faults: &mut Faults) -> Names {
    let mut names = Names::default();
    let mut places: BTreeMap<&TableName, &Place> = BTreeMap::new();
    for source in &declared.sources {
        if let Some(earlier) = places.insert(&source.table, &source.place) {
            faults.push(source.place.fault(format!("`{}` is already declared at {earlier}", source.table)));
        }
        names.add_source(&source.source, &source.table);
    }
    let is_declared = |topic: &&&str| declared.sources.iter().any(|source| source.stream.topics.include(topic));
    // A topic that names no table is an error where its stream is asked for; no model can read it.
    let undeclared = topics.iter().filter(|topic| !is_declared(topic)).filter_map(|topic| table_of(topic).ok());
    for table in undeclared.filter(|table| !places.contains_key(table)) {
        names.add_source("bronze", &table);
    }
    for table in tables.keys() {
        names.add_model(table);
    }
    names
}

/// Finds the model each contract speaks of.
fn contracts_of_models<'a>(
    declared: &'a Declared,
    tables: &BTreeMap<TableName, SourceFile>,
    faults: &mut Faults,
) -> BTreeMap<TableName, &'a DeclaredModel> {
    let mut contracts: BTreeMap<TableName, &DeclaredModel> = BTreeMap::new();
    let mut by_name: BTreeMap<String, Vec<&TableName>> = BTreeMap::new();
    for table in tables.keys() {
        by_name.entry(table.name().to_string()).or_default().push(table);
        by_name.entry(table.to_string()).or_default().push(table);
    }
    for model in &declared.models {
        let place = &model.place;
        let mut fitting: Vec<&TableName> = by_name.get(&model.name).cloned().unwrap_or_default();
        if fitting.len() > 1 {
            fitting.retain(|table| Some(table.layer()) == layer_of(&place.file));
        }
        let [table] = fitting.as_slice() else {
            let near = suggestion(&model.name, tables.keys().map(TableName::name));
            let message = match by_name.contains_key(&model.name) {
                true => format!("several models are named `{}`, write layer.name", model.name),
                false => format!("no model file is named `{}.sql`{near}", model.name),
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

/// A model before its place in the order is known.
struct Draft {
    model: Model,
    reads: Vec<(TableName, Place)>,
}

struct Loader {
    context: Context,
    faults: Faults,
}

impl Loader {
    fn draft(&mut self, table: &TableName, file: &SourceFile, contract: Option<&DeclaredModel>) -> Option<Draft> {
        let (rendered, statement) = self.statement(table, file, false)?;
        let mut reads = statement.reads;
        if let Some((_, place)) = reads.iter().find(|(read, _)| read == table) {
            let message =
                format!("`{table}` reads itself, which is possible only inside `{{% if is_incremental() %}}`");
            self.faults.push(place.fault(message));
        }
        let mut origin = Origin { file: file.clone(), map: statement.map, ..Origin::default() };
        if rendered.asks_incremental {
            let (_, incremental) = self.statement(table, file, true)?;
            origin.incremental = Some((incremental.sql, incremental.map));
            let new = incremental.reads.into_iter().filter(|(read, _)| !reads.iter().any(|(known, _)| known == read));
            reads.extend(new.collect::<Vec<_>>());
        }
        reads.retain(|(read, _)| read != table);
        let mut model = Model {
            table: table.clone(),
            file: PathBuf::from(file.path()),
            sql: statement.sql,
            materialization: Materialization::Table,
            partition_by: Vec::new(),
            cluster_by: Vec::new(),
            description: String::new(),
            columns: Vec::new(),
            checks: Vec::new(),
            upstream: reads.iter().map(|(read, _)| read.clone()).collect::<BTreeSet<_>>().into_iter().collect(),
            tags: rendered.settings.tags.clone().unwrap_or_default(),
            contract_enforced: false,
            origin,
        };
        let mut stored = rendered.settings.stored.clone();
        if let Some(contract) = contract {
            stored = stored.or(&contract.stored);
            self.apply(contract, &rendered, &mut model);
        }
        (model.partition_by, model.cluster_by) = (stored.partition_by(), stored.cluster_by());
        let resolved = stored.resolve(&model.upstream, rendered.asks_incremental);
        let resolved = resolved.map_err(|message| start_of(file).fault(format!("`{table}`: {message}")));
        model.materialization = self.faults.keep(resolved).unwrap_or(Materialization::Table);
        for check in model.checks.iter().filter(|check| check.options.on_failure == OnFailure::Quarantine) {
            let place = contract.map_or_else(|| start_of(file), |contract| contract.place.clone());
            self.faults.keep(model.materialization.can_quarantine(check).map_err(|message| place.fault(message)));
        }
        model.checks.extend(model.materialization.own_check(table));
        Some(Draft { model, reads })
    }

    fn statement(&mut self, table: &TableName, file: &SourceFile, incremental: bool) -> Option<(Rendered, Statement)> {
        let context = Context { this: Some(table.clone()), incremental, ..self.context.clone() };
        let rendered = self.faults.keep(render(file, &context))?;
        let statement = resolve(file, &rendered, Some(table), &self.context.names, &mut self.faults)?;
        Some((rendered, statement))
    }

    /// What the contract says; `config(...)` in the model itself has precedence.
    fn apply(&mut self, contract: &DeclaredModel, rendered: &Rendered, model: &mut Model) {
        model.description = contract.description.clone();
        if rendered.settings.tags.is_none() {
            model.tags = contract.tags.clone();
        }
        model.contract_enforced = contract.enforced;
        for declared in &contract.columns {
            model.origin.columns.insert(declared.column.name.clone(), declared.place.clone());
            model.columns.push(declared.column.clone());
        }
        for test in &contract.tests {
            model.checks.extend(self.faults.keep(test.resolve(&model.table, &self.context.names)));
        }
    }

    /// Models in building order; a cycle is a fault at the reference that starts it.
    fn in_order(&mut self, drafts: Vec<Draft>) -> Vec<Model> {
        let index: BTreeMap<&TableName, usize> =
            drafts.iter().enumerate().map(|(index, draft)| (&draft.model.table, index)).collect();
        let edges: Vec<Edges> = drafts
            .iter()
            .map(|Draft { model, .. }| Edges {
                needs: model.upstream.iter().filter_map(|table| index.get(table).copied()).collect(),
                prefers: model
                    .checks
                    .iter()
                    .flat_map(Check::tables)
                    .filter_map(|table| index.get(&table).copied())
                    .collect(),
            })
            .collect();
        match graph::order(&edges) {
            Ok(order) => {
                let mut drafts: Vec<Option<Draft>> = drafts.into_iter().map(Some).collect();
                order.into_iter().filter_map(|index| drafts[index].take()).map(|draft| draft.model).collect()
            }
            Err(cycle) => {
                let path: Vec<String> = cycle.iter().map(|index| drafts[*index].model.table.to_string()).collect();
                let first = &drafts[cycle[0]];
                let next = &drafts[cycle[1.min(cycle.len() - 1)]].model.table;
                let place = first.reads.iter().find(|(read, _)| read == next).map(|(_, place)| place.clone());
                let place = place.unwrap_or_else(|| start_of(&first.model.origin.file));
                self.faults.push(place.fault(format!("the models read each other in a circle: {}", path.join(" -> "))));
                drafts.into_iter().map(|draft| draft.model).collect()
            }
        }
    }

    fn sources(&mut self, declared: &Declared, files: &Files, project: &mut Project) {
        for source in &declared.sources {
            let checks = source.tests.iter();
            let checks: Vec<Check> =
                checks.filter_map(|test| self.faults.keep(test.resolve(&source.table, &self.context.names))).collect();
            project.sources.push(SourceTable {
                table: source.table.clone(),
                stream: source.stream.clone(),
                columns: source.columns.iter().map(|declared| declared.column.clone()).collect(),
                checks,
                stream_sql: None,
            });
        }
        for file in &files.stream_sql {
            let names: Vec<String> = project.sources.iter().map(|source| source.table.name().to_string()).collect();
            match project.sources.iter_mut().find(|source| source.table.name() == file.stem()) {
                Some(source) => source.stream_sql = Some(path_and_text(file)),
                None => {
                    let near = suggestion(file.stem(), names.iter().map(String::as_str));
                    self.faults.push(start_of(file).fault(format!("no Bronze table is named `{}`{near}", file.stem())));
                }
            }
        }
    }

    fn singular(&mut self, files: &Files, project: &mut Project) {
        for file in &files.checks {
            let Some(rendered) = self.faults.keep(render(file, &self.context)) else { continue };
            let names = self.context.names.clone();
            let faults = self.faults.count();
            let Some(statement) = resolve(file, &rendered, None, &names, &mut self.faults) else { continue };
            let reads: Vec<TableName> = statement.reads.into_iter().map(|(table, _)| table).collect();
            let last = project.models.iter().rev().map(|model| &model.table).find(|table| reads.contains(table));
            let Some(table) = last.or(reads.first()).cloned() else {
                // One that only reads what does not exist was told so.
                if self.faults.count() == faults {
                    self.faults.push(start_of(file).fault("a check must read a table of the lake"));
                }
                continue;
            };
            let origin = Origin { file: file.clone(), map: statement.map, ..Origin::default() };
            project.singular_origins.insert(file.stem().to_string(), origin);
            project.singular.push(Check {
                name: file.stem().to_string(),
                table,
                rule: Rule::Singular { sql: statement.sql, reads },
                options: rendered.settings.test,
            });
        }
    }
}

impl Loader {
    fn unit(
        &mut self,
        unit: &DeclaredUnit,
        tables: &BTreeMap<TableName, SourceFile>,
        earlier: &[UnitTest],
    ) -> Option<UnitTest> {
        if earlier.iter().any(|other| other.name == unit.name) {
            self.faults.push(unit.place.fault(format!("there is another unit test `{}`", unit.name)));
            return None;
        }
        let (name, place) = &unit.model;
        let names = self.context.names.clone();
        let model = match name.split_once('.') {
            Some((layer, name)) => names.qualified(layer, name),
            None => names.reference(name, None),
        };
        let model = self.faults.keep(model.map_err(|message| place.fault(message)))?;
        let Some(file) = tables.get(&model) else {
            self.faults.push(place.fault(format!("`{model}` is no model")));
            return None;
        };
        let vars = Arc::new(self.context.vars.iter().chain(&unit.vars).map(|(k, v)| (k.clone(), v.clone())).collect());
        let usual = std::mem::replace(&mut self.context.vars, vars);
        let rendered = self.statement(&model, file, unit.incremental);
        self.context.vars = usual;
        let (_, statement) = rendered?;
        let mut given: Vec<(TableName, Rows)> = Vec::new();
        for (input, place, rows) in &unit.given {
            let table = match input.trim() {
                "this" => Ok(model.clone()),
                written => target(written, &model, &names),
            };
            let table = self.faults.keep(table.map_err(|message| place.fault(message)))?;
            given.push((table, rows.clone()));
        }
        let missing =
            statement.reads.iter().map(|(table, _)| table).find(|read| !given.iter().any(|(table, _)| table == *read));
        if let Some(missing) = missing {
            self.faults.push(unit.place.fault(format!("`{missing}`, which `{model}` reads, is not given")));
            return None;
        }
        let origin = Origin { file: file.clone(), map: statement.map, ..Origin::default() };
        let (name, expect) = (unit.name.clone(), unit.expect.clone());
        Some(UnitTest { name, model, sql: statement.sql, origin, given, expect })
    }
}

/// Gives every check a name of its own: the layer behind the second of two equal ones, then numbers.
/// Names of singular checks are their files' and stay.
fn name_checks_apart(project: &mut Project) {
    let mut taken: BTreeSet<String> = project.singular.iter().map(|check| check.name.clone()).collect();
    let sources = project.sources.iter_mut().flat_map(|source| &mut source.checks);
    for check in sources.chain(project.models.iter_mut().flat_map(|model| &mut model.checks)) {
        let base = check.name.clone();
        let with_layer = format!("{base}_{}", check.table.layer());
        let numbered = (2..).map(|number| format!("{base}_{number}"));
        let free = [base.clone(), with_layer].into_iter().chain(numbered).find(|name| !taken.contains(name));
        check.name = free.unwrap_or(base);
        taken.insert(check.name.clone());
    }
}

fn path_and_text(file: &SourceFile) -> (PathBuf, String) {
    (PathBuf::from(file.path()), file.text().to_string())
}

fn start_of(file: &SourceFile) -> Place {
    Place { file: file.clone(), line: 1, column: 1 }
}
