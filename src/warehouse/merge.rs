//! Makes a table hold exactly the given rows, touching only those that differ.
//!
//! A table that is empty takes the rows straight. Otherwise they are copied beside it, into a temporary
//! table, and compared: with a primary key row by row, without one as a bag in which equal rows count.
//! Readers go on seeing the old rows until the transaction commits. Equality is the database's own:
//! nulls are equal, and so are 0 and -0.

use super::catalog::{self, Existing};
use super::copy::copy;
use super::ddl::{self, list};
use super::failure::Attempt;
use super::{Batches, Changes, Target, migrate};
use crate::error::Result;
use crate::ident::quote;
use tokio_postgres::Transaction;

const STAGE: &str = "lake_stage";

/// See [`super::Load::replace`]. `written` are the columns that loads wrote before.
pub async fn replace(
    transaction: &Transaction<'_>,
    schema: &str,
    target: &Target,
    written: &[String],
    mut rows: Batches,
) -> Result<Changes> {
    target.check()?;
    let table = catalog::address(schema, &target.name);
    let Some(existing) = catalog::existing(transaction, schema, &target.name).await? else {
        run(transaction, target, "create", &ddl::create(schema, target)?).await?;
        return fill(transaction, &table, target, &mut rows).await;
    };
    let migration = migrate::plan(schema, target, &existing, written)?;
    migrate::run(transaction, &migration.widen).await?;
    if catalog::standing(transaction, schema, &target.name).await? != super::Standing::Filled {
        migrate::run(transaction, &migration.reshape).await?;
        return fill(transaction, &table, target, &mut rows).await;
    }
    run(transaction, target, "stage rows for", &ddl::create_stage(STAGE, target)?).await?;
    let total = copy(transaction, &quote(STAGE), target, &mut rows).await?;
    if !target.primary_key.is_empty() {
        // The index also proves that no two rows share a key, which the comparison relies on.
        let key = list(target.primary_key.iter().map(String::as_str));
        run(transaction, target, "check the key of", &format!("alter table {} add primary key ({key})", quote(STAGE)))
            .await?;
    }
    run(transaction, target, "analyze rows for", &format!("analyze {}", quote(STAGE))).await?;
    migrate::run(transaction, &migration.reshape).await?;
    let mut changes = Changes { rows: total, ..Changes::default() };
    let statements = Statements::new(&table, target, &existing);
    changes.deleted = run(transaction, target, "delete rows of", &statements.delete()).await?;
    if let Some(update) = statements.update() {
        changes.updated = run(transaction, target, "update rows of", &update).await?;
    }
    changes.inserted = run(transaction, target, "insert rows into", &statements.insert()).await?;
    run(transaction, target, "clear up after", &format!("drop table {}", quote(STAGE))).await?;
    Ok(changes)
}

async fn fill(transaction: &Transaction<'_>, table: &str, target: &Target, rows: &mut Batches) -> Result<Changes> {
    let inserted = copy(transaction, table, target, rows).await?;
    run(transaction, target, "analyze", &format!("analyze {table}")).await?;
    Ok(Changes { rows: inserted, inserted, ..Changes::default() })
}

async fn run(transaction: &Transaction<'_>, target: &Target, verb: &str, sql: &str) -> Result<u64> {
    transaction.execute(sql, &[]).await.attempt(|| format!("{verb} `{}`", target.name))
}

/// The three statements that turn the table `t` into the stage `s`.
struct Statements<'a> {
    table: &'a str,
    columns: Vec<&'a str>,
    key: &'a [String],
    /// Columns that say which row is which: the key, and what any other unique index spans. Rows that
    /// differ there are deleted and inserted, because updates in place could collide half-way.
    identity: Vec<&'a str>,
}

impl<'a> Statements<'a> {
    fn new(table: &'a str, target: &'a Target, existing: &'a Existing) -> Statements<'a> {
        let columns: Vec<&str> = target.columns.iter().map(|column| column.name.as_str()).collect();
        let unique = |name: &str| existing.unique.iter().flatten().any(|column| column == name);
        let identity =
            columns.iter().copied().filter(|name| target.primary_key.iter().any(|key| key == name) || unique(name));
        Statements { table, identity: identity.collect(), columns, key: &target.primary_key }
    }

    fn same_row(&self) -> String {
        let equal = self.key.iter().map(|name| format!("t.{0} = s.{0}", quote(name)));
        let others = self.identity.iter().filter(|name| !self.key.iter().any(|key| key == *name));
        let alike = others.map(|name| format!("t.{0} is not distinct from s.{0}", quote(name)));
        equal.chain(alike).collect::<Vec<_>>().join(" and ")
    }

    fn delete(&self) -> String {
        let (table, stage) = (self.table, quote(STAGE));
        if !self.key.is_empty() {
            let same = self.same_row();
            return format!("delete from {table} t where not exists (select from {stage} s where {same})");
        }
        let columns = list(self.columns.iter().copied());
        // Names of our own for the columns: one of theirs may be `place`.
        let own = (0..self.columns.len()).map(|index| format!("c{index}")).collect::<Vec<_>>().join(", ");
        format!(
            "with numbered as (select place, \
             row_number() over (partition by {own}, place is null) as copy, \
             count(*) filter (where place is null) over (partition by {own}) as wanted \
             from (select ctid, {columns} from {table} union all select null::tid, {columns} from {stage}) \
             b (place, {own})) delete from {table} t using numbered n where t.ctid = n.place and n.copy > n.wanted"
        )
    }

    /// `None` without a key, or when the key is all there is.
    fn update(&self) -> Option<String> {
        let rest: Vec<&str> = self.columns.iter().copied().filter(|name| !self.identity.contains(name)).collect();
        if self.key.is_empty() || rest.is_empty() {
            return None;
        }
        let set = rest.iter().map(|name| format!("{0} = s.{0}", quote(name))).collect::<Vec<_>>().join(", ");
        let differs = rest.iter().map(|name| format!("t.{0} is distinct from s.{0}", quote(name)));
        let differs = differs.collect::<Vec<_>>().join(" or ");
        let (table, stage, same) = (self.table, quote(STAGE), self.same_row());
        Some(format!("update {table} t set {set} from {stage} s where {same} and ({differs})"))
    }

    fn insert(&self) -> String {
        let (table, stage) = (self.table, quote(STAGE));
        let columns = list(self.columns.iter().copied());
        if self.key.is_empty() {
            return format!(
                "insert into {table} ({columns}) select {columns} from {stage} except all select {columns} from {table}"
            );
        }
        let same = self.same_row();
        format!(
            "insert into {table} ({columns}) select {columns} from {stage} s \
             where not exists (select from {table} t where {same})"
        )
    }
}
