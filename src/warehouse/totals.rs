//! One row that sums up a table, computed by the same SQL in the lake and in the warehouse.
//!
//! Everything in it is exact and independent of the rows' order: the count of rows, per column the count
//! of values, sums of integers, decimals and text lengths, counts of true, first and last date. Floats
//! are only counted, their sums depend on the order; so are timestamps, whose text differs.

use crate::ident::quote;
use arrow::datatypes::{DataType, Schema};

/// What to select, and what each selected text means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// `rows`, then `count of price`, `sum of price`, ...
    pub labels: Vec<String>,
    pub sql: String,
}

/// The query over `from` (quoted) for DataFusion and PostgreSQL alike; each column of its row is text.
pub fn totals(schema: &Schema, from: &str) -> Totals {
    let mut parts = vec![("rows".to_string(), "count(*)".to_string())];
    for field in schema.fields() {
        let (name, column) = (field.name(), quote(field.name()));
        parts.push((format!("count of {name}"), format!("count({column})")));
        for (label, sql) in measures(field.data_type(), &column) {
            parts.push((format!("{label} of {name}"), sql));
        }
    }
    let selected = parts.iter().enumerate().map(|(index, (_, sql))| format!("cast({sql} as varchar) as c{index}"));
    let sql = format!("select {} from {from}", selected.collect::<Vec<_>>().join(", "));
    Totals { labels: parts.into_iter().map(|(label, _)| label).collect(), sql }
}

fn measures(data_type: &DataType, column: &str) -> Vec<(&'static str, String)> {
    use DataType::*;
    match data_type {
        Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64 => {
            vec![("sum", format!("sum(cast({column} as decimal(38,0)))"))]
        }
        Decimal128(_, scale) if *scale >= 0 => vec![("sum", format!("sum(cast({column} as decimal(38,{scale})))"))],
        Utf8 | LargeUtf8 | Utf8View => {
            vec![("length", format!("sum(cast(character_length({column}) as decimal(38,0)))"))]
        }
        Boolean => vec![("true", format!("sum(case when {column} then 1 else 0 end)"))],
        Date32 => vec![("first", format!("min({column})")), ("last", format!("max({column})"))],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Field;

    #[test]
    fn each_type_has_its_measures() {
        let schema = Schema::new(vec![
            Field::new("price", DataType::Decimal128(10, 2), true),
            Field::new("weight", DataType::Float64, true),
            Field::new("day", DataType::Date32, true),
        ]);
        let totals = totals(&schema, "\"gold\".\"t\"");
        assert_eq!(
            totals.labels,
            [
                "rows",
                "count of price",
                "sum of price",
                "count of weight",
                "count of day",
                "first of day",
                "last of day"
            ]
        );
        assert!(
            totals.sql.starts_with("select cast(count(*) as varchar) as c0, cast(count(\"price\") as varchar) as c1")
        );
        assert!(totals.sql.ends_with(" from \"gold\".\"t\""));
    }
}
