//! A merge is by a key that stands once: proves it of the rows that came, or names the key that came twice.
//!
//! The keys of an increment are in memory and known; those of a whole table are asked of the staged files, those of a
//! snapshot of its statement. A key with a NULL in it equals no other.

use super::keys::Keys;
use crate::engine::{Engine, Session};
use crate::error::{Error, Result};
use crate::flow::{Stop, rows};
use crate::ident::quote;
use crate::model::{Materialization, Model, Strategy};
use crate::table::Staged;

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
    let twice = match keys {
        Some(keys) => keys.twice()?,
        None => {
            let session = engine.session();
            session.register(&model.table, staged.provider().await?)?;
            stop.before(twice_in(&session, &model.table.quoted(), key)).await?
        }
    };
    refuse(model, twice)
}

/// As [`prove`], of the rows a snapshot compares with those that stand, the ones that changed nothing among them.
pub(super) async fn prove_source(session: &Session, model: &Model, key: &[String], stop: &Stop) -> Result<()> {
    let rows = format!("(\n{}\n) as result", model.sql);
    refuse(model, stop.before(twice_in(session, &rows, key)).await?)
}

fn refuse(model: &Model, twice: Option<(String, u64)>) -> Result<()> {
    match twice {
        None => Ok(()),
        Some((key, rows)) => Err(Error::input(format!("`{}`: {rows} new rows have the key {key}", model.table)).hint(
            "its `unique_key` stands once: keep one row of a key, as with `qualify row_number() over (partition by .. \
             order by .. desc) = 1`, or use the strategy delete+insert",
        )),
    }
}

/// The first key with more than one of these rows, and how many.
async fn twice_in(session: &Session, rows: &str, key: &[String]) -> Result<Option<(String, u64)>> {
    let list = key.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", ");
    let known = key.iter().map(|name| format!("{} is not null", quote(name))).collect::<Vec<_>>().join(" and ");
    let sql = format!(
        "select {list}, count(*) as lake_rows from {rows} where {known} group by {list} having count(*) > 1 \
         order by {list} limit 1"
    );
    let found = session.query(&sql).await?;
    let Some(batch) = found.iter().find(|batch| batch.num_rows() > 0) else { return Ok(None) };
    let line = rows::csv(&batch.slice(0, 1))?;
    let cells: Vec<&str> = line.trim_end().rsplitn(2, ',').collect();
    let (count, values) = (cells.first().and_then(|count| count.parse().ok()).unwrap_or(2), cells.get(1).copied());
    let shown = match key {
        [name] => format!("{name} = {}", values.unwrap_or_default()),
        _ => format!("({}) = ({})", key.join(", "), values.unwrap_or_default()),
    };
    Ok(Some((shown, count)))
}
