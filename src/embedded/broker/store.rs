//! Everything the broker keeps in its directory: topics, producer ids, and the lock on it all.
//!
//! ```text
//! lock                        held while a broker runs
//! producer-ids                the next producer id, as text
//! topics/<topic>/<n>.log      one file per partition
//! topics/<topic>/first-offsets   where they begin, as JSON, in a topic that was made again (see `ends`)
//! topics/<topic>/<n>.log.cut-<position>   what a start found broken behind the last sound batch
//! creating/<topic>/           a topic until it is whole
//! ```

use super::ends::Ends;
use super::log::Log;
use super::wire::Code;
use crate::error::{Context, Error, Kind, Result};
use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

/// Each partition is an open file; a thousand is what a process may have open without asking.
pub const MAX_PARTITIONS: usize = 512;

const FIRST_OFFSETS: &str = "first-offsets";

/// The partitions of one topic, in order.
pub type Topic = Arc<Vec<Log>>;

pub struct Store {
    dir: PathBuf,
    topics: RwLock<BTreeMap<String, Topic>>,
    next_producer_id: Mutex<i64>,
    ends: Ends,
    pub growth: Growth,
    lock: File,
}

impl Store {
    /// `ends`: a file outside `dir`, see [`Ends`].
    pub fn open(dir: &Path, ends: Option<&Path>) -> Result<Store> {
        let failure = || format!("open the broker's directory `{}`", dir.display());
        fs::create_dir_all(dir.join("topics")).context(Kind::Unavailable, failure)?;
        let lock = lock(dir)?;
        remove_if_there(&dir.join("creating")).context(Kind::Unavailable, failure)?;
        let topics = open_topics(&dir.join("topics"))?;
        let highest = topics.values().flat_map(|topic| topic.iter()).filter_map(Log::highest_producer_id).max();
        let next_producer_id = noted_producer_id(dir)?.max(highest.map_or(0, |id| id.saturating_add(1)));
        let store = Store {
            dir: dir.to_path_buf(),
            topics: RwLock::new(topics),
            next_producer_id: Mutex::new(next_producer_id),
            ends: Ends::open(ends)?,
            growth: Growth::default(),
            lock,
        };
        store.note_ends().context(Kind::Unavailable, failure)?;
        Ok(store)
    }

    pub fn topic(&self, name: &str) -> Option<Topic> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub fn topic_names(&self) -> Vec<String> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Runs `work` on one partition's log.
    pub fn on_log<T>(
        &self,
        topic: &str,
        partition: i32,
        work: impl FnOnce(&Log) -> Result<T, Code>,
    ) -> Result<T, Code> {
        let topic = self.topic(topic).ok_or(Code::UnknownTopicOrPartition)?;
        let log = usize::try_from(partition).ok().and_then(|partition| topic.get(partition));
        work(log.ok_or(Code::UnknownTopicOrPartition)?)
    }

    /// Whether a topic of this name and size could be created now.
    pub fn may_create(&self, name: &str, partitions: i32) -> Result<(), Code> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        check_new(&topics, name, partitions)
    }

    pub fn create(&self, name: &str, partitions: i32) -> Result<Topic, Code> {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        check_new(&topics, name, partitions)?;
        let laid_out = self.lay_out(name, partitions).map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(cause, "{error}");
            Code::KafkaStorageError
        })?;
        let topic = Topic::new(laid_out);
        topics.insert(name.to_string(), Arc::clone(&topic));
        Ok(topic)
    }

    /// A topic appears under its name only when all its partitions are there.
    fn lay_out(&self, name: &str, partitions: i32) -> Result<Vec<Log>> {
        let failure = || format!("create the topic `{name}`");
        let (draft, topics) = (self.dir.join("creating").join(name), self.dir.join("topics"));
        remove_if_there(&draft).context(Kind::Unavailable, failure)?;
        fs::create_dir_all(&draft).context(Kind::Unavailable, failure)?;
        let first_offsets = self.ends.of(name, partitions as usize);
        if first_offsets.iter().any(|first| *first > 0) {
            let text = serde_json::to_vec(&first_offsets).context(Kind::Internal, failure)?;
            fs::write(draft.join(FIRST_OFFSETS), text).context(Kind::Unavailable, failure)?;
            tracing::warn!("the records topic `{name}` once held are gone; it goes on at offsets {first_offsets:?}");
        }
        let logs = open_logs(&draft, name, &first_offsets)?;
        sync_dir(&draft)
            .and_then(|()| fs::rename(&draft, topics.join(name)))
            .and_then(|()| sync_dir(&topics))
            .context(Kind::Unavailable, failure)?;
        Ok(logs)
    }

    /// An id no producer had before: it is on the disk before it is handed out, because two producers of
    /// one id would pass for each other's retries and lose records silently.
    pub fn new_producer_id(&self) -> Result<i64, Code> {
        let mut next = self.next_producer_id.lock().unwrap_or_else(PoisonError::into_inner);
        let id = *next;
        note_producer_id(&self.dir, id.saturating_add(1)).map_err(|error| {
            tracing::error!(%error, "could not note producer id {id}");
            Code::KafkaStorageError
        })?;
        *next = id.saturating_add(1);
        Ok(id)
    }

    /// Puts every partition on the disk; tries all, answers the first failure.
    pub fn flush(&self) -> io::Result<()> {
        let topics: Vec<Topic> = self.topics.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        let flushed: Vec<_> = topics.iter().flat_map(|topic| topic.iter()).map(Log::flush).collect();
        flushed.into_iter().collect::<io::Result<()>>().and(self.note_ends())
    }

    fn note_ends(&self) -> io::Result<()> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner).clone();
        self.ends.note(topics.into_iter().map(|(name, logs)| (name, logs.iter().map(Log::next_offset).collect())))
    }

    pub fn release(&self) -> io::Result<()> {
        self.lock.unlock()
    }
}

/// Wakes the fetches that wait for more.
#[derive(Default)]
pub struct Growth {
    seen: Mutex<Seen>,
    grown: Condvar,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    appends: u64,
    is_over: bool,
}

impl Growth {
    pub fn appends(&self) -> u64 {
        self.seen().appends
    }

    pub fn add(&self) {
        self.seen().appends += 1;
        self.grown.notify_all();
    }

    /// Ends all waits, now and later.
    pub fn end(&self) {
        self.seen().is_over = true;
        self.grown.notify_all();
    }

    /// Waits until there were more appends than `known`; false when the time is up or the broker stops.
    pub fn wait(&self, known: u64, deadline: Instant) -> bool {
        let mut seen = self.seen();
        while seen.appends == known && !seen.is_over {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            seen = self.grown.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        !seen.is_over
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock(dir: &Path) -> Result<File> {
    let path = dir.join("lock");
    let failure = || format!("lock the broker's directory `{}`", dir.display());
    let file = File::create(&path).context(Kind::Unavailable, failure)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Error::conflict(format!("another broker is running on `{}`", dir.display()))
                .hint("use that one, or stop the process that holds it"))
        }
        Err(TryLockError::Error(error)) => Err(error).context(Kind::Unavailable, failure),
    }
}

fn check_new(topics: &BTreeMap<String, Topic>, name: &str, partitions: i32) -> Result<(), Code> {
    if !is_topic_name(name) {
        return Err(Code::InvalidTopic);
    }
    if topics.contains_key(name) {
        return Err(Code::TopicAlreadyExists);
    }
    let taken: usize = topics.values().map(|topic| topic.len()).sum();
    let room = MAX_PARTITIONS.saturating_sub(taken);
    match usize::try_from(partitions) {
        Ok(partitions) if (1..=room).contains(&partitions) => Ok(()),
        _ => Err(Code::InvalidPartitions),
    }
}

/// Kafka's own rule, which also makes a name one safe path segment.
fn is_topic_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=249).contains(&name.len()) && name.bytes().all(is_allowed) && name != "." && name != ".."
}

fn open_topics(dir: &Path) -> Result<BTreeMap<String, Topic>> {
    let names = names_in(dir).context(Kind::Unavailable, || format!("list the topics in `{}`", dir.display()))?;
    let open = |name: String| {
        let topic = dir.join(&name);
        let partitions = count_logs(&topic)?;
        let first_offsets = noted_first_offsets(&topic, partitions)?;
        Ok((name.clone(), Topic::new(open_logs(&topic, &name, &first_offsets)?)))
    };
    names.into_iter().filter(|name| is_topic_name(name)).map(open).collect()
}

fn open_logs(dir: &Path, topic: &str, first_offsets: &[i64]) -> Result<Vec<Log>> {
    let open = |(n, first): (usize, &i64)| Log::open(&dir.join(format!("{n}.log")), format!("{topic}/{n}"), *first);
    first_offsets.iter().enumerate().map(open).collect()
}

fn noted_first_offsets(topic: &Path, partitions: usize) -> Result<Vec<i64>> {
    let path = topic.join(FIRST_OFFSETS);
    let failure = || format!("read `{}`", path.display());
    let mut noted: Vec<i64> = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => serde_json::from_slice(&read.context(Kind::Unavailable, failure)?).context(Kind::Input, failure)?,
    };
    noted.resize(partitions, 0);
    Ok(noted)
}

/// How many partitions a topic has; a missing one is an error, because creating it anew would hide a loss.
fn count_logs(topic: &Path) -> Result<usize> {
    let names =
        names_in(topic).context(Kind::Unavailable, || format!("list the partitions in `{}`", topic.display()))?;
    let number = |name: &String| name.strip_suffix(".log").and_then(|number| number.parse::<usize>().ok());
    let mut numbers: Vec<usize> = names.iter().filter_map(number).collect();
    numbers.sort_unstable();
    match numbers.iter().enumerate().find(|(expected, number)| expected != *number) {
        None => Ok(numbers.len()),
        Some((missing, _)) => Err(Error::input(format!("`{missing}.log` is missing in `{}`", topic.display()))
            .hint("put the file back, or remove the topic's folder to give the topic up")),
    }
}

fn names_in(dir: &Path) -> io::Result<Vec<String>> {
    let names = fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().into_string()));
    Ok(names.collect::<io::Result<Vec<_>>>()?.into_iter().filter_map(Result::ok).collect())
}

fn noted_producer_id(dir: &Path) -> Result<i64> {
    let path = dir.join("producer-ids");
    match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().context(Kind::Input, || format!("read the number in `{}`", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error).context(Kind::Unavailable, || format!("read `{}`", path.display())),
    }
}

fn note_producer_id(dir: &Path, next: i64) -> io::Result<()> {
    let draft = dir.join("producer-ids.new");
    fs::write(&draft, format!("{next}\n"))?;
    File::open(&draft)?.sync_all()?;
    fs::rename(&draft, dir.join("producer-ids"))?;
    sync_dir(dir)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn remove_if_there(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::tests::Draft;
    use super::*;

    fn open(dir: &Path) -> Result<Store> {
        Store::open(dir, None)
    }

    #[test]
    fn a_topic_that_was_lost_goes_on_at_its_offsets() {
        let folder = tempfile::tempdir().unwrap();
        let (dir, ends) = (folder.path().join("broker"), folder.path().join("broker.ends"));
        let open = || Store::open(&dir, Some(&ends)).unwrap();
        let store = open();
        let topic = store.create("books", 2).unwrap();
        topic[1].append(&Draft::plain(&[1, 2, 3]).bytes()).unwrap();
        store.flush().unwrap();
        drop((store, topic));
        fs::remove_dir_all(&dir).unwrap();
        drop(open()); // a start without the topic forgets nothing
        let topic = open().create("books", 3).unwrap();
        let bounds =
            |topic: &Topic| topic.iter().map(|log| (log.first_offset(), log.next_offset())).collect::<Vec<_>>();
        assert_eq!(bounds(&topic), [(0, 0), (3, 3), (0, 0)]);
        assert_eq!(topic[1].locate(2, 100).err(), Some(Code::OffsetOutOfRange));
        assert_eq!(topic[1].append(&Draft::plain(&[4]).bytes()), Ok(3));
        drop(topic);
        assert_eq!(bounds(&open().topic("books").unwrap()), [(0, 0), (3, 4), (0, 0)]);
    }

    #[test]
    fn topics_survive_and_are_whole_or_absent() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).unwrap();
        assert_eq!(store.create("books", 3).unwrap().len(), 3);
        assert_eq!(store.create("books", 1).err(), Some(Code::TopicAlreadyExists));
        drop(store);
        fs::create_dir_all(dir.path().join("creating/half")).unwrap();
        let store = open(dir.path()).unwrap();
        assert_eq!(store.topic_names(), ["books"]);
        assert_eq!(store.topic("books").unwrap().len(), 3);
        assert_eq!(store.create("half", 2).unwrap().len(), 2);
        drop(store);
        fs::remove_file(dir.path().join("topics/books/1.log")).unwrap();
        let refused = open(dir.path()).err().unwrap();
        assert!(refused.to_string().contains("`1.log` is missing"), "{refused}");
    }

    #[test]
    fn names_and_sizes_are_checked_before_anything_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).unwrap();
        let too_long = "x".repeat(250);
        for name in ["", ".", "..", "a/b", "../a", "a b", "a\0", "é", too_long.as_str()] {
            assert_eq!(store.create(name, 1).err(), Some(Code::InvalidTopic), "{name}");
        }
        for partitions in [0, -1, i32::MIN, i32::MAX, MAX_PARTITIONS as i32 + 1] {
            assert_eq!(store.create("t", partitions).err(), Some(Code::InvalidPartitions), "{partitions}");
        }
        assert!(!dir.path().join("creating").exists());
        assert!(store.create(&"x".repeat(249), 1).is_ok());
    }

    #[test]
    fn a_directory_has_one_broker() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).unwrap();
        assert_eq!(open(dir.path()).err().unwrap().kind(), Kind::Conflict);
        store.release().unwrap();
        assert!(open(dir.path()).is_ok());
    }

    #[test]
    fn a_producer_id_is_never_given_twice() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).unwrap();
        assert_eq!((store.new_producer_id(), store.new_producer_id()), (Ok(0), Ok(1)));
        drop(store);
        let store = open(dir.path()).unwrap();
        assert_eq!(store.new_producer_id(), Ok(2));
        let topic = store.create("t", 1).unwrap();
        topic[0].append(&Draft::idempotent(40, 0, 0, 1).bytes()).unwrap();
        drop((store, topic));
        fs::remove_file(dir.path().join("producer-ids")).unwrap();
        assert_eq!(open(dir.path()).unwrap().new_producer_id(), Ok(41));
    }
}
