//! Silver columns: their names and the cast that makes each of a Bronze column.
//!
//! A value that does not fit its cast fails the promotion with a message; nothing becomes null silently.

use crate::ident;
use crate::source::{self, Kind};
use std::collections::HashSet;

/// A column of the Silver and Gold tables.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub name: String,
    /// The header as it stands where Delta allows it, else the name Bronze makes of it.
    pub bronze: String,
    pub source: source::Column,
}

/// Gives every source column a plain name, unique in the table.
pub(super) fn named(columns: &[source::Column]) -> Vec<Column> {
    let mut taken = HashSet::new();
    let named = columns.iter().enumerate().map(|(index, column)| {
        let wanted = ident::name_from(&column.name).unwrap_or_else(|| format!("column_{}", index + 1));
        let name = free_name(&wanted, &mut taken);
        Column { bronze: bronze_name(&column.name, &name, columns), name, source: castable(column.clone()) }
    });
    named.collect()
}

/// Times that are not written as ISO 8601 stay text: with a session time zone set, DataFusion 55's `to_timestamp`
/// functions answer another type than they announce, and a plain cast reads ISO 8601 only.
fn castable(mut column: source::Column) -> source::Column {
    if let Kind::Timestamp { format: Some(format), .. } = &column.kind {
        column.remark = Some(format!("times written as {format}, kept as text"));
        column.kind = Kind::Text;
    }
    column
}

/// A record's field fills the column of its own name, else the one [`ident::name_from`] makes of it; a header that
/// could be mistaken for another one that way keeps its text.
fn bronze_name(header: &str, plain: &str, columns: &[source::Column]) -> String {
    let made = ident::name_from(header);
    let taken = columns.iter().any(|other| other.name == plain);
    match !ident::is_portable_column(header) && made.as_deref() == Some(plain) && !taken {
        true => plain.to_string(),
        false => header.to_string(),
    }
}

/// `wanted`, or with `_2`, `_3`, ... when it is taken; kept within 63 characters.
pub(super) fn free_name(wanted: &str, taken: &mut HashSet<String>) -> String {
    let mut name = wanted.to_string();
    let mut number = 1;
    while !taken.insert(name.clone()) {
        number += 1;
        let suffix = format!("_{number}");
        name = format!("{}{suffix}", &wanted[..wanted.len().min(63 - suffix.len())]);
    }
    name
}

impl Column {
    /// The SQL expression over the Bronze column.
    pub fn expression(&self) -> String {
        let column = ident::quote(&self.bronze);
        if self.source.record_type != "text" {
            return column;
        }
        let text = format!("nullif(trim({column}), '')");
        let with_point = |comma: bool| if comma { format!("replace({text}, ',', '.')") } else { text.clone() };
        let sql_type = self.source.kind.sql_type();
        match &self.source.kind {
            Kind::Text => text,
            Kind::Boolean | Kind::Bigint | Kind::Date { format: None } => format!("cast({text} as {sql_type})"),
            Kind::WholeDecimal => format!("cast(regexp_replace({text}, '[.]0$', '') as {sql_type})"),
            Kind::Decimal { comma, .. } | Kind::Double { comma } => {
                format!("cast({} as {sql_type})", with_point(*comma))
            }
            Kind::Date { format: Some(format) } => format!("to_date({text}, {})", ident::literal(format)),
            // `named` leaves no other format.
            Kind::Timestamp { has_zone: false, .. } => format!("cast({text} as timestamp)"),
            Kind::Timestamp { has_zone: true, .. } => {
                format!("arrow_cast({text}, 'Timestamp(Microsecond, Some(\"UTC\"))')")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: Kind) -> source::Column {
        source::Column { name: name.into(), kind, record_type: "text".into(), nullable: true, remark: None }
    }

    #[test]
    fn names_are_plain_and_unique() {
        let headers = ["Author(s)", "author s", "книга", "Author_S_2", "order"];
        let columns: Vec<source::Column> = headers.iter().map(|name| column(name, Kind::Text)).collect();
        let names: Vec<String> = named(&columns).into_iter().map(|column| column.name).collect();
        assert_eq!(names, ["author_s", "author_s_2", "column_3", "author_s_2_2", "order"]);
        let mut taken = HashSet::from(["x".repeat(63)]);
        assert_eq!(free_name(&"x".repeat(63), &mut taken), format!("{}_2", "x".repeat(61)));
    }

    #[test]
    fn casts_are_written_out() {
        let decimal = |comma| Kind::Decimal { precision: 18, scale: 2, comma };
        let table = [
            (Kind::Text, r#"nullif(trim("A""b"""), '')"#),
            (Kind::Bigint, r#"cast(nullif(trim("A""b"""), '') as bigint)"#),
            (decimal(false), r#"cast(nullif(trim("A""b"""), '') as decimal(18,2))"#),
            (decimal(true), r#"cast(replace(nullif(trim("A""b"""), ''), ',', '.') as decimal(18,2))"#),
            (Kind::Date { format: Some("%d.%m.%Y".into()) }, r#"to_date(nullif(trim("A""b"""), ''), '%d.%m.%Y')"#),
        ];
        for (kind, expected) in table {
            let columns = named(&[column("A\"b\"", kind)]);
            assert_eq!(columns[0].expression(), expected);
        }
    }
}
