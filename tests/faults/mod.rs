//! Faults of what `lake bronze` stands on, and of its neighbours: the store, the broker, other processes, other
//! writers of its table. After each the table holds every record once, or a named error says what is wrong. And of what
//! `lake load-warehouse` stands on: after each the star is the old one or the new one.

mod kafka;
mod processes;
mod shares;
mod store;
mod table;
mod warehouse;
mod ways;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} does not come about");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Calls a run makes; one that never passes untouched makes ever more.
const MOST_CALLS: u64 = 400;

/// Breaks call 1, 2, 3 .. until one does not come about any more: `passes` runs with one call broken and is false
/// when there was no such call. On as many threads as keep two processors busy with what is mostly waiting.
fn until_untouched(passes: impl Fn(u64) -> bool + Sync) {
    let (next, untouched) = (AtomicU64::new(1), AtomicU64::new(u64::MAX));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let call = next.fetch_add(1, Ordering::SeqCst);
                    if call > untouched.load(Ordering::SeqCst) {
                        return;
                    }
                    assert!(call < MOST_CALLS, "no run passes untouched");
                    if !passes(call) {
                        untouched.fetch_min(call, Ordering::SeqCst);
                    }
                }
            });
        }
    });
}
