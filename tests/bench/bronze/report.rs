//! Figures as a table for people and as JSON.

use crate::Arguments;
use crate::latency::Latency;
use crate::memory::Case;
use crate::turns::{Measured, Turns, circumstances};
use serde_json::{Value, json};

const BASELINE: &str = "baseline";

pub struct Report {
    input: Input,
    pub bytes_per_record: f64,
    pub turns: Turns,
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

impl Report {
    pub fn new(arguments: &Arguments) -> Report {
        let Arguments { records, partitions, seed, bad_per_mille, .. } = *arguments;
        let compression = arguments.compression.clone();
        let input = Input { records, partitions, seed, bad_per_mille, compression };
        Report { input, bytes_per_record: 0.0, turns: Turns::default(), latency: Vec::new(), memory: Vec::new() }
    }

    pub fn print(&self) {
        if !self.turns.subjects.is_empty() {
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
        for subject in &self.turns.subjects {
            let usage = subject.median();
            let rows = records as f64;
            let (wall, cpu) = self
                .turns
                .over(BASELINE, &usage)
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

    /// In the shape the head of `main.rs` shows.
    pub fn json(&self) -> String {
        let Input { records, partitions, seed, bad_per_mille, compression } = &self.input;
        let mut object = circumstances();
        let measured = json!({
            "input": {
                "records": records, "partitions": partitions, "bytes_per_record": self.bytes_per_record,
                "seed": seed, "bad_per_mille": bad_per_mille, "compression": compression,
            },
            "subjects": self.turns.subjects.iter().map(|subject| self.subject_json(subject)).collect::<Vec<_>>(),
            "latency": self.latency.iter().map(Latency::json).collect::<Vec<_>>(),
            "memory": self.memory.iter().map(Case::json).collect::<Vec<_>>(),
        });
        object.as_object_mut().unwrap().extend(measured.as_object().unwrap().clone());
        serde_json::to_string_pretty(&object).unwrap() + "\n"
    }

    fn subject_json(&self, subject: &Measured) -> Value {
        let rows = self.input.records as f64;
        let usage = subject.median();
        let mut object = subject.json();
        let median = &mut object["median"];
        median["rows_per_second"] = json!(rows / usage.wall_seconds);
        median["rows_per_cpu_second"] = json!(rows / usage.cpu_seconds);
        median["cpu_microseconds_per_row"] = json!(1e6 * usage.cpu_seconds / rows);
        let ratios = self.turns.over(BASELINE, &usage);
        object["to_baseline"] = json!(ratios.map(|(wall, cpu)| json!({ "wall": wall, "cpu": cpu })));
        object
    }
}
