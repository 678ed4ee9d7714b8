//! One topic of several kinds of records into a table of each.

use super::tables::{Bench, shown, topic_of};
use super::*;
use crate::model::{KindBy, Only};

/// Takes the records whose `kind` this is.
async fn of_kind(kind: &str) -> Bench {
    let mut bench = Bench::new().await;
    bench.stream.only = Some(Only { by: KindBy::Field("kind".into()), is: vec![kind.into()] });
    bench
}

/// `n` is a number in orders and a text in refunds.
const MIXED: [&str; 7] = [
    r#"{"kind":"refund","n":"late"}"#,
    r#"{"kind":"order","n":1}"#,
    r#"{"kind":"order","n":"two"}"#,
    r#"{"n":3}"#,
    "no record",
    r#"{"kind":"order","n":4}"#,
    r#"{"kind":"refund","n":"torn"}"#,
];

#[tokio::test]
async fn records_of_another_kind_are_dropped_before_they_are_decoded() {
    let bench = of_kind("order").await;
    let report = bench.run(&topic_of(&MIXED), 1, usize::MAX, 100).await.unwrap();
    assert_eq!((report.rows, report.rejects, report.filtered), (2, 2, 3));
    let rows = bench.query("select _offset, n, _quarantined from bronze.books order by _offset").await;
    let expected = "\
+---------+---+--------------+
| _offset | n | _quarantined |
+---------+---+--------------+
| 1       | 1 | false        |
| 2       |   | true         |
| 4       |   | true         |
| 5       | 4 | false        |
+---------+---+--------------+";
    assert_eq!(shown(&rows), expected);
}

#[tokio::test]
async fn a_row_of_another_kind_that_is_sent_again_is_a_duplicate() {
    let bench = of_kind("order").await;
    let (row, again) = (Slot::Row { source: 0, fault: Fault::None }, Slot::Replay { source: 0, back: 0 });
    let mut newest = [0, 0];
    let log = [(row, "refund"), (again, "refund"), (row, "order"), (again, "order")].into_iter().enumerate();
    let log = log.map(|(offset, (slot, kind))| {
        let payload = format!("{{\"kind\":\"{kind}\",\"n\":1}}");
        message(0, offset as i64, slot, &mut newest)
            .0
            .map(|message| Message { payload: Some(payload.into()), ..message })
    });
    let topic = Arc::new(Topic { log: vec![log.collect()], expected: Vec::new() });
    let report = bench.run(&topic, 1, usize::MAX, 100).await.unwrap();
    assert_eq!((report.rows, report.filtered, report.duplicates), (1, 1, 2));
}

#[tokio::test]
async fn columns_are_inferred_from_the_kinds_that_are_taken() {
    let mut bench = of_kind("refund").await;
    bench.stream.columns.clear();
    let report = bench.run(&topic_of(&MIXED), 1, usize::MAX, 100).await.unwrap();
    assert_eq!((report.rows, report.rejects, report.filtered), (2, 1, 4));
    let rows = bench.query("select n from bronze.books where not _quarantined order by _offset").await;
    let expected = "\
+------+
| n    |
+------+
| late |
| torn |
+------+";
    assert_eq!(shown(&rows), expected);
}
