//! Tests as contracts write them: a name alone, or a name with its arguments below it.
//!
//! Both of dbt's places for arguments are read (directly below the name, or below `arguments:`), and both of
//! its places for `severity` and `where` (directly, or below `config:`).

use crate::check::{Rule, Severity, accepted_values};
use crate::ident::{TableName, suggestion};
use crate::model::fault::{Fault, Faults, Place};
use crate::model::fields::{Fields, text};
use crate::model::names::Names;
use crate::model::node::{Node, Value};

const COMPOUND_UNIQUE: &str = "dbt_utils.unique_combination_of_columns";
const KNOWN: [&str; 5] = ["not_null", "unique", "accepted_values", "relationships", COMPOUND_UNIQUE];
const OPTIONS: [&str; 5] = ["name", "config", "severity", "where", "arguments"];

/// A test as written, its other table not yet looked up.
#[derive(Debug, Clone)]
pub struct DeclaredTest {
    pub place: Place,
    pub name: Option<String>,
    pub severity: Severity,
    pub filter: Option<String>,
    pub rule: DeclaredRule,
}

#[derive(Debug, Clone)]
pub enum DeclaredRule {
    NotNull { column: String },
    Unique { columns: Vec<String> },
    AcceptedValues { column: String, values: Vec<String>, quote: bool },
    Relationships { column: String, to: String, to_place: Place, field: String },
}

/// The tests of a column, or of a table when `column` is `None`.
pub(super) fn read_tests(fields: &Fields<'_>, column: Option<&str>, faults: &mut Faults) -> Vec<DeclaredTest> {
    let nodes = fields.list("tests", faults).iter().chain(fields.list("data_tests", faults));
    let nodes: Vec<&Node> = nodes.collect();
    nodes.into_iter().filter_map(|node| read_test(node, column, faults)).collect()
}

fn read_test(node: &Node, column: Option<&str>, faults: &mut Faults) -> Option<DeclaredTest> {
    let nothing = Node { place: node.place.clone(), value: Value::Null };
    let (name, place, body) = match &node.value {
        Value::Scalar(name) => (name, &node.place, &nothing),
        Value::Map(entries) if entries.len() == 1 => (&entries[0].0.name, &entries[0].0.place, &entries[0].1),
        _ => {
            faults.push(node.place.fault("a test is a name, or a name with its arguments indented below it"));
            return None;
        }
    };
    let arguments: &[&str] = match name.as_str() {
        "not_null" => &[],
        "unique" => &["columns"],
        "accepted_values" => &["values", "quote"],
        "relationships" => &["to", "field"],
        COMPOUND_UNIQUE => &["combination_of_columns"],
        _ => {
            let near = suggestion(name, KNOWN);
            faults.push(place.fault(format!("unknown test `{name}`{near} (known are {})", KNOWN.join(", "))));
            return None;
        }
    };
    let known: Vec<&str> = arguments.iter().chain(&OPTIONS).copied().collect();
    let fields = Fields::of(body, &format!("the test {name}"), &known, faults);
    let nested = fields.map("arguments", &format!("the arguments of {name}"), arguments, faults);
    let reader = Arguments { name, column, place, fields: [&nested, &fields] };
    let rule = reader.rule(faults)?;
    let (severity, filter) = read_options(&fields, faults);
    Some(DeclaredTest { place: place.clone(), name: fields.text("name", faults), severity, filter, rule })
}

fn read_options(fields: &Fields<'_>, faults: &mut Faults) -> (Severity, Option<String>) {
    let config = fields.map("config", "the config of a test", &["severity", "where"], faults);
    let either = |name: &str| config.get(name).or(fields.get(name));
    let severity = either("severity").and_then(|node| {
        let text = text(node, "severity", faults)?;
        faults.keep(Severity::parse(&text).map_err(|message| node.place.fault(message)))
    });
    let filter = either("where").and_then(|node| text(node, "where", faults));
    (severity.unwrap_or(Severity::Error), filter)
}

/// The arguments of one test.
struct Arguments<'a> {
    name: &'a str,
    column: Option<&'a str>,
    place: &'a Place,
    fields: [&'a Fields<'a>; 2],
}

impl Arguments<'_> {
    fn rule(&self, faults: &mut Faults) -> Option<DeclaredRule> {
        match self.name {
            "not_null" => Some(DeclaredRule::NotNull { column: self.column(faults)? }),
            "unique" => Some(DeclaredRule::Unique { columns: self.columns("columns", faults)? }),
            COMPOUND_UNIQUE => Some(DeclaredRule::Unique { columns: self.columns("combination_of_columns", faults)? }),
            "relationships" => {
                let (column, to) = (self.column(faults)?, self.required("to", faults)?);
                let field = text(self.required("field", faults)?, "field", faults)?;
                let to_place = to.place.clone();
                Some(DeclaredRule::Relationships { column, to: text(to, "to", faults)?, to_place, field })
            }
            _ => self.accepted_values(faults),
        }
    }

    fn accepted_values(&self, faults: &mut Faults) -> Option<DeclaredRule> {
        let column = self.column(faults)?;
        let nodes = self.required("values", faults)?;
        let Value::List(items) = &nodes.value else {
            faults.push(nodes.place.fault("`values` must be a list"));
            return None;
        };
        let quote = match self.get("quote").map(|node| (node, text(node, "quote", faults))) {
            None | Some((_, None)) => true,
            Some((node, Some(word))) => match word.as_str() {
                "true" => true,
                "false" => false,
                _ => {
                    faults.push(node.place.fault("`quote` is true or false"));
                    return None;
                }
            },
        };
        let mut values = Vec::new();
        for item in items {
            match text(item, "values", faults) {
                Some(value) if !quote && !accepted_values::is_bare(&value) => {
                    faults.push(item.place.fault(format!("`{value}` is no number, so `quote: false` cannot be used")));
                }
                Some(value) => values.push(value),
                None => {}
            }
        }
        if items.is_empty() {
            faults.push(nodes.place.fault("`values` is empty"));
        }
        (!values.is_empty()).then_some(DeclaredRule::AcceptedValues { column, values, quote })
    }

    fn get(&self, name: &str) -> Option<&Node> {
        self.fields.iter().find_map(|fields| fields.get(name))
    }

    fn required(&self, name: &str, faults: &mut Faults) -> Option<&Node> {
        let found = self.get(name);
        if found.is_none() {
            faults.push(self.place.fault(format!("`{}` needs `{name}`", self.name)));
        }
        found
    }

    fn column(&self, faults: &mut Faults) -> Option<String> {
        if self.column.is_none() {
            faults.push(self.place.fault(format!("`{}` belongs below a column", self.name)));
        }
        self.column.map(str::to_string)
    }

    /// The columns listed under `name`, else the column the test stands below.
    fn columns(&self, name: &str, faults: &mut Faults) -> Option<Vec<String>> {
        if self.get(name).is_none() && self.column.is_some() {
            return Some(vec![self.column(faults)?]);
        }
        self.required(name, faults)?;
        let columns: Vec<String> = self.fields.iter().flat_map(|fields| fields.texts(name, faults)).collect();
        if columns.is_empty() {
            faults.push(self.place.fault(format!("`{name}` is empty")));
            return None;
        }
        Some(columns)
    }
}

impl DeclaredTest {
    /// The check on `table`, its `to` looked up.
    pub fn resolve(&self, table: &TableName, names: &Names) -> Result<crate::check::Check, Fault> {
        let rule = match self.rule.clone() {
            DeclaredRule::NotNull { column } => Rule::NotNull { column },
            DeclaredRule::Unique { columns } => Rule::Unique { columns },
            DeclaredRule::AcceptedValues { column, values, quote } => Rule::AcceptedValues { column, values, quote },
            DeclaredRule::Relationships { column, to, to_place, field } => {
                let to = target(&to, table, names).map_err(|message| to_place.fault(message))?;
                Rule::Relationships { column, to, field }
            }
        };
        let name = self.name.clone().unwrap_or_else(|| default_name(table, &rule));
        if self.name.is_some() && !name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)) {
            let message = format!("the test name `{name}` may hold letters, digits, `_`, `.` and `-` only");
            return Err(self.place.fault(message));
        }
        let (severity, filter) = (self.severity, self.filter.clone());
        Ok(crate::check::Check { name, table: table.clone(), rule, severity, filter })
    }
}

/// dbt's names: `not_null_<table>_<column>`, with `source_` and the layer in front for a Bronze table.
fn default_name(table: &TableName, rule: &Rule) -> String {
    let (kind, rest) = match rule {
        Rule::NotNull { column } => ("not_null", column.clone()),
        Rule::Unique { columns } => ("unique", columns.join("_")),
        Rule::AcceptedValues { column, .. } => ("accepted_values", column.clone()),
        Rule::Relationships { column, to, field } => ("relationships", format!("{column}__{field}__{}", to.name())),
        Rule::NoOverlap { key, .. } => ("no_overlap", key.join("_")),
        Rule::Singular { .. } => ("singular", String::new()),
    };
    match table.layer() {
        crate::ident::Layer::Bronze => format!("source_{kind}_bronze_{}_{rest}", table.name()),
        _ => format!("{kind}_{}_{rest}", table.name()),
    }
}

/// `ref('x')`, `source('s', 'x')`, `layer.x` or `x`.
fn target(written: &str, by: &TableName, names: &Names) -> Result<TableName, String> {
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
