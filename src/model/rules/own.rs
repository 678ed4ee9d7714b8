//! Tests whose query the project writes (`{% test name(model, column_name) %}`): what a contract hands to them.

use super::{DeclaredRule, DeclaredTest, OF_ALL, options};
use crate::model::fault::{Faults, Place};
use crate::model::fields::Fields;
use crate::model::node::{Node, Value};

/// The name of the test and what it is called with.
#[derive(Debug, Clone)]
pub struct OwnTest {
    pub test: String,
    /// Handed over as `column_name`.
    pub column: Option<String>,
    pub arguments: Vec<(String, Node)>,
}

/// Whether there is such a test is not known yet.
pub(super) fn read(
    (test, place): (&str, &Place),
    body: &Node,
    column: Option<&str>,
    faults: &mut Faults,
) -> Option<DeclaredTest> {
    let every_key = keys(body);
    let fields = Fields::of(body, &format!("the test {test}"), &every_key, faults);
    let is_argument = |name: &&str| !OF_ALL.contains(name) && !options::KEYS.contains(name);
    let mut arguments = Vec::new();
    let nested =
        fields.get("arguments").into_iter().flat_map(|below| keys(below).into_iter().map(move |key| (below, key)));
    let beside = every_key.iter().copied().filter(is_argument).map(|key| (body, key));
    for (map, key) in nested.chain(beside) {
        arguments.extend(value_of(map, key).map(|node| (key.to_string(), node.clone())));
    }
    let (options, enabled) = options::read(&fields, faults);
    let rule = DeclaredRule::Own(OwnTest { test: test.to_string(), column: column.map(str::to_string), arguments });
    let test = DeclaredTest { place: place.clone(), name: fields.text("name", faults), options, rule };
    enabled.then_some(test)
}

fn keys(map: &Node) -> Vec<&str> {
    match &map.value {
        Value::Map(entries) => entries.iter().map(|(key, _)| key.name.as_str()).collect(),
        _ => Vec::new(),
    }
}

fn value_of<'a>(map: &'a Node, name: &str) -> Option<&'a Node> {
    let Value::Map(entries) = &map.value else { return None };
    entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
}
