//! What of a model is compared with the last build: its statement, its contract, its text.

use super::reason::Reason;
use crate::check::{Check, Rule};
use crate::engine::{self, sql};
use crate::error::Result;
use crate::ident::TableName;
use crate::model::{Model, Project};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Tells whether a model's text or contract changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::flow) struct Hashes {
    pub sql: String,
    pub contract: String,
    /// Of the file as it is, comments and all; empty in a build that did not record it.
    pub text: String,
}

impl Hashes {
    /// What of the model is another now; layout and comments do not count.
    pub fn changed_to(&self, now: &Hashes) -> Option<Reason> {
        match (self.sql == now.sql, self.contract == now.contract) {
            (true, true) => None,
            (false, _) => Some(Reason::SqlChanged),
            (true, false) => Some(Reason::ContractChanged),
        }
    }

    pub fn only_layout_changed_to(&self, now: &Hashes) -> bool {
        !self.text.is_empty() && self.text != now.text
    }
}

/// Knows the checks of `sql/checks`, which belong to the contract of each table they read.
pub(in crate::flow) struct Hasher<'a> {
    singular: BTreeMap<TableName, Vec<&'a Check>>,
}

impl<'a> Hasher<'a> {
    pub fn of(project: &'a Project) -> Hasher<'a> {
        let mut singular: BTreeMap<TableName, Vec<&Check>> = BTreeMap::new();
        for check in &project.singular {
            for table in check.tables().into_iter().collect::<BTreeSet<_>>() {
                singular.entry(table).or_default().push(check);
            }
        }
        Hasher { singular }
    }

    /// One for each model.
    pub fn all(&self, models: &[&Model]) -> Result<Vec<Hashes>> {
        engine::on_deep_stack(|| models.iter().map(|model| self.hashes(model)).collect())
    }

    fn hashes(&self, model: &Model) -> Hashes {
        let singular = self.singular.get(&model.table).into_iter().flatten();
        let mut contract = Sha256::new();
        contract.update(format!("{:?}", model.materialization));
        for (word, columns) in [("partition_by", &model.partition_by), ("cluster_by", &model.cluster_by)] {
            if !columns.is_empty() {
                contract.update(format!("|{word} {columns:?}"));
            }
        }
        for column in &model.columns {
            contract.update(format!("|{} {:?}", column.name, column.data_type));
        }
        for check in model.checks.iter().chain(singular.copied()) {
            let text = match &check.rule {
                Rule::Singular { sql, .. } => check.fingerprint_of(&sql::fingerprint(sql)),
                _ => check.fingerprint(),
            };
            contract.update(format!("|{text}"));
        }
        Hashes {
            sql: model.fingerprint(),
            contract: short(contract),
            text: short(Sha256::new_with_prefix(model.origin.file.own_text())),
        }
    }
}

fn short(digest: Sha256) -> String {
    digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
