//! Brings a table to what was staged for it, touching only rows that differ.
//!
//! All rows: they are compared, with a primary key row by row, without one as a bag in which equal rows count. Rows
//! that came and left: with a key, those that left go unless others of their identity came; without one, as many equal
//! rows go as left. Readers go on seeing the old rows until the transaction commits. Equality is the database's own,
//! where nulls are equal, except of floats: those are equal bit by bit, so that a 0 may become -0.

use super::catalog::{self, Existing};
use super::ddl::list;
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
        Staged::All { stage, rows } => (quote(stage), None, *rows),
        Staged::Changes { stage, copies, rows } => (quote(stage), Some(quote(copies)), *rows),
    };
    let statements = Statements::new(catalog::address(schema, &target.name), stage, copies, target, existing);
    let mut changes = Changes { rows, ..Changes::default() };
    changes.deleted = run(transaction, target, "delete rows of", &statements.delete()).await?;
    if let Some(update) = statements.update() {
        changes.updated = run(transaction, target, "update rows of", &update).await?;
    }
    changes.inserted = run(transaction, target, "insert rows into", &statements.insert()).await?;
    run(transaction, target, "clear up after", &format!("drop table {}", statements.stage)).await?;
    Ok(changes)
}

/// The three statements that turn the table `t` into what the stage `s` asks for.
struct Statements<'a> {
    table: String,
    stage: String,
    /// The column of a stage of changes that says how many copies of the row came, or left when it is negative.
    copies: Option<String>,
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
        target: &'a Target,
        existing: &'a Existing,
    ) -> Statements<'a> {
        let columns: Vec<&str> = target.columns.iter().map(|column| column.name.as_str()).collect();
        let unique = |name: &str| existing.unique.iter().flatten().any(|column| column == name);
        let identity =
            columns.iter().copied().filter(|name| target.primary_key.iter().any(|key| key == name) || unique(name));
        Statements { table, stage, copies, identity: identity.collect(), target, columns, key: &target.primary_key }
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
             union all select null::oid, null::tid, {columns} from {other}) b (part, place, {own})) n where place is not null and copy > others)"
        )
    }

    /// Rows are equal as records, in which nulls are equal; comparing those takes sorting, so only rows whose every
    /// value occurs among those that left are compared at all.
    fn delete_copies(&self, copies: &str) -> String {
        let (table, stage) = (&self.table, &self.stage);
        let row_of = |of: &str| format!("row({})", self.all_exact(of));
        let occurs = self.columns.iter().map(|name| {
            let name = quote(name);
            format!("(t.{name} is null or t.{name} in (select l.{name} from {stage} l where l.{copies} < 0))")
        });
        let (occurs, left, standing) = (occurs.collect::<Vec<_>>().join(" and "), row_of("s."), row_of("t."));
        format!(
            "with gone as (select {left} as row, -sum(s.{copies}) as copies from {stage} s where s.{copies} < 0 \
             group by 1), standing as (select t.tableoid as part, t.ctid as place, {standing} as row from {table} t \
             where {occurs}), found as (select n.part, n.place, row_number() over (partition by n.row) as copy, g.copies \
             from standing n join gone g on n.row = g.row) \
             delete from {table} t using found f where {} and f.copy <= f.copies",
            at("t", "f")
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
