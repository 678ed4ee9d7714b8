//! A merge is by a key that stands once: proves it of the rows that came, or names the key that came twice.
//!
//! The keys of an increment are in memory and known; those of a whole table are asked of the staged files, those of a
//! snapshot of its statement. A key with a NULL in it equals no other.

use super::keys::Keys;
use crate::engine::{Engine, Session};
use crate::error::{Error, Result};
use crate::flow::{Stop, rows};
use crate::ident::quote;
use crate::model::{ChangeBy, Materialization, Model, Snapshot, Strategy};
use crate::table::Staged;
use std::fmt::Display;

/// Kind Input with the key and its rows when the model's rows are merged by a key and one came twice.
pub(super) async fn prove(
    engine: &Engine,
    model: &Model,
    staged: &Staged,
    keys: Option<&Keys>,
    stop: &Stop,
) -> Result<()> {
    let key = match &model.materialization {
        Materialization::Incremental(incremental) => match &incremental.strategy {
            Strategy::Merge { key } => key,
            Strategy::Append | Strategy::DeleteInsert { .. } => return Ok(()),
        },
        Materialization::Snapshot(_) | Materialization::Table => return Ok(()),
    };
    let Some(keys) = keys else {
        let session = engine.session();
        session.register(&model.table, staged.provider().await?)?;
        let found = stop.before(twice_in(&session, &model.table.quoted(), key)).await?;
        return found.map_or(Ok(()), |[values, rows]| Err(came_twice(model, &shown(key, &values), rows)));
    };
    keys.twice()?.map_or(Ok(()), |(key, rows)| Err(came_twice(model, &key, rows)))
}

/// Of the rows that a snapshot compares with those that stand, the ones that changed nothing among them. A history has
/// no place for a row without its key or time either.
pub(super) async fn prove_history(session: &Session, model: &Model, snapshot: &Snapshot, stop: &Stop) -> Result<()> {
    let time = match &snapshot.by {
        ChangeBy::Timestamp(column) => Some(column),
        ChangeBy::Columns(_) => None,
    };
    let missing = snapshot.key.iter().chain(time).map(|name| format!("{} is null", quote(name)));
    let nameless = format!("bool_or({})", missing.collect::<Vec<_>>().join(" or "));
    let list = list(&snapshot.key);
    let sql = format!(
        "select {list}, {nameless} as lake_nameless, count(*) as lake_rows from (\n{}\n) as result group by {list} \
         having count(*) > 1 or {nameless} order by lake_nameless desc, {list} limit 1",
        model.sql
    );
    let Some([values, nameless, rows]) = stop.before(first_row(session, &sql)).await? else { return Ok(()) };
    if nameless == "true" {
        return Err(Error::input(format!("`{}` has a row without its key or without its time", model.table))
            .hint("a snapshot tells rows by `unique_key` and versions by `updated_at`: neither may be NULL"));
    }
    Err(came_twice(model, &shown(&snapshot.key, &values), rows))
}

fn came_twice(model: &Model, key: &str, rows: impl Display) -> Error {
    Error::input(format!("`{}`: {rows} new rows have the key {key}", model.table)).hint(
        "its `unique_key` stands once: keep one row of a key, as with `qualify row_number() over (partition by .. order \
         by .. desc) = 1`, or use the strategy delete+insert",
    )
}

/// The first key with more than one of these rows, and how many.
async fn twice_in(session: &Session, rows: &str, key: &[String]) -> Result<Option<[String; 2]>> {
    let known = key.iter().map(|name| format!("{} is not null", quote(name))).collect::<Vec<_>>().join(" and ");
    let list = list(key);
    let sql = format!(
        "select {list}, count(*) as lake_rows from {rows} where {known} group by {list} having count(*) > 1 \
         order by {list} limit 1"
    );
    first_row(session, &sql).await
}

/// The first row's values of the key as one text, and behind them its other `N - 1` cells.
async fn first_row<const N: usize>(session: &Session, sql: &str) -> Result<Option<[String; N]>> {
    let found = session.query(sql).await?;
    let Some(batch) = found.iter().find(|batch| batch.num_rows() > 0) else { return Ok(None) };
    let row = rows::texts(&batch.slice(0, 1))?.into_iter().flatten();
    let cells: Vec<String> = row.map(|cell| cell.unwrap_or_else(|| "NULL".into())).collect();
    let (key, others) = cells.split_at((cells.len() + 1).saturating_sub(N));
    let found = std::iter::once(key.join(", ")).chain(others.iter().cloned()).collect::<Vec<_>>();
    found.try_into().map(Some).map_err(|_| Error::internal("a key was asked for, and something else came back"))
}

fn shown(key: &[String], values: &str) -> String {
    match key {
        [name] => format!("{name} = {values}"),
        _ => format!("({}) = ({values})", key.join(", ")),
    }
}

fn list(key: &[String]) -> String {
    key.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", ")
}
