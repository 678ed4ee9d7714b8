//! The peer: DuckDB's extension for Postgres, by `duckdb.py`. It needs the package `duckdb`.

use crate::measure::{self, Finished};
use crate::server::Server;
use std::path::{Path, PathBuf};
use std::process::Command;

/// All five tables from Gold's Parquet files into a new schema.
pub fn run(server: &Server, project: &Path, schema: &str) -> Finished {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/bench/load/duckdb.py");
    let mut python = Command::new(std::env::var("LAKE_BENCH_PYTHON").unwrap_or_else(|_| "python3".into()));
    measure::run(python.arg(script).arg(project.join("lake/gold")).arg(server.url()).arg(schema))
}
