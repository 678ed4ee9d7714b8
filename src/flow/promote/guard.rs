//! The tests that guard a commit, on the table as the commit would leave it.

use super::candidate::Candidate;
use super::plan::Step;
use super::turn::Turn;
use crate::error::Result;
use crate::flow::catalog;
use crate::flow::checks::{self, Bench, TestReport, TestStatus};
use crate::ident::TableName;
use crate::model::rejected_of;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

impl<'a> Turn<'a> {
    /// Tests a model that is up to date but in no manifest, as it stands. Returns the names of the failed.
    pub(super) async fn test_again(&mut self, step: &Step<'_>) -> Result<Vec<String>> {
        self.test(step, None, None).await.map(|(_, failed)| failed)
    }

    /// Runs every check that guards this model, on the candidate if there is one, all other tables as pinned.
    /// Returns the statuses for the commit's record and the names of the failed.
    pub(super) async fn test(
        &mut self,
        step: &Step<'_>,
        candidate: Option<Candidate<'_>>,
        rejected: Option<&BTreeMap<String, u64>>,
    ) -> Result<(Map<String, Value>, Vec<String>)> {
        let replaced = candidate.as_ref().map(|_| &step.model.table);
        let bench = self.bench_for(step, candidate.as_ref()).await?;
        let standing = match &candidate {
            Some(candidate) => candidate.tests_that_stand(step).await?,
            None => BTreeSet::new(),
        };
        let mut statuses = Map::new();
        for check in &step.guards {
            self.stop.check()?;
            let tables = check.tables();
            let others = tables.iter().filter(|table| Some(*table) != replaced);
            let mut report = match checks::missing(others, &self.pins) {
                Some(why) => TestReport::skipped(check, why),
                None => self.stop.before(checks::run(&bench, check, standing.contains(&check.name))).await?,
            };
            if let Some(rows) = rejected.and_then(|rejected| rejected.get(&check.name)) {
                report.set_aside(check, *rows, &rejected_of(&check.table)?);
            }
            self.note_warning(&report);
            statuses.insert(report.name.clone(), serde_json::to_value(report.status).unwrap_or_default());
            self.tests.push(report);
        }
        let names: Vec<String> = step.guards.iter().map(|check| check.name.clone()).collect();
        Ok((statuses, self.tests_of_status(TestStatus::Fail, &names)))
    }

    /// The tables that the model's tests read, the candidate in place of its own.
    async fn bench_for(&self, step: &Step<'_>, candidate: Option<&Candidate<'_>>) -> Result<Bench<'a>> {
        let mut bench = self.bench();
        let own = &step.model.table;
        let replaced = candidate.map(|_| own);
        let tables: BTreeSet<TableName> = step.guards.iter().flat_map(|check| check.tables()).collect();
        for table in tables.iter().filter(|table| Some(*table) != replaced).filter_map(|table| self.pins.get(table)) {
            catalog::register(&bench.session, table).await?;
        }
        let provable = checks::provable_tables(&step.guards);
        for table in provable.iter().filter(|table| Some(**table) != replaced).filter_map(|table| self.pins.get(*table))
        {
            bench.known.insert(table.name(), table.schema(), &catalog::facts(table)?);
        }
        if let Some(candidate) = candidate {
            candidate.register(&bench.session, own).await?;
            bench.known.insert(own, candidate.staged.schema(), &candidate.facts()?);
        }
        Ok(bench)
    }
}
