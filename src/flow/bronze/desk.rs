//! What the batches of one table are worked on with: the table, its decoder, its SQL, its open files.
//!
//! A batch is worked on chunk by chunk as its messages come, so its size costs no memory. Only until a table has
//! columns are the chunks of a batch held back, because its columns are inferred from all of them.

use super::Stream;
use super::batch::Batch;
use super::columns::{self, COUNTING};
use super::drift::{self, Growing};
use super::folders;
use super::intake::Spent;
use super::limit;
use super::marks::{Marks, MovedMark};
use super::memory::Shares;
use super::sort::{Sorted, count_by_partition, sort, takes};
use super::source_app;
use super::told::Steps;
use super::transform::{Applied, Transform};
use super::widen::widen;
use crate::decode::{Decoder, Format, decoder, infer};
use crate::engine::Engine;
use crate::engine::types::type_name;
use crate::error::{Context, Error, Kind, Result};
use crate::failpoint;
use crate::flow::reasons::Reasons;
use crate::ident::TableName;
use crate::kafka::{Message, Messages};
use crate::model::{Drift, Only};
use crate::partition::Partition;
use crate::record::HEADER_ERROR;
use crate::table::schema::align;
use crate::table::{KeepOn, Lake, Stage, Table};
use arrow::datatypes::{Fields, SchemaRef};
use arrow::record_batch::RecordBatch;
use std::sync::Arc;
use std::time::Instant;

/// Files after which a batch ends: its commit names them all.
const MOST_FILES: usize = 1_000;

pub(super) struct Desk {
    name: TableName,
    only: Option<Only>,
    drift: Drift,
    /// As of the last commit that was heard of; only for beginning files and looking up marks.
    pub table: Table,
    /// What the decoder fills.
    decoded: Fields,
    /// The columns the table should have; those it lacks are added by the next commit.
    wanted: SchemaRef,
    shares: Shares,
    /// Nobody declared columns and the table has none beside Bronze's own.
    to_infer: bool,
    held: Vec<Messages>,
    /// Away while messages are decoded on their thread.
    decoder: Option<Box<dyn Decoder>>,
    transform: Option<Transform>,
    marks: Marks,
    /// What to tell of the table as it was opened, then of the batch.
    pub notes: Vec<String>,
    /// Open files of the batch.
    stage: Option<Stage>,
    /// Counted when the stream has a limit to rejects.
    pub reasons: Option<Reasons>,
    /// How long the batch was in which step.
    pub steps: Steps,
    /// Takes messages that are worked off.
    pub spent: Option<Spent>,
}

/// A batch that is worked off, but for closing its files.
pub(super) struct Worked {
    pub stage: Stage,
    pub marks: Vec<MovedMark>,
    pub steps: Steps,
    /// What to tell of it once it is committed.
    pub notes: Vec<String>,
    /// The first columns of a table nobody declared come with it.
    pub inferred: bool,
}

impl Desk {
    /// Takes the table as it was opened, or creates it by its contract; with Bronze's own columns alone when there is none, so
    /// that positions have their place before there is anything to infer columns from. Types that got wider are taken over
    /// where there is a `keep_on` to be asked, as of [`widen`].
    pub async fn open(
        lake: &Lake,
        engine: &Engine,
        stream: &Stream,
        shares: Shares,
        existing: Option<Table>,
        keep_on: Option<KeepOn<'_>>,
    ) -> Result<Desk> {
        let decoded = decoded_columns(stream, existing.as_ref().map(Table::schema))?;
        let name = &stream.table;
        let transform = match &stream.sql {
            Some((file, sql)) => Some(Transform::new(name, engine, file, sql, &decoded).await?),
            None => None,
        };
        let own = transform.as_ref().map_or(&decoded, |transform| &transform.columns);
        let wanted = columns::table_schema(own);
        let partition_by = folders::partition_columns(name, &stream.partition_by, own)?;
        let mut table = match existing {
            Some(table) => table.check_not_restored().await.map(|()| table)?,
            None => {
                let by: Vec<&str> = partition_by.iter().map(String::as_str).collect();
                lake.create(name, wanted.clone(), &by).await?
            }
        };
        folders::check_partition_columns(name, table.partition_by(), &partition_by)?;
        let notes = match (stream.drift, keep_on) {
            (Drift::Add, Some(keep_on)) => {
                widen(&mut table, &wanted, shares.row_group, keep_on).await?.into_iter().collect()
            }
            _ => Vec::new(),
        };
        columns::widened(name, &table.schema(), &wanted)?;
        // A statement says itself what columns there are.
        let drift = if stream.drift == Drift::Add && transform.is_some() { Drift::Rescue } else { stream.drift };
        let decoder = Some(open_decoder(&stream.format, drift, &decoded)?);
        Ok(Desk {
            name: name.clone(),
            only: stream.only.clone(),
            drift,
            table,
            wanted,
            shares,
            to_infer: decoded.is_empty(),
            decoded,
            held: Vec::new(),
            notes,
            decoder,
            transform,
            marks: Marks::default(),
            stage: None,
            reasons: None,
            steps: Steps::default(),
            spent: None,
        })
    }

    /// What the stream's SQL asks for beside the records, so that its answers change with it.
    pub fn unsteady(&self) -> Option<&str> {
        self.transform.as_ref()?.unsteady.as_deref()
    }

    /// Whether the batch has to end here although its limits are not reached.
    pub fn is_full(&self) -> bool {
        if self.stage.as_ref().is_some_and(|stage| stage.files() >= MOST_FILES) {
            tracing::warn!(
                "a batch of `{}` came to {MOST_FILES} files and ends early; \
                 `partition_by` should name columns of few values, such as a day",
                self.name
            );
            return true;
        }
        !self.held.is_empty() && self.held.iter().map(Messages::bytes).sum::<usize>() >= self.shares.inference
    }

    /// Whether another writer gave the table columns that are found in the records, not declared, and that this desk does
    /// not know.
    pub fn is_behind(&self) -> bool {
        let finds = self.to_infer || self.drift == Drift::Add;
        let columns = || columns::stream_columns(&self.table.schema());
        finds && columns().iter().any(|column| self.wanted.column_with_name(column.name()).is_none())
    }

    /// Works on the next messages of a batch, which covers them already.
    pub async fn take(&mut self, messages: Messages, batch: &mut Batch) -> Result<()> {
        if messages.is_empty() {
            return Ok(());
        }
        if self.to_infer {
            self.held.push(messages);
            return Ok(());
        }
        self.work(messages, batch).await
    }

    /// Ends the batch; the next one begins with nothing but the marks.
    pub async fn finish(&mut self, batch: &mut Batch) -> Result<Worked> {
        let held = std::mem::take(&mut self.held);
        let inferred = self.infer(&held)?;
        for messages in held {
            self.work(messages, batch).await?;
        }
        let stage = self.open_stage().await?;
        let marks = self.marks.moved();
        // Whoever fails to commit them starts anew from what the table holds.
        self.marks.committed();
        let (steps, notes) = (std::mem::take(&mut self.steps), std::mem::take(&mut self.notes));
        Ok(Worked { stage, marks, steps, notes, inferred })
    }

    /// Deletes what was written of a batch that will not be committed.
    pub async fn abandon(&mut self) {
        if let Some(stage) = self.stage.take() {
            stage.abort().await;
        }
    }

    /// Takes the columns from the first batch that shows some, which its commit adds to the table; whether it did.
    fn infer(&mut self, held: &[Messages]) -> Result<bool> {
        let found = if self.to_infer { self.columns_of(held) } else { Fields::empty() };
        if found.is_empty() {
            return Ok(false);
        }
        let name = &self.name;
        self.notes.push(format!("nobody declared columns of `{name}`; its first records show {}", listed(&found)));
        self.decoder = Some(open_decoder(&Format::Json, self.drift, &found)?);
        self.wanted = columns::table_schema(&found);
        self.decoded = found;
        self.to_infer = false;
        Ok(true)
    }

    /// Takes over the columns the decoder found in what it read last; the batch's commit adds them to the table.
    async fn grow(&mut self) -> Result<()> {
        let Some(decoder) = &self.decoder else { return Ok(()) };
        let columns = columns::stream_columns(&decoder.schema());
        if columns == self.decoded {
            return Ok(());
        }
        let new: Fields = columns[self.decoded.len()..].iter().cloned().collect();
        self.notes.push(format!("records of `{}` bring new columns: {}", self.name, listed(&new)));
        self.wanted = columns::table_schema(&columns);
        self.decoded = columns;
        if let Some(stage) = &mut self.stage {
            stage.widen(columns::widened(&self.name, &self.table.schema(), &self.wanted)?).await?;
        }
        Ok(())
    }

    fn columns_of(&self, held: &[Messages]) -> Fields {
        let taken = |message: &Message<'_>| self.only.as_ref().is_none_or(|only| takes(only, message));
        let whole = |message: &Message<'_>| taken(message) && !message.headers.has(HEADER_ERROR);
        let messages = held.iter().flat_map(Messages::iter).filter(whole);
        let payloads: Vec<&[u8]> = messages.filter_map(|message| message.payload).collect();
        infer::columns(&payloads)
    }

    async fn work(&mut self, messages: Messages, batch: &mut Batch) -> Result<()> {
        let partitions = batch.partitions();
        for (slot, source) in self.marks.unknown(&messages) {
            let stored = self.table.txn(&source_app(&partitions[slot], &source)).await?;
            self.marks.learn(slot, source, stored);
        }
        let marks = std::mem::take(&mut self.marks);
        let (sorted, marks) = self.sort(partitions, messages, Some(marks)).await?;
        self.marks = marks.unwrap_or_default();
        for (slot, more) in &sorted.counts {
            batch.count(*slot, |counts| counts.add(more));
        }
        self.write(sorted, batch).await
    }

    /// Decodes messages of these partitions that were read before and set aside; marks have no say.
    pub async fn decode_again(&mut self, partitions: Arc<[Partition]>, messages: Messages) -> Result<Sorted> {
        self.sort(partitions, messages, None).await.map(|(sorted, _)| sorted)
    }

    /// Tells the messages apart, decodes them, on a thread for work that takes long, and applies the stream's SQL.
    async fn sort(
        &mut self,
        partitions: Arc<[Partition]>,
        messages: Messages,
        mut marks: Option<Marks>,
    ) -> Result<(Sorted, Option<Marks>)> {
        let mut decoder =
            self.decoder.take().ok_or_else(|| Error::internal("messages came while others were decoded"))?;
        let (only, of, now) = (self.only.clone(), partitions.clone(), chrono::Utc::now().timestamp_micros());
        let work = tokio::task::spawn_blocking(move || {
            let sorted = sort(&of, &messages, only.as_ref(), decoder.as_mut(), marks.as_mut(), now);
            sorted.map(|sorted| (sorted, decoder, marks, messages))
        });
        let begun = Instant::now();
        let (mut sorted, decoder, marks, messages) = work.await.context(Kind::Internal, || "decode messages")??;
        self.steps.decode += begun.elapsed();
        self.decoder = Some(decoder);
        match self.drift {
            Drift::Rescue => {}
            Drift::Add => self.grow().await?,
            Drift::Fail => drift::refuse(&self.name, &sorted.good)?,
        }
        if let Some(transform) = &self.transform {
            let begun = Instant::now();
            let Applied { kept, of, refused } = transform.apply(&sorted.good).await?;
            sorted.reject(refused, &messages)?;
            sorted.replace(kept, &of, &partitions)?;
            self.steps.sql += begun.elapsed();
        }
        sorted.reject(folders::refused(self.table.partition_by(), &sorted.good), &messages)?;
        if let Some(spent) = &self.spent {
            // The reader may have ended; then nobody needs the room.
            drop(spent.send(messages));
        }
        Ok((sorted, marks))
    }

    /// Hands the rows to the encoder and counts them as what is written.
    async fn write(&mut self, sorted: Sorted, batch: &mut Batch) -> Result<()> {
        let Sorted { good, quarantined, .. } = sorted;
        let partitions = batch.partitions();
        for (slot, rows) in count_by_partition(&good, &partitions)? {
            batch.count(slot, |counts| counts.rows += rows);
        }
        for (slot, rejects) in count_by_partition(&quarantined, &partitions)? {
            batch.count(slot, |counts| counts.rejects += rejects);
        }
        if let Some(reasons) = &mut self.reasons {
            limit::count(&quarantined, reasons)?;
        }
        self.stage_rows(&good, &quarantined).await
    }

    /// Hands rows to the encoder.
    pub async fn stage_rows(&mut self, good: &RecordBatch, quarantined: &RecordBatch) -> Result<()> {
        let begun = Instant::now();
        let mut stage = self.open_stage().await?;
        let schema = stage.schema();
        if let Some(lost) = good.schema().fields().iter().find(|field| schema.column_with_name(field.name()).is_none())
        {
            return Err(Error::internal(format!("the files of `{}` have no column `{}`", self.name, lost.name())));
        }
        stage.write(align(good, &schema)?).await?;
        stage.write(align(quarantined, &schema)?).await?;
        self.stage = Some(stage);
        self.steps.write += begun.elapsed();
        Ok(())
    }

    /// The open files, opened now if they were not.
    pub async fn open_stage(&mut self) -> Result<Stage> {
        match self.stage.take() {
            Some(stage) => Ok(stage),
            None => self.begin().await,
        }
    }

    async fn begin(&self) -> Result<Stage> {
        failpoint::hit("bronze.before_stage");
        let schema = columns::widened(&self.name, &self.table.schema(), &self.wanted)?;
        Ok(self.table.stage(schema).await?.tuned(self.shares.row_group, &COUNTING))
    }
}

/// The columns the decoder begins with.
fn decoded_columns(stream: &Stream, existing: Option<SchemaRef>) -> Result<Fields> {
    let declared = columns::declared(&stream.table, &stream.columns)?;
    if declared.is_empty() && stream.sql.is_some() {
        return Err(Error::config(format!("`{}` has SQL for its stream but no columns", stream.table))
            .hint("declare the topic's columns in models/sources.yml; the statement reads them by name"));
    }
    let existing = existing.map_or(Fields::empty(), |schema| columns::stream_columns(&schema));
    if declared.is_empty() {
        return Ok(existing);
    }
    // What was added before goes on being filled. A statement says itself what there is.
    let grown = existing.iter().filter(|column| declared.find(column.name()).is_none());
    let grown = grown.filter(|_| stream.drift == Drift::Add && stream.format == Format::Json && stream.sql.is_none());
    Ok(declared.iter().chain(grown).cloned().collect())
}

fn open_decoder(format: &Format, drift: Drift, columns: &Fields) -> Result<Box<dyn Decoder>> {
    match (format, drift) {
        (Format::Json, Drift::Add) => Ok(Box::new(Growing::new(columns.clone())?)),
        _ => decoder(format, columns),
    }
}

fn listed(columns: &Fields) -> String {
    let columns = columns.iter().map(|column| format!("`{}` {}", column.name(), type_name(column.data_type())));
    columns.collect::<Vec<_>>().join(", ")
}
