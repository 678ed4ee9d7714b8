//! The PostgreSQL implementation: each trait method is one call into the files beside this one.

use super::connect::Address;
use super::failure::{Attempt, fault, refused};
use super::{
    Answer, Batches, Changes, Entry, Load, Outcome, Standing, Target, Warehouse, WarehouseConfig, catalog, ddl, ledger,
    merge, migrate, query,
};
use crate::error::{Error, Result};
use crate::ident::quote;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::path::Path;
use tokio_postgres::{Client, Transaction};

/// Key of the advisory lock that serialises loads within a database ("lakeload" in ASCII).
const LOAD_LOCK: i64 = 0x6c61_6b65_6c6f_6164;

/// A server may end sessions that idle within a transaction or run long; a load does both on purpose.
const PATIENCE: &str = "set local statement_timeout = 0; set local lock_timeout = 0; \
     set local idle_in_transaction_session_timeout = 0";

pub struct Postgres {
    address: Address,
    schema: String,
    client: Client,
}

impl Postgres {
    pub async fn connect(config: &WarehouseConfig) -> Result<Postgres> {
        let address = Address::parse(config)?;
        let client = open(&address, &config.schema).await?;
        Ok(Postgres { address, schema: config.schema.clone(), client })
    }

    async fn client(&mut self) -> Result<&mut Client> {
        if self.client.is_closed() {
            self.reconnect().await?;
        }
        Ok(&mut self.client)
    }
}

/// Connects, with the Gold schema first in the search path: plain names mean its tables, in scripts and
/// queries alike, whatever the role's own path is.
async fn open(address: &Address, schema: &str) -> Result<Client> {
    let client = address.connect().await?;
    client.batch_execute(&format!("set {}", search_path(schema))).await.attempt(|| "set the search path")?;
    Ok(client)
}

fn search_path(schema: &str) -> String {
    format!("search_path to {}, public", quote(schema))
}

#[async_trait]
impl Warehouse for Postgres {
    fn address(&self) -> &str {
        self.address.shown()
    }

    fn schema(&self) -> &str {
        &self.schema
    }

    async fn begin(&mut self) -> Result<Box<dyn Load + '_>> {
        let schema = self.schema.clone();
        let transaction = self.client().await?.transaction().await.attempt(|| "begin a load")?;
        transaction.batch_execute(PATIENCE).await.attempt(|| "begin a load")?;
        Ok(Box::new(PostgresLoad { transaction, schema }))
    }

    async fn reconnect(&mut self) -> Result<()> {
        self.client = open(&self.address, &self.schema).await?;
        Ok(())
    }

    async fn ledger(&mut self) -> Result<Vec<Entry>> {
        ledger::read(self.client().await?).await
    }

    async fn query(&mut self, sql: &str) -> Result<Answer> {
        query::query(self.client().await?, sql).await
    }
}

struct PostgresLoad<'a> {
    transaction: Transaction<'a>,
    schema: String,
}

impl PostgresLoad<'_> {
    async fn run(&self, statements: &[String], what: impl Fn() -> String) -> Result<()> {
        for statement in statements {
            self.transaction.batch_execute(statement).await.attempt(&what)?;
        }
        Ok(())
    }

    /// The columns that loads wrote into the table before.
    async fn written(&self, target: &Target) -> Result<Vec<String>> {
        let ledger = ledger::read(self.transaction.client()).await?;
        let entry =
            ledger.into_iter().find(|entry| entry.place() == Some((self.schema.as_str(), target.name.as_str())));
        Ok(entry.map(|entry| entry.columns).unwrap_or_default())
    }

    async fn id(&self) -> Result<String> {
        let sql = "select pg_current_xact_id()::text";
        Ok(self.transaction.query_one(sql, &[]).await.attempt(|| "ask for the transaction's number")?.get(0))
    }
}

#[async_trait]
impl Load for PostgresLoad<'_> {
    fn schema(&self) -> &str {
        &self.schema
    }

    async fn try_lock(&mut self) -> Result<bool> {
        let sql = "select pg_try_advisory_xact_lock($1)";
        let row = self.transaction.query_one(sql, &[&LOAD_LOCK]).await.attempt(|| "ask for the load lock")?;
        if !row.get::<_, bool>(0) {
            return Ok(false);
        }
        ledger::ensure(&self.transaction).await?;
        ddl::ensure_schema(&self.transaction, &self.schema).await?;
        Ok(true)
    }

    async fn ledger(&mut self) -> Result<Vec<Entry>> {
        ledger::read(self.transaction.client()).await
    }

    async fn standing(&mut self, target: &Target) -> Result<Standing> {
        catalog::standing(&self.transaction, &self.schema, &target.name).await
    }

    async fn prepare(&mut self, targets: &[Target]) -> Result<()> {
        for target in targets {
            target.check()?;
            if let Some(existing) = catalog::existing(&self.transaction, &self.schema, &target.name).await? {
                let written = self.written(target).await?;
                let migration = migrate::plan(&self.schema, target, &existing, &written)?;
                migrate::run(&self.transaction, &migration.widen).await?;
            }
        }
        Ok(())
    }

    async fn replace(&mut self, target: &Target, rows: Batches) -> Result<Changes> {
        let written = self.written(target).await?;
        let changes = merge::replace(&self.transaction, &self.schema, target, &written, rows).await?;
        self.run(&ddl::comments(&self.schema, target), || format!("describe `{}`", target.name)).await?;
        Ok(changes)
    }

    async fn constrain(&mut self, targets: &[Target]) -> Result<()> {
        // Pending checks also forbid every ALTER TABLE below.
        let check = "set constraints all immediate";
        self.transaction.batch_execute(check).await.attempt(|| "check the references between the tables")?;
        for target in targets {
            let Some(existing) = catalog::existing(&self.transaction, &self.schema, &target.name).await? else {
                return Err(Error::internal(format!("`{}` is gone within its own load", target.name)));
            };
            let keys = ddl::keys(&self.schema, target, &existing);
            self.run(&keys, || format!("declare the keys of `{}`", target.name)).await?;
        }
        for target in targets {
            ddl::refer(&self.transaction, &self.schema, target).await?;
        }
        Ok(())
    }

    async fn record(&mut self, entries: &[Entry]) -> Result<()> {
        ledger::write(&self.transaction, entries).await
    }

    async fn scripts(&mut self) -> Result<BTreeMap<String, String>> {
        ledger::scripts(&self.transaction, &self.schema).await
    }

    async fn run_script(&mut self, path: &Path, sql: &str, digest: &str) -> Result<()> {
        let name = path.display().to_string();
        let before = self.id().await?;
        let path = format!("set local {}", search_path(&self.schema)); // an earlier script may have moved it
        self.transaction.batch_execute(&path).await.attempt(|| "set the search path of a script")?;
        self.transaction.batch_execute(sql).await.map_err(|error| fault(error, sql, Some(&name)))?;
        if self.id().await? != before {
            return Err(Error::config(format!("`{name}` ended the load's transaction")).hint(
                "take COMMIT, ROLLBACK and BEGIN out of it: it runs inside the load, which commits everything at once",
            ));
        }
        // Noted earlier, the digest would have been committed by the script itself, and the fault told only once.
        ledger::note_script(&self.transaction, &self.schema, &name, digest).await
    }

    async fn commit(self: Box<Self>) -> Result<Outcome> {
        match self.transaction.commit().await {
            Ok(()) => Ok(Outcome::Committed),
            Err(error) if refused(&error) => Err(error).attempt(|| "commit the load"),
            Err(error) => Ok(Outcome::Unknown(Error::unavailable("commit the load").caused_by(error))),
        }
    }
}
