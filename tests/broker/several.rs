//! Several topics into one table, by their names or by a pattern.

use super::records::transactional;
use super::says;
use super::topics::delete;
use crate::support::bronze::{ON, ONCE};
use crate::support::oracle::{self, Fate};
use crate::support::running::Running;
use crate::support::services::real_kafka;
use crate::support::workload::Workload;
use crate::support::{Output, Project};
use lake::kafka::{KafkaConfig, admin};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// Reads into `bronze.events` what `meta` says.
fn project(workload: &Workload, meta: &str) -> Project {
    let project = workload.project(300);
    let contract = project.read("models/sources.yml").replace(&format!("topic: {}", workload.topic), meta);
    project.write("models/sources.yml", contract);
    project
}

/// `topic,partition,offset,rejected` of everything that has to be in the table.
fn expected(workloads: &[&Workload]) -> Vec<String> {
    let mut lines = Vec::new();
    for workload in workloads {
        for ((number, offset), fate) in oracle::topic(&workload.brokers, &workload.topic) {
            match fate {
                Fate::Tombstone => {}
                fate => lines.push(format!("{},{number},{offset},{}", workload.topic, matches!(fate, Fate::Reject(_)))),
            }
        }
    }
    lines.sort_unstable();
    lines
}

fn held(project: &Project) -> Vec<String> {
    let place = "_topic, _partition, _offset";
    let sql = format!(
        "select {place}, false as r from bronze.events union all select {place}, true as r from bronze.events__quarantine"
    );
    let Output { code, stdout, .. } = project.lake(&["query", "-q", "--output", "csv", &sql]);
    // The table may not be there yet.
    let mut lines: Vec<String> = stdout.lines().skip(1).filter(|_| code == 0).map(String::from).collect();
    lines.sort_unstable();
    lines
}

fn await_all(project: &Project, workloads: &[&Workload], running: &mut Running) {
    let (wanted, deadline) = (expected(workloads), Instant::now() + Duration::from_secs(60));
    while held(project) != wanted {
        assert!(!running.has_ended(), "it ended by itself:\n{}", running.log());
        let found = held(project).len();
        assert!(Instant::now() < deadline, "{found} of {} records came\n{}", wanted.len(), running.log());
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn two_topics_that_end_in_aborted_transactions_are_read_to_their_ends() {
    let Some(kafka) = real_kafka("two topics into a table") else { return };
    let (mut one, mut other) = (Workload::new(&kafka, 21, 2, 800), Workload::new(&kafka, 22, 3, 500));
    let project = project(&one, &format!("topics: [{}, {}]", one.topic, other.topic));
    for workload in [&mut one, &mut other] {
        let producer = transactional(workload, "a");
        producer.begin_transaction().unwrap();
        workload.send_by(&producer, 40);
        producer.abort_transaction(PATIENCE).unwrap();
    }
    let report = project.lake(&["bronze", "--once", "-q", "--output", "json"]).ok().json();
    let mut topics = vec![one.topic.as_str(), other.topic.as_str()];
    topics.sort_unstable();
    assert_eq!(report["tables"][0]["topics"], serde_json::json!(topics));
    assert!(report["tables"][0]["gaps"].as_u64() >= Some(80), "{report}");
    assert_eq!(held(&project), expected(&[&one, &other]));
    project.lake(&["verify", "-q"]).ok();
    let status = project.lake(&["status", "-q", "--output", "json"]).ok().json();
    let lags: Vec<_> = status["streams"][0]["partitions"].as_array().unwrap().iter().map(|p| &p["lag"]).collect();
    assert_eq!(lags, [0; 5]);
    one.send(100);
    other.send(50);
    project.lake(ONCE).ok();
    assert_eq!(held(&project), expected(&[&one, &other]));
    let idle = project.lake(&["bronze", "--once", "-q", "--output", "json"]).ok().json();
    assert_eq!(idle["tables"][0]["commits"], 0, "{idle}");
    delete(&other);
    let refused = project.lake(ONCE).fails_with(1);
    says(&refused.stderr, &["bronze.events", &other.topic, "does not exist"]);
}

#[test]
fn a_topic_that_begins_to_match_is_read_and_one_that_is_gone_is_named() {
    let Some(kafka) = real_kafka("a pattern of topics") else { return };
    let one = Workload::new(&kafka, 23, 2, 300);
    let mut other = Workload::made_by(&kafka, 24, 2, |_| {});
    let project = project(&one, &format!("topic_pattern: '{}|{}'", one.topic, other.topic));
    let mut running = Running::start(&project, ON, &[("LAKE__BRONZE__INTERVAL", "300ms")]);
    await_all(&project, &[&one], &mut running);
    let config = KafkaConfig { brokers: kafka.clone(), ..KafkaConfig::default() };
    admin::ensure_topic(&config, &other.topic, 2).unwrap();
    other.send(200);
    await_all(&project, &[&one, &other], &mut running);
    assert_eq!(running.end().0, 143);
    project.lake(&["verify", "-q"]).ok();
    delete(&other);
    std::thread::sleep(Duration::from_secs(2));
    let refused = project.lake(ONCE).fails_with(1);
    says(&refused.stderr, &["bronze.events", &other.topic, "is gone", "take it out of the topics of `bronze.events`"]);
}

#[test]
fn kinds_told_by_a_header_go_into_a_table_each() {
    let Some(kafka) = real_kafka("kinds told by a header") else { return };
    let workload = Workload::new(&kafka, 25, 2, 0);
    let producer = workload.producer();
    for n in 0..90 {
        // `n` is a number in orders and a text in refunds; each ninth record says nothing of its kind.
        let (kind, payload) = match n % 3 {
            0 => ("order", format!(r#"{{"n":{n}}}"#)),
            _ => ("refund", format!(r#"{{"n":"number {n}"}}"#)),
        };
        let headers = OwnedHeaders::new().insert(Header { key: "type", value: Some(kind) });
        let record = BaseRecord::<str, str>::to(&workload.topic).partition(n % 2).payload(&payload);
        producer.send(if n % 9 == 8 { record } else { record.headers(headers) }).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    let project = workload.project(20);
    let table = |name: &str, kind: &str, data_type: &str| {
        format!(
            "      - name: {name}\n        meta: {{ topic: {}, only: {{ header: type, is: [{kind}] }} }}\n        \
             columns: [{{ name: n, data_type: {data_type} }}]\n",
            workload.topic
        )
    };
    let tables = table("orders", "order", "bigint") + &table("refunds", "refund", "text");
    project.write("models/sources.yml", format!("version: 2\nsources:\n  - name: shop\n    tables:\n{tables}"));
    let report = project.lake(&["bronze", "--once", "-q", "--output", "json"]).ok().json();
    let figures = [0, 1]
        .map(|table| ["rows", "rejects", "filtered"].map(|figure| report["tables"][table][figure].as_u64().unwrap()));
    assert_eq!(figures, [[30, 0, 60], [50, 0, 40]], "{report}");
    project.lake(&["verify", "-q"]).ok();
}
