//! The run manifest: which versions of the Silver and Gold tables belong together.

use super::plan::Plan;
use super::record::record_of;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::flow::catalog::{self, Pins};
use crate::ident::TableName;
use crate::model::Project;
use crate::table::manifest::{self, Manifest, ManifestTable};
use crate::table::{Lake, Table};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Names the present versions of the tables the run was about beside what the newest manifest says of all
/// others: only these were tested together. Publishes nothing when the newest manifest says the same already.
/// Returns the number of the manifest that names the run's tables; none when no table was ever published.
pub(super) async fn publish(lake: &Lake, project: &Project, plan: &Plan<'_>, pins: &Pins) -> Result<Option<u64>> {
    let own: BTreeSet<&TableName> = plan.steps.iter().map(|step| &step.model.table).collect();
    let mut tables = BTreeMap::new();
    for model in &project.models {
        let Some(table) = pins.get(&model.table).filter(|table| catalog::published(table)) else { continue };
        let entry = match own.contains(&model.table) {
            true => Some(entry(plan, table).await?),
            false => standing_entry(plan, table),
        };
        tables.extend(entry.map(|entry| (model.table.to_string(), entry)));
    }
    if tables.is_empty() {
        return Ok(None);
    }
    let newest = manifest::latest(lake).await?;
    if let Some(newest) = newest.as_ref().filter(|newest| newest.tables == tables) {
        return Ok(Some(newest.run));
    }
    let run = |manifest: &Option<Manifest>| manifest.as_ref().map(|manifest| manifest.run);
    let overtaken = || {
        Error::conflict("name the tables of this run: another promote published its own meanwhile")
            .hint("run again: what was built counts, and is tested with what the other one published")
    };
    if run(&newest) != run(&plan.newest) {
        return Err(overtaken());
    }
    let at = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let manifest = Manifest { run: 0, id: Uuid::new_v4().to_string(), at, tables };
    failpoint::hit("promote.before_manifest");
    let published = manifest::publish(lake, manifest, run(&newest).unwrap_or(0)).await?;
    published.map(|manifest| Some(manifest.run)).ok_or_else(overtaken)
}

/// What the run says of a table. One whose files were merely merged since keeps the version it has a name for:
/// nothing needs to be loaded again.
async fn entry(plan: &Plan<'_>, table: &Table) -> Result<ManifestTable> {
    let newest = plan.newest.as_ref().and_then(|newest| newest.tables.get(&table.name().to_string()));
    if let Some(standing) = newest
        && standing.names_rows_of(table).await?
    {
        return Ok(standing.clone());
    }
    let inputs = record_of(table).await?.inputs;
    Ok(ManifestTable { version: table.version(), id: table.id().to_string(), inputs })
}

/// What the manifest the run started from says of a table, unless that table is gone.
fn standing_entry(plan: &Plan<'_>, table: &Table) -> Option<ManifestTable> {
    let entry = plan.newest.as_ref()?.tables.get(&table.name().to_string())?;
    entry.names(table).then(|| entry.clone())
}
