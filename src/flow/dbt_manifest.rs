//! `target/manifest.json`: the project in dbt's shape (manifest v12), for the tools that read it beside
//! `run_results.json`, whose `unique_id`s are the same.
//!
//! Tells of the files alone, never of the lake. Fields that dbt may leave out and nothing here knows are left out.

use super::checks::results::{self, PROJECT, check_id, model_id, source_id};
use crate::check::Check;
use crate::engine::{sql, types};
use crate::error::Result;
use crate::ident::{Layer, TableName};
use crate::model::unit::{Rows, Written};
use crate::model::{ChangeBy, Column, Materialization, Model, Project, Snapshot, SourceTable, UnitTest};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const FILE: &str = "target/manifest.json";
/// The dbt schema whose fields are used.
const SCHEMA: &str = "https://schemas.getdbt.com/dbt/manifest/v12.json";
/// What dbt's manifest also has and no project here does.
const EMPTY: [&str; 10] = [
    "macros",
    "docs",
    "exposures",
    "metrics",
    "groups",
    "selectors",
    "disabled",
    "group_map",
    "saved_queries",
    "semantic_models",
];

/// Writes the file, replacing the one before.
pub(super) async fn write(root: &Path, project: &Project) -> Result<()> {
    results::write_json(root, FILE, &manifest(project)).await
}

fn manifest(project: &Project) -> Value {
    let models: BTreeMap<&TableName, &Model> = project.nodes().map(|model| (&model.table, model)).collect();
    let id = |table: &TableName| match models.get(table) {
        Some(model) => model_id(model),
        None => source_id(table),
    };
    let mut parents: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut nodes = Map::new();
    for model in project.nodes() {
        parents.insert(model_id(model), model.reads.iter().map(id).collect());
        nodes.insert(model_id(model), node(project, model, &parents[&model_id(model)]));
    }
    for check in project.checks() {
        let reads: BTreeSet<String> = check.tables().iter().map(id).collect();
        let file = models.get(&check.table).map(|model| model.file.display().to_string());
        nodes.insert(check_id(&check.name), test(project, check, file.unwrap_or_default(), &id(&check.table), &reads));
        parents.insert(check_id(&check.name), reads);
    }
    let sources: Map<String, Value> =
        project.sources.iter().map(|declared| (source_id(&declared.table), source(project, declared))).collect();
    parents.extend(sources.keys().map(|source| (source.clone(), BTreeSet::new())));
    let mut children: BTreeMap<&str, BTreeSet<&str>> =
        parents.keys().map(|id| (id.as_str(), BTreeSet::new())).collect();
    for (child, parents) in &parents {
        for parent in parents {
            children.entry(parent).or_default().insert(child);
        }
    }
    let mut manifest = json!({
        "metadata": results::metadata(SCHEMA),
        "nodes": nodes,
        "sources": sources,
        "parent_map": parents,
        "child_map": children,
    });
    manifest["unit_tests"] = project
        .unit_tests
        .iter()
        .map(|test| (results::unit_id(&test.name), unit_test(project, test)))
        .collect::<Map<_, _>>()
        .into();
    manifest["metadata"]["project_name"] = package(project).into();
    EMPTY.iter().for_each(|key| manifest[key] = json!({}));
    manifest
}

fn package(project: &Project) -> &str {
    if project.name.is_empty() { PROJECT } else { &project.name }
}

/// What every entry has.
fn common(project: &Project, table: &TableName, kind: &str, file: &str) -> Value {
    json!({
        "database": "lake",
        "schema": table.layer().as_str(),
        "name": table.name(),
        "resource_type": kind,
        "package_name": package(project),
        "path": file,
        "original_file_path": file,
        "fqn": [package(project), table.layer().as_str(), table.name()],
    })
}

fn node(project: &Project, model: &Model, parents: &BTreeSet<String>) -> Value {
    let id = model_id(model);
    let kind = id.split('.').next().unwrap_or_default();
    let mut node = common(project, &model.table, kind, &model.file.display().to_string());
    let materialized = match model.materialization {
        _ if model.seed.is_some() => "seed",
        _ if project.views.iter().any(|view| view.table == model.table) => "view",
        Materialization::Table => "table",
        Materialization::Incremental(_) => "incremental",
        Materialization::Snapshot(_) => "snapshot",
    };
    node["config"] = json!({ "materialized": materialized, "tags": model.tags, "enabled": true });
    if let Materialization::Snapshot(snapshot) = &model.materialization {
        add_snapshot(&mut node["config"], snapshot);
    }
    node["unique_id"] = id.into();
    node["alias"] = model.table.name().into();
    node["checksum"] = json!({ "name": "sha256", "checksum": sql::digest(model.origin.file.own_text()) });
    node["tags"] = json!(model.tags);
    node["description"] = model.description.as_str().into();
    node["columns"] = columns(&model.columns);
    node["relation_name"] = model.table.quoted().into();
    if model.seed.is_none() {
        node["language"] = "sql".into();
        node["raw_code"] = model.origin.file.own_text().into();
        node["compiled"] = true.into();
        node["compiled_code"] = model.sql.as_str().into();
        node["contract"] = json!({ "enforced": model.contract_enforced });
        node["depends_on"] = json!({ "macros": [], "nodes": parents });
    }
    node
}

/// What dbt's config of a snapshot says beside that of a model.
fn add_snapshot(config: &mut Value, snapshot: &Snapshot) {
    let (strategy, updated_at, check_cols) = match &snapshot.by {
        ChangeBy::Timestamp(column) => ("timestamp", json!(column), Value::Null),
        ChangeBy::Columns(columns) if columns.is_empty() => ("check", Value::Null, json!("all")),
        ChangeBy::Columns(columns) => ("check", Value::Null, json!(columns)),
    };
    config["strategy"] = strategy.into();
    config["unique_key"] = json!(snapshot.key);
    config["updated_at"] = updated_at;
    config["check_cols"] = check_cols;
    config["hard_deletes"] = if snapshot.invalidate_deleted { "invalidate" } else { "ignore" }.into();
}

fn test(project: &Project, check: &Check, file: String, tested: &str, parents: &BTreeSet<String>) -> Value {
    let mut node = common(project, &check.table, "test", &file);
    node["name"] = check.name.as_str().into();
    node["alias"] = check.name.as_str().into();
    node["unique_id"] = check_id(&check.name).into();
    node["checksum"] = json!({ "name": "none", "checksum": "" });
    node["compiled"] = true.into();
    node["compiled_code"] = check.failing_rows_sql().into();
    node["depends_on"] = json!({ "macros": [], "nodes": parents });
    if let Some(origin) = project.origin_of(check) {
        node["path"] = origin.file.path().into();
        node["original_file_path"] = origin.file.path().into();
        node["raw_code"] = origin.file.text().into();
    } else {
        node["test_metadata"] = json!({ "name": check.rule.kind(), "kwargs": {} });
        if check.table.layer() != Layer::Bronze {
            node["attached_node"] = tested.into();
        }
    }
    node
}

fn unit_test(project: &Project, test: &UnitTest) -> Value {
    let given = test.given.iter().map(|(table, given)| {
        let mut fixture = rows(given);
        fixture["input"] = format!("ref('{}')", table.name()).into();
        fixture
    });
    let file = test.expect.place.file.path();
    json!({
        "model": test.model.name(),
        "given": given.collect::<Vec<_>>(),
        "expect": rows(&test.expect),
        "name": test.name,
        "resource_type": "unit_test",
        "package_name": package(project),
        "path": file,
        "original_file_path": file,
        "unique_id": results::unit_id(&test.name),
        "fqn": [package(project), test.model.name(), test.name],
    })
}

fn rows(rows: &Rows) -> Value {
    let (columns, cells) = match &rows.written {
        Written::Cells { columns, cells } => (columns, cells),
        Written::Query { sql, .. } => return json!({ "rows": sql, "format": "sql" }),
    };
    let row = |cells: &Vec<Option<String>>| -> Map<String, Value> {
        columns.iter().cloned().zip(cells.iter().map(|cell| json!(cell))).collect()
    };
    json!({ "rows": cells.iter().map(row).collect::<Vec<_>>(), "format": "dict" })
}

fn source(project: &Project, source: &SourceTable) -> Value {
    let mut node = common(project, &source.table, "source", "models/sources.yml");
    node["unique_id"] = source_id(&source.table).into();
    node["source_name"] = source.table.layer().as_str().into();
    node["source_description"] = "".into();
    node["loader"] = PROJECT.into();
    node["identifier"] = source.table.name().into();
    node["columns"] = columns(&source.columns);
    node["relation_name"] = source.table.quoted().into();
    node
}

fn columns(columns: &[Column]) -> Value {
    let entry = |column: &Column| {
        json!({
            "name": column.name,
            "description": column.description,
            "data_type": column.data_type.as_ref().map(types::type_name),
        })
    };
    columns.iter().map(|column| (column.name.clone(), entry(column))).collect::<Map<_, _>>().into()
}
