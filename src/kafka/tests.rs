//! Reader, writer and search together against a broker inside the process.

use super::mock::Mock;
use super::*;
use crate::error::Kind;
use crate::partition::Partition;
use crate::record::{HEADER_ERROR, HEADER_POSITION, HEADER_SOURCE, Record, SourcePosition};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::time::Instant;

const ACK: Duration = Duration::from_secs(20);

fn record(row: u64, partitions: u32) -> Record {
    Record {
        key: None,
        payload: Bytes::from(format!("{{\"row\":\"{row}\"}}")),
        timestamp_ms: None,
        position: SourcePosition { row, partitions, digest: row * 7 },
        error: None,
    }
}

fn send(mock: &Mock, source: &str, partitions: u32, rows: &[(i32, u64)]) {
    let producer = Producer::new(&mock.config, "t", ACK).unwrap();
    for (partition, row) in rows {
        producer.send(*partition, source, &record(*row, partitions)).unwrap();
    }
    producer.flush().unwrap();
    assert_eq!(producer.acknowledged(), rows.len() as u64);
}

fn search(mock: &Mock, sources: &[&str]) -> BTreeMap<String, (u32, Vec<(i32, u64)>)> {
    let sources: BTreeSet<String> = sources.iter().map(|source| source.to_string()).collect();
    let mut consumer = Consumer::new(&mock.config).unwrap();
    let found = tail::find(&mut consumer, "t", &sources, &|| Ok(())).unwrap();
    found
        .into_iter()
        .map(|(source, tail)| {
            let last = tail.last.into_iter().map(|(partition, last)| (partition, last.position.row)).collect();
            (source, (tail.generation, last))
        })
        .collect()
}

#[test]
fn a_record_comes_back_as_it_was_sent() {
    let mock = Mock::with_topic("t", 2);
    let producer = Producer::new(&mock.config, "t", ACK).unwrap();
    let good = Record { key: Some("k".into()), timestamp_ms: Some(1_600_000_000_123), ..record(1, 1) };
    let bad = Record { error: Some("f:2: why".into()), timestamp_ms: Some(i64::MAX), ..record(2, 1) };
    let before = SystemNow::ms();
    producer.send(1, "f", &good).unwrap();
    producer.send(1, "f", &bad).unwrap();
    producer.flush().unwrap();

    let messages = mock.read_all("t");
    let [first, second] = messages.as_slice() else { panic!("{messages:?}") };
    assert_eq!((first.partition.clone(), first.offset), (Partition::new("t", 1), 0));
    assert_eq!(first.key.as_deref(), Some(b"k".as_slice()));
    assert_eq!(first.payload, Some(good.payload));
    assert_eq!(first.timestamp_ms, Some(1_600_000_000_123));
    let text = |value: &str| Some(Bytes::from(value.to_string()));
    assert_eq!(
        first.headers,
        vec![(HEADER_SOURCE.to_string(), text("f")), (HEADER_POSITION.to_string(), text("1;1;0000000000000007")),]
    );
    assert_eq!(second.headers.last(), Some(&(HEADER_ERROR.to_string(), text("f:2: why"))));
    assert!(second.timestamp_ms.unwrap() >= before, "a time in the future is not sent");

    let consumer = Consumer::new(&mock.config).unwrap();
    assert_eq!(consumer.watermarks(&Partition::new("t", 1)).unwrap(), Watermarks { low: 0, high: 2 });
    assert_eq!(consumer.offset_at(&Partition::new("t", 1), i64::MAX / 2).unwrap(), 2);
    assert_eq!(consumer.partitions("unknown").unwrap(), None);
    assert_eq!(admin::reachable(&mock.config).unwrap(), 1);
    assert_eq!(admin::ensure_topic(&mock.config, "t", 9).unwrap(), 2);
    assert_eq!(admin::ensure_topic(&mock.config, "u", 0).unwrap_err().kind(), Kind::Config);
}

/// The offset of the next message; `None` when none came in time.
fn next(consumer: &mut Consumer, wait: Duration) -> Result<Option<i64>> {
    let mut messages = Messages::default();
    consumer.fill(&mut messages, |messages| messages.len() == 1, wait)?;
    Ok(messages.iter().next().map(|message| message.offset))
}

struct SystemNow;
impl SystemNow {
    fn ms() -> i64 {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
    }
}

#[test]
fn assignment_positions_and_pausing() {
    let mock = Mock::with_topic("t", 1);
    send(&mock, "f", 1, &[(0, 1), (0, 2), (0, 3)]);
    let partition = Partition::new("t", 0);
    let mut consumer = Consumer::new(&mock.config).unwrap();
    consumer.assign(&BTreeMap::from([(partition.clone(), 1)])).unwrap();
    assert_eq!(consumer.position(&partition), None);
    let wait = Duration::from_secs(5);
    assert_eq!(next(&mut consumer, wait).unwrap(), Some(1));
    assert_eq!(consumer.position(&partition), Some(2));
    consumer.pause(std::slice::from_ref(&partition)).unwrap();
    assert!(next(&mut consumer, Duration::from_millis(300)).unwrap().is_none());
    // Assigning again also wakes what was paused.
    consumer.assign(&BTreeMap::from([(partition.clone(), 2)])).unwrap();
    assert_eq!(next(&mut consumer, wait).unwrap(), Some(2));
    // An assignment at the end: nothing is delivered, and the position is known all the same.
    consumer.assign(&BTreeMap::from([(partition.clone(), 3)])).unwrap();
    let deadline = Instant::now() + wait;
    while consumer.position(&partition).is_none() && Instant::now() < deadline {
        assert!(next(&mut consumer, wait).unwrap().is_none());
    }
    assert_eq!(consumer.position(&partition), Some(3));
}

#[test]
fn partitions_of_several_topics_are_told_apart() {
    let mock = Mock::with_topic("t", 2);
    mock.cluster.create_topic("u", 3, 1).unwrap();
    send(&mock, "f", 1, &[(0, 1), (0, 2), (1, 3)]);
    let producer = Producer::new(&mock.config, "u", ACK).unwrap();
    (4..8).for_each(|row| producer.send((row % 2) as i32, "f", &record(row, 1)).unwrap());
    producer.flush().unwrap();
    let mut consumer = Consumer::new(&mock.config).unwrap();
    let partitions = consumer.partitions_of(|topic| topic != "other").unwrap();
    let names: Vec<String> = partitions.iter().map(Partition::to_string).collect();
    assert_eq!(names, ["t/0", "t/1", "u/0", "u/1", "u/2"]);
    consumer.assign(&partitions.iter().map(|partition| (partition.clone(), 0)).collect()).unwrap();
    let (mut messages, deadline) = (Messages::default(), Instant::now() + Duration::from_secs(10));
    while messages.len() < 7 {
        assert!(Instant::now() < deadline);
        consumer.fill(&mut messages, |_| false, Duration::from_millis(100)).unwrap();
    }
    let mut found: Vec<(&str, i64)> =
        messages.iter().map(|message| (names[message.slot].as_str(), message.offset)).collect();
    found.sort_unstable();
    assert_eq!(found, [("t/0", 0), ("t/0", 1), ("t/1", 0), ("u/0", 0), ("u/0", 1), ("u/1", 0), ("u/1", 1)]);
    let positions: Vec<Option<i64>> = partitions.iter().map(|partition| consumer.position(partition)).collect();
    assert_eq!(positions[..4], [Some(2), Some(1), Some(2), Some(2)]);
}

#[test]
fn tips_are_the_records_at_their_offsets() {
    let mock = Mock::with_topic("t", 3);
    send(&mock, "f", 1, &[(0, 1), (0, 2), (0, 3), (1, 1), (1, 2)]);
    let mut expected = BTreeMap::new();
    for message in mock.read_all("t") {
        let mut messages = Messages::default();
        message.push_to(&mut messages);
        expected.insert((message.partition.clone(), message.offset), Tip::of(&messages.get(0)));
    }
    let mut consumer = Consumer::new(&mock.config).unwrap();
    let (one, other) = (Partition::new("t", 0), Partition::new("t", 1));
    for (first, second) in [(0, 1), (2, 0)] {
        let found = consumer.tips(&BTreeMap::from([(one.clone(), first), (other.clone(), second)])).unwrap();
        let wanted = [(one.clone(), first), (other.clone(), second)].map(|place| (place.0.clone(), expected[&place]));
        assert_eq!(found, BTreeMap::from(wanted));
    }
    // Reading goes on from wherever it is told to, the partition that was looked at last included.
    consumer.assign(&BTreeMap::from([(one, 1)])).unwrap();
    assert_eq!(next(&mut consumer, Duration::from_secs(5)).unwrap(), Some(1));
}

#[test]
fn an_offset_behind_the_end_is_an_error_and_no_jump() {
    let mock = Mock::with_topic("t", 1);
    send(&mock, "f", 1, &[(0, 1)]);
    let mut consumer = Consumer::new(&mock.config).unwrap();
    consumer.assign(&BTreeMap::from([(Partition::new("t", 0), 50)])).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    let failure = loop {
        match next(&mut consumer, Duration::from_secs(1)) {
            Err(failure) => break failure,
            Ok(message) => assert!(message.is_none() && Instant::now() < deadline),
        }
    };
    assert_eq!(failure.kind(), Kind::Input, "{failure}");
}

#[test]
fn the_tail_names_the_last_row_of_each_source_and_partition() {
    let mock = Mock::with_topic("t", 3);
    assert!(search(&mock, &["a"]).is_empty());
    // `a` lies in one partition, far behind a long run of `b`; `c` is spread; `d` was started anew.
    send(&mock, "a", 1, &[(1, 1), (1, 2)]);
    send(&mock, "d", 1, &[(0, 1), (0, 2), (0, 3)]);
    send(&mock, "d#2", 1, &[(0, 1)]);
    send(&mock, "c", 3, &[(0, 1), (2, 2), (1, 3), (2, 4)]);
    let long: Vec<(i32, u64)> = (1..=6_000).map(|row| (1, row)).collect();
    send(&mock, "b", 1, &long);
    send(&mock, "b", 1, &[(1, 1), (1, 2)]);
    let found = search(&mock, &["a", "b", "c", "d", "new"]);
    assert_eq!(found["a"], (1, vec![(1, 2)]));
    assert_eq!(found["b"], (1, vec![(1, 2)]), "a replay cut short: the rest is sent again, Bronze drops it");
    assert_eq!(found["c"], (1, vec![(0, 1), (1, 3), (2, 4)]));
    assert_eq!(found["d"], (2, vec![(0, 1)]));
    assert!(!found.contains_key("new"));
}

#[test]
fn a_source_called_like_a_generation_is_itself() {
    let mock = Mock::with_topic("t", 1);
    send(&mock, "x", 1, &[(0, 1), (0, 2)]);
    send(&mock, "x#2", 1, &[(0, 1)]);
    let found = search(&mock, &["x", "x#2"]);
    assert_eq!(found["x"], (1, vec![(0, 2)]));
    assert_eq!(found["x#2"], (1, vec![(0, 1)]));
}

#[test]
fn nobody_at_the_address_is_unavailable_within_seconds() {
    let config = KafkaConfig { brokers: "127.0.0.1:1".into(), ..KafkaConfig::default() };
    let started = Instant::now();
    let error = admin::reachable(&config).unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
    assert!(error.hint_text().unwrap().contains("kafka.brokers"));
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("refused"), "{cause}");
}

#[test]
fn a_missing_acknowledgement_ends_the_run_with_the_count() {
    let mock = Mock::with_topic("t", 1);
    let producer = Producer::new(&mock.config, "t", Duration::from_secs(4)).unwrap();
    producer.send(0, "f", &record(1, 1)).unwrap();
    producer.flush().unwrap();
    mock.cluster.broker_down(1).unwrap();
    producer.send(0, "f", &record(2, 1)).unwrap();
    let error = producer.flush().unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert_eq!(producer.acknowledged(), 1);
}
