//! The first record behind a position: how long it waits says how late a stream is.

use crate::error::{Context, Kind, Result};
use crate::kafka::{Consumer, KafkaConfig, Messages};
use crate::partition::Partition;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Few bytes are fetched: one record of each partition is looked at.
const BUFFER_BYTES: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(3);

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
