//! Which of PostgreSQL's types hold every value of another, spelled as `format_type()` prints them.

/// Text also fits into the narrower character types, as far as each value does.
pub fn holds(found: &str, wanted: &str) -> bool {
    found == wanted || (wanted == "text" && found.starts_with("character"))
}

/// Whether every value of the type `found` is one of the type `wanted`, and Postgres turns it into that.
pub fn widens(found: &str, wanted: &str) -> bool {
    if let (Some(found), Some(wanted)) = (found.strip_suffix("[]"), wanted.strip_suffix("[]")) {
        return widens(found, wanted);
    }
    if let (Some((before, after)), true) = (digits(found), wanted.starts_with("numeric(")) {
        return digits(wanted).is_some_and(|room| before <= room.0 && after <= room.1);
    }
    matches!(
        (found, wanted),
        ("smallint", "integer" | "bigint" | "real" | "double precision")
            | ("integer", "bigint" | "double precision")
            | ("real", "double precision")
            | ("date", "timestamp without time zone")
    )
}

/// Digits before and behind the point that values of an exact type may have.
fn digits(sql_type: &str) -> Option<(u32, u32)> {
    match sql_type {
        "smallint" => return Some((5, 0)),
        "integer" => return Some((10, 0)),
        "bigint" => return Some((19, 0)),
        _ => {}
    }
    let (precision, scale) = sql_type.strip_prefix("numeric(")?.strip_suffix(')')?.split_once(',')?;
    let (precision, scale): (u32, u32) = (precision.parse().ok()?, scale.parse().ok()?);
    Some((precision.checked_sub(scale)?, scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_keeps_every_value_is_widened() {
        let wider = [
            ("smallint", "integer"),
            ("integer", "bigint"),
            ("bigint", "numeric(20,0)"),
            ("integer", "numeric(12,2)"),
            ("numeric(10,2)", "numeric(12,2)"),
            ("numeric(10,2)", "numeric(12,4)"),
            ("real", "double precision"),
            ("integer[]", "bigint[]"),
            ("date", "timestamp without time zone"),
        ];
        for (found, wanted) in wider {
            assert!(widens(found, wanted), "{found} -> {wanted}");
            assert!(!widens(wanted, found), "{wanted} -> {found}");
        }
        let other = [
            ("numeric(10,2)", "numeric(11,4)"),
            ("numeric", "numeric(10,2)"),
            ("integer", "numeric(11,2)"),
            ("bigint", "double precision"),
            ("date", "timestamp with time zone"),
            ("text", "integer"),
            ("integer", "bigint[]"),
            ("numeric(5,0)", "bigint"),
        ];
        for (found, wanted) in other {
            assert!(!widens(found, wanted), "{found} -> {wanted}");
        }
    }
}
