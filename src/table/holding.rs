//! Which files of a table may hold certain rows, by their statistics, and what is in one file.
//!
//! Statistics that are missing, cut short or say nothing (of floating numbers: NaN is in no bound) are no answer, and a
//! file without an answer may hold anything.

use super::exchange::{Picked, add, rows_of};
use super::failure::failed;
use super::staged::{FileTable, Files, Staged, partition_value};
use super::statistics::is_exact;
use super::{Provider, Table, schema};
use crate::error::Result;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use arrow::record_batch::RecordBatch;
use deltalake::delta_datafusion::DeltaScanNext;
use deltalake::kernel::LogicalFileView;
use futures::stream::BoxStream;
use std::sync::Arc;

/// Rows read at once.
const BATCH_ROWS: u64 = 8192;
/// Bytes of text from which on writers cut it.
const CUT_AT: usize = 32;

/// Between which values those of a column lie in a file: one row each, of the column's type.
pub struct Bounds {
    pub least: ArrayRef,
    pub greatest: ArrayRef,
    pub may_hold_null: bool,
}

impl Table {
    /// The files that may hold rows `may_hold` asks for, each alone; it gets the bounds of the columns, `None` where
    /// they are not known. Kind Config as [`Table::pick`].
    pub fn holding(&self, columns: &[String], may_hold: impl Fn(&[Option<Bounds>]) -> bool) -> Result<Vec<Picked>> {
        let schema = self.schema();
        let fields =
            columns.iter().filter_map(|name| schema.column_with_name(name).map(|(at, _)| &schema.fields()[at]));
        let fields: Vec<&FieldRef> = fields.collect();
        let wanted =
            |file: &LogicalFileView| may_hold(&fields.iter().map(|field| self.bounds(file, field)).collect::<Vec<_>>());
        self.standing()?.filter(wanted).map(|file| self.whole(&file)).collect()
    }

    fn bounds(&self, file: &LogicalFileView, field: &FieldRef) -> Option<Bounds> {
        if self.partition_by().contains(field.name()) {
            let text = file.partition_values_map().get(field.name()).cloned().flatten();
            let value = partition_value(text.as_deref(), field.data_type()).ok()?.to_array().ok()?;
            return Some(Bounds { least: value.clone(), greatest: value, may_hold_null: text.is_none() });
        }
        if !is_bounded(field.data_type()) {
            return None;
        }
        let of_column = |all: ArrayRef| all.as_struct_opt()?.column_by_name(field.name()).cloned();
        let bound = |all: Option<ArrayRef>| -> Option<ArrayRef> {
            let value = cast(&of_column(all?)?, field.data_type()).ok()?;
            (!value.is_null(0)).then_some(value)
        };
        // A bound that may be cut short is none.
        let is_cut = |bound: &ArrayRef| bound.as_string_opt::<i32>().is_some_and(|text| text.value(0).len() >= CUT_AT);
        let least = bound(file.min_values().and_then(|all| all.to_array(1).ok()))?;
        let greatest = bound(file.max_values().and_then(|all| all.to_array(1).ok()))?;
        if is_cut(&least) || is_cut(&greatest) {
            return None;
        }
        let nulls = file.null_counts().and_then(|all| of_column(all.to_array(1).ok()?));
        let nulls = nulls.and_then(|counts| counts.as_primitive_opt::<Int64Type>().map(|counts| counts.value(0)));
        Some(Bounds { least, greatest, may_hold_null: nulls != Some(0) })
    }

    /// The rows of these files in the table's columns, or in some of them, many at once.
    pub async fn rows_in(
        &self,
        picked: &Picked,
        columns: Option<&[String]>,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        self.rows_of(&picked.adds, picked.rows, BATCH_ROWS, columns).await
    }

    /// The rows of files nobody sees yet, in their own columns.
    pub async fn rows_staged(&self, staged: &Staged) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let Files { schema, partition_by, adds, .. } = staged.files();
        let files = FileTable::new(schema, partition_by, adds, &self.log)?;
        let attempt = format!("read staged files of `{}`", self.name());
        rows_of(files, schema.clone(), BATCH_ROWS as usize, None, attempt).await
    }

    /// The files that stand beside `staged` once it is committed: all but those it takes the place of.
    pub async fn provider_beside(&self, staged: &Staged) -> Result<Provider> {
        let Some(rewrite) = &staged.files().rewrite else { return self.provider().await };
        let kept = self.standing()?.filter(|file| !rewrite.paths.contains(file.path().as_ref()));
        let kept: Vec<_> = kept.map(|file| add(&file)).collect();
        let scan = DeltaScanNext::builder()
            .with_log_store(self.log.clone())
            .with_eager_snapshot(self.state.snapshot().clone())
            .build()
            .await
            .map_err(|error| failed(error, format!("prepare `{}` for reading", self.name())))?;
        Ok(Arc::new(scan.with_adds(kept)))
    }

    /// How many files this version has.
    pub fn files(&self) -> Result<usize> {
        Ok(self.standing()?.count())
    }
}

/// Types whose order in statistics is the order of their values, all of them; timestamps are cut to milliseconds there.
fn is_bounded(data_type: &DataType) -> bool {
    use DataType::*;
    match schema::storable_type(data_type) {
        Int8 | Int16 | Int32 | Int64 | Date32 | Utf8 => true,
        decimal @ Decimal128(..) => is_exact(&decimal),
        _ => false,
    }
}
