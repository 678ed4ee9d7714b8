//! A `lake bronze` under test: how it is run, and what its table has to hold.

use super::Project;
use super::oracle::{self, Fate, Place, assert_exactly_once};
use super::running::Running;
use super::workload::Workload;
use std::time::{Duration, Instant};

/// To the end of the topic.
pub const ONCE: &[&str] = &["bronze", "--once", "-q"];
/// Until it is told to stop.
pub const ON: &[&str] = &["bronze", "--interval", "200ms"];
/// All that is in quarantine, after [`Workload::mend`].
pub const REDRIVE: &[&str] = &["quarantine", "redrive", "events", "-q"];

const PATIENCE: Duration = Duration::from_secs(40);

/// What the table of [`Workload::project`] holds.
pub fn table(project: &Project) -> Vec<(Place, Fate)> {
    oracle::local_table(&project.path().join(".lake/tables/bronze/events"))
}

/// The table holds what the topic holds now.
pub fn check(workload: &Workload, project: &Project, what: &str) {
    assert_exactly_once(&oracle::topic(&workload.brokers, &workload.topic), &table(project), what);
}

/// The table holds what the topic holds now, as the mended stream reads it.
pub fn check_mended(workload: &Workload, project: &Project, what: &str) {
    assert_exactly_once(&oracle::mended_topic(&workload.brokers, &workload.topic), &table(project), what);
}

/// Waits until the table holds as many records as the topic can give, with all of these going on.
pub fn await_all(workload: &Workload, project: &Project, running: &mut [Running]) {
    let expected = oracle::topic(&workload.brokers, &workload.topic);
    let wanted = expected.values().filter(|fate| **fate != Fate::Tombstone).count();
    let log = project.path().join(".lake/tables/bronze/events/_delta_log/00000000000000000000.json");
    let held = || if log.exists() { table(project).len() } else { 0 };
    let deadline = Instant::now() + PATIENCE;
    while held() < wanted {
        for process in running.iter_mut() {
            assert!(!process.has_ended(), "it ended by itself:\n{}", process.log());
        }
        let logs = || running.iter().map(Running::log).collect::<String>();
        assert!(Instant::now() < deadline, "{} of {wanted} records came\n{}", held(), logs());
        std::thread::sleep(Duration::from_millis(100));
    }
}
