//! What a load brings: the Gold tables of the newest run, each at the version the run names.

use super::contract;
use super::identity::{known_lake_id, lake_id};
use crate::error::{Error, Result};
use crate::flow::catalog::{self, Pins};
use crate::ident::{Layer, TableName};
use crate::model::Project;
use crate::table::{Lake, manifest};
use crate::warehouse::Target;
use std::collections::BTreeMap;

/// The newest run: its Gold tables at its versions, as the warehouse should hold them.
pub struct Run {
    pub number: u64,
    /// Empty when the lake has none yet and is only looked at.
    pub lake_id: String,
    pub tables: Pins,
    pub targets: BTreeMap<TableName, Target>,
}

impl Run {
    /// A lake that is not `only_looked_at` gets its id now if it has none.
    pub async fn open(project: &Project, lake: &Lake, only_looked_at: bool) -> Result<Run> {
        let Some(manifest) = manifest::latest(lake).await? else {
            return Err(Error::config("there is no run to load: no promote has finished yet")
                .hint("run `lake promote all` first"));
        };
        let named = manifest.tables.keys().map(|name| TableName::parse(name)).collect::<Result<Vec<TableName>>>()?;
        let gold = || named.iter().filter(|name| name.layer() == Layer::Gold);
        let pins = catalog::pin(lake, gold().cloned()).await?;
        if let Some(lost) = gold().find(|name| !pins.contains_key(name)) {
            return Err(Error::input(format!("run {} names `{lost}`, which is not in the lake", manifest.run))
                .hint("run `lake promote all` to make it again"));
        }
        let tables = catalog::pin_to(pins, &manifest).await?;
        let schemas = tables.iter().map(|(name, table)| (name.clone(), table.schema().as_ref().clone())).collect();
        let targets = contract::targets(project, &schemas);
        for target in targets.values() {
            target.check()?;
        }
        let lake_id = match only_looked_at {
            true => known_lake_id(lake).await?.unwrap_or_default(),
            false => lake_id(lake).await?,
        };
        Ok(Run { number: manifest.run, lake_id, tables, targets })
    }
}
