//! A table as the commit would leave it, for the tests that run before.

use super::plan::Step;
use crate::engine::Session;
use crate::error::Result;
use crate::flow::checks::{ADDED_ROWS, STANDING_ROWS};
use crate::ident::{TableName, quote};
use crate::table::{FileFacts, Mode, Staged, Table};
use arrow::datatypes::Schema;
use std::collections::BTreeSet;

/// Rows about to be committed, and the table they are for.
pub(super) struct Candidate<'a> {
    pub staged: &'a Staged,
    pub table: &'a Table,
    pub mode: Mode,
}

impl Candidate<'_> {
    /// Makes the table visible as the commit would leave it.
    pub async fn register(&self, session: &Session, model: &TableName) -> Result<()> {
        if self.mode == Mode::Replace {
            return session.register(model, self.staged.provider().await?);
        }
        session.register_unqualified(STANDING_ROWS, self.table.provider_beside(self.staged).await?)?;
        session.register_unqualified(ADDED_ROWS, self.staged.provider().await?)?;
        let columns = |schema: &Schema, all: &Schema| {
            let column = |name: &String| match schema.column_with_name(name) {
                Some(_) => quote(name),
                None => format!("null as {}", quote(name)),
            };
            all.fields().iter().map(|field| column(field.name())).collect::<Vec<_>>().join(", ")
        };
        let (old, new) = (self.table.schema(), self.staged.schema());
        let both = format!(
            "select {} from {STANDING_ROWS} union all select {} from {ADDED_ROWS}",
            columns(&old, &new),
            columns(&new, &new)
        );
        session.register_view(model, &both).await
    }

    pub fn facts(&self) -> Result<Vec<FileFacts>> {
        self.table.facts_after(self.mode, self.staged)
    }

    /// Names of the tests that no row of the table fails as it stands: they passed when it was built, are the same
    /// now, and no row was changed since.
    pub async fn tests_that_stand(&self, step: &Step<'_>) -> Result<BTreeSet<String>> {
        // Of a merge the rows that stand and stay: a test that no row fails is failed by none of fewer.
        if !matches!(self.mode, Mode::Append | Mode::Exchange) || self.table.schema() != self.staged.schema() {
            return Ok(BTreeSet::new());
        }
        let Some(last) = &step.last else { return Ok(BTreeSet::new()) };
        let same = last.hashes.contract == step.hashes.contract && self.table.same_rows_since(last.version).await?;
        let strict = step.guards.iter().filter(|check| check.options.counts_every_row()).map(|check| &check.name);
        Ok(strict.filter(|name| same && last.passed.contains(*name)).cloned().collect())
    }
}
