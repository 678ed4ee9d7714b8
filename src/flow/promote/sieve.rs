//! Rows that break a test with `on_failure: quarantine`, on their way out of a model: into `<model>__rejected`.
//!
//! Every row of the model's query goes either way, none both, and the sum is checked. The two tables cannot commit as
//! one: the rejected rows go first, and the model's own commit then notes their version. A run that ended between the
//! two has left rows that no commit of the model knows of; the next one takes them out in the commit that brings its
//! own. Never decides what a number of rejected rows means for a test; `guard` does.

use super::record::version_of;
use crate::check::{Check, OnFailure, reject};
use crate::error::{Context, Error, Kind, Result};
use crate::flow::catalog::Pins;
use crate::flow::checks;
use crate::ident::TableName;
use crate::model::{Model, rejected_of};
use crate::table::{Commit, Lake, Mode, Stage, Staged, Table, Txn};
use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::compute::{filter_record_batch, is_not_null, is_null};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Names of the tests a row broke.
pub(super) const REJECTED_BY: &str = "_rejected_by";
/// When the run that took it out staged it.
const REJECTED_AT: &str = "_rejected_at";

/// Parts the rows of one build.
pub(super) struct Sieve<'a> {
    lake: &'a Lake,
    name: TableName,
    checks: Vec<&'a Check>,
    schema: SchemaRef,
    at: i64,
    open: Option<(Table, Stage)>,
    /// Rows of the query.
    seen: u64,
    rejected: u64,
    by_test: BTreeMap<String, u64>,
}

/// The checks of a model whose failing rows are to be taken out; one whose other table is not there yet has no turn.
pub(super) fn quarantining<'a>(model: &'a Model, pins: &Pins) -> Vec<&'a Check> {
    let others = |check: &Check| check.tables().into_iter().filter(|table| *table != model.table).collect::<Vec<_>>();
    let checks = model.checks.iter().filter(|check| check.options.on_failure == OnFailure::Quarantine);
    checks.filter(|check| checks::missing(&others(check), pins).is_none()).collect()
}

/// The tables that such checks look into, beside the model's own and those it reads.
pub(super) fn compared(model: &Model, pins: &Pins) -> BTreeSet<TableName> {
    let mut tables: BTreeSet<TableName> = quarantining(model, pins).iter().flat_map(|check| check.tables()).collect();
    tables.retain(|table| *table != model.table && !model.upstream.contains(table));
    tables
}

impl<'a> Sieve<'a> {
    /// `None` when the model has no such check. `schema`: of its rows.
    pub fn new(
        lake: &'a Lake,
        model: &TableName,
        checks: Vec<&'a Check>,
        schema: &Schema,
    ) -> Result<Option<Sieve<'a>>> {
        if checks.is_empty() {
            return Ok(None);
        }
        if let Some(taken) = [REJECTED_BY, REJECTED_AT].into_iter().find(|name| schema.column_with_name(name).is_some())
        {
            return Err(Error::config(format!("`{model}` returns a column `{taken}`, which its rejected rows get"))
                .hint("name the column otherwise"));
        }
        let own = [
            Field::new(REJECTED_BY, DataType::Utf8, true),
            Field::new(REJECTED_AT, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        ];
        let fields: Vec<Field> = schema.fields().iter().map(|field| field.as_ref().clone()).chain(own).collect();
        Ok(Some(Sieve {
            lake,
            name: rejected_of(model)?,
            checks,
            schema: Arc::new(Schema::new(fields)),
            at: chrono::Utc::now().timestamp_micros(),
            open: None,
            seen: 0,
            rejected: 0,
            by_test: BTreeMap::new(),
        }))
    }

    /// The model's statement with the column by which its rows are parted, the last.
    pub fn statement(&self, sql: &str) -> String {
        reject::marked(sql, REJECTED_BY, &self.checks)
    }

    /// Takes the rejected rows of a batch and gives back the others; `positions` are those of the model's columns.
    pub async fn part(&mut self, batch: RecordBatch, positions: &[usize]) -> Result<RecordBatch> {
        let attempt = || format!("part the rows of `{}`", self.name);
        self.seen += batch.num_rows() as u64;
        let by = batch.column(batch.num_columns() - 1).clone();
        let rows = batch.project(positions).context(Kind::Internal, attempt)?;
        if by.null_count() == by.len() {
            return Ok(rows);
        }
        let kept = filter_record_batch(&rows, &is_null(&by).context(Kind::Internal, attempt)?);
        let kept = kept.context(Kind::Internal, attempt)?;
        let marked = positions.iter().copied().chain([batch.num_columns() - 1]).collect::<Vec<_>>();
        let marked = batch.project(&marked).context(Kind::Internal, attempt)?;
        let bad = filter_record_batch(&marked, &is_not_null(&by).context(Kind::Internal, attempt)?);
        let bad = bad.context(Kind::Internal, attempt)?;
        self.take(bad).await?;
        Ok(kept)
    }

    async fn take(&mut self, bad: RecordBatch) -> Result<()> {
        self.rejected += bad.num_rows() as u64;
        let marks = bad.column(bad.num_columns() - 1);
        let marks =
            marks.as_string_opt::<i32>().ok_or_else(|| Error::internal("the marks of rejected rows are no text"))?;
        for name in marks.iter().flatten().flat_map(|names| names.split(reject::SEPARATOR)) {
            *self.by_test.entry(name.to_string()).or_default() += 1;
        }
        let at = TimestampMicrosecondArray::from(vec![self.at; bad.num_rows()]).with_timezone("UTC");
        let columns: Vec<ArrayRef> = bad.columns().iter().cloned().chain([Arc::new(at) as ArrayRef]).collect();
        let rows = RecordBatch::try_new(self.schema.clone(), columns);
        let rows = rows.context(Kind::Internal, || format!("arrange the rows of `{}`", self.name))?;
        if self.open.is_none() {
            let table = self.lake.create(&self.name, self.schema.clone(), &[]).await?;
            let stage = table.stage(self.schema.clone()).await?;
            self.open = Some((table, stage));
        }
        match &mut self.open {
            Some((_, stage)) => stage.write(rows).await,
            None => Err(Error::internal("a table just opened is gone")),
        }
    }

    pub async fn abort(self) {
        if let Some((_, stage)) = self.open {
            stage.abort().await;
        }
    }

    /// `kept`: rows that went on into the model; `adds`: they join those that stand, which were built beside version
    /// `noted` of the rejected ones.
    pub async fn finish(self, kept: u64, adds: bool, noted: Option<i64>) -> Result<Rejects> {
        let (seen, rejected) = (self.seen, self.rejected);
        let (by_test, name, schema) = (self.by_test, self.name, self.schema);
        let (table, staged) = match self.open {
            Some((table, stage)) => (Some(table), Some(stage.finish().await?)),
            None => (self.lake.table(&name).await?, None),
        };
        if seen != kept + rejected {
            Staged::discard_all(staged).await;
            let message = format!("{seen} rows were to be parted, {kept} were kept and {rejected} went to `{name}`");
            return Err(Error::internal(message));
        }
        let Some(table) = table else { return Ok(Rejects { by_test, rows: 0, pending: None }) };
        let doomed = match adds {
            true => unknown_of(&table, noted).await,
            false => Ok(None),
        };
        let doomed = match doomed {
            Ok(doomed) => doomed,
            Err(error) => {
                Staged::discard_all(staged).await;
                return Err(error);
            }
        };
        let nothing = staged.is_none() && doomed.is_none() && (adds || table.rows() == Some(0));
        let staged = match (staged, nothing) {
            (None, false) => Some(table.stage(schema).await?.finish().await?),
            (staged, _) => staged,
        };
        let (mode, staged) = match doomed {
            Some(files) => (Mode::Exchange, staged.map(|staged| staged.in_place_of(&files))),
            None if adds => (Mode::Append, staged),
            None => (Mode::Replace, staged),
        };
        Ok(Rejects { by_test, rows: rejected, pending: Some(Pending { table, mode, staged }) })
    }
}

/// The files that no commit of the model knows of: those after the version it noted.
async fn unknown_of(table: &Table, noted: Option<i64>) -> Result<Option<crate::table::Picked>> {
    // Version 0 is the table as it was made, without rows.
    let noted = noted.unwrap_or(0);
    if table.same_rows_since(noted).await? {
        return Ok(None);
    }
    let files = match table.at(noted).await {
        Ok(known) => table.added_since(&known)?,
        Err(error) if error.kind() == Kind::Input => None,
        Err(error) => return Err(error),
    };
    files.map(Some).ok_or_else(|| {
        let message = format!("which rows of `{}` are of a run that did not end can no longer be told", table.name());
        Error::conflict(message).hint("a full refresh of its model makes it anew")
    })
}

/// Rejected rows that nobody sees yet.
pub(super) struct Rejects {
    /// Rejected rows by name of the test; a row may break several.
    pub by_test: BTreeMap<String, u64>,
    pub rows: u64,
    pending: Option<Pending>,
}

/// Not committed yet.
struct Pending {
    table: Table,
    mode: Mode,
    /// None when the table stays as it is.
    staged: Option<Staged>,
}

impl Rejects {
    pub async fn discard(self) {
        if let Some(pending) = self.pending {
            Staged::discard_all(pending.staged).await;
        }
    }

    /// Commits them, with the positions of the model's own commit. Returns the table's version after that.
    pub async fn commit(self, txns: &[Txn], model: &TableName) -> Result<Option<i64>> {
        let Some(Pending { mut table, mode, staged }) = self.pending else { return Ok(None) };
        let Some(staged) = staged else { return Ok(Some(table.version())) };
        let mut own = Vec::new();
        for txn in txns {
            own.push(Txn { expected: table.txn(&txn.app).await?, ..txn.clone() });
        }
        let info = [("verb", "promote".into()), ("rejected_of", model.to_string().into()), ("rows", self.rows.into())];
        let info: Map<String, Value> = info.into_iter().map(|(key, value)| (key.to_string(), value)).collect();
        let committed = table.commit(Commit { mode, staged, txns: own, info }, "promote.commit_rejected").await?;
        version_of(committed, table.name()).map(Some)
    }
}
