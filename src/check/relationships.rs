//! Rows whose column points at nothing in the other table; a NULL points nowhere and is right.

use crate::ident::{TableName, quote};

pub(super) fn failing_rows(subject: &str, column: &str, to: &TableName, field: &str) -> String {
    let (child, parent) = (quote(column), quote(field));
    format!(
        "select subject.* from {subject} left join {} as parent on subject.{child} = parent.{parent} \
         where subject.{child} is not null and parent.{parent} is null",
        to.quoted()
    )
}
