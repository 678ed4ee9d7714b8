//! Several `lake bronze` of one table: one that was stopped and wakes up behind its successor, and several at once of
//! which one is killed every other second.

use crate::support::Project;
use crate::support::bronze::{ON, ONCE, await_all, check};
use crate::support::running::Running;
use crate::support::seed::{Random, seeds};
use crate::support::services::any_kafka;
use crate::support::workload::Workload;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// The step where it stops, and the first and last time that it comes by.
const STOPS: &[(&str, u64, u64)] = &[
    ("bronze.after_poll", 1, 4),
    ("table.before_file", 1, 8),
    ("bronze.before_commit", 1, 4),
    ("table.before_entry", 1, 5),
    ("table.after_entry", 1, 5),
];

#[test]
fn a_process_that_wakes_up_behind_its_successor_writes_nothing_twice() {
    let kafka = any_kafka();
    for seed in seeds("wakes up behind its successor", 1) {
        let mut random = Random::new(seed);
        for (step, first, last) in STOPS {
            let point = format!("{step}=stop@{}", first + random.below(last - first + 1));
            let what = format!("seed {seed}, {point}");
            let mut workload = Workload::new(&kafka.brokers, random.next(), 4, 2_000);
            let project = workload.project(300);
            let mut zombie = Running::start(&project, ON, &[("LAKE_FAILPOINT", &point)]);
            zombie.await_stop(PATIENCE);
            project.lake(ONCE).ok();
            workload.send(500);
            project.lake(ONCE).ok();
            check(&workload, &project, &format!("{what}, while it sleeps"));
            zombie.signal("CONT");
            workload.send(500);
            await_all(&workload, &project, std::slice::from_mut(&mut zombie));
            let (code, log) = zombie.end();
            assert_eq!(code, 143, "{what}:\n{log}");
            check(&workload, &project, &what);
        }
    }
}

#[test]
fn processes_that_share_a_table_and_are_killed_lose_and_double_nothing() {
    let seconds = std::env::var("LAKE_FAULT_SECONDS").ok().map_or(8, |text| text.parse().unwrap());
    let kafka = any_kafka();
    for seed in seeds("killed beside each other", 1) {
        for processes in [2, 4] {
            let mut workload = Workload::new(&kafka.brokers, seed, 4, 1_000);
            let project = workload.project(500);
            let what = format!("seed {seed}, {processes} processes");
            under_fire(&mut workload, &project, processes, Duration::from_secs(seconds), &mut Random::new(seed));
            check(&workload, &project, &what);
        }
    }
}

/// Keeps that many running while records come in, and kills one every other second.
fn under_fire(workload: &mut Workload, project: &Project, processes: usize, time: Duration, random: &mut Random) {
    let start = || Running::start(project, ON, &[]);
    let mut running: Vec<Running> = (0..processes).map(|_| start()).collect();
    let (end, mut next_kill) = (Instant::now() + time, Instant::now() + Duration::from_millis(1_500));
    let producer = workload.producer();
    while Instant::now() < end {
        workload.send_by(&producer, 100 + random.below(300));
        std::thread::sleep(Duration::from_millis(50));
        for process in &mut running {
            assert!(!process.has_ended(), "it ended by itself:\n{}", process.log());
        }
        if Instant::now() > next_kill {
            running[random.below(processes as u64) as usize] = start();
            next_kill = Instant::now() + Duration::from_millis(700 + random.below(1_600));
        }
    }
    await_all(workload, project, &mut running);
    for process in running {
        let (code, log) = process.end();
        assert_eq!(code, 143, "{log}");
    }
    project.lake(ONCE).ok();
}
