//! What `lake` relies on in a broker: the same assertions over the embedded one and over Apache Kafka.
//!
//! Kafka is asked when `LAKE_TEST_KAFKA` holds its bootstrap address. Below the contract: what only the
//! embedded broker must show, because its process dies with the command that started it.

use crate::support::left_out;
use lake::embedded::broker::{Broker, BrokerConfig};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode as ErrorCode;
use rdkafka::message::{BorrowedMessage, DeliveryResult, Header, Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

/// Every clause of the contract.
pub fn contract(brokers: &str) {
    type Clause = fn(&str);
    let clauses: [(&str, Clause); 7] = [
        ("topics have the partitions asked for", topics_have_the_partitions_asked_for),
        ("every codec comes back", every_codec_comes_back),
        ("watermarks bound the records", watermarks_bound_the_records),
        ("times are looked up", times_are_looked_up),
        ("a key keeps its order", a_key_keeps_its_order),
        ("tombstones and headers come back", tombstones_and_headers_come_back),
        ("what is not there is an error", what_is_not_there_is_an_error),
    ];
    for (name, clause) in clauses {
        println!("{name}");
        clause(brokers);
    }
}

#[test]
fn the_embedded_broker_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(&BrokerConfig::new(dir.path())).unwrap();
    contract(&broker.address().to_string());
    broker.stop().unwrap();
}

#[test]
fn kafka_keeps_the_contract() {
    match std::env::var("LAKE_TEST_KAFKA") {
        Ok(brokers) => contract(&brokers),
        Err(_) => left_out("the broker contract on Apache Kafka needs LAKE_TEST_KAFKA; tests/run sets it"),
    }
}

fn topics_have_the_partitions_asked_for(brokers: &str) {
    let topic = new_topic(brokers, "sizes", 3);
    let consumer = consumer(brokers);
    let metadata = consumer.fetch_metadata(Some(&topic), PATIENCE).unwrap();
    let partitions: Vec<_> = metadata.topics()[0].partitions().iter().map(|partition| partition.id()).collect();
    assert_eq!(partitions, [0, 1, 2]);
    assert_eq!(create(brokers, &topic, 1), Err(ErrorCode::TopicAlreadyExists));
    assert_eq!(create(brokers, "no/topic", 1), Err(ErrorCode::InvalidTopic));
    assert_eq!(create(brokers, &unique("none"), 0), Err(ErrorCode::InvalidPartitions));
}

fn every_codec_comes_back(brokers: &str) {
    for codec in CODECS {
        let topic = new_topic(brokers, codec, 3);
        let sender = Sender::new(brokers, &[("compression.type", codec)]);
        let text = |n: i64| format!("{{\"row\":\"{n}\",\"text\":\"{}\"}}", "the same again ".repeat(20));
        for n in 0..3_000 {
            sender.send(record(&topic, (n % 3) as i32, &text(n)));
        }
        let sent = sender.finish();
        assert_eq!(sent.len(), 3_000, "{codec}");
        let received = read_all(brokers, &topic, 3);
        for n in 0..3_000i64 {
            let message = &received[&((n % 3) as i32)][(n / 3) as usize];
            assert_eq!(message.offset(), n / 3, "{codec}");
            assert_eq!(message.payload(), Some(text(n).as_bytes()), "{codec}");
        }
    }
}

fn watermarks_bound_the_records(brokers: &str) {
    let topic = new_topic(brokers, "bounds", 2);
    let consumer = consumer(brokers);
    let watermarks = |partition| consumer.fetch_watermarks(&topic, partition, PATIENCE).unwrap();
    assert_eq!((watermarks(0), watermarks(1)), ((0, 0), (0, 0)));
    let sender = Sender::new(brokers, &[]);
    (0..5).for_each(|n| sender.send(record(&topic, 1, &n.to_string())));
    assert_eq!(sender.finish().len(), 5);
    assert_eq!((watermarks(0), watermarks(1)), ((0, 0), (0, 5)));
}

fn times_are_looked_up(brokers: &str) {
    for codec in ["none", "lz4"] {
        let topic = new_topic(brokers, "times", 1);
        let sender = Sender::new(brokers, &[("compression.type", codec)]);
        let text = "x".repeat(200);
        for n in 0..100 {
            sender.send(record(&topic, 0, &text).timestamp(1_000_000 + n * 10));
            if n % 10 == 9 {
                sender.producer.flush(PATIENCE).unwrap();
            }
        }
        sender.finish();
        let consumer = consumer(brokers);
        for (time, exact) in [(1, 0), (1_000_000, 0), (1_000_001, 1), (1_000_555, 56), (1_000_990, 99)] {
            let found = offset_at(&consumer, &topic, time);
            // In a compressed batch a broker may answer the batch's first record: early, never late.
            let allowed = if codec == "none" { exact..=exact } else { exact / 10 * 10..=exact };
            assert!(matches!(found, Offset::Offset(offset) if allowed.contains(&offset)), "{codec} {time}: {found:?}");
        }
        assert_eq!(offset_at(&consumer, &topic, 1_000_991), Offset::End);
    }
}

fn a_key_keeps_its_order(brokers: &str) {
    let topic = new_topic(brokers, "keys", 3);
    let sender = Sender::new(brokers, &[("partitioner", "murmur2_random")]);
    let keys: Vec<String> = (0..600).map(|n| format!("key {}", n % 20)).collect();
    let texts: Vec<String> = (0..600).map(|n| n.to_string()).collect();
    for (key, text) in keys.iter().zip(&texts) {
        sender.send(BaseRecord::to(&topic).key(key).payload(text));
    }
    sender.finish();
    let mut of_key: HashMap<Vec<u8>, Vec<(i32, usize)>> = HashMap::new();
    for (partition, messages) in read_all(brokers, &topic, 3) {
        assert!(!messages.is_empty(), "20 keys leave no partition out");
        for message in messages {
            let n = String::from_utf8_lossy(message.payload().unwrap()).parse().unwrap();
            of_key.entry(message.key().unwrap().to_vec()).or_default().push((partition, n));
        }
    }
    assert_eq!(of_key.len(), 20);
    for (key, found) in of_key {
        assert_eq!(found.len(), 30, "{key:?}");
        assert!(found.is_sorted(), "one partition and rising: {found:?}");
        assert!(found.iter().all(|(partition, _)| *partition == found[0].0));
    }
}

fn tombstones_and_headers_come_back(brokers: &str) {
    let topic = new_topic(brokers, "headers", 1);
    let sender = Sender::new(brokers, &[]);
    let headers = OwnedHeaders::new()
        .insert(Header { key: "lake-source", value: Some("данные/a.csv") })
        .insert(Header { key: "twice", value: Some(&[0u8, 0xff][..]) })
        .insert(Header { key: "twice", value: Some("") })
        .insert(Header::<&str> { key: "null", value: None });
    sender.send(BaseRecord::<str, str>::to(&topic).key("k").headers(headers).timestamp(1_234_567));
    sender.send(BaseRecord::to(&topic).key("").payload(""));
    sender.send(BaseRecord::<str, str>::to(&topic).payload("no key"));
    sender.finish();
    let messages = &read_all(brokers, &topic, 1)[&0];
    let tombstone = &messages[0];
    assert_eq!((tombstone.key(), tombstone.payload()), (Some(&b"k"[..]), None));
    assert_eq!(tombstone.timestamp().to_millis(), Some(1_234_567));
    let found: Vec<_> = tombstone.headers().unwrap().iter().map(|header| (header.key, header.value)).collect();
    let expected = [
        ("lake-source", Some("данные/a.csv".as_bytes())),
        ("twice", Some(&[0u8, 0xff][..])),
        ("twice", Some(&b""[..])),
        ("null", None),
    ];
    assert_eq!(found, expected);
    assert_eq!((messages[1].key(), messages[1].payload()), (Some(&b""[..]), Some(&b""[..])));
    assert_eq!((messages[2].key(), messages[2].payload()), (None, Some(&b"no key"[..])));
}

fn what_is_not_there_is_an_error(brokers: &str) {
    let consumer = consumer(brokers);
    let unknown = unique("unknown");
    let metadata = consumer.fetch_metadata(Some(&unknown), PATIENCE).unwrap();
    assert_eq!(metadata.topics()[0].error().map(Into::into), Some(ErrorCode::UnknownTopicOrPartition));
    let topic = new_topic(brokers, "short", 1);
    let refused = consumer.fetch_watermarks(&topic, 7, Duration::from_secs(5)).unwrap_err();
    let code = refused.rdkafka_error_code();
    assert!(matches!(code, Some(ErrorCode::UnknownPartition | ErrorCode::UnknownTopicOrPartition)), "{refused}");
    let mut beyond = TopicPartitionList::new();
    beyond.add_partition_offset(&topic, 0, Offset::Offset(10)).unwrap();
    consumer.assign(&beyond).unwrap();
    let refused = consumer.poll(PATIENCE).expect("an event").err().map(|error| error.rdkafka_error_code());
    assert_eq!(refused, Some(Some(ErrorCode::AutoOffsetReset)), "an offset that is not there is told, not skipped");
}

#[test]
fn offsets_stay_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = BrokerConfig::new(dir.path());
    let mut brokers = String::new();
    let mut expected = vec![];
    for (round, codec) in CODECS.iter().enumerate() {
        let broker = Broker::start(&config).unwrap();
        config.address = broker.address();
        brokers = broker.address().to_string();
        if round == 0 {
            create(&brokers, "kept", 1).unwrap();
        }
        let sender = Sender::new(&brokers, &[("compression.type", codec)]);
        let texts: Vec<String> = (0..500).map(|n| format!("{round}/{n}")).collect();
        texts.iter().for_each(|text| sender.send(record("kept", 0, text)));
        assert_eq!(sender.finish().len(), 500);
        expected.extend(texts);
        broker.stop().unwrap();
    }
    let broker = Broker::start(&config).unwrap();
    let messages = &read_all(&brokers, "kept", 1)[&0];
    assert_eq!(messages.len(), 2_500);
    for (offset, (message, text)) in messages.iter().zip(&expected).enumerate() {
        assert_eq!((message.offset(), message.payload()), (offset as i64, Some(text.as_bytes())));
    }
    drop(broker);
}

/// The broker's process is killed while an idempotent producer sends: what was acknowledged stands where it
/// was acknowledged, and everything stands there once, in order.
#[test]
fn nothing_is_lost_or_doubled_by_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = BrokerProcess::start(dir.path(), "127.0.0.1:0", None);
    let address = process.address.clone();
    create(&address, "t", 3).unwrap();
    let sender = Sender::new(&address, &[("linger.ms", "1"), ("compression.type", "lz4")]);
    // Its first acknowledgement takes half a second: wait for it, so that each kill interrupts real work.
    sender.send(record("t", 0, "0"));
    sender.producer.flush(PATIENCE).unwrap();
    let mut sent = 1i64;
    for round in 0..6 {
        let until = Instant::now() + Duration::from_millis(250 + round * 70);
        while Instant::now() < until {
            (0..50).for_each(|_| {
                sender.send(record("t", (sent % 3) as i32, &sent.to_string()));
                sent += 1;
            });
            std::thread::sleep(Duration::from_millis(1));
        }
        println!("round {round}: {sent} sent, {} acknowledged", sender.outcome.0.lock().unwrap().0.len());
        process.kill();
        process = BrokerProcess::start(dir.path(), &address, None);
    }
    let acknowledged = sender.finish();
    assert_eq!(acknowledged.len() as i64, sent);
    let received = read_all(&address, "t", 3);
    for (partition, messages) in &received {
        let numbers: Vec<i64> = messages.iter().map(|m| text_of(m).parse().unwrap()).collect();
        let expected: Vec<i64> = (0..sent).filter(|n| n % 3 == i64::from(*partition)).collect();
        assert!(numbers == expected, "partition {partition}: {} of {}", numbers.len(), expected.len());
    }
    for (text, partition, offset) in acknowledged {
        assert_eq!(text_of(&received[&partition][offset as usize]), text, "{partition}/{offset}");
    }
    process.kill();
}

/// A file that may not grow stands for a full disk: the producer is told, what was acknowledged stays.
#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let process = BrokerProcess::start(dir.path(), "127.0.0.1:0", Some(2_048));
    let address = process.address.clone();
    create(&address, "t", 1).unwrap();
    let plain = [("enable.idempotence", "false"), ("retries", "0"), ("linger.ms", "1")];
    let sender = Sender::new(&address, &plain);
    let texts: Vec<String> = (0..4_000).map(|n| format!("{n} {}", "x".repeat(1_000))).collect();
    texts.iter().for_each(|text| sender.send(record("t", 0, text)));
    sender.producer.flush(PATIENCE).unwrap();
    let (stored, refused) = sender.outcome();
    assert!(!stored.is_empty() && !refused.is_empty(), "{} {}", stored.len(), refused.len());
    assert!(refused.iter().all(|code| *code == Some(ErrorCode::KafkaStorageError)), "{:?}", refused[0]);
    process.kill();

    let process = BrokerProcess::start(dir.path(), &address, None);
    let sender = Sender::new(&address, &[]);
    sender.send(record("t", 0, "again"));
    assert_eq!(sender.finish(), [("again".to_string(), 0, stored.len() as i64)]);
    let messages = &read_all(&address, "t", 1)[&0];
    assert_eq!(messages.len(), stored.len() + 1);
    for (text, _, offset) in stored {
        assert_eq!(text_of(&messages[offset as usize]), text);
    }
    process.kill();
}

#[test]
fn a_second_process_on_the_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let process = BrokerProcess::start(dir.path(), "127.0.0.1:0", None);
    let config = BrokerConfig::new(dir.path());
    let refused = Broker::start(&config).err().expect("the directory is in use");
    assert_eq!(refused.kind(), lake::error::Kind::Conflict);
    process.kill();
    Broker::start(&config).expect("a killed process holds no lock").stop().unwrap();
}

const CHILD_DIR: &str = "LAKE_TEST_BROKER_DIR";
const CHILD_ADDRESS: &str = "LAKE_TEST_BROKER_ADDRESS";

/// Not a test of its own: the process the tests above kill. It ends with its standard input.
#[test]
#[ignore = "runs as the child process of other tests"]
fn serve_until_killed() {
    let Ok(dir) = std::env::var(CHILD_DIR) else { return };
    let address: SocketAddr = std::env::var(CHILD_ADDRESS).unwrap().parse().unwrap();
    let config = BrokerConfig { dir: dir.into(), address };
    let broker = Broker::start(&config).unwrap();
    println!("\nlistening on {}", broker.address());
    std::io::stdin().read_to_end(&mut vec![]).unwrap();
}

struct BrokerProcess {
    child: Child,
    address: String,
}

impl BrokerProcess {
    /// `file_limit` is in the shell's blocks of 512 or 1,024 bytes.
    fn start(dir: &Path, address: &str, file_limit: Option<u32>) -> BrokerProcess {
        let limit = file_limit.map_or(String::new(), |blocks| format!("trap '' XFSZ; ulimit -f {blocks}; "));
        let test = format!("{}::serve_until_killed", module_path!().split_once("::").unwrap().1);
        let mut child = Command::new("sh")
            .args(["-c", &format!("{limit}exec \"$@\""), "sh"])
            .arg(std::env::current_exe().unwrap())
            .args([&test, "--exact", "--ignored", "--nocapture"])
            .env(CHILD_DIR, dir)
            .env(CHILD_ADDRESS, address)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let address = lines.find_map(|line| line.strip_prefix("listening on ").map(String::from));
        BrokerProcess { child, address: address.expect("the child says where it listens") }
    }

    /// SIGKILL.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// What was acknowledged: payload, partition, offset.
type Stored = (String, i32, i64);

type Refused = Option<ErrorCode>;

#[derive(Clone, Default)]
struct Outcome(Arc<Mutex<(Vec<Stored>, Vec<Refused>)>>);

impl ClientContext for Outcome {}

impl ProducerContext for Outcome {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        let mut outcome = self.0.lock().unwrap();
        match result {
            Ok(message) => {
                let text = String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned();
                outcome.0.push((text, message.partition(), message.offset()));
            }
            Err((error, _)) => outcome.1.push(error.rdkafka_error_code()),
        }
    }
}

struct Sender {
    producer: ThreadedProducer<Outcome>,
    outcome: Outcome,
}

impl Sender {
    /// An idempotent producer, unless the settings say otherwise.
    fn new(brokers: &str, settings: &[(&str, &str)]) -> Sender {
        let mut config = client(brokers);
        config.set("enable.idempotence", "true").set("acks", "all").set("linger.ms", "5");
        for (key, value) in settings {
            config.set(*key, *value);
        }
        let outcome = Outcome::default();
        Sender { producer: config.create_with_context(outcome.clone()).unwrap(), outcome }
    }

    fn send<K: rdkafka::message::ToBytes + ?Sized, P: rdkafka::message::ToBytes + ?Sized>(
        &self,
        record: BaseRecord<'_, K, P>,
    ) {
        let (mut record, deadline) = (record, Instant::now() + PATIENCE);
        while let Err((error, back)) = self.producer.send(record) {
            let is_full = error.rdkafka_error_code() == Some(ErrorCode::QueueFull);
            assert!(is_full && Instant::now() < deadline, "{error}");
            record = back;
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn outcome(&self) -> (Vec<Stored>, Vec<Refused>) {
        std::mem::take(&mut self.outcome.0.lock().unwrap())
    }

    /// Everything that was sent, all of it acknowledged.
    fn finish(self) -> Vec<Stored> {
        self.producer.flush(PATIENCE * 2).unwrap();
        let (stored, refused) = self.outcome();
        assert_eq!(refused, [], "refused");
        stored
    }
}

fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "200")
        .set("log_level", "0");
    config
}

fn consumer(brokers: &str) -> BaseConsumer {
    client(brokers)
        .set("group.id", "lake-contract")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("fetch.queue.backoff.ms", "5")
        .set("check.crcs", "true")
        .create()
        .unwrap()
}

fn unique(name: &str) -> String {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    format!("contract-{name}-{}", now.as_nanos())
}

fn new_topic(brokers: &str, name: &str, partitions: i32) -> String {
    let topic = unique(name);
    create(brokers, &topic, partitions).unwrap();
    topic
}

fn create(brokers: &str, topic: &str, partitions: i32) -> Result<(), ErrorCode> {
    let admin: AdminClient<_> = client(brokers).create().unwrap();
    let new = [NewTopic::new(topic, partitions, TopicReplication::Fixed(1))];
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    let results = futures::executor::block_on(admin.create_topics(&new, &options)).unwrap();
    results.into_iter().next().unwrap().map(|_| ()).map_err(|(_, code)| code)
}

fn record<'a>(topic: &'a str, partition: i32, text: &'a str) -> BaseRecord<'a, str, str> {
    BaseRecord::to(topic).partition(partition).payload(text)
}

/// Every record of a topic up to its watermarks, by partition.
fn read_all(brokers: &str, topic: &str, partitions: i32) -> BTreeMap<i32, Vec<OwnedMessage>> {
    let consumer = consumer(brokers);
    let mut assignment = TopicPartitionList::new();
    let mut wanted = 0;
    for partition in 0..partitions {
        assignment.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        wanted += consumer.fetch_watermarks(topic, partition, PATIENCE).unwrap().1;
    }
    consumer.assign(&assignment).unwrap();
    let mut found: BTreeMap<i32, Vec<OwnedMessage>> = (0..partitions).map(|partition| (partition, vec![])).collect();
    for _ in 0..wanted {
        let message: BorrowedMessage<'_> = consumer.poll(PATIENCE).expect("a record in time").unwrap();
        found.get_mut(&message.partition()).unwrap().push(message.detach());
    }
    assert!(consumer.poll(Duration::from_millis(100)).is_none(), "nothing beyond the watermarks");
    found
}

fn offset_at(consumer: &BaseConsumer, topic: &str, time: i64) -> Offset {
    let mut times = TopicPartitionList::new();
    times.add_partition_offset(topic, 0, Offset::Offset(time)).unwrap();
    let found = consumer.offsets_for_times(times, PATIENCE).unwrap();
    found.elements()[0].offset()
}

fn text_of(message: &OwnedMessage) -> String {
    String::from_utf8_lossy(message.payload().unwrap()).into_owned()
}
