//! A commit whose reply was lost: it is looked up in the ledger, never repeated.

use super::super::{Progress, Stop};
use super::LOCK_PAUSE;
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::warehouse::{Outcome, Warehouse};

/// How long a COMMIT whose reply was lost may still be running before we stop asking.
const SETTLE_TRIES: u32 = 240;

/// The cause when it is unknown whether the commit happened.
pub fn doubt(outcome: Outcome) -> Option<Error> {
    match outcome {
        Outcome::Unknown(cause) => Some(cause),
        Outcome::Committed if failpoint::lost_reply("load.commit") => {
            Some(Error::unavailable("the reply was lost on purpose"))
        }
        Outcome::Committed => None,
    }
}

/// Finds out over a new connection whether the load `id` is in. The lock tells that its transaction is
/// over; only then is the ledger's answer final.
pub async fn settle(
    warehouse: &mut dyn Warehouse,
    id: &str,
    cause: Error,
    progress: &Progress,
    stop: &Stop,
) -> Result<()> {
    progress.note("the reply to the commit was lost; asking the ledger");
    match is_in(warehouse, id, stop).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::unavailable("the load was not committed: the connection ended first")
            .hint("run again")
            .caused_by(cause)),
        Err(error) => Err(unknown(error)),
    }
}

async fn is_in(warehouse: &mut dyn Warehouse, id: &str, stop: &Stop) -> Result<bool> {
    warehouse.reconnect().await?;
    let mut load = warehouse.begin().await?;
    let mut tries = 0;
    while !load.try_lock().await? {
        stop.check()?;
        tries += 1;
        if tries == SETTLE_TRIES {
            return Err(Error::unavailable("the transaction of the load does not end"));
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
    Ok(load.ledger().await?.iter().any(|entry| entry.load_id == id))
}

/// Whatever kept us from the ledger, what counts is that the load may be in.
pub fn unknown(cause: Error) -> Error {
    let kind = match cause.kind() {
        interrupted @ Kind::Interrupted(_) => interrupted,
        _ => Kind::Unavailable,
    };
    Error::new(kind, "the reply to the commit was lost, and whether the load is in could not be found out")
        .hint("run again: it finds what is in and loads the rest")
        .caused_by(cause)
}
