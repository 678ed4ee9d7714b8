//! From a test as written to a check of a table: its name, and the other table it speaks of.

use super::DeclaredTest;
use crate::check::{Check, OnFailure, Rule, Severity};
use crate::ident::{Layer, TableName};
use crate::model::fault::Fault;
use crate::model::names::{Names, rejected_of};

impl DeclaredTest {
    /// Refuses a name that is no name, and to take rows out where that is not possible.
    pub fn may_be(&self, check: &Check, names: &Names) -> Result<(), Fault> {
        let Check { name, table, rule, options } = check;
        if self.name.is_some() && !name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)) {
            let message = format!("the test name `{name}` may hold letters, digits, `_`, `.` and `-` only");
            return Err(self.place.fault(message));
        }
        if options.on_failure == OnFailure::Quarantine {
            self.can_quarantine(rule, table, names).map_err(|message| self.place.fault(message))?;
        }
        Ok(())
    }
}

impl DeclaredTest {
    /// Whether rows that fail can be taken out of the table; the message says why not.
    fn can_quarantine(&self, rule: &Rule, table: &TableName, names: &Names) -> Result<(), String> {
        if !rule.is_of_rows() || matches!(rule, Rule::Relationships { to, .. } if to == table) {
            return Err("`on_failure: quarantine` is for tests of single rows: not_null, accepted_values, \
                        accepted_range, expression_is_true and relationships with another table"
                .to_string());
        }
        if table.layer() == Layer::Bronze {
            return Err(format!("`on_failure: quarantine` is for models; the rows of `{table}` stand already"));
        }
        if self.options.severity == Severity::Warn {
            return Err(
                "`severity: warn` leaves failing rows in and `on_failure: quarantine` takes them out, write one"
                    .to_string(),
            );
        }
        let rejected = rejected_of(table).map_err(|error| error.to_string())?;
        match names.qualified(rejected.layer().as_str(), rejected.name()) {
            Ok(_) => Err(format!("the rejected rows would go to `{rejected}`, which is a model")),
            Err(_) => Ok(()),
        }
    }
}

/// dbt's names: `not_null_<table>_<column>`, with `source_` and the layer in front for a Bronze table.
pub(in crate::model) fn default_name(table: &TableName, rule: &Rule) -> String {
    let rest = match rule {
        Rule::NotNull { column } | Rule::AcceptedValues { column, .. } | Rule::AcceptedRange { column, .. } => {
            column.clone()
        }
        Rule::Unique { columns } => columns.join("_"),
        Rule::Relationships { column, to, field } => format!("{column}__{field}__{}", to.name()),
        Rule::ExpressionIsTrue { expression } => short(expression),
        Rule::NoOverlap { key, .. } => key.join("_"),
        Rule::RowCount { .. } | Rule::Freshness { .. } | Rule::Singular { .. } => String::new(),
    };
    named(rule.kind(), table, &rest)
}

/// The name of a test of this kind, `rest` behind it.
pub(in crate::model) fn named(kind: &str, table: &TableName, rest: &str) -> String {
    let rest = if rest.is_empty() { String::new() } else { format!("_{rest}") };
    match table.layer() {
        Layer::Bronze => format!("source_{kind}_bronze_{}{rest}", table.name()),
        _ => format!("{kind}_{}{rest}", table.name()),
    }
}

/// The letters and digits of an expression, as many as a name of a file takes well.
pub(in crate::model) fn short(expression: &str) -> String {
    const MOST: usize = 60;
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_").chars().take(MOST).collect()
}

/// `ref('x')`, `source('s', 'x')`, `layer.x` or `x`.
pub(in crate::model) fn target(written: &str, by: &TableName, names: &Names) -> Result<TableName, String> {
    let written = written.trim().trim_start_matches("{{").trim_end_matches("}}").trim();
    let Some((function, rest)) = written.split_once('(') else {
        return match written.split_once('.') {
            Some((layer, name)) => names.qualified(layer, name),
            None => names.unqualified(written, Some(by)),
        };
    };
    let inside = rest.strip_suffix(')').ok_or_else(|| format!("`{written}` has no `)`"))?;
    let arguments: Vec<&str> = inside.split(',').map(|part| part.trim().trim_matches(['\'', '"'])).collect();
    match (function.trim(), arguments.as_slice()) {
        ("ref", [name]) => names.reference(name, Some(by)),
        ("ref", [layer, name]) => names.qualified(layer, name),
        ("source", [source, table]) => names.source(source, table),
        _ => Err(format!("`{written}` is no table, write ref('name'), source('name', 'table') or layer.table")),
    }
}
