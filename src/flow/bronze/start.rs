//! Where to begin reading, and what it means when the topic no longer holds that place.
//!
//! The decision is a pure function of what the table stores and what the broker holds (`stored`, `low` and
//! `high` are offsets):
//!
//! | stored | topic | result |
//! |---|---|---|
//! | none, and none of any partition | | [`Start`] |
//! | none, but of other partitions | | `low`: the partition was added later |
//! | `low <= stored <= high` | | `stored` |
//! | `stored > high` | | error: the topic was deleted and made again, and is shorter so far |
//! | `stored < low` | | error: retention was faster than Bronze |
//! | a partition the topic lacks | | error: the topic was deleted and made again |
//! | of a topic that is not there | | error: the topic is gone |
//! | a tip | another record there | error: the topic was deleted and made again |
//!
//! A topic made again that has grown past `stored` looks like the old one; Kafka gives no sign of the difference that
//! the client shows before it reads. So each commit keeps the tip of each partition ([`Tip`]), a hash of the last record it read, and
//! [`check_tips`] compares it with what Kafka holds at that offset now, by one fetch per partition. A record that is
//! gone by retention or compaction proves nothing, and the run goes on; so it does over a topic that was made again
//! and has already lost what it held there. A topic that is made again while it is read is noticed by the consumer itself.

use super::Start;
use super::intake::Feed;
use super::reading;
use crate::error::{Error, Result};
use crate::ident::TableName;
use crate::kafka::{Consumer, KafkaConfig, Tip, Watermarks};
use crate::model::Topics;
use crate::partition::Partition;
use std::collections::BTreeMap;

/// What the broker says about the topics of a stream, whoever reads which partition.
#[derive(Debug, Clone, Default)]
pub(super) struct Survey {
    pub watermarks: BTreeMap<Partition, Watermarks>,
    /// First offsets at the time of [`Start::Timestamp`], only asked for then.
    pub timed: BTreeMap<Partition, i64>,
}

impl Survey {
    /// Names of the topics that are there, in order.
    pub fn topics(&self) -> Vec<String> {
        let mut topics: Vec<String> = self.watermarks.keys().map(|partition| partition.topic.clone()).collect();
        topics.dedup();
        topics
    }

    /// Of the topics that have to be there, those that do not exist.
    pub fn missing<'a>(&self, topics: &'a Topics) -> Vec<&'a str> {
        let there = self.topics();
        topics.names().iter().filter(|name| !there.contains(name)).map(String::as_str).collect()
    }
}

/// Asks the broker. The consumer holds about `buffer` bytes of messages not yet polled. Blocking.
pub(super) fn survey(kafka: &KafkaConfig, topics: &Topics, start: Start, buffer: usize) -> Result<(Consumer, Survey)> {
    let consumer = Consumer::buffering(kafka, buffer)?;
    let mut survey = Survey::default();
    for partition in reading::partitions(&consumer, topics)? {
        if let Start::Timestamp(at) = start {
            survey.timed.insert(partition.clone(), consumer.offset_at(&partition, at)?);
        }
        let watermarks = consumer.watermarks(&partition)?;
        survey.watermarks.insert(partition, watermarks);
    }
    Ok((consumer, survey))
}

/// The offset to read next of each partition, by the table above.
pub(super) fn positions(
    table: &TableName,
    survey: &Survey,
    stored: &BTreeMap<Partition, Option<i64>>,
    start: Start,
) -> Result<BTreeMap<Partition, i64>> {
    let anything_stored = stored.values().any(Option::is_some);
    let mut positions = BTreeMap::new();
    for (partition, stored) in stored {
        let Some(watermarks) = survey.watermarks.get(partition) else {
            match stored {
                Some(at) if survey.topics().contains(&partition.topic) => {
                    return Err(made_again(table, partition, &ends_before(*at, 0)));
                }
                Some(at) => return Err(gone(table, partition, *at)),
                None => continue,
            }
        };
        let position = match stored {
            Some(at) => check_held(table, partition, *at, *watermarks)?,
            None if anything_stored => watermarks.low,
            None => first_position(survey, partition, *watermarks, start),
        };
        positions.insert(partition.clone(), position);
    }
    Ok(positions)
}

fn first_position(survey: &Survey, partition: &Partition, Watermarks { low, high }: Watermarks, start: Start) -> i64 {
    match start {
        Start::Earliest => low,
        Start::Latest => high,
        Start::Offset(offset) => offset.clamp(low, high.max(low)),
        Start::Timestamp(_) => survey.timed.get(partition).copied().unwrap_or(high),
    }
}

fn check_held(table: &TableName, partition: &Partition, at: i64, Watermarks { low, high }: Watermarks) -> Result<i64> {
    if at > high {
        return Err(made_again(table, partition, &ends_before(at, high)));
    }
    if at < low {
        let message = format!(
            "offsets {at}..{low} of {partition} were deleted by retention before `{table}` had read them: {} lost",
            low - at
        );
        return Err(Error::input(message).hint(format!(
            "to go on with what the topic still holds, move `{table}` away and run again; \
             a longer `retention.ms` on topic `{}` prevents it",
            partition.topic
        )));
    }
    Ok(at)
}

/// Fails when the topic holds another record where one was read. Blocking.
pub(super) fn check_tips(table: &TableName, tips: &BTreeMap<Partition, Tip>, feed: &mut impl Feed) -> Result<()> {
    if tips.is_empty() {
        return Ok(());
    }
    let offsets = tips.iter().map(|(partition, tip)| (partition.clone(), tip.offset)).collect();
    let found = feed.tips(&offsets)?;
    let other = tips.iter().find(|(partition, tip)| found.get(*partition).is_some_and(|found| found != *tip));
    other.map_or(Ok(()), |(partition, Tip { offset, .. })| {
        Err(made_again(table, partition, &format!("up to offset {offset}, where it holds another record now")))
    })
}

fn ends_before(at: i64, high: i64) -> String {
    format!("up to offset {at}, but it ends at {high}")
}

fn gone(table: &TableName, partition: &Partition, at: i64) -> Error {
    let topic = &partition.topic;
    Error::input(format!("topic `{topic}` is gone; `{table}` has read {partition} up to offset {at}")).hint(format!(
        "to go on without it, take it out of the topics of `{table}` in models/sources.yml; its rows stay"
    ))
}

fn made_again(table: &TableName, partition: &Partition, how_far: &str) -> Error {
    let topic = &partition.topic;
    Error::input(format!("`{table}` has read {partition} {how_far}: topic `{topic}` was deleted and made again")).hint(
        format!("move `{table}` away to read the new topic from its beginning, or give the new topic another name"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey(watermarks: &[(i64, i64)]) -> Survey {
        let partition = |number: usize| Partition::new("books", number as i32);
        let watermarks = watermarks
            .iter()
            .enumerate()
            .map(|(number, (low, high))| (partition(number), Watermarks { low: *low, high: *high }));
        Survey { watermarks: watermarks.collect(), timed: BTreeMap::from([(partition(0), 7)]) }
    }

    fn resolve(stored: &[Option<i64>], watermarks: &[(i64, i64)], start: Start) -> Result<Vec<i64>, String> {
        let table = TableName::parse("bronze.books").unwrap();
        let stored =
            stored.iter().enumerate().map(|(number, at)| (Partition::new("books", number as i32), *at)).collect();
        positions(&table, &survey(watermarks), &stored, start)
            .map(|positions| positions.into_values().collect())
            .map_err(|fault| fault.to_string())
    }

    type Stored<'a> = &'a [Option<i64>];
    type Held<'a> = &'a [(i64, i64)];

    #[test]
    fn the_truth_table_holds() {
        let good: [(Stored, Held, Start, &[i64]); 8] = [
            (&[None], &[(3, 9)], Start::Earliest, &[3]),
            (&[None], &[(3, 9)], Start::Latest, &[9]),
            (&[None, None, None], &[(3, 9), (0, 4), (6, 8)], Start::Offset(5), &[5, 4, 6]),
            (&[None, None], &[(3, 9), (0, 4)], Start::Timestamp(0), &[7, 4]),
            (&[Some(5), None], &[(3, 9), (1, 4)], Start::Latest, &[5, 1]),
            (&[Some(3)], &[(3, 9)], Start::Latest, &[3]),
            (&[Some(9)], &[(3, 9)], Start::Latest, &[9]),
            (&[], &[], Start::Earliest, &[]),
        ];
        for (stored, watermarks, start, expected) in good {
            assert_eq!(
                resolve(stored, watermarks, start).as_deref(),
                Ok(expected),
                "{stored:?} {watermarks:?} {start:?}"
            );
        }
    }

    #[test]
    fn a_topic_that_is_gone_is_not_said_to_be_made_again() {
        let table = TableName::parse("bronze.books").unwrap();
        let stored = BTreeMap::from([(Partition::new("books", 0), Some(3)), (Partition::new("old", 0), Some(4))]);
        let fault = positions(&table, &survey(&[(0, 9)]), &stored, Start::Earliest).unwrap_err();
        assert_eq!(fault.to_string(), "topic `old` is gone; `bronze.books` has read old/0 up to offset 4");
        assert!(fault.hint_text().unwrap().contains("take it out of the topics of `bronze.books`"));
    }

    #[test]
    fn losses_are_named() {
        let table: [(Stored, Held, &str); 3] = [
            (
                &[Some(10)],
                &[(3, 9)],
                "`bronze.books` has read books/0 up to offset 10, but it ends at 9: topic `books` was deleted and made again",
            ),
            (
                &[Some(2)],
                &[(5, 9)],
                "offsets 2..5 of books/0 were deleted by retention before `bronze.books` had read them: 3 lost",
            ),
            (
                &[Some(2), Some(4)],
                &[(0, 9)],
                "`bronze.books` has read books/1 up to offset 4, but it ends at 0: topic `books` was deleted and made again",
            ),
        ];
        for (stored, watermarks, expected) in table {
            assert_eq!(resolve(stored, watermarks, Start::Earliest), Err(expected.into()));
        }
    }
}
