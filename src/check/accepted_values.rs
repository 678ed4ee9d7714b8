//! Rows whose column is none of the listed values; NULL is accepted.

use crate::ident::{literal, quote};

pub(super) fn failing_rows(subject: &str, column: &str, values: &[String], quoted: bool) -> String {
    format!("select * from {subject} where {}", condition(&quote(column), values, quoted))
}

/// True of a row that breaks the rule.
pub(super) fn condition(column: &str, values: &[String], quoted: bool) -> String {
    let values: Vec<String> = values.iter().map(|value| if quoted { literal(value) } else { value.clone() }).collect();
    format!("{column} is not null and {column} not in ({})", values.join(", "))
}

/// Whether a value may stand unquoted in SQL: a number, `true` or `false`.
pub(crate) fn is_bare(value: &str) -> bool {
    matches!(value, "true" | "false")
        || (value.parse::<f64>().is_ok() && value.chars().all(|c| c.is_ascii_digit() || ".-+eE".contains(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_and_booleans_stand_bare() {
        for good in ["1", "-1.5", "2e3", "true"] {
            assert!(is_bare(good), "{good}");
        }
        for bad in ["x", "1); drop", "inf", "nan", "", "'a'"] {
            assert!(!is_bare(bad), "{bad}");
        }
    }
}
