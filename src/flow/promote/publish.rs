//! The run manifest: which versions of the Silver and Gold tables belong together.

use super::plan::build_of;
use crate::error::Result;
use crate::failpoint;
use crate::flow::catalog::Pins;
use crate::model::Project;
use crate::table::Lake;
use crate::table::manifest::{self, Manifest, ManifestTable};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Names the present versions of all published tables of the project, unless the newest manifest does so
/// already. Returns the number of the manifest that names them; none when no table was ever published.
pub(super) async fn publish(lake: &Lake, project: &Project, pins: &Pins) -> Result<Option<u64>> {
    let mut tables = BTreeMap::new();
    for model in &project.models {
        let Some(table) = pins.get(&model.table) else { continue };
        if let Some(build) = build_of(table).await? {
            let entry = ManifestTable { version: table.version(), inputs: build.inputs };
            tables.insert(model.table.to_string(), entry);
        }
    }
    if tables.is_empty() {
        return Ok(None);
    }
    if let Some(newest) = manifest::latest(lake).await?.filter(|newest| newest.tables == tables) {
        return Ok(Some(newest.run));
    }
    let at = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let manifest = Manifest { run: 0, id: Uuid::new_v4().to_string(), at, tables };
    failpoint::hit("promote.before_manifest");
    Ok(Some(manifest::publish(lake, manifest).await?.run))
}
