//! A cluster of two brokers of the test's own: one dies and its partitions change their leader, it comes back, both
//! restart; and a topic that is compacted.

use crate::support::bronze::{ON, ONCE, await_all, check, table};
use crate::support::cluster::Cluster;
use crate::support::oracle;
use crate::support::running::Running;
use crate::support::workload::{Record, Workload, send};
use rdkafka::producer::Producer;
use std::time::{Duration, Instant};

#[test]
fn restarts_and_changes_of_leader_pass_unnoticed() {
    let Some(mut cluster) = Cluster::start("restarts of a broker") else { return };
    let mut workload = Workload::made_by(&cluster.brokers(), 17, 4, |topic| cluster.make_topic(topic, 4, &[]));
    workload.send(2_000);
    let project = workload.project(500);
    let mut running = Running::start(&project, ON, &[]);
    await_all(&workload, &project, std::slice::from_mut(&mut running));
    cluster.kill(1);
    workload.send(1_000);
    await_all(&workload, &project, std::slice::from_mut(&mut running));
    cluster.start_again(1);
    workload.send(500);
    await_all(&workload, &project, std::slice::from_mut(&mut running));
    cluster.kill(0);
    cluster.start_again(0);
    workload.send(500);
    await_all(&workload, &project, std::slice::from_mut(&mut running));
    let (code, log) = running.end();
    assert_eq!(code, 143, "{log}");
    check(&workload, &project, "after restarts");
    a_compacted_topic_is_read_past_its_gaps(&cluster);
}

/// Many values of few keys: the cleaner leaves each key's last and whatever stands in the newest segment.
fn a_compacted_topic_is_read_past_its_gaps(cluster: &Cluster) {
    let settings = [("cleanup.policy", "compact"), ("segment.ms", "500"), ("min.cleanable.dirty.ratio", "0.01")];
    let workload = Workload::made_by(&cluster.brokers(), 19, 1, |topic| cluster.make_topic(topic, 1, &settings));
    let project = workload.project(20);
    let producer = workload.producer();
    let fill = |from: u64| {
        for n in from..from + 200 {
            let payload = format!(r#"{{"n":{n},"word":"w","amount":1.5}}"#);
            let payload = (n % 50 != 0).then(|| payload.into_bytes());
            send(&producer, &workload.topic, 0, &Record { key: Some(format!("k{}", n % 7)), payload });
        }
        producer.flush(Duration::from_secs(30)).unwrap();
        std::thread::sleep(Duration::from_millis(600));
    };
    fill(0);
    fill(200);
    let deadline = Instant::now() + Duration::from_secs(60);
    while oracle::topic(&workload.brokers, &workload.topic).len() > 300 {
        assert!(Instant::now() < deadline, "the broker does not compact");
        std::thread::sleep(Duration::from_millis(300));
        fill(400);
    }
    // What is read may be cleaned away behind us, so the topic as it is now has to be in, once each.
    let expected = oracle::topic(&workload.brokers, &workload.topic);
    project.lake(ONCE).ok();
    let table = table(&project);
    let read: Vec<_> = table.into_iter().filter(|(place, _)| expected.contains_key(place)).collect();
    assert!(!read.is_empty());
    let still = oracle::topic(&workload.brokers, &workload.topic);
    let stayed = expected.into_iter().filter(|(place, _)| still.contains_key(place)).collect();
    let read: Vec<_> = read.into_iter().filter(|(place, _)| still.contains_key(place)).collect();
    oracle::assert_exactly_once(&stayed, &read, "a compacted topic");
    let idle = project.lake(&["bronze", "--once", "-q", "--output", "json"]).ok().json();
    assert_eq!(idle["tables"][0]["rows"], 0, "{idle}");
}
