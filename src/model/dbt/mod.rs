//! `dbt_project.yml`: a dbt project's folder read as it is.
//!
//! Owns what that file means here: folders, variables, and the configs it gives whole folders ([`Tree`]). Keys that
//! speak of dbt's own tool or of a connection are passed over, hooks are refused because nothing would run them, any
//! other key is a fault. Never reads another file.

#[cfg(test)]
mod tests;
mod tree;

use crate::error::Result;
use crate::model::fault::Faults;
use crate::model::fields::{Fields, texts};
use crate::model::files::{Folders, SourceFile, read_one};
use crate::model::node::{self, Key, Node, Value};
use crate::model::template::{Texts, Vars, value_of};
use std::path::Path;
use tree::Tree;

/// The file that makes a folder a dbt project.
pub const FILE: &str = "dbt_project.yml";

const PATHS: [&str; 5] = ["model-paths", "seed-paths", "macro-paths", "test-paths", "snapshot-paths"];
const HOOKS: [&str; 2] = ["on-run-start", "on-run-end"];
const TESTS: [&str; 2] = ["tests", "data_tests"];
const PASSED_OVER: [&str; 25] = [
    "analysis-paths",
    "asset-paths",
    "clean-targets",
    "config-version",
    "dbt-cloud",
    "dispatch",
    "docs-paths",
    "exposures",
    "flags",
    "function-paths",
    "log-path",
    "metrics",
    "packages-install-path",
    "profile",
    "query-comment",
    "quoting",
    "require-dbt-version",
    "restrict-access",
    "saved-queries",
    "semantic-models",
    "sources",
    "target-path",
    "unit_tests",
    "vars-path",
    "version",
];
/// Configs of tests that change what a test means.
const TEST_CONFIGS: [&str; 7] = ["severity", "warn_if", "error_if", "where", "limit", "enabled", "fail_calc"];

/// What the file says.
#[derive(Debug, Default)]
pub(super) struct ProjectFile {
    pub name: String,
    pub folders: Folders,
    pub vars: Vars,
    models: Tree,
    seeds: Tree,
    snapshots: Tree,
}

/// Reads the file; `None` when there is none. `given` are the variables set elsewhere, which win.
pub(super) fn read(root: &Path, given: &Vars, faults: &mut Faults) -> Result<Option<ProjectFile>> {
    let Some(file) = read_one(root, FILE)? else { return Ok(None) };
    let mut project = ProjectFile::default();
    if let Some(mut tree) = faults.keep(node::parse(&file)) {
        project.read(&mut tree, given, faults);
    }
    Ok(Some(project))
}

impl ProjectFile {
    fn read(&mut self, root: &mut Node, given: &Vars, faults: &mut Faults) {
        let read = ["name", "vars", "models", "seeds", "snapshots"];
        let known: Vec<&str> =
            [&read[..], &PATHS, &HOOKS, &TESTS, &PASSED_OVER].into_iter().flatten().copied().collect();
        if let Some((name, _)) = Fields::of(root, "dbt_project.yml", &known, faults).required("name", faults) {
            self.name = name;
        }
        self.vars = vars(root, &self.name);
        self.vars.extend(given.iter().map(|(name, value)| (name.clone(), value.clone())));
        Texts::of_vars(&self.vars).expand(root, &["vars"], faults);
        // Its faults were told above; the texts are those after expansion.
        let fields = Fields::of(root, "dbt_project.yml", &known, &mut Faults::default());
        self.folders = folders(&fields, faults);
        for hook in HOOKS.iter().filter_map(|hook| fields.get(hook)).filter(|node| is_given(node)) {
            let message = "hooks are not run: make it a model, or a file in sql/warehouse";
            faults.push(hook.place.fault(message));
        }
        for node in TESTS.iter().filter_map(|key| fields.get(key)) {
            refuse_test_configs(node, faults);
        }
        self.models = Tree::read(fields.get("models"), &self.name, faults);
        self.seeds = Tree::read(fields.get("seeds"), &self.name, faults);
        self.snapshots = Tree::read(fields.get("snapshots"), &self.name, faults);
    }

    /// The configs that hold for a model, a seed or a snapshot, as a map.
    pub fn config_of(&self, file: &SourceFile) -> Option<Node> {
        let Folders { models, seeds, snapshots, .. } = &self.folders;
        let (tree, mut steps) = match () {
            () if file.is_seed() => (&self.seeds, file.folders_below(seeds)?),
            // One that a contract declares may lie beside models.
            () if file.is_snapshot() => (&self.snapshots, file.folders_below(snapshots).unwrap_or_default()),
            () => (&self.models, file.folders_below(models)?),
        };
        if file.is_snapshot() {
            // dbt counts the file among the folders of what is written in it.
            steps.push(file.stem());
        }
        steps.push(file.name());
        tree.config_of(&steps)
    }
}

fn is_given(node: &Node) -> bool {
    match &node.value {
        Value::Null => false,
        Value::Scalar(text) => !text.is_empty(),
        Value::List(items) => !items.is_empty(),
        Value::Map(entries) => !entries.is_empty(),
    }
}

/// `vars:`, those of the project's own name among the others.
fn vars(root: &Node, project: &str) -> Vars {
    let Some(Value::Map(entries)) = entry(root, "vars").map(|node| &node.value) else { return Vars::new() };
    let mut vars = Vars::new();
    for (key, node) in entries {
        match &node.value {
            Value::Map(own) if key.name == project => vars.extend(own.iter().map(named)),
            _ => drop(vars.insert(key.name.clone(), value_of(node))),
        }
    }
    vars
}

fn named((key, node): &(Key, Node)) -> (String, minijinja::Value) {
    (key.name.clone(), value_of(node))
}

fn entry<'a>(root: &'a Node, name: &str) -> Option<&'a Node> {
    let Value::Map(entries) = &root.value else { return None };
    entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
}

fn folders(fields: &Fields<'_>, faults: &mut Faults) -> Folders {
    let mut read = |name: &str, usual: &str| -> Vec<String> {
        let Some(node) = fields.get(name) else { return vec![usual.to_string()] };
        let given = texts(node, name, faults);
        if let Some(outside) = given.iter().find(|path| path.starts_with('/') || path.contains("..")) {
            faults.push(node.place.fault(format!("`{outside}` does not lie in the project")));
        }
        given.iter().map(|path| path.trim_start_matches("./").trim_end_matches('/').to_string()).collect()
    };
    Folders {
        models: read("model-paths", "models"),
        seeds: read("seed-paths", "seeds"),
        macros: read("macro-paths", "macros"),
        tests: read("test-paths", "tests"),
        snapshots: read("snapshot-paths", "snapshots"),
    }
}

/// A config for all tests would change what they mean.
fn refuse_test_configs(node: &Node, faults: &mut Faults) {
    let Value::Map(entries) = &node.value else { return };
    for (key, node) in entries {
        let name = key.name.trim_start_matches('+');
        if TEST_CONFIGS.contains(&name) && !matches!(node.value, Value::Map(_)) {
            faults.push(key.place.fault(format!("`{name}` is read at each test, not for whole folders")));
        }
        refuse_test_configs(node, faults);
    }
}
