//! The flow against a broker inside the process, with sources that are lists in memory.

use super::*;
use crate::flow::Event;
use crate::kafka::mock::{Message, Mock};
use crate::record::{HEADER_SOURCE, Record, SourcePosition};
use bytes::Bytes;
use std::sync::{Arc, Mutex};

/// A row is its text; `key:rest` when the source has a key; a row starting with `!` cannot be parsed.
#[derive(Clone)]
struct Lines {
    rows: Vec<String>,
    keyed: bool,
    at: usize,
}

impl Source for Lines {
    fn next(&mut self) -> Result<Option<Record>> {
        let Some(row) = self.rows.get(self.at) else {
            return Ok(None);
        };
        self.at += 1;
        let digest = crc(&self.rows[..self.at].join("\n"));
        Ok(Some(Record {
            key: row.split_once(':').filter(|_| self.keyed).map(|(key, _)| Bytes::from(key.to_string())),
            payload: Bytes::from(row.clone()),
            timestamp_ms: None,
            position: SourcePosition { row: self.at as u64, partitions: 1, digest },
            error: row.strip_prefix('!').map(|_| format!("f:{}: unreadable", self.at)),
        }))
    }
}

fn crc(text: &str) -> u64 {
    text.bytes().fold(5381, |hash, byte| hash.wrapping_mul(33) ^ u64::from(byte))
}

struct Bench {
    mock: Mock,
    job: Job,
}

impl Bench {
    fn new(partitions: i32, key: &[&str]) -> Bench {
        let mock = Mock::with_topic("t", partitions);
        let source = SourceConfig {
            name: "t".into(),
            key: key.iter().map(|column| column.to_string()).collect(),
            ..SourceConfig::default()
        };
        let job = Job {
            kafka: mock.config.clone(),
            source,
            project: PathBuf::new(),
            options: Options::default(),
            progress: Progress::silent(),
            stop: Stop::default(),
        };
        Bench { mock, job }
    }

    fn send(&self, rows: &[String]) -> Result<SourceReport> {
        let lines = Lines { rows: rows.to_vec(), keyed: !self.job.source.key.is_empty(), at: 0 };
        self.job.send(&[file("f", lines)])
    }

    fn records(&self) -> Vec<Message> {
        self.mock.read_all("t")
    }

    /// Payloads in partition and offset order.
    fn texts(&self) -> Vec<String> {
        self.records().iter().map(|message| text(message.payload.as_deref())).collect()
    }

    fn sources(&self) -> Vec<String> {
        let header = |message: &Message| {
            let found = message.headers.iter().find(|(name, _)| name == HEADER_SOURCE);
            text(found.and_then(|(_, value)| value.as_deref()))
        };
        self.records().iter().map(header).collect()
    }
}

fn file(id: &str, lines: Lines) -> File<'static> {
    let open = move || Ok(Box::new(lines.clone()) as Box<dyn Source>);
    File { id: id.to_string(), open: Box::new(open), grew: Box::new(|_| Ok(false)) }
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8(bytes.unwrap().to_vec()).unwrap()
}

fn rows(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| text.to_string()).collect()
}

fn counts(report: &SourceReport) -> [u64; 5] {
    [report.rows, report.sent, report.already, report.rejected, report.acknowledged]
}

#[test]
fn a_second_run_sends_only_what_is_new() {
    let bench = Bench::new(3, &[]);
    let mut file = rows(&["a", "!b", "c"]);
    assert_eq!(counts(&bench.send(&file).unwrap()), [3, 3, 0, 1, 3]);
    assert_eq!(counts(&bench.send(&file).unwrap()), [3, 0, 3, 0, 0]);
    file.push("d".into());
    assert_eq!(counts(&bench.send(&file).unwrap()), [4, 1, 3, 0, 1]);
    assert_eq!(bench.texts(), file);
    assert_eq!(bench.send(&[]).unwrap_err().kind(), Kind::Input, "a file that lost its rows is refused");
}

#[test]
fn a_file_without_rows_is_fine() {
    let bench = Bench::new(1, &[]);
    assert_eq!(counts(&bench.send(&[]).unwrap()), [0; 5]);
    assert!(bench.texts().is_empty());
}

#[test]
fn rows_changed_after_they_were_sent_are_refused_unless_sent_as_new() {
    let mut bench = Bench::new(1, &[]);
    bench.send(&rows(&["a", "b"])).unwrap();
    for changed in [rows(&["a", "x", "c"]), rows(&["a"])] {
        let error = bench.send(&changed).unwrap_err();
        assert_eq!(error.kind(), Kind::Input);
        assert!(error.to_string().contains("`f`"), "{error}");
        assert!(error.hint_text().unwrap().contains("--as-new"));
    }
    assert_eq!(bench.texts(), ["a", "b"]);

    bench.job.options.as_new = true;
    let edited = rows(&["a", "x"]);
    assert_eq!(counts(&bench.send(&edited).unwrap()), [2, 2, 0, 0, 2]);
    assert_eq!(counts(&bench.send(&edited).unwrap()), [2, 0, 2, 0, 0], "the same command again does nothing");
    bench.job.options.as_new = false;
    assert_eq!(counts(&bench.send(&rows(&["a", "x", "y"])).unwrap()), [3, 1, 2, 0, 1]);
    assert_eq!(bench.texts(), ["a", "b", "a", "x", "y"]);
    assert_eq!(bench.sources(), ["f", "f", "f#2", "f#2", "f#2"]);
}

#[test]
fn sent_as_new_says_what_stays_beside_it() {
    let mut bench = Bench::new(1, &[]);
    bench.send(&rows(&["a", "b"])).unwrap();
    let notes = Arc::new(Mutex::new(Vec::new()));
    let heard = notes.clone();
    bench.job.progress = Progress::new(move |event| {
        if let Event::Note { text } = event {
            heard.lock().unwrap().push(text);
        }
    });
    bench.job.options.as_new = true;
    for _ in 0..2 {
        bench.send(&rows(&["a", "x", "c"])).unwrap();
    }
    let expected = "warning: 2 rows sent earlier as `f` stay beside the 3 sent now as `f#2`, so a row that is in both \
                    is in Bronze twice";
    assert_eq!(*notes.lock().unwrap(), ["`f` was changed and is sent as `f#2`", expected]);
}

#[test]
fn again_repeats_rows_at_their_positions_and_not_changed_ones() {
    let mut bench = Bench::new(2, &[]);
    bench.send(&rows(&["a", "b"])).unwrap();
    bench.job.options.again = true;
    assert_eq!(counts(&bench.send(&rows(&["a", "b", "c"])).unwrap()), [3, 3, 0, 0, 3]);
    let records = bench.records();
    let positions: Vec<String> =
        records.iter().map(|message| text(message.headers.last().unwrap().1.as_deref())).collect();
    assert_eq!(positions[..2], positions[2..4]);
    assert_eq!(bench.texts(), ["a", "b", "a", "b", "c"]);
    assert!(records.iter().all(|message| message.partition == records[0].partition));
    assert_eq!(bench.send(&rows(&["a", "x"])).unwrap_err().kind(), Kind::Input);
    assert_eq!(bench.texts().len(), 5);
}

#[test]
fn keyed_rows_are_spread_and_only_the_missing_are_sent_again() {
    let bench = Bench::new(3, &["k"]);
    let file: Vec<String> = (0..60).map(|row| format!("key{}:{row}", row % 7)).collect();
    bench.send(&file).unwrap();
    let whole = bench.records();
    let partitions: std::collections::BTreeSet<i32> = whole.iter().map(|record| record.partition.number).collect();
    assert!(partitions.len() > 1, "{partitions:?}");

    // A run that ended when one partition lagged: everything of that partition behind row 20 is missing.
    let lagging = whole[0].partition.number;
    let torn = Bench::new(3, &["k"]);
    let producer = Producer::new(&torn.mock.config, "t", Duration::from_secs(20)).unwrap();
    let mut source = Lines { rows: file.clone(), keyed: true, at: 0 };
    let plan = Plan::new("f", None, true, 3).unwrap();
    let mut kept = 0;
    while let Some(mut record) = source.next().unwrap() {
        record.position.partitions = 3;
        let partition = plan.partition(record.key.as_deref());
        if partition != lagging || record.position.row <= 20 {
            producer.send(partition, "f", &record).unwrap();
            kept += 1;
        }
    }
    producer.flush().unwrap();
    assert_eq!(counts(&torn.send(&file).unwrap()), [60, 60 - kept, kept, 0, 60 - kept]);
    assert_eq!(torn.texts(), bench.texts());
}

#[test]
fn a_changed_key_is_refused() {
    let mut bench = Bench::new(2, &["k"]);
    bench.send(&rows(&["x:1", "y:2"])).unwrap();
    bench.job.source.key.clear();
    let error = bench.send(&rows(&["x:1", "y:2"])).unwrap_err();
    assert_eq!(error.kind(), Kind::Config, "{error}");
}

#[test]
fn several_files_share_a_topic() {
    let bench = Bench::new(1, &[]);
    let file = |id: &str, texts: &[&str]| file(id, Lines { rows: rows(texts), keyed: false, at: 0 });
    bench.job.send(&[file("a", &["1", "2"]), file("b", &["3"])]).unwrap();
    let report = bench.job.send(&[file("a", &["1", "2", "4"]), file("b", &["3"]), file("c", &["5"])]).unwrap();
    assert_eq!((report.files, counts(&report)), (3, [5, 2, 3, 0, 2]));
    assert_eq!(bench.texts(), ["1", "2", "3", "4", "5"]);
}

#[test]
fn a_stop_is_clean_and_the_next_run_goes_on() {
    let mut bench = Bench::new(1, &[]);
    bench.job.source.rate = Some(200.0);
    let stop = bench.job.stop.clone();
    let watched = Arc::new(Mutex::new(0));
    let seen = watched.clone();
    bench.job.progress = Progress::new(move |event| {
        if let Event::Advanced { rows, .. } = event {
            *seen.lock().unwrap() += rows;
            stop.request(15);
        }
    });
    let file: Vec<String> = (0..100).map(|row| row.to_string()).collect();
    let error = bench.send(&file).unwrap_err();
    assert_eq!(error.kind(), Kind::Interrupted(15));
    let arrived = bench.texts();
    assert!(!arrived.is_empty() && arrived.len() < 100, "{}", arrived.len());
    assert_eq!(arrived, file[..arrived.len()]);
    assert_eq!(*watched.lock().unwrap(), arrived.len() as u64);

    bench.job.stop = Stop::default();
    bench.job.source.rate = None;
    bench.job.progress = Progress::silent();
    let report = bench.send(&file).unwrap();
    assert_eq!((report.already, report.sent), (arrived.len() as u64, 100 - arrived.len() as u64));
    assert_eq!(bench.texts(), file);
}

#[test]
fn a_rate_is_kept() {
    let mut bench = Bench::new(1, &[]);
    bench.job.source.rate = Some(100.0);
    let started = Instant::now();
    bench.send(&vec!["x".to_string(); 31]).unwrap();
    assert!(started.elapsed() >= Duration::from_millis(300), "{:?}", started.elapsed());
}

#[test]
fn a_lost_broker_is_reported_with_the_acknowledged_rows() {
    let error = lost_after(
        Error::unavailable("gone").hint("start it"),
        &SourceReport { name: "books".into(), acknowledged: 12, ..SourceReport::default() },
    );
    assert_eq!(error.to_string(), "produce `books` ended after 12 acknowledged rows");
    assert!(error.hint_text().unwrap().starts_with("start it; "));
    assert_eq!(lost_after(Error::input("x"), &SourceReport::default()).to_string(), "x");
}
