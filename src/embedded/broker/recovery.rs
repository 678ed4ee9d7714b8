//! What a partition's file goes through at every start: each batch is checked by length, offset and
//! checksum, and what follows the last sound one is set aside.
//!
//! The part set aside is kept in a file of its own beside the log, and reported: after a torn write it is
//! one batch that was never acknowledged, after a fault of the disk it may be more.

use super::batch::{Batch, HEADER, MAX_BATCH};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Hands each sound batch to `take_in`, in order, and leaves the file ending with the last one, on the disk.
pub fn recover(
    path: &Path,
    name: &str,
    mut file: &File,
    first_offset: i64,
    mut take_in: impl FnMut(&Batch),
) -> io::Result<()> {
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(0))?;
    let mut input = BufReader::with_capacity(1 << 20, file);
    let mut bytes = Vec::new();
    let (mut sound, mut next_offset) = (0, first_offset);
    while let Some(batch) = next_batch(&mut input, size - sound, &mut bytes)? {
        if !batch.is_stored_at(next_offset, &bytes) {
            break;
        }
        take_in(&batch);
        next_offset = batch.next_offset();
        sound += batch.length as u64;
    }
    if sound < size {
        let aside = set_aside(path, file, sound)?;
        let bytes = size - sound;
        tracing::warn!(
            "the log of {name} held {bytes} bytes after offset {next_offset} that are no whole batch; they were moved to {}",
            aside.display()
        );
        file.set_len(sound)?;
    }
    file.sync_all()
}

/// The next batch with its bytes, whether sound or not; `None` when what remains cannot be one.
fn next_batch(input: &mut impl Read, remaining: u64, bytes: &mut Vec<u8>) -> io::Result<Option<Batch>> {
    if remaining < HEADER as u64 {
        return Ok(None);
    }
    bytes.clear();
    bytes.extend_from_slice(&[0; HEADER]);
    input.read_exact(bytes)?;
    let Ok(batch) = Batch::header(bytes) else { return Ok(None) };
    if batch.length > MAX_BATCH || batch.length as u64 > remaining {
        return Ok(None);
    }
    let mut rest = input.take((batch.length - HEADER) as u64);
    if rest.read_to_end(bytes)? + HEADER < batch.length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(batch))
}

fn set_aside(path: &Path, mut file: &File, from: u64) -> io::Result<PathBuf> {
    let (aside, mut copy) = new_file_beside(path, from)?;
    file.seek(SeekFrom::Start(from))?;
    io::copy(&mut file, &mut copy)?;
    copy.sync_all()?;
    Ok(aside)
}

fn new_file_beside(path: &Path, from: u64) -> io::Result<(PathBuf, File)> {
    let mut times = 1;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(if times == 1 { format!(".cut-{from}") } else { format!(".cut-{from}-{times}") });
        match OpenOptions::new().write(true).create_new(true).open(&name) {
            Ok(file) => return Ok((name.into(), file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => times += 1,
            Err(error) => return Err(error),
        }
    }
}
