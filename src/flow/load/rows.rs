//! The rows of a table, or those that came and left between two of its versions, as a load reads them: in one order,
//! which reading them again keeps.

use super::super::{Progress, Stop};
use super::work::Work;
use crate::engine::{self, Engine, Session};
use crate::error::Result;
use crate::failpoint;
use crate::ident::{TableName, quote};
use crate::table::Table;
use crate::warehouse::{Batches, Rows, Target};
use async_trait::async_trait;
use futures::StreamExt;

/// Files whose rows came, and files whose rows left, as a query sees them.
const ADDED: &str = "lake_added";
const REMOVED: &str = "lake_removed";

/// The rows of one query.
pub struct GoldRows {
    session: Session,
    sql: String,
    name: TableName,
    stage: String,
    progress: Progress,
    stop: Stop,
}

impl GoldRows {
    /// What `work` asks for of the table; all rows unless it is about changes.
    pub async fn open(
        engine: &Engine,
        table: &Table,
        target: &Target,
        work: &Work,
        watched: (&str, &Progress, &Stop),
    ) -> Result<GoldRows> {
        // Only in one partition do rows keep their order; the server takes longer for them than reading does.
        let session = engine.sequential().session();
        let columns: Vec<String> = target.columns.iter().map(|column| quote(&column.name)).collect();
        let columns = columns.join(", ");
        let sql = match work {
            Work::Changes { added, removed, .. } => {
                session.register_unqualified(ADDED, table.provider_of(added)?)?;
                session.register_unqualified(REMOVED, table.provider_of(removed)?)?;
                changes(target, &columns, removed.is_empty(), &counter(target))
            }
            _ => {
                session.register(table.name(), table.provider().await?)?;
                format!("select {columns} from {}", table.name().quoted())
            }
        };
        let (stage, progress, stop) = (watched.0.to_string(), watched.1.clone(), watched.2.clone());
        Ok(GoldRows { session, sql, name: table.name().clone(), stage, progress, stop })
    }
}

/// A name that no column has.
fn counter(target: &Target) -> String {
    let mut name = "copies".to_string();
    while target.has(&name) {
        name.push('_');
    }
    quote(&name)
}

/// Each row that came or left, and how many copies of it: rows that came as often as they left are none. When nothing
/// left, nothing can cancel out. Floats are told apart by their texts: grouping takes 0 and -0 for one.
fn changes(target: &Target, columns: &str, only_added: bool, copies: &str) -> String {
    let added = format!("select {columns}, cast(1 as bigint) as {copies} from {ADDED}");
    if only_added {
        return added;
    }
    let removed = format!("select {columns}, cast(-1 as bigint) as {copies} from {REMOVED}");
    let (mut shown, mut grouped) = (Vec::new(), Vec::new());
    for column in &target.columns {
        let (name, is_float) = (quote(&column.name), column.data_type.is_floating());
        shown.push(if is_float { format!("first_value({name}) as {name}") } else { name.clone() });
        grouped.push(if is_float { format!("concat({name}, '')") } else { name });
    }
    format!(
        "select {}, sum({copies}) as {copies} from ({added} union all {removed}) as moved group by {} \
         having sum({copies}) <> 0",
        shown.join(", "),
        grouped.join(", ")
    )
}

#[async_trait]
impl Rows for GoldRows {
    async fn open(&self) -> Result<Batches> {
        let batches = self.session.stream(&self.sql).await?;
        let (progress, stop, name) = (self.progress.clone(), self.stop.clone(), self.name.clone());
        let stage = self.stage.clone();
        let checked = batches.map(move |batch| {
            stop.check()?;
            let batch = batch.map_err(|error| engine::failed(error, format!("read `{name}`")))?;
            progress.advanced(&stage, batch.num_rows() as u64, 0);
            failpoint::hit("load.mid_copy");
            Ok(batch)
        });
        Ok(checked.boxed())
    }
}
