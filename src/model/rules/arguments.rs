//! What a test says of its rule.

use super::options::expression;
use super::{DeclaredRule, Kind};
use crate::check::{Range, Rule, accepted_values};
use crate::ident::quote;
use crate::model::fault::{Faults, Place};
use crate::model::fields::{Fields, text, truth};
use crate::model::node::{Node, Value};

/// The arguments of one test.
pub(super) struct Arguments<'a> {
    pub name: &'a str,
    pub kind: Kind,
    pub column: Option<&'a str>,
    pub place: &'a Place,
    pub fields: [&'a Fields<'a>; 2],
}

impl Arguments<'_> {
    pub fn rule(&self, faults: &mut Faults) -> Option<DeclaredRule> {
        let rule = match self.kind {
            Kind::NotNull => Rule::NotNull { column: self.column(faults)? },
            Kind::Unique => Rule::Unique { columns: self.columns("columns", faults)? },
            Kind::CompoundUnique => Rule::Unique { columns: self.columns("combination_of_columns", faults)? },
            Kind::AcceptedValues => self.accepted_values(faults)?,
            Kind::AcceptedRange => self.accepted_range(faults)?,
            Kind::ExpressionIsTrue => self.expression_is_true(faults)?,
            Kind::NotEmptyString => self.not_empty_string(faults)?,
            Kind::RowCount => self.row_count(faults)?,
            Kind::Relationships => return self.relationships(faults),
        };
        Some(DeclaredRule::Known(rule))
    }

    fn relationships(&self, faults: &mut Faults) -> Option<DeclaredRule> {
        let (column, to) = (self.column(faults)?, self.required("to", faults)?);
        let field = text(self.required("field", faults)?, "field", faults)?;
        let to_place = to.place.clone();
        Some(DeclaredRule::Relationships { column, to: text(to, "to", faults)?, to_place, field })
    }

    fn accepted_values(&self, faults: &mut Faults) -> Option<Rule> {
        let column = self.column(faults)?;
        let nodes = self.required("values", faults)?;
        let Value::List(items) = &nodes.value else {
            faults.push(nodes.place.fault("`values` must be a list"));
            return None;
        };
        let quote = self.truth("quote", true, faults)?;
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
        (!values.is_empty()).then_some(Rule::AcceptedValues { column, values, quote })
    }

    fn accepted_range(&self, faults: &mut Faults) -> Option<Rule> {
        let column = self.column(faults)?;
        let mut end = |name| match self.get(name).filter(|node| !matches!(node.value, Value::Null)) {
            None => Some(None),
            Some(node) => expression(node, name, faults).map(Some),
        };
        let (least, greatest) = (end("min_value")?, end("max_value")?);
        self.some_end(least.is_some() || greatest.is_some(), faults)?;
        let inclusive = self.truth("inclusive", true, faults)?;
        Some(Rule::AcceptedRange { column, range: Range { least, greatest, inclusive } })
    }

    /// Below a column the expression goes on from it, as in dbt_utils: `>= 0`.
    fn expression_is_true(&self, faults: &mut Faults) -> Option<Rule> {
        let node = self.required("expression", faults)?;
        let Some(column) = self.column else {
            return Some(Rule::ExpressionIsTrue { expression: expression(node, "expression", faults)? });
        };
        let whole = format!("{} {}", quote(column), text(node, "expression", faults)?);
        let whole = Node { place: node.place.clone(), value: Value::Scalar(whole) };
        Some(Rule::ExpressionIsTrue { expression: expression(&whole, "expression", faults)? })
    }

    fn not_empty_string(&self, faults: &mut Faults) -> Option<Rule> {
        let column = quote(&self.column(faults)?);
        let expression = match self.truth("trim_whitespace", true, faults)? {
            true => format!("trim({column}) <> ''"),
            false => format!("{column} <> ''"),
        };
        Some(Rule::ExpressionIsTrue { expression })
    }

    fn row_count(&self, faults: &mut Faults) -> Option<Rule> {
        let mut end = |name| match self.get(name) {
            None => Some(None),
            Some(node) => match text(node, name, faults)?.parse() {
                Ok(rows) => Some(Some(rows)),
                Err(_) => {
                    faults.push(node.place.fault(format!("`{name}` is a number of rows")));
                    None
                }
            },
        };
        let (least, most) = (end("min_value")?, end("max_value")?);
        self.some_end(least.is_some() || most.is_some(), faults)?;
        Some(Rule::RowCount { least, most })
    }

    fn some_end(&self, given: bool, faults: &mut Faults) -> Option<()> {
        if !given {
            faults.push(self.place.fault(format!("`{}` needs `min_value` or `max_value`", self.name)));
        }
        given.then_some(())
    }

    fn get(&self, name: &str) -> Option<&Node> {
        self.fields.iter().find_map(|fields| fields.get(name))
    }

    fn truth(&self, name: &str, default: bool, faults: &mut Faults) -> Option<bool> {
        match self.get(name) {
            None => Some(default),
            Some(node) => truth(node, name, faults),
        }
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
