//! Views: models that are stored nowhere and become part of every statement that names them.
//!
//! A project's flows never meet one: statements and tests are rewritten here, once, and read the tables that the view
//! reads. A test of a view guards the first model that reads the view.

use crate::check::{Check, OnFailure, Rule};
use crate::engine::sql::{self, MAX_BYTES};
use crate::ident::{TableName, quote};
use crate::model::fault::{Faults, Place};
use crate::model::origin::{SourceMap, offset_of};
use crate::model::{Materialization, Model, Origin, Project};
use std::collections::{BTreeMap, BTreeSet};

type Views = BTreeMap<TableName, Model>;

/// Models and views, each with the views it reads put into it. `nodes`, each with whether it is a view, come in
/// dependency order.
pub(super) fn inline(nodes: Vec<(Model, bool)>, faults: &mut Faults) -> (Vec<Model>, Vec<Model>) {
    let (mut models, mut views) = (Vec::new(), Views::new());
    let mut order = Vec::new();
    for (mut model, is_view) in nodes {
        model.reads = model.upstream.clone();
        let put_in = put_into(&mut model, &views);
        faults.keep(put_in.map_err(|message| start(&model).fault(message)));
        match is_view {
            true => {
                faults.keep(may_be_view(&model).map_err(|message| start(&model).fault(message)));
                order.push(model.table.clone());
                views.insert(model.table.clone(), model);
            }
            false => models.push(model),
        }
    }
    (models, order.iter().filter_map(|view| views.remove(view)).collect())
}

fn start(model: &Model) -> Place {
    Place::start_of(&model.origin.file)
}

fn may_be_view(view: &Model) -> Result<(), String> {
    if view.contract_enforced {
        return Err(format!("the contract of `{}` cannot be enforced: a view stores nothing", view.table));
    }
    match view.checks.iter().find(|check| check.options.on_failure == OnFailure::Quarantine) {
        Some(check) => Err(format!("`{}` cannot take rows out of `{}`: a view stores nothing", check.name, view.table)),
        None => Ok(()),
    }
}

fn put_into(model: &mut Model, views: &Views) -> Result<(), String> {
    let read: Vec<&Model> = model.upstream.iter().filter_map(|table| views.get(table)).collect();
    if read.is_empty() {
        return Ok(());
    }
    model.sql = replaced(&model.sql, &mut model.origin.map, &read)?;
    if let Some((sql, map)) = &mut model.origin.incremental {
        *sql = replaced(sql, map, &read)?;
    }
    for view in &read {
        let own = (view.sql.clone(), Origin { views: Vec::new(), ..view.origin.clone() });
        for (sql, origin) in view.origin.views.iter().chain([&own]) {
            let is_same = |(_, known): &(String, Origin)| known.file.path() == origin.file.path();
            if !model.origin.views.iter().any(is_same) {
                model.origin.views.push((sql.clone(), origin.clone()));
            }
        }
    }
    if let Materialization::Incremental(incremental) = &mut model.materialization
        && let Some(view) = read.iter().find(|view| incremental.driven_by.as_ref() == Some(&view.table))
    {
        let [only] = view.upstream.as_slice() else {
            let tables: Vec<String> = view.upstream.iter().map(|table| format!("`{table}`")).collect();
            return Err(format!(
                "`{}` cannot be driven by the view `{}`, say with `driven_by` by which of its tables: {}",
                model.table,
                view.table,
                tables.join(", ")
            ));
        };
        incremental.driven_by = Some(only.clone());
    }
    model.upstream = through(&model.upstream, &read);
    Ok(())
}

/// The tables, each view's in its place.
fn through(tables: &[TableName], views: &[&Model]) -> Vec<TableName> {
    let mut found = BTreeSet::new();
    for table in tables {
        match views.iter().find(|view| view.table == *table) {
            Some(view) => found.extend(view.upstream.iter().cloned()),
            None => drop(found.insert(table.clone())),
        }
    }
    found.into_iter().collect()
}

/// The statement with each name of a view replaced by its query.
fn replaced(statement: &str, map: &mut SourceMap, views: &[&Model]) -> Result<String, String> {
    // What cannot be parsed was told already.
    let Ok(references) = sql::references(statement) else { return Ok(statement.to_string()) };
    let mut places = Vec::new();
    for reference in &references {
        let is_named = |view: &&&Model| match reference.parts.as_slice() {
            [layer, name] => view.table.layer().as_str() == layer && view.table.name() == name,
            _ => false,
        };
        if let Some(view) = views.iter().find(is_named) {
            let start = offset_of(statement, reference.line, reference.column);
            let end = offset_of(statement, reference.end.0, reference.end.1);
            let name = if reference.is_renamed { String::new() } else { format!(" as {}", quote(view.table.name())) };
            places.push((start, end, format!("(\n{}\n){name}", view.sql)));
        }
    }
    places.sort();
    let mut sql = statement.to_string();
    for (start, end, text) in places.into_iter().rev() {
        sql.replace_range(start..end, &text);
        map.replaced(start, end - start, text.len());
        if sql.len() > MAX_BYTES {
            return Err(format!("with the views it reads the statement is longer than {MAX_BYTES} bytes"));
        }
    }
    Ok(sql)
}

/// Rewrites the tests that read views; those of views become the project's.
pub(super) fn inline_checks(project: &mut Project, faults: &mut Faults) {
    if project.views.is_empty() {
        return;
    }
    let (views, origins) = (&project.views, &mut project.query_origins);
    let by_name: BTreeMap<&TableName, &Model> = views.iter().map(|view| (&view.table, view)).collect();
    let mut of_views: Vec<Check> = views.iter().flat_map(|view| view.checks.iter().cloned()).collect();
    let of_models = project.models.iter_mut().flat_map(|model| &mut model.checks);
    let of_sources = project.sources.iter_mut().flat_map(|source| &mut source.checks);
    for check in of_models.chain(of_sources).chain(&mut project.singular).chain(&mut of_views) {
        let read: Vec<&Model> = check.tables().iter().filter_map(|table| by_name.get(table).copied()).collect();
        if let Some(first) = read.first() {
            faults.keep(rewrite(check, &read, origins).map_err(|message| start(first).fault(message)));
        }
    }
    project.singular.extend(of_views);
    for check in &mut project.singular {
        if let Some(view) = by_name.get(&check.table) {
            check.table = guarded(view, check, &project.models);
        }
    }
}

/// Makes of the check a query that names no view.
fn rewrite(check: &mut Check, views: &[&Model], origins: &mut BTreeMap<String, Origin>) -> Result<(), String> {
    if check.options.on_failure == OnFailure::Quarantine {
        return Err(format!("`{}` cannot take rows out: it looks into the view `{}`", check.name, views[0].table));
    }
    let (origin, file) = match &check.rule {
        Rule::Singular { sql, file, .. } => (origins.get(sql).cloned(), file.clone()),
        _ => (None, format!("the test on `{}`", check.table)),
    };
    let mut origin = origin.unwrap_or_default();
    let sql = replaced(&check.failing_rows_sql(), &mut origin.map, views)?;
    if matches!(check.rule, Rule::Singular { .. }) {
        origins.insert(sql.clone(), origin);
    }
    check.rule = Rule::Singular { sql, reads: through(&check.tables(), views), file };
    check.options.filter = None;
    Ok(())
}

/// The first model whose statement has the view in it.
pub(super) fn first_through<'a>(view: &Model, models: &'a [Model]) -> Option<&'a Model> {
    let file = view.origin.file.path();
    models.iter().find(|model| model.origin.views.iter().any(|(_, origin)| origin.file.path() == file))
}

/// The table a test of `view` stands before: the first made through it, else the last it reads.
fn guarded(view: &Model, check: &Check, models: &[Model]) -> TableName {
    let tables = check.tables();
    let read = |model: &&Model| tables.contains(&model.table);
    let found = first_through(view, models).or_else(|| models.iter().rev().find(read));
    found.map(|model| &model.table).or(view.upstream.first()).unwrap_or(&view.table).clone()
}
