//! How far each partition has come, noted beside the broker's directory and not in it.
//!
//! A reader remembers an offset, and would take the records of a topic made again for those it has read. So a
//! topic that was lost, or deleted by hand, goes on at the offsets it had: nothing new is passed over. What the
//! last second before a `kill -9` brought may be missing here until the broker has started once more.

use crate::error::{Context, Error, Kind, Result};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The next offset of each partition of each topic there ever was.
type ByTopic = BTreeMap<String, Vec<i64>>;

pub struct Ends {
    /// `None`: nothing is noted.
    path: Option<PathBuf>,
    known: Mutex<ByTopic>,
}

impl Ends {
    pub fn open(path: Option<&Path>) -> Result<Ends> {
        let known = path.map_or_else(|| Ok(ByTopic::new()), read)?;
        Ok(Ends { path: path.map(Path::to_path_buf), known: Mutex::new(known) })
    }

    /// The offset at which a topic made now begins, for each of its partitions.
    pub fn of(&self, topic: &str, partitions: usize) -> Vec<i64> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ends = known.get(topic).cloned().unwrap_or_default();
        ends.resize(partitions, 0);
        ends
    }

    /// Takes over how far the topics are; those that are gone stay as they are.
    pub fn note(&self, topics: impl Iterator<Item = (String, Vec<i64>)>) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fresh = known.clone();
        fresh.extend(topics);
        if fresh == *known {
            return Ok(());
        }
        let draft = path.with_extension("ends.new");
        fs::write(&draft, serde_json::to_vec(&fresh)?)?;
        fs::rename(&draft, path)?;
        *known = fresh;
        Ok(())
    }
}

fn read(path: &Path) -> Result<ByTopic> {
    let failure = || format!("read the ends of the topics in `{}`", path.display());
    match fs::read(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(ByTopic::new()),
        Err(cause) => Err(cause).context(Kind::Unavailable, failure),
        Ok(text) => serde_json::from_slice(&text).map_err(|cause| {
            Error::input(failure())
                .caused_by(cause)
                .hint("delete it: it only matters for topics whose files are gone, which then begin at offset 0")
        }),
    }
}
