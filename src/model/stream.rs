//! What the `meta` of a source table says about the stream that fills it.
//!
//! dbt leaves `meta` to its users, so entries of their own are fine there; one that looks like a slip of ours is not.
//! To add a key: its name in [`KEYS`], a field and the line that reads it.

use crate::ident::suggestion;
use crate::model::fault::Faults;
use crate::model::fields::{Fields, text};
use crate::model::node::{Key, Node, Value};

const KEYS: [&str; 2] = ["topic", "max_reject_rate"];

/// How a Bronze table is filled.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StreamContract {
    pub topic: String,
    /// Above this share of rejects a run ends; `None`: as `bronze.max_reject_rate` says.
    pub max_reject_rate: Option<f64>,
}

/// Reads `meta`, also where dbt puts it since 1.10: below `config`. Without a topic it is the one named like the table.
pub(super) fn read(table: &str, fields: &Fields<'_>, config: &Fields<'_>, faults: &mut Faults) -> StreamContract {
    let entries = [fields, config].into_iter().filter_map(|fields| fields.get("meta")).filter_map(map);
    let mut contract = StreamContract { topic: table.to_string(), ..StreamContract::default() };
    for (key, node) in entries.flatten() {
        match key.name.as_str() {
            "topic" => contract.topic = text(node, "topic", faults).unwrap_or(contract.topic),
            "max_reject_rate" => contract.max_reject_rate = share(node, "max_reject_rate", faults),
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

fn share(node: &Node, what: &str, faults: &mut Faults) -> Option<f64> {
    let share = text(node, what, faults)?.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    if share.is_none() {
        faults.push(node.place.fault(format!("`{what}` must be a share between 0 and 1, such as 0.05")));
    }
    share
}

fn map(node: &Node) -> Option<impl Iterator<Item = (&Key, &Node)>> {
    let Value::Map(entries) = &node.value else { return None };
    Some(entries.iter().map(|(key, node)| (key, node)))
}
