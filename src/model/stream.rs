//! What the `meta` of a source table says about the stream that fills it.
//!
//! dbt leaves `meta` to its users, so entries of their own are fine there; one that looks like a slip of ours is not.
//! To add a key: its name in [`KEYS`], a field and the line that reads it.

use crate::decode::{Format, Layout};
use crate::ident::suggestion;
use crate::model::fault::Faults;
use crate::model::fields::{Fields, text, texts};
use crate::model::node::{Key, Node, Value};
use crate::model::topics::Topics;

const KEYS: [&str; 9] =
    ["topic", "topics", "topic_pattern", "only", "partition_by", "max_reject_rate", "format", "csv", "drift"];

/// How a Bronze table is filled.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StreamContract {
    pub topics: Topics,
    /// `None`: all records.
    pub only: Option<Only>,
    /// Columns whose values name the folder a row lies in.
    pub partition_by: Vec<String>,
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

impl StreamContract {
    /// Of a table nobody declared.
    pub fn of_topic(topic: &str) -> StreamContract {
        StreamContract { topics: Topics::one(topic), ..StreamContract::default() }
    }
}

/// The kinds of records a table takes of topics that hold several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Only {
    pub by: KindBy,
    pub is: Vec<String>,
}

/// What says of which kind a record is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KindBy {
    Header(String),
    /// A field at the top of a JSON payload.
    Field(String),
}

/// Reads `meta`, also where dbt puts it since 1.10: below `config`. Without a topic it is the one named like the table.
pub(super) fn read(table: &str, fields: &Fields<'_>, config: &Fields<'_>, faults: &mut Faults) -> StreamContract {
    let entries = [fields, config].into_iter().filter_map(|fields| fields.get("meta")).filter_map(map);
    let mut contract = StreamContract::of_topic(table);
    let (mut said_by, mut layout, mut only_at, mut drift_at): (Option<&str>, _, _, _) = (None, None, None, None);
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
            "only" => (contract.only, only_at) = (only(node, faults), Some(&node.place)),
            "partition_by" => contract.partition_by = texts(node, name, faults),
            "max_reject_rate" => contract.max_reject_rate = share(node, name, faults),
            "format" => contract.format = format(node, faults).unwrap_or_default(),
            "csv" => layout = Some((&node.place, read_layout(node, faults))),
            "drift" => (contract.drift, drift_at) = (drift(node, faults).unwrap_or_default(), Some(&node.place)),
            other => {
                let near = suggestion(other, KEYS);
                if !near.is_empty() {
                    faults.push(key.place.fault(format!("`meta` has no `{other}`{near}")));
                }
            }
        }
    }
    if let Some((place, given)) = layout {
        match &mut contract.format {
            Format::Csv(layout) => *layout = given,
            _ => faults.push(place.fault("`csv` says how CSV is laid out; add `format: csv`")),
        }
    }
    if let Some(place) = drift_at.filter(|_| contract.format != Format::Json) {
        faults.push(place.fault("only JSON brings fields nobody declared; take `drift` out"));
    }
    if let (Some(place), Some(Only { by: KindBy::Field(field), .. })) = (only_at, &contract.only)
        && contract.format != Format::Json
    {
        faults.push(place.fault(format!("no field `{field}` tells kinds apart in a format but JSON; use a `header`")));
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

fn only(node: &Node, faults: &mut Faults) -> Option<Only> {
    let fields = Fields::of(node, "`only`", &["header", "field", "is"], faults);
    let is = fields.texts("is", faults);
    let by = match (fields.text("header", faults), fields.text("field", faults)) {
        (Some(header), None) => Some(KindBy::Header(header)),
        (None, Some(field)) => Some(KindBy::Field(field)),
        _ => None,
    };
    match by {
        Some(by) if !is.is_empty() => Some(Only { by, is }),
        _ => {
            faults.push(node.place.fault("`only` takes a `header` or a `field`, and in `is` the values of the kinds"));
            None
        }
    }
}

fn share(node: &Node, what: &str, faults: &mut Faults) -> Option<f64> {
    let rate = reject_rate(&text(node, what, faults)?);
    faults.keep(rate.map_err(|expected| node.place.fault(format!("`{what}` must be {expected}"))))
}

/// A share of records; the error says what is expected.
pub fn reject_rate(text: &str) -> Result<f64, &'static str> {
    text.trim().parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or("a share between 0 and 1, such as 0.05")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reject_rate_is_a_share() {
        assert_eq!(["0", " 0.05", "1"].map(reject_rate), [Ok(0.0), Ok(0.05), Ok(1.0)]);
        assert!(["", "-0.1", "1.1", "5%", "NaN"].iter().all(|bad| reject_rate(bad).is_err()));
    }
}
