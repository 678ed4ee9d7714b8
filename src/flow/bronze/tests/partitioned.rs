//! Tables with partition columns: where rows land, what a query reads, and what cannot be changed.

use super::tables::{Bench, shown, topic_of};
use super::*;
use crate::error::Kind;

fn column(name: &str, data_type: DataType) -> Column {
    Column { name: name.into(), data_type: Some(data_type), ..Column::default() }
}

/// The stream of a shop: sales by day.
async fn sales() -> Bench {
    let mut bench = Bench::new().await;
    bench.stream.columns = vec![column("n", DataType::Int64), column("sold_on", DataType::Date32)];
    bench.stream.partition_by = vec!["sold_on".into()];
    bench
}

const SALES: [&str; 6] = [
    r#"{"n":1,"sold_on":"2026-03-01"}"#,
    r#"{"n":2,"sold_on":"2026-03-02"}"#,
    r#"{"n":3,"sold_on":"yesterday"}"#,
    r#"{"n":4}"#,
    r#"{"n":5,"sold_on":"2026-03-02"}"#,
    r#"{"n":6,"sold_on":"2026-03-01"}"#,
];

fn folders(bench: &Bench, below: &str) -> Vec<String> {
    let folder = std::path::Path::new(bench.lake.root()).join("bronze/books").join(below);
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn rows_land_by_their_day_late_ones_too_and_a_query_reads_its_days_alone() {
    let bench = sales().await;
    let report = bench.run(&topic_of(&SALES[..5]), 1, usize::MAX, 100).await.unwrap();
    assert_eq!((report.rows, report.rejects), (4, 1));
    // A late row of the first day.
    bench.run(&topic_of(&SALES), 1, usize::MAX, 100).await.unwrap();
    let days = ["sold_on=2026-03-01", "sold_on=2026-03-02", "sold_on=__HIVE_DEFAULT_PARTITION__"];
    assert_eq!(folders(&bench, "_quarantined=false"), days);
    assert_eq!(folders(&bench, "_quarantined=true"), days[2..]);
    assert_eq!(folders(&bench, "_quarantined=false/sold_on=2026-03-01").len(), 2);
    let rows = bench.query("select n, sold_on, _quarantined from bronze.books order by _offset").await;
    let expected = "\
+---+------------+--------------+
| n | sold_on    | _quarantined |
+---+------------+--------------+
| 1 | 2026-03-01 | false        |
| 2 | 2026-03-02 | false        |
|   |            | true         |
| 4 |            | false        |
| 5 | 2026-03-02 | false        |
| 6 | 2026-03-01 | false        |
+---+------------+--------------+";
    assert_eq!(shown(&rows), expected);
    // What is not there cannot have been read.
    let other = std::path::Path::new(bench.lake.root()).join("bronze/books/_quarantined=false/sold_on=2026-03-02");
    std::fs::remove_dir_all(other).unwrap();
    let day = bench.query("select sum(n) as n from bronze.books where sold_on = date '2026-03-01'").await;
    assert_eq!(day[0].column(0).as_primitive::<Int64Type>().value(0), 7);
}

#[tokio::test]
async fn a_column_of_the_sql_may_be_what_a_table_is_partitioned_by() {
    let mut bench = sales().await;
    bench.stream.columns[1] = column("sold_at", DataType::Utf8);
    let sql = "select n, substr(sold_at, 1, 7) as month, _topic, _partition, _offset from batch";
    bench.stream.sql = Some(("sql/bronze/books.sql".into(), sql.into()));
    let refused = bench.run(&topic_of(&["{}"]), 1, usize::MAX, 100).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Config);
    assert_eq!(refused.to_string(), "`bronze.books` cannot be partitioned by `sold_on`: there is no such column");
    bench.stream.partition_by = vec!["month".into()];
    let payloads = [r#"{"n":1,"sold_at":"2026-03-01"}"#, r#"{"n":2,"sold_at":"2026-04-01"}"#];
    bench.run(&topic_of(&payloads), 1, usize::MAX, 100).await.unwrap();
    assert_eq!(folders(&bench, "_quarantined=false"), ["month=2026-03", "month=2026-04"]);
}

#[tokio::test]
async fn a_standing_table_keeps_its_partition_columns() {
    let mut bench = sales().await;
    bench.run(&topic_of(&SALES[..1]), 1, usize::MAX, 100).await.unwrap();
    for (names, said) in [(&[][..], "no column"), (&["n"], "n"), (&["sold_on", "n"], "sold_on, n")] {
        bench.stream.partition_by = names.iter().map(|name| name.to_string()).collect();
        let refused = bench.run(&topic_of(&SALES), 1, usize::MAX, 100).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Config);
        let expected = format!("`bronze.books` is partitioned by sold_on, its contract says {said}");
        assert_eq!(refused.to_string(), expected);
        assert!(refused.hint_text().unwrap().contains("move the table away"));
    }
}

#[tokio::test]
async fn a_batch_of_very_many_days_ends_early() {
    let bench = sales().await;
    let first = chrono::NaiveDate::from_ymd_opt(1990, 1, 1).unwrap();
    let days = (0..1_100).map(|n| format!(r#"{{"n":{n},"sold_on":"{}"}}"#, first + chrono::Days::new(n)));
    let days: Vec<String> = days.collect();
    let topic = topic_of(&days.iter().map(String::as_str).collect::<Vec<_>>());
    let report = bench.run(&topic, 1, usize::MAX, 10_000).await.unwrap();
    assert_eq!((report.rows, report.commits), (1_100, 2), "{report:?}");
}
