//! Which partitions are read: those of the stream's topics, or this process' share of them.
//!
//! A share is a fixed part: who reads a partition follows from its name alone, so partitions that are added move none of
//! the others. Processes whose shares overlap for a while read the same records; a table takes those of the first.

use crate::error::Result;
use crate::kafka::Consumer;
use crate::kafka::partitioner::partition_of;
use crate::model::Topics;
use crate::partition::Partition;

/// The n-th of so many shares of the partitions of each table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// From 1.
    number: u32,
    of: u32,
}

impl Share {
    /// All partitions.
    pub const WHOLE: Share = Share { number: 1, of: 1 };

    /// Reads `2/3`; the error says what is expected.
    pub fn parse(text: &str) -> Result<Share, &'static str> {
        let (number, of) = text.split_once('/').unwrap_or((text, ""));
        match (number.parse(), of.parse()) {
            (Ok(number @ 1..), Ok(of)) if number <= of => Ok(Share { number, of }),
            _ => Err("a share such as 1/3, the first of three"),
        }
    }

    /// Whether the partition falls to this share. Those of one topic are dealt out in turn; where a topic begins
    /// follows from its name, by the hash Kafka has for keys, so that many topics of one partition each are dealt out, too.
    pub fn takes(&self, partition: &Partition) -> bool {
        let begins = partition_of(partition.topic.as_bytes(), self.of).unsigned_abs();
        let place = u64::from(begins) + u64::from(partition.number.unsigned_abs());
        place % u64::from(self.of) == u64::from(self.number - 1)
    }
}

/// The partitions these topics have now, in order. Blocking.
pub fn partitions(consumer: &Consumer, topics: &Topics) -> Result<Vec<Partition>> {
    let Topics::Named(names) = topics else { return consumer.partitions_of(|topic| topics.include(topic)) };
    let mut found = Vec::new();
    for name in names {
        found.extend(consumer.partitions(name)?.unwrap_or_default());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_disjoint_whole_and_even() {
        for of in 1..=5u32 {
            let shares: Vec<Share> = (1..=of).map(|n| Share::parse(&format!("{n}/{of}")).unwrap()).collect();
            let partitions = ["a", "sales_eu", "sales_us"].map(|topic| (0..10).map(move |n| Partition::new(topic, n)));
            for partition in partitions.clone().into_iter().flatten() {
                let takers = shares.iter().filter(|share| share.takes(&partition)).count();
                assert_eq!(takers, 1, "{partition} of {of}");
            }
            for (topic, share) in partitions.into_iter().zip(shares.iter().cycle()) {
                let taken = topic.filter(|partition| share.takes(partition)).count() as u32;
                assert!((10 / of..=10u32.div_ceil(of)).contains(&taken), "{share:?}: {taken}");
            }
        }
    }

    #[test]
    fn topics_of_one_partition_are_dealt_out() {
        let share = Share::parse("2/4").unwrap();
        let taken = (0..100).filter(|n| share.takes(&Partition::new(format!("events-{n}"), 0))).count();
        assert!((10..45).contains(&taken), "{taken}");
    }

    #[test]
    fn a_share_is_one_of_several() {
        assert_eq!(Share::parse("1/1"), Ok(Share::WHOLE));
        for bad in ["", "1", "0/2", "3/2", "1/0", "a/b", "1/2/3", "-1/2"] {
            assert!(Share::parse(bad).is_err(), "{bad}");
        }
    }
}
