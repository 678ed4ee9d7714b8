//! Chance that can be replayed: every seed used is printed, and `LAKE_TEST_SEED` brings it back.

use std::io::Write;

/// splitmix64.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 up to `end`, without it.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// The seeds of a test's rounds: as many as `LAKE_CRASH_ROUNDS` says, else `rounds`, new ones every time; or the
/// one in `LAKE_TEST_SEED`.
pub fn seeds(test: &str, rounds: u64) -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match number("LAKE_TEST_SEED") {
        Some(seed) => vec![seed],
        None => {
            let first = uuid::Uuid::new_v4().as_u128() as u64 % 1_000_000_000;
            (0..number("LAKE_CRASH_ROUNDS").unwrap_or(rounds)).map(|round| first + round).collect()
        }
    };
    let named = format!("{test}: seeds {seeds:?}; LAKE_TEST_SEED=<seed> replays one\n");
    std::io::stderr().write_all(named.as_bytes()).unwrap();
    seeds
}
