//! How far a flow has come: partition -> next position, and the half-open step that moves it.
//!
//! Pure values, no I/O. A flow reads its [`Checkpoint`] out of its destination, works through a
//! [`Delta`], and commits the advanced checkpoint together with the work. Positions are "next to
//! read", never "last seen", because offsets need not be dense.
//!
//! `apply` is a truth table (`at` is the stored position, the step is `from..to`):
//!
//! | stored | step | result |
//! |---|---|---|
//! | none | any `from` | moved to `to` |
//! | `at == from` | | moved to `to` |
//! | `at < from` | gap: records between were compacted away or aborted | moved to `to` |
//! | `at > from` | overlap: somebody else committed part of it | refused, nothing changes |

use std::collections::BTreeMap;
use std::fmt;

/// One Kafka topic partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    pub topic: String,
    pub number: i32,
}

impl Partition {
    pub fn new(topic: impl Into<String>, number: i32) -> Partition {
        Partition { topic: topic.into(), number }
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.number)
    }
}

/// The offsets `from..to` of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub from: i64,
    pub to: i64,
}

/// Steps of several partitions that are committed together.
pub type Delta = BTreeMap<Partition, Step>;

/// The next offset to read of each partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkpoint {
    next: BTreeMap<Partition, i64>,
}

/// The step that could not be applied, and where the checkpoint stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    pub partition: Partition,
    pub stored: i64,
    pub step: Step,
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Overlap { partition, stored, step } = self;
        write!(f, "offsets {}..{} of {partition} overlap what is committed up to {stored}", step.from, step.to)
    }
}

impl std::error::Error for Overlap {}

impl Checkpoint {
    pub fn new(next: BTreeMap<Partition, i64>) -> Checkpoint {
        Checkpoint { next }
    }

    /// The next offset to read, or `None` when nothing of the partition was committed yet.
    pub fn next(&self, partition: &Partition) -> Option<i64> {
        self.next.get(partition).copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Partition, i64)> {
        self.next.iter().map(|(partition, next)| (partition, *next))
    }

    /// Moves past `delta`, or changes nothing and names the first overlapping step.
    pub fn apply(&mut self, delta: &Delta) -> Result<(), Overlap> {
        for (partition, step) in delta {
            if let Some(stored) = self.next(partition).filter(|stored| *stored > step.from) {
                return Err(Overlap { partition: partition.clone(), stored, step: *step });
            }
        }
        for (partition, step) in delta {
            self.next.insert(partition.clone(), step.to);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn delta(steps: &[(i32, i64, i64)]) -> Delta {
        steps.iter().map(|(number, from, to)| (Partition::new("t", *number), Step { from: *from, to: *to })).collect()
    }

    #[test]
    fn the_truth_table_holds() {
        let table = [
            (None, (5, 9), Some(9)),
            (Some(5), (5, 9), Some(9)),
            (Some(3), (5, 9), Some(9)),
            (Some(6), (5, 9), None),
            (Some(9), (5, 9), None),
        ];
        for (stored, (from, to), expected) in table {
            let partition = Partition::new("t", 0);
            let mut checkpoint = Checkpoint::new(stored.map(|at| (partition.clone(), at)).into_iter().collect());
            let before = checkpoint.clone();
            match (checkpoint.apply(&delta(&[(0, from, to)])), expected) {
                (Ok(()), Some(next)) => assert_eq!(checkpoint.next(&partition), Some(next)),
                (Err(overlap), None) => {
                    assert_eq!(overlap.stored, stored.unwrap());
                    assert_eq!(checkpoint, before);
                }
                (outcome, expected) => panic!("{stored:?} {from}..{to}: {outcome:?}, expected {expected:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn one_overlap_changes_nothing(stored in 1i64..100, step in 1i64..50) {
            let mut checkpoint = Checkpoint::default();
            checkpoint.apply(&delta(&[(1, 0, stored)])).unwrap();
            let before = checkpoint.clone();
            let refused = checkpoint.apply(&delta(&[(0, 0, step), (1, stored - 1, stored + step)]));
            prop_assert!(refused.is_err());
            prop_assert_eq!(checkpoint, before);
        }

        #[test]
        fn steps_in_a_row_equal_one_long_step(cuts in prop::collection::vec(1i64..20, 1..10)) {
            let mut stepwise = Checkpoint::default();
            let mut at = 0;
            for cut in &cuts {
                stepwise.apply(&delta(&[(0, at, at + cut)])).unwrap();
                at += cut;
            }
            let mut at_once = Checkpoint::default();
            at_once.apply(&delta(&[(0, 0, at)])).unwrap();
            prop_assert_eq!(stepwise, at_once);
        }
    }
}
