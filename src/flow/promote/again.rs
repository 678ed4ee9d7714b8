//! The statement of a table that stands, on the very versions of its inputs that it was built from.
//!
//! For whoever proves that the table is what its SQL makes of them; runs nothing and writes nothing. Says why where its
//! inputs cannot be had any more, or where the whole statement need not give the rows that stand.

use super::hashes::Hashes;
use super::prepare::plan_query;
use super::record::{Record, record_of};
use super::sieve::{REJECTED_BY, quarantining};
use crate::check::{OnFailure, reject};
use crate::engine::{Engine, Session};
use crate::error::{Error, Kind, Result};
use crate::flow::catalog::{self, Pins};
use crate::ident::{TableName, quote};
use crate::model::{Materialization, Model};
use crate::table::{Lake, Table};
use arrow::datatypes::SchemaRef;
use futures::TryStreamExt;
use std::collections::BTreeMap;
use std::pin::pin;

/// Stands for a version of a table that was made anew since.
const MADE_ANEW: i64 = -1;

pub(in crate::flow) struct Again {
    /// Has the inputs.
    pub session: Session,
    /// The columns of the rows it makes.
    pub schema: SchemaRef,
    /// What to select them from, without those that tests take out: `from ...`.
    pub kept: String,
    pub rejected: Option<Rejected>,
    /// The last digits of its floating numbers depend on the order of rows.
    pub adds_floats: bool,
    /// Why rows that differ need not be a fault, the end of a sentence.
    pub doubt: Option<String>,
}

/// The rows that tests take out of the model.
pub(in crate::flow) struct Rejected {
    /// What to select them from, with [`Rejected::BY`] beside the model's columns.
    pub from: String,
    /// Of their table, as the model's build noted it.
    pub version: i64,
}

impl Rejected {
    /// The column of the tests a row broke.
    pub const BY: &str = REJECTED_BY;
}

/// Why there is nothing to be had.
enum Never {
    Because(String),
    Failed(Error),
}

impl From<Error> for Never {
    fn from(error: Error) -> Never {
        Never::Failed(error)
    }
}

type Possible<T> = Result<T, Never>;

fn never<T>(why: impl Into<String>) -> Possible<T> {
    Err(Never::Because(why.into()))
}

/// For `table`, which is `model`'s; `now` is of the model as its file stands. The inner error is the end of a sentence:
/// why it cannot be had.
pub(in crate::flow) async fn again(
    lake: &Lake,
    engine: &Engine,
    model: &Model,
    now: &Hashes,
    table: &Table,
) -> Result<std::result::Result<Again, String>> {
    match prepare(lake, engine, model, now, table).await {
        Ok(again) => Ok(Ok(again)),
        Err(Never::Because(why)) => Ok(Err(why)),
        Err(Never::Failed(error)) => Err(error),
    }
}

async fn prepare(lake: &Lake, engine: &Engine, model: &Model, now: &Hashes, table: &Table) -> Possible<Again> {
    let last = record_of(table).await?;
    if last.hashes == Hashes::default() {
        return never("nothing says what it was built from");
    }
    if let Some(changed) = last.hashes.changed_to(now) {
        return never(format!("{changed} since it was built"));
    }
    if let Materialization::Snapshot(_) = model.materialization {
        return never("a snapshot keeps what its SQL made at other times");
    }
    let inputs = inputs(lake, &last).await?;
    check_compared(lake, model, &inputs).await?;
    let session = engine.session();
    for input in inputs.values() {
        catalog::register(&session, input).await?;
    }
    let query = match plan_query(&session, model, None).await {
        Err(error) if error.kind() == Kind::Config => return never(error.in_one_line()),
        query => query?.0,
    };
    let checks = quarantining(model, &inputs);
    let statement = if checks.is_empty() { query.sql } else { reject::marked(&query.sql, REJECTED_BY, &checks) };
    let steadiness = session.steadiness_of(&statement).await?;
    if let Some(function) = steadiness.volatile {
        return never(format!("`{function}` in its SQL answers otherwise each time"));
    }
    let (mut kept, mut rejected) = (format!("from (\n{statement}\n) as made"), None);
    if !checks.is_empty() {
        let by = quote(REJECTED_BY);
        let from = format!("{kept} where {by} is not null");
        rejected = last.rejected.map(|version| Rejected { from, version });
        kept += &format!(" where {by} is null");
    }
    let doubt = doubt(model, table, &last, &inputs).await?;
    Ok(Again { session, schema: query.layout.schema, kept, rejected, adds_floats: steadiness.adds_floats, doubt })
}

/// What the build read, at the versions it read.
async fn inputs(lake: &Lake, build: &Record) -> Possible<Pins> {
    let mut inputs = Pins::new();
    for (name, version) in &build.inputs {
        let Some(newest) = lake.table(&TableName::parse(name)?).await? else {
            return never(format!("`{name}`, which it was built from, is gone"));
        };
        if build.input_ids.get(name).is_some_and(|id| id != newest.id()) {
            return never(format!("`{name}`, which it was built from, was made anew"));
        }
        let cleaned = || format!("version {version} of `{name}`, which it was built from, was cleaned away");
        let pinned = match newest.at(*version).await {
            Err(error) if error.kind() == Kind::Input => return never(cleaned()),
            pinned => pinned?,
        };
        if pinned.version() != newest.version() && !pinned.is_kept().await? {
            return never(cleaned());
        }
        inputs.insert(newest.name().clone(), pinned);
    }
    Ok(inputs)
}

/// Why builds onto each other need not be equal to one build of all rows.
async fn doubt(model: &Model, table: &Table, last: &Record, inputs: &Pins) -> Result<Option<String>> {
    let Materialization::Incremental(incremental) = &model.materialization else { return Ok(None) };
    if last.adds == Some(false) {
        return Ok(None);
    }
    let Some(driver) = &incremental.driven_by else {
        return Ok(Some("its SQL says itself what is new".into()));
    };
    let Some(oldest) = oldest_reads(table, last).await? else {
        return Ok(Some("its log no longer tells what its older rows were built from".into()));
    };
    for (name, pinned) in inputs.iter().filter(|(name, _)| *name != driver) {
        let read = oldest.get(&name.to_string()).copied().unwrap_or(MADE_ANEW);
        if !pinned.same_rows_since(read).await? {
            return Ok(Some(format!("`{name}`, which it only looks up, changed between its builds")));
        }
    }
    Ok(None)
}

/// The oldest version of each input that was read for rows which still stand, back to the last build of all rows. `None`
/// when the log does not reach that far.
async fn oldest_reads(table: &Table, last: &Record) -> Result<Option<BTreeMap<String, i64>>> {
    let (mut oldest, mut reached) = (BTreeMap::new(), table.version());
    let mut commits = pin!(table.commits_backwards());
    while let Some(commit) = commits.try_next().await? {
        reached = commit.version;
        let Some(build) = Record::from_info(&commit.info) else { continue };
        for (name, version) in build.inputs {
            let same = build.input_ids.get(&name) == last.input_ids.get(&name);
            let read = if same { version } else { MADE_ANEW };
            oldest.entry(name).and_modify(|known: &mut i64| *known = read.min(*known)).or_insert(read);
        }
        if build.adds == Some(false) {
            return Ok(Some(oldest));
        }
    }
    Ok((reached == 0).then_some(oldest))
}

/// Refuses when a test took rows out by a table of which the build does not say what it was: older ones do not.
async fn check_compared(lake: &Lake, model: &Model, inputs: &Pins) -> Possible<()> {
    let checks = model.checks.iter().filter(|check| check.options.on_failure == OnFailure::Quarantine);
    for check in checks {
        for table in check.tables().into_iter().filter(|table| *table != model.table && !inputs.contains_key(table)) {
            if lake.table(&table).await?.is_some_and(|table| catalog::published(&table)) {
                return never(format!("which rows of `{table}` its test `{}` saw is not known", check.name));
            }
        }
    }
    Ok(())
}
