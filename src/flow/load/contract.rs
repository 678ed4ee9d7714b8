//! A model's contract and its Gold table's schema as the table the warehouse should hold, and the order
//! in which tables that refer to each other are loaded.
//!
//! Only tests that stop a promote become constraints: severity `error` and no `where`. Of conditions of rows only those
//! that the contract calls constraints: the others need not be SQL that the warehouse understands.

use crate::check::Rule;
use crate::ident::{Layer, TableName};
use crate::model::{self, Model, Project};
use crate::warehouse::{Column, Condition, ForeignKey, Target};
use arrow::datatypes::{DataType, Schema};
use std::collections::{BTreeMap, BTreeSet};

/// The tables as their contracts say, each with its version's schema. A table without a model (removed
/// since its last promote) gets its columns and nothing else.
pub fn targets(project: &Project, schemas: &BTreeMap<TableName, Schema>) -> BTreeMap<TableName, Target> {
    let model = |table: &TableName| project.models.iter().find(|model| model.table == *table);
    let mut targets = BTreeMap::new();
    for (table, schema) in schemas {
        targets.insert(table.clone(), target(table, schema, model(table)));
    }
    for table in schemas.keys() {
        for key in model(table).map(|model| references(model, &targets)).unwrap_or_default() {
            refer(&mut targets, project, table, key);
        }
    }
    targets
}

fn target(table: &TableName, schema: &Schema, model: Option<&Model>) -> Target {
    let primary_key = model.and_then(Model::primary_key).unwrap_or_default();
    let not_null: BTreeSet<&str> = model.into_iter().flat_map(rules).filter_map(not_null_column).collect();
    let described = |name: &str| {
        let column = model.and_then(|model| model.columns.iter().find(|column| column.name == name));
        column.map_or(String::new(), |column| column.description.clone())
    };
    let columns = schema.fields().iter().map(|field| Column {
        name: field.name().clone(),
        data_type: field.data_type().clone(),
        nullable: !not_null.contains(field.name().as_str()) && !primary_key.contains(field.name()),
        description: described(field.name()),
    });
    Target {
        name: table.name().to_string(),
        description: model.map_or(String::new(), |model| model.description.clone()),
        columns: columns.collect(),
        primary_key,
        unique: Vec::new(),
        foreign_keys: Vec::new(),
        checks: model.into_iter().flat_map(|model| &model.conditions).map(condition).collect(),
    }
}

fn condition(written: &model::Condition) -> Condition {
    Condition { name: written.name.clone(), expression: written.expression.clone() }
}

/// The rules that hold for every row of a table that was promoted.
fn rules(model: &Model) -> impl Iterator<Item = &Rule> {
    model.checks.iter().filter(|check| check.holds_for_every_row()).map(|check| &check.rule)
}

fn not_null_column(rule: &Rule) -> Option<&str> {
    match rule {
        Rule::NotNull { column } => Some(column),
        _ => None,
    }
}

/// References of a model to tables that are loaded with it.
fn references(model: &Model, targets: &BTreeMap<TableName, Target>) -> Vec<ForeignKey> {
    let reference = |rule: &Rule| match rule {
        Rule::Relationships { column, to, field } if to.layer() == Layer::Gold && targets.contains_key(to) => {
            Some(ForeignKey { column: column.clone(), table: to.name().to_string(), field: field.clone() })
        }
        _ => None,
    };
    rules(model).filter_map(reference).collect()
}

/// Types that Postgres lets refer to each other without a cast.
fn comparable(one: &DataType, other: &DataType) -> bool {
    one == other || (one.is_signed_integer() && other.is_signed_integer())
}

/// Adds a reference when the column it points at is unique and of a comparable type, and makes it a key there.
fn refer(targets: &mut BTreeMap<TableName, Target>, project: &Project, from: &TableName, key: ForeignKey) {
    let Ok(to) = TableName::new(Layer::Gold, &key.table) else { return };
    let data_type = |table: &TableName, name: &str| {
        let column = targets.get(table)?.columns.iter().find(|column| column.name == name)?;
        Some(column.data_type.clone())
    };
    let types = data_type(from, &key.column).zip(data_type(&to, &key.field));
    if types.is_none_or(|(one, other)| !comparable(&one, &other)) {
        return;
    }
    let model = project.models.iter().find(|model| model.table == to);
    let is_unique = model.into_iter().flat_map(rules).any(|rule| match rule {
        Rule::Unique { columns } => columns.len() == 1 && columns[0] == key.field,
        _ => false,
    });
    let Some(other) = targets.get_mut(&to) else { return };
    let is_key = other.primary_key.len() == 1 && other.primary_key[0] == key.field;
    if !is_key && !is_unique {
        return;
    }
    if !is_key && !other.unique.contains(&key.field) {
        other.unique.push(key.field.clone());
    }
    if let Some(target) = targets.get_mut(from)
        && !target.foreign_keys.contains(&key)
    {
        target.foreign_keys.push(key);
    }
}

/// Tables that others refer to come first; tables of a cycle come last, by name.
pub fn in_reference_order(targets: &BTreeMap<TableName, Target>) -> Vec<TableName> {
    let mut rest: Vec<&TableName> = targets.keys().collect();
    let mut ordered: Vec<TableName> = Vec::new();
    while !rest.is_empty() {
        let waits = |table: &TableName| {
            let keys = targets.get(table).map_or(&[][..], |target| &target.foreign_keys);
            keys.iter().any(|key| key.table != table.name() && rest.iter().any(|other| other.name() == key.table))
        };
        let (later, now): (Vec<&TableName>, Vec<&TableName>) = rest.iter().copied().partition(|table| waits(table));
        if now.is_empty() {
            ordered.extend(later.into_iter().cloned());
            break;
        }
        ordered.extend(now.into_iter().cloned());
        rest = later;
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Check, Options, Severity};
    use arrow::datatypes::Field;

    fn table(name: &str) -> TableName {
        TableName::new(Layer::Gold, name).unwrap()
    }

    fn model(name: &str, rules: Vec<Rule>) -> Model {
        let checks = rules.into_iter().map(|rule| Check {
            name: "c".into(),
            table: table(name),
            rule,
            options: Options::default(),
        });
        Model {
            table: table(name),
            file: "m.sql".into(),
            sql: String::new(),
            materialization: crate::model::Materialization::Table,
            partition_by: Vec::new(),
            cluster_by: Vec::new(),
            description: format!("about {name}"),
            columns: vec![],
            checks: checks.collect(),
            conditions: vec![],
            upstream: vec![],
            reads: vec![],
            tags: vec![],
            contract_enforced: false,
            contract_describes: false,
            seed: None,
            origin: Default::default(),
        }
    }

    fn relationship(column: &str, to: &str, field: &str) -> Rule {
        Rule::Relationships { column: column.into(), to: table(to), field: field.into() }
    }

    fn schemas(tables: &[(&str, &[&str])]) -> BTreeMap<TableName, Schema> {
        let schema = |names: &[&str]| {
            Schema::new(names.iter().map(|n| Field::new(*n, DataType::Int64, true)).collect::<Vec<_>>())
        };
        tables.iter().map(|(name, columns)| (table(name), schema(columns))).collect()
    }

    #[test]
    fn tests_become_constraints_only_when_they_hold_for_every_row() {
        let mut fact = model(
            "fact",
            vec![
                Rule::NotNull { column: "book".into() },
                relationship("book", "dim", "code"),
                relationship("other", "dim", "loose"),
                relationship("gone", "elsewhere", "id"),
                Rule::NotNull { column: "other".into() },
            ],
        );
        fact.checks[4].options.severity = Severity::Warn;
        let mut dim = model("dim", vec![Rule::Unique { columns: vec!["code".into()] }]);
        dim.conditions = vec![model::Condition { name: "sound".into(), expression: "code > 0".into() }];
        let project = Project { models: vec![dim, fact], ..Project::default() };
        let targets = targets(&project, &schemas(&[("fact", &["book", "other", "gone"]), ("dim", &["code", "loose"])]));
        let fact = &targets[&table("fact")];
        assert_eq!(fact.columns.iter().map(|column| column.nullable).collect::<Vec<_>>(), [false, true, true]);
        assert_eq!(
            fact.foreign_keys,
            [ForeignKey { column: "book".into(), table: "dim".into(), field: "code".into() }]
        );
        assert_eq!(targets[&table("dim")].unique, ["code"]);
        assert_eq!(targets[&table("dim")].checks[0].expression, "code > 0");
        assert!(fact.checks.is_empty());
        assert_eq!(fact.description, "about fact");
    }

    #[test]
    fn dimensions_come_before_facts_and_cycles_end() {
        let unique = |columns: &str| Rule::Unique { columns: vec![columns.into()] };
        let project = Project {
            models: vec![
                model("a_fact", vec![relationship("z", "z_dim", "id")]),
                model("z_dim", vec![unique("id"), relationship("self", "z_dim", "id")]),
                model("loop1", vec![unique("id"), relationship("other", "loop2", "id")]),
                model("loop2", vec![unique("id"), relationship("other", "loop1", "id")]),
            ],
            ..Project::default()
        };
        let schemas = schemas(&[
            ("a_fact", &["z"]),
            ("z_dim", &["id", "self"]),
            ("loop1", &["id", "other"]),
            ("loop2", &["id", "other"]),
        ]);
        let order = in_reference_order(&targets(&project, &schemas));
        let names: Vec<&str> = order.iter().map(TableName::name).collect();
        assert_eq!(names, ["z_dim", "a_fact", "loop1", "loop2"]);
    }
}
