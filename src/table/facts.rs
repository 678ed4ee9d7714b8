//! What the log says of the rows in each file of a table, without reading one.

use super::Table;
use super::commit::Mode;
use super::staged::Staged;
use crate::error::Result;
use deltalake::kernel::LogicalFileView;
use std::collections::HashMap;

/// Set when names in the log are not those of the columns.
const COLUMN_MAPPING: &str = "delta.columnMapping.mode";

/// Of one file.
#[derive(Debug, Clone, Default)]
pub struct FileFacts {
    /// Delta's statistics, as JSON. None when there are none, and when they do not speak of just the rows that are
    /// read: some are marked as deleted, or columns go by other names.
    pub statistics: Option<String>,
    /// By partition column, as Delta writes them.
    pub partition: HashMap<String, Option<String>>,
}

impl Table {
    /// Of the files of this version.
    pub fn facts(&self) -> Result<Vec<FileFacts>> {
        let telling = self.tells_of_columns();
        Ok(self.standing()?.map(|file| of_standing(&file, telling)).collect())
    }

    /// Of the files the table would have after a commit of these.
    pub fn facts_after(&self, mode: Mode, staged: &Staged) -> Result<Vec<FileFacts>> {
        let telling = self.tells_of_columns();
        let files = staged.files();
        let stays = |file: &LogicalFileView| match (&files.rewrite, mode) {
            (_, Mode::Replace) => false,
            (Some(rewrite), _) => !rewrite.paths.contains(file.path().as_ref()),
            (None, _) => true,
        };
        let mut facts: Vec<FileFacts> =
            self.standing()?.filter(stays).map(|file| of_standing(&file, telling)).collect();
        facts.extend(
            files
                .adds
                .iter()
                .map(|add| FileFacts { statistics: add.stats.clone(), partition: add.partition_values.clone() }),
        );
        Ok(facts)
    }

    /// Whether the log and the files name columns as the table does.
    pub(super) fn tells_of_columns(&self) -> bool {
        self.state.metadata().configuration().get(COLUMN_MAPPING).is_none_or(|mode| mode == "none")
    }
}

fn of_standing(file: &LogicalFileView, telling: bool) -> FileFacts {
    let whole = telling && file.deletion_vector_descriptor().is_none();
    FileFacts { statistics: file.stats().filter(|_| whole), partition: file.partition_values_map() }
}
