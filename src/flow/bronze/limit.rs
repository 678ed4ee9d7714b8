//! How many rejects a run puts up with: a stream whose records are mostly bad has another fault than its records.

use super::columns::{self, REASON};
use crate::error::{Error, Result};
use crate::flow::count::grouped;
use crate::flow::reasons::{Reasons, Seen};
use crate::ident::TableName;
use arrow::array::AsArray;
use arrow::record_batch::RecordBatch;

/// Fewer records say nothing, unless they are all of a run.
const FEWEST: u64 = 100;

/// What a run has read of a table so far.
pub(super) struct Met {
    pub records: u64,
    pub rejects: u64,
}

impl Met {
    /// Fails with kind Input when more than a share of `most` are rejects. `last`: nothing follows.
    pub fn check(&self, table: &TableName, most: f64, reasons: &Reasons, last: bool) -> Result<()> {
        let Met { records, rejects } = *self;
        let share = rejects as f64 / records.max(1) as f64;
        if share <= most || (records < FEWEST && !last) {
            return Ok(());
        }
        let percent = |share: f64| format!("{}%", (share * 10_000.0).round() / 100.0);
        let commonest = reasons.ranked().into_iter().next().map(|reason| {
            let (records, Seen { place, reason, .. }) = (grouped(reason.records), reason.first);
            format!("; most of all ({records}): {reason}, at {place}")
        });
        let message = format!(
            "of {} records of `{table}` {} are rejects: {}, more than the {} of max_reject_rate{}",
            grouped(records),
            grouped(rejects),
            percent(share),
            percent(most),
            commonest.unwrap_or_default()
        );
        Err(Error::input(message).hint(
            "what was not committed is read again by the next run: mend the contract or the stream's \
             SQL, or raise max_reject_rate; `lake quarantine list` shows what was committed before",
        ))
    }
}

/// Counts why the records of a batch were rejected.
pub(super) fn count(quarantined: &RecordBatch, reasons: &mut Reasons) -> Result<()> {
    let texts = quarantined.column_by_name(REASON).and_then(|column| column.as_string_opt::<i32>());
    let texts = texts.ok_or_else(|| Error::internal("rejects without a reason"))?;
    for (row, reason) in texts.iter().enumerate() {
        let place = columns::place(quarantined, row)?;
        reasons.count(Seen { at: None, place, reason: reason.unwrap_or_default().to_string() });
    }
    Ok(())
}
