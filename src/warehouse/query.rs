//! One statement of a person's, read only, as text.

use super::Answer;
use super::failure::{Attempt, fault};
use crate::error::{Error, Result};
use tokio_postgres::{Client, SimpleQueryMessage};

/// Runs `sql` in a read-only transaction that is rolled back.
///
/// It is prepared first, which refuses more than one statement: a `commit` before the second one would
/// otherwise end the read-only transaction. What returns no columns (COPY, too) is refused as well.
pub async fn query(client: &mut Client, sql: &str) -> Result<Answer> {
    let transaction = client.build_transaction().read_only(true).start().await.attempt(|| "begin a query")?;
    let statement = transaction.prepare(sql).await.map_err(|error| fault(error, sql, None))?;
    if statement.columns().is_empty() {
        return Err(Error::config("the statement returns no rows").hint("only queries run here, and read only"));
    }
    let columns = statement.columns().iter().map(|column| column.name().to_string()).collect();
    let mut answer = Answer { columns, rows: Vec::new() };
    for message in transaction.simple_query(sql).await.map_err(|error| fault(error, sql, None))? {
        if let SimpleQueryMessage::Row(row) = message {
            answer.rows.push((0..row.len()).map(|index| row.get(index).map(str::to_string)).collect());
        }
    }
    transaction.rollback().await.attempt(|| "end a query")?;
    Ok(answer)
}
