//! What the brokers still hold of a stream's topics, from their low to their high watermark, is behind the positions
//! of its table: read, and nothing of it lies before the first commit, between two of them, or after the last.

use super::{Difference, Remedy};
use crate::error::Result;
use crate::flow::bronze::{Stream, position_app};
use crate::flow::count::grouped;
use crate::flow::unread::{self, Marks};
use crate::kafka::{KafkaConfig, Watermarks};
use crate::partition::Partition;
use crate::table::Table;
use std::collections::BTreeMap;

/// What the brokers hold of one stream.
#[derive(Debug, Default)]
pub struct Retained {
    pub offsets: u64,
    /// Of these, how many are not read.
    pub unread: u64,
    pub differences: Vec<Difference>,
}

/// `begun` is where the commits of each partition begin, where that is known.
pub async fn prove(
    (stream, table): (&Stream, &Table),
    begun: &BTreeMap<Partition, i64>,
    kafka: &KafkaConfig,
) -> Result<Retained> {
    let mut proof = Retained::default();
    let marks: Marks = unread::watermarks(kafka.clone(), std::slice::from_ref(stream)).await?;
    let mut behind = BTreeMap::new();
    for (partition, marks) in &marks {
        proof.offsets += marks.high.abs_diff(marks.low);
        let position = table.txn(&position_app(partition)).await?;
        if let Some(text) = unaccounted(partition, position, begun.get(partition).copied(), *marks) {
            proof.differences.push(Difference::new(Remedy::Run, text));
        } else if position.unwrap_or(marks.low) < marks.high {
            behind.insert(partition.clone(), position.unwrap_or(marks.low));
        }
    }
    // The last offsets of a partition may hold no record: marks of transactions, or what compaction took.
    for partition in unread::sent(kafka.clone(), behind.clone()).await?.keys() {
        let (from, to) = (behind[partition], marks[partition].high);
        proof.unread += to.abs_diff(from);
        let text = format!("{partition}: up to {} records from offset {from} are not read", grouped(to.abs_diff(from)));
        proof.differences.push(Difference::new(Remedy::Run, text));
    }
    Ok(proof)
}

/// What is wrong with where the table stands, lag apart.
fn unaccounted(partition: &Partition, position: Option<i64>, begun: Option<i64>, marks: Watermarks) -> Option<String> {
    let (position, Watermarks { low, high }) = (position?, marks);
    if position > high {
        return Some(format!("{partition} ends at {high}, before the stored position {position}"));
    }
    if position < low {
        return Some(format!("{partition} begins at {low}: offsets {position} to {} were never read", low - 1));
    }
    let begun = begun.filter(|begun| *begun > low)?;
    Some(format!("{partition}: offsets {low} to {} lie before the first commit and were never read", begun - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_broker_holds_is_behind_the_position() {
        let partition = Partition::new("t", 0);
        let said = |position: i64, begun: i64, low: i64, high: i64| {
            unaccounted(&partition, Some(position), Some(begun), Watermarks { low, high })
        };
        assert_eq!(said(9, 0, 5, 9), None, "retention took what was read");
        assert_eq!(said(7, 0, 5, 9), None, "the rest is looked at");
        assert_eq!(said(9, 5, 5, 9), None);
        assert_eq!(said(10, 0, 0, 9).unwrap(), "t/0 ends at 9, before the stored position 10");
        assert_eq!(said(3, 0, 5, 9).unwrap(), "t/0 begins at 5: offsets 3 to 4 were never read");
        let begun = "t/0: offsets 0 to 4 lie before the first commit and were never read";
        assert_eq!(said(9, 5, 0, 9).unwrap(), begun);
    }
}
