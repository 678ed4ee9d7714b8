//! The requests that move records: Produce, Fetch, ListOffsets.
//!
//! A request is read to its end before anything is done, so one that cannot be read changes nothing.

use super::batch::LEADER_EPOCH;
use super::log::{Log, Slice};
use super::requests::Responder;
use super::wire::{Code, Read, Reader, Writer};
use std::time::{Duration, Instant};

/// Most bytes of records in one reply, whatever the client would take; one batch may exceed it.
const MAX_FETCH: usize = 64 << 20;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// Entries of a request or a reply, grouped by topic as the protocol has them.
type ByTopic<'a, T> = Vec<(&'a str, Vec<T>)>;

fn read_topics<'a, T>(
    reader: &mut Reader<'a>,
    mut partition: impl FnMut(&mut Reader<'a>) -> Read<T>,
) -> Read<ByTopic<'a, T>> {
    reader.array(|r| Ok((r.string()?, r.array(&mut partition)?)))
}

fn write_topics<T>(out: &mut Writer, topics: &ByTopic<T>, mut partition: impl FnMut(&mut Writer, &str, &T)) {
    out.array(topics, |out, (topic, partitions)| {
        out.string(topic);
        out.array(partitions, |out, entry| partition(out, topic, entry));
    });
}

impl Responder {
    /// False when the client asked for no reply (acks=0).
    pub fn produce(&self, reader: &mut Reader, version: i16, out: &mut Writer) -> Read<bool> {
        let is_transactional = version >= 3 && reader.nullable_string()?.is_some();
        let acks = reader.i16()?;
        reader.i32()?; // time-out: an append waits for nobody
        let topics = read_topics(reader, |r| Ok((r.i32()?, r.nullable_bytes()?.unwrap_or_default())))?;
        let refusal = match acks {
            _ if is_transactional => Some(Code::InvalidRequest),
            -1..=1 => None,
            _ => Some(Code::InvalidRequiredAcks),
        };
        write_topics(out, &topics, |out, topic, (partition, records)| {
            let stored = match refusal {
                Some(code) => Err(code),
                None => self.store.on_log(topic, *partition, |log| Ok((log.append(records)?, log.first_offset()))),
            };
            if let (0, Err(code)) = (acks, stored) {
                tracing::warn!("records of {topic}/{partition} sent without acknowledgement were refused: {code:?}");
            }
            write_stored(*partition, stored, version, out);
        });
        if version >= 1 {
            out.i32(0); // throttle
        }
        self.store.growth.add();
        Ok(acks != 0)
    }

    pub fn list_offsets(&self, reader: &mut Reader, version: i16, out: &mut Writer) -> Read<()> {
        reader.i32()?; // replica id
        if version >= 2 {
            reader.i8()?; // isolation: without transactions all levels are one
        }
        let topics = read_topics(reader, |r| {
            let partition = r.i32()?;
            if version >= 4 {
                r.i32()?; // leader epoch
            }
            Ok((partition, r.i64()?))
        })?;
        if version >= 2 {
            out.i32(0); // throttle
        }
        write_topics(out, &topics, |out, topic, (partition, time)| {
            let found = self.store.on_log(topic, *partition, |log| find_offset(log, *time));
            let (timestamp, offset) = found.ok().flatten().unwrap_or((-1, -1));
            out.i32(*partition);
            out.code(found.err().unwrap_or(Code::None));
            out.i64(timestamp);
            out.i64(offset);
            if version >= 4 {
                out.i32(LEADER_EPOCH);
            }
        });
        Ok(())
    }

    pub fn fetch(&self, reader: &mut Reader, version: i16, out: &mut Writer) -> Read<()> {
        let wanted = Wanted::read(reader, version)?;
        out.i32(0); // throttle
        if version >= 7 {
            // No sessions are kept: id 0 makes the client send whole requests.
            let is_known = wanted.session == 0;
            out.code(if is_known { Code::None } else { Code::FetchSessionIdNotFound });
            out.i32(0);
            if !is_known {
                out.array::<()>(&[], |_, ()| ());
                return Ok(());
            }
        }
        let found = self.wait_for(&wanted);
        write_topics(out, &found, |out, topic, found| self.write_found(topic, found, version, out));
        Ok(())
    }

    /// Looks until there is enough, an error to tell, the time is up or the broker stops.
    fn wait_for<'a>(&self, wanted: &Wanted<'a>) -> ByTopic<'a, Found> {
        loop {
            let appends = self.store.growth.appends();
            let (found, is_enough) = self.look_for(wanted);
            if is_enough || !self.store.growth.wait(appends, wanted.deadline) {
                return found;
            }
        }
    }

    fn look_for<'a>(&self, wanted: &Wanted<'a>) -> (ByTopic<'a, Found>, bool) {
        let (mut bytes, mut is_enough) = (0, wanted.topics.is_empty());
        let mut look = |topic: &str, partition: &WantedPartition| {
            let room = wanted.max_bytes.saturating_sub(bytes);
            let located = self.store.on_log(topic, partition.number, |log| {
                // The first batch is returned whole whatever the limits, or a reader would never get past it.
                let may_take = bytes == 0 || room > 0;
                let slice = may_take.then(|| log.locate(partition.offset, partition.max_bytes.min(room)));
                Ok((slice.transpose()?, Bounds::of(log)))
            });
            if let Ok((Some(slice), _)) = located {
                bytes += slice.length;
                is_enough |= slice.is_cut;
            }
            is_enough |= located.is_err() || bytes >= wanted.min_bytes;
            Found { partition: partition.number, located }
        };
        let topics = wanted.topics.iter();
        let found = topics.map(|(topic, all)| (*topic, all.iter().map(|one| look(topic, one)).collect())).collect();
        (found, is_enough)
    }

    fn write_found(&self, topic: &str, found: &Found, version: i16, out: &mut Writer) {
        let mark = out.mark();
        let written = found.located.and_then(|(slice, bounds)| {
            write_fetched(found.partition, Code::None, bounds, version, out);
            let Some(slice) = slice else {
                out.i32(0);
                return Ok(());
            };
            out.bytes_from(slice.length, |into| self.store.on_log(topic, found.partition, |log| log.read(slice, into)))
        });
        if let Err(code) = written {
            out.rewind(mark);
            write_fetched(found.partition, code, Bounds { first: -1, next: -1 }, version, out);
            out.i32(0); // no records: null would break clients
        }
    }
}

struct Wanted<'a> {
    deadline: Instant,
    min_bytes: usize,
    max_bytes: usize,
    session: i32,
    topics: ByTopic<'a, WantedPartition>,
}

struct WantedPartition {
    number: i32,
    offset: i64,
    max_bytes: usize,
}

struct Found {
    partition: i32,
    /// What can be sent, if there is room.
    located: Result<(Option<Slice>, Bounds), Code>,
}

/// The offsets of a partition: log start and high watermark.
#[derive(Clone, Copy)]
struct Bounds {
    first: i64,
    next: i64,
}

impl Bounds {
    fn of(log: &Log) -> Bounds {
        Bounds { first: log.first_offset(), next: log.next_offset() }
    }
}

impl<'a> Wanted<'a> {
    fn read(reader: &mut Reader<'a>, version: i16) -> Read<Wanted<'a>> {
        reader.i32()?; // replica id
        let wait = Duration::from_millis(u64::try_from(reader.i32()?).unwrap_or(0));
        let min_bytes = at_least_zero(reader.i32()?);
        let max_bytes = at_least_zero(reader.i32()?).min(MAX_FETCH);
        reader.i8()?; // isolation: without transactions all levels are one
        let session = if version >= 7 { reader.i32()? } else { 0 };
        if version >= 7 {
            reader.i32()?; // session epoch
        }
        let topics = read_topics(reader, |r| WantedPartition::read(r, version))?;
        let deadline = Instant::now() + wait;
        Ok(Wanted { deadline, min_bytes: min_bytes.min(max_bytes), max_bytes, session, topics })
    }
}

impl WantedPartition {
    fn read(reader: &mut Reader, version: i16) -> Read<WantedPartition> {
        let number = reader.i32()?;
        if version >= 9 {
            reader.i32()?; // leader epoch
        }
        let offset = reader.i64()?;
        if version >= 5 {
            reader.i64()?; // a follower's log start
        }
        Ok(WantedPartition { number, offset, max_bytes: at_least_zero(reader.i32()?) })
    }
}

fn at_least_zero(number: i32) -> usize {
    usize::try_from(number).unwrap_or(0)
}

fn find_offset(log: &Log, time: i64) -> Result<Option<(i64, i64)>, Code> {
    match time {
        LATEST => Ok(Some((-1, log.next_offset()))),
        EARLIEST => Ok(Some((-1, log.first_offset()))),
        0.. => log.first_at(time),
        _ => Err(Code::InvalidRequest),
    }
}

/// `stored`: the offset of the first record, and that of the log's.
fn write_stored(partition: i32, stored: Result<(i64, i64), Code>, version: i16, out: &mut Writer) {
    let (offset, log_start) = stored.unwrap_or((-1, -1));
    out.i32(partition);
    out.code(stored.err().unwrap_or(Code::None));
    out.i64(offset);
    if version >= 2 {
        out.i64(-1); // log append time: records keep their own
    }
    if version >= 5 {
        out.i64(log_start);
    }
    if version >= 8 {
        out.array::<()>(&[], |_, ()| ()); // errors of single records
        out.nullable_string(None);
    }
}

/// All of a fetched partition but its records.
fn write_fetched(partition: i32, code: Code, Bounds { first, next }: Bounds, version: i16, out: &mut Writer) {
    out.i32(partition);
    out.code(code);
    out.i64(next); // high watermark
    out.i64(next); // last stable offset: nothing is ever open
    if version >= 5 {
        out.i64(first); // log start
    }
    out.array::<()>(&[], |_, ()| ()); // aborted transactions
    if version >= 11 {
        out.i32(-1); // no other replica to read from
    }
}
