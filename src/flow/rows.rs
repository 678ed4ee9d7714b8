//! Rows as text: each value digit for digit, as Arrow writes it, and as CSV.
//!
//! NULL stays apart from the empty text: in a row it is none, in CSV an empty cell beside `""`. Never holds more
//! than one batch, never decides where a text goes.

use crate::error::{Context, Kind, Result};
use arrow::array::Array;
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// Every value as text, row by row; NULL is none.
pub fn texts(batch: &RecordBatch) -> Result<Vec<Vec<Option<String>>>> {
    let options = FormatOptions::default();
    let doing = || "write values as text";
    let cells = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options));
    let cells = cells.collect::<Result<Vec<_>, _>>().context(Kind::Internal, doing)?;
    let text = |row: usize, column: usize| match batch.column(column).is_null(row) {
        true => Ok(None),
        false => cells[column].value(row).try_to_string().map(Some).context(Kind::Internal, doing),
    };
    let row = |row| (0..batch.num_columns()).map(|column| text(row, column)).collect();
    (0..batch.num_rows()).map(row).collect()
}

/// The first line of CSV, with its line end.
pub fn csv_head(schema: &Schema) -> String {
    line(schema.fields().iter().map(|field| csv_cell(field.name())))
}

/// One line of CSV for each row.
pub fn csv(batch: &RecordBatch) -> Result<String> {
    let lines = texts(batch)?
        .into_iter()
        .map(|row| line(row.iter().map(|cell| cell.as_deref().map_or_else(String::new, csv_cell))));
    Ok(lines.collect())
}

fn line(cells: impl Iterator<Item = String>) -> String {
    cells.collect::<Vec<_>>().join(",") + "\n"
}

/// Quoted where RFC 4180 asks for it, and when empty.
fn csv_cell(text: &str) -> String {
    if text.is_empty() || text.contains(['"', ',', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
    use std::sync::Arc;

    #[test]
    fn csv_is_exact_and_keeps_null_apart_from_empty() {
        let sales = Decimal128Array::from(vec![Some(523_690), None]).with_precision_and_scale(38, 2).unwrap();
        let at = TimestampMicrosecondArray::from(vec![Some(1_500_000_000_123_456), None]).with_timezone("+00:00");
        let batch = RecordBatch::try_from_iter([
            ("n", Arc::new(Int64Array::from(vec![Some(9_007_199_254_740_993), None])) as ArrayRef),
            ("f", Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(0.5)]))),
            ("sales, all", Arc::new(sales)),
            ("at", Arc::new(at)),
            ("t", Arc::new(StringArray::from(vec![Some("a \"b\", c"), Some("")]))),
        ])
        .unwrap();
        assert_eq!(csv_head(&batch.schema()), "n,f,\"sales, all\",at,t\n");
        let expected = "9007199254740993,NaN,5236.90,2017-07-14T02:40:00.123456Z,\"a \"\"b\"\", c\"\n,0.5,,,\"\"\n";
        assert_eq!(csv(&batch).unwrap(), expected);
    }
}
