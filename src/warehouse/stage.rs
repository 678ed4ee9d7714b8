//! Takes the rows of a load in, where nobody is held off meanwhile: beside their table, in a temporary one, or straight
//! into a table that is new or empty. What becomes of them is decided by `merge`.

use super::catalog;
use super::copy::copy;
use super::ddl;
use super::failure::Attempt;
use super::migrate::Migration;
use super::{Column, Rows, Standing, Target};
use crate::error::Result;
use crate::ident::quote;
use arrow::datatypes::DataType;
use tokio_postgres::Transaction;

/// Rows that were taken in.
pub enum Staged {
    /// They are in their table already.
    InPlace { rows: u64 },
    /// All rows of the table, in the temporary table `stage`.
    All { stage: String, rows: u64 },
    /// Rows that came and left; `copies` is the column that says how many.
    Changes { stage: String, copies: String, rows: u64 },
}

/// Takes in all rows. `migration` is what the standing table needs, `None` when there is none; `number` tells this
/// stage from the others of the load.
pub async fn stage_all(
    transaction: &Transaction<'_>,
    schema: &str,
    target: &Target,
    migration: Option<&Migration>,
    number: usize,
    rows: &dyn Rows,
) -> Result<Staged> {
    let table = catalog::address(schema, &target.name);
    let Some(migration) = migration else {
        run(transaction, target, "create", &ddl::create(schema, target)?).await?;
        // Checked as they come in, a row that fails is named, and none is read twice.
        ddl::check(transaction, &table, target, &[], None).await?;
        return fill(transaction, &table, target, rows).await;
    };
    let standing = catalog::standing(transaction, schema, &target.name).await?;
    if standing == Standing::Empty && migration.is_empty() {
        return fill(transaction, &table, target, rows).await;
    }
    all(transaction, target, name(number), rows).await
}

fn name(number: usize) -> String {
    format!("lake_stage_{number}")
}

async fn fill(transaction: &Transaction<'_>, table: &str, target: &Target, rows: &dyn Rows) -> Result<Staged> {
    let rows = copy(transaction, table, target, rows).await?;
    run(transaction, target, "analyze", &format!("analyze {table}")).await?;
    Ok(Staged::InPlace { rows })
}

async fn all(transaction: &Transaction<'_>, target: &Target, stage: String, rows: &dyn Rows) -> Result<Staged> {
    run(transaction, target, "stage rows for", &ddl::create_stage(&stage, target)?).await?;
    ddl::check(transaction, &quote(&stage), target, &[], None).await?;
    let rows = copy(transaction, &quote(&stage), target, rows).await?;
    if !target.primary_key.is_empty() {
        // The index also proves that no two rows share a key, which the comparison relies on.
        let key = ddl::list(target.primary_key.iter().map(String::as_str));
        let sql = format!("alter table {} add primary key ({key})", quote(&stage));
        run(transaction, target, "check the key of", &sql).await?;
    }
    run(transaction, target, "analyze rows for", &format!("analyze {}", quote(&stage))).await?;
    Ok(Staged::All { stage, rows })
}

/// Takes in rows that changed, how many copies of each in a last column.
pub async fn stage_changes(
    transaction: &Transaction<'_>,
    target: &Target,
    number: usize,
    rows: &dyn Rows,
) -> Result<Staged> {
    let stage = name(number);
    let mut copies = "lake_copies".to_string();
    while target.has(&copies) {
        copies.push('_');
    }
    let mut counted = target.clone();
    let description = String::new();
    counted.columns.push(Column { name: copies.clone(), data_type: DataType::Int64, nullable: false, description });
    run(transaction, target, "stage rows for", &ddl::create_stage(&stage, &counted)?).await?;
    let left = format!("{} < 0", quote(&copies));
    ddl::check(transaction, &quote(&stage), target, &[], Some(&left)).await?;
    let rows = copy(transaction, &quote(&stage), &counted, rows).await?;
    run(transaction, target, "analyze rows for", &format!("analyze {}", quote(&stage))).await?;
    Ok(Staged::Changes { stage, copies, rows })
}

/// Runs one statement; `verb` is what it does to the target, for messages.
pub async fn run(transaction: &Transaction<'_>, target: &Target, verb: &str, sql: &str) -> Result<u64> {
    transaction.execute(sql, &[]).await.attempt(|| format!("{verb} `{}`", target.name))
}
