//! Files of a table that are read in order to be replaced: by others made from their rows, in one commit.
//!
//! The rows come back in the order they were written, a few at a time. [`Table::commit`] with
//! [`super::Mode::Exchange`] takes the files out and the staged ones in. It fails with a conflict when one of them is no
//! longer there as it was read, so of two that work on the same rows one has to look again: nothing is in twice.

use super::Table;
use super::failure::failed;
use super::schema::align;
use super::staged::{FileTable, Staged};
use crate::error::{Context, Error, Kind, Result};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use deltalake::datafusion::datasource::TableProvider;
use deltalake::datafusion::physical_plan::common::spawn_buffered;
use deltalake::datafusion::prelude::{SessionConfig, SessionContext};
use deltalake::kernel::{Add, LogicalFileView};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use std::collections::HashSet;
use std::sync::Arc;

/// Compressed bytes of the rows read at once, as far as the log knows them.
const BATCH_BYTES: u64 = 2 << 20;
/// Rows read at once: few, because they may be as big as a message gets.
const BATCH_ROWS: u64 = 32;
const BATCHES_AHEAD: usize = 2;

/// Files of one version of a table.
#[derive(Debug, Clone)]
pub struct Picked {
    /// In the order of their rows.
    pub(super) adds: Vec<Add>,
    /// By their statistics; `None` when a file has none.
    pub(super) rows: Option<u64>,
}

impl Picked {
    pub fn rows(&self) -> Option<u64> {
        self.rows
    }

    pub fn is_empty(&self) -> bool {
        self.adds.is_empty()
    }

    pub fn files(&self) -> usize {
        self.adds.len()
    }

    pub fn bytes(&self) -> u64 {
        self.adds.iter().map(|add| add.size.unsigned_abs()).sum()
    }

    /// All files of these.
    pub fn together(picks: impl IntoIterator<Item = Picked>) -> Picked {
        Picked { adds: picks.into_iter().flat_map(|picked| picked.adds).collect(), rows: None }
    }
}

impl Table {
    /// The files whose partition column holds this value, as Delta writes it, the oldest first. Kind Config when
    /// another program has marked rows in one of them as deleted: they are not ours to bring back.
    pub fn pick(&self, column: &str, value: &str) -> Result<Picked> {
        self.picked(|file| file.partition_values_map().get(column).cloned().flatten().as_deref() == Some(value))
    }

    /// The files added since `earlier`, an older version of this table. `None` when one of its files has left the table,
    /// so that this cannot be told any more.
    pub fn added_since(&self, earlier: &Table) -> Result<Option<Picked>> {
        let paths = |table: &Table| -> Result<HashSet<String>> {
            Ok(table.standing()?.map(|file| file.path().into_owned()).collect())
        };
        let before = paths(earlier)?;
        if !before.is_subset(&paths(self)?) {
            return Ok(None);
        }
        self.picked(|file| !before.contains(file.path().as_ref())).map(Some)
    }

    /// As [`Table::pick`], by any rule.
    pub(super) fn picked(&self, wanted: impl Fn(&LogicalFileView) -> bool) -> Result<Picked> {
        let mut picked = Picked { adds: Vec::new(), rows: Some(0) };
        for file in self.standing()?.filter(wanted) {
            let one = self.whole(&file)?;
            picked.rows = picked.rows.zip(one.rows).map(|(sum, rows)| sum + rows);
            picked.adds.extend(one.adds);
        }
        picked.adds.sort_by(|a, b| (a.modification_time, &a.path).cmp(&(b.modification_time, &b.path)));
        Ok(picked)
    }

    /// One file, all of whose rows are there.
    pub(super) fn whole(&self, file: &LogicalFileView) -> Result<Picked> {
        if file.deletion_vector_descriptor().is_some() {
            let (name, path) = (self.name(), file.path());
            return Err(Error::config(format!("file `{path}` of `{name}` has rows marked as deleted")).hint(
                "let the program that marked them write the file anew (in Spark: REORG TABLE .. APPLY (PURGE))",
            ));
        }
        Ok(Picked { adds: vec![add(file)], rows: file.num_records().map(|rows| rows as u64) })
    }

    /// The rows of these files in the table's columns.
    pub async fn read(&self, picked: &Picked) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        self.rows_of(&picked.adds, picked.rows, BATCH_ROWS, None).await
    }

    /// The rows of files in their order, at most `most` at once, in all columns or these.
    pub(super) async fn rows_of(
        &self,
        adds: &[Add],
        rows: Option<u64>,
        most: u64,
        columns: Option<&[String]>,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let attempt = format!("read files of `{}`", self.name());
        let bytes: u64 = adds.iter().map(|add| add.size.unsigned_abs()).sum();
        let bytes_per_row = bytes / rows.unwrap_or(1).max(1);
        let batch_rows = (BATCH_BYTES / bytes_per_row.max(1)).clamp(1, most) as usize;
        let files = FileTable::new(&self.schema(), self.partition_by(), adds, &self.log)?;
        rows_of(files, self.schema(), batch_rows, columns, attempt).await
    }
}

/// The rows of files in their order, at most `most` at once; of their columns, `schema`, all or these.
pub(super) async fn rows_of(
    files: FileTable,
    schema: SchemaRef,
    most: usize,
    columns: Option<&[String]>,
    attempt: String,
) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    let config = SessionConfig::new().with_target_partitions(1).with_batch_size(most);
    let context = SessionContext::new_with_config(config);
    let positions = columns.map(|names| names.iter().filter_map(|name| schema.index_of(name).ok()).collect::<Vec<_>>());
    let scan = files.scan(&context.state(), positions.as_ref(), &[], None).await;
    let scan = scan.map_err(|error| failed(error, attempt.clone()))?;
    let rows = scan.execute(0, context.task_ctx()).map_err(|error| failed(error, attempt.clone()))?;
    // Small rows are decoded by a task of its own, while those before are worked on.
    let rows = if most as u64 > BATCH_ROWS { spawn_buffered(rows, BATCHES_AHEAD) } else { rows };
    let schema = match &positions {
        Some(positions) => Arc::new(schema.project(positions).context(Kind::Internal, || attempt.clone())?),
        None => schema,
    };
    let rows = rows.map_err(move |error| failed(error, attempt.clone()));
    Ok(rows.map(move |batch| align(&batch?, &schema)).boxed())
}

impl Staged {
    /// The same files as the ones that take the place of these.
    pub fn in_place_of(self, picked: &Picked) -> Staged {
        self.instead_of(picked.adds.iter().map(|add| add.path.clone()).collect())
    }
}

/// What reading the file takes.
pub(super) fn add(file: &LogicalFileView) -> Add {
    Add {
        path: file.path().into_owned(),
        partition_values: file.partition_values_map(),
        size: file.size(),
        modification_time: file.modification_time(),
        ..Add::default()
    }
}
