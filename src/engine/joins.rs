//! How tables are joined when memory is short.
//!
//! The fastest join holds one of its sides in memory and cannot spill. Whether that side fits is known before only where
//! a join reads a table as it is: of what leaves a filter, a group or another join statistics guess. So it is tried. When
//! memory runs out before the first row came, the query is planned once more with joins that sort both sides, which
//! spill, and nobody notices but the clock. A query that has yielded rows is not begun again.

use super::exhausted;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::session_state::SessionState;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, stream};

/// A sort that merges what it has spilled holds two batches of each run, and of two runs at least: where memory is short
/// these have to be small.
const SORTED_BATCH_ROWS: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joins {
    /// One side in memory.
    Hashed,
    /// Both sides sorted.
    Sorted,
}

impl Joins {
    /// Has plans made from now on use these.
    pub fn choose(self, mut state: SessionState) -> SessionState {
        if self == Joins::Sorted {
            // DataFusion sorts for a join only where it shares out.
            let partitions = state.config().target_partitions().max(2);
            let config = state.config().clone().with_target_partitions(partitions).with_batch_size(SORTED_BATCH_ROWS);
            *state.config_mut() = config.set_bool("datafusion.optimizer.prefer_hash_join", false);
        }
        state
    }
}

/// Whether a part of the plan holds all it reads of one side.
pub(super) fn any_hashed(plan: &dyn ExecutionPlan) -> bool {
    plan.name() == "HashJoinExec" || plan.children().into_iter().any(|child| any_hashed(child.as_ref()))
}

/// The same rows, and whether memory ran out before the first of them came.
pub(super) async fn ran_out(mut rows: SendableRecordBatchStream) -> (SendableRecordBatchStream, bool) {
    let schema = rows.schema();
    let first = rows.next().await;
    let out = matches!(&first, Some(Err(error)) if exhausted(error));
    (Box::pin(RecordBatchStreamAdapter::new(schema, stream::iter(first).chain(rows))), out)
}
