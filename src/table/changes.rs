//! What came into a table and what left it between two of its versions, by its log.
//!
//! Answers in files: those added since and those taken out since, as far as their rows changed. Files that were merely
//! merged hold the same rows and are neither. Says so when the log, the store or the columns no longer allow an answer;
//! never guesses. What a change of rows means for those who read them is decided by `flow`.

use super::exchange::Picked;
use super::failure::failed;
use super::staged::{FileTable, location};
use super::{Provider, Table, log};
use crate::error::Result;
use deltalake::kernel::{Add, Remove};
use object_store::ObjectStoreExt;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// What happened to a table since a version.
pub enum Since {
    /// Files whose rows came in, and files whose rows left; a row that changed is in both.
    Files { added: Picked, removed: Picked },
    /// Why it cannot be told, as the end of a sentence.
    Unknown(String),
}

impl Table {
    /// What changed after `version`, this table's own version included. Files whose partition column holds the value
    /// of `aside` do not count.
    pub async fn since(&self, version: i64, aside: Option<(&str, &str)>) -> Result<Since> {
        let unknown = |why: String| Ok(Since::Unknown(why));
        let name = self.name();
        if !self.tells_of_columns() {
            return unknown(format!("`{name}` maps its columns to other names"));
        }
        let (mut added, mut removed) = (BTreeMap::new(), BTreeMap::new());
        let mut columns_changed = false;
        for at in version + 1..=self.version() {
            let Some(files) = log::files(self.log.as_ref(), &name.to_string(), at as u64).await? else {
                return unknown(format!("the log of `{name}` no longer tells what version {at} brought"));
            };
            columns_changed |= files.changes_columns;
            let changed = |values: Option<&_>| !is_aside(values, aside);
            for add in files.added.into_iter().filter(|add| changed(Some(&add.partition_values))) {
                if add.deletion_vector.is_some() {
                    return unknown(format!("version {at} of `{name}` marks rows as deleted"));
                }
                added.insert(add.path.clone(), add);
            }
            for remove in files.removed.into_iter().filter(|remove| changed(remove.partition_values.as_ref())) {
                if added.remove(&remove.path).is_none() {
                    let Some(file) = readable(remove) else {
                        return unknown(format!("version {at} of `{name}` does not say which rows it took out"));
                    };
                    removed.insert(file.path.clone(), file);
                }
            }
        }
        if columns_changed && let Some(why) = self.retyped_since(version).await? {
            return unknown(why);
        }
        let (added, removed) = (by_size(added), by_size(removed));
        if let Some(missing) = self.first_missing(added.iter().chain(&removed)).await? {
            return unknown(format!("file `{missing}` of `{name}` was cleaned away"));
        }
        Ok(Since::Files { added: Picked { adds: added, rows: None }, removed: Picked { adds: removed, rows: None } })
    }

    /// A column that is gone or of another type than it was at `version`; new ones are empty in all older rows.
    async fn retyped_since(&self, version: i64) -> Result<Option<String>> {
        let now = self.schema();
        let Ok(before) = self.at(version).await else {
            return Ok(Some(format!("version {version} of `{}` was cleaned away", self.name())));
        };
        let before = before.schema();
        let retyped = before
            .fields()
            .iter()
            .find(|old| now.column_with_name(old.name()).is_none_or(|(_, field)| field.data_type() != old.data_type()));
        Ok(retyped.map(|field| format!("column `{}` of `{}` is no longer what it was", field.name(), self.name())))
    }

    /// The first of these files that is neither in this version nor in the store.
    async fn first_missing<'a>(&self, files: impl Iterator<Item = &'a Add>) -> Result<Option<String>> {
        let standing: HashSet<String> = self.standing()?.map(|file| file.path().into_owned()).collect();
        let store = self.log.object_store(None);
        for add in files.filter(|add| !standing.contains(&add.path)) {
            match store.head(&location(add)?).await {
                Ok(_) => {}
                Err(object_store::Error::NotFound { .. }) => return Ok(Some(add.path.clone())),
                Err(error) => return Err(failed(error, format!("look for a file of `{}`", self.name()))),
            }
        }
        Ok(None)
    }

    /// The rows of these files alone, for queries, in this version's columns.
    pub fn provider_of(&self, picked: &Picked) -> Result<Provider> {
        FileTable::new(&self.schema(), self.partition_by(), &picked.adds, &self.log)
            .map(|table| Arc::new(table) as Provider)
    }
}

/// A file and the one that took its place are about as large: in this order their rows meet early.
fn by_size(files: BTreeMap<String, Add>) -> Vec<Add> {
    let mut files: Vec<Add> = files.into_values().collect();
    files.sort_by_key(|file| file.size);
    files
}

fn is_aside(values: Option<&std::collections::HashMap<String, Option<String>>>, aside: Option<(&str, &str)>) -> bool {
    let (Some(values), Some((column, value))) = (values, aside) else { return false };
    values.get(column).and_then(Option::as_deref) == Some(value)
}

/// What reading the rows of a file that left takes, when its writer left that behind.
fn readable(remove: Remove) -> Option<Add> {
    if remove.deletion_vector.is_some() {
        return None;
    }
    let (partition_values, size) = (remove.partition_values?, remove.size?);
    Some(Add { path: remove.path, partition_values, size, ..Add::default() })
}
