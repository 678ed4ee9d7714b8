//! What the brokers hold of streams, and the first record behind a position: how long it waits says how late a stream
//! is.

use super::bronze::{self, Stream};
use crate::error::{Context, Kind, Result};
use crate::kafka::{Consumer, KafkaConfig, Messages, Watermarks};
use crate::model::Topics;
use crate::partition::Partition;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Few bytes are fetched: one record of each partition is looked at.
const BUFFER_BYTES: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(3);

pub type Marks = BTreeMap<Partition, Watermarks>;

/// Watermarks of all partitions of the streams' topics that exist.
pub async fn watermarks(kafka: KafkaConfig, streams: &[Stream]) -> Result<Marks> {
    let wanted: Vec<Topics> = streams.iter().map(|stream| stream.topics.clone()).collect();
    let asked = tokio::task::spawn_blocking(move || {
        let consumer = Consumer::new(&kafka)?;
        let mut found = Marks::new();
        for topics in wanted {
            for partition in bronze::partitions(&consumer, &topics)? {
                let watermarks = consumer.watermarks(&partition)?;
                found.insert(partition, watermarks);
            }
        }
        Ok(found)
    });
    asked.await.context(Kind::Internal, || "ask the broker")?
}

/// When the first record at or behind each position was sent, in milliseconds since 1970. Partitions that
/// give none in time, or one without a time, are left out.
pub async fn sent(kafka: KafkaConfig, positions: BTreeMap<Partition, i64>) -> Result<BTreeMap<Partition, i64>> {
    if positions.is_empty() {
        return Ok(BTreeMap::new());
    }
    let looked = tokio::task::spawn_blocking(move || look(&kafka, &positions));
    looked.await.context(Kind::Internal, || "look at records not read yet")?
}

fn look(kafka: &KafkaConfig, positions: &BTreeMap<Partition, i64>) -> Result<BTreeMap<Partition, i64>> {
    let mut consumer = Consumer::buffering(kafka, BUFFER_BYTES)?;
    consumer.assign(positions)?;
    let deadline = Instant::now() + PATIENCE;
    let mut first: BTreeMap<usize, Option<i64>> = BTreeMap::new();
    while first.len() < positions.len() && Instant::now() < deadline {
        let mut messages = Messages::default();
        consumer.fill(&mut messages, |messages| messages.len() >= 1024, Duration::from_millis(200))?;
        for message in messages.iter() {
            first.entry(message.slot).or_insert(message.timestamp_ms);
        }
    }
    let slots = positions.keys().enumerate();
    let sent = slots.filter_map(|(slot, partition)| Some((partition.clone(), (*first.get(&slot)?)?)));
    Ok(sent.collect())
}
