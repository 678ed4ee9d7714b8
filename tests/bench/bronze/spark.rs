//! The peer: Spark Structured Streaming 4 into Delta 4, by `spark.py`.
//!
//! It needs a Python with PySpark and the jars of the Kafka source and of Delta; without them it is left out:
//!
//! ```text
//! python3 -m venv spark && spark/bin/pip install pyspark==4.0.1 delta-spark==4.0.0
//! LAKE_BENCH_PYTHON=spark/bin/python cargo bench --bench bronze -- --peer spark
//! ```
//!
//! Spark fetches the jars itself the first time; `LAKE_BENCH_SPARK_JARS` names a folder that holds them already,
//! those PySpark lacks: `spark-sql-kafka-0-10_2.13`, `spark-token-provider-kafka-0-10_2.13`, `kafka-clients`,
//! `commons-pool2`, `delta-spark_2.13` and `delta-storage`.

use crate::measure::{self, Finished};
use crate::orders::Expected;
use crate::topic::Topic;
use std::path::PathBuf;
use std::process::Command;

fn script() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/bench/bronze/spark.py")
}

fn python() -> Command {
    Command::new(std::env::var("LAKE_BENCH_PYTHON").unwrap_or_else(|_| "python3".into()))
}

/// What keeps Spark from running here, if anything does.
pub fn missing() -> Option<String> {
    let probe = python().arg(script()).arg("--probe").output();
    match probe {
        Err(error) => Some(format!("no Python: {error}")),
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            Some(text.lines().last().unwrap_or("the probe of spark.py failed").to_string())
        }
    }
}

/// Reads the topic once, measured with start-up; panics unless the Delta table holds what is expected.
pub fn run(topic: &Topic, expected: &Expected) -> Finished {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut command = python();
    command.arg(script()).args([&topic.brokers, &topic.name]).arg(folder.path());
    let finished = measure::run(&mut command);
    println!("spark: {}", finished.stdout.lines().last().unwrap_or_default());
    let counted = measure::run(python().arg(script()).arg("--count").arg(folder.path()));
    assert_eq!(counted.stdout.trim(), format!("{} {}", expected.rows, expected.quantity), "rows and quantity");
    finished
}
