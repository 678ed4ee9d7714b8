//! The columns of a table before and after.

use crate::engine::types::type_name;
use arrow::datatypes::Schema;
use serde::Serialize;

/// A column with the type's name in SQL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Column {
    pub name: String,
    pub data_type: String,
}

/// A column of another type than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Retyped {
    pub name: String,
    pub before: String,
    pub after: String,
}

/// What becomes of a table's columns. A list is absent when there is no such table, or when its columns cannot be
/// known; nothing is compared then.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    pub before: Option<Vec<Column>>,
    pub after: Option<Vec<Column>>,
    pub added: Vec<String>,
    pub dropped: Vec<String>,
    pub retyped: Vec<Retyped>,
}

impl Changes {
    pub fn between(before: Option<&Schema>, after: Option<&Schema>) -> Changes {
        let mut changes = Changes { before: before.map(columns), after: after.map(columns), ..Changes::default() };
        let (Some(before), Some(after)) = (before, after) else { return changes };
        let missing_in = |other: &Schema, all: &Schema| -> Vec<String> {
            let names = all.fields().iter().map(|field| field.name());
            names.filter(|name| other.column_with_name(name).is_none()).cloned().collect()
        };
        changes.added = missing_in(before, after);
        changes.dropped = missing_in(after, before);
        for field in after.fields() {
            let Some((_, old)) = before.column_with_name(field.name()) else { continue };
            if old.data_type() != field.data_type() {
                changes.retyped.push(Retyped {
                    name: field.name().clone(),
                    before: type_name(old.data_type()),
                    after: type_name(field.data_type()),
                });
            }
        }
        changes
    }

    /// Whether no column came, went or got another type; their order does not count.
    pub fn are_none(&self) -> bool {
        self.added.is_empty() && self.dropped.is_empty() && self.retyped.is_empty()
    }
}

fn columns(schema: &Schema) -> Vec<Column> {
    let fields = schema.fields().iter();
    fields.map(|field| Column { name: field.name().clone(), data_type: type_name(field.data_type()) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{DataType, Field};

    #[test]
    fn columns_are_compared_by_name() {
        let schema = |columns: &[(&str, DataType)]| {
            Schema::new(columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect::<Vec<_>>())
        };
        let before = schema(&[("a", DataType::Int32), ("b", DataType::Utf8), ("c", DataType::Date32)]);
        let after = schema(&[("d", DataType::Utf8), ("c", DataType::Date32), ("a", DataType::Int64)]);
        let changes = Changes::between(Some(&before), Some(&after));
        assert_eq!((changes.added.clone(), changes.dropped.clone()), (vec!["d".to_string()], vec!["b".to_string()]));
        let retyped = Retyped { name: "a".into(), before: "integer".into(), after: "bigint".into() };
        assert_eq!(changes.retyped, [retyped]);
        assert!(!changes.are_none() && Changes::between(Some(&before), Some(&before)).are_none());
        let first = Changes::between(None, Some(&after));
        assert!(first.are_none() && first.after.is_some_and(|columns| columns.len() == 3));
    }
}
