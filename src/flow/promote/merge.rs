//! New rows into the rows that stand, by key and file by file: copy on write, in one commit of the caller's.
//!
//! Rows of a touched key give way to the new rows of that key. A file is read as far as statistics allow that it holds
//! such a key, first its keys alone, and is written anew only if a key in it has other rows now: rows that would be the
//! same again stay where they are. Holds the keys of the increment in memory, streams everything else, and keeps each
//! file by itself, so that files sorted by key stay so. Sees only files: what a key means is the caller's business.

use super::keys::Keys;
use crate::error::Result;
use crate::failpoint;
use crate::flow::Stop;
use crate::table::{Mode, Picked, Stage, Staged, Table, schema};
use arrow::datatypes::SchemaRef;
use futures::stream::FuturesUnordered;
use futures::{StreamExt, TryStreamExt};
use std::collections::BTreeSet;

/// Files written anew at the same time: each holds what one open file holds.
const FILES_AT_ONCE: usize = 2;

/// What is to be committed, and what it does.
pub(super) struct Merged {
    pub staged: Staged,
    pub mode: Mode,
    /// Rows that came: new ones and those that changed.
    pub rows: u64,
    pub effort: Effort,
}

/// Files of the standing table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Effort {
    /// Written anew because a key in them has other rows.
    pub rewritten: usize,
    /// Left as they are.
    pub kept: usize,
}

/// A file that holds touched keys.
struct Hit {
    file: Picked,
    keys: BTreeSet<u32>,
}

/// Merges `fresh`, whose rows `keys` has noted, into `table`. Whatever fails, nothing is left behind.
pub(super) async fn merge(table: &Table, fresh: Staged, keys: &mut Keys, stop: &Stop) -> Result<Merged> {
    let mut pieces = Pieces { stages: Vec::new(), schema: fresh.schema() };
    match pieces.cut(table, keys, stop).await {
        Ok(cut) => pieces.join(table, fresh, keys, cut).await,
        Err(error) => {
            fresh.discard().await;
            pieces.discard().await;
            Err(error)
        }
    }
}

/// Files whose rows the pieces hold from now on, as far as they stay.
struct Cut {
    doomed: Vec<Picked>,
    effort: Effort,
}

/// Files written anew so far.
struct Pieces {
    stages: Vec<Staged>,
    schema: SchemaRef,
}

impl Pieces {
    /// Writes anew what is left of each file with a changed key.
    async fn cut(&mut self, table: &Table, keys: &mut Keys, stop: &Stop) -> Result<Cut> {
        let files = table.files()?;
        let hits = hits(table, keys, stop).await?;
        for hit in &hits {
            stop.check()?;
            let mut rows = table.rows_in(&hit.file, None).await?;
            while let Some(batch) = rows.try_next().await? {
                keys.stood(&batch)?;
            }
        }
        let keys: &Keys = keys;
        let changed = hits.into_iter().filter(|hit| hit.keys.iter().any(|id| keys.changed(*id)));
        let doomed: Vec<Picked> = changed.map(|hit| hit.file).collect();
        let (mut waiting, mut under_way, mut failed) = (doomed.iter(), FuturesUnordered::new(), None);
        loop {
            while failed.is_none() && under_way.len() < FILES_AT_ONCE {
                let Some(file) = waiting.next() else { break };
                under_way.push(rewrite(table, file, self.schema.clone(), keys, stop));
            }
            // After a failure too what is under way is waited for: its files are to be taken away.
            match under_way.next().await {
                None => break,
                Some(Ok(piece)) => {
                    self.stages.push(piece);
                    failpoint::hit("promote.mid_merge");
                }
                Some(Err(error)) => failed = failed.or(Some(error)),
            }
        }
        drop(under_way);
        let effort = Effort { rewritten: doomed.len(), kept: files - doomed.len() };
        failed.map_or(Ok(Cut { doomed, effort }), Err)
    }

    /// One commit of the new rows and of what is left of the files.
    async fn join(mut self, table: &Table, fresh: Staged, keys: &Keys, cut: Cut) -> Result<Merged> {
        let Cut { doomed, effort } = cut;
        let fresh = match keys.all_new_changed() {
            true => fresh,
            false => match only_changed(table, &fresh, keys).await {
                Ok(changed) => {
                    fresh.discard().await;
                    changed
                }
                Err(error) => {
                    fresh.discard().await;
                    self.discard().await;
                    return Err(error);
                }
            },
        };
        let rows = fresh.rows;
        let all = self.stages.drain(..).fold(fresh, Staged::and);
        let (staged, mode) = match doomed.is_empty() {
            true => (all, Mode::Append),
            false => (all.in_place_of(&Picked::together(doomed)), Mode::Exchange),
        };
        Ok(Merged { staged, mode, rows, effort })
    }

    async fn discard(self) {
        Staged::discard_all(self.stages).await;
    }
}

/// The files that hold a touched key: those that may by their statistics, and do by their keys.
async fn hits(table: &Table, keys: &Keys, stop: &Stop) -> Result<Vec<Hit>> {
    let mut hits = Vec::new();
    if keys.is_empty() {
        return Ok(hits);
    }
    let spread = keys.spread()?;
    for file in table.holding(keys.columns(), |bounds| spread.may_be_in(bounds))? {
        stop.check()?;
        let mut found = BTreeSet::new();
        let mut rows = table.rows_in(&file, Some(keys.columns())).await?;
        while let Some(batch) = rows.try_next().await? {
            found.extend(keys.ids(&batch)?.into_iter().flatten());
        }
        if !found.is_empty() {
            hits.push(Hit { file, keys: found });
        }
    }
    Ok(hits)
}

/// What is left of a file without the rows of keys that have others now.
async fn rewrite(table: &Table, file: &Picked, schema: SchemaRef, keys: &Keys, stop: &Stop) -> Result<Staged> {
    stop.check()?;
    let mut rows = table.rows_in(file, None).await?;
    let mut stage = table.stage(schema).await?;
    let stays = |id: Option<u32>| id.is_none_or(|id| !keys.changed(id));
    match copy(&mut rows, &mut stage, keys, stays).await {
        Ok(()) => stage.finish().await,
        Err(error) => {
            stage.abort().await;
            Err(error)
        }
    }
}

type Rows = futures::stream::BoxStream<'static, Result<arrow::record_batch::RecordBatch>>;

async fn copy(rows: &mut Rows, stage: &mut Stage, keys: &Keys, wanted: impl Fn(Option<u32>) -> bool) -> Result<()> {
    while let Some(batch) = rows.try_next().await? {
        let kept = keys.filter(&batch, &wanted)?;
        stage.write(schema::align(&kept, &stage.schema())?).await?;
    }
    Ok(())
}

/// The new rows without those that stand already.
async fn only_changed(table: &Table, fresh: &Staged, keys: &Keys) -> Result<Staged> {
    let mut stage = table.stage(fresh.schema()).await?;
    let mut rows = table.rows_staged(fresh).await?;
    match copy(&mut rows, &mut stage, keys, |id| id.is_none_or(|id| keys.changed(id))).await {
        Ok(()) => stage.finish().await,
        Err(error) => {
            stage.abort().await;
            Err(error)
        }
    }
}
