//! What a build is going to run, found out before a row is read: the statement, its columns, the table, and on what.

use super::contract::{self, Layout, Query};
use super::increment::{self, Reach, Work};
use super::plan::Step;
use super::snapshot;
use super::turn::Turn;
use crate::engine::{self, Session};
use crate::error::{Error, Result};
use crate::flow::catalog;
use crate::model::fault::Fault;
use crate::model::{Materialization, Model};
use crate::table::Table;

impl Turn<'_> {
    /// What is run, for which table, and on what; all found out before a row is read.
    pub(super) async fn prepare(&self, step: &Step<'_>) -> Result<(Query, Table, Work)> {
        let model = step.model;
        let planning = self.engine.session();
        for name in model.upstream.iter().chain(step.adds.then_some(&model.table)) {
            if let Some(table) = self.pins.get(name) {
                catalog::describe(&planning, table)?;
            }
        }
        let standing = self.pins.get(&model.table);
        let (query, reach) = plan_query(&planning, model, standing.filter(|_| step.adds)).await?;
        let mut work = self.decide(step, reach).await?;
        let table = match standing {
            Some(table) => table.clone(),
            None => {
                let partition_by: Vec<&str> = model.partition_by.iter().map(String::as_str).collect();
                self.lake.create(&model.table, query.layout.schema.clone(), &partition_by).await?
            }
        };
        if table.partition_by() != model.partition_by {
            return Err(repartitioned(model, &table));
        }
        if let (false, Err(misfit)) = (matches!(work, Work::Whole(_)), fits(&query.layout, &table, model)) {
            work = match work {
                Work::AsWritten => return Err(misfit),
                _ => Work::Whole(Some(misfit.to_string())),
            };
        }
        if let Work::Whole(Some(why)) = &work {
            self.progress.note(format!("`{}` is built whole: {why}", model.table));
        }
        Ok((query, table, work))
    }
}

/// Delta has one layout of folders for all versions of a table.
fn repartitioned(model: &Model, table: &Table) -> Error {
    let columns = |names: &[String]| match names {
        [] => "nothing".to_string(),
        names => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    };
    let (stands, wanted) = (columns(table.partition_by()), columns(&model.partition_by));
    Error::config(format!("`{}` stands partitioned by {stands}, its model says {wanted}", model.table))
        .hint("a table keeps its partitions for life: give the model another name, or take the table's folder away")
}

/// Plans what is run: onto `standing`, or as a whole; and how far an increment of it may reach. The session knows the
/// columns of what the model reads. What is wrong with the statement is shown in the model's file.
pub(in crate::flow) async fn plan_query(
    session: &Session,
    model: &Model,
    standing: Option<&Table>,
) -> Result<(Query, Option<Reach>)> {
    catalog::register_seed(session, model)?;
    let sql = model.statement(standing.is_some());
    let layout = match session.schema_of(sql).await {
        Ok(planned) => contract::layout(model, &planned)?,
        Err(error) => match engine::fault_of(&error) {
            Some(fault) => {
                let own = model.fault(fault, standing.is_some());
                return Err(Error::config(fault_of_view(session, model).await.unwrap_or(own).to_string()));
            }
            None => return Err(error),
        },
    };
    let placing = model.partition_by.iter().chain(&model.cluster_by);
    if let Some(missing) = placing.into_iter().find(|name| layout.schema.column_with_name(name).is_none()) {
        return Err(Error::config(format!(
            "{}: `{}` returns no column `{missing}`",
            model.file.display(),
            model.table
        ))
        .hint("`partition_by` and `cluster_by` name columns of the result"));
    }
    let reach = increment::reach(session, model, &layout).await?;
    let query = match &model.materialization {
        Materialization::Snapshot(snapshot) => {
            snapshot::query(session, model, snapshot, &layout, standing, chrono::Utc::now()).await?
        }
        _ => Query { sql: sql.to_string(), layout },
    };
    Ok((query, reach))
}

/// What is wrong with a view that is part of the statement, in the view's file.
async fn fault_of_view(session: &Session, model: &Model) -> Option<Fault> {
    for (sql, origin) in &model.origin.views {
        if let Err(error) = session.schema_of(sql).await {
            return engine::fault_of(&error).map(|found| origin.fault(found, sql, &origin.map));
        }
    }
    None
}

/// Rows can only be added in the table's own columns.
pub(in crate::flow) fn fits(layout: &Layout, table: &Table, model: &Model) -> Result<()> {
    let standing = table.schema();
    let names = |schema: &arrow::datatypes::Schema| -> Vec<String> {
        schema.fields().iter().map(|field| field.name().clone()).collect()
    };
    let missing = names(&standing).into_iter().find(|name| layout.schema.column_with_name(name).is_none());
    let changed = layout.schema.fields().iter().find(|field| {
        standing.column_with_name(field.name()).is_some_and(|(_, old)| old.data_type() != field.data_type())
    });
    let what = match (missing, changed) {
        (None, None) => return Ok(()),
        (Some(name), _) => format!("no longer returns `{name}`"),
        (None, Some(field)) => format!("returns `{}` in another type", field.name()),
    };
    let hint = match model.materialization {
        Materialization::Snapshot(_) => {
            "a history is never rebuilt: cast the column to the type it had, or give the model another name"
        }
        _ => "a full refresh rebuilds the table",
    };
    let misfit = format!("{} {what}, so its rows cannot be added to `{}`", model.file.display(), model.table);
    Err(Error::config(misfit).hint(hint))
}
