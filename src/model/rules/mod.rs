//! Tests as contracts write them: a name alone, or a name with its arguments below it.
//!
//! Both of dbt's places for arguments are read (directly below the name, or below `arguments:`), and both of
//! its places for options (directly, or below `config:`). dbt_utils' names of the same rules are understood.
//! `arguments` reads what a rule says, `options` what all take, `own` those whose query the project writes, `resolve` makes
//! the check of it.
//! To add a rule: a line in [`KINDS`] and an arm in `arguments`.

mod arguments;
mod options;
mod own;
mod resolve;

use crate::check::{self, Rule};
use crate::ident::suggestion;
use crate::model::fault::{Faults, Place};
use crate::model::fields::Fields;
use crate::model::node::{Node, Value};
use arguments::Arguments;
pub(super) use options::expression;
pub(super) use own::OwnTest;
pub(super) use resolve::{default_name, named, short, target};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    NotNull,
    Unique,
    CompoundUnique,
    AcceptedValues,
    AcceptedRange,
    Relationships,
    ExpressionIsTrue,
    NotEmptyString,
    RowCount,
}

/// (name, what it means, its arguments)
const KINDS: [(&str, Kind, &[&str]); 12] = [
    ("not_null", Kind::NotNull, &[]),
    ("unique", Kind::Unique, &["columns"]),
    ("accepted_values", Kind::AcceptedValues, &["values", "quote"]),
    ("accepted_range", Kind::AcceptedRange, &["min_value", "max_value", "inclusive"]),
    ("relationships", Kind::Relationships, &["to", "field"]),
    ("expression_is_true", Kind::ExpressionIsTrue, &["expression"]),
    ("row_count", Kind::RowCount, &["min_value", "max_value"]),
    ("dbt_utils.unique_combination_of_columns", Kind::CompoundUnique, &["combination_of_columns"]),
    ("dbt_utils.expression_is_true", Kind::ExpressionIsTrue, &["expression"]),
    ("dbt_utils.accepted_range", Kind::AcceptedRange, &["min_value", "max_value", "inclusive"]),
    ("dbt_utils.not_empty_string", Kind::NotEmptyString, &["trim_whitespace"]),
    ("dbt_expectations.expect_table_row_count_to_be_between", Kind::RowCount, &["min_value", "max_value"]),
];

/// What may stand beside the arguments of every test.
const OF_ALL: [&str; 3] = ["name", "config", "arguments"];

/// What is wrong with a test that is neither offered nor among `own`.
pub(super) fn unknown<'a>(name: &str, own: impl Iterator<Item = &'a str>) -> String {
    let offered = KINDS.map(|(name, ..)| name);
    let near = suggestion(name, offered.into_iter().chain(own));
    format!("unknown test `{name}`{near} (known are {}; others go into macros/)", offered.join(", "))
}

/// Whether a test of this name is offered.
pub(super) fn is_offered(name: &str) -> bool {
    KINDS.iter().any(|(known, ..)| *known == name)
}

/// A test as written, its other table not yet looked up.
#[derive(Debug, Clone)]
pub struct DeclaredTest {
    pub place: Place,
    pub name: Option<String>,
    pub options: check::Options,
    pub rule: DeclaredRule,
}

#[derive(Debug, Clone)]
pub enum DeclaredRule {
    Known(Rule),
    /// One whose query the project writes, if it does.
    Own(OwnTest),
    Relationships {
        column: String,
        to: String,
        to_place: Place,
        field: String,
    },
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
    let Some((_, kind, arguments)) = KINDS.iter().find(|(known, ..)| known == name) else {
        return own::read((name, place), body, column, faults);
    };
    let known: Vec<&str> = arguments.iter().chain(&OF_ALL).chain(&options::KEYS).copied().collect();
    let fields = Fields::of(body, &format!("the test {name}"), &known, faults);
    let nested = fields.map("arguments", &format!("the arguments of {name}"), arguments, faults);
    let reader = Arguments { name, kind: *kind, column, place, fields: [&nested, &fields] };
    let rule = reader.rule(faults)?;
    let (options, enabled) = options::read(&fields, faults);
    let test = DeclaredTest { place: place.clone(), name: fields.text("name", faults), options, rule };
    enabled.then_some(test)
}
