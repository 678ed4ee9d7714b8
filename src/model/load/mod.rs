//! Joins files, contracts and statements into a [`Project`], collecting every fault on the way.
//!
//! `declared` says what names there are and which contract is whose, `unit` joins unit tests, `own_test` tests whose query
//! the project writes.

mod declared;
mod own_test;
mod unit;

use crate::check::{Check, OnFailure, Rule};
use crate::error::{Error, Result};
use crate::ident::{self, Layer, TableName, suggestion};
use crate::model::contract::{self, Declared, DeclaredConfig, DeclaredModel};
use crate::model::fault::{Faults, Place};
use crate::model::files::{self, Files, SourceFile};
use crate::model::graph::{self, Edges};
use crate::model::layout::{Layout, PlacedFile, layer_named};
use crate::model::statement::{Statement, resolve};
use crate::model::template::{Context, Macros, Rendered, Texts, of_settings, render};
use crate::model::{Materialization, Model, Origin, Project, SourceTable, dbt, seed, views};
use declared::{contracts_of_models, names, snapshots};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) fn load(root: &Path, vars: &BTreeMap<String, String>, topics: &[&str]) -> Result<Project> {
    let mut faults = Faults::default();
    let mut vars = of_settings(vars);
    let layout = Layout::of(dbt::read(root, &vars, &mut faults)?);
    let mut files = files::read(root, &layout.folders)?;
    for file in &files.foreign {
        faults.push(Place::start_of(file).fault("Python models are not run: write a SELECT below models/"));
    }
    let macros = Macros::read(&files.macros, &files.own_tests, &files.notes, &mut faults);
    if let Some(dbt) = &layout.dbt {
        vars.clone_from(&dbt.vars);
    }
    let project = layout.dbt.as_ref().map_or("", |dbt| dbt.name.as_str()).into();
    let mut context = Context { vars: Arc::new(vars), macros: Arc::new(macros), project, ..Context::default() };
    let mut declared = Declared::default();
    let texts = Texts::new(&context);
    for file in &files.contracts {
        contract::read(file, &texts, &files.fixtures, &mut declared, &mut faults);
    }
    files.snapshots = snapshots(&files.snapshots, &declared, &mut faults);
    let placed = layout.place(&files, &declared, &mut faults);
    layout.seeds_for_sources(&placed, &mut declared);
    let mut names = names(&declared, topics, &placed.tables, &mut faults);
    names.layers_are_names = layout.dbt.is_some();
    context.names = Arc::new(names);
    let contracts = contracts_of_models(&declared, &placed, &layout, &mut faults);
    let (is_dbt, query_origins) = (layout.dbt.is_some(), BTreeMap::new());
    let mut loader = Loader { root, context, is_dbt, faults, query_origins };
    let files_of = placed.tables.iter();
    let drafts: Vec<Draft> =
        files_of.filter_map(|(table, file)| loader.draft(table, file, contracts.get(table).copied())).collect();
    let nodes = loader.in_order(drafts);
    let (models, views) = views::inline(nodes, &mut loader.faults);
    let mut project = Project { models, views, name: loader.context.project.to_string(), ..Project::default() };
    loader.sources(&declared, &files, &mut project);
    loader.singular(&files, &mut project);
    for unit in &declared.units {
        let test = loader.unit(unit, &placed.tables, &project.unit_tests);
        project.unit_tests.extend(test);
    }
    project.warehouse_sql = files.warehouse_sql.iter().map(path_and_text).collect();
    project.query_origins = loader.query_origins;
    name_checks_apart(&mut project);
    views::inline_checks(&mut project, &mut loader.faults);
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

/// A model before its place in the order is known.
struct Draft {
    model: Model,
    reads: Vec<(TableName, Place)>,
    is_view: bool,
}

struct Loader<'a> {
    root: &'a Path,
    context: Context,
    is_dbt: bool,
    faults: Faults,
    /// See [`Project::query_origins`].
    query_origins: BTreeMap<String, Origin>,
}

impl Loader<'_> {
    fn draft(&mut self, table: &TableName, placed: &PlacedFile, contract: Option<&DeclaredModel>) -> Option<Draft> {
        let PlacedFile { file, config } = placed;
        if file.is_seed() {
            return self.seed(table, placed, contract);
        }
        let (rendered, statement) = self.statement(table, file, false)?;
        self.check_settings(table, file, &rendered);
        if rendered.settings.enabled == Some(false) {
            return None;
        }
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
        let mut model = self.model(table, origin, statement.sql);
        model.upstream = reads.iter().map(|(read, _)| read.clone()).collect::<BTreeSet<_>>().into_iter().collect();
        self.apply(config, contract, &rendered, &mut model);
        let is_view = self.store(config, contract, &rendered, &mut model);
        Some(Draft { model, reads, is_view })
    }

    /// What the file cannot say of itself, for it is asked before it is read.
    fn check_settings(&mut self, table: &TableName, file: &SourceFile, rendered: &Rendered) {
        let misplaced = rendered.settings.misplaced(false);
        self.faults.keep(misplaced.map_or(Ok(()), |message| Err(Place::start_of(file).fault(message))));
        let said = rendered.settings.schema.as_deref().and_then(layer_named);
        if let Some(layer) = said.filter(|layer| *layer != table.layer()) {
            let folder = if file.is_snapshot() { "" } else { ", or by the file's folder" };
            let message =
                format!("`schema` makes `{table}` a {layer} table only in a contract and in dbt_project.yml{folder}");
            self.faults.push(Place::start_of(file).fault(message));
        }
    }

    fn seed(&mut self, table: &TableName, placed: &PlacedFile, contract: Option<&DeclaredModel>) -> Option<Draft> {
        let mut config = placed.config.clone();
        if let Some(own) = contract.map(|contract| &contract.config) {
            config.delimiter = own.delimiter.or(config.delimiter);
            config.column_types.splice(0..0, own.column_types.iter().cloned());
        }
        let (sql, rows) = self.faults.keep(seed::read(self.root, &placed.file, &config))?;
        let origin = Origin { file: placed.file.clone(), ..Origin::default() };
        let mut model = Model { seed: Some(rows), ..self.model(table, origin, sql) };
        self.apply(&config, contract, &Rendered::default(), &mut model);
        Some(Draft { model, reads: Vec::new(), is_view: false })
    }

    fn model(&self, table: &TableName, origin: Origin, sql: String) -> Model {
        Model {
            table: table.clone(),
            file: PathBuf::from(origin.file.path()),
            sql,
            materialization: Materialization::Table,
            partition_by: Vec::new(),
            cluster_by: Vec::new(),
            description: String::new(),
            columns: Vec::new(),
            checks: Vec::new(),
            conditions: Vec::new(),
            upstream: Vec::new(),
            reads: Vec::new(),
            tags: Vec::new(),
            contract_enforced: false,
            contract_describes: self.is_dbt,
            seed: None,
            origin,
        }
    }

    fn statement(&mut self, table: &TableName, file: &SourceFile, incremental: bool) -> Option<(Rendered, Statement)> {
        let context = Context { this: Some(table.clone()), incremental, ..self.context.clone() };
        let rendered = self.faults.keep(render(file, &context))?;
        let statement = resolve(file, &rendered, Some(table), &self.context.names, &mut self.faults)?;
        Some((rendered, statement))
    }

    /// How the model is stored, by the same precedence, word by word; true when it is not.
    fn store(
        &mut self,
        folders: &DeclaredConfig,
        contract: Option<&DeclaredModel>,
        rendered: &Rendered,
        model: &mut Model,
    ) -> bool {
        let mut stored = rendered.settings.stored.clone();
        if let Some(contract) = contract {
            stored = stored.or(&contract.config.stored);
        }
        stored = stored.or(&folders.stored);
        if model.origin.file.is_snapshot() {
            stored = stored.of_snapshot();
        }
        (model.partition_by, model.cluster_by) = (stored.partition_by(), stored.cluster_by());
        let resolved = stored.resolve(&model.upstream, rendered.asks_incremental);
        let start = Place::start_of(&model.origin.file);
        let resolved = resolved.map_err(|message| start.fault(format!("`{}`: {message}", model.table)));
        model.materialization = self.faults.keep(resolved).unwrap_or(Materialization::Table);
        for check in model.checks.iter().filter(|check| check.options.on_failure == OnFailure::Quarantine) {
            let place = contract.map_or_else(|| Place::start_of(&model.origin.file), |contract| contract.place.clone());
            self.faults.keep(model.materialization.can_quarantine(check).map_err(|message| place.fault(message)));
        }
        model.checks.extend(model.materialization.own_check(&model.table));
        stored.is_view()
    }

    /// What is said of the model: `config(...)` in it has precedence over its contract, that over its folders. Tags of
    /// folders come on top.
    fn apply(
        &mut self,
        folders: &DeclaredConfig,
        contract: Option<&DeclaredModel>,
        rendered: &Rendered,
        model: &mut Model,
    ) {
        let own = contract.map(|contract| &contract.config);
        let tags = rendered.settings.tags.as_ref().or(own.map(|own| &own.tags));
        model.tags = folders.tags.iter().chain(tags.into_iter().flatten()).cloned().collect();
        model.contract_enforced = own.is_some_and(|own| own.enforced) || folders.enforced;
        let Some(contract) = contract else { return };
        model.description = contract.description.clone();
        model.conditions = contract.conditions.clone();
        for declared in &contract.columns {
            model.origin.columns.insert(declared.column.name.clone(), declared.place.clone());
            model.columns.push(declared.column.clone());
        }
        for test in &contract.tests {
            model.checks.extend(self.check(test, &model.table));
        }
    }

    /// Models in building order, each with whether it is a view; a cycle is a fault at the reference that starts it.
    fn in_order(&mut self, drafts: Vec<Draft>) -> Vec<(Model, bool)> {
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
                let ordered = order.into_iter().filter_map(|index| drafts[index].take());
                ordered.map(|draft| (draft.model, draft.is_view)).collect()
            }
            Err(cycle) => {
                let path: Vec<String> = cycle.iter().map(|index| drafts[*index].model.table.to_string()).collect();
                let first = &drafts[cycle[0]];
                let next = &drafts[cycle[1.min(cycle.len() - 1)]].model.table;
                let place = first.reads.iter().find(|(read, _)| read == next).map(|(_, place)| place.clone());
                let place = place.unwrap_or_else(|| Place::start_of(&first.model.origin.file));
                self.faults.push(place.fault(format!("the models read each other in a circle: {}", path.join(" -> "))));
                drafts.into_iter().map(|draft| (draft.model, draft.is_view)).collect()
            }
        }
    }

    fn sources(&mut self, declared: &Declared, files: &Files, project: &mut Project) {
        for source in &declared.sources {
            let checks: Vec<Check> = source.tests.iter().filter_map(|test| self.check(test, &source.table)).collect();
            if source.table.layer() != Layer::Bronze {
                let seed = project.models.iter_mut().find(|model| model.table == source.table);
                seed.into_iter().for_each(|seed| seed.checks.extend(checks.clone()));
                continue;
            }
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
                    self.faults
                        .push(Place::start_of(file).fault(format!("no Bronze table is named `{}`{near}", file.stem())));
                }
            }
        }
    }

    fn singular(&mut self, files: &Files, project: &mut Project) {
        for file in &files.checks {
            let Some(rendered) = self.faults.keep(render(file, &self.context)) else { continue };
            let misplaced = rendered.settings.misplaced(true);
            self.faults.keep(misplaced.map_or(Ok(()), |message| Err(Place::start_of(file).fault(message))));
            if rendered.settings.enabled == Some(false) {
                continue;
            }
            let names = self.context.names.clone();
            let faults = self.faults.count();
            let Some(statement) = resolve(file, &rendered, None, &names, &mut self.faults) else { continue };
            let reads: Vec<TableName> = statement.reads.into_iter().map(|(table, _)| table).collect();
            let last = project.models.iter().rev().map(|model| &model.table).find(|table| reads.contains(table));
            let Some(table) = last.or(reads.first()).cloned() else {
                // One that only reads what does not exist was told so.
                if self.faults.count() == faults {
                    self.faults.push(Place::start_of(file).fault("a check must read a table of the lake"));
                }
                continue;
            };
            let origin = Origin { file: file.clone(), map: statement.map, ..Origin::default() };
            self.query_origins.insert(statement.sql.clone(), origin);
            project.singular.push(Check {
                name: file.stem().to_string(),
                table,
                rule: Rule::Singular { sql: statement.sql, reads, file: file.path().to_string() },
                options: rendered.settings.test,
            });
        }
    }
}

/// Gives every check a name of its own: the layer behind the second of two equal ones, then numbers.
/// Names of singular checks are their files' and stay.
fn name_checks_apart(project: &mut Project) {
    let mut taken: BTreeSet<String> = project.singular.iter().map(|check| check.name.clone()).collect();
    let sources = project.sources.iter_mut().flat_map(|source| &mut source.checks);
    let nodes = project.models.iter_mut().chain(&mut project.views);
    for check in sources.chain(nodes.flat_map(|model| &mut model.checks)) {
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
