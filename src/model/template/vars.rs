//! Variables of a project: their names and what templates see of them.

use crate::model::node::{Node, Value as Yaml};
use minijinja::Value;
use std::collections::BTreeMap;

/// By name.
pub type Vars = BTreeMap<String, Value>;

/// Settings are texts; `true` and `false` have to be more, for a template that asks `{% if var('x') %}`.
pub fn of_settings(settings: &BTreeMap<String, String>) -> Vars {
    let value = |text: &String| match text.as_str() {
        "true" => Value::from(true),
        "false" => Value::from(false),
        _ => Value::from(text.clone()),
    };
    settings.iter().map(|(name, text)| (name.clone(), value(text))).collect()
}

/// What a YAML value is to a template: an unquoted scalar a truth value or a number where it reads as one.
pub fn value_of(node: &Node) -> Value {
    match &node.value {
        Yaml::Null => Value::from(()),
        Yaml::Scalar(text) if node.is_plain() => plain(text),
        Yaml::Scalar(text) => Value::from(text.clone()),
        Yaml::List(items) => items.iter().map(value_of).collect(),
        Yaml::Map(entries) => Value::from_pairs(entries.iter().map(|(key, node)| (key.name.clone(), value_of(node)))),
    }
}

fn plain(text: &str) -> Value {
    let is_number = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
    match text {
        "true" | "True" | "TRUE" => Value::from(true),
        "false" | "False" | "FALSE" => Value::from(false),
        _ => {
            let whole = text.parse::<i64>().ok().filter(|_| is_number).map(Value::from);
            let number = || text.parse::<f64>().ok().filter(|_| is_number).map(Value::from);
            whole.or_else(number).unwrap_or_else(|| Value::from(text))
        }
    }
}
