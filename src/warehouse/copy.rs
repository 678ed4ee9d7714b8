//! Streams Arrow batches into a table by binary COPY.

use super::encode::{HEADER, Refused, TRAILER, put_rows};
use super::failure::Attempt;
use super::sql_type::sql_type;
use super::{Batches, Target};
use crate::error::{Error, Kind, Result};
use crate::ident::quote;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use std::pin::pin;
use tokio_postgres::Transaction;

/// Bytes of an encoded batch that are handed over at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Copies all rows into `into` (quoted), and answers how many there were. On an error the copy is
/// abandoned and the transaction with it.
pub async fn copy(transaction: &Transaction<'_>, into: &str, target: &Target, rows: &mut Batches) -> Result<u64> {
    let columns: Vec<String> = target.columns.iter().map(|column| quote(&column.name)).collect();
    let statement = format!("copy {into} ({}) from stdin (format binary)", columns.join(", "));
    let what = || format!("copy rows into `{}`", target.name);
    let sink = transaction.copy_in::<_, Bytes>(&statement).await.attempt(what)?;
    let mut sink = pin!(sink);
    let mut sent = 0u64;
    let mut buffer = HEADER.to_vec();
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        check_types(target, &batch)?;
        put_rows(&batch, &mut buffer).map_err(|refused| refusal(target, sent, &refused))?;
        sent += batch.num_rows() as u64;
        if buffer.len() >= CHUNK_BYTES {
            sink.feed(Bytes::from(std::mem::take(&mut buffer))).await.attempt(what)?;
        }
    }
    buffer.extend_from_slice(TRAILER);
    sink.feed(Bytes::from(buffer)).await.attempt(what)?;
    let arrived = sink.as_mut().finish().await.attempt(what)?;
    if arrived != sent {
        return Err(Error::internal(format!("`{}` took {arrived} of {sent} rows", target.name)));
    }
    Ok(sent)
}

/// A batch of other types than the table was made for would be misread by the server, not refused.
fn check_types(target: &Target, batch: &RecordBatch) -> Result<()> {
    let wanted = target.columns.iter().map(|column| sql_type(&column.data_type));
    let given = batch.columns().iter().map(|array| sql_type(array.data_type()));
    if wanted.eq(given) {
        return Ok(());
    }
    Err(Error::internal(format!("the rows of `{}` have other types than its schema", target.name)))
}

fn refusal(target: &Target, before: u64, refused: &Refused) -> Error {
    let column = target.columns.get(refused.column).map_or("", |column| column.name.as_str());
    let row = before + refused.row as u64 + 1;
    Error::new(Kind::Input, format!("`{}`: column `{column}` of row {row} {}", target.name, refused.reason))
        .hint("mend or remove the value in the model")
}
