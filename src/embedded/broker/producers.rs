//! What a partition remembers of its idempotent producers, so that a batch sent again is stored once.
//!
//! Rebuilt from the log at every start, never written anywhere of its own.

use super::batch::Batch;
use super::wire::Code;
use std::collections::{HashMap, VecDeque};

/// A client may have five requests on the way, so a retry reaches back five batches at most.
const REMEMBERED: usize = 5;

#[derive(Default)]
pub struct Producers {
    by_id: HashMap<i64, Producer>,
}

struct Producer {
    epoch: i16,
    /// The latest batches, oldest first; never empty.
    recent: VecDeque<Stored>,
}

#[derive(PartialEq, Eq)]
struct Stored {
    first_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
}

impl Producers {
    /// The offset under which this very batch was stored before, `None` when it is the producer's next one.
    /// A hole in the sequence or an epoch that was left behind is refused.
    pub fn find(&self, batch: &Batch) -> Result<Option<i64>, Code> {
        if batch.producer_id < 0 {
            return Ok(None);
        }
        let known = self.by_id.get(&batch.producer_id).filter(|producer| producer.epoch >= batch.producer_epoch);
        let Some(producer) = known else {
            return expect_sequence(0, batch);
        };
        if producer.epoch > batch.producer_epoch {
            return Err(Code::InvalidProducerEpoch);
        }
        let is_same = |stored: &&Stored| {
            stored.first_sequence == batch.base_sequence && stored.last_sequence == batch.last_sequence()
        };
        if let Some(stored) = producer.recent.iter().find(is_same) {
            return Ok(Some(stored.base_offset));
        }
        let last = producer.recent.back().map_or(-1, |stored| stored.last_sequence);
        expect_sequence(if last == i32::MAX { 0 } else { last + 1 }, batch)
    }

    /// Takes note of a batch that stands in the log.
    pub fn remember(&mut self, batch: &Batch) {
        if batch.producer_id < 0 {
            return;
        }
        let new = || Producer { epoch: batch.producer_epoch, recent: VecDeque::new() };
        let producer = self.by_id.entry(batch.producer_id).or_insert_with(new);
        if producer.epoch != batch.producer_epoch {
            *producer = new();
        }
        if producer.recent.len() == REMEMBERED {
            producer.recent.pop_front();
        }
        producer.recent.push_back(Stored {
            first_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence(),
            base_offset: batch.base_offset,
        });
    }

    pub fn highest_id(&self) -> Option<i64> {
        self.by_id.keys().max().copied()
    }
}

fn expect_sequence(expected: i32, batch: &Batch) -> Result<Option<i64>, Code> {
    if batch.base_sequence == expected { Ok(None) } else { Err(Code::OutOfOrderSequence) }
}

#[cfg(test)]
mod tests {
    use super::super::batch::tests::Draft;
    use super::*;

    fn batch(epoch: i16, sequence: i32, records: usize) -> Batch {
        Batch::produced(&Draft::idempotent(7, epoch, sequence, records).bytes()).unwrap()
    }

    fn store(producers: &mut Producers, mut batch: Batch, offset: i64) {
        assert_eq!(producers.find(&batch), Ok(None));
        batch.base_offset = offset;
        producers.remember(&batch);
    }

    #[test]
    fn a_sequence_has_one_next_and_five_known_batches() {
        let mut producers = Producers::default();
        assert_eq!(producers.find(&batch(0, 3, 1)), Err(Code::OutOfOrderSequence), "starts at 0");
        for n in 0..7 {
            store(&mut producers, batch(0, n * 10, 10), 100 + i64::from(n));
        }
        let table = [
            (batch(0, 60, 10), Ok(Some(106))),
            (batch(0, 20, 10), Ok(Some(102))),
            (batch(0, 10, 10), Err(Code::OutOfOrderSequence)),
            (batch(0, 60, 5), Err(Code::OutOfOrderSequence)),
            (batch(0, 70, 5), Ok(None)),
            (batch(0, 71, 5), Err(Code::OutOfOrderSequence)),
            (batch(1, 0, 1), Ok(None)),
            (batch(1, 70, 1), Err(Code::OutOfOrderSequence)),
        ];
        for (batch, expected) in table {
            assert_eq!(producers.find(&batch), expected, "{batch:?}");
        }
    }

    #[test]
    fn a_new_epoch_fences_the_old_one() {
        let mut producers = Producers::default();
        store(&mut producers, batch(3, 0, 1), 0);
        store(&mut producers, batch(4, 0, 1), 1);
        assert_eq!(producers.find(&batch(3, 1, 1)), Err(Code::InvalidProducerEpoch));
        assert_eq!(producers.find(&batch(4, 0, 1)), Ok(Some(1)));
        assert_eq!(producers.highest_id(), Some(7));
    }

    #[test]
    fn sequences_wrap() {
        let mut producers = Producers::default();
        let mut last = batch(0, i32::MAX - 1, 2);
        last.base_offset = 9;
        producers.remember(&last);
        assert_eq!(producers.find(&batch(0, 0, 1)), Ok(None));
    }
}
