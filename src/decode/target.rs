//! The columns a decoder fills, checked before there is anything to fill them with.

use super::RESCUED;
use super::column::Column;
use crate::engine::types::type_name;
use crate::error::{Error, Result};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use std::collections::HashSet;
use std::sync::Arc;

/// Columns to fill, checked.
pub(super) struct Target {
    /// The declared columns, then [`RESCUED`].
    pub schema: SchemaRef,
}

impl Target {
    /// Fails when a column has a type that `format` cannot fill, or a name that is taken.
    pub fn new(columns: &Fields, format: &str, fills: impl Fn(&DataType) -> bool) -> Result<Target> {
        let mut taken = HashSet::from([RESCUED]);
        for column in columns {
            let (name, data_type) = (column.name(), column.data_type());
            if !taken.insert(name) {
                return Err(Error::config(format!("column name `{name}` is taken"))
                    .hint("give every column a name of its own; names of Bronze's own columns begin with `_`"));
            }
            if !fills(data_type) {
                let type_name = type_name(data_type);
                let message = format!("column `{name}` has type {type_name}, which cannot be read from {format}");
                return Err(Error::config(message).hint("declare it as text and convert it in a Silver model"));
            }
        }
        let rescued = Arc::new(Field::new(RESCUED, DataType::Utf8, true));
        let fields: Fields = columns.iter().cloned().chain([rescued]).collect();
        Ok(Target { schema: Arc::new(Schema::new(fields)) })
    }

    /// How many columns are declared.
    pub fn declared(&self) -> usize {
        self.schema.fields().len() - 1
    }

    /// An empty column for each field of the schema.
    pub fn columns(&self) -> Vec<Column> {
        self.schema.fields().iter().filter_map(|field| Column::new(field.data_type())).collect()
    }
}
