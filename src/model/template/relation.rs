//! A table as templates see it: its quoted name where it is printed, dbt's parts of a relation where it is asked.

use crate::ident::TableName;
use minijinja::Value;
use minijinja::value::{Object, ObjectRepr};
use std::fmt;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Relation(pub TableName);

impl Object for Relation {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            "schema" => Some(Value::from(self.0.layer().as_str())),
            "identifier" | "name" | "table" => Some(Value::from(self.0.name())),
            "database" => Some(Value::from("lake")),
            "type" => Some(Value::from("table")),
            _ => None,
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.quoted())
    }
}
