//! What it costs to make a star out of Bronze tables, beside DuckDB writing the same rows to Parquet files.
//!
//! ```text
//! cargo bench --bench promote -- --scale 1 --runs 3 --peer spark --json figures.json
//! ```
//!
//! TPC-H tables of the given scale lie in Bronze. Four dimensions and a fact of six million rows (at scale 1) are
//! made of them, in turns (A B A B), each in a process of its own:
//! * `full`: `lake promote gold` of an empty Gold layer,
//! * `full-tested`: the same with the star's 18 tests before its commits,
//! * `no-op`: `full` again when nothing is new,
//! * `tests`: `lake test` of what stands,
//! * `new-orders`: the fact alone, as a model that appends, when a hundredth more orders have come,
//! * `changed-keys`: the fact alone, as a model that merges by key, when one line in a hundred, spread evenly, has changed,
//! * `trivial`: `lake promote gold` of five models of one row each,
//! * `duckdb`: the five statements as `COPY .. TO` with two threads, from the Parquet files of the same Bronze tables
//!   (`duckdb.py`; left out where Python has no DuckDB. `LAKE_BENCH_PYTHON` names another Python),
//! * `spark`: the same by Spark with two threads (`spark.py`; `--peer spark`),
//! * `delta-rs`: a merge of one row in a hundred into a copy of that fact (`delta_rs.py`; left out as DuckDB is).
//!
//! What was made is compared with sums known beforehand (at scale 1), or at least with the rows that went in.
//!
//! Modules: `tpch` fills the Bronze layer, `star` is the project and what is run of it, `later` the fact that goes on from
//! what stands, `peer` and `delta_rs` are the peers, `measure` runs a process and takes its figures, `turns` keeps them.
//!
//! `--json` writes `{"date", "machine", "build", "scale", "subjects": [..]}`, a subject as in the `bronze` benchmark,
//! with `to_duckdb` for its ratios. To measure one more thing, add a line to `compare`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod delta_rs;
mod later;
#[path = "../measure.rs"]
mod measure;
mod more;
mod peer;
mod star;
mod tpch;
#[path = "../turns.rs"]
mod turns;

use clap::Parser;
use later::Later;
use measure::Finished;
use peer::{DUCKDB, SPARK};
use serde_json::json;
use star::Star;
use std::path::PathBuf;
use turns::{Turns, circumstances};

const MERGING_PEER: &str = "delta-rs";

#[derive(Parser)]
#[command(name = "promote", about = "Measures `lake promote` on the TPC-H star, beside DuckDB")]
struct Arguments {
    /// TPC-H scale factor: 1 is six million order lines
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Also beside this one: spark
    #[arg(long, value_name = "NAME", value_parser = [SPARK.name])]
    peer: Option<String>,
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Set by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let arguments = Arguments::parse();
    if !arguments.bench {
        return println!("left out: a benchmark; run it with `cargo bench --bench promote`");
    }
    let turns = compare(&arguments);
    print(&turns);
    if let Some(path) = &arguments.json {
        std::fs::write(path, json(&arguments, &turns)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

fn compare(arguments: &Arguments) -> Turns {
    let star = Star::new(arguments.scale);
    let (mut growing, mut changing) = (Later::growing(&star), Later::changing(&star));
    let asked = |name: &str| name != SPARK.name || arguments.peer.is_some();
    let mut peers = vec![];
    for peer in [DUCKDB, SPARK].into_iter().filter(|peer| asked(peer.name)) {
        match peer.missing() {
            None => peers.push(peer),
            Some(missing) => println!("left out: {}; {missing}", peer.name),
        }
    }
    let no_merge = delta_rs::missing();
    if let Some(missing) = &no_merge {
        println!("left out: {MERGING_PEER}; {missing}");
    }
    let mut turns = Turns::default();
    for round in 1..=arguments.runs {
        let mut turn = |name: &str, run: &mut dyn FnMut() -> Finished| {
            let load = measure::load();
            turns.add(name, round, run().usage, load);
        };
        for peer in &peers {
            turn(peer.name, &mut || peer.run(&star));
        }
        turn("full", &mut || star.full());
        turn("no-op", &mut || star.again());
        turn("full-tested", &mut || star.full_tested());
        turn("tests", &mut || star.tests());
        turn("new-orders", &mut || growing.new_orders());
        turn("changed-keys", &mut || changing.changed_lines());
        if no_merge.is_none() {
            turn(MERGING_PEER, &mut || delta_rs::merge(&changing.fact()));
        }
        turn("trivial", &mut star::trivial);
    }
    turns
}

fn print(turns: &Turns) {
    println!(
        "\n{:<15} {:>8} {:>8} {:>8} {:>8} {:>7} {:>7}   medians",
        "", "wall s", "CPU s", "RSS MB", "read MB", "wall x", "CPU x"
    );
    for subject in &turns.subjects {
        let usage = subject.median();
        let ratios = turns.over(DUCKDB.name, &usage);
        let (wall, cpu) = ratios.map(|(wall, cpu)| (format!("{wall:.2}"), format!("{cpu:.2}"))).unwrap_or_default();
        let (name, rss) = (&subject.name, usage.peak_rss_bytes >> 20);
        let (seconds, cpu_seconds, read) = (usage.wall_seconds, usage.cpu_seconds, usage.bytes_read >> 20);
        println!("{name:<15} {seconds:>8.2} {cpu_seconds:>8.2} {rss:>8} {read:>8} {wall:>7} {cpu:>7}");
    }
}

fn json(arguments: &Arguments, turns: &Turns) -> String {
    let mut object = circumstances();
    object["scale"] = json!(arguments.scale);
    let subject = |subject: &turns::Measured| {
        let mut object = subject.json();
        let ratios = turns.over(DUCKDB.name, &subject.median());
        object["to_duckdb"] = json!(ratios.map(|(wall, cpu)| json!({ "wall": wall, "cpu": cpu })));
        object
    };
    object["subjects"] = turns.subjects.iter().map(subject).collect();
    serde_json::to_string_pretty(&object).unwrap() + "\n"
}
