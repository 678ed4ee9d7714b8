//! dbt's `constraints:` of a column or a model. They are tests: here they hold because every table is tested before its
//! commit. A `check` is a condition of the table in the warehouse, too.

use crate::check::{Options, Rule};
use crate::engine::{portable, sql};
use crate::model::Condition;
use crate::model::fault::{Faults, Place};
use crate::model::fields::{Fields, text};
use crate::model::rules::{DeclaredRule, DeclaredTest};

const KNOWN: [&str; 4] = ["not_null", "unique", "primary_key", "check"];
/// dbt's warnings about warehouses that do not enforce a constraint are passed over.
const KEYS: [&str; 6] = ["type", "expression", "name", "columns", "warn_unenforced", "warn_unsupported"];
/// Digits of an expression's digest that name a check which has no name.
const NAME_DIGITS: usize = 12;

/// What constraints ask for.
#[derive(Default)]
pub(super) struct Constraints {
    pub tests: Vec<DeclaredTest>,
    pub conditions: Vec<(Condition, Place)>,
}

/// The constraints of a column, of the model when there is none; no tests that `written` says already.
pub(super) fn read(
    fields: &Fields<'_>,
    column: Option<&str>,
    written: &[DeclaredTest],
    faults: &mut Faults,
) -> Constraints {
    let mut found = Constraints::default();
    for node in fields.list("constraints", faults) {
        let fields = Fields::of(node, "a constraint", &KEYS, faults);
        let Some((kind, place)) = fields.required("type", faults) else { continue };
        let rules = match kind.as_str() {
            "check" => check(&fields, &place, faults).map(|(rule, condition)| {
                found.conditions.push((condition, place.clone()));
                vec![rule]
            }),
            _ => {
                let columns = column.map_or_else(|| fields.texts("columns", faults), |column| vec![column.to_string()]);
                faults.keep(rules(&kind, columns).map_err(|message| place.fault(message)))
            }
        };
        for rule in rules.unwrap_or_default() {
            let says = |test: &DeclaredTest| {
                test.options == Options::default() && matches!(&test.rule, DeclaredRule::Known(known) if *known == rule)
            };
            if !written.iter().chain(&found.tests).any(says) {
                let rule = DeclaredRule::Known(rule);
                found.tests.push(DeclaredTest { place: place.clone(), name: None, options: Options::default(), rule });
            }
        }
    }
    found
}

fn rules(kind: &str, columns: Vec<String>) -> Result<Vec<Rule>, String> {
    let not_null = columns.iter().map(|column| Rule::NotNull { column: column.clone() });
    match kind {
        "not_null" | "unique" | "primary_key" if columns.is_empty() => {
            Err(format!("`{kind}` of a model needs `columns`"))
        }
        "not_null" => Ok(not_null.collect()),
        "unique" => Ok(vec![Rule::Unique { columns }]),
        "primary_key" => Ok(not_null.chain([Rule::Unique { columns: columns.clone() }]).collect()),
        _ => Err(format!("unknown constraint `{kind}` (known are {})", KNOWN.join(", "))),
    }
}

fn check(fields: &Fields<'_>, place: &Place, faults: &mut Faults) -> Option<(Rule, Condition)> {
    let Some(node) = fields.get("expression") else {
        faults.push(place.fault("a `check` needs `expression`"));
        return None;
    };
    let written = text(node, "expression", faults)?;
    let portable = portable::expression(&written);
    let refused = |message: &str| node.place.fault(format!("`expression` is no check of a row: {message}"));
    let expression = faults.keep(portable.map_err(|fault| refused(&fault.message)))?;
    let by_content = || format!("check_{}", &sql::digest(&expression)[..NAME_DIGITS]);
    let name = fields.text("name", faults).unwrap_or_else(by_content);
    Some((Rule::ExpressionIsTrue { expression: written }, Condition { name, expression }))
}

/// Each condition of a model once; a name stands for one of them.
pub(super) fn distinct(conditions: Vec<(Condition, Place)>, faults: &mut Faults) -> Vec<Condition> {
    let mut kept: Vec<Condition> = Vec::new();
    for (condition, place) in conditions {
        match kept.iter().find(|known| known.name == condition.name) {
            None => kept.push(condition),
            Some(known) if *known == condition => {}
            Some(_) => faults.push(place.fault(format!("two checks of one model are called `{}`", condition.name))),
        }
    }
    kept
}
