//! Which column of a model a query failed in: the engine names the value it could not convert, not the column.
//!
//! The query is asked again for one column at a time, and the engine computes no more than it is asked for. What
//! fails without any column (a condition, a join, a DISTINCT, a constant, which is computed while planning) is not
//! told apart by this, and stays as it was told.
//! Bounded in time; whatever goes wrong here, the failure itself is what is reported.

use crate::engine::{Session, failed};
use crate::error::{Error, Kind};
use crate::flow::Stop;
use crate::ident::quote;
use futures::StreamExt;
use std::time::Duration;

/// For all questions about one failure.
const PATIENCE: Duration = Duration::from_secs(10);

/// `failed` with the column it happened in, when a value is at fault and the column is found.
pub(super) async fn named<'a>(
    failed: Error,
    session: &Session,
    statement: &str,
    columns: impl Iterator<Item = &'a str>,
    stop: &Stop,
) -> Error {
    if failed.kind() != Kind::Input {
        return failed;
    }
    let search = async { Ok(tokio::time::timeout(PATIENCE, find(session, statement, columns)).await.ok().flatten()) };
    match stop.before(search).await {
        Ok(Some((column, cause))) => Error::input(format!("{failed}, in its column `{column}`")).caused_by(cause),
        Ok(None) => failed,
        Err(interrupted) => interrupted,
    }
}

/// The first column that fails on its own, and how.
async fn find<'a>(
    session: &Session,
    statement: &str,
    columns: impl Iterator<Item = &'a str>,
) -> Option<(&'a str, crate::error::Cause)> {
    if failure(session, &format!("select count(*) from ({statement}\n) as model")).await.is_some() {
        return None;
    }
    for column in columns {
        let alone = format!("select {} from ({statement}\n) as model", quote(column));
        if let Some(cause) = failure(session, &alone).await {
            return Some((column, cause));
        }
    }
    None
}

/// How a query fails; its rows are thrown away.
async fn failure(session: &Session, sql: &str) -> Option<crate::error::Cause> {
    let mut rows = match session.stream(sql).await {
        Ok(rows) => rows,
        Err(error) => return Some(error.into()),
    };
    while let Some(batch) = rows.next().await {
        if let Err(error) = batch {
            return Some(failed(error, "run a query").into());
        }
    }
    None
}
