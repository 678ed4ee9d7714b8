//! Whose rows stand in a warehouse: each lake has an id, and the ledger keeps it with every table.

use crate::error::{Context, Error, Kind, Result};
use crate::table::Lake;
use crate::warehouse::{Entry, Warehouse};
use bytes::Bytes;

/// Object in the lake that holds its identity, so that a ledger row is never taken for another lake's.
const LAKE_ID: &str = "_lake/id";

/// What this lake's loads put into the warehouse's schema, as the ledger says. A database may be shared by
/// several projects: the whole ledger speaks of the others, too.
pub async fn loaded(lake: &Lake, warehouse: &mut dyn Warehouse) -> Result<Vec<Entry>> {
    let Some(id) = known_lake_id(lake).await? else { return Ok(Vec::new()) };
    let mut entries = warehouse.ledger().await?;
    entries.retain(|entry| entry.name_in(warehouse.schema(), &id).is_some());
    Ok(entries)
}

/// The lake's own id ([`Entry::lake_id`]), given to it by its first load; of two first loads at once, one
/// gives it.
pub async fn lake_id(lake: &Lake) -> Result<String> {
    if let Some(id) = known_lake_id(lake).await? {
        return Ok(id);
    }
    let fresh = uuid::Uuid::new_v4().to_string();
    if lake.put_new(LAKE_ID, Bytes::from(fresh.clone())).await? {
        return Ok(fresh);
    }
    known_lake_id(lake).await?.ok_or_else(|| Error::internal(format!("`{LAKE_ID}` vanished")))
}

/// `None` before the first load.
pub async fn known_lake_id(lake: &Lake) -> Result<Option<String>> {
    let Some(stored) = lake.get(LAKE_ID).await? else { return Ok(None) };
    String::from_utf8(stored.to_vec()).map(Some).context(Kind::Internal, || format!("read `{LAKE_ID}`"))
}
