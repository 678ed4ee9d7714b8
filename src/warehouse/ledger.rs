//! The ledger: which version of which lake's table stands in the warehouse, written in the same
//! transaction as the rows. It lives in schema `lake`, beside the digests of the scripts last run.

use super::ddl::ensure_schema;
use super::failure::Attempt;
use crate::error::Result;
use serde::Serialize;
use std::collections::BTreeMap;
use tokio_postgres::{Client, Row, Transaction};

const TABLES: &str = "create table if not exists lake.ledger (
    table_name text primary key, lake_id text not null, table_id text, delta_version bigint not null,
    run bigint not null, schema_hash text not null, rows bigint not null, load_id uuid not null,
    loaded_at timestamp with time zone not null default now());
alter table lake.ledger add column if not exists table_id text;
comment on table lake.ledger is 'Which version of the lake each table holds; written by lake load-warehouse';
create table if not exists lake.script (schema_name text, path text, digest text not null,
    run_at timestamp with time zone not null default now(), primary key (schema_name, path));
comment on table lake.script is 'Digest of each sql/warehouse file as last run; written by lake load-warehouse'";

/// The detour through JSON lets it read a ledger that has no `table_id` yet.
const READ: &str = "select table_name, lake_id, delta_version, run, schema_hash, rows, load_id::text,
    to_char(loaded_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), to_jsonb(ledger) ->> 'table_id'
    from lake.ledger order by table_name";

const WRITE: &str =
    "insert into lake.ledger (table_name, lake_id, delta_version, run, schema_hash, rows, load_id, table_id)
    values ($1, $2, $3, $4, $5, $6, $7::text::uuid, $8) on conflict (table_name) do update set
    lake_id = excluded.lake_id, delta_version = excluded.delta_version, run = excluded.run,
    schema_hash = excluded.schema_hash, rows = excluded.rows, load_id = excluded.load_id,
    table_id = excluded.table_id, loaded_at = now()";

/// One loaded table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// `schema.table` in the warehouse.
    pub table: String,
    /// Identity of the lake it came from.
    pub lake_id: String,
    /// Delta's id of the table; its versions mean nothing without it. Empty in rows older than the column.
    pub table_id: String,
    pub delta_version: i64,
    /// Run manifest that named the version.
    pub run: u64,
    /// [`super::Target::digest`] of the contract it was loaded by.
    pub schema_hash: String,
    pub rows: u64,
    /// The load that wrote this entry; tells one's own commit from another's.
    pub load_id: String,
    /// RFC 3339, UTC; set by the database.
    pub loaded_at: String,
}

impl Entry {
    /// The table's name without its schema when `lake_id` loaded it into `schema`. A database, and even a
    /// schema, may be shared by several projects.
    pub fn name_in(&self, schema: &str, lake_id: &str) -> Option<&str> {
        let name = self.table.strip_prefix(schema)?.strip_prefix('.')?;
        (self.lake_id == lake_id).then_some(name)
    }
}

/// Makes the ledger's tables when they are missing, and the columns they lacked in an earlier release.
pub async fn ensure(transaction: &Transaction<'_>) -> Result<()> {
    if complete(transaction).await? {
        return Ok(());
    }
    ensure_schema(transaction, "lake").await?;
    transaction.batch_execute(TABLES).await.attempt(|| "create the ledger")
}

async fn complete(transaction: &Transaction<'_>) -> Result<bool> {
    let sql = "select to_regclass('lake.script') is not null and exists (select from pg_attribute \
         where attrelid = to_regclass('lake.ledger') and attname = 'table_id' and not attisdropped)";
    Ok(transaction.query_one(sql, &[]).await.attempt(|| "look for the ledger")?.get(0))
}

async fn exists(client: &Client, table: &str) -> Result<bool> {
    let sql = "select to_regclass($1::text) is not null";
    Ok(client.query_one(sql, &[&table]).await.attempt(|| "look for the ledger")?.get(0))
}

/// All entries by table name; none when there is no ledger yet.
pub async fn read(client: &Client) -> Result<Vec<Entry>> {
    if !exists(client, "lake.ledger").await? {
        return Ok(Vec::new());
    }
    let rows = client.query(READ, &[]).await.attempt(|| "read the ledger")?;
    Ok(rows.iter().map(entry).collect())
}

fn entry(row: &Row) -> Entry {
    Entry {
        table: row.get(0),
        lake_id: row.get(1),
        delta_version: row.get(2),
        run: row.get::<_, i64>(3).unsigned_abs(),
        schema_hash: row.get(4),
        rows: row.get::<_, i64>(5).unsigned_abs(),
        load_id: row.get(6),
        loaded_at: row.get(7),
        table_id: row.get::<_, Option<String>>(8).unwrap_or_default(),
    }
}

pub async fn write(transaction: &Transaction<'_>, entries: &[Entry]) -> Result<()> {
    for entry in entries {
        let (run, rows) = (entry.run as i64, entry.rows as i64);
        let Entry { table, lake_id, delta_version, schema_hash, load_id, table_id, .. } = entry;
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 8] =
            [table, lake_id, delta_version, &run, schema_hash, &rows, load_id, table_id];
        transaction.execute(WRITE, &values).await.attempt(|| format!("note `{table}` in the ledger"))?;
    }
    Ok(())
}

/// Digest of each script run by loads into `schema`, by its path.
pub async fn scripts(transaction: &Transaction<'_>, schema: &str) -> Result<BTreeMap<String, String>> {
    let sql = "select path, digest from lake.script where schema_name = $1";
    let rows = transaction.query(sql, &[&schema]).await.attempt(|| "read which scripts were run")?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

pub async fn note_script(transaction: &Transaction<'_>, schema: &str, path: &str, digest: &str) -> Result<()> {
    let sql = "insert into lake.script (schema_name, path, digest) values ($1, $2, $3) \
         on conflict (schema_name, path) do update set digest = excluded.digest, run_at = now()";
    let what = || format!("note that `{path}` was run");
    transaction.execute(sql, &[&schema, &path, &digest]).await.attempt(what)?;
    Ok(())
}
