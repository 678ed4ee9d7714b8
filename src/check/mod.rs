//! Data tests: what each rule means, as a query for the rows that break it.
//!
//! Owns the SQL of every rule and nothing else: it neither runs queries nor decides what a failure does.
//! NULL is treated as dbt does: `unique`, `relationships` and `accepted_values` ignore it, `not_null` is
//! there for it. `options` is what all rules take, `proof` what needs no query, `reject` which rows would have to go.
//! To add a rule: an arm of [`Rule`], a file with its `failing_rows`, an arm in each match below and in `model::rules`.

mod accepted_range;
pub(crate) mod accepted_values;
mod expression_is_true;
mod freshness;
mod no_overlap;
mod not_null;
mod options;
mod proof;
pub mod reject;
mod relationships;
mod row_count;
mod unique;

pub use accepted_range::Range;
pub use options::{OnFailure, Options, Severity, Threshold, Verdict};
pub use proof::Statistics;

use crate::ident::TableName;

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
    AcceptedRange {
        column: String,
        range: Range,
    },
    /// An SQL condition that is false of no row.
    ExpressionIsTrue {
        expression: String,
    },
    /// Rows of the table, both ends included; at least one is given.
    RowCount {
        least: Option<u64>,
        most: Option<u64>,
    },
    /// The newest `field`, an SQL expression, of a source is no older than this; one without rows is too old.
    Freshness {
        field: String,
        seconds: u64,
    },
    /// Of rows with the same `key` no two are valid at the same time: from `from` up to `to`, NULL for ever.
    NoOverlap {
        key: Vec<String>,
        from: String,
        to: String,
    },
    /// A query of the project's own in `file`: the rows it returns are failures. `reads` names its tables.
    Singular {
        sql: String,
        reads: Vec<TableName>,
        file: String,
    },
}

impl Rule {
    /// What contracts call it, and default names begin with.
    pub fn kind(&self) -> &'static str {
        match self {
            Rule::NotNull { .. } => "not_null",
            Rule::Unique { .. } => "unique",
            Rule::Relationships { .. } => "relationships",
            Rule::AcceptedValues { .. } => "accepted_values",
            Rule::AcceptedRange { .. } => "accepted_range",
            Rule::ExpressionIsTrue { .. } => "expression_is_true",
            Rule::RowCount { .. } => "row_count",
            Rule::Freshness { .. } => "freshness",
            Rule::NoOverlap { .. } => "no_overlap",
            Rule::Singular { .. } => "singular",
        }
    }
}

/// One data test on one table.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// dbt's naming: `not_null_fact_sale_book_key`.
    pub name: String,
    pub table: TableName,
    pub rule: Rule,
    pub options: Options,
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
            Rule::AcceptedRange { column, range } => accepted_range::failing_rows(&subject, column, range),
            Rule::ExpressionIsTrue { expression } => expression_is_true::failing_rows(&subject, expression),
            Rule::RowCount { least, most } => row_count::failing_rows(&subject, *least, *most),
            Rule::Freshness { field, seconds } => freshness::failing_rows(&subject, field, *seconds),
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
        self.options.lets_no_row_pass()
    }

    /// Every table the query reads, the tested one first.
    pub fn tables(&self) -> Vec<TableName> {
        let others: &[TableName] = match &self.rule {
            Rule::Relationships { to, .. } => std::slice::from_ref(to),
            Rule::Singular { reads, .. } => reads,
            _ => &[],
        };
        let mut tables = vec![self.table.clone()];
        tables.extend(others.iter().filter(|other| **other != self.table).cloned());
        tables
    }

    /// Changes whenever what the check demands changes.
    pub fn fingerprint(&self) -> String {
        self.fingerprint_of(&self.failing_rows_sql())
    }

    /// The same with another text for the query.
    pub fn fingerprint_of(&self, query: &str) -> String {
        format!("{} {} {query}", self.name, self.options.fingerprint())
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
            Rule::AcceptedRange { column, .. } => format!("{rows} of `{table}` whose `{column}` is out of range"),
            Rule::ExpressionIsTrue { expression } => {
                format!("{rows} of `{table}` for which `{expression}` is not true")
            }
            Rule::RowCount { least, most } => {
                format!("the number of rows of `{table}` is not {}", row_count::bounds(*least, *most))
            }
            Rule::Freshness { field, seconds } => {
                format!("the newest `{field}` of `{table}` is older than {}", freshness::age(*seconds))
            }
            Rule::NoOverlap { key, .. } => {
                format!("{rows} of `{table}` valid while another of the same `{}` is", key.join(", "))
            }
            Rule::Singular { file, .. } => format!("{rows} returned by {file}"),
        }
    }

    /// The same answer as [`Check::failing_rows_sql`] from less to read, when the rows of `added` are to join those of
    /// `standing`, of which none fails: a query over these two names.
    pub fn failing_rows_of_added_sql(&self, standing: &str, added: &str) -> Option<String> {
        match &self.rule {
            Rule::Unique { columns } => {
                Some(unique::failing_rows_of_added(&self.subject_of(standing), &self.subject_of(added), columns))
            }
            _ => None,
        }
    }

    /// The tested table as a FROM item named `subject`, narrowed by the filter.
    fn subject(&self) -> String {
        self.subject_of(&self.table.quoted())
    }

    fn subject_of(&self, table: &str) -> String {
        match &self.options.filter {
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
            options: Options { filter: filter.map(str::to_string), ..Options::default() },
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
            (
                check(
                    Rule::AcceptedRange {
                        column: "a".into(),
                        range: Range { least: Some("0".into()), greatest: Some("b".into()), inclusive: true },
                    },
                    None,
                ),
                "select * from \"gold\".\"fact_sale\" as subject where not (\"a\" >= (0\n)) or not (\"a\" <= (b\n))"
                    .to_string(),
            ),
            (
                check(
                    Rule::AcceptedRange {
                        column: "a".into(),
                        range: Range { least: Some("0".into()), greatest: None, inclusive: false },
                    },
                    None,
                ),
                "select * from \"gold\".\"fact_sale\" as subject where not (\"a\" > (0\n))".to_string(),
            ),
            (
                check(Rule::ExpressionIsTrue { expression: "a > b -- c".into() }, None),
                "select * from \"gold\".\"fact_sale\" as subject where not (a > b -- c\n)".to_string(),
            ),
            (
                check(Rule::RowCount { least: Some(1), most: Some(9) }, None),
                r#"select count(*) as row_count from "gold"."fact_sale" as subject having count(*) < 1 or count(*) > 9"#
                    .to_string(),
            ),
            (
                check(Rule::Freshness { field: "at".into(), seconds: 7200 }, None),
                "select max(at\n) as newest from \"gold\".\"fact_sale\" as subject having max(at\n) is null or max(at\n) < now() - \
                 interval '7200 seconds'"
                    .to_string(),
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
        let stale = Check { rule: Rule::Freshness { field: "at".into(), seconds: 7200 }, ..check.clone() };
        assert_eq!(stale.message(1), "the newest `at` of `gold.fact_sale` is older than 2 hours");
        assert_eq!(check.message(3), "3 keys `a` more than once in `gold.fact_sale`");
    }
}
