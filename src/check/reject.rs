//! Rules about single rows, as a column beside a query's rows: which of them each row breaks.

use super::{Check, Rule, accepted_range, accepted_values, expression_is_true};
use crate::ident::{literal, quote};

/// Between the names in the column.
pub const SEPARATOR: &str = ", ";

/// `query` with one more column, `name`: the names of the checks its row breaks, NULL for none.
///
/// Only for checks of [`Rule::is_of_rows`]; the tables of their relationships must be known to the query.
pub fn marked(query: &str, name: &str, checks: &[&Check]) -> String {
    let (mut joins, mut marks) = (String::new(), Vec::new());
    for (at, check) in checks.iter().enumerate() {
        let Some((join, condition)) = broken_by(&check.rule, at) else { continue };
        joins += &join;
        let condition = match &check.options.filter {
            None => condition,
            Some(filter) => format!("({filter}\n) and ({condition})"),
        };
        marks.push(format!("case when {condition} then {} end", literal(&check.name)));
    }
    let (separator, marks) = (literal(SEPARATOR), marks.join(", "));
    let name = quote(name);
    format!(
        "select subject.*, nullif(concat_ws({separator}, {marks}), '') as {name} from ({query}\n) as subject{joins}"
    )
}

/// What has to be joined, and the condition true of a row that breaks the rule. A key is joined once, so that no row
/// comes out twice.
fn broken_by(rule: &Rule, at: usize) -> Option<(String, String)> {
    let of = |column: &str| format!("subject.{}", quote(column));
    let condition = match rule {
        Rule::NotNull { column } => format!("{} is null", of(column)),
        Rule::AcceptedValues { column, values, quote } => accepted_values::condition(&of(column), values, *quote),
        Rule::AcceptedRange { column, range } => accepted_range::condition(&of(column), range),
        Rule::ExpressionIsTrue { expression } => expression_is_true::condition(expression),
        Rule::Relationships { column, to, field } => {
            let (keys, key, column) = (format!("_keys_{at}"), format!("_key_{at}"), of(column));
            let join = format!(
                " left join (select distinct {} as {key} from {}) as {keys} on {column} = {keys}.{key}",
                quote(field),
                to.quoted()
            );
            return Some((join, format!("{column} is not null and {keys}.{key} is null")));
        }
        _ => return None,
    };
    Some((String::new(), condition))
}

impl Rule {
    /// Whether it speaks of each row alone, so that the rows that break it can be taken out.
    pub fn is_of_rows(&self) -> bool {
        match self {
            Rule::NotNull { .. } | Rule::AcceptedValues { .. } | Rule::AcceptedRange { .. } => true,
            Rule::ExpressionIsTrue { .. } | Rule::Relationships { .. } => true,
            Rule::Unique { .. } | Rule::RowCount { .. } | Rule::Freshness { .. } => false,
            Rule::NoOverlap { .. } | Rule::Singular { .. } => false,
        }
    }
}
