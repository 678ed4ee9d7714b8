//! The layers, flattened: dotted key -> value and the place it stands in. A later layer overwrites.

use super::setting::{PREFIX, Place, Setting, Value, line_of};
use super::settings::Settings;
use super::{FILE, produce};
use crate::error::{Context, Kind, Result};
use crate::source::SourceConfig;
use std::collections::BTreeMap;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Below this key a variable's `_` is librdkafka's `.`: `LAKE__KAFKA__PROPERTIES__SASL_PASSWORD`.
const DOTTED: &str = "kafka.properties.";

/// A setting given on the command line, for example (`kafka.brokers`, `127.0.0.1:9092`, `--brokers`).
pub struct Flag {
    pub key: &'static str,
    pub value: String,
    pub name: &'static str,
}

/// Fills `settings` from `lake.toml`, the variables and the flags; yields the declared sources.
/// Fails when `lake.toml` exists and cannot be read.
pub fn read(settings: &mut Settings, flags: &[Flag]) -> Result<Vec<SourceConfig>> {
    let path = settings.project.join(FILE);
    let sources = match std::fs::read_to_string(&path) {
        Ok(text) => file_layer(settings, &text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).context(Kind::Config, || format!("read `{}`", path.display())),
    };
    variable_layer(settings);
    for flag in flags {
        settings
            .set(flag.key.into(), Setting { place: Place::Flag(flag.name), value: Value::Text(flag.value.clone()) });
    }
    Ok(sources)
}

fn file_layer(settings: &mut Settings, text: &str) -> Vec<SourceConfig> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        // Only the message: the error's own rendering quotes the line, and the line may hold a secret.
        let line = line_of(text, error.span().map_or(0, |span| span.start));
        settings.fault_at(Place::file(line), error.message().to_string(), None);
    }
    let mut sources = Vec::new();
    for (key, value) in table.into_inner() {
        match key.get_ref().as_ref() {
            "produce" => sources = produce::read(settings, text, value),
            section => flatten(settings, text, section, key.span().start, &value),
        }
    }
    sources
}

fn flatten(settings: &mut Settings, text: &str, path: &str, at: usize, value: &Spanned<DeValue<'_>>) {
    let value = match value.get_ref() {
        DeValue::Table(table) if !table.is_empty() => match reference(path, table) {
            Some(reference) => reference,
            None => {
                for (key, inner) in table {
                    flatten(settings, text, &format!("{path}.{}", key.get_ref()), key.span().start, inner);
                }
                return;
            }
        },
        DeValue::Table(_) => Value::EmptyTable,
        DeValue::Array(_) => Value::List,
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => Value::Text(number.to_string()),
        DeValue::Float(number) => Value::Text(number.to_string()),
        DeValue::Boolean(truth) => Value::Text(truth.to_string()),
        DeValue::Datetime(time) => Value::Text(time.to_string()),
    };
    settings.set(path.into(), Setting { place: Place::file(line_of(text, at)), value });
}

/// `{ env = ".." }` or `{ file = ".." }` in the place of a value; a whole section is never one.
fn reference(path: &str, table: &DeTable<'_>) -> Option<Value> {
    let mut entries = table.iter();
    let ((key, value), None) = (entries.next()?, entries.next()) else { return None };
    let target = value.get_ref().as_str()?.to_string();
    match key.get_ref().as_ref() {
        _ if !path.contains('.') => None,
        "env" => Some(Value::FromVariable(target)),
        "file" => Some(Value::FromFile(target)),
        _ => None,
    }
}

fn variable_layer(settings: &mut Settings) {
    let variables: BTreeMap<String, String> =
        settings.env.iter().filter(|(name, _)| name.starts_with(PREFIX)).map(|(n, v)| (n.clone(), v.clone())).collect();
    for (name, value) in variables {
        let key = name[PREFIX.len()..].to_ascii_lowercase().replace("__", ".");
        let key = match key.strip_prefix(DOTTED) {
            Some(property) => format!("{DOTTED}{}", property.replace('_', ".")),
            None => key,
        };
        settings.set(key, Setting { place: Place::Variable(name), value: Value::Text(value) });
    }
}
