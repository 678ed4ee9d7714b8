//! Runs a process and takes its wall time, CPU time and peak memory from `/proc` (Linux only).
//!
//! What it reads of files is what it asks the kernel for, from the disk or not.
//! CPU time is read when the process has ended and is not yet collected, so it is whole (in ticks of 10 ms). Peak
//! memory is the kernel's own high-water mark, read every few milliseconds. Processes it starts (Spark's JVM) are
//! added, as last seen.

use std::collections::BTreeMap;
use std::fs::{File, read_to_string};
use std::io::{Read, Seek};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SAMPLE: Duration = Duration::from_millis(5);
/// Linux counts CPU time for user space in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    pub wall_seconds: f64,
    /// User and system time.
    pub cpu_seconds: f64,
    pub peak_rss_bytes: u64,
    pub bytes_read: u64,
}

pub struct Finished {
    pub usage: Usage,
    pub stdout: String,
}

/// Runs to the end; panics with what it printed unless it succeeds.
pub fn run(command: &mut Command) -> Finished {
    let mut out = tempfile::tempfile().unwrap();
    let mut err = tempfile::tempfile().unwrap();
    command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(err.try_clone().unwrap());
    let began = Instant::now();
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let usage = watch(&child, began);
    let status = child.wait().unwrap();
    let (stdout, stderr) = (text(&mut out), text(&mut err));
    assert!(status.success(), "{command:?} ended with {status}\nstdout:\n{stdout}\nstderr:\n{stderr}");
    Finished { usage, stdout }
}

/// One line of the kernel's load average, to tell a noisy run from a quiet one.
pub fn load() -> f64 {
    let text = read_to_string("/proc/loadavg").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

#[derive(Default)]
struct Seen {
    ticks: u64,
    peak_rss_bytes: u64,
    bytes_read: u64,
}

/// Follows a process until it is a zombie.
fn watch(child: &Child, began: Instant) -> Usage {
    let mut seen: BTreeMap<u32, Seen> = BTreeMap::new();
    while look(child.id(), &mut seen) {
        std::thread::sleep(SAMPLE);
    }
    Usage {
        wall_seconds: began.elapsed().as_secs_f64(),
        cpu_seconds: seen.values().map(|seen| seen.ticks).sum::<u64>() as f64 / TICKS_PER_SECOND,
        peak_rss_bytes: seen.values().map(|seen| seen.peak_rss_bytes).sum(),
        bytes_read: seen.values().map(|seen| seen.bytes_read).sum(),
    }
}

/// Notes what a process and those below it used so far. False once it has ended.
fn look(pid: u32, seen: &mut BTreeMap<u32, Seen>) -> bool {
    let Ok(stat) = read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
    let entry = seen.entry(pid).or_default();
    entry.ticks = ticks(11) + ticks(12);
    if matches!(fields[0], "Z" | "X") {
        return false;
    }
    let number = |file: &str, key: &str| {
        let text = read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let found = text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok());
        found.unwrap_or(0u64)
    };
    entry.peak_rss_bytes = entry.peak_rss_bytes.max(number("status", "VmHWM:") * 1024);
    entry.bytes_read = entry.bytes_read.max(number("io", "rchar:"));
    let children = read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
        look(child, seen);
    }
    true
}

/// All of a file another process has written.
pub fn text(file: &mut File) -> String {
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}
