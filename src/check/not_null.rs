//! Rows in which the column is NULL.

use crate::ident::quote;

pub(super) fn failing_rows(subject: &str, column: &str) -> String {
    format!("select * from {subject} where {} is null", quote(column))
}
