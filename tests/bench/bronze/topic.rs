//! Topics for the measurements. A topic is named by its content, so it is filled once and read by many runs.

use crate::orders::{Expected, Shape};
use futures::executor::block_on;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);
/// What a topic accepts as one record.
const LARGEST_RECORD: &str = "16777216";

pub struct Topic {
    pub brokers: String,
    pub name: String,
    pub partitions: i32,
    /// Length of the records' `note`, 0 without one: the reader has to declare it.
    pub note_bytes: usize,
}

impl Topic {
    /// The topic of a shape, filled unless it is there already.
    pub fn kept(brokers: &str, shape: &Shape, compression: &str) -> (Topic, Expected) {
        let Shape { records, partitions, bad_per_mille, note_bytes, seed } = *shape;
        let name = format!("bench-bronze-{records}-{partitions}-{bad_per_mille}-{note_bytes}-{seed}-{compression}");
        let topic = Topic { brokers: brokers.into(), name, partitions, note_bytes };
        if topic.records() == Some(records) {
            println!("topic {} is there (seed {seed})", topic.name);
            return (topic, shape.generate(|_, _| {}));
        }
        topic.delete();
        topic.create();
        let began = Instant::now();
        let producer = topic.producer(compression, "20");
        let expected = shape.generate(|number, payload| {
            send(&producer, &topic.name, (number % partitions as u64) as i32, payload);
        });
        producer.flush(10 * PATIENCE).unwrap();
        assert_eq!(topic.records(), Some(records), "records of {}", topic.name);
        println!("topic {} filled in {:.1} s (seed {seed})", topic.name, began.elapsed().as_secs_f64());
        (topic, expected)
    }

    /// An empty topic of a name nobody else has.
    pub fn fresh(brokers: &str, partitions: i32) -> Topic {
        let name = format!("bench-bronze-{}", uuid::Uuid::new_v4().simple());
        let topic = Topic { brokers: brokers.into(), name, partitions, note_bytes: 0 };
        topic.create();
        topic
    }

    /// Records it holds; `None` unless it is there with these partitions, each with a leader.
    fn records(&self) -> Option<u64> {
        let consumer: BaseConsumer = self.client().create().unwrap();
        let metadata = consumer.fetch_metadata(Some(&self.name), PATIENCE).unwrap();
        let topic = metadata.topics().first()?;
        if topic.error().is_some() || topic.partitions().len() != self.partitions as usize {
            return None;
        }
        let size = |number| {
            let (low, high) = consumer.fetch_watermarks(&self.name, number, PATIENCE).ok()?;
            Some((high - low) as u64)
        };
        (0..self.partitions).map(size).sum()
    }

    fn create(&self) {
        let new = NewTopic::new(&self.name, self.partitions, TopicReplication::Fixed(1))
            .set("max.message.bytes", LARGEST_RECORD)
            .set("retention.ms", "-1");
        let deadline = Instant::now() + PATIENCE;
        while let Err((_, code)) = &block_on(self.admin().create_topics([&new], &AdminOptions::new())).unwrap()[0] {
            // A topic just deleted may still hold its name.
            let deleting = *code == RDKafkaErrorCode::TopicAlreadyExists;
            assert!(deleting && Instant::now() < deadline, "create topic {}: {code}", self.name);
            std::thread::sleep(Duration::from_millis(200));
        }
        while self.records().is_none() {
            assert!(Instant::now() < deadline, "topic {} does not appear", self.name);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn delete(&self) {
        let deleted = block_on(self.admin().delete_topics(&[&self.name], &AdminOptions::new())).unwrap();
        if let Err((name, code)) = &deleted[0] {
            assert_eq!(*code, RDKafkaErrorCode::UnknownTopicOrPartition, "delete topic {name}");
        }
    }

    pub fn producer(&self, compression: &str, linger_ms: &str) -> BaseProducer {
        self.client()
            .set("enable.idempotence", "true")
            .set("linger.ms", linger_ms)
            .set("compression.type", compression)
            .set("batch.size", "1000000")
            .set("message.max.bytes", LARGEST_RECORD)
            .set("queue.buffering.max.messages", "500000")
            .set("queue.buffering.max.kbytes", "131072")
            .create()
            .unwrap()
    }

    /// Properties of any client of these brokers.
    pub fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.brokers).set("client.id", "bench");
        client
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
    }
}

/// Queues one record, waiting while the queue is full.
pub fn send(producer: &BaseProducer, topic: &str, partition: i32, payload: &[u8]) {
    let mut record = BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(payload);
    while let Err((failure, again)) = producer.send(record) {
        assert!(matches!(failure, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)), "{failure}");
        producer.poll(Duration::from_millis(20));
        record = again;
    }
}
