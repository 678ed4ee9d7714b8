//! `no_overlap`: at any time at most one row of a key is valid.

use crate::ident::quote;

/// Rows that begin before the one before them of the same key has ended, or end before they begin. Times are half open.
pub(super) fn failing_rows(subject: &str, key: &[String], from: &str, to: &str) -> String {
    let key = key.iter().map(|column| format!("subject.{}", quote(column))).collect::<Vec<_>>().join(", ");
    let (from, to) = (quote(from), quote(to));
    format!(
        "select * exclude (lake_ended, lake_nth) from (select subject.*, lag(subject.{to}) over before as lake_ended, \
         row_number() over before as lake_nth from {subject} window before as (partition by {key} \
         order by subject.{from}, subject.{to} nulls last)) as versions \
         where versions.{to} < versions.{from} \
         or (lake_nth > 1 and (lake_ended is null or lake_ended > versions.{from}))"
    )
}
