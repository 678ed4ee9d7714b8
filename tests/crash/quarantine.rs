//! `lake quarantine redrive` and `drop` ended at every step, losing the reply of their commit, two at once and beside
//! `lake bronze` and `lake maintain`: each record is in the table exactly once, good or quarantined.

use crate::support::Project;
use crate::support::bronze::{ON, ONCE, REDRIVE, await_all, check_mended, table};
use crate::support::oracle::Fate;
use crate::support::running::Running;
use crate::support::seed::{Random, seeds};
use crate::support::services::any_kafka;
use crate::support::workload::Workload;
use std::time::Duration;

const RECORDS: u64 = 3_000;
const BATCH: u64 = 500;
const DROP: &[&str] = &["quarantine", "drop", "events", "--all", "--yes", "-q"];
const PATIENCE: Duration = Duration::from_secs(30);

/// The step, and how often a run comes by it.
const STEPS: &[(&str, u64)] = &[
    ("table.before_file", 2),
    ("table.after_file", 2),
    ("redrive.before_commit", 1),
    ("table.before_entry", 1),
    ("table.after_entry", 1),
    ("redrive.after_commit", 1),
];

/// Everything read, a part of it in quarantine, and the stream mended.
fn mended(workload: &Workload) -> Project {
    let project = workload.project(BATCH);
    project.lake(ONCE).ok();
    workload.mend(&project);
    project
}

fn rejects(project: &Project) -> usize {
    table(project).iter().filter(|(_, fate)| matches!(fate, Fate::Reject(_))).count()
}

#[test]
fn a_redrive_ended_at_any_step_moves_each_record_once() {
    let kafka = any_kafka();
    for seed in seeds("redrive ended at every step", 2) {
        let mut random = Random::new(seed);
        let workload = Workload::new(&kafka.brokers, seed, 4, RECORDS);
        for (step, passes) in STEPS {
            let point = format!("{step}=abort@{}", 1 + random.below(*passes));
            let project = mended(&workload);
            let before = rejects(&project);
            let crashed = project.lake_with_failpoint(&point, REDRIVE);
            assert_eq!(crashed.code, -1, "seed {seed}: {point} was not reached:\n{}", crashed.stderr);
            project.lake(REDRIVE).ok();
            assert!(rejects(&project) < before, "seed {seed}: nothing was there to be moved");
            check_mended(&workload, &project, &format!("seed {seed}, after {point}"));
        }
        let project = mended(&workload);
        project.lake_with_failpoint("redrive.commit=lost-reply", REDRIVE).ok();
        check_mended(&workload, &project, &format!("seed {seed}, after a lost reply"));
        project.lake(&["verify", "-q"]).ok();
    }
}

#[test]
fn a_drop_ended_at_any_step_deletes_once() {
    let kafka = any_kafka();
    let workload = Workload::new(&kafka.brokers, 5, 2, 300);
    for step in ["drop.before_commit", "table.after_entry", "drop.after_commit"] {
        let project = workload.project(100);
        project.lake(ONCE).ok();
        let (rows, bad) = (table(&project).len(), rejects(&project));
        let crashed = project.lake_with_failpoint(&format!("{step}=abort"), DROP);
        assert_eq!(crashed.code, -1, "{step} was not reached:\n{}", crashed.stderr);
        project.lake(DROP).ok();
        assert_eq!((table(&project).len(), rejects(&project)), (rows - bad, 0), "{step}");
        let status = project.lake(&["status", "--output", "json"]).ok().json();
        assert_eq!(status["streams"][0]["rejects"], 0);
        project.lake(&["verify", "-q"]).ok();
    }
}

#[test]
fn a_redrive_that_wakes_up_behind_another_or_behind_maintenance_looks_again() {
    let kafka = any_kafka();
    let mut workload = Workload::new(&kafka.brokers, 17, 2, RECORDS);
    let interruptions: [&[&str]; 2] = [REDRIVE, &["maintain", "-q"]];
    for step in ["redrive.before_commit", "table.before_entry"] {
        for meanwhile in interruptions {
            let project = mended(&workload);
            let late = ["quarantine", "redrive", "events"];
            let mut late = Running::start(&project, &late, &[("LAKE_FAILPOINT", &format!("{step}=stop"))]);
            late.await_stop(PATIENCE);
            project.lake(meanwhile).ok();
            workload.send(200);
            project.lake(ONCE).ok();
            late.signal("CONT");
            let (code, log) = late.wait();
            assert_eq!(code, 0, "{step}, {meanwhile:?}:\n{log}");
            assert!(log.contains("looking again"), "{step}, {meanwhile:?}:\n{log}");
            check_mended(&workload, &project, &format!("{step}, {meanwhile:?}"));
        }
    }
}

#[test]
fn redriving_goes_on_beside_bronze_and_maintenance() {
    let kafka = any_kafka();
    let mut workload = Workload::new(&kafka.brokers, 23, 4, RECORDS);
    let project = mended(&workload);
    let mut running = Running::start(&project, ON, &[("LAKE__MAINTAIN__INTERVAL", "1s")]);
    for _ in 0..4 {
        workload.send(300);
        let mut both = [REDRIVE, REDRIVE].map(|arguments| Running::start(&project, arguments, &[]));
        workload.send(300);
        for redrive in &mut both {
            let (code, log) = redrive.wait();
            assert_eq!(code, 0, "{log}");
        }
    }
    await_all(&workload, &project, std::slice::from_mut(&mut running));
    let (code, log) = running.end();
    assert_eq!(code, 143, "{log}");
    check_mended(&workload, &project, "beside bronze and maintenance");
    project.lake(&["verify", "-q"]).ok();
}
