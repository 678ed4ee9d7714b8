//! Topics: making one that is missing. Never deletes or alters one.

use super::watch::Watch;
use super::{CONNECT_TIMEOUT, Consumer, KafkaConfig, fault};
use crate::error::{Error, Result};
use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use std::time::{Duration, Instant};

/// Makes sure the topic exists and returns its number of partitions, which for an existing topic may
/// differ from the number asked for. Blocking.
pub fn ensure_topic(config: &KafkaConfig, topic: &str, partitions: i32) -> Result<i32> {
    if partitions < 1 {
        return Err(
            Error::config(format!("topic `{topic}` cannot have {partitions} partitions")).hint("give it at least one")
        );
    }
    let consumer = Consumer::new(config)?;
    if let Some(existing) = consumer.partitions(topic)? {
        return Ok(existing.len() as i32);
    }
    create(config, topic, partitions)?;
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    loop {
        if let Some(created) = consumer.partitions(topic)? {
            return Ok(created.len() as i32);
        }
        if Instant::now() > deadline {
            return Err(Error::unavailable(format!("topic `{topic}` was created but did not appear"))
                .hint("run it again; look at the broker's log if it stays so"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether a broker answers within [`CONNECT_TIMEOUT`]; the number of brokers. Blocking.
pub fn reachable(config: &KafkaConfig) -> Result<usize> {
    Consumer::new(config)?.brokers()
}

/// Records are kept for ever: rows of a file may carry event times of years ago, which the usual retention
/// of seven days would delete before anybody read them, and `produce` finds its place in the topic itself.
fn create(config: &KafkaConfig, topic: &str, partitions: i32) -> Result<()> {
    let attempt = format!("create topic `{topic}`");
    let admin: AdminClient<Watch> = config.create(&config.sending()?, Watch::default())?;
    let wanted = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1)).set("retention.ms", "-1");
    let options = AdminOptions::new().request_timeout(Some(CONNECT_TIMEOUT)).operation_timeout(Some(CONNECT_TIMEOUT));
    let code = match block_on(admin.create_topics([&wanted], &options)) {
        Ok(results) => results.into_iter().find_map(|result| result.err().map(|(_, code)| code)),
        Err(KafkaError::AdminOp(code)) => Some(code),
        Err(other) => return Err(fault::explain(config, &attempt, other, admin.inner().context())),
    };
    match code {
        // Another producer was first.
        None | Some(Code::TopicAlreadyExists) => Ok(()),
        Some(code) => Err(fault::explain(config, &attempt, KafkaError::Global(code), admin.inner().context())),
    }
}
