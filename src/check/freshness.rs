//! A source whose newest row is too old, or that has none: one failing row, which tells the newest time.

pub(super) fn failing_rows(subject: &str, field: &str, seconds: u64) -> String {
    let newest = format!("max({field}\n)");
    format!(
        "select {newest} as newest from {subject} \
         having {newest} is null or {newest} < now() - interval '{seconds} seconds'"
    )
}

/// `90 seconds`, `5 minutes`, `36 hours`, `3 days`: in the largest unit that tells it exactly.
pub(super) fn age(seconds: u64) -> String {
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let (size, unit) = units.into_iter().find(|(size, _)| seconds.is_multiple_of(*size)).unwrap_or((1, "second"));
    let count = seconds / size;
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}
