//! Rows whose column lies outside a range; NULL is accepted.

use crate::ident::quote;

/// The ends are SQL expressions, so that one may be another column.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    pub least: Option<String>,
    pub greatest: Option<String>,
    /// Whether the ends belong to it.
    pub inclusive: bool,
}

pub(super) fn failing_rows(subject: &str, column: &str, range: &Range) -> String {
    format!("select * from {subject} where {}", condition(&quote(column), range))
}

/// True of a row that breaks the rule.
pub(super) fn condition(column: &str, range: &Range) -> String {
    let or_equal = if range.inclusive { "=" } else { "" };
    let end =
        |sign: &str, end: &Option<String>| end.as_ref().map(|end| format!("not ({column} {sign}{or_equal} ({end}\n))"));
    let ends = [end(">", &range.least), end("<", &range.greatest)];
    ends.into_iter().flatten().collect::<Vec<_>>().join(" or ")
}
