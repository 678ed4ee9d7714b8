//! The optional SELECT over the good rows of each batch.
//!
//! It says which rows stay and what the stream's columns are. Bronze's own columns are taken from the
//! messages again, found by topic, partition and offset, so a statement cannot falsify where a row came from.
//!
//! A value it fails on costs its record, not the stream: the rows are halved until the record is found, and the others
//! go through the statement without it.

use super::columns::{self, INGESTED_AT, OFFSET, PARTITION, TOPIC};
use super::sort::{readable, without};
use crate::engine::{Engine, Prepared};
use crate::error::{Context, Error, Kind, Result};
use crate::ident::TableName;
use crate::table::schema::{assemble, convert, storable_type};
use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::{cast, concat_batches, take};
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Int64Type, SchemaRef};
use arrow::record_batch::RecordBatch;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Name under which a batch is queried.
const BATCH: &str = "batch";

/// A checked statement.
pub(super) struct Transform {
    engine: Engine,
    file: PathBuf,
    sql: String,
    output: SchemaRef,
    /// The stream's columns as the table keeps them.
    pub columns: Fields,
    /// What its answers follow from beside the records.
    pub unsteady: Option<String>,
}

/// What a statement made of rows.
pub(super) struct Applied {
    /// The rows that stay, in the columns of the table.
    pub kept: RecordBatch,
    /// Of each, the row it was among those that were not refused.
    pub of: Vec<u32>,
    /// Of the rows there were, those with a value that the statement fails on, in their order, and why.
    pub refused: Vec<(usize, String)>,
}

impl Transform {
    /// Plans the statement against the decoded columns; fails when it does not keep the row's identity.
    pub async fn new(
        table: &TableName,
        engine: &Engine,
        file: &Path,
        sql: &str,
        decoded: &Fields,
    ) -> Result<Transform> {
        let input = readable(&RecordBatch::new_empty(columns::table_schema(decoded)))?;
        let session = engine.session();
        session.register_batches(BATCH, input.schema(), vec![input])?;
        let output = session.schema_of(sql).await.map_err(|fault| in_file(file, fault))?;
        let unsteady = match session.steadiness_of(sql).await?.volatile {
            None => sql.contains(INGESTED_AT).then(|| INGESTED_AT.to_string()),
            volatile => volatile,
        };
        for name in [TOPIC, PARTITION, OFFSET] {
            if output.field_with_name(name).is_err() {
                return Err(Error::config(format!("`{}` does not select `{name}`", file.display())).hint(format!(
                    "rows of `{table}` keep {TOPIC}, {PARTITION} and {OFFSET}; add them to the SELECT"
                )));
            }
        }
        let mut kept: Vec<Field> = Vec::new();
        for field in output.fields().iter().filter(|field| !columns::is_system(field.name())) {
            if kept.iter().any(|other| other.name().eq_ignore_ascii_case(field.name())) {
                return Err(Error::config(format!("`{}` selects `{}` twice", file.display(), field.name()))
                    .hint("give each column a name of its own with AS"));
            }
            kept.push(Field::new(field.name(), storable_type(field.data_type()), true));
        }
        let (engine, file, sql) = (engine.sequential(), file.to_path_buf(), sql.to_string());
        Ok(Transform { engine, file, sql, output, columns: kept.into(), unsteady })
    }

    /// What becomes of these rows. A statement at fault whatever the rows are is an error, as are rows that it takes one by
    /// one and not together.
    pub async fn apply(&self, good: &RecordBatch) -> Result<Applied> {
        let rows = readable(good)?;
        let statement = self.engine.session().prepare(&self.sql, BATCH, rows.schema()).await;
        let statement = statement.map_err(|fault| in_file(&self.file, fault))?;
        let refused = match self.select(&statement, good).await {
            Err(fault) if fault.kind() == Kind::Input => self.refused(&statement, good, fault).await?,
            outcome => return outcome.map(|(kept, of)| Applied { kept, of, refused: Vec::new() }),
        };
        let left = without(good, &refused.iter().map(|(row, _)| *row).collect::<Vec<_>>())?;
        let (kept, of) = self.select(&statement, &left).await.map_err(|fault| self.only_together(fault))?;
        Ok(Applied { kept, of, refused })
    }

    /// The rows that fail on their own, which are looked for by halving, and what on.
    async fn refused(&self, statement: &Prepared, good: &RecordBatch, fault: Error) -> Result<Vec<(usize, String)>> {
        self.select(statement, &good.slice(0, 0)).await?;
        let mut refused = Vec::new();
        let mut failing = vec![(0, good.num_rows(), fault)];
        while let Some((from, rows, fault)) = failing.pop() {
            if rows <= 1 {
                refused.push((from, self.reason(&fault)));
                continue;
            }
            let (half, before) = (rows / 2, failing.len());
            // The first half comes off first.
            for (from, rows) in [(from + half, rows - half), (from, half)] {
                match self.select(statement, &good.slice(from, rows)).await {
                    Ok(_) => {}
                    Err(fault) if fault.kind() == Kind::Input => failing.push((from, rows, fault)),
                    Err(fault) => return Err(fault),
                }
            }
            if failing.len() == before {
                return Err(self.only_together(fault));
            }
        }
        Ok(refused)
    }

    /// Why a record is quarantined.
    fn reason(&self, fault: &Error) -> String {
        let why = fault.causes().pop().unwrap_or_else(|| fault.to_string());
        format!("`{}`: {why}", self.file.display())
    }

    fn only_together(&self, fault: Error) -> Error {
        if fault.kind() != Kind::Input {
            return fault;
        }
        fault.hint(format!(
            "`{}` takes each of the records alone and not all at once, and how many it sees at once depends on how they \
             arrive; look at rows together in a Silver model",
            self.file.display()
        ))
    }

    /// The rows that stay, in the columns of the table, and of each the row it was.
    async fn select(&self, statement: &Prepared, good: &RecordBatch) -> Result<(RecordBatch, Vec<u32>)> {
        let batches = statement.run(readable(good)?).await.map_err(|fault| in_file(&self.file, fault))?;
        let schema = batches.first().map_or(self.output.clone(), RecordBatch::schema);
        let output = concat_batches(&schema, &batches).context(Kind::Internal, || "join the statement's batches")?;
        let rows = self.origins(good, &output)?;
        let schema = columns::table_schema(&self.columns);
        let arrays = schema.fields().iter().map(|field| {
            let name = field.name();
            match good.column_by_name(name).filter(|_| columns::is_system(name)) {
                Some(own) => {
                    take(own, &rows, None).context(Kind::Internal, || format!("pick `{name}` of the kept rows"))
                }
                None => match output.column_by_name(name) {
                    Some(column) => self.store(column, field),
                    None => Err(Error::internal(format!("the statement's column `{name}` is gone"))),
                },
            }
        });
        let kept = assemble(schema.clone(), arrays.collect::<Result<_>>()?, output.num_rows())?;
        Ok((kept, rows.values().to_vec()))
    }

    /// For each row of the output, the row of `good` it came from.
    fn origins(&self, good: &RecordBatch, output: &RecordBatch) -> Result<UInt32Array> {
        let (read, returned) = (Identities::of(good)?, Identities::of(output)?);
        let mut unused: HashMap<(&str, i32, i64), u32> = read.iter().zip(0u32..).collect();
        let origins = returned.iter().map(|place| {
            let (topic, number, offset) = place;
            unused.remove(&place).ok_or_else(|| {
                Error::config(format!(
                    "`{}` returns {topic}/{number} offset {offset} more than once or without having read it",
                    self.file.display()
                ))
                .hint("a stream's SQL may change and drop rows, not multiply or invent them; do that in a Silver model")
            })
        });
        Ok(UInt32Array::from(origins.collect::<Result<Vec<u32>>>()?))
    }

    fn store(&self, column: &ArrayRef, field: &Field) -> Result<ArrayRef> {
        convert(column, field).map_err(|fault| in_file(&self.file, fault))
    }
}

fn in_file(file: &Path, fault: Error) -> Error {
    let hint = fault.hint_text().map(str::to_string);
    let error = Error::new(fault.kind(), format!("apply `{}` to a batch", file.display())).caused_by(fault);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// The topics, partitions and offsets of rows.
struct Identities {
    topics: ArrayRef,
    numbers: ArrayRef,
    offsets: ArrayRef,
}

impl Identities {
    fn of(batch: &RecordBatch) -> Result<Identities> {
        let column = |name: &str, data_type: DataType| {
            let column = batch.column_by_name(name).ok_or_else(|| Error::internal(format!("no column `{name}`")))?;
            let column = cast(column, &data_type).context(Kind::Config, || format!("read `{name}` as {data_type}"))?;
            match column.null_count() {
                0 => Ok(column),
                _ => Err(Error::config(format!("the stream's SQL makes `{name}` null"))),
            }
        };
        Ok(Identities {
            topics: column(TOPIC, DataType::Utf8)?,
            numbers: column(PARTITION, DataType::Int32)?,
            offsets: column(OFFSET, DataType::Int64)?,
        })
    }

    fn iter(&self) -> impl Iterator<Item = (&str, i32, i64)> {
        let numbers = self.numbers.as_primitive::<Int32Type>().values().iter().copied();
        let offsets = self.offsets.as_primitive::<Int64Type>().values().iter().copied();
        let topics = self.topics.as_string::<i32>().iter().flatten();
        topics.zip(numbers).zip(offsets).map(|((topic, number), offset)| (topic, number, offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::EngineConfig;
    use arrow::array::UInt64Array;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_value_that_does_not_fit_its_column_is_no_null() {
        let table = TableName::parse("bronze.books").unwrap();
        let engine = Engine::new(&EngineConfig { memory_bytes: 64 << 20, threads: 1 }).unwrap();
        let sql = "select * from batch";
        let transform = Transform::new(&table, &engine, Path::new("s.sql"), sql, &Fields::empty()).await.unwrap();
        let field = Field::new("n", DataType::Int64, true);
        let store = |value: u64| transform.store(&(Arc::new(UInt64Array::from(vec![value])) as _), &field);
        assert_eq!(store(7).unwrap().as_primitive::<Int64Type>().values(), &[7]);
        let error = store(u64::MAX).unwrap_err();
        assert_eq!(error.kind(), Kind::Input);
        assert!(error.to_string().contains("s.sql"), "{error}");
    }
}
