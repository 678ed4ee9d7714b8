//! For tests of this module and of the flows: librdkafka's broker inside the process. It forgets everything
//! at its end, keeps about 5 MB a partition, and cannot create topics on request.

use super::{Consumer, KafkaConfig, Messages};
use crate::partition::Partition;
use bytes::Bytes;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub(crate) struct Mock {
    pub(super) cluster: MockCluster<'static, DefaultProducerContext>,
    pub config: KafkaConfig,
}

/// A message on its own.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    pub partition: Partition,
    pub offset: i64,
    pub timestamp_ms: Option<i64>,
    pub key: Option<Bytes>,
    pub payload: Option<Bytes>,
    pub headers: Vec<(String, Option<Bytes>)>,
}

impl Message {
    fn new(partitions: &[&Partition], message: super::Message<'_>) -> Message {
        let owned = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
        Message {
            partition: partitions[message.slot].clone(),
            offset: message.offset,
            timestamp_ms: message.timestamp_ms,
            key: message.key.map(owned),
            payload: message.payload.map(owned),
            headers: message.headers.map(|(name, value)| (name.to_string(), value.map(owned))).collect(),
        }
    }

    /// As of a topic whose partitions are all assigned.
    pub fn push_to(&self, messages: &mut Messages) {
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
        let (slot, key, payload) = (self.partition.number as usize, self.key.as_deref(), self.payload.as_deref());
        messages.push(slot, self.offset, self.timestamp_ms, key, payload, headers);
    }
}

impl Mock {
    pub fn with_topic(topic: &str, partitions: i32) -> Mock {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(topic, partitions, 1).unwrap();
        let config = KafkaConfig { brokers: cluster.bootstrap_servers(), ..KafkaConfig::default() };
        Mock { cluster, config }
    }

    /// Everything in the topic, partition by partition.
    pub fn read_all(&self, topic: &str) -> Vec<Message> {
        read_all(&self.config, topic)
    }
}

pub(crate) fn read_all(config: &KafkaConfig, topic: &str) -> Vec<Message> {
    let mut consumer = Consumer::new(config).unwrap();
    let partitions = consumer.partitions(topic).unwrap().unwrap();
    let ends: BTreeMap<_, _> =
        partitions.into_iter().map(|partition| (partition.clone(), consumer.watermarks(&partition).unwrap())).collect();
    consumer.assign(&ends.iter().map(|(partition, marks)| (partition.clone(), marks.low)).collect()).unwrap();
    let mut messages = Messages::default();
    let deadline = Instant::now() + Duration::from_secs(20);
    while ends.iter().any(|(partition, marks)| consumer.position(partition).unwrap_or(0) < marks.high) {
        assert!(Instant::now() < deadline, "reading {topic} takes too long");
        consumer.fill(&mut messages, |_| false, Duration::from_millis(100)).unwrap();
    }
    let partitions: Vec<&Partition> = ends.keys().collect();
    let mut messages: Vec<Message> = messages.iter().map(|message| Message::new(&partitions, message)).collect();
    messages.sort_by_key(|message| (message.partition.number, message.offset));
    messages
}
