//! Rows of a model's query on their way into files nobody sees yet.

use super::contract::Query;
use super::culprit;
use super::increment::Work;
use super::keys::Keys;
use super::plan::Step;
use super::sieve::{Rejects, Sieve, quarantining};
use super::turn::Turn;
use crate::engine::{self, Session};
use crate::error::{Context, Error, Kind, Result};
use crate::model::{Materialization, Model};
use crate::table::{Stage, Staged, Table};
use arrow::array::AsArray;
use arrow::record_batch::RecordBatch;
use futures::StreamExt;

/// Each has a file open.
const MOST_ENCODERS: usize = 4;

impl Turn<'_> {
    /// Writes the query's rows into files nobody sees yet; beside them those that its tests take out.
    pub(super) async fn stage(
        &self,
        session: &Session,
        step: &Step<'_>,
        query: &Query,
        table: &Table,
        work: &Work,
        keys: Option<&mut Keys>,
    ) -> Result<(Staged, Option<Rejects>)> {
        let model = step.model;
        let schema = &query.layout.schema;
        let mut sieve = Sieve::new(self.lake, &model.table, quarantining(model, &self.pins), schema)?;
        let mut stage = table.stage(schema.clone()).await?;
        // Merges of later rows find fewer files to write anew where rows keep the order they come in.
        let is_remade = model.materialization == Materialization::Table && model.partition_by.is_empty();
        if is_remade && model.cluster_by.is_empty() {
            stage = stage.unordered(self.engine.threads().min(MOST_ENCODERS));
        }
        let staged = match self.write(session, model, query, &mut stage, &mut sieve, keys).await {
            Ok(()) => stage.finish().await,
            Err(error) => {
                stage.abort().await;
                Err(error)
            }
        };
        let (staged, sieve) = match (staged, sieve) {
            (Ok(staged), Some(sieve)) => (staged, sieve),
            (Ok(staged), None) => return Ok((staged, None)),
            (Err(error), sieve) => {
                if let Some(sieve) = sieve {
                    sieve.abort().await;
                }
                return Err(error);
            }
        };
        let noted = step.last.as_ref().filter(|_| work.adds()).and_then(|last| last.rejected);
        match sieve.finish(staged.rows, work.adds(), noted).await {
            Ok(rejects) => Ok((staged, Some(rejects))),
            Err(error) => {
                staged.discard().await;
                Err(error)
            }
        }
    }

    async fn write(
        &self,
        session: &Session,
        model: &Model,
        query: &Query,
        stage: &mut Stage,
        sieve: &mut Option<Sieve<'_>>,
        mut keys: Option<&mut Keys>,
    ) -> Result<()> {
        let attempt = || format!("build `{}` from {}", model.table, model.file.display());
        let Query { sql: statement, layout } = query;
        let parted = sieve.as_ref().map(|sieve| sieve.statement(statement));
        let explained = |failed| {
            let columns = layout.schema.fields().iter().map(|field| field.name().as_str());
            culprit::named(failed, session, statement, columns, self.stop)
        };
        let run = parted.as_deref().unwrap_or(statement);
        let mut rows = match self.stop.before(session.sorted(run, &model.cluster_by)).await {
            Err(error) if error.kind() == Kind::Input => {
                return Err(explained(Error::input(attempt()).caused_by(error)).await);
            }
            rows => rows?,
        };
        let name = model.table.to_string();
        loop {
            // A query may run for long before its first row, or for ever.
            let next = tokio::select! {
                next = rows.next() => next,
                interrupted = self.stop.asked() => return Err(interrupted),
            };
            let batch = match next {
                None => return Ok(()),
                Some(Err(error)) => return Err(explained(engine::failed(error, attempt())).await),
                Some(Ok(batch)) => batch,
            };
            let arranged = match sieve {
                Some(sieve) => sieve.part(batch, &layout.positions).await?,
                None if layout.is_as_planned() => batch,
                None => batch.project(&layout.positions).context(Kind::Internal, attempt)?,
            };
            refuse_empty_text(model, &arranged)?;
            let count = arranged.num_rows() as u64;
            if let Some(keys) = keys.as_mut() {
                keys.came(&arranged)?;
            }
            stage.write(arranged).await?;
            self.progress.advanced(&name, count, 0);
        }
    }
}

/// Delta keeps an empty text in a partition column as NULL: the table would not hold what the query returned.
fn refuse_empty_text(model: &Model, rows: &RecordBatch) -> Result<()> {
    let columns = model.partition_by.iter().filter_map(|name| Some((name, rows.column_by_name(name)?)));
    let mut texts = columns.filter_map(|(name, column)| Some((name, column.as_string_opt::<i32>()?)));
    match texts.find(|(_, texts)| texts.iter().flatten().any(str::is_empty)) {
        None => Ok(()),
        Some((name, _)) => Err(Error::input(format!(
            "`{}` is partitioned by `{name}`, which is an empty text in a row: Delta would keep that as NULL",
            model.table
        ))
        .hint(format!("write nullif({name}, '') in {}", model.file.display()))),
    }
}
