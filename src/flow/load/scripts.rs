//! Which files of `sql/warehouse` a load runs.

use crate::error::Result;
use crate::model::Project;
use crate::warehouse::Load;
use sha2::{Digest, Sha256};
use std::path::PathBuf;

/// A file of `sql/warehouse` that must run in this load.
pub struct Script {
    pub path: PathBuf,
    pub sql: String,
    /// sha256 in hexadecimal.
    pub digest: String,
}

/// All of them when a table was touched (they may depend on it), else none unless one is new or edited;
/// then all, because they run in order.
pub async fn due(project: &Project, load: &mut dyn Load, touched: bool) -> Result<Vec<Script>> {
    let known = load.scripts().await?;
    let scripts: Vec<Script> = project
        .warehouse_sql
        .iter()
        .map(|(path, sql)| {
            let digest = Sha256::digest(sql.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
            Script { path: path.clone(), sql: sql.clone(), digest }
        })
        .collect();
    let edited = scripts.iter().any(|script| known.get(&script.path.display().to_string()) != Some(&script.digest));
    Ok(if touched || edited { scripts } else { Vec::new() })
}
