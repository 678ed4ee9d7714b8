//! Brings a table to what was staged for it, touching only rows that differ.
//!
//! All rows: they are compared, with a primary key row by row, without one as a bag in which equal rows count. Rows
//! that came and left: with a key, those that left go unless others of their identity came; without one, as many equal
//! rows go as left. Readers go on seeing the old rows until the transaction commits. Equality is the database's own,
//! where nulls are equal, except of floats: those are equal bit by bit, so that a 0 may become -0.

use super::catalog::{self, Existing};
use super::ddl::list;
use super::failure::Attempt;
use super::stage::{Staged, run};
use super::{Changes, Target};
use crate::error::Result;
use crate::ident::quote;
use arrow::datatypes::DataType;
use tokio_postgres::Transaction;

/// See [`super::Load::merge`]. `existing` is the table as it stood before the load.
pub async fn merge(
    transaction: &Transaction<'_>,
    schema: &str,
    target: &Target,
    existing: &Existing,
    staged: &Staged,
) -> Result<Changes> {
    let (stage, copies, rows) = match staged {
        Staged::InPlace { rows } => return Ok(Changes { rows: *rows, inserted: *rows, ..Changes::default() }),
        Staged::All { stage, rows } => (stage, None, *rows),
        Staged::Changes { stage, copies, rows } => (stage, Some(copies), *rows),
    };
    let by = match copies {
        Some(copies) if target.primary_key.is_empty() => telling(transaction, target, stage, copies).await?,
        _ => Vec::new(),
    };
    let (table, copies) = (catalog::address(schema, &target.name), copies.map(|copies| quote(copies)));
    let statements = Statements::new(table, quote(stage), copies, by, target, existing);
    let mut changes = Changes { rows, ..Changes::default() };
    changes.deleted = run(transaction, target, "delete rows of", &statements.delete()).await?;
    if let Some(update) = statements.update() {
        changes.updated = run(transaction, target, "update rows of", &update).await?;
    }
    changes.inserted = run(transaction, target, "insert rows into", &statements.insert()).await?;
    run(transaction, target, "clear up after", &format!("drop table {}", statements.stage)).await?;
    Ok(changes)
}

/// Up to three columns by which rows that left a bag are looked for: those of the most values. Null is found by none, so
/// a column in which a row that left has one is no help.
async fn telling(transaction: &Transaction<'_>, target: &Target, stage: &str, copies: &str) -> Result<Vec<String>> {
    let what = || format!("look for rows that left `{}`", target.name);
    let ranked = "select array(select attname::text from pg_catalog.pg_stats where tablename = $1::text \
         and schemaname = (select nspname from pg_catalog.pg_namespace where oid = pg_my_temp_schema()) \
         and attname <> $2::text and null_frac = 0 \
         order by case when n_distinct < 0 then n_distinct * -1e9 else n_distinct end desc, attname limit 3)";
    let mut ranked: Vec<String> = transaction.query_one(ranked, &[&stage, &copies]).await.attempt(what)?.get(0);
    if ranked.is_empty() {
        return Ok(ranked);
    }
    let full = ranked.iter().map(|name| format!("coalesce(bool_and({} is not null), false)", quote(name)));
    let full = full.collect::<Vec<_>>().join(", ");
    let sql = format!("select array[{full}]::boolean[] from {} where {} < 0", quote(stage), quote(copies));
    let full: Vec<bool> = transaction.query_one(&sql, &[]).await.attempt(what)?.get(0);
    let mut full = full.into_iter();
    ranked.retain(|_| full.next() == Some(true));
    Ok(ranked)
}

/// The three statements that turn the table `t` into what the stage `s` asks for.
struct Statements<'a> {
    table: String,
    stage: String,
    /// The column of a stage of changes that says how many copies of the row came, or left when it is negative.
    copies: Option<String>,
    /// Columns by which rows that left a bag are looked for.
    by: Vec<String>,
    target: &'a Target,
    columns: Vec<&'a str>,
    key: &'a [String],
    /// Columns that say which row is which: the key, and what any other unique index spans. Rows that
    /// differ there are deleted and inserted, because updates in place could collide half-way.
    identity: Vec<&'a str>,
}

impl<'a> Statements<'a> {
    fn new(
        table: String,
        stage: String,
        copies: Option<String>,
        by: Vec<String>,
        target: &'a Target,
        existing: &'a Existing,
    ) -> Statements<'a> {
        let columns: Vec<&str> = target.columns.iter().map(|column| column.name.as_str()).collect();
        let unique = |name: &str| existing.unique.iter().flatten().any(|column| column == name);
        let identity =
            columns.iter().copied().filter(|name| target.primary_key.iter().any(|key| key == name) || unique(name));
        Statements { table, stage, copies, by, identity: identity.collect(), target, columns, key: &target.primary_key }
    }

    /// What to compare of a column of `of`, so that values which print differently differ.
    fn exact(&self, of: &str, name: &str) -> String {
        let column = format!("{of}{}", quote(name));
        let found = self.target.columns.iter().find(|column| column.name == name);
        match found.map(|column| &column.data_type) {
            Some(DataType::Float64) => format!("float8send({column})"),
            Some(DataType::Float16 | DataType::Float32) => format!("float4send({column})"),
            Some(DataType::List(item)) if item.data_type().is_floating() => format!("array_send({column})"),
            _ => column,
        }
    }

    fn all_exact(&self, of: &str) -> String {
        self.columns.iter().map(|name| self.exact(of, name)).collect::<Vec<_>>().join(", ")
    }

    /// Of `t` and the row `of` of the stage.
    fn same_row(&self, of: &str) -> String {
        let others = self.identity.iter().filter(|name| !self.key.iter().any(|key| key == *name));
        let alike = others.map(|name| format!("t.{0} is not distinct from {of}.{0}", quote(name)));
        std::iter::once(self.same_key(of)).chain(alike).collect::<Vec<_>>().join(" and ")
    }

    fn same_key(&self, of: &str) -> String {
        self.key.iter().map(|name| format!("t.{0} = {of}.{0}", quote(name))).collect::<Vec<_>>().join(" and ")
    }

    /// ` and s.copies > 0`, or nothing of a stage of all rows.
    fn that_came(&self) -> String {
        self.copies.as_ref().map(|copies| format!(" and s.{copies} > 0")).unwrap_or_default()
    }

    fn delete(&self) -> String {
        let (table, stage) = (&self.table, &self.stage);
        let stays = format!("exists (select from {stage} s where {}{})", self.same_row("s"), self.that_came());
        match &self.copies {
            None if self.key.is_empty() => self.delete_from_bag(),
            Some(copies) if self.key.is_empty() => self.delete_copies(copies),
            None => format!("delete from {table} t where not {stays}"),
            Some(_) => format!(
                "delete from {table} t where exists (select from {stage} l where {}) and not {stays}",
                self.same_key("l")
            ),
        }
    }

    fn delete_from_bag(&self) -> String {
        let table = &self.table;
        format!(
            "with {} delete from {table} t using surplus x where {}",
            self.surplus(table, &self.stage),
            at("t", "x")
        )
    }

    /// `surplus`: the places of the copies of each row that `of` has more of than `other`, see [`at`].
    fn surplus(&self, of: &str, other: &str) -> String {
        let columns = self.all_exact("");
        // Names of our own for the columns: one of theirs may be `place`.
        let own = (0..self.columns.len()).map(|index| format!("c{index}")).collect::<Vec<_>>().join(", ");
        format!(
            "surplus as (select part, place from (select part, place, \
             row_number() over (partition by {own}, place is null) as copy, \
             count(*) filter (where place is null) over (partition by {own}) as others \
             from (select tableoid, ctid, {columns} from {of} \
             union all select null::oid, null::tid, {columns} from {other}) b (part, place, {own})) n \
             where place is not null and copy > others)"
        )
    }

    /// Rows are equal as records, in which nulls are equal. Comparing those takes sorting, so only rows that agree in
    /// some columns are compared at all: a join by columns can be hashed, whatever the number of rows.
    fn delete_copies(&self, copies: &str) -> String {
        let (table, stage) = (&self.table, &self.stage);
        let row_of = |of: &str| format!("row({})", self.all_exact(of));
        // Names of our own, for theirs may be any.
        let own = (0..self.by.len()).map(|index| format!("c{index}, ")).collect::<String>();
        let values = self.by.iter().map(|name| format!("s.{}, ", quote(name))).collect::<String>();
        let alike = self.by.iter().enumerate().map(|(index, name)| format!("t.{} = g.c{index} and ", quote(name)));
        let groups = (1..=self.by.len() + 1).map(|place| place.to_string()).collect::<Vec<_>>().join(", ");
        format!(
            "with gone ({own}whole, copies) as (select {values}{left}, -sum(s.{copies}) from {stage} s \
             where s.{copies} < 0 group by {groups}), \
             found as (select t.tableoid as part, t.ctid as place, g.copies, \
             row_number() over (partition by g.whole) as copy \
             from {table} t join gone g on {alike}{standing} = g.whole) \
             delete from {table} t using found f where {} and f.copy <= f.copies",
            at("t", "f"),
            left = row_of("s."),
            alike = alike.collect::<String>(),
            standing = row_of("t.")
        )
    }

    /// `None` without a key, or when the key is all there is.
    fn update(&self) -> Option<String> {
        let rest: Vec<&str> = self.columns.iter().copied().filter(|name| !self.identity.contains(name)).collect();
        if self.key.is_empty() || rest.is_empty() {
            return None;
        }
        let set = rest.iter().map(|name| format!("{0} = s.{0}", quote(name))).collect::<Vec<_>>().join(", ");
        let differs =
            rest.iter().map(|name| format!("{} is distinct from {}", self.exact("t.", name), self.exact("s.", name)));
        let differs = differs.collect::<Vec<_>>().join(" or ");
        let (table, stage, same, came) = (&self.table, &self.stage, self.same_row("s"), self.that_came());
        Some(format!("update {table} t set {set} from {stage} s where {same}{came} and ({differs})"))
    }

    fn insert(&self) -> String {
        let (table, stage, columns) = (&self.table, &self.stage, list(self.columns.iter().copied()));
        let wanted = self.columns.iter().map(|name| format!("s.{}", quote(name))).collect::<Vec<_>>().join(", ");
        let into = format!("insert into {table} ({columns}) select {wanted} from {stage} s");
        if self.key.is_empty() && self.copies.is_none() {
            return format!("with {} {into} join surplus x on {}", self.surplus(stage, table), at("s", "x"));
        }
        // As many copies as came; of rows that left none.
        let times = self.copies.as_ref().map(|copies| format!(", generate_series(1, s.{copies})")).unwrap_or_default();
        let absent = match self.key {
            [] => String::new(),
            _ => format!(" where not exists (select from {table} t where {})", self.same_row("s")),
        };
        format!("{into}{times}{absent}")
    }
}

/// That the row `row` is the one whose place `of` tells: a place says where in its table, and a table may be partitioned
/// into several.
fn at(row: &str, of: &str) -> String {
    format!("{row}.tableoid = {of}.part and {row}.ctid = {of}.place")
}
