//! Silver columns: their names and the cast that makes each of a Bronze column.
//!
//! A value that does not fit its cast fails the promotion with a message; nothing becomes null silently.

use crate::ident;
use crate::source;
use std::collections::HashSet;

/// A column of the Silver and Gold tables.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub name: String,
    /// The header as it stands where Delta allows it, else the name Bronze makes of it.
    pub bronze: String,
    pub source: source::Column,
}

/// The columns of a table, and what the user should know about their names.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub columns: Vec<Column>,
    pub notes: Vec<String>,
}

/// Gives every source column a plain name, unique in the table, and finds it in Bronze. What can have no column in
/// Bronze stays in `_rescued`.
pub(super) fn named(columns: &[source::Column]) -> Named {
    let headers: HashSet<String> = columns.iter().map(|column| column.name.to_lowercase()).collect();
    let (mut taken, mut in_bronze, mut named) = (HashSet::new(), HashSet::new(), Named::default());
    for (index, column) in columns.iter().enumerate() {
        let header = &column.name;
        let Some(bronze) = bronze_name(header, &headers, &in_bronze) else {
            named.notes.push(format!("`{header}` is left in `_rescued`: Bronze can have no column of that name"));
            continue;
        };
        if ident::BRONZE_COLUMNS.contains(&header.to_lowercase().as_str()) {
            named.notes.push(format!("`{header}` is called `{bronze}`: Bronze has a column `{header}` of its own"));
        }
        in_bronze.insert(bronze.to_lowercase());
        let name = free_name(&plain_name(header, index), &mut taken);
        named.columns.push(Column { name, bronze, source: column.clone() });
    }
    named
}

fn plain_name(header: &str, index: usize) -> String {
    match ident::name_from(header) {
        None => format!("column_{}", index + 1),
        Some(name) if ident::is_postgres_column(&name) => format!("{name}_"),
        Some(name) => name,
    }
}

/// A record's field fills the column of its own name, else the one [`ident::name_from`] makes of it; a header that
/// could be mistaken for another one that way keeps its text. `None`: there can be no column for it.
fn bronze_name(header: &str, headers: &HashSet<String>, in_bronze: &HashSet<String>) -> Option<String> {
    let lower = header.to_lowercase();
    let is_own = |name: &str| ident::BRONZE_COLUMNS.contains(&name);
    let is_usable = !header.is_empty() && !is_own(&lower) && !in_bronze.contains(&lower);
    if is_usable && ident::is_portable_column(header) {
        return Some(header.to_string());
    }
    let made = ident::name_from(header)
        .filter(|made| !headers.contains(made) && !in_bronze.contains(made) && !is_own(made))
        .filter(|_| is_usable || is_own(&lower));
    made.or_else(|| is_usable.then(|| header.to_string()))
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
        self.source.kind.reading(&column)
    }

    /// Why the column stayed text, with the expressions to choose from. One line.
    pub fn remark(&self) -> Option<String> {
        let remark = self.source.remark.as_ref()?;
        let column = ident::quote(&self.bronze);
        let expressions: Vec<String> = self
            .source
            .readings
            .iter()
            .map(|found| match &found.sign {
                Some(sign) => found.kind.reading(&format!("replace({column}, {}, '')", ident::literal(sign))),
                None => found.kind.reading(&column),
            })
            .collect();
        let choice = if expressions.is_empty() { String::new() } else { format!(": {}", expressions.join(" or ")) };
        Some(format!("{remark}{choice}").replace(['\r', '\n'], " "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Kind, Reading};

    fn column(name: &str, kind: Kind) -> source::Column {
        let (name, record_type) = (name.into(), "text".into());
        source::Column { name, kind, record_type, nullable: true, remark: None, readings: Vec::new() }
    }

    #[test]
    fn names_are_plain_and_unique() {
        let headers = ["Author(s)", "author s", "книга", "Author_S_2", "order", "xmin"];
        let columns: Vec<source::Column> = headers.iter().map(|name| column(name, Kind::Text)).collect();
        let names: Vec<String> = named(&columns).columns.into_iter().map(|column| column.name).collect();
        assert_eq!(names, ["author_s", "author_s_2", "column_3", "author_s_2_2", "order", "xmin_"]);
        let mut taken = HashSet::from(["x".repeat(63)]);
        assert_eq!(free_name(&"x".repeat(63), &mut taken), format!("{}_2", "x".repeat(61)));
    }

    #[test]
    fn a_column_of_bronze_itself_is_not_declared_again() {
        let table: [(&[&str], &[&str], usize); 6] = [
            (&["_offset", "_id"], &["offset", "_id"], 1),
            (&["_Offset", "offset"], &["offset"], 1),
            (&["ID", "id"], &["ID"], 1),
            (&["", "a"], &["a"], 1),
            (&["Price (€)", "Price ($)"], &["price", "Price ($)"], 0),
            (&["author s", "author_s"], &["author s", "author_s"], 0),
        ];
        for (headers, expected, notes) in table {
            let columns: Vec<source::Column> = headers.iter().map(|name| column(name, Kind::Text)).collect();
            let named = named(&columns);
            let bronze: Vec<&str> = named.columns.iter().map(|column| column.bronze.as_str()).collect();
            assert_eq!((bronze.as_slice(), named.notes.len()), (expected, notes), "{headers:?}");
        }
        assert_eq!(ident::BRONZE_COLUMNS, crate::flow::bronze::SYSTEM_COLUMNS);
    }

    #[test]
    fn casts_are_written_out() {
        let decimal = |marks| Kind::Decimal { precision: 18, scale: 2, marks };
        let table = [
            (Kind::Text, r#"nullif(trim("A""b"), '')"#),
            (Kind::Bigint, r#"cast(nullif(trim("A""b"), '') as bigint)"#),
            (decimal("."), r#"parse_decimal("A""b", 18, 2)"#),
            (decimal(".,"), r#"parse_decimal("A""b", 18, 2, '.,')"#),
            (Kind::Date { format: Some("%d.%m.%Y".into()) }, r#"parse_date("A""b", '%d.%m.%Y')"#),
        ];
        for (kind, expected) in table {
            assert_eq!(named(&[column("A\"b", kind)]).columns[0].expression(), expected);
        }
    }

    #[test]
    fn a_doubtful_column_shows_its_casts() {
        let date = |format: &str| Reading { kind: Kind::Date { format: Some(format.into()) }, sign: None };
        let mut day = column("d", Kind::Text);
        day.remark = Some("in\ndoubt".into());
        day.readings = vec![date("%d/%m"), date("%m/%d"), Reading { kind: Kind::Bigint, sign: Some("%".into()) }];
        let expected = "in doubt: parse_date(\"d\", '%d/%m') or parse_date(\"d\", '%m/%d') or \
                        cast(nullif(trim(replace(\"d\", '%', '')), '') as bigint)";
        assert_eq!(named(&[day]).columns[0].remark().as_deref(), Some(expected));
    }
}
