//! Few large files in the place of many small ones: the same rows in the same order.
//!
//! Says which files are worth merging and writes their rows into new files; [`Table::commit`] with
//! [`super::Mode::Rewrite`] swaps them. Such a commit changes no row, so appends, which never look at files that
//! stand, go on beside it, and it goes on beside them; of two that merge the same file one gives up.
//!
//! [`Table::rewrite_all`] writes all files anew in wider types, for [`super::Mode::Widen`]: not every reader knows
//! Delta's own type widening. Rows that others add meanwhile are written anew after the rest, so that it comes to an end
//! beside them.

use super::Table;
use super::exchange::{Picked, add};
use super::schema::align;
use super::staged::{Rewrite, Staged};
use super::write::{FILE_BYTES, Stage};
use crate::error::{Error, Result};
use arrow::datatypes::SchemaRef;
use deltalake::kernel::Add;
use futures::TryStreamExt;
use std::collections::BTreeMap;
use std::num::NonZeroU64;

/// Files of a size are merged with others that add up to at least a part of it, so that a row is written anew a
/// logarithmic number of times however often small files come in.
const GROWTH: u64 = 2;
/// Rows read at once.
const BATCH_ROWS: u64 = 8192;

/// Whether long work is to go on; an error ends it.
pub type KeepOn<'a> = &'a (dyn Fn() -> Result<()> + Sync);

/// Files of one partition value that are to become one.
pub struct Bin {
    /// In the order of their rows.
    adds: Vec<Add>,
    /// By their statistics; `None` when a file has none.
    rows: Option<u64>,
}

impl Bin {
    pub fn files(&self) -> usize {
        self.adds.len()
    }

    pub fn bytes(&self) -> u64 {
        self.adds.iter().map(bytes).sum()
    }
}

/// How much a version of a table holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Extent {
    pub files: u64,
    pub bytes: u64,
    /// Of the files, those below the target size.
    pub small_files: u64,
}

impl Table {
    /// Counts by the log alone; `target` is the size files should have.
    pub fn extent(&self, target: u64) -> Result<Extent> {
        let mut extent = Extent::default();
        for file in self.standing()? {
            let bytes = file.size().unsigned_abs();
            extent.files += 1;
            extent.bytes += bytes;
            extent.small_files += u64::from(bytes < target);
        }
        Ok(extent)
    }

    /// What is worth merging into files of about `target` bytes. Files whose rows are partly deleted are left alone.
    pub fn bins(&self, target: u64) -> Result<Vec<Bin>> {
        let mut small: BTreeMap<PartitionValue, Vec<Sized>> = BTreeMap::new();
        for file in self.standing()? {
            if file.size().unsigned_abs() < target && file.deletion_vector_descriptor().is_none() {
                let mut value: Vec<_> = file.partition_values_map().into_iter().collect();
                value.sort();
                small.entry(value).or_default().push((add(&file), file.num_records().map(|rows| rows as u64)));
            }
        }
        let groups = small.into_values().flat_map(similar);
        Ok(groups.flat_map(|group| cut(group, target)).collect())
    }

    /// Writes the rows of a bin into files nobody sees yet, to be committed with [`super::Mode::Rewrite`].
    pub async fn rewrite(&self, bin: &Bin, target: u64) -> Result<Staged> {
        let target = NonZeroU64::new(target).ok_or_else(|| Error::config("files cannot be 0 bytes big"))?;
        let stage = self.stage_files_of(target, self.schema())?;
        self.rewrite_into(stage, bin, target, &|| Ok(())).await
    }

    /// Writes all rows into files nobody sees yet, in the types of `schema`, whose columns are the table's; to be
    /// committed with [`super::Mode::Widen`]. What is `done` already, of files that all stand, is not done again.
    /// `keep_on` is asked often and its error ends it; then nothing is left, as after any other.
    pub async fn rewrite_all(
        &self,
        schema: SchemaRef,
        row_group_bytes: usize,
        done: Option<Staged>,
        keep_on: KeepOn<'_>,
    ) -> Result<Staged> {
        if !schema.fields().iter().map(|field| field.name()).eq(self.schema().fields().iter().map(|field| field.name()))
        {
            return Err(Error::internal(format!("the columns of `{}` were to be rewritten as others", self.name())));
        }
        let paths =
            done.as_ref().and_then(|done| Some(done.files().rewrite.as_ref()?.paths.clone())).unwrap_or_default();
        let rest = self.picked(|file| !paths.contains(file.path().as_ref()));
        let rest = match rest {
            Ok(Picked { adds, rows }) => {
                let stage = self.stage_files_of(FILE_BYTES, schema)?.tuned(row_group_bytes, &[]);
                self.rewrite_into(stage, &Bin { adds, rows }, FILE_BYTES, keep_on).await
            }
            Err(error) => Err(error),
        };
        match (done, rest) {
            (None, rest) => rest,
            (Some(done), Ok(rest)) => Ok(done.and(rest)),
            (Some(done), Err(error)) => {
                done.discard().await;
                Err(error)
            }
        }
    }

    async fn rewrite_into(
        &self,
        mut stage: Stage,
        bin: &Bin,
        target: NonZeroU64,
        keep_on: KeepOn<'_>,
    ) -> Result<Staged> {
        if let Err(error) = self.copy(bin, &mut stage, keep_on).await {
            stage.abort().await;
            return Err(error);
        }
        let staged = stage.finish().await?;
        let paths = bin.adds.iter().map(|add| add.path.clone()).collect();
        let newest = bin.adds.iter().map(|add| add.modification_time).max().unwrap_or_default();
        let staged = staged.rewriting(Rewrite { paths, merged_to: Some(target.get()) }, newest);
        match bin.rows {
            Some(rows) if rows != staged.rows => {
                let found = staged.rows;
                staged.discard().await;
                Err(Error::input(format!("files of `{}` hold {found} rows, the log says {rows}", self.name()))
                    .hint("somebody changed a file of the table; its rows were left as they are"))
            }
            _ => Ok(staged),
        }
    }

    async fn copy(&self, bin: &Bin, stage: &mut Stage, keep_on: KeepOn<'_>) -> Result<()> {
        let mut rows = self.rows_of(&bin.adds, bin.rows, BATCH_ROWS, None).await?;
        while let Some(batch) = rows.try_next().await? {
            keep_on()?;
            stage.write(align(&batch, &stage.schema())?).await?;
        }
        Ok(())
    }
}

fn bytes(add: &Add) -> u64 {
    add.size.unsigned_abs()
}

/// By column, sorted.
type PartitionValue = Vec<(String, Option<String>)>;
/// A file and its rows, if they are known.
type Sized = (Add, Option<u64>);

/// Groups of files of similar size.
fn similar(mut files: Vec<Sized>) -> Vec<Vec<Sized>> {
    files.sort_by_key(|(add, _)| add.size);
    let mut groups: Vec<Vec<Sized>> = Vec::new();
    let mut sum = 0;
    for file in files {
        let size = bytes(&file.0);
        match groups.last_mut().filter(|_| size <= GROWTH * sum) {
            Some(group) => group.push(file),
            None => {
                sum = 0;
                groups.push(vec![file]);
            }
        }
        sum += size;
    }
    groups
}

/// Bins of at most `target` bytes, in the order the files were written: that is the order of their rows.
fn cut(mut files: Vec<Sized>, target: u64) -> Vec<Bin> {
    files.sort_by(|(a, _), (b, _)| (a.modification_time, &a.path).cmp(&(b.modification_time, &b.path)));
    let mut bins: Vec<Bin> = Vec::new();
    let mut filled = u64::MAX;
    for (add, rows) in files {
        filled = filled.saturating_add(bytes(&add));
        match bins.last_mut().filter(|_| filled <= target) {
            Some(bin) => {
                bin.rows = bin.rows.zip(rows).map(|(sum, rows)| sum + rows);
                bin.adds.push(add);
            }
            None => {
                filled = bytes(&add);
                bins.push(Bin { adds: vec![add], rows });
            }
        }
    }
    bins.retain(|bin| bin.files() > 1);
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(sizes: &[i64]) -> Vec<Sized> {
        let file = |(at, size): (usize, &i64)| Add {
            path: at.to_string(),
            size: *size,
            modification_time: at as i64,
            ..Add::default()
        };
        sizes.iter().enumerate().map(file).map(|add| (add, Some(1))).collect()
    }

    #[test]
    fn files_are_merged_with_their_like_up_to_the_target() {
        type Table<'a> = [(&'a [i64], &'a [&'a [i64]]); 7];
        let table: Table = [
            (&[], &[]),
            (&[5], &[]),
            (&[5, 5], &[&[5, 5]]),
            (&[90, 1, 2, 1], &[&[1, 2, 1]]),
            (&[50, 5, 40, 4], &[&[50, 40], &[5, 4]]),
            (&[60, 50, 40, 30], &[&[50, 40]]),
            (&[40, 40, 40, 40, 40], &[&[40, 40], &[40, 40]]),
        ];
        for (sizes, expected) in table {
            let bins = similar(files(sizes)).into_iter().flat_map(|group| cut(group, 100));
            let mut found: Vec<Vec<i64>> = bins.map(|bin| bin.adds.iter().map(|add| add.size).collect()).collect();
            found.sort_by(|a, b| b.cmp(a));
            assert_eq!(found, expected, "{sizes:?}");
        }
    }

    #[test]
    fn a_row_is_rewritten_a_logarithmic_number_of_times() {
        let (mut standing, mut written, mut came_in) = (Vec::new(), 0, 0);
        for _ in 0..2_000 {
            standing.extend([3; 10]);
            came_in += 30;
            for group in similar(files(&standing)).into_iter().filter(|group| group.len() > 1) {
                let sum: i64 = group.iter().map(|(add, _)| add.size).sum();
                for (add, _) in &group {
                    standing.remove(standing.iter().position(|size| *size == add.size).unwrap());
                }
                standing.push(sum);
                written += sum;
            }
        }
        assert!(standing.len() <= 12 && written < 15 * came_in, "{} files, {written} of {came_in}", standing.len());
    }
}
