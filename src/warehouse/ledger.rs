//! The ledger: which version of which lake's table stands in the warehouse, and which columns of it, NOT NULLs and
//! checks are the lake's, written in the same transaction as the rows. It lives in schema `lake`, beside the digests
//! of the scripts last run.
//!
//! It is a table like any other, which people can edit: what is not as it was written is refused.

use super::Declared;
use super::ddl::ensure_schema;
use super::failure::Attempt;
use crate::error::{Cause, Context, Error, Kind, Result};
use crate::ident::literal;
use serde::Serialize;
use std::collections::BTreeMap;
use tokio_postgres::types::{FromSql, ToSql};
use tokio_postgres::{Client, Row, Transaction};

const TABLES: &str = "create table if not exists lake.ledger (
    table_name text primary key, lake_id text not null, table_id text, delta_version bigint not null,
    run bigint not null, schema_hash text not null, rows bigint not null, load_id uuid not null,
    loaded_at timestamp with time zone not null default now(), columns text[], commit_id text, declared jsonb);
alter table lake.ledger add column if not exists table_id text, add column if not exists columns text[],
    add column if not exists commit_id text, add column if not exists declared jsonb;
comment on table lake.ledger is 'Which version of the lake each table holds; written by lake load-warehouse';
create table if not exists lake.script (schema_name text, path text, digest text not null,
    run_at timestamp with time zone not null default now(), primary key (schema_name, path));
comment on table lake.script is 'Digest of each sql/warehouse file as last run; written by lake load-warehouse'";

const DAMAGED: &str = "the ledger of the loads (schema `lake` of the warehouse) is not as lake wrote it";

/// The detour through JSON lets it read a ledger of an earlier release, which lacks the last four.
const READ: &str = "select table_name, lake_id, delta_version, run, schema_hash, rows, load_id::text,
    to_char(loaded_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), to_jsonb(ledger) ->> 'table_id',
    array(select jsonb_array_elements_text(nullif(to_jsonb(ledger) -> 'columns', 'null'))),
    nullif(to_jsonb(ledger) ->> 'commit_id', ''), to_jsonb(ledger) ->> 'declared'
    from lake.ledger order by table_name";

const WRITE: &str = "insert into lake.ledger
    (table_name, lake_id, delta_version, run, schema_hash, rows, load_id, table_id, columns, commit_id, declared)
    values ($1::text, $2::text, $3::bigint, $4::bigint, $5::text, $6::bigint, $7::text::uuid, $8::text, $9::text[],
    $10::text, $11::text::jsonb)
    on conflict (table_name) do update set
    lake_id = excluded.lake_id, delta_version = excluded.delta_version, run = excluded.run,
    schema_hash = excluded.schema_hash, rows = excluded.rows, load_id = excluded.load_id,
    table_id = excluded.table_id, columns = excluded.columns, commit_id = excluded.commit_id,
    declared = excluded.declared, loaded_at = now()";

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
    /// Of the commit that made the version: a lake that was put back makes the same versions again by other commits.
    /// None when it is not known, and in rows older than the column.
    #[serde(skip)]
    pub commit_id: Option<String>,
    /// Run manifest that named the version.
    pub run: u64,
    /// [`super::Target::digest`] of the contract it was loaded by.
    pub schema_hash: String,
    pub rows: u64,
    /// Columns the loads wrote, in order: when one leaves the model, it leaves the table. Empty in rows older
    /// than the column.
    #[serde(skip)]
    pub columns: Vec<String>,
    /// What the loads declared of it. None in rows older than the column.
    #[serde(skip)]
    pub declared: Option<Declared>,
    /// The load that wrote this entry; tells one's own commit from another's.
    pub load_id: String,
    /// RFC 3339, UTC; set by the database.
    pub loaded_at: String,
}

impl Entry {
    /// Schema and table; `None` when somebody wrote something else into the ledger. No table of a lake has a
    /// point in its name, a schema may.
    pub fn place(&self) -> Option<(&str, &str)> {
        self.table.rsplit_once('.')
    }

    /// The table's name without its schema when `lake_id` loaded it into `schema`. A database, and even a
    /// schema, may be shared by several projects.
    pub fn name_in(&self, schema: &str, lake_id: &str) -> Option<&str> {
        let (own, name) = self.place()?;
        (own == schema && self.lake_id == lake_id).then_some(name)
    }
}

/// Makes the ledger's tables when they are missing, and the columns they lacked in an earlier release.
pub async fn ensure(transaction: &Transaction<'_>) -> Result<()> {
    if complete(transaction).await? {
        return Ok(());
    }
    ensure_schema(transaction, "lake").await?;
    transaction.batch_execute(TABLES).await.or_else(|error| told(error, "create the ledger"))
}

async fn complete(transaction: &Transaction<'_>) -> Result<bool> {
    let sql = "select to_regclass('lake.script') is not null and 4 = (select count(*) from pg_attribute \
         where attrelid = to_regclass('lake.ledger') and attname in ('table_id', 'columns', 'commit_id', 'declared') \
         and not attisdropped)";
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
    let rows = client.query(READ, &[]).await.or_else(|error| told(error, "read the ledger"))?;
    rows.iter().map(entry).collect()
}

fn entry(row: &Row) -> Result<Entry> {
    let table: String = value(row, 0)?;
    fields(row, &table).map_err(|cause| broken(&table, cause))
}

fn fields(row: &Row, table: &str) -> Result<Entry, Cause> {
    let count = |index| Ok::<u64, Cause>(u64::try_from(row.try_get::<_, i64>(index)?)?);
    Ok(Entry {
        table: table.to_string(),
        lake_id: row.try_get(1)?,
        delta_version: i64::try_from(count(2)?)?,
        run: count(3)?,
        schema_hash: row.try_get(4)?,
        rows: count(5)?,
        load_id: row.try_get(6)?,
        loaded_at: row.try_get(7)?,
        table_id: row.try_get::<_, Option<String>>(8)?.unwrap_or_default(),
        columns: row.try_get(9)?,
        commit_id: row.try_get(10)?,
        declared: row.try_get::<_, Option<&str>>(11)?.map(serde_json::from_str).transpose()?,
    })
}

fn value<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Result<T> {
    row.try_get(index).map_err(damaged)
}

fn damaged(cause: impl Into<Cause>) -> Error {
    Error::config(DAMAGED)
        .hint(
            "undo what was changed there. Other projects may share the database: when `lake.ledger` and `lake.script` \
             are dropped, each of them needs `lake load-warehouse --full`",
        )
        .caused_by(cause)
}

/// One row is at fault; the others, of other projects perhaps, are not.
fn broken(table: &str, cause: Cause) -> Error {
    let row = literal(table);
    let hint = format!(
        "undo what was changed in the row; or run: delete from lake.ledger where table_name = {row}; then: \
         lake load-warehouse --full"
    );
    Error::config(format!("{DAMAGED}: the row of `{table}`")).hint(hint).caused_by(cause)
}

/// A statement of ours that the server does not understand, or whose row it does not take, met other tables
/// than ours.
fn told<T>(error: tokio_postgres::Error, what: &str) -> Result<T> {
    let code = error.code().map_or("", |code| code.code());
    if code != "42501" && ["22", "23", "42"].iter().any(|class| code.starts_with(class)) {
        return Err(damaged(error));
    }
    Err(error).attempt(|| what)
}

pub async fn write(transaction: &Transaction<'_>, entries: &[Entry]) -> Result<()> {
    for entry in entries {
        let (run, rows) = (entry.run as i64, entry.rows as i64);
        let declared = entry.declared.as_ref().map(serde_json::to_string).transpose();
        let declared = declared.context(Kind::Internal, || format!("note `{}` in the ledger", entry.table))?;
        let Entry { table, lake_id, delta_version, schema_hash, load_id, table_id, columns, commit_id, .. } = entry;
        let values: [&(dyn ToSql + Sync); 11] =
            [table, lake_id, delta_version, &run, schema_hash, &rows, load_id, table_id, columns, commit_id, &declared];
        let noted = transaction.execute(WRITE, &values).await;
        noted.or_else(|error| told(error, &format!("note `{table}` in the ledger")))?;
    }
    Ok(())
}

/// Digest of each script run by loads into `schema`, by its path.
pub async fn scripts(transaction: &Transaction<'_>, schema: &str) -> Result<BTreeMap<String, String>> {
    if !exists(transaction.client(), "lake.script").await? {
        return Ok(BTreeMap::new());
    }
    let sql = "select path, digest from lake.script where schema_name = $1::text";
    let rows = transaction.query(sql, &[&schema]).await;
    let rows = rows.or_else(|error| told(error, "read which scripts were run"))?;
    rows.iter().map(|row| Ok((value(row, 0)?, value(row, 1)?))).collect()
}

pub async fn note_script(transaction: &Transaction<'_>, schema: &str, path: &str, digest: &str) -> Result<()> {
    let sql = "insert into lake.script (schema_name, path, digest) values ($1::text, $2::text, $3::text) \
         on conflict (schema_name, path) do update set digest = excluded.digest, run_at = now()";
    let noted = transaction.execute(sql, &[&schema, &path, &digest]).await;
    noted.or_else(|error| told(error, &format!("note that `{path}` was run")))?;
    Ok(())
}
