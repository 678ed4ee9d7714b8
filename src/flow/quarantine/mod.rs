//! `lake quarantine`: look at the records that could not become rows, and take them out of quarantine again.
//!
//! They lie in their Bronze table, in files of their own (`_quarantined=true`). Whoever takes some out reads those files,
//! writes what stays and what became of the others, and swaps them in one commit. Of two that work on the same files
//! the second has to look again, so nothing comes out twice; appends do not touch them, so `lake bronze` goes on. The
//! commit says per partition what became of how many (`account`), so that every offset stays accounted for.
//!
//! ```text
//! record    the columns of a quarantined row, and the message it was
//! selection which records are meant
//! list      how many there are of each kind of reason
//! show      single records with their bytes
//! redrive   through the stream as it is declared now, good ones among the rows
//! drop      deleted on purpose
//! exchange  the commit
//! ```

mod drop;
mod exchange;
mod list;
mod record;
mod redrive;
mod selection;
mod show;

pub use drop::{Dropped, count, drop};
pub use list::{TableList, list};
pub use record::Record;
pub use redrive::{Redriven, redrive};
pub use selection::{Partitions, Selection};
pub use show::show;

use crate::error::{Error, Result};
use crate::flow::bronze::QUARANTINED;
use crate::ident::{Layer, TableName, known_names};
use crate::table::{Lake, Picked, Table};

/// The Bronze tables with a quarantine of these names (`books` or `bronze.books`), all when none is named.
pub async fn tables(lake: &Lake, names: &[String]) -> Result<Vec<TableName>> {
    let all = lake.tables(Layer::Bronze).await?;
    if names.is_empty() {
        return Ok(all);
    }
    let known = || all.iter().map(TableName::name);
    let named = |name: &String| {
        let plain = name.strip_prefix("bronze.").unwrap_or(name);
        all.iter()
            .find(|table| table.name() == plain)
            .cloned()
            .ok_or_else(|| Error::input(format!("there is no Bronze table `{name}`")).hint(known_names(plain, known())))
    };
    names.iter().map(named).collect()
}

/// The files of a table that hold its quarantine; none for a table some other program put into the Bronze layer.
fn files(table: &Table) -> Result<Picked> {
    table.pick(QUARANTINED, "true")
}

async fn open(lake: &Lake, name: &TableName) -> Result<Table> {
    lake.table(name).await?.ok_or_else(|| Error::input(format!("there is no table `{name}`")))
}
