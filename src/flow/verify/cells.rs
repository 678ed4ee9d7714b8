//! Each cell of Bronze is what its file's row becomes: the declared files are read again, their rows go through the
//! stream as it is declared now, and are compared with the table's by file and row number.
//!
//! Compared are the stream's columns, `_key`, `_rescued`, and of a reject its bytes; not when and where a record was
//! taken in, nor the words of a reason. Holds a stretch of a file at a time ([`resent`]). That rows are missing, doubled, or not as
//! they were sent is for the other proofs of Bronze to tell.

use super::narrow::values;
use super::resent::{self, Sent};
use super::sendings::Sendings;
use super::sides::Both;
use super::{Difference, EXAMPLES, Remedy};
use crate::engine::{Engine, Session};
use crate::error::{Context, Error, Kind, Result};
use crate::flow::bronze::{
    Again, HEADERS, INGESTED_AT, OFFSET, PARTITION, QUARANTINED, REASON, SOURCE, SOURCE_ROW, Stream, TIMESTAMP, TOPIC,
};
use crate::flow::count::counted;
use crate::flow::rows;
use crate::ident::{literal, quote};
use crate::record::Record;
use crate::source::{self, SourceConfig};
use crate::table::schema::assemble;
use crate::table::{Lake, Table};
use crate::warehouse::{Fingerprint, Hashed, Part};
use arrow::array::{ArrayRef, AsArray, StringArray, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{FieldRef, Int64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

/// Bytes that what decodes them may take for itself.
const MEMORY: usize = 64 << 20;

/// Bronze's own columns that do not follow from a file alone.
const OF_READING: [&str; 8] = [TOPIC, PARTITION, OFFSET, TIMESTAMP, HEADERS, SOURCE, INGESTED_AT, REASON];
const NAMES: Both<&str> = Both { one: "in the file", other: "in the table" };

/// The proof of the cells of one topic's declared files.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Cells {
    pub sources: Vec<String>,
    pub table: String,
    /// Rows compared, rejects among them.
    pub rows: u64,
    pub columns: usize,
    /// Rows that are not in their file as they were sent, so that there is nothing to compare them with.
    pub changed: u64,
    /// Rows that are others than their file's rows become.
    pub differing: u64,
    /// Why nothing was compared, or nothing follows from it.
    pub not_compared: Option<String>,
    pub differences: Vec<Difference>,
}

/// What is compared with what.
pub struct Asked<'a> {
    pub root: &'a Path,
    pub sources: &'a [&'a SourceConfig],
    pub stream: &'a Stream,
    pub topic: &'a str,
    pub table: &'a Table,
    /// How the stream was declared when rows were taken in, see `account::declared`.
    pub declared: &'a BTreeSet<String>,
    /// About so many rows out of so many; else all.
    pub sample: Option<(u64, u64)>,
}

pub async fn prove(asked: &Asked<'_>, lake: &Lake, engine: &Engine) -> Result<Cells> {
    let Asked { stream, table, .. } = asked;
    let sources = asked.sources.iter().map(|source| source.name.clone()).collect();
    let mut proof = Cells { sources, table: stream.table.to_string(), ..Cells::default() };
    let again = match Again::open(lake, engine, stream, MEMORY, Table::clone(table)).await {
        Err(error) if is_about_data(&error) => Err(error.in_one_line()),
        again => Ok(again?),
    };
    let again = again.and_then(|again| match again.unsteady() {
        Some(what) => Err(format!("the stream's SQL asks for `{what}`, which is another one each time")),
        None => Ok(again),
    });
    match again {
        Err(why) => proof.not_compared = Some(why),
        Ok(again) => {
            let session = engine.session();
            session.register(&stream.table, table.provider().await?)?;
            Comparison::new(asked, &session, again, &mut proof).run().await?;
            proof.judge(asked);
        }
    }
    Ok(proof)
}

/// A fault of data or its description, which ends no other proof.
fn is_about_data(error: &Error) -> bool {
    matches!(error.kind(), Kind::Config | Kind::Input)
}

impl Cells {
    /// Of a table whose records no declared file brings.
    pub fn unsent(stream: &Stream) -> Cells {
        let why = format!("no declared file is sent to {}", stream.topics);
        Cells { table: stream.table.to_string(), not_compared: Some(why), ..Cells::default() }
    }

    /// Differences say nothing when the rows were made by another declaration.
    fn judge(&mut self, asked: &Asked<'_>) {
        if self.differing == 0 {
            return;
        }
        let all = counted(self.rows, "row");
        if asked.declared.iter().any(|declared| *declared != asked.stream.fingerprint()) {
            let text = "not what their files' rows become now; some were taken in when the stream was declared \
                        otherwise, or nobody noted how";
            self.not_compared = Some(format!("{} of {all} {text}", self.differing));
            self.differences.clear();
            return;
        }
        let text = format!("cells of {} of {all} differ from their files", self.differing);
        self.differences.insert(0, Difference::new(Remedy::Reread, text));
    }

    fn differ(&mut self, text: impl FnOnce() -> Result<String>) -> Result<()> {
        self.differing += 1;
        if self.differences.len() < EXAMPLES {
            self.differences.push(Difference::new(Remedy::Reread, text()?));
        }
        Ok(())
    }
}

struct Comparison<'a> {
    asked: &'a Asked<'a>,
    session: &'a Session,
    again: Again,
    /// Of the columns compared, the row's number among them.
    print: Fingerprint,
    compared: SchemaRef,
    proof: &'a mut Cells,
}

impl<'a> Comparison<'a> {
    fn new(asked: &'a Asked<'a>, session: &'a Session, again: Again, proof: &'a mut Cells) -> Comparison<'a> {
        let schema = asked.table.schema();
        let compared = schema.fields().iter().filter(|field| !OF_READING.contains(&field.name().as_str()));
        let compared: SchemaRef = Schema::new(compared.cloned().collect::<Vec<FieldRef>>()).into();
        let print = Fingerprint::new(&compared, &[SOURCE_ROW.to_string()]);
        proof.columns = compared.fields().len() - 1;
        Comparison { asked, session, again, print, compared, proof }
    }

    async fn run(mut self) -> Result<()> {
        let Asked { root, sources, stream, topic, sample, .. } = *self.asked;
        let share = sample.map_or(u64::MAX, |(wanted, rows)| resent::share(wanted, rows));
        let mut sendings = Sendings::read(self.session, stream, topic).await?;
        let mut seen = BTreeSet::new();
        for source in sources {
            // The proof of the rows tells of files that cannot be read.
            let inputs = match source::inputs(source, root) {
                Err(error) if is_about_data(&error) => continue,
                inputs => inputs?,
            };
            for input in inputs.into_iter().filter(|input| seen.insert(input.id.clone())) {
                let (Some(id), _) = sendings.take(&input.id) else { continue };
                let mut stretches = resent::read(input.clone(), SourceConfig::clone(source), share);
                while let Some(records) = stretches.recv().await {
                    match records {
                        Err(error) if is_about_data(&error) => break,
                        records => self.compare(&input.id, &id, &records?).await?,
                    }
                }
            }
        }
        Ok(())
    }

    /// Compares a stretch of a file, which was sent under the name `id`.
    async fn compare(&mut self, file: &str, id: &str, records: &[Record]) -> Result<()> {
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(()) };
        let stored = self.stored(id, first.position.row, last.position.row).await?;
        let Sent { partitions, messages, rows, changed } = Sent::again(&stored, (self.asked.topic, id), records)?;
        self.proof.changed += changed;
        if rows.is_empty() {
            return Ok(());
        }
        let made = match self.again.rows(&partitions, messages).await {
            Err(error) if is_about_data(&error) => {
                let text = format!("{file}: its rows cannot be made again: {}", error.in_one_line());
                return self.proof.differ(|| Ok(text));
            }
            made => self.cut(&made?)?,
        };
        let stored = take_record_batch(&stored, &UInt32Array::from(rows))
            .context(Kind::Internal, || "pick the rows that are compared")?;
        let stored = self.cut(&stored)?;
        let (made, stored) = (self.print.hash(&made, &Part::ALL)?, self.print.hash(&stored, &Part::ALL)?);
        self.judge(file, &made, &stored)
    }

    /// Rows of the table by their numbers, in order.
    async fn stored(&self, id: &str, from: u64, to: u64) -> Result<RecordBatch> {
        let Asked { stream, topic, table, .. } = self.asked;
        let [source, row, of_topic] = [SOURCE, SOURCE_ROW, TOPIC].map(quote);
        let schema = table.schema();
        let columns = schema.fields().iter().map(|field| quote(field.name())).collect::<Vec<_>>().join(", ");
        let sql = format!(
            "select {columns} from {} where {source} = {} and {of_topic} = {} and {row} between {from} and {to} \
             order by {row}",
            stream.table.quoted(),
            literal(id),
            literal(topic)
        );
        let batches = self.session.query(&sql).await?;
        concat_batches(&schema, &batches).context(Kind::Internal, || "join rows of Bronze")
    }

    /// The compared columns. Delta keeps an empty text in a partition column as NULL.
    fn cut(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let partition_by = self.asked.table.partition_by();
        let column = |field: &FieldRef| -> Result<ArrayRef> {
            let found = batch.column_by_name(field.name());
            let found = found.ok_or_else(|| Error::internal(format!("no column `{}`", field.name())))?;
            Ok(match found.as_string_opt::<i32>() {
                Some(texts) if partition_by.contains(field.name()) => {
                    Arc::new(texts.iter().map(|text| text.filter(|text| !text.is_empty())).collect::<StringArray>())
                }
                _ => found.clone(),
            })
        };
        let columns = self.compared.fields().iter().map(column).collect::<Result<_>>()?;
        assemble(self.compared.clone(), columns, batch.num_rows())
    }

    fn judge(&mut self, file: &str, made: &Hashed, stored: &Hashed) -> Result<()> {
        let at: HashMap<i64, usize> = made.keys.iter().copied().zip(0..).collect();
        let numbers = stored.batch.column_by_name(SOURCE_ROW).map(|column| column.as_primitive::<Int64Type>());
        let numbers = numbers.ok_or_else(|| Error::internal("rows of Bronze without their numbers"))?;
        for (row, key) in stored.keys.iter().enumerate() {
            self.proof.rows += 1;
            let number = numbers.value(row);
            let Some(at) = at.get(key).copied() else {
                let text = format!("{file} row {number} is in the table, and its stream leaves it out");
                self.proof.differ(|| Ok(text))?;
                continue;
            };
            if made.rows[at] != stored.rows[row] {
                let (compared, proof) = (&self.compared, &mut *self.proof);
                proof.differ(|| Ok(format!("{file} row {number}: {}", told(compared, (made, at), (stored, row))?)))?;
            }
        }
        Ok(())
    }
}

/// The cells in which two rows differ; of a reject on one side no others.
fn told(schema: &Schema, (made, at): (&Hashed, usize), (stored, row): (&Hashed, usize)) -> Result<String> {
    let text = |batch: &RecordBatch, row: usize| -> Result<Vec<Option<String>>> {
        Ok(rows::texts(&batch.slice(row, 1))?.pop().unwrap_or_default())
    };
    let (here, there) = (text(&made.batch, at)?, text(&stored.batch, row)?);
    let differs = |column: &usize| made.values[*column][at] != stored.values[*column][row];
    let mut differing: Vec<usize> = (0..schema.fields().len()).filter(differs).collect();
    if let Some(judged) = differing.iter().copied().find(|column| schema.field(*column).name() == QUARANTINED) {
        differing = vec![judged];
    }
    let cell = |column: usize| values(schema.field(column).name(), [&here[column], &there[column]], &NAMES);
    Ok(differing.into_iter().take(EXAMPLES).map(cell).collect::<Vec<_>>().join("; "))
}
