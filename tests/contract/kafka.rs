//! `lake produce` and our Kafka client over real files: the same assertions with the embedded broker and,
//! when `LAKE_TEST_KAFKA` holds its bootstrap address, with Apache Kafka.

use crate::support::left_out;
use lake::embedded::broker::{Broker, BrokerConfig};
use lake::error::Kind;
use lake::flow::produce::{Options, SourceReport, produce};
use lake::flow::{Progress, Stop};
use lake::kafka::{Consumer, KafkaConfig, Messages, admin};
use lake::partition::Partition;
use lake::source::SourceConfig;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

#[test]
fn the_embedded_broker_serves_produce() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(&BrokerConfig::new(dir.path())).unwrap();
    contract(&config(&broker.address().to_string(), &[]));
    broker.stop().unwrap();
}

#[test]
fn kafka_serves_produce() {
    let Ok(brokers) = std::env::var("LAKE_TEST_KAFKA") else {
        return left_out("produce on Apache Kafka needs LAKE_TEST_KAFKA; tests/run sets it");
    };
    contract(&config(&brokers, &[]));
    positions_pass_the_marks_of_transactions(&config(&brokers, &[]));
}

/// The listener takes SASL/PLAIN over plaintext; the password is in `LAKE_TEST_KAFKA_PASSWORD`, the user `admin`.
#[test]
fn a_wrong_password_is_told_from_a_lost_broker() {
    let (Ok(brokers), Ok(password)) =
        (std::env::var("LAKE_TEST_KAFKA_SASL"), std::env::var("LAKE_TEST_KAFKA_PASSWORD"))
    else {
        return left_out(
            "a login at Kafka needs LAKE_TEST_KAFKA_SASL and LAKE_TEST_KAFKA_PASSWORD; tests/run sets them",
        );
    };
    let login = |password: &str| {
        let properties = [
            ("security.protocol", "sasl_plaintext"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", "admin"),
            ("sasl.password", password),
        ];
        admin::reachable(&config(&brokers, &properties))
    };
    assert_eq!(login(&password).unwrap(), 1);
    let started = Instant::now();
    let refused = login("canary-secret").unwrap_err();
    assert_eq!(refused.kind(), Kind::Config, "{refused}");
    assert!(started.elapsed() < Duration::from_secs(12));
    assert!(!format!("{refused:?}").contains("canary"), "{refused:?}");
}

fn config(brokers: &str, properties: &[(&str, &str)]) -> KafkaConfig {
    let properties = properties.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    KafkaConfig { brokers: brokers.to_string(), properties }
}

fn contract(kafka: &KafkaConfig) {
    rows_arrive_once_however_often_it_is_run(kafka);
    keyed_rows_keep_their_partition(kafka);
    old_event_times_are_kept(kafka);
    the_ends_of_what_is_read_become_known(kafka);
}

fn unique(name: &str) -> String {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    format!("{name}-{nanos}")
}

fn run(
    kafka: &KafkaConfig,
    source: &SourceConfig,
    dir: &std::path::Path,
    options: &Options,
) -> lake::error::Result<SourceReport> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let sources = std::slice::from_ref(source);
    let (report, _) = runtime.block_on(produce(kafka, sources, dir, options, &Progress::silent(), &Stop::default()))?;
    Ok(report.sources[0].clone())
}

fn counts(report: &SourceReport) -> [u64; 5] {
    [report.rows, report.sent, report.already, report.rejected, report.acknowledged]
}

#[derive(Debug)]
struct Message {
    partition: Partition,
    offset: i64,
    timestamp_ms: Option<i64>,
    key: Option<bytes::Bytes>,
    payload: Option<bytes::Bytes>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

fn read_all(kafka: &KafkaConfig, topic: &str) -> Vec<Message> {
    let mut consumer = Consumer::new(kafka).unwrap();
    let partitions = consumer.partitions(topic).unwrap().unwrap();
    let highs: Vec<(Partition, i64)> =
        partitions.iter().map(|partition| (partition.clone(), consumer.watermarks(partition).unwrap().high)).collect();
    consumer.assign(&partitions.into_iter().map(|partition| (partition, 0)).collect()).unwrap();
    let mut messages = Messages::default();
    let deadline = Instant::now() + Duration::from_secs(30);
    while highs.iter().any(|(partition, high)| consumer.position(partition).unwrap_or(0) < *high) {
        assert!(Instant::now() < deadline, "reading {topic} takes too long");
        consumer.fill(&mut messages, |_| false, Duration::from_millis(100)).unwrap();
    }
    let owned = |bytes: &[u8]| bytes::Bytes::copy_from_slice(bytes);
    let message = |message: lake::kafka::Message<'_>| Message {
        partition: highs[message.slot].0.clone(),
        offset: message.offset,
        timestamp_ms: message.timestamp_ms,
        key: message.key.map(owned),
        payload: message.payload.map(owned),
        headers: message.headers.map(|(name, value)| (name.to_string(), value.map(Vec::from))).collect(),
    };
    let mut messages: Vec<Message> = messages.iter().map(message).collect();
    messages.sort_by_key(|message| (message.partition.number, message.offset));
    messages
}

fn header(message: &Message, name: &str) -> String {
    let found = message.headers.iter().find(|(header, _)| header == name);
    found.map(|(_, value)| String::from_utf8(value.clone().unwrap()).unwrap()).unwrap_or_default()
}

fn rows_arrive_once_however_often_it_is_run(kafka: &KafkaConfig) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("books.csv");
    let source = SourceConfig { name: unique("books"), files: vec!["books.csv".into()], ..SourceConfig::default() };
    let (once, again) = (Options::default(), Options { again: true, ..Options::default() });
    std::fs::write(&file, "title,price\n\"a, b\",1.50\nragged\nc,\n").unwrap();
    assert_eq!(counts(&run(kafka, &source, dir.path(), &once).unwrap()), [3, 3, 0, 1, 3]);
    assert_eq!(counts(&run(kafka, &source, dir.path(), &once).unwrap()), [3, 0, 3, 0, 0]);
    std::fs::write(&file, "title,price\n\"a, b\",1.50\nragged\nc,\nd,4\n").unwrap();
    assert_eq!(counts(&run(kafka, &source, dir.path(), &once).unwrap()), [4, 1, 3, 0, 1]);

    let messages = read_all(kafka, source.topic());
    let payloads: Vec<String> =
        messages.iter().map(|message| String::from_utf8(message.payload.clone().unwrap().to_vec()).unwrap()).collect();
    assert_eq!(payloads[0], r#"{"title":"a, b","price":"1.50"}"#);
    assert_eq!(payloads[2], r#"{"title":"c","price":null}"#);
    assert!(payloads[1].starts_with("ragged"), "{payloads:?}");
    assert!(header(&messages[1], "lake-error").contains("books.csv:3"), "{messages:?}");
    assert!(messages.iter().all(|message| header(message, "lake-source") == "books.csv"));

    assert_eq!(counts(&run(kafka, &source, dir.path(), &again).unwrap()), [4, 4, 0, 1, 4]);
    assert_eq!(read_all(kafka, source.topic()).len(), 8);
    std::fs::write(&file, "title,price\nedited,1.50\nragged\nc,\nd,4\n").unwrap();
    let refused = run(kafka, &source, dir.path(), &again).unwrap_err();
    assert_eq!(refused.kind(), Kind::Input);
    let as_new = Options { as_new: true, ..Options::default() };
    assert_eq!(counts(&run(kafka, &source, dir.path(), &as_new).unwrap()), [4, 4, 0, 1, 4]);
    assert_eq!(counts(&run(kafka, &source, dir.path(), &once).unwrap()), [4, 0, 4, 0, 0]);
}

fn keyed_rows_keep_their_partition(kafka: &KafkaConfig) {
    let dir = tempfile::tempdir().unwrap();
    let source = SourceConfig {
        name: unique("sales"),
        files: vec!["*.csv".into()],
        key: vec!["customer".into()],
        partitions: Some(4),
        ..SourceConfig::default()
    };
    for part in ["a", "b"] {
        let rows: String = (0..20_000).map(|row| format!("{},{part}{row}\n", row % 97)).collect();
        std::fs::write(dir.path().join(format!("{part}.csv")), format!("customer,sale\n{rows}")).unwrap();
    }
    let sent = run(kafka, &source, dir.path(), &Options::default()).unwrap();
    assert_eq!((sent.files, counts(&sent)), (2, [40_000, 40_000, 0, 0, 40_000]));
    let again = run(kafka, &source, dir.path(), &Options::default()).unwrap();
    assert_eq!(counts(&again), [40_000, 0, 40_000, 0, 0]);
    let messages = read_all(kafka, source.topic());
    assert_eq!(messages.len(), 40_000);
    let mut homes: BTreeMap<bytes::Bytes, i32> = BTreeMap::new();
    for message in messages {
        let home = *homes.entry(message.key.clone().unwrap()).or_insert(message.partition.number);
        assert_eq!(home, message.partition.number);
    }
    assert_eq!(homes.len(), 97);
}

/// A week's retention would delete such records; the topics made here have none.
fn old_event_times_are_kept(kafka: &KafkaConfig) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("old.csv"), "at,n\n2010-12-01,1\n2010-12-02,2\n").unwrap();
    let source = SourceConfig {
        name: unique("old"),
        files: vec!["old.csv".into()],
        event_time: Some("at".into()),
        ..SourceConfig::default()
    };
    run(kafka, &source, dir.path(), &Options::default()).unwrap();
    let messages = read_all(kafka, source.topic());
    // 2010-12-01 00:00 UTC
    assert_eq!(messages[0].timestamp_ms, Some(1_291_161_600_000));
    let consumer = Consumer::new(kafka).unwrap();
    let later = consumer.offset_at(&messages[0].partition, 1_291_161_600_001).unwrap();
    assert!((0..=1).contains(&later), "at most the batch's other records come before it: {later}");
    assert_eq!(consumer.offset_at(&messages[0].partition, 1_300_000_000_000).unwrap(), 2);
}

fn the_ends_of_what_is_read_become_known(kafka: &KafkaConfig) {
    let dir = tempfile::tempdir().unwrap();
    let source = SourceConfig { name: unique("ends"), files: vec!["ends.csv".into()], ..SourceConfig::default() };
    let partition = Partition::new(source.topic(), 0);
    let mut consumer = Consumer::new(kafka).unwrap();
    assert_eq!(consumer.end(&partition), None);
    for (text, end) in [("n\n1\n2\n3\n", 3), ("n\n1\n2\n3\n4\n", 4)] {
        std::fs::write(dir.path().join("ends.csv"), text).unwrap();
        run(kafka, &source, dir.path(), &Options::default()).unwrap();
        if end == 3 {
            consumer.assign(&BTreeMap::from([(partition.clone(), 0)])).unwrap();
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        while consumer.end(&partition) != Some(end) {
            assert!(Instant::now() < deadline, "{:?} instead of {end}", consumer.end(&partition));
            consumer.fill(&mut Messages::default(), |_| false, Duration::from_millis(100)).unwrap();
        }
    }
}

/// A committed transaction ends in a record no reader sees; the end of the partition is reached all the same.
fn positions_pass_the_marks_of_transactions(kafka: &KafkaConfig) {
    let topic = unique("transactions");
    admin::ensure_topic(kafka, &topic, 1).unwrap();
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", &kafka.brokers).set("transactional.id", &topic).create().unwrap();
    let patience = Duration::from_secs(30);
    producer.init_transactions(patience).unwrap();
    for commit in [true, false] {
        producer.begin_transaction().unwrap();
        producer.send(BaseRecord::<(), str>::to(&topic).partition(0).payload("x")).unwrap();
        producer.flush(patience).unwrap();
        if commit {
            producer.commit_transaction(patience).unwrap();
        } else {
            producer.abort_transaction(patience).unwrap();
        }
    }
    // Offsets: 0 record, 1 mark, 2 aborted record, 3 mark.
    let partition = Partition::new(&topic, 0);
    assert_eq!(Consumer::new(kafka).unwrap().watermarks(&partition).unwrap().high, 4);
    assert_eq!(read_all(kafka, &topic).len(), 1);
}

#[test]
fn a_broker_lost_on_the_way_is_told_with_the_acknowledged_rows() {
    let (dir, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let start = || Broker::start(&BrokerConfig::new(data.path())).unwrap();
    let broker = start();
    let kafka = config(&broker.address().to_string(), &[]);
    let rows: String = (0..2_000).map(|row| format!("{row}\n")).collect();
    std::fs::write(dir.path().join("s.csv"), format!("n\n{rows}")).unwrap();
    let mut source = SourceConfig { name: unique("lost"), files: vec!["s.csv".into()], ..SourceConfig::default() };
    source.rate = Some(500.0);
    let options = Options { ack_timeout: Duration::from_secs(2), ..Options::default() };
    let stopping = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(1_500));
        broker.stop().unwrap();
    });
    let error = run(&kafka, &source, dir.path(), &options).unwrap_err();
    stopping.join().unwrap();
    assert_eq!(error.kind(), Kind::Unavailable);
    let acknowledged: u64 = error.to_string().split(' ').find_map(|word| word.parse().ok()).unwrap();
    assert!((1..2_000).contains(&acknowledged), "{error}");

    let broker = start();
    source.rate = None;
    let report = run(&config(&broker.address().to_string(), &[]), &source, dir.path(), &options).unwrap();
    assert!(report.already >= acknowledged, "{report:?} after {error}");
    assert_eq!(report.already + report.sent, 2_000);
    broker.stop().unwrap();
}

/// Stops a run at each crash point and at arbitrary moments, runs it to the end, and looks at every partition:
/// all rows are there, and a row seen for the first time always stands behind all earlier ones.
#[test]
fn a_killed_run_leaves_no_hole() {
    const ROWS: u64 = 6_000;
    let (dir, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let broker = Broker::start(&BrokerConfig::new(data.path())).unwrap();
    let kafka = config(&broker.address().to_string(), &[]);
    let rows: String = (0..ROWS).map(|row| format!("{},{row}\n", row % 11)).collect();
    std::fs::write(dir.path().join("s.csv"), format!("customer,sale\n{rows}")).unwrap();
    let moments = [0, 40, 90, 150, 230].map(|ms| (String::new(), Some(Duration::from_millis(ms))));
    let points = ["before_send", "mid_send", "after_send"].map(|point| (format!("produce.{point}=abort"), None));
    for (failpoint, moment) in points.into_iter().chain(moments) {
        let source = killable(&unique("killed"));
        run_killed(&kafka, &source.name, dir.path(), &failpoint, moment);
        let report = run(&kafka, &source, dir.path(), &Options::default()).unwrap();
        assert_eq!(report.sent + report.already, ROWS);
        assert!(!failpoint.contains("after_send") || report.already == ROWS, "{report:?}");
        let mut seen: BTreeMap<i32, std::collections::BTreeSet<u64>> = BTreeMap::new();
        for message in read_all(&kafka, source.topic()) {
            let row: u64 = header(&message, "lake-position").split(';').next().unwrap().parse().unwrap();
            let rows = seen.entry(message.partition.number).or_default();
            assert!(rows.contains(&row) || rows.last().is_none_or(|highest| *highest < row), "{failpoint} {row}");
            rows.insert(row);
        }
        assert_eq!(seen.values().map(|rows| rows.len() as u64).sum::<u64>(), ROWS, "{failpoint} {moment:?}");
    }
    broker.stop().unwrap();
}

fn killable(name: &str) -> SourceConfig {
    SourceConfig {
        name: name.to_string(),
        files: vec!["s.csv".into()],
        key: vec!["customer".into()],
        partitions: Some(3),
        ..SourceConfig::default()
    }
}

/// This test binary again, running [`the_run_that_is_killed`] only.
fn run_killed(kafka: &KafkaConfig, name: &str, dir: &std::path::Path, failpoint: &str, moment: Option<Duration>) {
    let test = module_path!().split_once("::").unwrap().1;
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{test}::the_run_that_is_killed")])
        .env("LAKE_TEST_KILLED", format!("{}|{name}|{}", kafka.brokers, dir.display()))
        .env("LAKE_FAILPOINT", failpoint)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    if let Some(moment) = moment {
        std::thread::sleep(moment);
        child.kill().unwrap();
    }
    let ended = child.wait().unwrap();
    assert!(moment.is_some() || !ended.success(), "`{failpoint}` was not reached");
}

#[test]
fn the_run_that_is_killed() {
    let Ok(arguments) = std::env::var("LAKE_TEST_KILLED") else { return };
    let parts: Vec<&str> = arguments.split('|').collect();
    run(&config(parts[0], &[]), &killable(parts[1]), parts[2].as_ref(), &Options::default()).unwrap();
}
