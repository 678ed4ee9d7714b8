//! Asking for settings by key and collecting what is wrong with them.

use super::setting::{Place, Setting, Value};
use crate::error::{Error, Result};
use crate::ident::known_names;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// All layers merged, what was asked for so far, and the faults found so far.
pub struct Settings<'a> {
    pub project: &'a Path,
    pub env: &'a BTreeMap<String, String>,
    values: BTreeMap<String, Setting>,
    asked: BTreeSet<String>,
    asked_maps: BTreeSet<String>,
    faults: Vec<Fault>,
}

struct Fault {
    place: Option<Place>,
    message: String,
    remedy: Option<String>,
}

impl<'a> Settings<'a> {
    pub fn new(project: &'a Path, env: &'a BTreeMap<String, String>) -> Settings<'a> {
        Settings {
            project,
            env,
            values: BTreeMap::new(),
            asked: BTreeSet::new(),
            asked_maps: BTreeSet::new(),
            faults: Vec::new(),
        }
    }

    pub fn set(&mut self, key: String, setting: Setting) {
        self.values.insert(key, setting);
    }

    pub fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// The value of a key as text, references followed.
    pub fn text(&mut self, key: &str) -> Option<String> {
        self.asked.insert(key.to_string());
        let setting = self.values.get(key)?.clone();
        match setting.value {
            Value::Text(text) => Some(text),
            Value::FromVariable(name) => {
                let value = self.env.get(&name).cloned();
                if value.is_none() {
                    self.fault(key, format!("`{key}` wants the variable `{name}`"), Some(format!("set {name}")));
                }
                value
            }
            Value::FromFile(path) => self.file(key, Path::new(&path)),
            Value::List | Value::EmptyTable => {
                self.fault(key, format!("`{key}` is a list or a table, not a single value"), None);
                None
            }
        }
    }

    /// The value of a key through a parser of [`super::units`].
    pub fn parsed<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, &'static str>) -> Option<T> {
        let text = self.text(key)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(expected) => {
                self.fault(key, format!("`{key}` is `{text}`"), Some(format!("write {expected}")));
                None
            }
        }
    }

    /// All values below a key, under the rest of their names.
    pub fn map(&mut self, key: &str) -> BTreeMap<String, String> {
        self.asked_maps.insert(key.to_string());
        if self.values.get(key).is_some_and(|setting| !setting.value.is_empty_table()) {
            self.fault(key, format!("`{key}` is no table"), None);
        }
        let names: Vec<String> = self.values.keys().filter(|name| is_below(name, key)).cloned().collect();
        let value = |name: String| Some((name[key.len() + 1..].to_string(), self.text(&name)?));
        names.into_iter().filter_map(value).collect()
    }

    /// The text of a file a key names, relative to the project, without its last line end.
    pub fn file(&mut self, key: &str, path: &Path) -> Option<String> {
        let path = self.project.join(path);
        match std::fs::read_to_string(&path) {
            Ok(text) => Some(text.trim_end_matches(['\r', '\n']).to_string()),
            Err(error) => {
                let message = format!("`{key}` names the file `{}`: {error}", path.display());
                self.fault(key, message, Some("write the secret into that file, readable by you only".into()));
                None
            }
        }
    }

    /// Notes a fault of the value of `key`, in the place the value came from.
    pub fn fault(&mut self, key: &str, message: String, remedy: Option<String>) {
        let place = self.values.get(key).map(|setting| setting.place.clone());
        self.faults.push(Fault { place, message, remedy });
    }

    pub fn fault_at(&mut self, place: Place, message: String, remedy: Option<String>) {
        self.faults.push(Fault { place: Some(place), message, remedy });
    }

    /// Fails with everything that is wrong, unknown keys included.
    pub fn finish(mut self) -> Result<()> {
        self.find_unknown();
        let mut faults = self.faults;
        if faults.len() > 1 {
            let lines: Vec<String> = faults.iter().map(Fault::line).collect();
            return Err(Error::config(format!("{} settings are wrong\n  {}", lines.len(), lines.join("\n  "))));
        }
        let Some(fault) = faults.pop() else { return Ok(()) };
        let error = Error::config(fault.sentence());
        Err(match fault.remedy {
            Some(remedy) => error.hint(remedy),
            None => error,
        })
    }

    fn find_unknown(&mut self) {
        let unknown: Vec<(String, Place)> = self
            .values
            .iter()
            .filter(|(key, setting)| !self.is_known(key, &setting.value))
            .map(|(key, setting)| (key.clone(), setting.place.clone()))
            .collect();
        for (key, place) in unknown {
            let known: Vec<String> = self.asked.iter().map(|key| place.spelling(key)).collect();
            let spelled = match &place {
                Place::Variable(name) => name.clone(),
                Place::File { .. } | Place::Flag(_) => key,
            };
            let remedy = known_names(&spelled, known.iter().map(String::as_str));
            self.fault_at(place, format!("unknown setting `{spelled}`"), Some(remedy));
        }
    }

    fn is_known(&self, key: &str, value: &Value) -> bool {
        let empty_section = || value.is_empty_table() && self.asked.iter().any(|asked| is_below(asked, key));
        self.asked.contains(key) || self.asked_maps.contains(key) || empty_section()
    }
}

fn is_below(name: &str, key: &str) -> bool {
    name.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'))
}

impl Fault {
    fn sentence(&self) -> String {
        match &self.place {
            Some(place) => format!("{place}: {}", self.message),
            None => self.message.clone(),
        }
    }

    fn line(&self) -> String {
        match &self.remedy {
            Some(remedy) => format!("{}; {remedy}", self.sentence()),
            None => self.sentence(),
        }
    }
}
