//! Maps of a contract, key by key: an unknown key is a fault with the known ones, and so is a value of another shape.
//!
//! Knows YAML's shapes and nothing of what a key means; `contract` and `rules` do.

use crate::ident::suggestion;
use crate::model::fault::{Fault, Faults, Place};
use crate::model::node::{Key, Node, Value};

/// A scalar's text.
pub(super) fn text(node: &Node, what: &str, faults: &mut Faults) -> Option<String> {
    match &node.value {
        Value::Scalar(text) => Some(text.clone()),
        Value::Null => None,
        Value::List(_) | Value::Map(_) => {
            faults.push(node.place.fault(format!("`{what}` must be a text")));
            None
        }
    }
}

pub(super) fn truth(node: &Node, what: &str, faults: &mut Faults) -> Option<bool> {
    match text(node, what, faults)?.to_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        other => {
            faults.push(node.place.fault(format!("`{what}` is true or false, not `{other}`")));
            None
        }
    }
}

/// A list of texts, or one text alone.
pub(super) fn texts(node: &Node, what: &str, faults: &mut Faults) -> Vec<String> {
    match &node.value {
        Value::Scalar(text) => vec![text.clone()],
        Value::List(items) => items.iter().filter_map(|item| text(item, what, faults)).collect(),
        Value::Null => Vec::new(),
        Value::Map(_) => {
            faults.push(node.place.fault(format!("`{what}` must be a list")));
            Vec::new()
        }
    }
}

/// The entries of one map, its keys checked.
pub(super) struct Fields<'a> {
    place: Option<&'a Place>,
    entries: Vec<(&'a Key, &'a Node)>,
}

impl<'a> Fields<'a> {
    /// Faults for every key that is not in `known`; `what` names the map in messages.
    pub fn of(node: &'a Node, what: &str, known: &[&str], faults: &mut Faults) -> Fields<'a> {
        let mut fields = Fields { place: Some(&node.place), entries: Vec::new() };
        match &node.value {
            Value::Null => {}
            Value::Map(entries) => {
                for (key, value) in entries {
                    match known.contains(&key.name.as_str()) {
                        true => fields.entries.push((key, value)),
                        false => faults.push(unknown_key(key, what, known)),
                    }
                }
            }
            Value::Scalar(_) | Value::List(_) => {
                faults.push(node.place.fault(format!("{what} must be a map with {}", known.join(", "))));
                fields.place = None;
            }
        }
        fields
    }

    pub fn get(&self, name: &str) -> Option<&'a Node> {
        self.entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| *node)
    }

    pub fn text(&self, name: &str, faults: &mut Faults) -> Option<String> {
        self.get(name).and_then(|node| text(node, name, faults))
    }

    /// The text and its place; a fault at the map when it is missing.
    pub fn required(&self, name: &str, faults: &mut Faults) -> Option<(String, Place)> {
        let place = self.place?;
        let found = self.get(name);
        let text = found.and_then(|node| Some((text(node, name, faults)?, node.place.clone())));
        if text.is_none() && !found.is_some_and(|node| matches!(node.value, Value::List(_) | Value::Map(_))) {
            faults.push(place.fault(format!("`{name}` is missing")));
        }
        text
    }

    pub fn list(&self, name: &str, faults: &mut Faults) -> &'a [Node] {
        match self.get(name).map(|node| (&node.value, node)) {
            Some((Value::List(items), _)) => items,
            None | Some((Value::Null, _)) => &[],
            Some((_, node)) => {
                faults.push(node.place.fault(format!("`{name}` must be a list")));
                &[]
            }
        }
    }

    /// A list of texts, or one text alone.
    pub fn texts(&self, name: &str, faults: &mut Faults) -> Vec<String> {
        self.get(name).map_or_else(Vec::new, |node| texts(node, name, faults))
    }

    /// The entries of a map below this one; none when it is absent.
    pub fn map(&self, name: &str, what: &str, known: &[&str], faults: &mut Faults) -> Fields<'a> {
        match self.get(name) {
            Some(node) => Fields::of(node, what, known, faults),
            None => Fields { place: None, entries: Vec::new() },
        }
    }
}

fn unknown_key(key: &Key, what: &str, known: &[&str]) -> Fault {
    let near = suggestion(&key.name, known.iter().copied());
    key.place.fault(format!("unknown key `{}` in {what}{near} (known are {})", key.name, known.join(", ")))
}
