//! Rows of a query as a table, CSV or JSON lines. Decimals and timestamps are text, digit for digit.

use super::output::{Format, written};
use super::screen::Screen;
use crate::error::{Context, Kind, Result};
use crate::flow::Stop;
use crate::flow::query::Rows;
use crate::flow::rows::{csv, csv_head};
use arrow::array::{Array, AsArray, RecordBatch, StructArray};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches_with_options;
use futures::StreamExt;
use serde_json::Value;
use std::io::{BufWriter, Write};

/// Rows a table shows; it has to be held as a whole to be framed.
const MOST_FRAMED: usize = 10_000;

/// Prints the rows on stdout: a table of the first [`MOST_FRAMED`] at the end, CSV and JSON all and as they come.
/// That a table was cut is said on `screen`.
pub async fn print(mut rows: Rows, format: Format, screen: &Screen, stop: &Stop) -> Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    if format == Format::Csv {
        written(out.write_all(csv_head(&rows.schema).as_bytes()))?;
    }
    let mut kept = vec![RecordBatch::new_empty(rows.schema.clone())];
    let (mut framed, mut is_cut) = (0, false);
    loop {
        let next = tokio::select! {
            next = rows.batches.next() => next,
            interrupted = stop.asked() => return Err(interrupted),
        };
        let Some(batch) = next.transpose()? else { break };
        match format {
            Format::Text if framed + batch.num_rows() > MOST_FRAMED => {
                kept.push(batch.slice(0, MOST_FRAMED - framed));
                is_cut = true;
                break;
            }
            Format::Text => {
                framed += batch.num_rows();
                kept.push(batch);
            }
            Format::Csv => written(out.write_all(csv(&batch)?.as_bytes()))?,
            Format::Json => {
                for row in json(&batch)? {
                    written(writeln!(out, "{row}"))?;
                }
            }
        }
    }
    if format == Format::Text {
        written(writeln!(out, "{}", table(&kept)?))?;
    }
    written(out.flush())?;
    if is_cut {
        screen.line(&format!("only the first {MOST_FRAMED} rows; `--output csv` prints all"));
    }
    Ok(())
}

/// A framed table; the number of rows stands below it.
pub fn table(batches: &[RecordBatch]) -> Result<String> {
    let framed = pretty_format_batches_with_options(batches, &FormatOptions::default().with_null("NULL"));
    let count: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let framed = framed.context(Kind::Internal, || "format the result")?;
    Ok(format!("{framed}\n({count} row{})", if count == 1 { "" } else { "s" }))
}

fn json(batch: &RecordBatch) -> Result<Vec<Value>> {
    let rows = StructArray::from(batch.clone());
    (0..rows.len()).map(|row| json_value(&rows, row)).collect()
}

/// Integers, finite floats and booleans as JSON's own; lists and structs likewise; all else as text.
fn json_value(array: &dyn Array, row: usize) -> Result<Value> {
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    let options = FormatOptions::default();
    let text = || -> Result<String> {
        let cell = ArrayFormatter::try_new(array, &options).context(Kind::Internal, || "format a value")?;
        Ok(cell.value(row).to_string())
    };
    Ok(match array.data_type() {
        DataType::Boolean => Value::Bool(array.as_boolean().value(row)),
        data_type if data_type.is_integer() || data_type.is_floating() => {
            let text = text()?;
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            Value::Array((0..items.len()).map(|item| json_value(&items, item)).collect::<Result<_>>()?)
        }
        DataType::Struct(fields) => {
            let mut object = serde_json::Map::new();
            for (field, column) in fields.iter().zip(array.as_struct().columns()) {
                object.insert(field.name().clone(), json_value(column, row)?);
            }
            Value::Object(object)
        }
        _ => Value::String(text()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
    use std::sync::Arc;

    fn batch() -> RecordBatch {
        let sales = Decimal128Array::from(vec![Some(523_690), None]).with_precision_and_scale(38, 2).unwrap();
        let at = TimestampMicrosecondArray::from(vec![Some(1_500_000_000_123_456), None]).with_timezone("+00:00");
        RecordBatch::try_from_iter([
            ("n", Arc::new(Int64Array::from(vec![Some(9_007_199_254_740_993), None])) as ArrayRef),
            ("f", Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(0.5)]))),
            ("sales", Arc::new(sales)),
            ("at", Arc::new(at)),
            ("t", Arc::new(StringArray::from(vec![Some("a \"b\", c"), Some("")]))),
        ])
        .unwrap()
    }

    #[test]
    fn json_keeps_every_digit() {
        let rows = json(&batch()).unwrap();
        assert_eq!(rows[0]["n"].to_string(), "9007199254740993");
        assert_eq!((rows[0]["f"].as_str(), rows[0]["sales"].as_str()), (Some("NaN"), Some("5236.90")));
        assert_eq!(rows[0]["at"], "2017-07-14T02:40:00.123456Z");
        assert_eq!((rows[1]["n"].is_null(), rows[1]["f"].to_string()), (true, "0.5".to_string()));
    }
}
