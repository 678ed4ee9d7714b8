//! What a build runs its statement on: all rows, or what is new, and why not when it is not enough.
//!
//! New is what came into the driving table after the version in the model's own `txn`, by that table's log and by no
//! clock. `append` takes the new rows alone. With a key the statement runs on all rows of each key that came, changed or
//! left: what it makes of them takes the place of that key's rows, so the table is what a full refresh would make of it.
//! Whether a statement allows that is read off its plan ([`reach`]); whether the log does, off the log. Decides and
//! registers; writes nothing.

use super::contract::Layout;
use super::plan::{Action, Step};
use super::reason::Reason;
use super::record::app;
use super::sieve::compared;
use super::turn::Turn;
use crate::engine::Session;
use crate::error::{Error, Result};
use crate::flow::catalog;
use crate::ident::{TableName, quote};
use crate::model::{Materialization, Model, Strategy};
use crate::table::{Picked, Since, Table};
use arrow::record_batch::RecordBatch;

/// The keys that came, as a table beside those of the lake.
const TOUCHED: &str = "lake_touched_keys";

/// What the statement is run on.
pub(super) enum Work {
    /// All rows, in the place of those that stand; why, when an increment was asked for.
    Whole(Option<String>),
    /// The statement's own idea of what is new, on whole tables.
    AsWritten,
    /// The driving table's new rows.
    New { driver: TableName, rows: Picked },
    /// The driving table's rows of these keys, which are its columns `columns`.
    Keys { driver: TableName, columns: Vec<String>, keys: Vec<RecordBatch> },
}

/// Which part of the driving table's rows a statement can be run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::flow) enum Reach {
    /// New rows alone.
    Rows,
    /// Whole keys; the driver's columns that are the key, in its order.
    Keys(Vec<String>),
}

/// Reads off the plan what an increment of the model can be run on; `None` for a model that is not driven by a table.
/// The session knows at least the columns of what the model reads. Kind Config, in the model's file, when none will do.
pub(in crate::flow) async fn reach(session: &Session, model: &Model, layout: &Layout) -> Result<Option<Reach>> {
    let Materialization::Incremental(incremental) = &model.materialization else { return Ok(None) };
    let Some(driver) = &incremental.driven_by else { return Ok(None) };
    let refused = |why: String| {
        Error::config(format!(
            "{}: `{}` cannot be built from what is new in `{driver}`: {why}",
            model.file.display(),
            model.table
        ))
        .hint("let the file say what is new with `is_incremental()`, or build it as a table")
    };
    let narrow = session.narrow(model.statement(false), driver).await?.map_err(refused)?;
    let key = match &incremental.strategy {
        Strategy::Append if narrow.grouped_by.is_some() => {
            return Err(refused("its rows are made of groups, and `append` changes no row that stands".into()));
        }
        Strategy::Append => return Ok(Some(Reach::Rows)),
        Strategy::Merge { key } | Strategy::DeleteInsert { key } => key,
    };
    let mut columns = Vec::new();
    for name in key {
        let Ok(at) = layout.schema.index_of(name) else {
            return Err(refused(format!("the result has no column `{name}`, which is its key")));
        };
        let planned = layout.positions.get(at).and_then(|position| narrow.columns.get(*position)).cloned().flatten();
        let Some(column) = planned else {
            return Err(refused(format!("its key `{name}` is not a column of it as it is")));
        };
        if narrow.grouped_by.as_ref().is_some_and(|groups| !groups.contains(&column)) {
            return Err(refused(format!("its groups or windows reach beyond one `{name}`")));
        }
        columns.push(column);
    }
    Ok(Some(Reach::Keys(columns)))
}

impl Work {
    /// Whether rows that stand may stay.
    pub fn adds(&self) -> bool {
        !matches!(self, Work::Whole(_))
    }

    pub fn why_whole(&self) -> Option<String> {
        match self {
            Work::Whole(why) => why.clone(),
            _ => None,
        }
    }
}

impl Turn<'_> {
    /// What the build of `step` runs on. `reach` is of its statement.
    pub(super) async fn decide(&self, step: &Step<'_>, reach: Option<Reach>) -> Result<Work> {
        let model = step.model;
        let incremental = match &model.materialization {
            _ if !step.adds => return Ok(Work::Whole(None)),
            Materialization::Table => return Ok(Work::Whole(None)),
            Materialization::Snapshot(_) => return Ok(Work::AsWritten),
            Materialization::Incremental(incremental) => incremental,
        };
        let (Some(driver), Some(reach)) = (&incremental.driven_by, reach) else { return Ok(Work::AsWritten) };
        let (Some(table), Some(pinned)) = (self.pins.get(&model.table), self.pins.get(driver)) else {
            return Ok(Work::Whole(None));
        };
        let Some(read) = table.txn(&app(driver)).await? else {
            return Ok(Work::Whole(Some(format!("it did not read `{driver}` before"))));
        };
        let known = step.last.as_ref().and_then(|last| last.input_ids.get(&driver.to_string()));
        if known.is_some_and(|id| id != pinned.id()) {
            return Ok(Work::Whole(Some(format!("`{driver}` was made anew"))));
        }
        let read = if let Action::Build(Reason::Since(version)) = &step.action { *version } else { read };
        let (added, removed) = match pinned.since(read, catalog::aside(pinned)).await? {
            Since::Unknown(why) => return Ok(Work::Whole(Some(why))),
            Since::Files { added, removed } => (added, removed),
        };
        match reach {
            Reach::Rows if !removed.is_empty() => {
                Ok(Work::Whole(Some(format!("rows of `{driver}` changed or left since its version {read}"))))
            }
            Reach::Rows => Ok(Work::New { driver: driver.clone(), rows: added }),
            Reach::Keys(_) if 2 * removed.bytes() > pinned.extent(0)?.bytes => {
                Ok(Work::Whole(Some(format!("most of `{driver}` was written anew since its version {read}"))))
            }
            Reach::Keys(columns) => {
                let keys = self.touched(pinned, &columns, [added, removed]).await?;
                Ok(Work::Keys { driver: driver.clone(), columns, keys })
            }
        }
    }

    /// The keys of the rows in these files.
    async fn touched(&self, driver: &Table, columns: &[String], files: [Picked; 2]) -> Result<Vec<RecordBatch>> {
        let session = self.engine.session();
        let files = driver.provider_of(&Picked::together(files))?;
        catalog::register_rows(&session, driver, files).await?;
        let sql = format!("select distinct {} from {}", list(columns), driver.name().quoted());
        self.stop.before(session.query(&sql)).await
    }

    /// A session with what the model reads, as far as this build is to see it.
    pub(super) async fn session_for(&self, model: &Model, work: &Work) -> Result<Session> {
        let session = self.engine.session();
        catalog::register_seed(&session, model)?;
        let itself = matches!(work, Work::AsWritten).then_some(&model.table);
        for name in model.upstream.iter().chain(itself).chain(&compared(model, &self.pins)) {
            if let Some(table) = self.pins.get(name) {
                catalog::register(&session, table).await?;
            }
        }
        let driver = |name| self.pins.get(name).ok_or_else(|| Error::internal(format!("`{name}` is not pinned")));
        match work {
            Work::Whole(_) | Work::AsWritten => {}
            Work::New { driver: name, rows } => {
                let table = driver(name)?;
                catalog::register_rows(&session, table, table.provider_of(rows)?).await?;
            }
            Work::Keys { driver: name, columns, keys } => narrow_to(&session, name, columns, keys).await?,
        }
        Ok(session)
    }
}

/// Leaves of the table only the rows of these keys to see. NULL is a key like any other here.
async fn narrow_to(session: &Session, table: &TableName, columns: &[String], keys: &[RecordBatch]) -> Result<()> {
    let schema = session.schema_of(&format!("select {} from {}", list(columns), table.quoted())).await?;
    session.register_batches(TOUCHED, schema, keys.to_vec())?;
    let same = columns.iter().map(|column| {
        let column = quote(column);
        format!("(whole.{column} is not distinct from touched.{column})")
    });
    let sql = format!(
        "select whole.* from {} as whole left semi join {TOUCHED} as touched on {}",
        table.quoted(),
        same.collect::<Vec<_>>().join(" and ")
    );
    session.register_view(table, &sql).await
}

fn list(columns: &[String]) -> String {
    columns.iter().map(|column| quote(column)).collect::<Vec<_>>().join(", ")
}
