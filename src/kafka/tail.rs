//! How far the rows of a source already stand in a topic, found in the topic itself.
//!
//! Each partition is read backwards from its end, in growing stretches, until the last record of every asked
//! source is found or nothing is left. Only headers are looked at.
//!
//! Why the last record of a source in a partition says all about that source in that partition:
//!
//! 1. A source's rows go to a partition by a rule that does not change ([`partitioner`](super::partitioner), and
//!    the number of partitions kept in each record's position), so "the rows of this partition" is a fixed list, in row order.
//! 2. A run sends a stretch of that list that begins right behind a row found here (or at the first row),
//!    and the broker keeps a stretch's beginning without holes however the run ends (head of `producer`).
//! 3. Hence, record by record: whatever row stands in the partition, all earlier rows of its list stand before
//!    it. Replays, an interrupted run and two producers at once only repeat rows, they never open a hole.
//!
//! So a row is missing exactly when it is behind the last one found in its partition; sending it again can at
//! worst repeat it. Bronze needs the same fact and no more: it drops a row at or below the highest one it has
//! of that source and partition, and by 3. never drops one it has not seen.
//!
//! Two producers at once on one source both send what neither finds yet; the rows arrive twice, interleaved,
//! and Bronze keeps the first of each.

use super::Consumer;
use super::consumer::header;
use crate::error::Result;
use crate::partition::Partition;
use crate::record::{HEADER_POSITION, HEADER_SOURCE, SourcePosition};
use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Offsets of the first stretch; each next one is `GROWTH` times as long, up to `LONGEST`.
const SHORTEST: i64 = 500;
const GROWTH: i64 = 8;
const LONGEST: i64 = 256_000;

/// How long a stretch may yield nothing.
const SILENCE: Duration = Duration::from_secs(30);

/// What of one source is in the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// 1, or the number behind `#` of the latest time the source was sent as a new one.
    pub generation: u32,
    /// The last record of that generation in each partition that has one; never empty.
    pub last: BTreeMap<i32, Last>,
}

/// The last record of a source in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Last {
    pub position: SourcePosition,
    pub key: Option<Bytes>,
}

/// Looks each source id (without `#n`) up in the topic; absent from the result when nothing of it is there.
/// `keep_on` is asked often and its error ends the search. Blocking.
pub fn find(
    consumer: &mut Consumer,
    topic: &str,
    sources: &BTreeSet<String>,
    keep_on: &dyn Fn() -> Result<()>,
) -> Result<BTreeMap<String, Tail>> {
    let Some(partitions) = consumer.partitions(topic)? else {
        return Ok(BTreeMap::new());
    };
    let mut search = Search { sources, found: BTreeMap::new() };
    let mut stretches = Vec::new();
    for partition in partitions {
        let marks = consumer.watermarks(&partition)?;
        stretches.push(Stretch { partition, low: marks.low, from: marks.high, to: marks.high });
    }
    let mut length = SHORTEST;
    loop {
        stretches.retain_mut(|stretch| stretch.step_back(length) && !search.is_settled(stretch.partition.number));
        if stretches.is_empty() {
            return Ok(search.tails());
        }
        search.read(consumer, &stretches, keep_on)?;
        length = (length * GROWTH).min(LONGEST);
    }
}

/// The offsets `from..to` of a partition, moving towards its low watermark.
struct Stretch {
    partition: Partition,
    low: i64,
    from: i64,
    to: i64,
}

impl Stretch {
    /// False when nothing is left before it.
    fn step_back(&mut self, length: i64) -> bool {
        self.to = self.from;
        self.from = self.low.max(self.to - length);
        self.from < self.to
    }
}

/// Found in a partition: the generation and the record.
type Sighting = (u32, Last);

struct Search<'a> {
    sources: &'a BTreeSet<String>,
    found: BTreeMap<String, BTreeMap<i32, Sighting>>,
}

impl Search<'_> {
    /// Whether no earlier record of the partition can matter any more.
    fn is_settled(&self, partition: i32) -> bool {
        self.sources.iter().all(|source| {
            self.found.get(source).is_some_and(|sightings| {
                // Rows of all generations stay in the partitions of the first: one of any number, or those from
                // 0 on.
                let spread = sightings.values().map(|(_, last)| last.position.partitions).max().unwrap_or(1);
                spread == 1 || partition >= spread as i32 || sightings.contains_key(&partition)
            })
        })
    }

    /// Reads the stretches side by side and keeps, per source and partition, the last record in them, unless
    /// a later stretch already gave one.
    fn read(&mut self, consumer: &mut Consumer, stretches: &[Stretch], keep_on: &dyn Fn() -> Result<()>) -> Result<()> {
        consumer.assign(&stretches.iter().map(|stretch| (stretch.partition.clone(), stretch.from)).collect())?;
        let mut open: BTreeMap<i32, &Stretch> =
            stretches.iter().map(|stretch| (stretch.partition.number, stretch)).collect();
        let mut seen: BTreeMap<(&str, i32), Sighting> = BTreeMap::new();
        let mut heard = Instant::now();
        while !open.is_empty() {
            keep_on()?;
            let sources = self.sources;
            let read = |message: &BorrowedMessage<'_>| {
                let inside = open.get(&message.partition()).is_some_and(|stretch| message.offset() < stretch.to);
                inside.then(|| sighting(message, sources)).flatten().map(|seen| (message.partition(), seen))
            };
            match consumer.poll_with(Duration::from_millis(100), read)? {
                Some(Some((number, (source, sighting)))) => {
                    seen.insert((source, number), sighting);
                    heard = Instant::now();
                }
                Some(None) => heard = Instant::now(),
                None if heard.elapsed() > SILENCE => {
                    return Err(consumer.silent("look for rows already sent", SILENCE));
                }
                None => {}
            }
            close_finished(consumer, &mut open)?;
        }
        for ((source, number), sighting) in seen {
            self.found.entry(source.to_string()).or_default().entry(number).or_insert(sighting);
        }
        Ok(())
    }

    fn tails(self) -> BTreeMap<String, Tail> {
        let tail = |sightings: BTreeMap<i32, Sighting>| {
            let generation = sightings.values().map(|(generation, _)| *generation).max().unwrap_or(1);
            let latest = sightings.into_iter().filter(|(_, sighting)| sighting.0 == generation);
            Tail { generation, last: latest.map(|(number, (_, last))| (number, last)).collect() }
        };
        self.found.into_iter().map(|(source, sightings)| (source, tail(sightings))).collect()
    }
}

/// Drops the stretches that are read to their end, and stops fetching behind them.
fn close_finished(consumer: &mut Consumer, open: &mut BTreeMap<i32, &Stretch>) -> Result<()> {
    let mut finished = Vec::new();
    for stretch in open.values() {
        if consumer.position(&stretch.partition).is_some_and(|next| next >= stretch.to) {
            finished.push(stretch.partition.clone());
        }
    }
    if finished.is_empty() {
        return Ok(());
    }
    open.retain(|number, _| !finished.iter().any(|partition| partition.number == *number));
    consumer.pause(&finished)
}

/// Which of the sources a record came from, if any, and where it stood there. A record of somebody else, or
/// one whose headers cannot be read, is none of ours.
fn sighting<'a>(message: &BorrowedMessage<'_>, sources: &'a BTreeSet<String>) -> Option<(&'a str, Sighting)> {
    let headers = message.headers()?;
    let (mut id, mut position) = (None, None);
    for index in 0..headers.count().min(2) {
        let (name, value) = header(headers, index)?;
        let text = || value.and_then(|value| std::str::from_utf8(value).ok());
        match name {
            HEADER_SOURCE => id = text(),
            HEADER_POSITION => position = text(),
            _ => {}
        }
    }
    let (source, generation) = split_generation(id?, sources)?;
    let position = SourcePosition::parse(position?).ok()?;
    let last = Last { position, key: message.key().map(Bytes::copy_from_slice) };
    Some((source, (generation, last)))
}

/// `x` is generation 1 of `x`, `x#2` generation 2, unless a source is itself called `x#2`.
fn split_generation<'a>(id: &str, sources: &'a BTreeSet<String>) -> Option<(&'a str, u32)> {
    if let Some(source) = sources.get(id) {
        return Some((source, 1));
    }
    let (source, number) = id.rsplit_once('#')?;
    let generation = number.parse().ok().filter(|generation| *generation >= 2)?;
    sources.get(source).map(|source| (source.as_str(), generation))
}
