//! Rows for which an SQL expression is false. As in dbt, one that comes to NULL is accepted.

pub(super) fn failing_rows(subject: &str, expression: &str) -> String {
    format!("select * from {subject} where {}", condition(expression))
}

/// True of a row that breaks the rule. The line break ends a comment the expression may close with.
pub(super) fn condition(expression: &str) -> String {
    format!("not ({expression}\n)")
}
