//! `severity`, `where` and the others that every test takes, directly below its name or below `config:`.

use crate::check::{OnFailure, Options, Severity, Threshold};
use crate::engine::sql;
use crate::model::fault::Faults;
use crate::model::fields::{Fields, text, truth};
use crate::model::node::Node;

/// Those that say nothing of what a test means: `store_failures` is here because failing rows are always kept.
pub(super) const KEYS: [&str; 12] = [
    "severity",
    "where",
    "warn_if",
    "error_if",
    "limit",
    "on_failure",
    "enabled",
    "store_failures",
    "store_failures_as",
    "tags",
    "meta",
    "description",
];

/// The options, and whether the test is enabled.
pub(super) fn read(fields: &Fields<'_>, faults: &mut Faults) -> (Options, bool) {
    let config = fields.map("config", "the config of a test", &KEYS, faults);
    let either = |name: &str| config.get(name).or(fields.get(name));
    let severity = parsed(either("severity"), "severity", Severity::parse, faults);
    let filter = either("where").and_then(|node| expression(node, "where", faults));
    let warn_if = parsed(either("warn_if"), "warn_if", Threshold::parse, faults);
    let error_if = parsed(either("error_if"), "error_if", Threshold::parse, faults);
    let limit = parsed(either("limit"), "limit", limit, faults);
    let on_failure = parsed(either("on_failure"), "on_failure", OnFailure::parse, faults).unwrap_or_default();
    let enabled = either("enabled").is_none_or(|node| truth(node, "enabled", faults).unwrap_or(true));
    let severity = severity.unwrap_or_default();
    (Options { severity, filter, warn_if, error_if, limit, on_failure }, enabled)
}

fn limit(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("`limit` is a number of rows from 1, not `{text}`")),
        Ok(rows) => Ok(rows),
    }
}

fn parsed<T>(
    node: Option<&Node>,
    what: &str,
    parse: impl Fn(&str) -> Result<T, String>,
    faults: &mut Faults,
) -> Option<T> {
    let node = node?;
    let text = text(node, what, faults)?;
    faults.keep(parse(&text).map_err(|message| node.place.fault(message)))
}

/// An SQL expression, whole and nothing behind it.
pub(in crate::model) fn expression(node: &Node, what: &str, faults: &mut Faults) -> Option<String> {
    let text = text(node, what, faults)?;
    let checked = sql::check_expression(&text);
    faults
        .keep(checked.map_err(|found| node.place.fault(format!("`{what}` is no SQL expression: {}", found.message))))?;
    Some(text)
}
