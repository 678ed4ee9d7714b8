//! A table that is written anew in wider types, ended at every step, losing the reply of its commit, told to stop, and
//! beside another writer: each record is in the table exactly once, and the types are the wider ones in the end.

use crate::support::Project;
use crate::support::bronze::{ON, ONCE, await_all, check};
use crate::support::running::Running;
use crate::support::seed::{Random, seeds};
use crate::support::services::any_kafka;
use crate::support::workload::Workload;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// The step, and how often a run comes by it.
const STEPS: &[(&str, u64)] = &[
    ("table.before_file", 2),
    ("table.after_file", 2),
    ("bronze.before_widening", 1),
    ("table.before_entry", 1),
    ("table.after_entry", 1),
    ("bronze.after_widening", 1),
];

/// The type of a whole number, then that of a broken one.
fn declare(workload: &Workload, project: &Project, types: [&str; 2]) {
    let [n, amount] = types;
    let contract = format!(
        "sources:\n  - name: bronze\n    tables:\n      - name: events\n        meta: {{ topic: {}, drift: add }}\n        \
         columns:\n          - {{ name: n, data_type: {n} }}\n          - {{ name: word, data_type: text }}\n          \
         - {{ name: amount, data_type: \"{amount}\" }}\n",
        workload.topic
    );
    project.write("models/sources.yml", contract);
}

/// Everything read in narrow types, and more to be read in wider ones.
fn narrow(workload: &Workload) -> Project {
    let project = workload.project(500);
    declare(workload, &project, ["integer", "decimal(12,6)"]);
    project.lake(ONCE).ok();
    declare(workload, &project, WIDE);
    project
}

const WIDE: [&str; 2] = ["bigint", "decimal(20,8)"];

fn check_wide(workload: &Workload, project: &Project, what: &str) {
    check(workload, project, what);
    let types = "select distinct arrow_typeof(n) as n, arrow_typeof(amount) as amount from bronze.events";
    let types = project.lake(&["query", "--output", "csv", types]).ok().stdout;
    assert_eq!(types, "n,amount\nInt64,\"Decimal128(20, 8)\"\n", "{what}");
}

#[test]
fn a_table_ended_at_any_step_is_written_anew_once() {
    let kafka = any_kafka();
    for seed in seeds("widening ended at every step", 2) {
        let mut random = Random::new(seed);
        let workload = Workload::new(&kafka.brokers, seed, 4, 3_000);
        for (step, passes) in STEPS {
            let point = format!("{step}=abort@{}", 1 + random.below(*passes));
            let project = narrow(&workload);
            let crashed = project.lake_with_failpoint(&point, ONCE);
            assert_eq!(crashed.code, -1, "seed {seed}: {point} was not reached:\n{}", crashed.stderr);
            project.lake(ONCE).ok();
            check_wide(&workload, &project, &format!("seed {seed}, after {point}"));
        }
        let project = narrow(&workload);
        project.lake_with_failpoint("bronze.commit=lost-reply", ONCE).ok();
        check_wide(&workload, &project, &format!("seed {seed}, after a lost reply"));
        project.lake(&["verify", "-q"]).ok();
    }
}

#[test]
fn rows_that_came_in_meanwhile_are_written_anew_too() {
    let kafka = any_kafka();
    let mut workload = Workload::new(&kafka.brokers, 29, 2, 2_000);
    let project = narrow(&workload);
    let mut wide = Running::start(&project, ON, &[("LAKE_FAILPOINT", "bronze.before_widening=stop")]);
    wide.await_stop(PATIENCE);
    workload.send(500);
    declare(&workload, &project, ["integer", "decimal(12,6)"]);
    project.lake(ONCE).ok();
    declare(&workload, &project, WIDE);
    wide.signal("CONT");
    workload.send(500);
    await_all(&workload, &project, std::slice::from_mut(&mut wide));
    let (code, log) = wide.end();
    assert_eq!(code, 143, "{log}");
    assert!(log.contains("was written anew"), "{log}");
    check_wide(&workload, &project, "beside another writer");
    project.lake(&["verify", "-q"]).ok();
}

#[test]
fn a_stop_ends_it_and_leaves_the_table_as_it_was() {
    let kafka = any_kafka();
    let workload = Workload::new(&kafka.brokers, 31, 2, 2_000);
    let project = narrow(&workload);
    let mut wide = Running::start(&project, ON, &[("LAKE_FAILPOINT", "table.before_file=stop")]);
    wide.await_stop(PATIENCE);
    wide.signal("TERM");
    wide.signal("CONT");
    let (code, log) = wide.wait();
    assert_eq!(code, 143, "{log}");
    check(&workload, &project, "stopped");
    assert!(!log.contains("written anew"), "{log}");
    project.lake(ONCE).ok();
    check_wide(&workload, &project, "after a stop");
}
