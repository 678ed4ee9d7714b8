//! What the project declares and the lake does not have: of it nothing can be proven, which is no proof.
//!
//! A stream with declared files has the proof of its rows instead, which misses them all.

use super::{Difference, Remedy, Scope};
use crate::error::Result;
use crate::flow::bronze::Stream;
use crate::model::Model;
use crate::table::{Lake, manifest};
use serde::Serialize;

/// A declared table that is not there.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Absent {
    pub table: String,
    /// Why; never empty.
    pub differences: Vec<Difference>,
}

/// The table of a stream that nothing was read of.
pub fn stream(stream: &Stream) -> Absent {
    let why = format!("nothing of {} was read into it, so nothing of it is proven", stream.topics);
    Absent { table: stream.table.to_string(), differences: vec![Difference::new(Remedy::Run, why)] }
}

/// One for each model of the scope that no run has published.
pub async fn models(models: &[Model], lake: &Lake, scope: &Scope) -> Result<Vec<Absent>> {
    let published = manifest::latest(lake).await?.map(|run| run.tables).unwrap_or_default();
    let names = models.iter().map(|model| &model.table).filter(|table| scope.includes(table)).map(ToString::to_string);
    let why = || vec![Difference::new(Remedy::Run, "no run has published it, so nothing of it is proven")];
    Ok(names.filter(|name| !published.contains_key(name)).map(|table| Absent { table, differences: why() }).collect())
}
