//! Records for Bronze made from a seed, sent straight into Kafka: good ones, and all kinds of bad ones among them.

use super::Project;
use super::seed::Random;
use lake::kafka::{KafkaConfig, admin};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// A topic that is being filled. Deterministic but for Kafka's own timestamps.
pub struct Workload {
    pub brokers: String,
    pub topic: String,
    pub partitions: u64,
    random: Random,
    sent: u64,
}

pub struct Record {
    pub key: Option<String>,
    pub payload: Option<Vec<u8>>,
}

impl Workload {
    /// A new topic with these many records in it.
    pub fn new(brokers: &str, seed: u64, partitions: u64, records: u64) -> Workload {
        let kafka = KafkaConfig { brokers: brokers.into(), ..KafkaConfig::default() };
        let mut workload = Workload::made_by(brokers, seed, partitions, |topic| {
            admin::ensure_topic(&kafka, topic, partitions as i32).unwrap();
        });
        workload.send(records);
        workload
    }

    /// A new topic, still empty, that the caller makes.
    pub fn made_by(brokers: &str, seed: u64, partitions: u64, make: impl FnOnce(&str)) -> Workload {
        let topic = format!("faults-{}", uuid::Uuid::new_v4().simple());
        make(&topic);
        Workload { brokers: brokers.into(), topic, partitions, random: Random::new(seed), sent: 0 }
    }

    pub fn producer(&self) -> BaseProducer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("enable.idempotence", "true").set("linger.ms", "5");
        config.create().unwrap()
    }

    /// Sends more records to partitions drawn by chance and waits until all are in.
    pub fn send(&mut self, records: u64) {
        let producer = self.producer();
        self.send_by(&producer, records);
    }

    /// As [`Workload::send`] by a producer of the caller's.
    pub fn send_by(&mut self, producer: &BaseProducer, records: u64) {
        for _ in 0..records {
            let (partition, record) = (self.random.below(self.partitions), self.record());
            send(producer, &self.topic, partition as i32, &record);
        }
        producer.flush(PATIENCE).unwrap();
    }

    /// One in about thirty cannot become a row.
    fn record(&mut self) -> Record {
        self.sent += 1;
        let (n, chance) = (self.sent, self.random.below(1000));
        let word = format!("w{:x}", self.random.next());
        let amount = self.random.below(1_000_000) as f64 / 64.0;
        let whole = format!(r#"{{"n":{n},"word":"{word}","amount":{amount}}}"#);
        let payload = match chance {
            0..10 => Some(whole.as_bytes()[..self.random.below(whole.len() as u64 - 1) as usize].to_vec()),
            10..20 => Some(format!(r#"{{"n":"number {n}","word":"{word}","amount":{amount}}}"#).into_bytes()),
            20..25 => Some([b"\xff\xfe", whole.as_bytes()].concat()),
            25..30 => Some(format!("{whole}{whole}").into_bytes()),
            30..40 => None,
            _ => Some(whole.into_bytes()),
        };
        let key = (chance % 3 != 0).then(|| format!("k{}", n % 97));
        Record { key, payload }
    }

    /// A project whose one stream reads the topic into `bronze.events`, `batch` records to a commit.
    pub fn project(&self, batch: u64) -> Project {
        let mut project = Project::empty();
        self.contract(&project, "bigint");
        project.env("LAKE__KAFKA__BROKERS", &self.brokers).env("LAKE__BRONZE__MAX_ROWS", &batch.to_string());
        project
    }
}

impl Workload {
    fn contract(&self, project: &Project, n: &str) {
        project.write(
            "models/sources.yml",
            format!(
                "version: 2\nsources:\n  - name: bronze\n    tables:\n      - name: events\n        meta: {{ topic: {} }}\n        columns:\n          - {{ name: n, data_type: {n} }}\n          - {{ name: word, data_type: text }}\n          - {{ name: amount, data_type: double }}\n",
                self.topic
            ),
        );
    }

    /// Lets the project's stream read the records whose `n` is a text as well, from now on.
    pub fn mend(&self, project: &Project) {
        self.contract(project, "text");
        project.write(
            "sql/bronze/events.sql",
            "select cast(replace(n, 'number ', '') as bigint) as n, word, amount, _topic, _partition, _offset from batch\n",
        );
    }
}

pub fn send(producer: &BaseProducer, topic: &str, partition: i32, record: &Record) {
    loop {
        let mut message = BaseRecord::<str, [u8]>::to(topic).partition(partition);
        message.key = record.key.as_deref();
        message.payload = record.payload.as_deref();
        match producer.send(message) {
            Ok(()) => return,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                producer.poll(Duration::from_millis(50));
            }
            Err((failure, _)) => panic!("{failure}"),
        }
    }
}
