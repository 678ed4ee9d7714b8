//! Figures as a table for people and as JSON.

use crate::Arguments;
use crate::latency::Latency;
use crate::measure::Usage;
use crate::memory::Case;
use serde_json::{Value, json};
use std::fs::read_to_string;

pub struct Report {
    input: Input,
    pub bytes_per_record: f64,
    subjects: Vec<Measured>,
    pub latency: Vec<Latency>,
    pub memory: Vec<Case>,
}

struct Input {
    records: u64,
    partitions: i32,
    seed: u64,
    bad_per_mille: u64,
    compression: String,
}

struct Measured {
    name: String,
    /// Usage and the load average before it.
    runs: Vec<(Usage, f64)>,
}

impl Report {
    pub fn new(arguments: &Arguments) -> Report {
        let Arguments { records, partitions, seed, bad_per_mille, .. } = *arguments;
        let compression = arguments.compression.clone();
        let input = Input { records, partitions, seed, bad_per_mille, compression };
        Report { input, bytes_per_record: 0.0, subjects: Vec::new(), latency: Vec::new(), memory: Vec::new() }
    }

    pub fn add(&mut self, name: &str, round: usize, usage: Usage, load: f64) {
        let Usage { wall_seconds, cpu_seconds, peak_rss_bytes } = usage;
        let megabytes = peak_rss_bytes >> 20;
        println!("run {round} {name}: {wall_seconds:.2} s, CPU {cpu_seconds:.2} s, {megabytes} MB, load before {load}");
        match self.subjects.iter_mut().find(|subject| subject.name == name) {
            Some(subject) => subject.runs.push((usage, load)),
            None => self.subjects.push(Measured { name: name.into(), runs: vec![(usage, load)] }),
        }
    }

    pub fn print(&self) {
        if !self.subjects.is_empty() {
            self.print_subjects();
        }
        for latency in &self.latency {
            latency.print();
        }
        if let Some(first) = self.memory.first() {
            println!(
                "\n{:>10} {:>10} {:>6} {:>9} {:>9} {:>8} {:>8}   limit {}",
                "payload",
                "partitions",
                "store",
                "records",
                "input MB",
                "RSS MB",
                "wall s",
                first.limit.as_deref().unwrap_or("not set")
            );
            self.memory.iter().for_each(Case::print);
        }
    }

    fn print_subjects(&self) {
        let Input { records, partitions, seed, .. } = self.input;
        println!(
            "\n{records} records of {:.1} bytes in {partitions} partitions, seed {seed}; medians",
            self.bytes_per_record
        );
        println!(
            "{:<15} {:>8} {:>8} {:>8} {:>10} {:>12} {:>11} {:>7} {:>7}",
            "", "wall s", "CPU s", "RSS MB", "rows/s", "rows/CPU s", "CPU us/row", "wall x", "CPU x"
        );
        for subject in &self.subjects {
            let usage = subject.median();
            let rows = records as f64;
            let (wall, cpu) = self
                .to_baseline(&usage)
                .map_or_else(Default::default, |(wall, cpu)| (format!("{wall:.2}"), format!("{cpu:.2}")));
            println!(
                "{:<15} {:>8.2} {:>8.2} {:>8} {:>10.0} {:>12.0} {:>11.2} {wall:>7} {cpu:>7}",
                subject.name,
                usage.wall_seconds,
                usage.cpu_seconds,
                usage.peak_rss_bytes >> 20,
                rows / usage.wall_seconds,
                rows / usage.cpu_seconds,
                1e6 * usage.cpu_seconds / rows,
            );
        }
    }

    fn to_baseline(&self, usage: &Usage) -> Option<(f64, f64)> {
        let baseline = self.subjects.iter().find(|subject| subject.name == "baseline")?.median();
        Some((usage.wall_seconds / baseline.wall_seconds, usage.cpu_seconds / baseline.cpu_seconds))
    }

    /// In the shape the head of `main.rs` shows.
    pub fn json(&self) -> String {
        let Input { records, partitions, seed, bad_per_mille, compression } = &self.input;
        let object = json!({
            "date": chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            "machine": machine(),
            "build": if cfg!(debug_assertions) { "dev" } else { "release" },
            "input": {
                "records": records, "partitions": partitions, "bytes_per_record": self.bytes_per_record,
                "seed": seed, "bad_per_mille": bad_per_mille, "compression": compression,
            },
            "subjects": self.subjects.iter().map(|subject| self.subject_json(subject)).collect::<Vec<_>>(),
            "latency": self.latency.iter().map(Latency::json).collect::<Vec<_>>(),
            "memory": self.memory.iter().map(Case::json).collect::<Vec<_>>(),
        });
        serde_json::to_string_pretty(&object).unwrap() + "\n"
    }

    fn subject_json(&self, subject: &Measured) -> Value {
        let rows = self.input.records as f64;
        let usage = subject.median();
        let mut median = usage_json(&usage);
        median["rows_per_second"] = json!(rows / usage.wall_seconds);
        median["rows_per_cpu_second"] = json!(rows / usage.cpu_seconds);
        median["cpu_microseconds_per_row"] = json!(1e6 * usage.cpu_seconds / rows);
        let run = |(usage, load): &(Usage, f64)| {
            let mut run = usage_json(usage);
            run["load_before"] = json!(load);
            run
        };
        json!({
            "name": subject.name,
            "runs": subject.runs.iter().map(run).collect::<Vec<_>>(),
            "median": median,
            "to_baseline": self.to_baseline(&usage).map(|(wall, cpu)| json!({ "wall": wall, "cpu": cpu })),
        })
    }
}

impl Measured {
    /// Of each figure by itself.
    fn median(&self) -> Usage {
        let of = |figure: fn(&Usage) -> f64| median(self.runs.iter().map(|(usage, _)| figure(usage)).collect());
        Usage {
            wall_seconds: of(|usage| usage.wall_seconds),
            cpu_seconds: of(|usage| usage.cpu_seconds),
            peak_rss_bytes: of(|usage| usage.peak_rss_bytes as f64) as u64,
        }
    }
}

fn usage_json(usage: &Usage) -> Value {
    json!({
        "wall_seconds": usage.wall_seconds,
        "cpu_seconds": usage.cpu_seconds,
        "peak_rss_bytes": usage.peak_rss_bytes,
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

fn machine() -> Value {
    let line = |file: &str, key: &str| {
        let text = read_to_string(file).unwrap_or_default();
        let found = text.lines().find_map(|line| line.strip_prefix(key));
        found.map(|rest| rest.trim_start_matches([':', ' ', '\t']).to_string())
    };
    let kilobytes = line("/proc/meminfo", "MemTotal").and_then(|text| text.trim_end_matches(" kB").parse::<u64>().ok());
    json!({
        "cores": std::thread::available_parallelism().unwrap().get(),
        "memory_bytes": kilobytes.map(|kilobytes| kilobytes * 1024),
        "cpu": line("/proc/cpuinfo", "model name"),
        "kernel": read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
    })
}
