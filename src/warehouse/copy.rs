//! Streams Arrow batches into a table by binary COPY.
//!
//! Rows are read and encoded ahead of what the server takes, a few pieces at most. What cannot be sent, and what the
//! server refuses, is told with its row.

use super::culprit::failing;
use super::encode::{HEADER, Refused, TRAILER, put_rows};
use super::failure::{Attempt, copy_place, failed_check};
use super::sql_type::sql_type;
use super::{Batches, Rows, Target, place};
use crate::error::{Error, Kind, Result};
use crate::ident::quote;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use std::pin::pin;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_postgres::Transaction;

/// Bytes of encoded rows that are handed over at once.
const PIECE_BYTES: usize = 1 << 20;
/// Pieces encoded ahead.
const AHEAD: usize = 4;

/// Copies all rows into `into` (quoted), and answers how many there were. On an error the copy is
/// abandoned and the transaction with it.
pub async fn copy(transaction: &Transaction<'_>, into: &str, target: &Target, rows: &dyn Rows) -> Result<u64> {
    let columns: Vec<String> = target.columns.iter().map(|column| quote(&column.name)).collect();
    let statement = format!("copy {into} ({}) from stdin (format binary)", columns.join(", "));
    let mut pieces = encoded(target.clone(), rows.open().await?);
    let (mut sent, mut complete) = (0, false);
    let copied = async {
        let sink = transaction.copy_in::<_, Bytes>(&statement).await.map_err(Broken::Server)?;
        let mut sink = pin!(sink);
        while let Some(piece) = pieces.recv().await {
            let piece = piece.map_err(Broken::Rows)?;
            sink.feed(piece.bytes).await.map_err(Broken::Server)?;
            (sent, complete) = (sent + piece.rows, piece.is_last);
        }
        if !complete {
            // Whatever ended their reader: the server would take a COPY without its end for a whole one.
            return Err(Broken::Rows(Error::internal(format!("the rows of `{}` broke off", target.name))));
        }
        sink.as_mut().finish().await.map_err(Broken::Server)
    };
    let arrived = match copied.await {
        Ok(arrived) => arrived,
        Err(Broken::Rows(error)) => return Err(error),
        Err(Broken::Server(error)) => return refused(target, rows, error).await,
    };
    if arrived != sent {
        return Err(Error::internal(format!("`{}` took {arrived} of {sent} rows", target.name)));
    }
    Ok(sent)
}

/// Whose failure ended a copy.
enum Broken {
    Rows(Error),
    Server(tokio_postgres::Error),
}

/// The server names a line of the COPY: that row is looked up.
async fn refused(target: &Target, rows: &dyn Rows, error: tokio_postgres::Error) -> Result<u64> {
    let mut what = format!("copy rows into `{}`", target.name);
    if let Some((line, column)) = copy_place(&error) {
        let row = place::nth(target, rows, line).await.unwrap_or_else(|| format!("row {line}"));
        let column = column.map(|column| format!("column `{column}` of ")).unwrap_or_default();
        let check = failed_check(&error).and_then(|name| target.checks.iter().find(|check| check.name == name));
        what = match check {
            Some(check) => failing(target, &row, check),
            None => format!("{what}: {column}{row}"),
        };
    }
    Err(error).attempt(|| what)
}

/// A piece of the stream to be sent.
struct Piece {
    bytes: Bytes,
    /// How many rows end in it.
    rows: u64,
    is_last: bool,
}

/// The COPY stream of the rows, made while earlier pieces are under way.
fn encoded(target: Target, batches: Batches) -> Receiver<Result<Piece>> {
    let (sender, receiver) = channel(AHEAD);
    tokio::spawn(async move {
        if let Err(error) = encode(&target, batches, &sender).await {
            drop(sender.send(Err(error)).await);
        }
    });
    receiver
}

async fn encode(target: &Target, mut batches: Batches, sender: &Sender<Result<Piece>>) -> Result<()> {
    let (mut rows_before, mut rows_within) = (0, 0);
    let mut buffer = HEADER.to_vec();
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        check_types(target, &batch)?;
        put_rows(&batch, &mut buffer).map_err(|refused| refusal(target, &batch, rows_before, &refused))?;
        rows_before += batch.num_rows() as u64;
        rows_within += batch.num_rows() as u64;
        if buffer.len() >= PIECE_BYTES {
            let bytes = Bytes::from(std::mem::replace(&mut buffer, Vec::with_capacity(PIECE_BYTES * 3 / 2)));
            let piece = Piece { bytes, rows: std::mem::take(&mut rows_within), is_last: false };
            if sender.send(Ok(piece)).await.is_err() {
                return Ok(()); // nobody waits for the rest
            }
        }
    }
    buffer.extend_from_slice(TRAILER);
    drop(sender.send(Ok(Piece { bytes: Bytes::from(buffer), rows: rows_within, is_last: true })).await);
    Ok(())
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

fn refusal(target: &Target, batch: &RecordBatch, before: u64, refused: &Refused) -> Error {
    let column = target.columns.get(refused.column).map_or("", |column| column.name.as_str());
    let row = place::row(target, batch, refused.row, before + refused.row as u64 + 1);
    let value = batch.columns().get(refused.column).map(|array| place::value(array, refused.row)).unwrap_or_default();
    let message = format!("`{}`: column `{column}` of {row} {}: {value}", target.name, refused.reason);
    Error::new(Kind::Input, message).hint("mend or remove the value in the model")
}
