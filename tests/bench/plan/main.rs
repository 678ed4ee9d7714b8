//! How long it takes to read and plan a project of many models.
//!
//! ```text
//! cargo bench --bench plan -- --models 10000
//! ```
//!
//! Every tenth model reads nothing, all others two earlier ones; each has a contract with three tests. The lake is an
//! empty folder, so every model is planned and none is skipped. Printed are the median of `--rounds` rounds for each
//! part, and the process' peak memory. CPU time is printed too, for a machine that others use as well.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use lake::engine::{Engine, EngineConfig};
use lake::flow::plan::{Options, plan};
use lake::flow::promote;
use lake::ident::Layer;
use lake::model::Project;
use lake::table::{Lake, LakeConfig};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

fn arguments() -> (usize, usize) {
    let (mut models, mut rounds) = (1_000, 5);
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        let mut number = || given.next().and_then(|text| text.parse().ok()).expect("a number");
        match name.as_str() {
            "--models" => models = number(),
            "--rounds" => rounds = number(),
            // What cargo itself says.
            "--bench" => {}
            other => panic!("{other}?"),
        }
    }
    (models, rounds)
}

/// Writes the project; contracts stand a hundred to a file.
fn generate(root: &Path, models: usize) {
    std::fs::create_dir_all(root.join("models/gold")).unwrap();
    let mut contracts = String::new();
    for number in 0..models {
        let name = format!("model_{number:05}");
        let sql = match number % 10 {
            0 => format!("select {number} as id, 'a' as title, cast(1.5 as decimal(12,2)) as amount\n"),
            _ => {
                let (one, other) = (number - 1, number * 7 / 10);
                format!(
                    "select a.id, b.title, a.amount + b.amount as amount\nfrom gold.model_{one:05} a\njoin \
                     gold.model_{other:05} b on b.id = a.id\nwhere a.amount > {number}\n"
                )
            }
        };
        std::fs::write(root.join(format!("models/gold/{name}.sql")), sql).unwrap();
        if number % 100 == 0 {
            contracts = "models:\n".into();
        }
        writeln!(contracts, "  - name: {name}\n    columns:").unwrap();
        writeln!(
            contracts,
            "      - {{name: id, tests: [unique, not_null]}}\n      - {{name: title, tests: [not_null]}}"
        )
        .unwrap();
        if number % 100 == 99 || number + 1 == models {
            std::fs::write(root.join(format!("models/gold/contracts_{:03}.yml", number / 100)), &contracts).unwrap();
        }
    }
}

/// Wall and CPU seconds of some work.
async fn timed<T>(work: impl Future<Output = T>) -> (T, f64, f64) {
    let (started, before) = (Instant::now(), cpu_seconds());
    let done = work.await;
    (done, started.elapsed().as_secs_f64(), cpu_seconds() - before)
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1_000.0
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(8 << 20).build().unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let (models, rounds) = arguments();
    let folder = tempfile::tempdir().unwrap();
    generate(folder.path(), models);
    let root = folder.path().join("lake").to_string_lossy().into_owned();
    let lake = Lake::open(&LakeConfig { root, ..LakeConfig::default() }).await.unwrap();
    let engine = Engine::new(&EngineConfig { memory_bytes: 64 << 20, threads: 2 }).unwrap();
    let promote = promote::Options { layers: vec![Layer::Silver, Layer::Gold], ..promote::Options::default() };
    let mut figures: BTreeMap<&str, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
    let mut note = |part, wall, cpu| {
        let (walls, cpus) = figures.entry(part).or_default();
        walls.push(wall);
        cpus.push(cpu);
    };
    for _ in 0..rounds {
        let (project, wall, cpu) = timed(async { Project::load(folder.path(), &BTreeMap::new(), &[]).unwrap() }).await;
        note("read the project", wall, cpu);
        for (part, lineage) in [("plan", false), ("plan with lineage", true)] {
            let options = Options { promote: promote.clone(), lineage, schema: "gold".into() };
            let work = plan(folder.path(), &project, &lake, &engine, &options);
            let (planned, wall, cpu) = timed(work).await;
            let (report, failure) = planned.unwrap();
            assert!(failure.is_none() && report.models.iter().all(|model| model.runs), "{failure:?}");
            note(part, wall, cpu);
        }
    }
    for (part, (walls, cpus)) in figures {
        println!("{models} models, {part}: {:.3} s wall, {:.3} s CPU", median(walls), median(cpus));
    }
    println!("{models} models: {:.0} MB at most", peak_mb());
}
