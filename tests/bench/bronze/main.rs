//! What `lake bronze` costs, beside the least a program can do on the same machine in the same minute.
//!
//! ```text
//! eval "$(tests/services env)"
//! cargo bench --bench bronze -- --to both --runs 3 --json figures.json
//! ```
//!
//! A topic of seeded shop orders (JSON of about 143 bytes) on a real Kafka is read to its end by
//! * `baseline`: librdkafka -> arrow-json -> one Snappy Parquet file, one thread, without metadata and checks,
//! * `lake-local`, `lake-minio`: `lake bronze --once` into an empty lake, whose rows are then counted and summed,
//! * `lake-local-bad`: the same with `--bad-per-mille` of the records broken,
//! * `spark` (`--peer spark`): Structured Streaming into Delta, see `spark.py`,
//!
//! in turns (A B A B), each in a process of its own. Ratios of medians count; seconds belong to the machine.
//! `--latency` and `--memory` measure those instead, see `latency.rs` and `memory.rs`.
//!
//! Modules: `orders` makes the records, `topic` fills and keeps topics, `baseline`, `subject` and `spark` are what
//! is measured, `slow` is a store far away, `measure` runs a process and takes its figures, `turns` keeps them,
//! `report` prints them.
//!
//! `--json` writes one object:
//!
//! ```text
//! { "date", "machine": {"cores", "memory_bytes", "cpu", "kernel"}, "build",
//!   "input":    {"records", "partitions", "bytes_per_record", "seed", "bad_per_mille", "compression"},
//!   "subjects": [{"name", "runs": [{"wall_seconds", "cpu_seconds", "peak_rss_bytes", "bytes_read",
//!                            "load_before"}],
//!                 "median": {"wall_seconds", "cpu_seconds", "peak_rss_bytes", "rows_per_second",
//!                            "rows_per_cpu_second", "cpu_microseconds_per_row"},
//!                 "to_baseline": {"wall", "cpu"} | null}],
//!   "latency":  [{"interval", "rows_per_second", "seconds", "rows", "commits", "commits_per_second",
//!                 "p50_ms", "p99_ms", "max_ms", "kafka_p50_ms", "kafka_p99_ms"}],
//!   "memory":   [{"payload_bytes", "partitions", "store", "records", "bytes", "peak_rss_bytes", "wall_seconds", "limit"}] }
//! ```
//!
//! A part that was not asked for is an empty list. `LAKE__BRONZE__*` variables reach the measured program; nothing
//! else of the caller's settings does. To measure another builder of the same table, add a subject in `compare`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod baseline;
mod latency;
#[path = "../measure.rs"]
mod measure;
mod memory;
mod orders;
mod report;
mod slow;
mod spark;
mod subject;
mod topic;
#[path = "../turns.rs"]
mod turns;

use clap::{Parser, ValueEnum};
use measure::Finished;
use orders::{Expected, Shape};
use report::Report;
use std::path::PathBuf;
use subject::{Place, Subject};
use topic::Topic;

#[derive(Parser)]
#[command(name = "bronze", about = "Measures `lake bronze` beside a bare Kafka -> Parquet reader")]
struct Arguments {
    #[arg(long, default_value_t = 2_000_000)]
    records: u64,
    #[arg(long, default_value_t = 4)]
    partitions: i32,
    /// Also measure a topic with this many broken records in a thousand
    #[arg(long, default_value_t = 0)]
    bad_per_mille: u64,
    #[arg(long, default_value_t = 20_261_121)]
    seed: u64,
    /// How the producer compresses: none, lz4, snappy, zstd
    #[arg(long, default_value = "lz4")]
    compression: String,
    #[arg(long, value_enum, default_value_t = To::Both)]
    to: To,
    #[arg(long, default_value_t = 3)]
    runs: usize,
    #[arg(long, value_enum)]
    only: Option<Only>,
    #[arg(long, value_enum)]
    peer: Option<Peer>,
    /// Measure append -> readable instead
    #[arg(long)]
    latency: bool,
    /// Seconds of the latency measurement
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Measure peak memory over payload sizes and partition counts instead
    #[arg(long)]
    memory: bool,
    /// Payload bytes of one case of `--memory`, in MB
    #[arg(long, default_value_t = 2_860)]
    memory_input: u64,
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Set by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum To {
    Local,
    Minio,
    Both,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Only {
    Lake,
    Baseline,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Peer {
    Spark,
}

fn main() {
    if let Some(task) = baseline::Task::of_process() {
        return task.run();
    }
    let arguments = Arguments::parse();
    if !arguments.bench {
        return println!("left out: a benchmark; run it with `cargo bench --bench bronze`");
    }
    let brokers = std::env::var("LAKE_TEST_KAFKA")
        .expect("LAKE_TEST_KAFKA is not set; `tests/services up`, then `eval \"$(tests/services env)\"`");
    let mut report = Report::new(&arguments);
    if arguments.latency {
        report.latency = latency::measure(&brokers, arguments.seconds);
    } else if arguments.memory {
        report.memory = memory::measure(&brokers, &arguments);
    } else {
        compare(&brokers, &arguments, &mut report);
    }
    report.print();
    if let Some(path) = &arguments.json {
        std::fs::write(path, report.json()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

/// One thing that empties a topic: its name, what it reads, and how one run of it goes.
struct Candidate<'a> {
    name: &'a str,
    topic: &'a Topic,
    expected: Expected,
    run: &'a dyn Fn(&Topic, &Expected) -> Finished,
}

fn compare(brokers: &str, arguments: &Arguments, report: &mut Report) {
    let shape = Shape::orders(arguments.records, arguments.partitions, arguments.seed);
    let (clean, expected) = Topic::kept(brokers, &shape, &arguments.compression);
    report.bytes_per_record = expected.bytes as f64 / arguments.records as f64;
    let broken = Shape { bad_per_mille: arguments.bad_per_mille, ..shape };
    let broken = (arguments.bad_per_mille > 0).then(|| Topic::kept(brokers, &broken, &arguments.compression));

    let lake =
        |place: Place| move |topic: &Topic, expected: &Expected| Subject::new(place, topic, None).run_to_end(expected);
    let (local, minio) = (lake(Place::Local), lake(Place::Minio));
    let mut candidates: Vec<Candidate<'_>> = Vec::new();
    let mut add = |name, topic, expected, run| candidates.push(Candidate { name, topic, expected, run });
    if arguments.only != Some(Only::Lake) {
        add("baseline", &clean, expected, &baseline::run);
    }
    if arguments.only != Some(Only::Baseline) {
        if arguments.to != To::Minio {
            add("lake-local", &clean, expected, &local);
        }
        if arguments.to != To::Local {
            add("lake-minio", &clean, expected, &minio);
        }
        if let Some((topic, expected)) = &broken {
            add("lake-local-bad", topic, *expected, &local);
        }
    }
    if arguments.peer == Some(Peer::Spark) {
        match spark::missing() {
            Some(missing) => println!("left out: spark; {missing}"),
            None => add("spark", &clean, expected, &spark::run),
        }
    }
    for round in 1..=arguments.runs {
        for candidate in &candidates {
            let load = measure::load();
            let finished = (candidate.run)(candidate.topic, &candidate.expected);
            report.turns.add(candidate.name, round, finished.usage, load);
        }
    }
}
