//! Records that decode, and that the stream's SQL or the name of a folder cannot take.

use super::tables::{Bench, once, shown, topic_of};
use super::*;
use crate::error::Kind;
use crate::flow::{Event, quarantine};

async fn bench(sql: &str) -> Bench {
    let mut bench = Bench::new().await;
    bench.stream.sql = Some(("sql/bronze/books.sql".into(), sql.into()));
    bench
}

fn numbered(numbers: impl Iterator<Item = i64>) -> Arc<Topic> {
    let payloads: Vec<String> = numbers.map(|n| format!("{{\"n\":{n}}}")).collect();
    topic_of(&payloads.iter().map(String::as_str).collect::<Vec<_>>())
}

async fn one(bench: &Bench, sql: &str) -> i64 {
    bench.query(sql).await[0].column(0).as_primitive::<Int64Type>().value(0)
}

#[tokio::test]
async fn a_value_the_sql_cannot_take_is_quarantined_and_the_rows_around_it_load() {
    let sql = "select 100 / (n % 7) as n, _topic, _partition, _offset from batch where n % 10 <> 0";
    let bench = bench(sql).await;
    let topic = numbered(0..200);
    let report = bench.run(&topic, 1, usize::MAX, 1_000).await.unwrap();
    // Of 0 to 199, twenty are left out, and of the others 26 are divisible by seven.
    assert_eq!((report.rows, report.rejects, report.filtered, report.commits), (154, 26, 20, 1));
    let read = "select n, _offset, _source, _reason, arrow_cast(_raw, 'Utf8') as raw from bronze.books \
                where _offset between 5 and 7 order by _offset";
    let expected = "\
+----+---------+---------+----------------------------------------------+---------+
| n  | _offset | _source | _reason                                      | raw     |
+----+---------+---------+----------------------------------------------+---------+
| 20 | 5       |         |                                              |         |
| 16 | 6       |         |                                              |         |
|    | 7       |         | `sql/bronze/books.sql`: divide by zero error | {\"n\":7} |
+----+---------+---------+----------------------------------------------+---------+";
    assert_eq!(shown(&bench.query(read).await), expected);
    let misplaced = "select count(*) from bronze.books where _quarantined <> (_offset % 7 = 0) \
                     or _quarantined and _raw is null or not _quarantined and n <> 100 / (_offset % 7)";
    assert_eq!(one(&bench, misplaced).await, 0);
}

#[tokio::test]
async fn after_the_sql_is_mended_its_rejects_are_redriven() {
    let mut bench = bench("select n::text::date as n, _topic, _partition, _offset from batch").await;
    let topic = topic_of(&[r#"{"n":"2026-03-01"}"#, r#"{"n":"soon"}"#, "bad", r#"{"n":"2026-03-02","m":1}"#]);
    bench.stream.columns[0].data_type = Some(DataType::Utf8);
    let report = bench.run(&topic, 1, usize::MAX, 100).await.unwrap();
    assert_eq!((report.rows, report.rejects), (2, 2));
    let redrive = async |bench: &Bench| {
        let Bench { lake, engine, stream, progress, .. } = bench;
        let redriven = quarantine::redrive(lake, engine, stream, 64 << 20, false, progress, &Stop::default()).await;
        redriven.map(|done| {
            (done.rows, done.stayed, done.reasons.into_iter().map(|reason| reason.kind).collect::<Vec<_>>())
        })
    };
    let (rows, stayed, kinds) = redrive(&bench).await.unwrap();
    assert_eq!((rows, stayed, kinds.len()), (0, 2, 2), "{kinds:?}");
    assert!(kinds.contains(&"`sql/bronze/books.sql`: expected date, found \"…\"".to_string()), "{kinds:?}");
    let mended = "select try_cast(n as date) as n, _topic, _partition, _offset from batch";
    bench.stream.sql = Some(("sql/bronze/books.sql".into(), mended.into()));
    let (rows, stayed, _) = redrive(&bench).await.unwrap();
    assert_eq!((rows, stayed), (1, 1));
    assert_eq!(one(&bench, "select _offset from bronze.books where n is null and not _quarantined").await, 1);
}

#[tokio::test]
async fn sql_that_is_at_fault_itself_ends_the_stream() {
    let together =
        "select n / case when count(*) over () > 1 then 0 else 1 end as n, _topic, _partition, _offset from batch";
    let table = [
        ("select n + 1 / 0 as n, _topic, _partition, _offset from batch", 0..3, "apply `sql/bronze/books.sql`"),
        (together, 0..9, "apply `sql/bronze/books.sql`"),
    ];
    for (sql, numbers, expected) in table {
        let bench = bench(sql).await;
        let error = bench.run(&numbered(numbers), 1, usize::MAX, 1_000).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{sql}: {}", error.in_one_line());
        assert!(error.in_one_line().contains("books.sql"), "{sql}: {}", error.in_one_line());
        assert_eq!(error.hint_text().is_some_and(|hint| hint.contains("Silver")), sql == together, "{error:?}");
        assert_eq!(bench.table().await.rows(), Some(0), "{sql}");
    }
}

#[tokio::test]
async fn records_that_all_fail_are_all_quarantined() {
    let bench = bench("select n / 0 as n, _topic, _partition, _offset from batch").await;
    let report = bench.run(&numbered(0..99), 1, usize::MAX, 1_000).await.unwrap();
    assert_eq!((report.rows, report.rejects), (0, 99));
}

#[tokio::test]
async fn a_limit_to_rejects_holds_for_those_of_the_sql() {
    let mut bench = bench("select 1 / n as n, _topic, _partition, _offset from batch").await;
    bench.stream.max_reject_rate = Some(0.2);
    let error = bench.run(&numbered([0, 1, 0, 3].into_iter()), 1, usize::MAX, 100).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Input);
    let said = error.to_string();
    assert!(said.contains("of 4 records of `bronze.books` 2 are rejects") && said.contains("divide by zero"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_to_rejects_holds_for_a_run_that_is_told_to_stop() {
    for (limit, kind) in [(0.5, Kind::Input), (0.8, Kind::Interrupted(15))] {
        let mut bench = Bench::new().await;
        bench.stream.max_reject_rate = Some(limit);
        let stop = Stop::default();
        let asked = stop.clone();
        bench.progress = Progress::new(move |event| {
            if let Event::Committed(_) = event {
                asked.request(15);
            }
        });
        let topic = topic_of(&["bad", "bad", "{\"n\":1}", "bad"]);
        let connect = move || Ok((topic.consumer(1, usize::MAX), topic.survey()));
        let options = Options { once: false, interval: Duration::from_millis(200), ..once() };
        let stopped = bench.work(&options, &stop, connect).await.unwrap_err();
        assert_eq!(stopped.kind(), kind, "{stopped}");
        assert_eq!(bench.table().await.rows(), Some(4));
    }
}

#[tokio::test]
async fn a_value_that_names_no_folder_is_quarantined() {
    let mut bench = Bench::new().await;
    bench.stream.columns[0].data_type = Some(DataType::Utf8);
    bench.stream.partition_by = vec!["n".into()];
    let long = format!("{{\"n\":\"{}\"}}", "x".repeat(300));
    let report = bench.run(&topic_of(&[r#"{"n":"a"}"#, &long, r#"{"n":"b"}"#]), 1, usize::MAX, 100).await.unwrap();
    assert_eq!((report.rows, report.rejects), (2, 1));
    let read = "select _offset, _reason, n, length(_raw) as bytes from bronze.books where _quarantined";
    let read = shown(&bench.query(read).await);
    assert!(
        read.contains("| 1       | column `n`, by which the table is partitioned: ") && read.contains("| 308   |"),
        "{read}"
    );
}
