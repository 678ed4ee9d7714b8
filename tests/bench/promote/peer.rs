//! The peer: DuckDB with two threads, from and to Parquet files, by `duckdb.py`. It needs the package `duckdb`.

use crate::measure::{self, Finished};
use crate::star::Star;
use std::path::PathBuf;
use std::process::Command;

fn script() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/bench/promote/duckdb.py")
}

pub fn python() -> Command {
    Command::new(std::env::var("LAKE_BENCH_PYTHON").unwrap_or_else(|_| "python3".into()))
}

/// What keeps it from running here, if anything does.
pub fn missing() -> Option<String> {
    unimportable("duckdb")
}

/// Why Python cannot have these packages.
pub fn unimportable(packages: &str) -> Option<String> {
    match python().args(["-c", &format!("import {packages}")]).output() {
        Err(error) => Some(format!("no Python: {error}")),
        Ok(output) if output.status.success() => None,
        Ok(output) => String::from_utf8_lossy(&output.stderr).lines().last().map(str::to_string),
    }
}

/// Makes the star, measured with start-up; panics unless its fact holds what is expected.
pub fn run(star: &Star) -> Finished {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let finished = measure::run(python().arg(script()).arg(star.bronze()).arg(star.models()).arg(folder.path()));
    let counted = measure::run(python().arg(script()).arg("--sums").arg(folder.path()));
    star.check(counted.stdout.trim(), "duckdb");
    finished
}
