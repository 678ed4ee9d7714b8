//! Counts rows by their hash, those that came up and those that left down, in bounded memory: what is too much for it
//! goes into a temporary file, sorted, and is added up part by part.

use crate::error::{Context, Kind, Result};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};

/// Hashes counted in memory: as many as a map of 17 MB holds. Sorted on their way to the file, they take as much again.
const MOST_IN_MEMORY: usize = 450_000;
/// Parts that hashes fall into by their first bits.
const PARTS: usize = 256;
/// Bytes of one hash in the file, with its number and its place.
const RECORD: usize = 32;

/// How often a row came, less how often it left, and a place where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Net {
    pub place: u64,
    pub copies: i64,
}

pub struct Tally {
    nets: HashMap<u128, Net>,
    most: usize,
    spilled: Option<Spilled>,
}

/// Hashes that were written down, each time sorted.
struct Spilled {
    file: File,
    /// Of each time where its parts begin, and where the last ends, in records.
    runs: Vec<[u64; PARTS + 1]>,
}

impl Tally {
    pub fn new() -> Tally {
        Tally::holding(MOST_IN_MEMORY)
    }

    fn holding(most: usize) -> Tally {
        Tally { nets: HashMap::new(), most, spilled: None }
    }

    pub fn add(&mut self, hash: u128, net: Net) -> Result<()> {
        sum(&mut self.nets, hash, net);
        if self.nets.len() > self.most {
            self.spill()?;
        }
        Ok(())
    }

    /// The rows that do not cancel out, in no order; `None` when there are more than `most`.
    pub fn remaining(mut self, most: u64) -> Result<Option<Vec<Net>>> {
        if self.spilled.is_some() {
            self.spill()?;
        }
        let Some(mut spilled) = self.spilled else {
            return Ok((self.nets.len() as u64 <= most).then(|| self.nets.into_values().collect()));
        };
        let mut remaining = Vec::new();
        for part in 0..PARTS {
            remaining.extend(spilled.part(part).context(Kind::Unavailable, || "read counted rows back")?.into_values());
            if remaining.len() as u64 > most {
                return Ok(None);
            }
        }
        Ok(Some(remaining))
    }

    fn spill(&mut self) -> Result<()> {
        let mut sorted: Vec<(u128, Net)> = self.nets.drain().collect();
        sorted.sort_unstable();
        let what = || "write counted rows to a temporary file";
        let spilled = match &mut self.spilled {
            Some(spilled) => spilled,
            none => {
                let file = tempfile::tempfile().context(Kind::Unavailable, what)?;
                none.insert(Spilled { file, runs: Vec::new() })
            }
        };
        spilled.write(&sorted).context(Kind::Unavailable, what)
    }
}

/// Adds to the hash's number; one that comes to nothing is forgotten.
fn sum(nets: &mut HashMap<u128, Net>, hash: u128, net: Net) {
    match nets.entry(hash) {
        Entry::Vacant(vacant) => drop(vacant.insert(net)),
        Entry::Occupied(mut known) => {
            known.get_mut().copies += net.copies;
            if known.get().copies == 0 {
                known.remove();
            }
        }
    }
}

impl Spilled {
    fn write(&mut self, sorted: &[(u128, Net)]) -> std::io::Result<()> {
        let begin = self.runs.last().map_or(0, |run| run[PARTS]);
        let part = |hash: u128| (hash >> 120) as usize;
        let bound = |number: usize| begin + sorted.partition_point(|(hash, _)| part(*hash) < number) as u64;
        self.runs.push(std::array::from_fn(bound));
        self.file.seek(SeekFrom::End(0))?;
        let mut file = BufWriter::new(&mut self.file);
        for (hash, net) in sorted {
            file.write_all(&hash.to_le_bytes())?;
            file.write_all(&net.place.to_le_bytes())?;
            file.write_all(&net.copies.to_le_bytes())?;
        }
        file.flush()
    }

    /// The sums of one part's hashes.
    fn part(&mut self, part: usize) -> std::io::Result<HashMap<u128, Net>> {
        let mut nets = HashMap::new();
        let mut records = Vec::new();
        for run in &self.runs {
            records.resize((run[part + 1] - run[part]) as usize * RECORD, 0);
            self.file.seek(SeekFrom::Start(run[part] * RECORD as u64))?;
            self.file.read_exact(&mut records)?;
            for record in records.chunks_exact(RECORD) {
                let word = |at: usize| std::array::from_fn(|byte| record[at + byte]);
                let hash = u128::from_le_bytes(std::array::from_fn(|byte| record[byte]));
                let net = Net { place: u64::from_le_bytes(word(16)), copies: i64::from_le_bytes(word(24)) };
                sum(&mut nets, hash, net);
            }
        }
        Ok(nets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// The same whether it fits into memory, goes to disk once or a hundred times.
    #[test]
    fn what_cancels_out_is_gone_whatever_the_memory() {
        let mut state = uuid::Uuid::new_v4().as_u128() as u64;
        eprintln!("what_cancels_out_is_gone_whatever_the_memory: seed {state}");
        let mut below = |end: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % end
        };
        // Hashes over all parts, many of them several times.
        let hash = |number: u64| u128::from(number).wrapping_mul(0xfedc_ba98_7654_3210_0123_4567_89ab_cdef);
        let moves: Vec<(u128, i64)> = (0..20_000).map(|_| (hash(below(5_000)), below(3) as i64 - 1)).collect();
        let mut expected = BTreeMap::<u128, i64>::new();
        moves.iter().for_each(|(hash, copies)| *expected.entry(*hash).or_default() += copies);
        expected.retain(|_, copies| *copies != 0);
        assert!(expected.len() > 1_000);
        for most in [1, 199, 4_500, usize::MAX] {
            let mut tally = Tally::holding(most);
            for (place, (hash, copies)) in moves.iter().enumerate().filter(|(_, (_, copies))| *copies != 0) {
                tally.add(*hash, Net { place: place as u64, copies: *copies }).unwrap();
            }
            assert_eq!(tally.spilled.is_some(), most < 4_500, "{most}");
            let remaining = tally.remaining(20_000).unwrap().unwrap();
            // A place is one of the hash's own.
            let found: BTreeMap<u128, i64> =
                remaining.iter().map(|net| (moves[net.place as usize].0, net.copies)).collect();
            assert_eq!((found.len(), &found), (remaining.len(), &expected), "{most}");
        }
        let mut tally = Tally::holding(10);
        (0..50).for_each(|hash| tally.add(hash << 100, Net { place: 0, copies: 1 }).unwrap());
        assert!(tally.remaining(49).unwrap().is_none());
    }
}
