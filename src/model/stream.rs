//! What the `meta` of a source table says about the stream that fills it.
//!
//! dbt leaves `meta` to its users, so entries of their own are fine there; one that looks like a slip of ours is not.
//! To add a key: its name in [`KEYS`], a field and the line that reads it.

use crate::decode::{Format, Layout};
use crate::ident::suggestion;
use crate::model::fault::Faults;
use crate::model::fields::{Fields, text};
use crate::model::node::{Key, Node, Value};

const KEYS: [&str; 5] = ["topic", "max_reject_rate", "format", "csv", "drift"];

/// How a Bronze table is filled.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StreamContract {
    pub topic: String,
    /// Above this share of rejects a run ends; `None`: as `bronze.max_reject_rate` says.
    pub max_reject_rate: Option<f64>,
    pub format: Format,
    pub drift: Drift,
}

/// What becomes of fields nobody declared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Drift {
    /// They are kept as JSON in `_rescued`.
    #[default]
    Rescue,
    /// They become columns.
    Add,
    /// They end the stream.
    Fail,
}

/// Reads `meta`, also where dbt puts it since 1.10: below `config`. Without a topic it is the one named like the table.
pub(super) fn read(table: &str, fields: &Fields<'_>, config: &Fields<'_>, faults: &mut Faults) -> StreamContract {
    let entries = [fields, config].into_iter().filter_map(|fields| fields.get("meta")).filter_map(map);
    let mut contract = StreamContract { topic: table.to_string(), ..StreamContract::default() };
    let mut layout = None;
    for (key, node) in entries.flatten() {
        match key.name.as_str() {
            "format" => contract.format = format(node, faults).unwrap_or_default(),
            "csv" => layout = Some((&node.place, read_layout(node, faults))),
            "drift" => contract.drift = drift(node, faults).unwrap_or_default(),
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
    match (layout, &mut contract.format) {
        (Some((_, given)), Format::Csv(layout)) => *layout = given,
        (Some((place, _)), _) => faults.push(place.fault("`csv` says how CSV is laid out; add `format: csv`")),
        (None, _) => {}
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

fn format(node: &Node, faults: &mut Faults) -> Option<Format> {
    match text(node, "format", faults)?.as_str() {
        "json" => Some(Format::Json),
        "csv" => Some(Format::Csv(Layout::default())),
        "raw" => Some(Format::Raw),
        other => {
            let near = suggestion(other, ["json", "csv", "raw"]);
            faults.push(node.place.fault(format!("`format` is json, csv or raw, not `{other}`{near}")));
            None
        }
    }
}

fn read_layout(node: &Node, faults: &mut Faults) -> Layout {
    let mut layout = Layout::default();
    let fields = Fields::of(node, "the csv of a stream", &["delimiter", "quote", "null"], faults);
    let mark = |name: &str, faults: &mut Faults| {
        let node = fields.get(name)?;
        let text = text(node, name, faults)?;
        let mut characters = text.chars();
        match (characters.next(), characters.next()) {
            (Some(mark), None) => Some(Some(mark)),
            _ if name == "quote" && text == "none" => Some(None),
            _ => {
                let or_none = if name == "quote" { ", or none" } else { "" };
                faults.push(node.place.fault(format!("`{name}` is one character{or_none}, not `{text}`")));
                None
            }
        }
    };
    layout.delimiter = mark("delimiter", faults).flatten().unwrap_or(layout.delimiter);
    layout.quote = mark("quote", faults).unwrap_or(layout.quote);
    layout.null = fields.text("null", faults).unwrap_or(layout.null);
    layout
}

fn drift(node: &Node, faults: &mut Faults) -> Option<Drift> {
    match text(node, "drift", faults)?.as_str() {
        "rescue" => Some(Drift::Rescue),
        "add" => Some(Drift::Add),
        "fail" => Some(Drift::Fail),
        other => {
            let near = suggestion(other, ["rescue", "add", "fail"]);
            faults.push(node.place.fault(format!("`drift` is rescue, add or fail, not `{other}`{near}")));
            None
        }
    }
}

fn map(node: &Node) -> Option<impl Iterator<Item = (&Key, &Node)>> {
    let Value::Map(entries) = &node.value else { return None };
    Some(entries.iter().map(|(key, node)| (key, node)))
}
