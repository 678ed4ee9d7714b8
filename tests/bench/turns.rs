//! What was measured in turns: each subject with its runs, their medians, and the machine it was on.

use crate::measure::Usage;
use serde_json::{Value, json};
use std::fs::read_to_string;

/// Subjects in the order they first ran.
#[derive(Default)]
pub struct Turns {
    pub subjects: Vec<Measured>,
}

pub struct Measured {
    pub name: String,
    /// Usage and the load average before it.
    runs: Vec<(Usage, f64)>,
}

impl Turns {
    pub fn add(&mut self, name: &str, round: usize, usage: Usage, load: f64) {
        let Usage { wall_seconds, cpu_seconds, peak_rss_bytes, bytes_read } = usage;
        let (memory, read) = (peak_rss_bytes >> 20, bytes_read >> 20);
        println!(
            "run {round} {name}: {wall_seconds:.2} s, CPU {cpu_seconds:.2} s, {memory} MB, {read} MB read, load before {load}"
        );
        match self.subjects.iter_mut().find(|subject| subject.name == name) {
            Some(subject) => subject.runs.push((usage, load)),
            None => self.subjects.push(Measured { name: name.into(), runs: vec![(usage, load)] }),
        }
    }

    /// Wall and CPU time of `usage` over those of the subject `base`, if it ran.
    pub fn over(&self, base: &str, usage: &Usage) -> Option<(f64, f64)> {
        let base = self.subjects.iter().find(|subject| subject.name == base)?.median();
        Some((usage.wall_seconds / base.wall_seconds, usage.cpu_seconds / base.cpu_seconds))
    }
}

impl Measured {
    /// Of each figure by itself.
    pub fn median(&self) -> Usage {
        let of = |figure: fn(&Usage) -> f64| median(self.runs.iter().map(|(usage, _)| figure(usage)).collect());
        Usage {
            wall_seconds: of(|usage| usage.wall_seconds),
            cpu_seconds: of(|usage| usage.cpu_seconds),
            peak_rss_bytes: of(|usage| usage.peak_rss_bytes as f64) as u64,
            bytes_read: of(|usage| usage.bytes_read as f64) as u64,
        }
    }

    /// `{"name", "runs": [{"wall_seconds", "cpu_seconds", "peak_rss_bytes", "bytes_read", "load_before"}], "median": {..}}`
    pub fn json(&self) -> Value {
        let run = |(usage, load): &(Usage, f64)| {
            let mut run = usage_json(usage);
            run["load_before"] = json!(load);
            run
        };
        let runs: Vec<Value> = self.runs.iter().map(run).collect();
        json!({ "name": self.name, "runs": runs, "median": usage_json(&self.median()) })
    }
}

fn usage_json(usage: &Usage) -> Value {
    json!({
        "wall_seconds": usage.wall_seconds,
        "cpu_seconds": usage.cpu_seconds,
        "peak_rss_bytes": usage.peak_rss_bytes,
        "bytes_read": usage.bytes_read,
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// When and where: `{"date", "machine": {"cores", "memory_bytes", "cpu", "kernel"}, "build"}`.
pub fn circumstances() -> Value {
    let line = |file: &str, key: &str| {
        let text = read_to_string(file).unwrap_or_default();
        let found = text.lines().find_map(|line| line.strip_prefix(key));
        found.map(|rest| rest.trim_start_matches([':', ' ', '\t']).to_string())
    };
    let kilobytes = line("/proc/meminfo", "MemTotal").and_then(|text| text.trim_end_matches(" kB").parse::<u64>().ok());
    json!({
        "date": chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        "machine": {
            "cores": std::thread::available_parallelism().unwrap().get(),
            "memory_bytes": kilobytes.map(|kilobytes| kilobytes * 1024),
            "cpu": line("/proc/cpuinfo", "model name"),
            "kernel": read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        },
        "build": if cfg!(debug_assertions) { "dev" } else { "release" },
    })
}
