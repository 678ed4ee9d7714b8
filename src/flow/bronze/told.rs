//! What is told of each commit while a run goes on.

use super::batch::{Batch, Counts, Part};
use crate::ident::TableName;
use crate::partition::Partition;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::time::Duration;

/// One committed batch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Told {
    /// RFC 3339.
    pub time: String,
    pub table: String,
    pub version: i64,
    #[serde(flatten)]
    pub(super) counts: Counts,
    /// Payload, key and header bytes read for it.
    pub bytes: u64,
    /// By `topic/number`.
    pub partitions: BTreeMap<String, Place>,
    pub milliseconds: Steps,
}

/// How far a partition has come.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Place {
    /// Next offset to read.
    pub position: i64,
    /// Records behind it, as of a second ago.
    pub lag: Option<i64>,
    /// Age of the newest message read by its timestamp; `None` without a message in this batch.
    pub lag_seconds: Option<f64>,
}

/// How long a batch was in each step. Steps of different batches go on at the same time, so the sums of a run can be
/// longer than the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Steps {
    /// Waiting for messages.
    #[serde(serialize_with = "milliseconds")]
    pub poll: Duration,
    #[serde(serialize_with = "milliseconds")]
    pub decode: Duration,
    #[serde(serialize_with = "milliseconds")]
    pub sql: Duration,
    /// Waiting for the encoder, and closing the files.
    #[serde(serialize_with = "milliseconds")]
    pub write: Duration,
    #[serde(serialize_with = "milliseconds")]
    pub commit: Duration,
}

fn milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 1e5).round() / 100.0)
}

/// `ends`: where partitions ended, as far as that is known.
pub(super) fn told(
    table: &TableName,
    version: i64,
    batch: &Batch,
    ends: &BTreeMap<Partition, i64>,
    milliseconds: Steps,
    now: DateTime<Utc>,
) -> Told {
    let (mut counts, mut partitions) = (Counts::default(), BTreeMap::new());
    for (partition, Part { step, counts: more, newest_ms, .. }) in batch.parts() {
        counts.add(more);
        let lag = ends.get(partition).map(|end| (end - step.to).max(0));
        let age = newest_ms.map(|newest| (now.timestamp_millis() - newest) as f64 / 1000.0);
        partitions.insert(partition.to_string(), Place { position: step.to, lag, lag_seconds: age });
    }
    let time = now.to_rfc3339_opts(SecondsFormat::Millis, true);
    Told { time, table: table.to_string(), version, counts, bytes: batch.bytes as u64, partitions, milliseconds }
}
