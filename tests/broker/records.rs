//! Records that leave gaps in the offsets: transactions, committed, aborted and open.

use crate::support::bronze::{ONCE, check};
use crate::support::services::real_kafka;
use crate::support::workload::Workload;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

pub fn transactional(workload: &Workload, id: &str) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &workload.brokers).set("transactional.id", format!("{}-{id}", workload.topic));
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer
}

#[test]
fn only_what_was_committed_is_read_and_an_open_transaction_is_waited_for() {
    let Some(kafka) = real_kafka("transactions") else { return };
    let mut workload = Workload::new(&kafka, 13, 2, 50);
    let project = workload.project(40);
    let producer = transactional(&workload, "a");
    for commit in [true, false, true, false] {
        producer.begin_transaction().unwrap();
        workload.send_by(&producer, 60);
        if commit { producer.commit_transaction(PATIENCE) } else { producer.abort_transaction(PATIENCE) }.unwrap();
    }
    project.lake(ONCE).ok();
    check(&workload, &project, "after committed and aborted transactions");

    let open = transactional(&workload, "b");
    open.begin_transaction().unwrap();
    workload.send_by(&open, 30);
    workload.send(30);
    project.lake(ONCE).ok();
    check(&workload, &project, "with a transaction open");
    open.commit_transaction(PATIENCE).unwrap();
    project.lake(ONCE).ok();
    check(&workload, &project, "after it was committed");

    producer.begin_transaction().unwrap();
    workload.send_by(&producer, 30);
    producer.abort_transaction(PATIENCE).unwrap();
    let last = project.lake(&["bronze", "--once", "-q", "--output", "json"]).ok().json();
    assert_eq!(
        (last["tables"][0]["rows"].as_u64(), last["tables"][0]["gaps"].as_u64() >= Some(30)),
        (Some(0), true),
        "{last}"
    );
    let idle = project.lake(&["bronze", "--once", "-q", "--output", "json"]).ok().json();
    assert_eq!(idle["tables"][0]["commits"], 0, "the position did not pass the end of the aborted transaction: {idle}");
}
