//! The rows of a table, or those that came and left between two of its versions, as a load reads them: in one order,
//! which reading them again keeps.

use super::super::{Progress, Stop};
use super::moved::{Moved, moved};
use crate::engine::{self, Engine, Session};
use crate::error::{Context, Kind, Result};
use crate::failpoint;
use crate::ident::{TableName, quote};
use crate::table::{Picked, Table};
use crate::warehouse::{Batches, Rows, Target};
use arrow::array::{ArrayRef, Int64Array, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use futures::{StreamExt, stream};
use std::future::ready;
use std::sync::Arc;

/// Files whose rows came, and files whose rows left, as a query sees them.
const ADDED: &str = "lake_added";
const REMOVED: &str = "lake_removed";
/// Rows that may differ of any table; of a larger one it is one in so many.
const FEW_ROWS: u64 = 1 << 20;
const MOST_SHARE: u64 = 4;

/// A table whose rows are asked for, and who is told of them.
pub struct Source<'a> {
    pub engine: &'a Engine,
    pub table: &'a Table,
    pub target: &'a Target,
    pub stage: &'a str,
    pub progress: &'a Progress,
    pub stop: &'a Stop,
}

/// The rows of some queries, one after the other.
pub struct GoldRows {
    session: Session,
    parts: Vec<Part>,
    name: TableName,
    stage: String,
    progress: Progress,
    stop: Stop,
}

struct Part {
    sql: String,
    taken: Taken,
}

/// What is taken of a query's rows.
#[derive(Clone)]
enum Taken {
    All,
    /// All, and with each how many copies of it came.
    Each(i64),
    /// These, and with each how many copies of it came.
    These(Arc<[Moved]>),
}

impl Source<'_> {
    pub async fn all(&self) -> Result<GoldRows> {
        let mut rows = self.rows();
        rows.session.register(self.table.name(), self.table.provider().await?)?;
        rows.parts.push(Part { sql: self.query(&self.table.name().quoted()), taken: Taken::All });
        Ok(rows)
    }

    /// Each row of these files with how many copies of it came, or left when negative. When nothing left, or nothing
    /// came, nothing can cancel out. `None` when so many rows differ that all may as well be compared.
    pub async fn changes(&self, added: &Picked, removed: &Picked) -> Result<Option<GoldRows>> {
        let mut rows = self.rows();
        rows.session.register_unqualified(ADDED, self.table.provider_of(added)?)?;
        rows.session.register_unqualified(REMOVED, self.table.provider_of(removed)?)?;
        let (left, came) = (self.query(&quote(REMOVED)), self.query(&quote(ADDED)));
        let [left_rows, came_rows] = match (removed.is_empty(), added.is_empty()) {
            (false, false) => {
                let most = FEW_ROWS.max(self.table.rows().unwrap_or(0) / MOST_SHARE);
                let sides = (rows.read(&left).await?, rows.read(&came).await?);
                let Some(moved) = moved(self.table.name(), sides.0, sides.1, most).await? else { return Ok(None) };
                moved.map(|rows| Taken::These(rows.into()))
            }
            _ => [Taken::Each(-1), Taken::Each(1)],
        };
        rows.parts = vec![Part { sql: left, taken: left_rows }, Part { sql: came, taken: came_rows }];
        rows.parts.retain(|part| !matches!(&part.taken, Taken::These(rows) if rows.is_empty()));
        Ok(Some(rows))
    }

    fn rows(&self) -> GoldRows {
        GoldRows {
            // Only in one partition do rows keep their order; the server takes longer for them than reading does.
            session: self.engine.sequential().session(),
            parts: Vec::new(),
            name: self.table.name().clone(),
            stage: self.stage.to_string(),
            progress: self.progress.clone(),
            stop: self.stop.clone(),
        }
    }

    fn query(&self, from: &str) -> String {
        let columns: Vec<String> = self.target.columns.iter().map(|column| quote(&column.name)).collect();
        format!("select {} from {from}", columns.join(", "))
    }
}

impl GoldRows {
    async fn read(&self, sql: &str) -> Result<Batches> {
        let (stop, name) = (self.stop.clone(), self.name.clone());
        let batches = self.session.stream(sql).await?;
        let checked = batches.map(move |batch| {
            stop.check()?;
            batch.map_err(|error| engine::failed(error, format!("read `{name}`")))
        });
        Ok(checked.boxed())
    }
}

#[async_trait]
impl Rows for GoldRows {
    async fn open(&self) -> Result<Batches> {
        let mut parts = Vec::new();
        for Part { sql, taken } in &self.parts {
            parts.push(taken.of(self.read(sql).await?));
        }
        let (progress, stage) = (self.progress.clone(), self.stage.clone());
        let told = stream::iter(parts).flatten().inspect(move |batch| {
            progress.advanced(&stage, batch.as_ref().map_or(0, RecordBatch::num_rows) as u64, 0);
            failpoint::hit("load.mid_copy");
        });
        Ok(told.boxed())
    }
}

impl Taken {
    fn of(&self, batches: Batches) -> Batches {
        match self.clone() {
            Taken::All => batches,
            Taken::Each(copies) => batches
                .map(move |batch| batch.and_then(|batch| counted(&batch, vec![copies; batch.num_rows()])))
                .boxed(),
            Taken::These(rows) => {
                let taking = Taking { rows, taken: 0, before: 0 };
                batches.scan(taking, |taking, batch| ready(taking.next(batch))).boxed()
            }
        }
    }
}

/// Rows on their way out of batches.
struct Taking {
    /// In order.
    rows: Arc<[Moved]>,
    taken: usize,
    /// Rows of the batches before.
    before: u64,
}

impl Taking {
    /// Of this batch; `None` once all are taken.
    fn next(&mut self, batch: Result<RecordBatch>) -> Option<Result<RecordBatch>> {
        (self.taken < self.rows.len()).then(|| batch.and_then(|batch| self.of(&batch)))
    }

    fn of(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let end = self.before + batch.num_rows() as u64;
        let rest = &self.rows[self.taken..];
        let here = &rest[..rest.partition_point(|(row, _)| *row < end)];
        let places: UInt64Array = here.iter().map(|(row, _)| row - self.before).collect();
        let rows = take_record_batch(batch, &places).context(Kind::Internal, || "take rows out of others")?;
        let counted = counted(&rows, here.iter().map(|(_, copies)| *copies).collect());
        (self.taken, self.before) = (self.taken + here.len(), end);
        counted
    }
}

/// The rows with one more column, at the end.
fn counted(rows: &RecordBatch, copies: Vec<i64>) -> Result<RecordBatch> {
    let field = Arc::new(Field::new("copies", DataType::Int64, false));
    let fields: Vec<_> = rows.schema_ref().fields().iter().cloned().chain([field]).collect();
    let copies: ArrayRef = Arc::new(Int64Array::from(copies));
    let columns = rows.columns().iter().cloned().chain([copies]).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).context(Kind::Internal, || "number the copies of rows")
}
