//! dbt's `constraints:` of a column, as tests: here they hold because every table is tested before its commit.

use crate::check::{Options, Rule};
use crate::model::fault::{Faults, Place};
use crate::model::fields::Fields;
use crate::model::rules::{DeclaredRule, DeclaredTest, expression};

const KNOWN: [&str; 4] = ["not_null", "unique", "primary_key", "check"];

/// The constraints of the column that `written`, its tests, do not say already.
pub(super) fn read(
    fields: &Fields<'_>,
    column: &str,
    written: &[DeclaredTest],
    faults: &mut Faults,
) -> Vec<DeclaredTest> {
    let mut tests: Vec<DeclaredTest> = Vec::new();
    for node in fields.list("constraints", faults) {
        let fields = Fields::of(node, "a constraint", &["type", "expression", "name"], faults);
        let Some((kind, place)) = fields.required("type", faults) else { continue };
        for rule in rules(&kind, &place, column, &fields, faults) {
            let says = |test: &DeclaredTest| {
                test.options == Options::default() && matches!(&test.rule, DeclaredRule::Known(known) if *known == rule)
            };
            if !written.iter().chain(&tests).any(says) {
                let rule = DeclaredRule::Known(rule);
                tests.push(DeclaredTest { place: place.clone(), name: None, options: Options::default(), rule });
            }
        }
    }
    tests
}

fn rules(kind: &str, place: &Place, column: &str, fields: &Fields<'_>, faults: &mut Faults) -> Vec<Rule> {
    let not_null = Rule::NotNull { column: column.to_string() };
    let unique = Rule::Unique { columns: vec![column.to_string()] };
    match kind {
        "not_null" => vec![not_null],
        "unique" => vec![unique],
        "primary_key" => vec![not_null, unique],
        "check" => match fields.get("expression") {
            Some(node) => {
                let expression = expression(node, "expression", faults);
                expression.map(|expression| Rule::ExpressionIsTrue { expression }).into_iter().collect()
            }
            None => {
                faults.push(place.fault("a `check` needs `expression`"));
                Vec::new()
            }
        },
        _ => {
            faults.push(place.fault(format!("unknown constraint `{kind}` (known are {})", KNOWN.join(", "))));
            Vec::new()
        }
    }
}
