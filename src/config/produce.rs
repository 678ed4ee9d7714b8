//! `[[produce]]`: the declared sources.

use super::setting::{Place, line_of};
use super::settings::Settings;
use super::{FILE, fields};
use crate::ident::known_names;
use crate::source::SourceConfig;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Reads the entries; what is wrong goes to `settings` as faults.
pub fn read(settings: &mut Settings, text: &str, entries: Spanned<DeValue<'_>>) -> Vec<SourceConfig> {
    let line = line_of(text, entries.span().start);
    let DeValue::Array(entries) = entries.into_inner() else {
        settings.fault_at(Place::file(line), "`produce` is no list".into(), Some("write [[produce]]".into()));
        return Vec::new();
    };
    let mut sources: Vec<SourceConfig> = Vec::new();
    for entry in entries {
        let line = line_of(text, entry.span().start);
        let Some(source) = one(settings, text, entry) else { continue };
        if let Some(fault) = incomplete(&source, &sources) {
            settings.fault_at(Place::file(line), fault, None);
        }
        sources.push(source);
    }
    sources
}

fn one(settings: &mut Settings, text: &str, mut entry: Spanned<DeValue<'_>>) -> Option<SourceConfig> {
    if let DeValue::Table(table) = entry.as_mut() {
        drop_unknown(settings, text, table);
    }
    let start = entry.span().start;
    match SourceConfig::deserialize(entry.into_deserializer()) {
        Ok(source) => Some(source),
        Err(error) => {
            let line = line_of(text, error.span().map_or(start, |span| span.start));
            settings.fault_at(Place::file(line), format!("[[produce]]: {}", error.message()), None);
            None
        }
    }
}

/// Takes unknown keys out, so that the rest of the entry is checked too.
fn drop_unknown(settings: &mut Settings, text: &str, table: &mut DeTable<'_>) {
    let known = fields::of::<SourceConfig>();
    let (kept, unknown): (Vec<_>, Vec<_>) =
        std::mem::take(table).into_iter().partition(|(key, _)| known.contains(&key.get_ref().as_ref()));
    table.extend(kept);
    for (key, _) in unknown {
        let place = Place::file(line_of(text, key.span().start));
        let remedy = known_names(key.get_ref(), known.iter().copied());
        settings.fault_at(place, format!("unknown key `{}` in [[produce]]", key.get_ref()), Some(remedy));
    }
}

fn incomplete(source: &SourceConfig, earlier: &[SourceConfig]) -> Option<String> {
    if source.name.is_empty() {
        return Some("a [[produce]] entry has no `name`".into());
    }
    if source.files.is_empty() {
        return Some(format!("source `{}` has no `files`", source.name));
    }
    earlier
        .iter()
        .any(|other| other.name == source.name)
        .then(|| format!("source `{}` is declared twice in {FILE}", source.name))
}
