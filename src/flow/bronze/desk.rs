//! What the batches of one table are worked on with: the table, its decoder, its SQL.

use super::Stream;
use super::batch::Batch;
use super::columns::{self, QUARANTINED};
use super::marks::Marks;
use super::sort::{Sorted, count_by_partition, sort};
use super::transform::Transform;
use crate::decode::{Decoder, JsonDecoder, infer};
use crate::engine::Engine;
use crate::error::{Context, Error, Kind, Result};
use crate::record::HEADER_ERROR;
use crate::table::{Lake, Table};
use arrow::datatypes::{Fields, SchemaRef};

pub(super) struct Desk {
    pub table: Table,
    /// The columns the table should have; those it lacks are added by the next commit.
    pub wanted: SchemaRef,
    /// Nobody declared columns and the table has none beside Bronze's own.
    to_infer: bool,
    /// Away while a batch is decoded on its thread.
    decoder: Option<Box<dyn Decoder>>,
    transform: Option<Transform>,
}

impl Desk {
    /// Opens the table, or creates it by its contract; with Bronze's own columns alone when there is none, so
    /// that positions have their place before there is anything to infer columns from.
    pub async fn open(lake: &Lake, engine: &Engine, stream: &Stream) -> Result<Desk> {
        let existing = lake.table(&stream.table).await?;
        let declared = columns::declared(&stream.table, &stream.columns)?;
        let decoded = match (&existing, declared.is_empty()) {
            (_, false) => declared,
            (_, true) if stream.sql.is_some() => {
                return Err(Error::config(format!("`{}` has SQL for its stream but no columns", stream.table))
                    .hint("declare the topic's columns in models/sources.yml; the statement reads them by name"));
            }
            (Some(table), true) => columns::stream_columns(&table.schema()),
            (None, true) => Fields::empty(),
        };
        let name = &stream.table;
        let transform = match &stream.sql {
            Some((file, sql)) => Some(Transform::new(name, engine, file, sql, &decoded).await?),
            None => None,
        };
        let wanted = columns::table_schema(transform.as_ref().map_or(&decoded, |transform| &transform.columns));
        let decoder = json(&decoded)?;
        let table = match existing {
            Some(table) => table.check_not_restored().await.map(|()| table)?,
            None => lake.create(name, wanted.clone(), &[QUARANTINED]).await?,
        };
        columns::widened(name, &table.schema(), &wanted)?;
        Ok(Desk { table, wanted, to_infer: decoded.is_empty(), decoder, transform })
    }

    /// Takes the columns from the batch when there are none yet; returns those found. The commit of the batch
    /// adds them to the table. A batch without a readable record leaves them to the next one.
    pub fn infer(&mut self, batch: &Batch) -> Result<Option<Fields>> {
        let found = if self.to_infer { infer_columns(batch) } else { Fields::empty() };
        if found.is_empty() {
            return Ok(None);
        }
        self.decoder = json(&found)?;
        self.wanted = columns::table_schema(&found);
        self.to_infer = false;
        Ok(Some(found))
    }

    /// Tells the messages apart, decodes them on a thread for work that takes long, and applies the SQL.
    pub async fn sort(&mut self, batch: Batch, marks: &mut Marks) -> Result<(Batch, Sorted)> {
        let mut decoder =
            self.decoder.take().ok_or_else(|| Error::internal("a batch came while another one was decoded"))?;
        let mut moving = std::mem::take(marks);
        let now = chrono::Utc::now().timestamp_micros();
        let work = tokio::task::spawn_blocking(move || {
            let sorted = sort(&batch, decoder.as_mut(), &mut moving, now);
            sorted.map(|sorted| (batch, sorted, decoder, moving))
        });
        let (batch, mut sorted, decoder, moved) = work.await.context(Kind::Internal, || "decode a batch")??;
        (self.decoder, *marks) = (Some(decoder), moved);
        if let Some(transform) = &self.transform {
            apply(transform, &mut sorted).await?;
        }
        Ok((batch, sorted))
    }
}

fn json(columns: &Fields) -> Result<Option<Box<dyn Decoder>>> {
    Ok(Some(Box::new(JsonDecoder::new(columns)?)))
}

async fn apply(transform: &Transform, sorted: &mut Sorted) -> Result<()> {
    let kept = transform.apply(&sorted.good).await?;
    let (before, after) = (count_by_partition(&sorted.good)?, count_by_partition(&kept)?);
    for (number, rows) in before {
        let kept = after.get(&number).copied().unwrap_or(0);
        sorted.counts.entry(number).or_default().filtered = rows - kept;
    }
    sorted.good = kept;
    Ok(())
}

fn infer_columns(batch: &Batch) -> Fields {
    let whole = batch.messages.iter().filter(|message| !message.headers.iter().any(|(name, _)| name == HEADER_ERROR));
    let payloads: Vec<&[u8]> = whole.filter_map(|message| message.payload.as_deref()).collect();
    infer::columns(&payloads)
}
