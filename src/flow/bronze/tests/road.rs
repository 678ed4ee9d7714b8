//! From a file through a broker into a table, by the two flows as they are.

use super::tables::{Bench, once, shown};
use super::*;
use crate::flow::produce::{self, produce};
use crate::kafka::mock::Mock;
use crate::source::SourceConfig;

/// A project folder with one CSV source and a broker inside the process.
struct Road {
    bench: Bench,
    mock: Mock,
    project: tempfile::TempDir,
}

impl Road {
    async fn new() -> Road {
        let bench = Bench::new().await;
        Road { bench, mock: Mock::with_topic(TOPIC, 2), project: tempfile::tempdir().unwrap() }
    }

    async fn send(&self, text: &str, again: bool) {
        std::fs::write(self.project.path().join("books.csv"), text).unwrap();
        let source = SourceConfig {
            name: TOPIC.into(),
            files: vec!["books.csv".into()],
            key: vec!["n".into()],
            ..SourceConfig::default()
        };
        let options = produce::Options { again, ..produce::Options::default() };
        let (progress, stop) = (Progress::silent(), Stop::default());
        produce(&self.mock.config, &[source], self.project.path(), &options, &progress, &stop).await.unwrap();
    }

    async fn land(&self) -> TableReport {
        let streams = std::slice::from_ref(&self.bench.stream);
        let (progress, stop) = (Progress::silent(), Stop::default());
        let Bench { lake, engine, .. } = &self.bench;
        let report = bronze(&self.mock.config, lake, engine, streams, &once(), &progress, &stop).await.unwrap();
        report.tables.into_iter().next().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_file_land_once_however_often_they_are_sent() {
    let road = Road::new().await;
    let text = "n,Title\n1,\"a, b\"\n2\n3,é\nx,y\n";
    road.send(text, false).await;
    let first = road.land().await;
    assert_eq!((first.rows, first.rejects, first.duplicates), (2, 2, 0));

    road.send(text, true).await;
    let replayed = road.land().await;
    assert_eq!((replayed.rows, replayed.rejects, replayed.duplicates), (0, 0, 4));

    road.send(&format!("{text}5,c\n"), false).await;
    let grown = road.land().await;
    assert_eq!((grown.rows, grown.rejects, grown.duplicates), (1, 0, 0));
    assert_eq!(road.land().await.commits, 0);

    let sql = "select n, _rescued, _source, _source_row, _quarantined from bronze.books order by _source_row";
    let expected = "\
+---+------------------+-----------+-------------+--------------+
| n | _rescued         | _source   | _source_row | _quarantined |
+---+------------------+-----------+-------------+--------------+
| 1 | {\"Title\":\"a, b\"} | books.csv | 1           | false        |
|   |                  | books.csv | 2           | true         |
| 3 | {\"Title\":\"é\"}    | books.csv | 3           | false        |
|   |                  | books.csv | 4           | true         |
| 5 | {\"Title\":\"c\"}    | books.csv | 5           | false        |
+---+------------------+-----------+-------------+--------------+";
    assert_eq!(shown(&road.bench.query(sql).await), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_again_and_longer_is_named() {
    let mut road = Road::new().await;
    road.send("n\n1\n2\n3\n", false).await;
    assert_eq!(road.land().await.rows, 3);
    road.send("n\n1\n2\n3\n4\n", false).await;
    assert_eq!(road.land().await.rows, 1, "the same topic goes on");

    road.mock = Mock::with_topic(TOPIC, 2);
    let longer: String = (10..60).map(|n| format!("{n}\n")).collect();
    road.send(&format!("n\n{longer}"), false).await;
    let streams = std::slice::from_ref(&road.bench.stream);
    let (progress, stop) = (Progress::silent(), Stop::default());
    let Bench { lake, engine, .. } = &road.bench;
    let refused = bronze(&road.mock.config, lake, engine, streams, &once(), &progress, &stop).await.unwrap_err();
    assert!(refused.to_string().contains("where it holds another record now"), "{refused}");
    assert_eq!(refused.kind(), crate::error::Kind::Input);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_broker_is_unavailable() {
    let bench = Bench::new().await;
    let kafka = KafkaConfig { brokers: "127.0.0.1:1".into(), ..KafkaConfig::default() };
    let (progress, stop) = (Progress::silent(), Stop::default());
    let streams = std::slice::from_ref(&bench.stream);
    let outcome = bronze(&kafka, &bench.lake, &bench.engine, streams, &once(), &progress, &stop).await;
    assert_eq!(outcome.unwrap_err().kind(), crate::error::Kind::Unavailable);
}
