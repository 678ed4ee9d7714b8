//! The loop against a topic made up here: three partitions of good, bad, repeated, empty and missing records,
//! read in random order, cut into random batches, ended at random places before the commit.

mod drift;
mod kinds;
mod partitioned;
mod refused;
mod road;
mod tables;

use super::batch::Batch;
use super::intake::{Feed, Full};
use super::marks::Marks;
use super::sort::{count_by_partition, sort};
use super::start::Survey;
use super::*;
use crate::decode::JsonDecoder;
use crate::error::Error;
use crate::kafka::mock::Message;
use crate::kafka::{Messages, Tip, Watermarks};
use crate::record::{HEADER_ERROR, HEADER_POSITION, HEADER_SOURCE, SourcePosition};
use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Fields, Int64Type};
use arrow::record_batch::RecordBatch;
use proptest::prelude::*;
use std::sync::Arc;

const TOPIC: &str = "books";

/// What stands at one offset.
#[derive(Debug, Clone, Copy)]
enum Slot {
    Gap,
    Tombstone,
    Good,
    Bad,
    /// The next row of source `a` or `b`; the flags say whether it is readable and where the fault lies.
    Row {
        source: u8,
        fault: Fault,
    },
    /// Row `back` before the newest of the source, sent again.
    Replay {
        source: u8,
        back: u8,
    },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    Source,
    Payload,
}

fn slot() -> impl Strategy<Value = Slot> {
    let fault = prop_oneof![4 => Just(Fault::None), 1 => Just(Fault::Source), 1 => Just(Fault::Payload)];
    prop_oneof![
        1 => Just(Slot::Gap),
        1 => Just(Slot::Tombstone),
        2 => Just(Slot::Good),
        1 => Just(Slot::Bad),
        4 => (0u8..2, fault).prop_map(|(source, fault)| Slot::Row { source, fault }),
        2 => (0u8..2, 0u8..4).prop_map(|(source, back)| Slot::Replay { source, back }),
    ]
}

/// A row of the table: partition, offset, quarantined.
type Place = (i32, i64, bool);

/// The log of each partition, and what of it has to be in the table.
struct Topic {
    log: Vec<Vec<Option<Message>>>,
    expected: Vec<Place>,
}

impl Topic {
    fn new(slots: &[Vec<Slot>]) -> Topic {
        let mut topic = Topic { log: Vec::new(), expected: Vec::new() };
        for (number, slots) in slots.iter().enumerate() {
            let mut newest = [0u64; 2];
            let mut log = Vec::new();
            for (offset, slot) in slots.iter().enumerate() {
                let (message, kept) = message(number as i32, offset as i64, *slot, &mut newest);
                log.push(message);
                topic.expected.extend(kept.map(|bad| (number as i32, offset as i64, bad)));
            }
            topic.log.push(log);
        }
        topic
    }

    fn survey(&self) -> Survey {
        let ends =
            self.log.iter().enumerate().map(|(number, log)| {
                (Partition::new(TOPIC, number as i32), Watermarks { low: 0, high: log.len() as i64 })
            });
        Survey { watermarks: ends.collect(), timed: BTreeMap::new() }
    }

    /// A consumer that fails once it has delivered `lives` messages.
    fn consumer(self: &Arc<Topic>, seed: u64, lives: usize) -> Replay {
        Replay { topic: self.clone(), at: BTreeMap::new(), seed, lives }
    }
}

/// The message of a slot, and `Some(quarantined)` when the table has to hold it.
fn message(number: i32, offset: i64, slot: Slot, newest: &mut [u64; 2]) -> (Option<Message>, Option<bool>) {
    let plain = |payload: Option<&str>| Message {
        partition: Partition::new(TOPIC, number),
        offset,
        timestamp_ms: Some(offset),
        key: None,
        payload: payload.map(|payload| payload.to_string().into()),
        headers: Vec::new(),
    };
    let sent = |source: u8, row: u64, fault: Fault| {
        let mut message = plain(Some(if fault == Fault::None { "{\"n\":1}" } else { "raw" }));
        let position = SourcePosition { row, partitions: 1, digest: row }.to_string();
        let source = ["a", "b"][source as usize].to_string();
        message.headers =
            vec![(HEADER_SOURCE.into(), Some(source.into())), (HEADER_POSITION.into(), Some(position.into()))];
        if fault == Fault::Source {
            message.headers.push((HEADER_ERROR.into(), Some("a:1: ragged".into())));
        }
        Some(message)
    };
    match slot {
        Slot::Gap => (None, None),
        Slot::Tombstone => (Some(plain(None)), None),
        Slot::Good => (Some(plain(Some("{\"n\":\"2\",\"m\":1}"))), Some(false)),
        Slot::Bad => (Some(plain(Some("{\"n\":1}{}"))), Some(true)),
        Slot::Row { source, fault } => {
            newest[source as usize] += 1;
            (sent(source, newest[source as usize], fault), Some(fault != Fault::None))
        }
        Slot::Replay { source, back } => match newest[source as usize].checked_sub(back.into()) {
            None | Some(0) => (None, None),
            Some(row) => (sent(source, row, Fault::None), None),
        },
    }
}

struct Replay {
    topic: Arc<Topic>,
    at: BTreeMap<Partition, i64>,
    seed: u64,
    lives: usize,
}

impl Replay {
    fn random(&mut self, below: usize) -> usize {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) as usize % below.max(1)
    }
}

impl Feed for Replay {
    fn tips(&mut self, offsets: &BTreeMap<Partition, i64>) -> Result<BTreeMap<Partition, Tip>> {
        let mut found = BTreeMap::new();
        for (partition, at) in offsets {
            let mut messages = Messages::default();
            if let Some(message) = &self.topic.log[partition.number as usize][*at as usize] {
                message.push_to(&mut messages);
                found.insert(partition.clone(), Tip::of(&messages.get(0)));
            }
        }
        Ok(found)
    }

    fn assign(&mut self, positions: &BTreeMap<Partition, i64>) -> Result<()> {
        self.at = positions.clone();
        Ok(())
    }

    fn fill(&mut self, messages: &mut Messages, full: &Full, _timeout: Duration) -> Result<()> {
        let wanted = 1 + self.random(5);
        while !full.holds(messages) && messages.len() < wanted {
            let log = |partition: &Partition| &self.topic.log[partition.number as usize];
            let open = self.at.iter().filter(|(partition, at)| (**at as usize) < log(partition).len());
            let open: Vec<Partition> = open.map(|(partition, _)| partition.clone()).collect();
            if open.is_empty() {
                std::thread::sleep(Duration::from_millis(1));
                return Ok(());
            }
            if self.lives == 0 {
                return Err(Error::unavailable("the consumer was to fail here"));
            }
            self.lives -= 1;
            let partition = open[self.random(open.len())].clone();
            let at = self.at.get_mut(&partition).unwrap();
            if let Some(message) = &self.topic.log[partition.number as usize][*at as usize] {
                message.push_to(messages);
            }
            *at += 1;
        }
        Ok(())
    }

    fn position(&self, partition: &Partition) -> Option<i64> {
        self.at.get(partition).copied()
    }

    fn end(&self, partition: &Partition) -> Option<i64> {
        Some(self.topic.log[partition.number as usize].len() as i64)
    }

    fn partitions(&self, _topics: &Topics) -> Result<Vec<Partition>> {
        Ok(self.topic.survey().watermarks.into_keys().collect())
    }
}

fn places(batch: &RecordBatch) -> Vec<Place> {
    let numbers = batch.column_by_name("_partition").unwrap().as_primitive::<arrow::datatypes::Int32Type>();
    let offsets = batch.column_by_name("_offset").unwrap().as_primitive::<Int64Type>();
    let flags = batch.column_by_name("_quarantined").unwrap().as_boolean();
    (0..batch.num_rows()).map(|row| (numbers.value(row), offsets.value(row), flags.value(row))).collect()
}

fn columns() -> Fields {
    vec![Field::new("n", DataType::Int64, true)].into()
}

/// A table in memory: everything one commit replaces at once.
#[derive(Default)]
struct Destination {
    positions: BTreeMap<Partition, i64>,
    marks: BTreeMap<(usize, String), i64>,
    places: Vec<Place>,
}

impl Destination {
    /// Works messages off that the batch covers.
    fn work(&self, messages: &Messages, batch: &mut Batch, marks: &mut Marks) -> Vec<Place> {
        for (slot, source) in marks.unknown(messages) {
            let stored = self.marks.get(&(slot, source.clone())).copied();
            marks.learn(slot, source, stored);
        }
        let partitions = batch.partitions();
        let mut decoder = JsonDecoder::new(&columns()).unwrap();
        let sorted = sort(&partitions, messages, None, &mut decoder, Some(marks), 0).unwrap();
        for (slot, counts) in &sorted.counts {
            batch.count(*slot, |sum| sum.add(counts));
        }
        for (slot, rows) in count_by_partition(&sorted.good, &partitions).unwrap() {
            batch.count(slot, |counts| counts.rows += rows);
        }
        for (slot, rejects) in count_by_partition(&sorted.quarantined, &partitions).unwrap() {
            batch.count(slot, |counts| counts.rejects += rejects);
        }
        [places(&sorted.good), places(&sorted.quarantined)].concat()
    }

    fn commit(&mut self, batch: &Batch, marks: &mut Marks, places: Vec<Place>) {
        for mark in marks.moved() {
            let key = (mark.slot, mark.source);
            assert_eq!(self.marks.get(&key).copied(), mark.stored);
            self.marks.insert(key, mark.highest);
        }
        marks.committed();
        self.positions = batch.ends();
        self.places.extend(places);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_record_arrives_once_whatever_is_cut_or_dropped(
        slots in prop::collection::vec(prop::collection::vec(slot(), 0..40), 3),
        cuts in prop::collection::vec((1usize..15, prop::bool::weighted(0.7)), 200),
        seed in any::<u64>(),
    ) {
        let topic = Arc::new(Topic::new(&slots));
        let survey = topic.survey();
        let positions = survey.watermarks.keys().map(|partition| (partition.clone(), 0)).collect();
        let mut table = Destination { positions, ..Destination::default() };
        let mut cuts = cuts.into_iter().chain(std::iter::repeat((1_000, true)));
        'run: loop {
            let mut consumer = topic.consumer(seed, usize::MAX);
            consumer.assign(&table.positions).unwrap();
            let mut marks = Marks::default();
            for (length, commit) in cuts.by_ref() {
                let mut batch = Batch::starting_at(&table.positions);
                let mut places = Vec::new();
                for _ in 0..length {
                    let mut messages = Messages::default();
                    consumer.fill(&mut messages, &Full { messages: 7, bytes: 100 }, Duration::ZERO).unwrap();
                    batch.take(&messages).unwrap();
                    batch.reach(&consumer.at);
                    places.extend(table.work(&messages, &mut batch, &mut marks));
                }
                batch.check_conservation().unwrap();
                if !commit {
                    continue 'run;
                }
                table.commit(&batch, &mut marks, places);
                if table.positions.iter().all(|(partition, at)| *at == survey.watermarks[partition].high) {
                    break 'run;
                }
            }
        }
        table.places.sort();
        let mut expected = topic.expected.clone();
        expected.sort();
        prop_assert_eq!(table.places, expected);
    }
}
