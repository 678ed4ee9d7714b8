//! How many records are in quarantine, by kind of reason. Reads places and reasons only, never payloads.

use super::open;
use crate::engine::{self, Engine};
use crate::error::{Context, Kind, Result};
use crate::flow::Stop;
use crate::flow::bronze::{INGESTED_AT, OFFSET, PARTITION, QUARANTINED, REASON, TOPIC};
use crate::flow::reasons::{Place, Reason, Reasons, Seen};
use crate::ident::{TableName, quote};
use crate::table::Lake;
use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use serde::Serialize;

/// The quarantine of one table.
#[derive(Debug, Clone, Serialize)]
pub struct TableList {
    pub table: String,
    pub records: u64,
    /// The commonest first.
    pub kinds: Vec<Reason>,
}

/// The quarantines of these tables; those with none have no kinds.
pub async fn list(lake: &Lake, engine: &Engine, tables: &[TableName], stop: &Stop) -> Result<Vec<TableList>> {
    let mut lists = Vec::new();
    for name in tables {
        let table = open(lake, name).await?;
        let mut reasons = Reasons::default();
        if table.schema().column_with_name(QUARANTINED).is_some() {
            let attempt = || format!("read the quarantine of `{name}`");
            let session = engine.session();
            session.register(name, table.provider().await?)?;
            let columns = [TOPIC, PARTITION, OFFSET, INGESTED_AT, REASON].map(quote).join(", ");
            let sql = format!("select {columns} from {} where {}", name.quoted(), quote(QUARANTINED));
            let mut rows = session.stream(&sql).await?;
            while let Some(batch) = rows.next().await {
                stop.check()?;
                add(&batch.map_err(|error| engine::failed(error, attempt()))?, &mut reasons)?;
            }
        }
        let kinds = reasons.ranked();
        let records = kinds.iter().map(|kind| kind.records).sum();
        lists.push(TableList { table: name.to_string(), records, kinds });
    }
    Ok(lists)
}

/// Adds records of topic, partition, offset, time, reason.
fn add(batch: &RecordBatch, reasons: &mut Reasons) -> Result<()> {
    let column = |at: usize, to: DataType| cast(batch.column(at), &to).context(Kind::Internal, || "read a quarantine");
    let (topics, partitions, offsets) =
        (column(0, DataType::Utf8)?, column(1, DataType::Int32)?, column(2, DataType::Int64)?);
    let (times, texts) = (column(3, DataType::Int64)?, column(4, DataType::Utf8)?);
    let (topics, partitions) = (topics.as_string::<i32>(), partitions.as_primitive::<Int32Type>());
    let (offsets, times) = (offsets.as_primitive::<Int64Type>(), times.as_primitive::<Int64Type>());
    for (row, reason) in texts.as_string::<i32>().iter().enumerate() {
        let (topic, partition, offset) = (topics.value(row).to_string(), partitions.value(row), offsets.value(row));
        let at = times.is_valid(row).then(|| times.value(row));
        let (place, reason) = (Place { topic, partition, offset }, reason.unwrap_or_default().to_string());
        reasons.count(Seen { at, place, reason });
    }
    Ok(())
}
