//! Before a run builds anything: are the sources its models read as fresh as they are declared to be?
//!
//! One too old counts as a table that was not built: what reads it is blocked, because to publish it again would call
//! old news new. One that only warns is told.

use super::plan::Plan;
use super::run::Run;
use crate::error::Result;
use crate::flow::catalog;
use crate::flow::checks::{self, TestStatus};

impl Run<'_> {
    pub(super) async fn judge_sources(&mut self, plan: &Plan<'_>) -> Result<()> {
        let turn = self.turn(plan.freshness.iter().map(|check| &check.table));
        let bench = turn.bench();
        for check in &plan.freshness {
            let Some(table) = turn.pins.get(&check.table) else { continue };
            catalog::register(&bench.session, table).await?;
            let report = turn.stop.before(checks::run(&bench, check, false)).await?;
            if report.status == TestStatus::Fail {
                self.broken.insert(check.table.clone());
            }
            turn.note_warning(&report);
            self.of_sources.push(report);
        }
        Ok(())
    }
}
