//! Configs for whole folders: `models:`, `seeds:` and `snapshots:` of `dbt_project.yml`.
//!
//! Below the project's name stand folders, at last a file's name; `+name`, or the plain name of a config, holds for all
//! below it, and the nearest one wins. Tags add up. What stands below another project's name speaks of a package.

use crate::model::configs;
use crate::model::fault::Faults;
use crate::model::node::{Key, Node, Value};

#[derive(Debug, Default)]
pub(super) struct Tree {
    root: Option<Node>,
    project: String,
}

impl Tree {
    /// Refuses configs nobody knows, in the whole tree.
    pub fn read(root: Option<&Node>, project: &str, faults: &mut Faults) -> Tree {
        if let Some(root) = root {
            check(root, faults);
        }
        Tree { root: root.cloned(), project: project.to_string() }
    }

    /// The configs of the file that these folders lead to, its own name being the last step.
    pub fn config_of(&self, steps: &[&str]) -> Option<Node> {
        let root = self.root.as_ref()?;
        let mut found: Vec<(Key, Node)> = Vec::new();
        collect(root, &mut found);
        let mut at = child(root, &self.project);
        for step in steps.iter().map(Some).chain([None]) {
            let Some(node) = at else { break };
            collect(node, &mut found);
            at = step.and_then(|step| child(node, step));
        }
        Some(Node { place: root.place.clone(), value: Value::Map(found) })
    }
}

/// The config a key sets: `+name`, or a known name that leads to no folder.
fn config_name<'a>(key: &'a Key, node: &Node) -> Option<&'a str> {
    match key.name.strip_prefix('+') {
        Some(name) => Some(name),
        None if matches!(node.value, Value::Map(_)) => None,
        None => Some(&key.name),
    }
}

fn check(node: &Node, faults: &mut Faults) {
    let Value::Map(entries) = &node.value else { return };
    for (key, node) in entries {
        match config_name(key, node) {
            Some(name) => {
                if let Some(why) = configs::refusal(name) {
                    faults.push(key.place.fault(why));
                }
            }
            None => check(node, faults),
        }
    }
}

/// Adds a level's configs to those of the levels above.
fn collect(level: &Node, found: &mut Vec<(Key, Node)>) {
    let Value::Map(entries) = &level.value else { return };
    for (key, node) in entries {
        let Some(name) = config_name(key, node) else { continue };
        let above = found.iter().position(|(above, _)| above.name == name).map(|at| found.remove(at).1);
        let node = match above.filter(|_| name == "tags") {
            Some(above) => {
                Node { place: node.place.clone(), value: Value::List([items(above), items(node.clone())].concat()) }
            }
            None => node.clone(),
        };
        found.push((Key { name: name.to_string(), place: key.place.clone() }, node));
    }
}

fn items(node: Node) -> Vec<Node> {
    match node.value {
        Value::List(items) => items,
        Value::Null => Vec::new(),
        _ => vec![node],
    }
}

fn child<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|(key, node)| key.name == name && matches!(node.value, Value::Map(_))).map(|(_, node)| node)
}
