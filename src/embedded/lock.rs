//! File locks: who uses a part, who starts it. The system frees them when a process ends, however it ends,
//! so a file left over means nothing; only a held lock does.

use crate::error::{Context, Error, Kind, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest wait for a lock that is only held while a part starts or stops.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(20);

/// A held lock; dropping it frees it.
pub struct Lock(File);

/// Said aloud, because closing is not enough: a program that another thread is about to start holds a copy of the
/// open file for a moment, and the lock with it.
impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Together with others.
    Shared,
    /// Alone.
    Exclusive,
}

impl Lock {
    /// `None` when somebody else's lock is in the way.
    pub fn attempt(path: &Path, share: Share) -> Result<Option<Lock>> {
        let what = || format!("lock `{}`", path.display());
        let file = open(path).context(Kind::Unavailable, what)?;
        let taken = match share {
            Share::Shared => file.try_lock_shared(),
            Share::Exclusive => file.try_lock(),
        };
        match taken {
            Ok(()) => Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(cause)) => Err(cause).context(Kind::Unavailable, what),
        }
    }

    /// Waits on this thread.
    pub fn wait(path: &Path, share: Share) -> Result<Lock> {
        let since = Instant::now();
        loop {
            if let Some(lock) = Lock::attempt(path, share)? {
                return Ok(lock);
            }
            give_up(path, since)?;
            std::thread::sleep(PAUSE);
        }
    }

    /// Waits without holding up the thread.
    pub async fn acquire(path: PathBuf, share: Share) -> Result<Lock> {
        let since = Instant::now();
        loop {
            if let Some(lock) = Lock::attempt(&path, share)? {
                return Ok(lock);
            }
            give_up(&path, since)?;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn give_up(path: &Path, since: Instant) -> Result<()> {
    if since.elapsed() < PATIENCE {
        return Ok(());
    }
    let waited = PATIENCE.as_secs();
    Err(Error::new(Kind::Conflict, format!("another command holds `{}` for more than {waited} s", path.display()))
        .hint("run again when it is done"))
}

fn open(path: &Path) -> std::io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new().create(true).truncate(false).write(true).read(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sharers_exclude_the_lone_one_until_they_are_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/users");
        let first = Lock::attempt(&path, Share::Shared).unwrap().unwrap();
        let second = Lock::attempt(&path, Share::Shared).unwrap().unwrap();
        drop(first);
        assert!(Lock::attempt(&path, Share::Exclusive).unwrap().is_none());
        drop(second);
        let alone = Lock::attempt(&path, Share::Exclusive).unwrap();
        assert!(alone.is_some());
        assert!(Lock::attempt(&path, Share::Shared).unwrap().is_none());
    }

    #[test]
    fn a_copy_of_the_open_file_does_not_keep_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        let lock = Lock::attempt(&path, Share::Exclusive).unwrap().unwrap();
        let _as_a_starting_program_has = lock.0.try_clone().unwrap();
        drop(lock);
        assert!(Lock::attempt(&path, Share::Exclusive).unwrap().is_some());
    }
}
