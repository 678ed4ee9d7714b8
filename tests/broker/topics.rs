//! Topics that are deleted, made again, cut off in front or given more partitions.

use super::says;
use crate::support::bronze::{ON, ONCE, await_all, check, table};
use crate::support::oracle;
use crate::support::running::Running;
use crate::support::services::real_kafka;
use crate::support::workload::Workload;
use lake::kafka::{KafkaConfig, admin};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::time::Duration;

const SEED: u64 = 11;

fn admin_of(workload: &Workload) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", &workload.brokers).create().unwrap()
}

fn options() -> AdminOptions {
    let patience = Some(Duration::from_secs(30));
    AdminOptions::new().request_timeout(patience).operation_timeout(patience)
}

fn wait<T>(answer: impl Future<Output = T>) -> T {
    futures::executor::block_on(answer)
}

pub fn delete(workload: &Workload) {
    let answers = wait(admin_of(workload).delete_topics(&[&workload.topic], &options())).unwrap();
    answers.into_iter().for_each(|answer| drop(answer.unwrap()));
}

/// A topic's metadata stays at hand for a moment after the topic is gone.
fn make_again(workload: &Workload) {
    let kafka = KafkaConfig { brokers: workload.brokers.clone(), ..KafkaConfig::default() };
    for _ in 0..100 {
        let consumer = lake::kafka::Consumer::new(&kafka).unwrap();
        if consumer.partitions(&workload.topic).unwrap().is_none() {
            admin::ensure_topic(&kafka, &workload.topic, workload.partitions as i32).unwrap();
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("the topic does not go away");
}

fn cut_off(workload: &Workload, before: i64) {
    let mut places = TopicPartitionList::new();
    for number in 0..workload.partitions as i32 {
        places.add_partition_offset(&workload.topic, number, Offset::Offset(before)).unwrap();
    }
    wait(admin_of(workload).delete_records(&places, &options())).unwrap();
}

#[test]
fn a_topic_made_again_and_shorter_is_named() {
    let Some(kafka) = real_kafka("a topic made again") else { return };
    let mut workload = Workload::new(&kafka, SEED, 2, 1_000);
    let project = workload.project(300);
    project.lake(ONCE).ok();
    delete(&workload);
    make_again(&workload);
    workload.send(100);
    let refused = project.lake(ONCE).fails_with(1);
    says(
        &refused.stderr,
        &["bronze.events", &workload.topic, "was deleted and made again", "move `bronze.events` away"],
    );
}

#[test]
fn a_topic_made_again_and_longer_is_named() {
    let Some(kafka) = real_kafka("a longer topic made again") else { return };
    let mut workload = Workload::new(&kafka, SEED, 2, 1_000);
    let project = workload.project(300);
    project.lake(ONCE).ok();
    workload.send(100);
    project.lake(ONCE).ok();
    delete(&workload);
    make_again(&workload);
    workload.send(3_000);
    let refused = project.lake(ONCE).fails_with(1);
    says(
        &refused.stderr,
        &[
            "bronze.events",
            &workload.topic,
            "another record now",
            "was deleted and made again",
            "move `bronze.events` away",
        ],
    );
}

#[test]
fn a_topic_that_is_gone_is_named() {
    let Some(kafka) = real_kafka("a deleted topic") else { return };
    let workload = Workload::new(&kafka, SEED, 2, 500);
    let project = workload.project(300);
    project.lake(ONCE).ok();
    delete(&workload);
    let refused = project.lake(ONCE).fails_with(1);
    says(&refused.stderr, &["bronze.events", &workload.topic, "does not exist"]);
}

#[test]
fn a_topic_deleted_while_it_is_read_ends_the_stream_by_name() {
    let Some(kafka) = real_kafka("a topic deleted under a reader") else { return };
    let workload = Workload::new(&kafka, SEED, 2, 500);
    let project = workload.project(100);
    let mut running = Running::start(&project, ON, &[]);
    await_all(&workload, &project, std::slice::from_mut(&mut running));
    delete(&workload);
    let (code, log) = running.wait();
    assert_eq!(code, 1, "{log}");
    says(&log, &[&workload.topic, "was deleted while it was read"]);
}

#[test]
fn a_topic_made_again_under_a_reader_is_named_before_anything_of_it_is_read() {
    let Some(kafka) = real_kafka("a topic made again under a reader") else { return };
    let mut workload = Workload::new(&kafka, SEED, 2, 500);
    let project = workload.project(100);
    let mut running = Running::start(&project, ON, &[]);
    await_all(&workload, &project, std::slice::from_mut(&mut running));
    delete(&workload);
    std::thread::sleep(Duration::from_millis(2_500));
    make_again(&workload);
    workload.send(3_000);
    let (code, log) = running.wait();
    assert_eq!(code, 1, "{log}");
    says(&log, &[&workload.topic, "was deleted while it was read"]);
    let refused = project.lake(ONCE).fails_with(1);
    says(&refused.stderr, &["bronze.events", &workload.topic, "was deleted and made again"]);
}

/// As soon as the broker lets it be made, which is well within the second in which a reader looks for its topics.
fn make_again_at_once(workload: &Workload) {
    let topic = NewTopic::new(&workload.topic, workload.partitions as i32, TopicReplication::Fixed(1));
    let admin = admin_of(workload);
    for _ in 0..300 {
        let made = wait(admin.create_topics([&topic], &options())).unwrap();
        if made.iter().all(Result::is_ok) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the topic cannot be made again");
}

#[test]
fn a_topic_made_again_at_once_under_a_reader_is_named_before_anything_of_it_is_read() {
    let Some(kafka) = real_kafka("a topic made again at once under a reader") else { return };
    for (round, asleep) in [(0, true), (1, false), (2, false)] {
        let mut workload = Workload::new(&kafka, SEED + round, 2, 500);
        let project = workload.project(100);
        let mut running = Running::start(&project, ON, &[]);
        await_all(&workload, &project, std::slice::from_mut(&mut running));
        let before = oracle::topic(&workload.brokers, &workload.topic);
        if asleep {
            // What it wakes up to holds more than it has read.
            running.signal("STOP");
        }
        delete(&workload);
        make_again_at_once(&workload);
        workload.send(3_000);
        if asleep {
            running.signal("CONT");
        }
        let (code, log) = running.wait();
        assert_eq!(code, 1, "round {round}: {log}");
        says(&log, &[&workload.topic, "while it was read"]);
        let table = table(&project);
        oracle::assert_exactly_once(&before, &table, "the topic was made again at once");
    }
}

#[test]
fn records_deleted_before_they_were_read_are_named() {
    let Some(kafka) = real_kafka("retention") else { return };
    let mut workload = Workload::new(&kafka, SEED, 2, 400);
    let project = workload.project(300);
    project.lake(ONCE).ok();
    workload.send(800);
    cut_off(&workload, 350);
    let refused = project.lake(ONCE).fails_with(1);
    says(&refused.stderr, &["..350 of", "deleted by retention before `bronze.events` had read them", "retention.ms"]);
}

#[test]
fn records_deleted_behind_what_was_read_change_nothing() {
    let Some(kafka) = real_kafka("retention behind the position") else { return };
    let mut workload = Workload::new(&kafka, SEED, 2, 400);
    let project = workload.project(300);
    project.lake(ONCE).ok();
    let before = oracle::topic(&workload.brokers, &workload.topic);
    cut_off(&workload, 100);
    workload.send(200);
    project.lake(ONCE).ok();
    let mut expected = oracle::topic(&workload.brokers, &workload.topic);
    expected.extend(before);
    let table = table(&project);
    oracle::assert_exactly_once(&expected, &table, "records were deleted behind the position");
}

#[test]
fn retention_that_overtakes_a_sleeping_reader_is_named() {
    let Some(kafka) = real_kafka("retention under a reader") else { return };
    let mut workload = Workload::new(&kafka, SEED, 2, 400);
    let project = workload.project(300);
    let mut running = Running::start(&project, ON, &[]);
    await_all(&workload, &project, std::slice::from_mut(&mut running));
    running.signal("STOP");
    workload.send(800);
    cut_off(&workload, 350);
    running.signal("CONT");
    let (code, log) = running.wait();
    assert_eq!(code, 1, "{log}");
    says(&log, &[&workload.topic, "no longer in the topic"]);
}

#[test]
fn partitions_that_were_added_are_read_from_their_beginning() {
    let Some(kafka) = real_kafka("added partitions") else { return };
    let mut workload = Workload::new(&kafka, SEED, 2, 500);
    let project = workload.project(300);
    project.lake(ONCE).ok();
    let more = NewPartitions::new(&workload.topic, 4);
    wait(admin_of(&workload).create_partitions([&more], &options())).unwrap();
    workload.partitions = 4;
    workload.send(500);
    project.lake(&["bronze", "--once", "-q", "--start", "latest"]).ok();
    check(&workload, &project, "partitions were added");
}
