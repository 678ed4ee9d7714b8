//! Peers that make the same star, from and to Parquet files, each by a script in Python beside this file.

use crate::measure::{self, Finished};
use crate::star::Star;
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Peer {
    pub name: &'static str,
    script: &'static str,
    packages: &'static str,
}

/// With two threads.
pub const DUCKDB: Peer = Peer { name: "duckdb", script: "duckdb.py", packages: "duckdb" };
/// In one process with two threads.
pub const SPARK: Peer = Peer { name: "spark", script: "spark.py", packages: "pyspark" };

impl Peer {
    /// What keeps it from running here, if anything does.
    pub fn missing(&self) -> Option<String> {
        unimportable(self.packages)
    }

    /// Makes the star, measured with start-up; panics unless its fact holds what is expected.
    pub fn run(&self, star: &Star) -> Finished {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let script = script(self.script);
        let finished = measure::run(python().arg(&script).arg(star.bronze()).arg(star.models()).arg(folder.path()));
        let counted = measure::run(python().arg(&script).arg("--sums").arg(folder.path()));
        star.check(counted.stdout.trim(), self.name);
        finished
    }
}

pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/promote").join(name)
}

pub fn python() -> Command {
    Command::new(std::env::var("LAKE_BENCH_PYTHON").unwrap_or_else(|_| "python3".into()))
}

/// Why Python cannot have these packages.
pub fn unimportable(packages: &str) -> Option<String> {
    match python().args(["-c", &format!("import {packages}")]).output() {
        Err(error) => Some(format!("no Python: {error}")),
        Ok(output) if output.status.success() => None,
        Ok(output) => String::from_utf8_lossy(&output.stderr).lines().last().map(str::to_string),
    }
}
