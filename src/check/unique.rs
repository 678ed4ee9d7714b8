//! Keys that occur more than once, each with the number of its rows. A key with a NULL in it is no key, as
//! in SQL's own UNIQUE.

use crate::ident::quote;

pub(super) fn failing_rows(subject: &str, columns: &[String]) -> String {
    let columns: Vec<String> = columns.iter().map(|column| quote(column)).collect();
    let list = columns.join(", ");
    let present: Vec<String> = columns.iter().map(|column| format!("{column} is not null")).collect();
    format!(
        "select {list}, count(*) as \"_rows\" from {subject} where {} group by {list} having count(*) > 1",
        present.join(" and ")
    )
}
