//! Rows of a query as a table, CSV or JSON lines. Decimals and timestamps are text, digit for digit.

use super::output::{Format, written};
use super::screen::Screen;
use crate::error::{Context, Kind, Result};
use crate::flow::Stop;
use crate::flow::query::Rows;
use crate::flow::rows::{csv, csv_head, json};
use arrow::array::RecordBatch;
use arrow::util::display::FormatOptions;
use arrow::util::pretty::pretty_format_batches_with_options;
use futures::StreamExt;
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
