//! The line dbt ends a run with, for people and scripts that look for it.

use crate::flow::checks::{TestReport, TestStatus};
use crate::flow::promote::{ModelReport, ModelStatus};
use crate::flow::unit::UnitReport;
use std::fmt;

/// How many models and tests ended how.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Done {
    pass: usize,
    warn: usize,
    error: usize,
    /// Not begun, because something it needs had failed.
    skip: usize,
    /// There was nothing to do.
    no_op: usize,
}

impl Done {
    pub fn of(models: &[ModelReport], tests: &[TestReport], unit_tests: &[UnitReport]) -> Done {
        let mut done = Done::default();
        let is_idle = models.iter().all(|model| matches!(model.status, ModelStatus::Skipped | ModelStatus::View));
        for model in models {
            *match model.status {
                ModelStatus::View if is_idle => &mut done.no_op,
                ModelStatus::Built | ModelStatus::View => &mut done.pass,
                ModelStatus::Failed => &mut done.error,
                ModelStatus::Blocked => &mut done.skip,
                ModelStatus::Skipped => &mut done.no_op,
            } += 1;
        }
        let stands = |table: &String| models.iter().all(|model| model.table != *table || is_there(model));
        for test in tests {
            *match test.status {
                TestStatus::Pass => &mut done.pass,
                TestStatus::Warn => &mut done.warn,
                TestStatus::Fail => &mut done.error,
                TestStatus::Skipped if stands(&test.table) && !models.is_empty() => &mut done.no_op,
                TestStatus::Skipped => &mut done.skip,
            } += 1;
        }
        for test in unit_tests {
            *if test.passed { &mut done.pass } else { &mut done.error } += 1;
        }
        done
    }
}

fn is_there(model: &ModelReport) -> bool {
    matches!(model.status, ModelStatus::Built | ModelStatus::Skipped | ModelStatus::View)
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Done { pass, warn, error, skip, no_op } = self;
        write!(f, "Done. PASS={pass} WARN={warn} ERROR={error} SKIP={skip}")?;
        if *no_op > 0 {
            write!(f, " NO-OP={no_op}")?;
        }
        write!(f, " TOTAL={}", pass + warn + error + skip + no_op)
    }
}
