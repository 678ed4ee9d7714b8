//! Processes that share the partitions of one table: killed one after the other, their shares changed while they
//! run, beside `lake maintain`, and while nobody has declared the columns.

use crate::support::Project;
use crate::support::bronze::{ONCE, await_all, check, table};
use crate::support::oracle::{self, assert_exactly_once};
use crate::support::running::Running;
use crate::support::seed::{Random, seeds};
use crate::support::services::any_kafka;
use crate::support::workload::{Record, Workload, send};
use rdkafka::producer::Producer;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

fn start(project: &Project, number: u64, of: u64) -> Running {
    Running::start(project, &["bronze", "--interval", "200ms", "--share", &format!("{number}/{of}")], &[])
}

fn start_all(project: &Project, of: u64) -> Vec<Running> {
    (1..=of).map(|number| start(project, number, of)).collect()
}

/// Kills one a second or so, and twice makes the shares others: those that follow run beside those before them.
fn under_fire(workload: &mut Workload, project: &Project, time: Duration, random: &mut Random) -> Vec<Running> {
    let (began, mut next_kill, producer) = (Instant::now(), Instant::now() + time / 8, workload.producer());
    let (mut running, mut of) = (start_all(project, 2), 2);
    while began.elapsed() < time {
        workload.send_by(&producer, 100 + random.below(300));
        std::thread::sleep(Duration::from_millis(50));
        for process in &mut running {
            assert!(!process.has_ended(), "it ended by itself:\n{}", process.log());
        }
        if Instant::now() > next_kill {
            let number = random.below(of);
            running[number as usize] = start(project, number + 1, of);
            next_kill = Instant::now() + Duration::from_millis(700 + random.below(1_600));
        }
        if began.elapsed() > time * (of as u32 - 1) / 3 && of < 4 {
            of += 1;
            let others = start_all(project, of);
            workload.send_by(&producer, 500);
            std::thread::sleep(Duration::from_millis(500));
            running = others;
        }
    }
    running
}

#[test]
fn sharers_that_are_killed_and_change_their_shares_lose_and_double_nothing() {
    let seconds = std::env::var("LAKE_FAULT_SECONDS").ok().map_or(9, |text| text.parse().unwrap());
    let kafka = any_kafka();
    for seed in seeds("killed while they share", 1) {
        let mut workload = Workload::new(&kafka.brokers, seed, 8, 1_000);
        let project = workload.project(500);
        let mut random = Random::new(seed);
        let mut running = under_fire(&mut workload, &project, Duration::from_secs(seconds), &mut random);
        await_all(&workload, &project, &mut running);
        for process in running {
            let (code, log) = process.end();
            assert_eq!(code, 143, "{log}");
        }
        project.lake(ONCE).ok();
        check(&workload, &project, &format!("seed {seed}"));
        project.lake(&["verify", "-q"]).ok();
    }
}

#[test]
fn a_share_ends_at_its_own_partitions_and_begins_where_the_table_does() {
    let kafka = any_kafka();
    let mut workload = Workload::new(&kafka.brokers, 31, 4, 400);
    let project = workload.project(100);
    let before = oracle::topic(&workload.brokers, &workload.topic);
    let run = |share: &str, more: &[&str]| {
        let arguments = [&["bronze", "--once", "-q", "--output", "json", "--share", share], more].concat();
        project.lake(&arguments).ok().json()["tables"][0].clone()
    };
    let first = run("1/2", &["--start", "latest"]);
    assert_eq!((first["rows"].as_u64(), first["positions"].as_object().map(|held| held.len())), (Some(0), Some(2)));
    workload.send(300);
    // The start was stored for the other share as well: it skips what came before and nothing that came behind it.
    for share in ["2/2", "1/2"] {
        assert!(run(share, &[])["rows"].as_u64() > Some(0));
    }
    let mut expected = oracle::topic(&workload.brokers, &workload.topic);
    expected.retain(|place, _| !before.contains_key(place));
    assert_exactly_once(&expected, &table(&project), "both shares from the end on");
    let status = project.lake(&["status", "-q", "--output", "json"]).ok().json();
    assert_eq!(status["streams"][0]["partitions"].as_array().map(Vec::len), Some(4));
    let refused = project.lake(&["bronze", "--once", "--share", "3/2"]).fails_with(78);
    assert!(refused.stderr.contains("--share") && refused.stderr.contains("1/3, the first of three"), "{refused:?}");
}

#[test]
fn four_writers_of_fifty_commits_beside_compaction_lose_nothing() {
    const COMMITS: u64 = 50;
    const BATCH: u64 = 40;
    let kafka = any_kafka();
    let workload = Workload::new(&kafka.brokers, 32, 8, 4 * (COMMITS + 5) * BATCH);
    let project = workload.project(BATCH);
    let write = |number: u64| {
        let share = format!("{number}/4");
        project.lake(&["bronze", "--once", "-q", "--output", "json", "--share", &share]).ok().json()
    };
    let mut merged = 0;
    let commits: Vec<u64> = std::thread::scope(|scope| {
        let writers: Vec<_> = (1..=4).map(|number| scope.spawn(move || write(number))).collect();
        while writers.iter().any(|writer| !writer.is_finished()) {
            std::thread::sleep(Duration::from_millis(300));
            if project.path().join(".lake/tables/bronze/events").exists() {
                let report = project.lake(&["maintain", "-q", "--output", "json"]).ok().json();
                merged += report["tables"][0]["merged_files"].as_u64().unwrap();
            }
        }
        let reports = writers.into_iter().map(|writer| writer.join().unwrap());
        reports.map(|report| report["tables"][0]["commits"].as_u64().unwrap()).collect()
    });
    assert!(commits.iter().all(|commits| *commits >= COMMITS) && merged > 100, "{commits:?}, {merged} files merged");
    check(&workload, &project, "4 writers beside compaction");
    project.lake(&["verify", "-q"]).ok();
}

#[test]
fn sharers_that_both_find_the_columns_take_those_of_the_first() {
    let kafka = any_kafka();
    let workload = Workload::new(&kafka.brokers, 33, 2, 0);
    let producer = workload.producer();
    for number in 0..2 {
        // As one of the two shows it a whole number, as the other one a fraction.
        let payload = Some(format!(r#"{{"n":{}}}"#, ["1", "1.5"][number as usize]).into_bytes());
        (0..10).for_each(|_| send(&producer, &workload.topic, number, &Record { key: None, payload: payload.clone() }));
    }
    producer.flush(PATIENCE).unwrap();
    let project = workload.project(100);
    let contract = project.read("models/sources.yml");
    project.write("models/sources.yml", contract.split("        columns:").next().unwrap());
    let stopped = [("LAKE_FAILPOINT", "bronze.before_commit=stop")];
    let mut first = Running::start(&project, &["bronze", "--once", "--share", "1/2"], &stopped);
    first.await_stop(PATIENCE);
    project.lake(&["bronze", "--once", "-q", "--share", "2/2"]).ok();
    first.signal("CONT");
    let (code, log) = first.wait();
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("another writer of `bronze.events` was first"), "{log}");
    let sql = "select count(n) as n, (select count(*) from bronze.events__quarantine) as q from bronze.events";
    let held = project.lake(&["query", "-q", "--output", "csv", sql]).ok().stdout;
    assert!(["n,q\n20,0\n", "n,q\n10,10\n"].contains(&held.as_str()), "{held}");
    project.lake(&["verify", "-q"]).ok();
}
