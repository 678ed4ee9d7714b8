//! The functions a query may call, as DataFusion documents them and as we document ours.

use super::Session;
use datafusion::logical_expr::Documentation;
use std::collections::BTreeMap;

/// One function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    /// Other names of it.
    pub aliases: Vec<String>,
    /// `scalar`, `aggregate`, `window` or `table`
    pub kind: &'static str,
    /// `date_trunc(precision, expression)`
    pub syntax: String,
    /// One sentence; empty where nobody wrote one.
    pub summary: String,
}

impl Session {
    /// Every function, by name.
    pub fn functions(&self) -> Vec<Function> {
        let state = self.context.state();
        let mut found = BTreeMap::new();
        for function in state.scalar_functions().values() {
            add(&mut found, "scalar", function.name(), function.aliases(), function.documentation());
        }
        for function in state.aggregate_functions().values() {
            add(&mut found, "aggregate", function.name(), function.aliases(), function.documentation());
        }
        for function in state.window_functions().values() {
            add(&mut found, "window", function.name(), function.aliases(), function.documentation());
        }
        for name in state.table_functions().keys() {
            add(&mut found, "table", name, &[], None);
        }
        found.into_values().collect()
    }
}

fn add(
    found: &mut BTreeMap<(String, &'static str), Function>,
    kind: &'static str,
    name: &str,
    aliases: &[String],
    documentation: Option<&Documentation>,
) {
    let sentence = |text: &str| {
        let line = text.trim().lines().next().unwrap_or_default();
        line.split_once(". ").map_or(line, |(first, _)| first).trim_end_matches('.').to_string()
    };
    let function = Function {
        name: name.to_string(),
        aliases: aliases.iter().filter(|alias| *alias != name).cloned().collect(),
        kind,
        syntax: documentation.map_or_else(|| format!("{name}(...)"), |found| found.syntax_example.trim().to_string()),
        summary: documentation.map(|found| sentence(&found.description)).unwrap_or_default(),
    };
    found.insert((name.to_string(), kind), function);
}
