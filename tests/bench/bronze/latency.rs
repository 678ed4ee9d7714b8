//! From the append in Kafka to a row a Delta reader has read, at a steady 20,000 rows a second.
//!
//! Each record carries the moment it was handed to the producer, by the clock of this process, which also reads:
//! delta-rs asks for new versions every few milliseconds and all rows of the files a version adds are read. So a
//! figure holds the producer's queue, the broker, `lake bronze`, the commit, the polling and the reading. The
//! first seconds, in which the table is made, are not counted. Kafka's own timestamps (milliseconds) are compared
//! with the wall clock beside it.

use crate::measure::text;
use crate::orders::{Orders, Shape};
use crate::subject::{Place, Subject};
use crate::topic::{Topic, send};
use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use deltalake::DeltaTable;
use deltalake::parquet::arrow::ProjectionMask;
use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rdkafka::producer::Producer;
use serde_json::{Value, json};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

const ROWS_PER_SECOND: u64 = 20_000;
const ROWS_AT_ONCE: u64 = 20;
const PARTITIONS: i32 = 4;
const WARM_UP: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(5);
/// After the last append; the default interval is shorter.
const PATIENCE: Duration = Duration::from_secs(60);
const SENT: &str = "sent_us";

pub struct Latency {
    interval: String,
    seconds: f64,
    /// Rows after the warm-up, and the commits that brought them.
    rows: u64,
    commits: u64,
    millis: Percentiles,
    kafka_millis: Percentiles,
}

#[derive(Debug, Clone, Copy)]
struct Percentiles {
    p50: f64,
    p99: f64,
    max: f64,
}

/// With a short interval and with the default one.
pub fn measure(brokers: &str, seconds: u64) -> Vec<Latency> {
    let window = Duration::from_secs(seconds);
    vec![once(brokers, window, Some("250ms")), once(brokers, window, None)]
}

fn once(brokers: &str, window: Duration, interval: Option<&str>) -> Latency {
    let topic = Topic::fresh(brokers, PARTITIONS);
    let subject = Subject::new(Place::Local, &topic, Some((SENT, "bigint")));
    let mut command = subject.command(&["bronze"]);
    command.args(interval.map(|interval| ["--interval", interval]).into_iter().flatten());
    let mut lake = Daemon::start(&mut command);

    let clock = Instant::now();
    let rows = std::thread::scope(|scope| {
        let producer = scope.spawn(|| produce(&topic, clock, WARM_UP + window));
        let mut reader = Reader::new(&subject.table(), clock);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            while !producer.is_finished() {
                reader.look(&mut lake).await;
            }
        });
        let sent = producer.join().unwrap();
        let deadline = Instant::now() + PATIENCE;
        runtime.block_on(async {
            while reader.total < sent {
                assert!(Instant::now() < deadline, "{} of {sent} rows became readable", reader.total);
                reader.look(&mut lake).await;
            }
        });
        assert_eq!(reader.total, sent, "rows read and rows sent");
        reader
    });
    drop(lake);
    topic.delete();
    rows.latency(interval.unwrap_or("default"), window)
}

/// Appends at the steady rate; the number of rows.
fn produce(topic: &Topic, clock: Instant, length: Duration) -> u64 {
    let producer = topic.producer("lz4", "1");
    let mut orders = Orders::new(&Shape::orders(0, PARTITIONS, 7));
    let mut payload = Vec::new();
    let mut sent = 0;
    let began = Instant::now();
    while began.elapsed() < length {
        for _ in 0..ROWS_AT_ONCE {
            payload.clear();
            orders.write(sent, &mut payload);
            payload.pop();
            payload.extend_from_slice(format!(",\"{SENT}\":{}}}", clock.elapsed().as_micros()).as_bytes());
            send(&producer, &topic.name, (sent % PARTITIONS as u64) as i32, &payload);
            sent += 1;
        }
        producer.poll(Duration::ZERO);
        let due = Duration::from_micros(1_000_000 * sent / ROWS_PER_SECOND);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
    }
    producer.flush(PATIENCE).unwrap();
    sent
}

/// Follows a table and takes the age of each row when it was read.
struct Reader {
    folder: PathBuf,
    clock: Instant,
    table: Option<DeltaTable>,
    read_to: Option<u64>,
    /// All rows, those of the warm-up too.
    total: u64,
    commits: u64,
    millis: Vec<f64>,
    kafka_millis: Vec<f64>,
}

impl Reader {
    fn new(folder: &Path, clock: Instant) -> Reader {
        let folder = folder.to_path_buf();
        let (millis, kafka_millis) = (Vec::new(), Vec::new());
        Reader { folder, clock, table: None, read_to: None, total: 0, commits: 0, millis, kafka_millis }
    }

    /// Reads what is new, or waits a moment.
    async fn look(&mut self, lake: &mut Daemon) {
        lake.check();
        match &mut self.table {
            Some(table) => table.update_state().await.unwrap(),
            None if self.folder.join("_delta_log").exists() => {
                let url = url::Url::from_directory_path(&self.folder).unwrap();
                self.table = deltalake::open_table(url).await.ok();
            }
            None => {}
        }
        let Some(newest) = self.table.as_ref().and_then(DeltaTable::version) else {
            return tokio::time::sleep(POLL).await;
        };
        let first = self.read_to.map_or(0, |version| version + 1);
        for version in first..=newest {
            self.read(version).await;
            self.read_to = Some(version);
        }
        if first > newest {
            tokio::time::sleep(POLL).await;
        }
    }

    async fn read(&mut self, version: u64) {
        let log = self.table.as_ref().unwrap().log_store();
        let entry = log.read_commit_entry(version).await.unwrap().unwrap();
        let counted = self.millis.len();
        for line in String::from_utf8_lossy(&entry).lines() {
            let action: Value = serde_json::from_str(line).unwrap();
            if let Some(path) = action["add"]["path"].as_str() {
                self.read_file(&self.folder.join(path));
            }
        }
        self.commits += u64::from(self.millis.len() > counted);
    }

    fn read_file(&mut self, path: &Path) {
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
        let wanted = ProjectionMask::columns(builder.parquet_schema(), [SENT, "_timestamp"]);
        let batches: Vec<_> = builder.with_projection(wanted).build().unwrap().map(Result::unwrap).collect();
        let now = self.clock.elapsed();
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        for batch in batches {
            self.total += batch.num_rows() as u64;
            let sent = batch.column_by_name(SENT).unwrap().as_primitive::<Int64Type>().values();
            let appended = batch.column_by_name("_timestamp").unwrap().as_primitive::<TimestampMicrosecondType>();
            for (sent, appended) in sent.iter().zip(appended.values()) {
                if *sent >= WARM_UP.as_micros() as i64 {
                    self.millis.push((now.as_micros() as i64 - sent) as f64 / 1e3);
                    self.kafka_millis.push((wall.as_micros() as i64 - appended) as f64 / 1e3);
                }
            }
        }
    }

    fn latency(self, interval: &str, window: Duration) -> Latency {
        Latency {
            interval: interval.into(),
            seconds: window.as_secs_f64(),
            rows: self.millis.len() as u64,
            commits: self.commits,
            millis: percentiles(self.millis),
            kafka_millis: percentiles(self.kafka_millis),
        }
    }
}

fn percentiles(mut values: Vec<f64>) -> Percentiles {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((values.len() - 1) as f64 * share) as usize];
    Percentiles { p50: at(0.5), p99: at(0.99), max: at(1.0) }
}

impl Latency {
    pub fn print(&self) {
        let Percentiles { p50, p99, max } = self.millis;
        println!(
            "append -> readable, interval {}: p50 {p50:.0} ms, p99 {p99:.0} ms, max {max:.0} ms; {:.0} rows/s, {:.2} commits/s",
            self.interval,
            self.rows as f64 / self.seconds,
            self.commits as f64 / self.seconds,
        );
    }

    pub fn json(&self) -> Value {
        json!({
            "interval": self.interval,
            "rows_per_second": self.rows as f64 / self.seconds,
            "seconds": self.seconds,
            "rows": self.rows,
            "commits": self.commits,
            "commits_per_second": self.commits as f64 / self.seconds,
            "p50_ms": self.millis.p50,
            "p99_ms": self.millis.p99,
            "max_ms": self.millis.max,
            "kafka_p50_ms": self.kafka_millis.p50,
            "kafka_p99_ms": self.kafka_millis.p99,
        })
    }
}

/// `lake bronze`, asked to end by a signal when it goes out of scope.
struct Daemon {
    process: Child,
    messages: File,
}

impl Daemon {
    fn start(command: &mut Command) -> Daemon {
        let messages = tempfile::tempfile().unwrap();
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(messages.try_clone().unwrap()).spawn();
        Daemon { process: process.unwrap(), messages }
    }

    /// Panics with what it said unless it still runs.
    fn check(&mut self) {
        if let Some(status) = self.process.try_wait().unwrap() {
            panic!("lake bronze ended with {status}\n{}", text(&mut self.messages));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let asked = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status();
        if !asked.is_ok_and(|status| status.success()) {
            self.process.kill().ok();
        }
        self.process.wait().ok();
    }
}
