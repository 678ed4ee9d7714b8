//! A query that is planned once and runs again and again, over other rows each time.
//!
//! For whoever has to look for the row a query fails on: planning takes longer than running it over a few rows.

use super::joins::Joins;
use super::{Session, failed, results};
use crate::error::{Context, Kind, Result};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::TryStreamExt;
use std::sync::{Arc, Mutex, PoisonError};

/// A planned query. What depends on the time of the day, such as `now()`, is what it was when it was planned.
pub struct Prepared {
    plan: Arc<dyn ExecutionPlan>,
    rows: Arc<Rows>,
    context: Arc<TaskContext>,
}

/// The table whose rows change.
#[derive(Debug)]
struct Rows {
    schema: SchemaRef,
    now: Mutex<RecordBatch>,
}

impl PartitionStream for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batch = self.now.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), futures::stream::iter([Ok(batch)])))
    }
}

impl Session {
    /// Plans a query over the registered tables and one more, called `name`, whose rows come when it runs.
    pub async fn prepare(&self, sql: &str, name: &str, columns: SchemaRef) -> Result<Prepared> {
        let rows = Rows { now: Mutex::new(RecordBatch::new_empty(columns.clone())), schema: columns.clone() };
        let rows = Arc::new(rows);
        let table = StreamingTable::try_new(columns, vec![rows.clone()])
            .context(Kind::Internal, || format!("make `{name}` known to queries"))?;
        self.register_unqualified(name, Arc::new(table))?;
        Ok(Prepared { plan: self.physical(sql, &[], Joins::Hashed).await?, rows, context: self.context.task_ctx() })
    }
}

impl Prepared {
    /// The whole result over these rows; as [`Session::query`].
    pub async fn run(&self, rows: RecordBatch) -> Result<Vec<RecordBatch>> {
        *self.rows.now.lock().unwrap_or_else(PoisonError::into_inner) = rows;
        let plan = reset_plan_states(self.plan.clone()).map_err(|error| failed(error, "run a query again"))?;
        results(plan, self.context.clone())?.try_collect().await.map_err(|error| failed(error, "run a query"))
    }
}
