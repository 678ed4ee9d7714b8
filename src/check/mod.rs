//! Data tests: what each rule means, as a query for the rows that break it.
//!
//! Owns the SQL of every rule and nothing else: it neither runs queries nor decides what a failure does.
//! NULL is treated as dbt does: `unique`, `relationships` and `accepted_values` ignore it, `not_null` is
//! there for it. To add a rule: an arm of [`Rule`], a file with its `failing_rows`, an arm in each match below
//! and in `model::rules`.

pub(crate) mod accepted_values;
mod no_overlap;
mod not_null;
mod relationships;
mod unique;

use crate::ident::TableName;

/// What a failing data test does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Reported; the table is published all the same.
    Warn,
    /// The table is not published.
    Error,
}

impl Severity {
    /// `warn` or `error`; the message says so otherwise.
    pub fn parse(text: &str) -> std::result::Result<Severity, String> {
        match text.to_ascii_lowercase().as_str() {
            "warn" => Ok(Severity::Warn),
            "error" => Ok(Severity::Error),
            _ => Err(format!("unknown severity `{text}`, use warn or error")),
        }
    }
}

/// The rule, with its arguments as written.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    NotNull {
        column: String,
    },
    /// No two rows agree in all columns; rows with a NULL in one of them do not count.
    Unique {
        columns: Vec<String>,
    },
    /// Every value of `column` occurs in `field` of `to`.
    Relationships {
        column: String,
        to: TableName,
        field: String,
    },
    /// `quote`: the values are text literals; else numbers or booleans, written into the SQL as they are.
    AcceptedValues {
        column: String,
        values: Vec<String>,
        quote: bool,
    },
    /// Of rows with the same `key` no two are valid at the same time: from `from` up to `to`, NULL for ever.
    NoOverlap {
        key: Vec<String>,
        from: String,
        to: String,
    },
    /// `sql/checks/<name>.sql`: the rows it returns are failures. `reads` names its tables.
    Singular {
        sql: String,
        reads: Vec<TableName>,
    },
}

/// One data test on one table.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// dbt's naming: `not_null_fact_sale_book_key`.
    pub name: String,
    pub table: TableName,
    pub rule: Rule,
    pub severity: Severity,
    /// SQL condition on the tested table.
    pub filter: Option<String>,
}

impl Check {
    /// A query over `layer.name` tables; the rows it returns break the rule.
    pub fn failing_rows_sql(&self) -> String {
        let subject = self.subject();
        match &self.rule {
            Rule::NotNull { column } => not_null::failing_rows(&subject, column),
            Rule::Unique { columns } => unique::failing_rows(&subject, columns),
            Rule::Relationships { column, to, field } => relationships::failing_rows(&subject, column, to, field),
            Rule::AcceptedValues { column, values, quote } => {
                accepted_values::failing_rows(&subject, column, values, *quote)
            }
            Rule::NoOverlap { key, from, to } => no_overlap::failing_rows(&subject, key, from, to),
            Rule::Singular { sql, .. } => sql.clone(),
        }
    }

    /// A query for the number of failing rows, which reads only the columns the rule looks at. `None` for a
    /// singular check: its columns may share a name, so it cannot stand inside another query.
    pub fn count_sql(&self) -> Option<String> {
        match self.rule {
            Rule::Singular { .. } => None,
            _ => Some(format!("select count(*) as failures from ({}) as failing", self.failing_rows_sql())),
        }
    }

    /// Whether the rule holds for every row of a table that was published: a test that only warns or covers only some
    /// rows proves nothing.
    pub fn holds_for_every_row(&self) -> bool {
        self.severity == Severity::Error && self.filter.is_none()
    }

    /// Every table the query reads, the tested one first.
    pub fn tables(&self) -> Vec<TableName> {
        let others: &[TableName] = match &self.rule {
            Rule::NotNull { .. } | Rule::Unique { .. } | Rule::AcceptedValues { .. } | Rule::NoOverlap { .. } => &[],
            Rule::Relationships { to, .. } => std::slice::from_ref(to),
            Rule::Singular { reads, .. } => reads,
        };
        let mut tables = vec![self.table.clone()];
        tables.extend(others.iter().filter(|other| **other != self.table).cloned());
        tables
    }

    /// Changes whenever what the check demands changes.
    pub fn fingerprint(&self) -> String {
        format!("{} {:?} {}", self.name, self.severity, self.failing_rows_sql())
    }

    /// What is wrong when `failures` rows break the rule, as one sentence.
    pub fn message(&self, failures: u64) -> String {
        let rows = if failures == 1 { "1 row".to_string() } else { format!("{failures} rows") };
        let table = &self.table;
        match &self.rule {
            Rule::NotNull { column } => format!("{rows} of `{table}` without `{column}`"),
            Rule::Unique { columns } => {
                let keys = if failures == 1 { "1 key".to_string() } else { format!("{failures} keys") };
                format!("{keys} `{}` more than once in `{table}`", columns.join(", "))
            }
            Rule::Relationships { column, to, field } => {
                format!("{rows} of `{table}` whose `{column}` is no `{field}` of `{to}`")
            }
            Rule::AcceptedValues { column, .. } => {
                format!("{rows} of `{table}` whose `{column}` is not an accepted value")
            }
            Rule::NoOverlap { key, .. } => {
                format!("{rows} of `{table}` valid while another of the same `{}` is", key.join(", "))
            }
            Rule::Singular { .. } => format!("{rows} returned by sql/checks/{}.sql", self.name),
        }
    }

    /// The tested table as a FROM item named `subject`, narrowed by the filter.
    fn subject(&self) -> String {
        let table = self.table.quoted();
        match &self.filter {
            None => format!("{table} as subject"),
            // The line break ends a comment the filter may close with.
            Some(filter) => format!("(select * from {table} where ({filter}\n)) as subject"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: Rule, filter: Option<&str>) -> Check {
        Check {
            name: "a_check".into(),
            table: TableName::parse("gold.fact_sale").unwrap(),
            rule,
            severity: Severity::Error,
            filter: filter.map(str::to_string),
        }
    }

    #[test]
    fn each_rule_renders_its_failing_rows() {
        let to = TableName::parse("gold.dim_book").unwrap();
        let table = [
            (
                check(Rule::NotNull { column: "a".into() }, None),
                r#"select * from "gold"."fact_sale" as subject where "a" is null"#.to_string(),
            ),
            (
                check(Rule::NotNull { column: "a".into() }, Some("b > 1 -- c")),
                "select * from (select * from \"gold\".\"fact_sale\" where (b > 1 -- c\n)) as subject where \"a\" is null"
                    .to_string(),
            ),
            (
                check(Rule::Unique { columns: vec!["a".into(), "b\"".into()] }, None),
                r#"select "a", "b""", count(*) as "_rows" from "gold"."fact_sale" as subject where "a" is not null and "b""" is not null group by "a", "b""" having count(*) > 1"#
                    .to_string(),
            ),
            (
                check(Rule::Relationships { column: "a".into(), to, field: "k".into() }, None),
                r#"select subject.* from "gold"."fact_sale" as subject left join "gold"."dim_book" as parent on subject."a" = parent."k" where subject."a" is not null and parent."k" is null"#
                    .to_string(),
            ),
            (
                check(
                    Rule::AcceptedValues { column: "a".into(), values: vec!["x".into(), "it's".into()], quote: true },
                    None,
                ),
                r#"select * from "gold"."fact_sale" as subject where "a" is not null and "a" not in ('x', 'it''s')"#
                    .to_string(),
            ),
            (
                check(Rule::AcceptedValues { column: "a".into(), values: vec!["1".into()], quote: false }, None),
                r#"select * from "gold"."fact_sale" as subject where "a" is not null and "a" not in (1)"#.to_string(),
            ),
        ];
        for (check, expected) in table {
            assert_eq!(check.failing_rows_sql(), expected);
        }
    }

    #[test]
    fn a_message_names_table_and_column() {
        let check = check(Rule::Unique { columns: vec!["a".into()] }, None);
        assert_eq!(check.message(1), "1 key `a` more than once in `gold.fact_sale`");
        assert_eq!(check.message(3), "3 keys `a` more than once in `gold.fact_sale`");
    }

    #[test]
    fn severities_are_two() {
        assert_eq!(Severity::parse("WARN"), Ok(Severity::Warn));
        assert!(Severity::parse("fatal").unwrap_err().contains("use warn or error"));
    }
}
