//! Keys that occur more than once, each with the number of its rows. A key with a NULL in it is no key, as
//! in SQL's own UNIQUE.

use crate::ident::quote;

pub(super) fn failing_rows(subject: &str, columns: &[String]) -> String {
    let (list, present) = (list(columns), present(columns));
    format!("select {list}, count(*) as \"_rows\" from {subject} where {present} group by {list} having count(*) > 1")
}

/// The same when no key stands twice: only those of the added rows are counted, in both.
pub(super) fn failing_rows_of_added(standing: &str, added: &str, columns: &[String]) -> String {
    let (list, present) = (list(columns), present(columns));
    let same: Vec<String> =
        columns.iter().map(|column| quote(column)).map(|name| format!("standing.{name} = added.{name}")).collect();
    let of_standing: Vec<String> =
        columns.iter().map(|column| quote(column)).map(|name| format!("standing.{name}")).collect();
    format!(
        "with added as (select {list} from {added} where {present}), \
         standing as (select {list} from {standing} where {present}) \
         select {list}, count(*) as \"_rows\" from (select {list} from added union all select {} from standing \
         left semi join added on {}) as keys group by {list} having count(*) > 1",
        of_standing.join(", "),
        same.join(" and ")
    )
}

fn list(columns: &[String]) -> String {
    columns.iter().map(|column| quote(column)).collect::<Vec<_>>().join(", ")
}

fn present(columns: &[String]) -> String {
    columns.iter().map(|column| format!("{} is not null", quote(column))).collect::<Vec<_>>().join(" and ")
}
