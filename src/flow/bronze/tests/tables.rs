//! The loop into real Delta tables, in a folder each test has for itself.

use super::super::worker::Worker;
use super::*;
use crate::engine::EngineConfig;
use crate::error::Kind;
use crate::flow::Event;
use crate::ident::Layer;
use crate::table::{LakeConfig, Table};
use arrow::util::pretty::pretty_format_batches;
use std::sync::Mutex;

/// A lake in a folder of its own, and what a worker needs.
pub(super) struct Bench {
    _folder: tempfile::TempDir,
    pub lake: Lake,
    pub engine: Engine,
    pub stream: Stream,
    pub progress: Progress,
}

impl Bench {
    pub async fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_str().unwrap().to_string();
        let lake = Lake::open(&LakeConfig { root, ..LakeConfig::default() }).await.unwrap();
        let engine = Engine::new(&EngineConfig { memory_bytes: 64 << 20, threads: 1 }).unwrap();
        let column = Column { name: "n".into(), data_type: Some(DataType::Int64), ..Column::default() };
        let table = TableName::new(Layer::Bronze, "books").unwrap();
        let stream = Stream {
            table,
            topics: Topics::one(TOPIC),
            only: None,
            columns: vec![column],
            sql: None,
            partition_by: vec![],
            max_reject_rate: None,
            format: Format::default(),
            drift: Drift::default(),
        };
        Bench { _folder: folder, lake, engine, stream, progress: Progress::silent() }
    }

    /// One run to the end; `lives` messages are delivered before the consumer fails.
    pub async fn run(&self, topic: &Arc<Topic>, seed: u64, lives: usize, max_rows: usize) -> Result<TableReport> {
        let options = Options { max_rows, ..once() };
        let topic = topic.clone();
        self.work(&options, &Stop::default(), move || Ok((topic.consumer(seed, lives), topic.survey()))).await
    }

    pub async fn work(
        &self,
        options: &Options,
        stop: &Stop,
        connect: impl Fn() -> Result<(Replay, Survey)> + Clone + Send + 'static,
    ) -> Result<TableReport> {
        let halt = Halt { stop: stop.clone(), failed: AtomicBool::new(false) };
        let shares = Shares::of(options.memory, 1);
        Worker::new(&self.lake, &self.engine, &self.stream, options, shares, &self.progress, &halt).run(connect).await
    }

    /// Notes of all runs from now on.
    pub fn notes(&mut self) -> Arc<Mutex<Vec<String>>> {
        let notes = Arc::new(Mutex::new(Vec::new()));
        let kept = notes.clone();
        self.progress = Progress::new(move |event| {
            if let Event::Note { text } = event {
                kept.lock().unwrap().push(text);
            }
        });
        notes
    }

    pub async fn table(&self) -> Table {
        self.lake.table(&self.stream.table).await.unwrap().unwrap()
    }

    /// The answer to a query over the table, which is registered as `bronze.books`.
    pub async fn query(&self, sql: &str) -> Vec<RecordBatch> {
        let session = self.engine.session();
        let provider = self.table().await.provider().await.unwrap();
        session.register(&self.stream.table, provider).unwrap();
        session.query(sql).await.unwrap()
    }

    async fn places(&self) -> Vec<Place> {
        let sql = "select _partition, _offset, _quarantined from bronze.books order by 1, 2";
        self.query(sql).await.iter().flat_map(places).collect()
    }
}

pub(super) fn once() -> Options {
    Options {
        once: true,
        share: Share::WHOLE,
        interval: Duration::from_secs(60),
        max_rows: 100,
        max_bytes: usize::MAX,
        memory: 64 << 20,
        max_reject_rate: None,
        start: Start::Earliest,
    }
}

/// One partition of plain payloads.
pub(super) fn topic_of(payloads: &[&str]) -> Arc<Topic> {
    let message = |(offset, payload): (usize, &&str)| {
        let (message, _) = message(0, offset as i64, Slot::Good, &mut [0, 0]);
        message.map(|message| Message { payload: Some(payload.to_string().into()), ..message })
    };
    Arc::new(Topic { log: vec![payloads.iter().enumerate().map(message).collect()], expected: Vec::new() })
}

pub(super) fn shown(batches: &[RecordBatch]) -> String {
    pretty_format_batches(batches).unwrap().to_string()
}

fn some_topic() -> Arc<Topic> {
    let row = |fault| Slot::Row { source: 0, fault };
    let first = vec![
        row(Fault::None),
        row(Fault::Source),
        Slot::Replay { source: 0, back: 0 },
        Slot::Gap,
        Slot::Bad,
        Slot::Good,
        Slot::Tombstone,
        row(Fault::Payload),
        Slot::Replay { source: 0, back: 1 },
        Slot::Gap,
    ];
    Arc::new(Topic::new(&[first, vec![], vec![Slot::Tombstone, Slot::Gap]]))
}

#[tokio::test]
async fn a_run_to_the_end_is_exact_and_a_second_one_does_nothing() {
    let (bench, topic) = (Bench::new().await, some_topic());
    let report = bench.run(&topic, 1, usize::MAX, 100).await.unwrap();
    let counts = (report.rows, report.rejects, report.duplicates, report.tombstones, report.filtered, report.gaps);
    assert_eq!(counts, (2, 3, 2, 2, 0, 3));
    assert_eq!(report.commits, 1);
    let positions = [("books/0".to_string(), 10), ("books/1".to_string(), 0), ("books/2".to_string(), 2)];
    assert_eq!(report.positions, BTreeMap::from(positions));
    assert_eq!(bench.places().await, topic.expected);

    let again = bench.run(&topic, 1, usize::MAX, 100).await.unwrap();
    assert_eq!((again.commits, again.rows, again.version), (0, 0, report.version));
}

#[tokio::test]
async fn every_commit_carries_its_sums() {
    let (bench, topic) = (Bench::new().await, some_topic());
    bench.run(&topic, 1, usize::MAX, 100).await.unwrap();
    let table = bench.table().await;
    let info = &table.history(1).await.unwrap()[0].info;
    let expected = serde_json::json!({
        "books/0": {"from": 0, "to": 10, "rows": 2, "rejects": 3, "duplicates": 2, "tombstones": 1, "filtered": 0, "gaps": 2},
        "books/1": {"from": 0, "to": 0, "rows": 0, "rejects": 0, "duplicates": 0, "tombstones": 0, "filtered": 0, "gaps": 0},
        "books/2": {"from": 0, "to": 2, "rows": 0, "rejects": 0, "duplicates": 0, "tombstones": 1, "filtered": 0, "gaps": 1},
    });
    assert_eq!(info["partitions"], expected);
    let source = source_app(&Partition::new(TOPIC, 0), "a");
    assert_eq!(table.txn(&source).await.unwrap(), Some(3));

    // Of what it does not move a commit says nothing: somebody else may have moved it meanwhile.
    let mut log = topic.log.clone();
    log[0].push(message(0, 10, Slot::Good, &mut [0, 0]).0);
    bench.run(&Arc::new(Topic { log, expected: Vec::new() }), 1, usize::MAX, 100).await.unwrap();
    let info = &bench.table().await.history(1).await.unwrap()[0].info;
    let moved = serde_json::json!({
        "books/0": {"from": 10, "to": 11, "rows": 1, "rejects": 0, "duplicates": 0, "tombstones": 0, "filtered": 0, "gaps": 0},
    });
    assert_eq!(info["partitions"], moved);
}

#[tokio::test]
async fn failed_runs_leave_no_trace_but_their_commits() {
    let (bench, topic) = (Bench::new().await, some_topic());
    let mut failures = 0;
    for (seed, lives) in [(3, 0), (5, 2), (7, 4), (9, 4)] {
        match bench.run(&topic, seed, lives, 2).await {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), Kind::Unavailable);
                failures += 1;
            }
        }
    }
    assert!(failures > 1);
    bench.run(&topic, 1, usize::MAX, 2).await.unwrap();
    assert_eq!(bench.places().await, topic.expected);
}

#[tokio::test]
async fn two_writers_at_once_do_the_work_once() {
    let (bench, topic) = (Bench::new().await, some_topic());
    let (one, other) = tokio::join!(bench.run(&topic, 1, usize::MAX, 2), bench.run(&topic, 2, usize::MAX, 3));
    let rows = |report: Result<TableReport>| report.map(|report| report.rows + report.rejects).unwrap();
    assert_eq!(rows(one) + rows(other), topic.expected.len() as u64);
    assert_eq!(bench.places().await, topic.expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_keep_their_order_while_the_next_batch_is_collected() {
    let bench = Bench::new().await;
    let payloads: Vec<String> = (0..60).map(|n| format!("{{\"n\":{n}}}")).collect();
    let topic = topic_of(&payloads.iter().map(String::as_str).collect::<Vec<_>>());
    let report = bench.run(&topic, 1, usize::MAX, 7).await.unwrap();
    assert_eq!((report.rows, report.commits > 5), (60, true), "{report:?}");
    let table = bench.table().await;
    let mut history = table.history(usize::MAX).await.unwrap();
    history.retain(|commit| commit.info.contains_key("partitions"));
    history.reverse();
    let ranges: Vec<_> = history.iter().map(|commit| &commit.info["partitions"]["books/0"]).collect();
    assert_eq!((ranges[0]["from"].as_i64(), ranges.last().unwrap()["to"].as_i64()), (Some(0), Some(60)));
    assert!(ranges.windows(2).all(|pair| pair[0]["to"] == pair[1]["from"]), "{ranges:?}");
    assert_eq!(ranges.len() as u64, report.commits);
}

#[tokio::test]
async fn undeclared_columns_are_inferred_once() {
    let mut bench = Bench::new().await;
    bench.stream.columns.clear();
    let first = [r#"{"Id":1,"price":1.10,"tags":["a"]}"#, "no record"];
    bench.run(&topic_of(&first), 1, usize::MAX, 100).await.unwrap();
    let grown = [first[0], first[1], r#"{"id":2,"late":true}"#, r#"{"Id":"x"}"#];
    bench.run(&topic_of(&grown), 1, usize::MAX, 100).await.unwrap();
    let rows = bench.query("select id, price, tags, _rescued, _reason from bronze.books order by _offset").await;
    let expected = "\
+----+-------+-------+---------------+-----------------------------------------+
| id | price | tags  | _rescued      | _reason                                 |
+----+-------+-------+---------------+-----------------------------------------+
| 1  | 1.1   | [\"a\"] |               |                                         |
|    |       |       |               | no JSON object at byte 0                |
| 2  |       |       | {\"late\":true} |                                         |
|    |       |       |               | column `id`: expected bigint, found \"x\" |
+----+-------+-------+---------------+-----------------------------------------+";
    assert_eq!(shown(&rows), expected);
}

#[tokio::test]
async fn columns_come_from_the_first_batch_that_shows_some() {
    let mut bench = Bench::new().await;
    bench.stream.columns.clear();
    let notes = bench.notes();
    let payloads = ["no record", r#"{"id":1,"price":1.5}"#, r#"{"id":2,"late":true}"#];
    for length in 1..=payloads.len() {
        bench.run(&topic_of(&payloads[..length]), 1, usize::MAX, 100).await.unwrap();
    }
    let columns: Vec<_> = bench.table().await.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(columns[..3], ["id", "price", "_topic"]);
    let rows = bench.query("select id, price, _rescued, _quarantined from bronze.books order by _offset").await;
    let expected = "\
+----+-------+---------------+--------------+
| id | price | _rescued      | _quarantined |
+----+-------+---------------+--------------+
|    |       |               | true         |
| 1  | 1.5   |               | false        |
| 2  |       | {\"late\":true} | false        |
+----+-------+---------------+--------------+";
    assert_eq!(shown(&rows), expected);
    let expected =
        "nobody declared columns of `bronze.books`; its first records show `id` bigint, `price` double precision";
    assert_eq!(*notes.lock().unwrap(), [expected]);
}

#[tokio::test]
async fn a_contract_that_grows_adds_its_column() {
    let mut bench = Bench::new().await;
    bench.run(&topic_of(&[r#"{"n":1,"m":1}"#]), 1, usize::MAX, 100).await.unwrap();
    bench.stream.columns.push(Column { name: "m".into(), data_type: Some(DataType::Int32), ..Column::default() });
    bench.run(&topic_of(&[r#"{"n":1,"m":1}"#, r#"{"n":2,"m":7}"#]), 1, usize::MAX, 100).await.unwrap();
    let rows = bench.query("select n, m, _rescued from bronze.books order by _offset").await;
    let expected = "\
+---+---+----------+
| n | m | _rescued |
+---+---+----------+
| 1 |   | {\"m\":1}  |
| 2 | 7 |          |
+---+---+----------+";
    assert_eq!(shown(&rows), expected);

    bench.stream.columns[0].data_type = Some(DataType::Utf8);
    let error = bench.run(&topic_of(&["{}", "{}", "{}"]), 1, usize::MAX, 100).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().contains("column `n` of `bronze.books`"), "{error}");
}

#[tokio::test]
async fn sql_changes_and_drops_rows_and_cannot_move_them() {
    let mut bench = Bench::new().await;
    let sql = "select upper('x' || n) as code, n * 2 as twice, _topic, _partition, _offset + 0 as _offset, \
               'forged' as _source from batch where n <> 2";
    bench.stream.sql = Some(("sql/bronze/books.sql".into(), sql.into()));
    let payloads = [r#"{"n":1,"m":0}"#, r#"{"n":2}"#, "bad", r#"{"n":3}"#];
    let report = bench.run(&topic_of(&payloads), 1, usize::MAX, 100).await.unwrap();
    assert_eq!((report.rows, report.filtered, report.rejects), (2, 1, 1));
    let rows =
        "select code, twice, _offset, _source, _rescued from bronze.books where not _quarantined order by _offset";
    let expected = "\
+------+-------+---------+---------+----------+
| code | twice | _offset | _source | _rescued |
+------+-------+---------+---------+----------+
| X1   | 2     | 0       |         | {\"m\":0}  |
| X3   | 6     | 3       |         |          |
+------+-------+---------+---------+----------+";
    assert_eq!(shown(&bench.query(rows).await), expected);
}

#[tokio::test]
async fn sql_that_loses_or_multiplies_rows_is_refused() {
    let table = [
        ("select n, _topic, _partition from batch", "does not select `_offset`"),
        ("select b.* from batch b join (values (1), (2)) t(x) on true", "more than once"),
        (
            "select n, _topic, _partition, _offset + 9 as _offset from batch",
            "books/0 offset 9 more than once or without",
        ),
        ("select nn, _topic, _partition, _offset from batch", "apply `s.sql`"),
    ];
    for (sql, expected) in table {
        let mut bench = Bench::new().await;
        bench.stream.sql = Some(("s.sql".into(), sql.into()));
        let error = bench.run(&topic_of(&[r#"{"n":1}"#]), 1, usize::MAX, 100).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Config, "{sql}: {error}");
        assert!(error.to_string().contains(expected), "{sql}: {error}");
    }
    let mut bench = Bench::new().await;
    bench.stream.sql = Some(("s.sql".into(), "select * from batch".into()));
    bench.stream.columns.clear();
    assert_eq!(bench.run(&topic_of(&["{}"]), 1, usize::MAX, 100).await.unwrap_err().kind(), Kind::Config);
}

#[tokio::test]
async fn a_start_at_the_end_is_kept() {
    let record = r#"{"n":1}"#;
    for declared in [true, false] {
        let mut bench = Bench::new().await;
        if !declared {
            bench.stream.columns.clear();
        }
        let options = Options { start: Start::Latest, ..once() };
        for (payloads, rows) in [(&[record; 2][..], 0), (&[record; 3], 1)] {
            let topic = topic_of(payloads);
            let connect = move || Ok((topic.consumer(1, usize::MAX), topic.survey()));
            let report = bench.work(&options, &Stop::default(), connect).await.unwrap();
            assert_eq!((report.rows, report.commits), (rows, 1), "{declared}");
        }
        let read = bench.query("select n, _offset from bronze.books").await;
        let expected = "\
+---+---------+
| n | _offset |
+---+---------+
| 1 | 2       |
+---+---------+";
        assert_eq!(shown(&read), expected, "{declared}");
    }
}

#[tokio::test]
async fn a_missing_topic_and_a_shrunken_one_are_named() {
    let bench = Bench::new().await;
    let nothing = Arc::new(Topic { log: Vec::new(), expected: Vec::new() });
    let connect = move || Ok((nothing.consumer(1, usize::MAX), nothing.survey()));
    let missing = bench.work(&once(), &Stop::default(), connect).await.unwrap_err();
    assert_eq!(missing.to_string(), "topic `books` of `bronze.books` does not exist");
    assert!(missing.hint_text().unwrap().contains("lake produce"));
    bench.run(&topic_of(&["{}", "{}"]), 1, usize::MAX, 100).await.unwrap();
    let shrunken = bench.run(&topic_of(&["{}"]), 1, usize::MAX, 100).await.unwrap_err();
    assert!(shrunken.to_string().contains("was deleted and made again"), "{shrunken}");
}

#[tokio::test]
async fn a_topic_made_again_and_longer_is_known_by_the_record_read_last() {
    let bench = Bench::new().await;
    bench.run(&topic_of(&["{}", r#"{"n":1}"#]), 1, usize::MAX, 100).await.unwrap();
    let other = bench.run(&topic_of(&["{}", r#"{"n":2}"#, "{}"]), 1, usize::MAX, 100).await.unwrap_err();
    let expected = "`bronze.books` has read books/0 up to offset 1, where it holds another record now: \
                    topic `books` was deleted and made again";
    assert_eq!((other.kind(), other.to_string().as_str()), (Kind::Input, expected));
    assert!(other.hint_text().unwrap().contains("move `bronze.books` away"));
    // What compaction took away proves nothing, and what is behind it is read.
    let mut compacted = topic_of(&["{}", "{}", "{}"]);
    Arc::get_mut(&mut compacted).unwrap().log[0][1] = None;
    assert_eq!(bench.run(&compacted, 1, usize::MAX, 100).await.unwrap().rows, 1);
}

#[tokio::test]
async fn a_tip_stays_at_its_record_when_only_the_position_moves() {
    let bench = Bench::new().await;
    let first_and_gaps = |first: &str, gaps: usize| {
        let mut topic = topic_of(&[first]);
        Arc::get_mut(&mut topic).unwrap().log[0].extend(vec![None; gaps]);
        topic
    };
    bench.run(&first_and_gaps("{}", 0), 1, usize::MAX, 100).await.unwrap();
    assert_eq!(bench.run(&first_and_gaps("{}", 2), 1, usize::MAX, 100).await.unwrap().gaps, 2);
    let tip = bench.table().await.txn(&tip_app(&Partition::new(TOPIC, 0))).await.unwrap();
    assert_eq!(Tip::stored(tip.unwrap(), 3).unwrap().offset, 0);
    bench.run(&first_and_gaps("{}", 3), 1, usize::MAX, 100).await.unwrap();
    let other = bench.run(&first_and_gaps("[]", 4), 1, usize::MAX, 100).await.unwrap_err();
    assert!(other.to_string().contains("up to offset 0, where it holds another record now"), "{other}");
}

#[tokio::test]
async fn a_daemon_commits_by_its_interval_and_drops_the_rest_when_stopped() {
    let bench = Bench::new().await;
    let options = Options { once: false, interval: Duration::from_millis(50), ..once() };
    let (stop, topic) = (Stop::default(), some_topic());
    let expected = topic.expected.clone();
    let connect = move || Ok((topic.consumer(1, usize::MAX), topic.survey()));
    let work = bench.work(&options, &stop, connect);
    let ask = async {
        while bench.lake.table(&bench.stream.table).await.unwrap().is_none_or(|table| table.version() == 0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        stop.request(15);
    };
    let (outcome, ()) = tokio::join!(work, ask);
    assert_eq!(outcome.unwrap_err().kind(), Kind::Interrupted(15));
    assert_eq!(bench.places().await, expected);
}

#[tokio::test]
async fn too_many_rejects_end_a_run_before_their_commit() {
    let mut bench = Bench::new().await;
    bench.stream.max_reject_rate = Some(0.25);
    // Two of the first nine are bad, then all.
    let payloads: Vec<&str> =
        (0..12).map(|at| if at % 4 == 3 || at > 8 { "{\"n\":\"x\"}" } else { "{\"n\":1}" }).collect();
    let topic = topic_of(&payloads);
    let error = bench.run(&topic, 1, usize::MAX, 4).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Input);
    let text = error.to_string();
    assert!(text.starts_with("of 12 records of `bronze.books` 5 are rejects: 41.67%, more than the 25% of"), "{text}");
    assert!(text.ends_with("most of all (5): column `n`: expected bigint, found \"x\", at books/0 offset 3"), "{text}");
    assert!(error.hint_text().unwrap().contains("raise max_reject_rate"));
    let committed = bench.places().await.len();
    assert!((4..12).contains(&committed), "what was read before stays: {committed}");
    let files = std::fs::read_dir(bench._folder.path().join("bronze/books/_quarantined=true")).unwrap().count();
    assert_eq!(files, committed / 4, "the files of the last batch are deleted");

    let again = bench.run(&topic, 1, usize::MAX, 4).await.unwrap_err().to_string();
    assert!(again.contains("books/0 offset"), "the next run begins there again: {again}");
    bench.stream.max_reject_rate = Some(1.0);
    bench.run(&topic, 1, usize::MAX, 4).await.unwrap();
    assert_eq!(bench.places().await.len(), 12);
}

#[tokio::test]
async fn few_records_are_judged_only_at_the_end_of_a_run() {
    let bench = Bench::new().await;
    let options = Options { max_reject_rate: Some(0.1), max_rows: 10, ..once() };
    let run = |payloads: Vec<&'static str>| {
        let (topic, bench, options) = (topic_of(&payloads), &bench, &options);
        async move {
            let connect = move || Ok((topic.consumer(1, usize::MAX), topic.survey()));
            bench.work(options, &Stop::default(), connect).await
        }
    };
    // 10 of the first 20 are bad, 10 of all 100.
    let bad = |at: usize| if at < 10 { "{\"n\":\"x\"}" } else { "{\"n\":1}" };
    let report = run((0..100).map(bad).collect()).await.unwrap();
    assert_eq!((report.rows, report.rejects), (90, 10));
    let error = run((0..103).map(|at| if at == 102 { "" } else { bad(at) }).collect()).await.unwrap_err();
    assert!(error.to_string().starts_with("of 3 records of `bronze.books` 1 are rejects: 33.33%"), "{error}");
}
