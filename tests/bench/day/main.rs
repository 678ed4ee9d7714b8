//! A day at one commit a second: does a table stay as fast as in its first minutes?
//!
//! ```text
//! cargo bench --bench day -- --commits 86400 --tend-every 60 --strict
//! ```
//!
//! Batches of one row are committed as fast as it goes to a table on the local disk, shaped and positioned as those of
//! `lake bronze`, with the daemon's maintenance after every `--tend-every` commits. Nothing grows old meanwhile, so
//! this is the day on which log and folder grow fastest. For each twentieth of the run a line is printed: milliseconds
//! of a commit (CPU, mean, 99th percentile), of opening the table and reading a position (CPU, median), of a round of
//! maintenance, resident memory, files of the version and of the log. At the end the last four lines are set against
//! the second to fifth, the first being warm-up; `--strict` fails when one figure grew by more than a fifth. CPU time
//! is compared where there is one: on a machine that others use as well, wall time says little.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use lake::flow::maintain::{self, Options};
use lake::flow::{Progress, Stop};
use lake::ident::TableName;
use lake::table::{Commit, Committed, Lake, LakeConfig, Mode, Table, Txn};
use serde_json::{Map, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

const TABLE: &str = "bronze.day";
const POSITION: &str = "lake:bronze:day:0";
const LINES: usize = 20;
const OPENINGS: usize = 25;
const MOST_GROWTH: f64 = 1.2;

struct Arguments {
    commits: usize,
    tend_every: usize,
    strict: bool,
}

fn arguments() -> Arguments {
    let mut arguments = Arguments { commits: 86_400, tend_every: 60, strict: false };
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        let mut number = || given.next().and_then(|text| text.parse().ok()).expect("a number");
        match name.as_str() {
            "--commits" => arguments.commits = number(),
            "--tend-every" => arguments.tend_every = number(),
            "--strict" => arguments.strict = true,
            // What cargo itself says.
            "--bench" => {}
            other => panic!("{other}?"),
        }
    }
    arguments
}

/// What one line shows.
#[derive(Debug, Clone, Copy, Default)]
struct Figures {
    commit_cpu_ms: f64,
    commit_ms: f64,
    commit_p99_ms: f64,
    open_cpu_ms: f64,
    open_ms: f64,
    tend_ms: f64,
    rss_mb: f64,
    files: u64,
    log_files: usize,
}

fn main() {
    let arguments = arguments();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(8 << 20).build().unwrap();
    let lines = runtime.block_on(day(&arguments));
    let grown = growth(&lines);
    for (name, factor) in &grown {
        println!("{name}: x {factor:.2}");
    }
    let steady = grown.iter().all(|(_, factor)| *factor <= MOST_GROWTH);
    assert!(steady || !arguments.strict, "a figure grew by more than a fifth");
}

async fn day(arguments: &Arguments) -> Vec<Figures> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().display().to_string();
    let lake = Lake::open(&LakeConfig { root, ..LakeConfig::default() }).await.unwrap();
    let name = TableName::parse(TABLE).unwrap();
    let mut table = lake.create(&name, row(0).schema(), &["_quarantined"]).await.unwrap();
    println!(" commits  commit CPU   wall    p99  open CPU   wall  tend wall  RSS MB  files  log files");
    let mut lines = Vec::new();
    let each = (arguments.commits / LINES).max(1);
    for line in 0..LINES {
        let mut times = Vec::with_capacity(each);
        let (mut tending, mut cpu) = (Vec::new(), 0.0);
        let mut before = cpu_ms();
        for commit in line * each..(line + 1) * each {
            let began = Instant::now();
            append(&mut table, commit as i64).await;
            times.push(began.elapsed());
            if (commit + 1).is_multiple_of(arguments.tend_every) {
                cpu += cpu_ms() - before;
                let began = Instant::now();
                tend(&lake, &name).await;
                tending.push(began.elapsed());
                before = cpu_ms();
            }
        }
        let commit_cpu_ms = (cpu + cpu_ms() - before) / each as f64;
        let figures = Figures { commit_cpu_ms, ..figures(&lake, &name, folder.path(), times, &tending).await };
        print(((line + 1) * each) as u64, &figures);
        lines.push(figures);
    }
    let rows = lake.table(&name).await.unwrap().unwrap().rows();
    assert_eq!(rows, Some((LINES * each) as u64));
    lines
}

fn row(number: i64) -> RecordBatch {
    let text = |text: String| Arc::new(StringArray::from(vec![text])) as ArrayRef;
    let whole = |number: i64| Arc::new(Int64Array::from(vec![number])) as ArrayRef;
    let columns = [
        ("id", whole(number)),
        ("note", text(format!("row number {number}"))),
        ("_topic", text("day".into())),
        ("_partition", whole(0)),
        ("_offset", whole(number)),
        ("_quarantined", Arc::new(BooleanArray::from(vec![false])) as ArrayRef),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

async fn append(table: &mut Table, number: i64) {
    let mut stage = table.stage(table.schema()).await.unwrap();
    stage.write(row(number)).await.unwrap();
    let staged = stage.finish().await.unwrap();
    let range = json!({"from": number, "to": number + 1, "rows": 1, "rejects": 0, "duplicates": 0, "tombstones": 0,
                       "filtered": 0, "gaps": 0});
    let info = Map::from_iter([("partitions".to_string(), json!({"day/0": range}))]);
    let txns = vec![Txn { app: POSITION.into(), expected: (number > 0).then_some(number), next: number + 1 }];
    let done = table.commit(Commit { mode: Mode::Append, staged, txns, info }, "table.commit").await.unwrap();
    assert!(matches!(done, Committed::Done { .. }), "{done:?}");
}

async fn tend(lake: &Lake, name: &TableName) {
    let retain = Duration::from_secs(7 * 24 * 3600);
    let options = Options { target_file_size: 128 << 20, retain, keep_runs: 20, clean: false, dry_run: false };
    let (tables, ledger) = ([name.clone()], Ok(Vec::new()));
    let done = maintain::maintain(lake, &tables, &ledger, &options, &Progress::silent(), &Stop::default()).await;
    let (_, failure) = done.unwrap();
    assert!(failure.is_none(), "{failure:?}");
}

async fn figures(
    lake: &Lake,
    name: &TableName,
    folder: &std::path::Path,
    mut times: Vec<Duration>,
    tending: &[Duration],
) -> Figures {
    let mut openings = Vec::new();
    let mut files = 0;
    let before = cpu_ms();
    for _ in 0..OPENINGS {
        let began = Instant::now();
        let table = lake.table(name).await.unwrap().unwrap();
        assert!(table.txn(POSITION).await.unwrap().is_some());
        openings.push(began.elapsed());
        files = table.extent(1).unwrap().files;
    }
    let open_cpu_ms = (cpu_ms() - before) / OPENINGS as f64;
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    let mean = |times: &[Duration]| milliseconds(times.iter().sum::<Duration>()) / times.len().max(1) as f64;
    openings.sort();
    let commit_ms = mean(&times);
    times.sort();
    Figures {
        commit_cpu_ms: 0.0,
        commit_ms,
        commit_p99_ms: milliseconds(times[times.len() * 99 / 100]),
        open_cpu_ms,
        open_ms: milliseconds(openings[OPENINGS / 2]),
        tend_ms: mean(tending),
        rss_mb: resident_mb(),
        files,
        log_files: std::fs::read_dir(folder.join("bronze/day/_delta_log")).unwrap().count(),
    }
}

/// CPU time of this process so far.
fn cpu_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
    // Linux counts it in hundredths of a second.
    (ticks(11) + ticks(12)) * 10.0
}

fn resident_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes: f64 = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default();
    kilobytes / 1024.0
}

fn print(commits: u64, figures: &Figures) {
    let Figures { commit_cpu_ms, commit_ms, commit_p99_ms, open_cpu_ms, open_ms, tend_ms, .. } = figures;
    let Figures { rss_mb, files, log_files, .. } = figures;
    println!(
        "{commits:>8} {commit_cpu_ms:>11.2} {commit_ms:>6.1} {commit_p99_ms:>6.1} {open_cpu_ms:>9.1} {open_ms:>6.1} \
         {tend_ms:>10.0} {rss_mb:>7.0} {files:>6} {log_files:>10}"
    );
}

/// The last four lines over the second to fifth.
fn growth(lines: &[Figures]) -> Vec<(&'static str, f64)> {
    let mean = |lines: &[Figures], of: fn(&Figures) -> f64| lines.iter().map(of).sum::<f64>() / lines.len() as f64;
    let grown = |of| mean(&lines[lines.len() - 4..], of) / mean(&lines[1..5], of);
    vec![
        ("CPU time per commit", grown(|line| line.commit_cpu_ms)),
        ("CPU time to open", grown(|line| line.open_cpu_ms)),
        ("resident memory", grown(|line| line.rss_mb)),
    ]
}
