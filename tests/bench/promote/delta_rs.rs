//! The peer of a merge: delta-rs, by `delta_rs.py`, on a copy of the fact that `lake` made. It needs the packages
//! `deltalake` and `pyarrow`.

use crate::measure::{self, Finished};
use crate::peer::{python, script, unimportable};
use std::path::Path;

/// What keeps it from running here, if anything does.
pub fn missing() -> Option<String> {
    unimportable("deltalake, pyarrow")
}

/// Merges a hundredth of the rows of `fact`, changed, into a copy of it; measured with start-up.
pub fn merge(fact: &Path) -> Finished {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (copy, news) = (folder.path().join("fact"), folder.path().join("news.parquet"));
    measure::run(std::process::Command::new("cp").arg("-r").arg(fact).arg(&copy));
    measure::run(python().arg(script("delta_rs.py")).arg("--news").arg(&copy).arg(&news));
    measure::run(python().arg(script("delta_rs.py")).arg(&copy).arg(&news))
}
