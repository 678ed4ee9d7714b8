//! What has to be done to each table, and why: nothing, the rows that came and left since the version in the ledger, or
//! all rows.
//!
//! What came and left is read off the table's log ([`Table::since`]): files of rows that are both among those that
//! came and those that left cancel out, so that only what differs reaches the warehouse. That is enough as long as the
//! ledger, the warehouse's table and the log belong together; wherever one of them does not, all rows are compared.

use crate::error::{Error, Result};
use crate::flow::count::counted;
use crate::ident::{MOST_POSTGRES_COLUMNS, TableName};
use crate::table::{Picked, Since, Table};
use crate::warehouse::{Entry, Load, Standing, Target};
use arrow::datatypes::DataType;
use futures::TryStreamExt;
use std::fmt;
use std::pin::pin;

/// One table of the run.
pub struct Task {
    pub name: TableName,
    /// What the ledger will say.
    pub entry: Entry,
    /// What it says.
    pub before: Option<Entry>,
    pub work: Work,
}

pub enum Work {
    /// This version of this table stands, by this contract.
    Stands,
    /// Another version stands, of the same rows.
    SameRows { since: i64 },
    /// These files' rows.
    Changes { since: i64, added: Picked, removed: Picked },
    /// All rows; why.
    All(String),
}

impl Work {
    /// Whether the warehouse's table is touched.
    pub fn touches(&self) -> bool {
        matches!(self, Work::Changes { .. } | Work::All(_))
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Work::Stands => f.write_str("it stands"),
            Work::SameRows { since } => write!(f, "the rows of version {since}"),
            Work::Changes { since, added, removed } => {
                let files = (added.files() + removed.files()) as u64;
                write!(f, "{} since version {since}", counted(files, "file"))
            }
            Work::All(why) => write!(f, "full: {why}"),
        }
    }
}

/// What is known of a table before it is decided what has to be done to it.
pub struct Case<'a> {
    pub table: &'a Table,
    pub target: &'a Target,
    /// What the ledger will say.
    pub entry: &'a Entry,
    /// What it says.
    pub before: Option<&'a Entry>,
    /// Compare all rows, and take over what this lake did not load.
    pub full: bool,
    /// Where the lake is, for messages.
    pub root: &'a str,
}

impl Case<'_> {
    /// Kind Config when the warehouse's table is not ours to change, or is ahead.
    pub async fn decide(&self, load: &mut dyn Load) -> Result<Work> {
        let standing = load.standing(self.target).await?;
        self.may_replace(standing)?;
        if self.full {
            return Ok(Work::All("--full".into()));
        }
        let Some(before) = self.before else { return Ok(Work::All("it was never loaded".into())) };
        self.not_ahead(before)?;
        if let Some(why) = apart(self.entry, before, standing) {
            return Ok(Work::All(why.into()));
        }
        if before.delta_version == self.entry.delta_version {
            let is_other = before.commit_id.is_some() && before.commit_id != self.entry.commit_id;
            return Ok(match is_other {
                true => Work::All(other_commit(before.delta_version)),
                false => Work::Stands,
            });
        }
        if let Some(why) = incomparable(self.target) {
            return Ok(Work::All(why.into()));
        }
        if !load.fits(self.target).await? {
            return Ok(Work::All("its columns were changed in the warehouse".into()));
        }
        self.since(before).await
    }

    /// What came and left since the version that stands.
    async fn since(&self, before: &Entry) -> Result<Work> {
        let since = before.delta_version;
        let standing = commit_id(self.table, since).await?;
        if standing.is_none() || standing != before.commit_id {
            return Ok(Work::All(other_commit(since)));
        }
        Ok(match self.table.since(since, None).await? {
            Since::Unknown(why) => Work::All(why),
            Since::Files { added, removed } if added.is_empty() && removed.is_empty() => Work::SameRows { since },
            Since::Files { added, removed } => Work::Changes { since, added, removed },
        })
    }

    /// Refuses to put this lake's rows over rows that came from elsewhere.
    fn may_replace(&self, standing: Standing) -> Result<()> {
        let whose = match self.before {
            Some(before) if before.lake_id == self.entry.lake_id => return Ok(()),
            Some(_) => "that came from another lake",
            None => "that lake did not load",
        };
        if self.full || standing != Standing::Filled {
            return Ok(());
        }
        Err(Error::config(format!("the warehouse table for `{}` holds rows {whose}", self.table.name())).hint(format!(
            "set another warehouse.schema, or replace them by those of {} with `lake load-warehouse --full`",
            self.root
        )))
    }

    /// Refuses to put older rows over newer ones, which is what a lake that was put back would do.
    fn not_ahead(&self, before: &Entry) -> Result<()> {
        let entry = self.entry;
        let version_ahead = before.table_id == entry.table_id && before.delta_version > entry.delta_version;
        if before.lake_id != entry.lake_id || (before.run <= entry.run && !version_ahead) {
            return Ok(());
        }
        let Entry { table, delta_version, run, .. } = before;
        Err(Error::config(format!(
            "the warehouse is ahead of the lake: `{table}` holds version {delta_version} of run {run}, the newest run \
             is {} with version {}",
            entry.run, entry.delta_version
        ))
        .hint(
            "was the lake put back to an earlier state? `lake load-warehouse --full` puts the warehouse back to what the \
             lake has now",
        ))
    }
}

/// Why the ledger's row does not tell what the table in the warehouse holds, by the same columns and contract.
fn apart(entry: &Entry, before: &Entry, standing: Standing) -> Option<&'static str> {
    match standing {
        _ if before.lake_id != entry.lake_id => Some("another lake's rows were loaded"),
        Standing::Absent => Some("it is no longer in the warehouse"),
        Standing::Empty if before.rows > 0 => Some("it was emptied in the warehouse"),
        _ if before.table_id != entry.table_id => Some("it was made anew in the lake"),
        _ if before.columns != entry.columns => Some("its columns have changed"),
        _ if before.schema_hash != entry.schema_hash => Some("its contract has changed"),
        _ => None,
    }
}

fn other_commit(version: i64) -> String {
    format!("version {version} is not, or no longer known to be, the one that was loaded")
}

/// What tells the commit that made a version from one that would make it again in a lake that was put back. None when
/// the log no longer holds it, or somebody else wrote it: two such are not the same.
pub async fn commit_id(table: &Table, version: i64) -> Result<Option<String>> {
    let mut commits = pin!(table.commits(version..=version));
    let found = commits.try_next().await?;
    let id = found.as_ref().and_then(|commit| commit.info.get("commit_id")).and_then(|id| id.as_str());
    Ok(id.map(str::to_string))
}

/// Why rows of the table cannot be told apart in the lake, or staged with one more column.
fn incomparable(target: &Target) -> Option<&'static str> {
    if target.columns.len() >= MOST_POSTGRES_COLUMNS {
        return Some("it has as many columns as there can be");
    }
    let maps = target.columns.iter().any(|column| has_map(&column.data_type));
    maps.then_some("rows with a map are not compared in the lake")
}

fn has_map(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map(_, _) => true,
        DataType::List(item) => has_map(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_map(field.data_type())),
        _ => false,
    }
}
