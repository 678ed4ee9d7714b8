//! What the `meta` of a source table says about the stream that fills it.
//!
//! dbt leaves `meta` to its users, so entries of their own are fine there; one that looks like a slip of ours is not.
//! To add a key: its name in [`KEYS`], a field and the line that reads it.

use crate::ident::suggestion;
use crate::model::fault::Faults;
use crate::model::fields::{Fields, text, texts};
use crate::model::node::{Key, Node, Value};
use crate::model::topics::Topics;

const KEYS: [&str; 3] = ["topic", "topics", "topic_pattern"];

/// How a Bronze table is filled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamContract {
    pub topics: Topics,
}

/// Reads `meta`, also where dbt puts it since 1.10: below `config`. Without a topic it is the one named like the table.
pub(super) fn read(table: &str, fields: &Fields<'_>, config: &Fields<'_>, faults: &mut Faults) -> StreamContract {
    let entries = [fields, config].into_iter().filter_map(|fields| fields.get("meta")).filter_map(map);
    let mut contract = StreamContract { topics: Topics::one(table) };
    let mut said_by: Option<&str> = None;
    for (key, node) in entries.flatten() {
        let name = key.name.as_str();
        match name {
            "topic" | "topics" | "topic_pattern" => {
                match said_by.filter(|other| *other != name) {
                    Some(other) => faults.push(key.place.fault(format!("`{other}` names the topics already"))),
                    None => contract.topics = topics(name, node, faults).unwrap_or(contract.topics),
                }
                said_by = Some(name);
            }
            other => {
                let near = suggestion(other, KEYS);
                if !near.is_empty() {
                    faults.push(key.place.fault(format!("`meta` has no `{other}`{near}")));
                }
            }
        }
    }
    contract
}

fn topics(key: &str, node: &Node, faults: &mut Faults) -> Option<Topics> {
    let topics = match key {
        "topic" => Ok(Topics::one(&text(node, key, faults)?)),
        "topics" => Topics::named(texts(node, key, faults)),
        _ => Topics::matching(&text(node, key, faults)?),
    };
    faults.keep(topics.map_err(|message| node.place.fault(message)))
}

fn map(node: &Node) -> Option<impl Iterator<Item = (&Key, &Node)>> {
    let Value::Map(entries) = &node.value else { return None };
    Some(entries.iter().map(|(key, node)| (key, node)))
}
