//! A table of too few rows or too many: one failing row, which tells their number.

pub(super) fn failing_rows(subject: &str, least: Option<u64>, most: Option<u64>) -> String {
    let few = least.map(|least| format!("count(*) < {least}"));
    let many = most.map(|most| format!("count(*) > {most}"));
    let wrong = few.into_iter().chain(many).collect::<Vec<_>>().join(" or ");
    format!("select count(*) as row_count from {subject} having {wrong}")
}

/// `at least 1`, `at most 5` or `1 to 5`.
pub(super) fn bounds(least: Option<u64>, most: Option<u64>) -> String {
    match (least, most) {
        (Some(least), Some(most)) => format!("{least} to {most}"),
        (Some(least), None) => format!("at least {least}"),
        (None, Some(most)) => format!("at most {most}"),
        (None, None) => "any number of".to_string(),
    }
}
