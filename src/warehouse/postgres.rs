//! The PostgreSQL implementation: each trait method is one call into the files beside this one.

use super::catalog::Existing;
use super::connect::Address;
use super::failure::{Attempt, fault, refused};
use super::migrate::Migration;
use super::stage::Staged;
use super::{
    Answer, Changes, Entry, Extent, Load, Outcome, Rows, Standing, Target, Warehouse, WarehouseConfig, catalog,
    culprit, ddl, ledger, merge, migrate, query, stage,
};
use crate::error::{Error, Kind, Result};
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

const HINT_CULPRIT: &str = "test it (not_null, unique, relationships) and mend the model";

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
        Ok(Box::new(PostgresLoad { transaction, schema, staged: Vec::new() }))
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
    /// What was taken in and not merged yet.
    staged: Vec<(Target, Staged)>,
}

impl PostgresLoad<'_> {
    async fn run(&self, statements: &[String], what: impl Fn() -> String) -> Result<()> {
        for statement in statements {
            self.transaction.batch_execute(statement).await.attempt(&what)?;
        }
        Ok(())
    }

    /// What the ledger says of the table.
    async fn before(&self, target: &Target) -> Result<Option<Entry>> {
        let ledger = ledger::read(self.transaction.client()).await?;
        Ok(ledger.into_iter().find(|entry| entry.place() == Some((self.schema.as_str(), target.name.as_str()))))
    }

    /// The table that stands where the target belongs, and what brings its columns to the target's.
    async fn migration(&self, target: &Target) -> Result<Option<(Existing, Migration)>> {
        let Some(existing) = catalog::existing(&self.transaction, &self.schema, &target.name).await? else {
            return Ok(None);
        };
        let before = self.before(target).await?;
        let migration = migrate::plan(&self.schema, target, &existing, before.as_ref())?;
        Ok(Some((existing, migration)))
    }

    async fn declare(&self, targets: &[Target]) -> Result<()> {
        // Pending checks also forbid every ALTER TABLE below.
        let check = "set constraints all immediate";
        self.transaction.batch_execute(check).await.attempt(|| "check the references between the tables")?;
        for target in targets {
            let Some(existing) = catalog::existing(&self.transaction, &self.schema, &target.name).await? else {
                return Err(Error::internal(format!("`{}` is gone within its own load", target.name)));
            };
            let keys = ddl::keys(&self.schema, target, &existing);
            self.run(&keys, || format!("declare the keys of `{}`", target.name)).await?;
            let table = catalog::address(&self.schema, &target.name);
            ddl::check(&self.transaction, &table, target, &existing.checks, None).await?;
            let indexes = ddl::indexes(&self.schema, target, &existing);
            self.run(&indexes, || format!("index the references of `{}`", target.name)).await?;
        }
        for target in targets {
            ddl::refer(&self.transaction, &self.schema, target).await?;
        }
        Ok(())
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
        let sql = "select pg_is_in_recovery(), pg_try_advisory_xact_lock($1)";
        let row = self.transaction.query_one(sql, &[&LOAD_LOCK]).await.attempt(|| "ask for the load lock")?;
        if row.get(0) {
            return Err(Error::config("the warehouse is a standby server, which takes no writes")
                .hint("name the primary server in warehouse.url"));
        }
        if !row.get::<_, bool>(1) {
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
            self.migration(target).await?;
        }
        Ok(())
    }

    async fn fits(&mut self, target: &Target) -> Result<bool> {
        Ok(self.migration(target).await?.is_some_and(|(_, migration)| migration.is_empty()))
    }

    async fn stage(&mut self, target: &Target, extent: Extent, rows: &dyn Rows) -> Result<()> {
        target.check()?;
        let (transaction, number) = (&self.transaction, self.staged.len());
        let staged = match extent {
            Extent::Changes => stage::stage_changes(transaction, target, number, rows).await?,
            Extent::All => {
                let standing = self.migration(target).await?;
                let migration = standing.as_ref().map(|(_, migration)| migration);
                stage::stage_all(transaction, &self.schema, target, migration, number, rows).await?
            }
        };
        self.staged.push((target.clone(), staged));
        Ok(())
    }

    async fn merge(&mut self) -> Result<Vec<Changes>> {
        let staged = std::mem::take(&mut self.staged);
        let mut plans = Vec::new();
        for (target, staged) in &staged {
            let plan = match staged {
                Staged::InPlace { .. } => Default::default(),
                _ => self.migration(target).await?.unwrap_or_default(),
            };
            migrate::run(&self.transaction, &plan.1.widen).await?;
            plans.push(plan);
        }
        let mut changes = Vec::new();
        for ((target, staged), (existing, migration)) in staged.iter().zip(&plans) {
            migrate::run(&self.transaction, &migration.reshape).await?;
            changes.push(merge::merge(&self.transaction, &self.schema, target, existing, staged).await?);
            self.run(&ddl::comments(&self.schema, target), || format!("describe `{}`", target.name)).await?;
        }
        Ok(changes)
    }

    async fn constrain(&mut self, targets: &[Target]) -> Result<()> {
        self.transaction.batch_execute("savepoint constraints").await.attempt(|| "mark where the rows are in")?;
        let Err(error) = self.declare(targets).await else { return Ok(()) };
        if error.kind() != Kind::Input {
            return Err(error);
        }
        let back = self.transaction.batch_execute("rollback to savepoint constraints").await;
        back.attempt(|| "go back to where the rows are in")?;
        match culprit::find(&self.transaction, &self.schema, targets).await? {
            Some(culprit) => Err(Error::input(culprit).hint(HINT_CULPRIT).caused_by(error)),
            None => Err(error),
        }
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
