//! `lake bronze` ended at every step between a poll and an acknowledged commit, then run to its end: the table
//! holds each record of the topic exactly once.

use crate::support::bronze::{ONCE, table};
use crate::support::oracle::{self, assert_exactly_once};
use crate::support::seed::{Random, seeds};
use crate::support::services::any_kafka;
use crate::support::workload::Workload;

const RECORDS: u64 = 100_000;
/// Makes some 25 commits, so that the log gets a checkpoint, which comes with each 20th.
const BATCH: u64 = 4_000;

/// The step, and how often a run comes by it at least.
const STEPS: &[(&str, u64)] = &[
    ("bronze.after_poll", 24),
    ("bronze.before_stage", 24),
    ("table.before_file", 48),
    ("table.after_file", 48),
    ("bronze.before_commit", 24),
    ("table.before_entry", 24),
    ("table.after_entry", 24),
    ("table.before_checkpoint", 1),
    ("table.after_checkpoint", 1),
    ("table.before_pointer", 1),
    ("table.after_pointer", 1),
    ("bronze.after_commit", 24),
];

#[test]
fn bronze_ended_at_any_step_goes_on_exactly_once() {
    let kafka = any_kafka();
    for seed in seeds("crash at every step", 2) {
        let mut random = Random::new(seed);
        let workload = Workload::new(&kafka.brokers, seed, 4, RECORDS);
        let expected = oracle::topic(&kafka.brokers, &workload.topic);
        assert_eq!(expected.len() as u64, RECORDS);
        for (step, passes) in STEPS {
            let point = format!("{step}=abort@{}", 1 + random.below(*passes));
            let project = workload.project(BATCH);
            let crashed = project.lake_with_failpoint(&point, ONCE);
            assert_eq!(crashed.code, -1, "seed {seed}: {point} was not reached:\n{}", crashed.stderr);
            project.lake(ONCE).ok();
            assert_exactly_once(&expected, &table(&project), &format!("seed {seed}, after {point}"));
        }
    }
}
