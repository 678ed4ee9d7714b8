//! `lake load-warehouse` ends as by `kill -9` at each of its steps and at random moments, over a star that stands:
//! readers have the old star or the new one, and running again brings the new one.

use crate::support::postgres::Server;
use crate::support::running::Running;
use crate::support::seed::{Random, seeds};
use crate::support::star::Star;
use std::time::Instant;

const ROUNDS: u64 = 10;
/// Batches of rows in a load of the star's changes, at least.
const BATCHES: u64 = 6;

/// A round costs two loads that do not end, and one that has ended with the promote before it.
#[test]
fn a_loader_killed_at_any_step_leaves_a_whole_star() {
    let Some(server) = Server::start("a loader killed at each step", &[]) else { return };
    let mut star = Star::new(server);
    for seed in seeds("a_loader_killed_at_any_step_leaves_a_whole_star", ROUNDS) {
        star.publish();
        let mid_copy = format!("load.mid_copy=abort@{}", 1 + Random::new(seed).below(BATCHES));
        for (failpoint, loaded) in
            [(mid_copy.as_str(), false), ("load.before_commit=abort", false), ("load.after_commit=abort", true)]
        {
            let crashed = star.project.lake_with_failpoint(failpoint, &["load-warehouse"]);
            assert_eq!(crashed.code, -1, "seed {seed}: {failpoint} was not reached:\n{}", crashed.stderr);
            assert_eq!(star.stands(failpoint), if loaded { star.round } else { star.loaded }, "{failpoint}");
        }
        star.loaded = star.round;
    }
    star.finish("the last crash");
    star.publish();
    star.project.lake_with_failpoint("load.commit=lost-reply", &["load-warehouse"]).ok();
    assert_eq!(star.stands("a lost reply"), star.round);
    star.project.lake(&["verify"]).ok();
}

/// A round costs a part of a load, and a promote when it was the whole of it.
#[test]
fn a_loader_killed_at_any_moment_leaves_a_whole_star() {
    let Some(server) = Server::start("a loader killed at random", &[]) else { return };
    let mut star = Star::new(server);
    star.publish();
    let started = Instant::now();
    star.finish("a measured load");
    let whole = started.elapsed();
    for seed in seeds("a_loader_killed_at_any_moment_leaves_a_whole_star", ROUNDS) {
        if star.stands("a kill") == star.round {
            star.loaded = star.round;
            star.publish();
        }
        let loader = Running::start(&star.project, &["load-warehouse"], &[]);
        std::thread::sleep(whole * Random::new(seed).below(1_000) as u32 / 1_000);
        drop(loader);
        star.stands(&format!("a kill with seed {seed}"));
    }
    star.finish("the last kill");
}
