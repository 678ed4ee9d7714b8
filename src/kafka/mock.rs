//! For tests of this module and of the flows: librdkafka's broker inside the process. It forgets everything
//! at its end, keeps about 5 MB a partition, and cannot create topics on request.

use super::{Consumer, KafkaConfig, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub(crate) struct Mock {
    pub(super) cluster: MockCluster<'static, DefaultProducerContext>,
    pub config: KafkaConfig,
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
    let mut messages = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(20);
    while ends.iter().any(|(partition, marks)| consumer.position(partition).unwrap().unwrap_or(0) < marks.high) {
        assert!(Instant::now() < deadline, "reading {topic} takes too long");
        messages.extend(consumer.poll(Duration::from_millis(100)).unwrap());
    }
    messages.sort_by_key(|message| (message.partition.number, message.offset));
    messages
}
