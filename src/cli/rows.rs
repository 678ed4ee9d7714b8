//! Rows of a query as a table, CSV or JSON. Decimals and timestamps are text, digit for digit.

use super::output::{Format, written};
use super::screen::Screen;
use crate::error::{Context, Kind, Result};
use crate::flow::Stop;
use crate::flow::query::Rows;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StructArray};
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
        let names: Vec<String> = rows.schema.fields().iter().map(|field| csv_cell(field.name())).collect();
        written(writeln!(out, "{}", names.join(",")))?;
    }
    let mut kept = vec![RecordBatch::new_empty(rows.schema.clone())];
    let mut first = true;
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
                    let before = if std::mem::take(&mut first) { "[" } else { ",\n " };
                    written(write!(out, "{before}{row}"))?;
                }
            }
        }
    }
    match format {
        Format::Text => written(writeln!(out, "{}", table(&kept)?))?,
        Format::Json => written(writeln!(out, "{}", if first { "[]" } else { "]" }))?,
        Format::Csv => {}
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

/// Every value as text, row by row.
pub fn texts(batches: &[RecordBatch]) -> Result<Vec<Vec<Option<String>>>> {
    let options = FormatOptions::default();
    let mut rows = Vec::new();
    for batch in batches {
        let cells = formatters(batch.columns().iter(), &options)?;
        let text = |row, (cell, column): (&ArrayFormatter<'_>, &ArrayRef)| {
            (!column.is_null(row)).then(|| cell.value(row).to_string())
        };
        rows.extend(
            (0..batch.num_rows()).map(|row| cells.iter().zip(batch.columns()).map(|pair| text(row, pair)).collect()),
        );
    }
    Ok(rows)
}

fn csv(batch: &RecordBatch) -> Result<String> {
    let options = FormatOptions::default();
    let cells = formatters(batch.columns().iter(), &options)?;
    let mut text = String::new();
    for row in 0..batch.num_rows() {
        let line: Vec<String> = cells
            .iter()
            .zip(batch.columns())
            .map(
                |(cell, column)| {
                    if column.is_null(row) { String::new() } else { csv_cell(&cell.value(row).to_string()) }
                },
            )
            .collect();
        text.push_str(&line.join(","));
        text.push('\n');
    }
    Ok(text)
}

/// Quoted where RFC 4180 asks for it, and when empty, so that NULL stays apart from the empty text.
fn csv_cell(text: &str) -> String {
    if text.is_empty() || text.contains(['"', ',', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_string()
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

fn formatters<'a>(
    columns: impl Iterator<Item = &'a ArrayRef>,
    options: &'a FormatOptions<'a>,
) -> Result<Vec<ArrayFormatter<'a>>> {
    columns
        .map(|column| ArrayFormatter::try_new(column, options).context(Kind::Internal, || "format a column"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Decimal128Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
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
    fn csv_is_exact_and_keeps_null_apart_from_empty() {
        let expected = "9007199254740993,NaN,5236.90,2017-07-14T02:40:00.123456Z,\"a \"\"b\"\", c\"\n,0.5,,,\"\"\n";
        assert_eq!(csv(&batch()).unwrap(), expected);
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
