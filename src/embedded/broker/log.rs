//! One partition: an append-only file of record batches and what is known about it in memory.
//!
//! Owns the order of things that makes an offset mean the same for ever: a batch is written whole before
//! its offset is answered, and is on the disk before a reader sees it, so neither `kill -9` nor a power
//! failure gives an offset that was read to another record. Never deletes, never rewrites.

use super::batch::{Batch, HEADER};
use super::producers::Producers;
use super::recovery;
use super::wire::{Code, Malformed};
use crate::error::{Context, Kind, Result};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of log that share one index entry.
const INDEX_STRIDE: u64 = 16 << 10;

pub struct Log {
    /// `topic/partition`, for messages.
    name: String,
    file: File,
    first_offset: i64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next_offset: i64,
    /// Bytes of whole batches; what the file holds beyond is nobody's.
    end: u64,
    /// Bytes known to be on the disk.
    durable: u64,
    /// A failed fsync may have dropped what was written: nothing more is taken until a restart has looked.
    failed: bool,
    index: Vec<Entry>,
    producers: Producers,
}

/// The batches from `position` up to the next entry's position.
#[derive(Clone, Copy)]
struct Entry {
    offset: i64,
    position: u64,
    /// The newest time of these batches and all before them.
    newest: i64,
}

/// Whole batches to be read, in bytes of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    position: u64,
    pub length: usize,
    /// Whether the log holds more behind it.
    pub is_cut: bool,
}

impl Log {
    /// Opens or creates the file, checks every batch in it and sets a broken end aside. Offsets count from
    /// `first_offset` on, the same one at every opening.
    pub fn open(path: &Path, name: String, first_offset: i64) -> Result<Log> {
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let failure = || format!("open the log of `{name}` at `{}`", path.display());
        let file = opened.context(Kind::Unavailable, failure)?;
        let mut state = State { next_offset: first_offset, ..State::default() };
        let take_in = |batch: &Batch| state.take_in(batch);
        recovery::recover(path, &name, &file, first_offset, take_in).context(Kind::Unavailable, failure)?;
        state.durable = state.end;
        Ok(Log { name, file, first_offset, state: Mutex::new(state) })
    }

    /// Stores one batch and returns its first offset; one that was stored before is answered with that offset.
    pub fn append(&self, produced: &[u8]) -> Result<i64, Code> {
        let mut batch = Batch::produced(produced)?;
        let mut bytes = produced.to_vec();
        let mut state = self.state();
        if state.failed {
            return Err(Code::KafkaStorageError);
        }
        if let Some(stored_before) = state.producers.find(&batch)? {
            return Ok(stored_before);
        }
        batch.place(state.next_offset, &mut bytes);
        self.write(&mut state, &bytes)?;
        state.take_in(&batch);
        Ok(batch.base_offset)
    }

    fn write(&self, state: &mut State, bytes: &[u8]) -> Result<(), Code> {
        if let Err(error) = self.file.write_all_at(bytes, state.end) {
            let code = self.storage_error("append to", &error);
            // What remains of the batch would be overwritten or cut at the next start; the space is wanted now.
            self.file.set_len(state.end).unwrap_or_else(|error| {
                self.storage_error("take back an append to", &error);
            });
            return Err(code);
        }
        Ok(())
    }

    /// The offset of the first record there is or will be.
    pub fn first_offset(&self) -> i64 {
        self.first_offset
    }

    /// The offset the next record gets.
    pub fn next_offset(&self) -> i64 {
        self.state().next_offset
    }

    /// The whole batches from the one that holds `offset` on: at most `max_bytes`, but always the first.
    pub fn locate(&self, offset: i64, max_bytes: usize) -> Result<Slice, Code> {
        let (entry, end) = {
            let state = self.state();
            if offset < self.first_offset || offset > state.next_offset {
                return Err(Code::OffsetOutOfRange);
            }
            if offset == state.next_offset {
                return Ok(Slice { position: state.end, length: 0, is_cut: false });
            }
            let after = state.index.partition_point(|entry| entry.offset <= offset);
            (state.index[after.saturating_sub(1)], state.end)
        };
        let batches = self.batches(entry.position, end)?;
        let holding = batches.into_iter().find(|(_, batch)| batch.next_offset() > offset);
        let (position, first) = holding.ok_or(Code::KafkaStorageError)?;
        let limit = position + max_bytes.max(first.length) as u64;
        let until = self.state().boundary_before(limit).max(position + first.length as u64);
        Ok(Slice { position, length: (until - position) as usize, is_cut: until < end })
    }

    /// Fills `into` with the bytes of a slice, which are on the disk before they are handed out.
    pub fn read(&self, slice: Slice, into: &mut [u8]) -> Result<(), Code> {
        if self.state().durable < slice.position + slice.length as u64 {
            self.flush().map_err(|error| self.storage_error("fsync", &error))?;
        }
        self.file.read_exact_at(into, slice.position).map_err(|error| self.storage_error("read", &error))
    }

    /// Time and offset of the first record at or after `time` (milliseconds since 1970): exact in an
    /// uncompressed batch, the batch's first record in a compressed one. `None` when all are older.
    pub fn first_at(&self, time: i64) -> Result<Option<(i64, i64)>, Code> {
        let (entry, end) = {
            let state = self.state();
            let first = state.index.partition_point(|entry| entry.newest < time);
            let Some(entry) = state.index.get(first) else { return Ok(None) };
            (*entry, state.end)
        };
        let batches = self.batches(entry.position, end)?;
        let Some((position, batch)) = batches.into_iter().find(|(_, batch)| batch.max_timestamp >= time) else {
            return Ok(None);
        };
        let mut bytes = vec![0; batch.length];
        self.file.read_exact_at(&mut bytes, position).map_err(|error| self.storage_error("read", &error))?;
        Ok(Some(batch.first_at(time, &bytes)))
    }

    /// Puts everything appended so far on the disk.
    pub fn flush(&self) -> io::Result<()> {
        let end = {
            let state = self.state();
            if state.failed {
                return Err(io::Error::other("an earlier fsync failed; restart to check the log"));
            }
            if state.durable >= state.end {
                return Ok(());
            }
            state.end
        };
        // Outside the lock: appends go on meanwhile.
        let synced = self.file.sync_data();
        let mut state = self.state();
        match synced {
            Ok(()) => state.durable = state.durable.max(end),
            Err(_) => state.failed = true,
        }
        synced
    }

    pub fn highest_producer_id(&self) -> Option<i64> {
        self.state().producers.highest_id()
    }

    /// The headers of the batches that share the index entry at `position`, and where they stand.
    fn batches(&self, position: u64, end: u64) -> Result<Vec<(u64, Batch)>, Code> {
        let length = (end - position).min(INDEX_STRIDE + HEADER as u64) as usize;
        let mut bytes = vec![0; length];
        let read = self.file.read_exact_at(&mut bytes, position).and_then(|()| headers(&bytes).map_err(not_sound));
        let headers = read.map_err(|error| self.storage_error("read", &error))?;
        Ok(headers.into_iter().map(|(at, batch)| (position + at, batch)).collect())
    }

    fn storage_error(&self, attempt: &str, error: &io::Error) -> Code {
        tracing::error!(partition = %self.name, %error, "could not {attempt} the log");
        Code::KafkaStorageError
    }

    /// A panic elsewhere leaves the state whole: it changes only after the file did, field by field.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes note of a batch that stands at the end of the log.
    fn take_in(&mut self, batch: &Batch) {
        let newest_before = self.index.last().map_or(i64::MIN, |entry| entry.newest);
        if self.index.last().is_none_or(|entry| self.end - entry.position >= INDEX_STRIDE) {
            self.index.push(Entry { offset: batch.base_offset, position: self.end, newest: newest_before });
        }
        if let Some(entry) = self.index.last_mut() {
            entry.newest = newest_before.max(batch.max_timestamp);
        }
        self.producers.remember(batch);
        self.next_offset = batch.next_offset();
        self.end += batch.length as u64;
    }

    /// The last place at or before `limit` where a batch is known to start, or the end.
    fn boundary_before(&self, limit: u64) -> u64 {
        if self.end <= limit {
            return self.end;
        }
        let after = self.index.partition_point(|entry| entry.position <= limit);
        self.index[..after].last().map_or(0, |entry| entry.position)
    }
}

/// The headers at the front of `bytes`, up to the first that does not fit.
fn headers(bytes: &[u8]) -> Result<Vec<(u64, Batch)>, Malformed> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= HEADER) {
        let batch = Batch::header(rest)?;
        found.push((at as u64, batch));
        at += batch.length;
    }
    Ok(found)
}

fn not_sound(malformed: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, malformed)
}

#[cfg(test)]
mod tests {
    use super::super::batch::tests::Draft;
    use super::*;

    fn open(path: &Path) -> Log {
        Log::open(path, "t/0".into(), 0).unwrap()
    }

    fn read(log: &Log, offset: i64, max_bytes: usize) -> Vec<u8> {
        let slice = log.locate(offset, max_bytes).unwrap();
        let mut bytes = vec![0; slice.length];
        log.read(slice, &mut bytes).unwrap();
        bytes
    }

    fn base_offsets(mut bytes: &[u8]) -> Vec<i64> {
        let mut found = vec![];
        while !bytes.is_empty() {
            let batch = Batch::header(bytes).unwrap();
            assert!(batch.is_stored_at(batch.base_offset, &bytes[..batch.length]));
            found.push(batch.base_offset);
            bytes = &bytes[batch.length..];
        }
        found
    }

    #[test]
    fn every_offset_is_found_again_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let log = open(&path);
        let mut expected = vec![];
        for n in 0..500usize {
            let draft = Draft { padding: n * 7 % 900, ..Draft::plain(&vec![n as i64; n % 3 + 1]) };
            expected.push(log.append(&draft.bytes()).unwrap());
        }
        let next = log.next_offset();
        for log in [log, open(&path)] {
            assert_eq!(log.next_offset(), next);
            assert_eq!(base_offsets(&read(&log, 0, usize::MAX >> 1)), expected);
            for offset in 0..next {
                let found = base_offsets(&read(&log, offset, 1));
                assert_eq!(found, [*expected.iter().rfind(|base| **base <= offset).unwrap()], "{offset}");
            }
            let some = base_offsets(&read(&log, 7, 100_000));
            assert!(some.len() > 50 && some.len() < 400, "{}", some.len());
            assert_eq!(log.locate(next, 1).unwrap().length, 0);
            assert_eq!(log.locate(next + 1, 1), Err(Code::OffsetOutOfRange));
            assert_eq!(log.locate(-1, 1), Err(Code::OffsetOutOfRange));
        }
    }

    #[test]
    fn a_broken_end_is_cut_and_kept() {
        let batch = Draft { padding: 200, ..Draft::plain(&[1, 2]) }.bytes();
        type Harm = fn(&mut Vec<u8>);
        let harms: [(&str, i64, Harm); 5] = [
            ("torn", 4, |log| log.truncate(log.len() - 3)),
            ("header torn", 4, |log| log.truncate(log.len() / 3 * 2 + 30)),
            ("zeros", 6, |log| log.resize(log.len() + 500, 0)),
            ("flipped in the middle", 2, |log| {
                let at = log.len() / 2;
                log[at] ^= 4;
            }),
            ("offset out of place", 4, |log| {
                let at = log.len() / 3 * 2 + 7;
                log[at] = 9;
            }),
        ];
        for (name, survivors, damage) in harms {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("0.log");
            let log = open(&path);
            (0..3).for_each(|_| assert!(log.append(&batch).is_ok()));
            drop(log);
            let mut bytes = std::fs::read(&path).unwrap();
            damage(&mut bytes);
            std::fs::write(&path, &bytes).unwrap();

            let log = open(&path);
            assert_eq!(log.next_offset(), survivors, "{name}");
            let sound = batch.len() * survivors as usize / 2;
            let kept = std::fs::read(dir.path().join(format!("0.log.cut-{sound}"))).unwrap();
            assert_eq!(kept, bytes[sound..], "{name}");
            assert_eq!(log.append(&batch), Ok(survivors), "{name}");
            assert_eq!(open(&path).next_offset(), survivors + 2, "{name}");
        }
    }

    #[test]
    fn a_second_cut_at_the_same_place_keeps_both_parts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        for part in ["one", "two"] {
            std::fs::write(&path, part).unwrap();
            assert_eq!(open(&path).next_offset(), 0);
        }
        assert_eq!(std::fs::read(dir.path().join("0.log.cut-0")).unwrap(), b"one");
        assert_eq!(std::fs::read(dir.path().join("0.log.cut-0-2")).unwrap(), b"two");
    }

    #[test]
    fn a_batch_sent_again_is_stored_once_also_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let batches: Vec<_> = (0..3).map(|n| Draft::idempotent(7, 0, n * 2, 2).bytes()).collect();
        let log = open(&path);
        assert_eq!(log.append(&batches[1]), Err(Code::OutOfOrderSequence));
        for (n, batch) in batches.iter().enumerate() {
            assert_eq!(log.append(batch), Ok(n as i64 * 2));
        }
        for log in [log, open(&path)] {
            assert_eq!(log.append(&batches[1]), Ok(2));
            assert_eq!(log.append(&Draft::idempotent(7, 0, 9, 1).bytes()), Err(Code::OutOfOrderSequence));
            assert_eq!(log.next_offset(), 6);
            assert_eq!(log.highest_producer_id(), Some(7));
        }
    }

    #[test]
    fn times_are_looked_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let log = open(&path);
        let times = |n: i64| [n * 10, n * 10 + 4, n * 10 - 300];
        (0..400).for_each(|n| assert!(log.append(&Draft { padding: 300, ..Draft::plain(&times(n)) }.bytes()).is_ok()));
        for log in [log, open(&path)] {
            for n in 0..400 {
                assert_eq!(log.first_at(n * 10), Ok(Some((n * 10, n * 3))), "{n}");
                assert_eq!(log.first_at(n * 10 + 1), Ok(Some((n * 10 + 4, n * 3 + 1))), "{n}");
            }
            assert_eq!(log.first_at(i64::MIN), Ok(Some((0, 0))));
            assert_eq!(log.first_at(3_995), Ok(None));
        }
    }

    #[test]
    fn a_write_that_fails_is_not_acknowledged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let batch = Draft::idempotent(1, 0, 0, 1).bytes();
        let mut log = open(&path);
        let writable = std::mem::replace(&mut log.file, File::open(&path).unwrap());
        assert_eq!(log.append(&batch), Err(Code::KafkaStorageError));
        assert_eq!(log.next_offset(), 0);
        log.file = writable;
        assert_eq!(log.append(&batch), Ok(0));
        assert_eq!(open(&path).next_offset(), 1);
    }
}
