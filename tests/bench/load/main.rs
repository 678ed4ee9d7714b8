//! What it costs to load a star into PostgreSQL, beside `psql \\copy` of the same rows from ready files.
//!
//! ```text
//! cargo bench --bench load -- --scale 1 --runs 3 --json figures.json
//! ```
//!
//! Gold is the star of the `promote` benchmark: four dimensions and a fact, 6.36 million rows at scale 1. The server is
//! one of the benchmark's own, with fsync on and 1 GB of shared buffers; its CPU time is told apart from the client's.
//! Measured in turns, each in a process of its own:
//! * `psql`: `\\copy` in binary of all five tables from ready files into bare tables, what there is to reach,
//! * `first`: `lake load-warehouse` into an empty schema, bare tables,
//! * `psql-keyed`, `first-keyed`: the same with the primary keys, foreign keys and indexes of a contract,
//! * `no-op`: `lake load-warehouse` again,
//! * `changed`: after one row in a hundred of the fact, the last ones by key, has changed in the lake,
//! * `duckdb`: DuckDB's extension for Postgres, from Gold's Parquet files into bare tables (`duckdb.py`; `--peer duckdb`;
//!   `LAKE_BENCH_PYTHON` names the Python that has it).
//!
//! After each load the warehouse's fact is compared with the lake's, by rows and sums.
//!
//! Modules: `server` is PostgreSQL, `psql` its client, `change` makes new rows, `star` and `tpch` are those of `promote`.
//! `--json` writes `{"date", "machine", "build", "scale", "subjects": [..]}`, a subject as in the `bronze` benchmark,
//! with `to_psql` for its ratios and `server_cpu_seconds`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod change;
mod duckdb;
#[path = "../measure.rs"]
mod measure;
mod psql;
mod server;
#[path = "../promote/star.rs"]
#[allow(dead_code)]
mod star;
#[path = "../promote/tpch.rs"]
mod tpch;
#[path = "../turns.rs"]
mod turns;

use clap::Parser;
use measure::Finished;
use serde_json::json;
use server::Server;
use star::Star;
use std::collections::BTreeMap;
use std::path::PathBuf;
use turns::{Turns, circumstances};

const LIMIT: &str = "psql";
#[derive(Parser)]
#[command(name = "load", about = "Measures `lake load-warehouse` on the TPC-H star, beside psql")]
struct Arguments {
    /// TPC-H scale factor: 1 is six million order lines
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    #[arg(long, default_value_t = 3)]
    runs: usize,
    #[arg(long, value_name = "NAME")]
    peer: Option<String>,
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Set by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured, and the server's CPU time for each turn.
#[derive(Default)]
struct Board {
    turns: Turns,
    server: BTreeMap<String, Vec<f64>>,
}

impl Board {
    fn turn(&mut self, server: &Server, name: &str, round: usize, run: impl FnOnce() -> Finished) {
        server.settle();
        let (load, before) = (measure::load(), server.cpu_seconds());
        let usage = run().usage;
        self.server.entry(name.into()).or_default().push(server.cpu_seconds() - before);
        self.turns.add(name, round, usage, load);
    }

    fn server_cpu(&self, name: &str) -> f64 {
        let mut seconds = self.server.get(name).cloned().unwrap_or_default();
        seconds.sort_by(f64::total_cmp);
        seconds.get(seconds.len() / 2).copied().unwrap_or_default()
    }
}

fn main() {
    let arguments = Arguments::parse();
    if !arguments.bench {
        return println!("left out: a benchmark; run it with `cargo bench --bench load`");
    }
    let Some(server) = Server::start() else { return println!("left out: no PostgreSQL programs on this machine") };
    let board = compare(&arguments, &server);
    print(&board);
    if let Some(path) = &arguments.json {
        std::fs::write(path, json(&arguments, &board)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

fn compare(arguments: &Arguments, server: &Server) -> Board {
    let star = Star::new(arguments.scale);
    star.full();
    let mut board = Board::default();
    let project = star.folder().to_path_buf();
    let load = |schema: &str| server.load(&project, schema);
    // What psql reads: the rows as Postgres itself writes them.
    load("ready");
    let ready = psql::Ready::write(server, "ready", server.folder());
    for round in 1..=arguments.runs {
        contract(&star, "");
        let mut fresh = |name: &str, run: &dyn Fn(&str) -> Finished| {
            let schema = format!("{}_{round}", name.replace('-', "_"));
            board.turn(server, name, round, || run(&schema));
            psql::check(server, &schema, "ready");
            server.sql(&format!(
                "drop schema {schema} cascade; delete from lake.ledger where table_name like '{schema}.%'"
            ));
        };
        fresh(LIMIT, &|schema| ready.copy(server, schema, false));
        fresh("first", &load);
        if arguments.peer.as_deref() == Some("duckdb") {
            fresh("duckdb", &|schema| duckdb::run(server, &project, schema));
        }
        fresh("psql-keyed", &|schema| ready.copy(server, schema, true));
        contract(&star, &keyed());
        board.turn(server, "first-keyed", round, || load("keyed"));
        board.turn(server, "no-op", round, || load("keyed"));
        let changed = change::last_of_hundred(&project.join("lake"), round);
        board.turn(server, "changed", round, || load("keyed"));
        println!("run {round} changed: {changed}");
        // What is `ready` follows, for the comparisons.
        contract(&star, "");
        load("ready");
        psql::check(server, "keyed", "ready");
        server.sql("drop schema keyed cascade; delete from lake.ledger where table_name like 'keyed.%'");
    }
    board
}

/// Keys of the dimensions, the fact's own, and what it refers to.
fn keyed() -> String {
    let fact = "  - name: fact_order_line\n";
    star::TESTS.replace(fact, &format!("{fact}    data_tests: [{{unique: {{columns: [order_key, line_number]}}}}]\n"))
}

fn contract(star: &Star, text: &str) {
    std::fs::write(star.models().join("schema.yml"), text).unwrap();
}

fn print(board: &Board) {
    let head = ["wall s", "CPU s", "RSS MB", "wall x", "server s"];
    println!("\n{:<15} {:>8} {:>8} {:>8} {:>7} {:>9}   medians", "", head[0], head[1], head[2], head[3], head[4]);
    for subject in &board.turns.subjects {
        let usage = subject.median();
        let wall = board.turns.over(LIMIT, &usage).map(|(wall, _)| format!("{wall:.2}")).unwrap_or_default();
        let (name, rss, server) = (&subject.name, usage.peak_rss_bytes >> 20, board.server_cpu(&subject.name));
        println!("{name:<15} {:>8.2} {:>8.2} {rss:>8} {wall:>7} {server:>9.2}", usage.wall_seconds, usage.cpu_seconds);
    }
}

fn json(arguments: &Arguments, board: &Board) -> String {
    let mut object = circumstances();
    object["scale"] = json!(arguments.scale);
    let subject = |subject: &turns::Measured| {
        let mut object = subject.json();
        let ratios = board.turns.over(LIMIT, &subject.median());
        object["to_psql"] = json!(ratios.map(|(wall, cpu)| json!({ "wall": wall, "cpu": cpu })));
        object["server_cpu_seconds"] = json!(board.server_cpu(&subject.name));
        object
    };
    object["subjects"] = board.turns.subjects.iter().map(subject).collect();
    serde_json::to_string_pretty(&object).unwrap() + "\n"
}
