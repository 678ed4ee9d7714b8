//! The header of a record batch (magic 2) and what may be stored.
//!
//! A batch is kept as its producer sent it, whatever its compression: the checksum covers everything from
//! the attributes on, so the broker writes the base offset and the leader epoch in front of it and nothing
//! else. Never unpacks compressed records.

use super::wire::{Code, Malformed, Read, Reader};

/// Bytes in front of the first record.
pub const HEADER: usize = 61;
/// Bytes in front of what the length field counts.
const PREFIX: usize = 12;
/// Largest batch taken, in bytes. Kafka's own default is 1 MiB.
pub const MAX_BATCH: usize = 32 << 20;
/// The leader never changes here, so neither does its epoch.
pub const LEADER_EPOCH: i32 = 0;

const CRC_COVERS_FROM: usize = 21;
const COMPRESSION: i16 = 0b111;
const TRANSACTIONAL_OR_CONTROL: i16 = 0b11_0000;
const HIGHEST_CODEC: i16 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    pub base_offset: i64,
    /// Bytes of the whole batch, header included.
    pub length: usize,
    magic: i8,
    crc: u32,
    attributes: i16,
    last_offset_delta: i32,
    base_timestamp: i64,
    pub max_timestamp: i64,
    /// -1 for a producer that is not idempotent.
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    records: i32,
}

impl Batch {
    /// Reads a header; the batch's own bytes need not be complete. Nothing is checked but the length.
    pub fn header(bytes: &[u8]) -> Read<Batch> {
        let mut reader = Reader::new(bytes);
        let base_offset = reader.i64()?;
        let length = usize::try_from(reader.i32()?).map_err(|_| Malformed("a batch has a negative length"))? + PREFIX;
        if length < HEADER {
            return Err(Malformed("a batch is shorter than its header"));
        }
        reader.i32()?; // leader epoch: ours to set
        Ok(Batch {
            base_offset,
            length,
            magic: reader.i8()?,
            crc: reader.u32()?,
            attributes: reader.i16()?,
            last_offset_delta: reader.i32()?,
            base_timestamp: reader.i64()?,
            max_timestamp: reader.i64()?,
            producer_id: reader.i64()?,
            producer_epoch: reader.i16()?,
            base_sequence: reader.i32()?,
            records: reader.i32()?,
        })
    }

    /// Accepts exactly one whole, intact batch that may be appended.
    pub fn produced(bytes: &[u8]) -> Result<Batch, Code> {
        if bytes.len() > MAX_BATCH {
            return Err(Code::MessageTooLarge);
        }
        if bytes.get(16).is_some_and(|magic| *magic != 2) {
            return Err(Code::UnsupportedForMessageFormat);
        }
        let batch = Batch::header(bytes).map_err(|_| Code::CorruptMessage)?;
        if batch.length > bytes.len() || batch.length == bytes.len() && !batch.is_intact(bytes) {
            return Err(Code::CorruptMessage);
        }
        if batch.attributes & TRANSACTIONAL_OR_CONTROL != 0 {
            return Err(Code::InvalidRequest);
        }
        let is_dense = batch.records > 0 && batch.last_offset_delta == batch.records - 1;
        let has_sequence = batch.producer_id < 0 || batch.base_sequence >= 0 && batch.producer_epoch >= 0;
        let is_known_codec = batch.attributes & COMPRESSION <= HIGHEST_CODEC;
        if batch.length < bytes.len() || !is_dense || !has_sequence || !is_known_codec {
            return Err(Code::InvalidRecord);
        }
        Ok(batch)
    }

    /// Whether these are the bytes of this whole batch with an unharmed checksum, found at `offset` in a log.
    pub fn is_stored_at(&self, offset: i64, bytes: &[u8]) -> bool {
        self.base_offset == offset && self.last_offset_delta >= 0 && self.is_intact(bytes)
    }

    fn is_intact(&self, bytes: &[u8]) -> bool {
        self.magic == 2 && bytes.len() == self.length && crc32c::crc32c(&bytes[CRC_COVERS_FROM..]) == self.crc
    }

    /// Gives the batch its place in a log.
    pub fn place(&mut self, base_offset: i64, bytes: &mut [u8]) {
        self.base_offset = base_offset;
        bytes[..8].copy_from_slice(&base_offset.to_be_bytes());
        bytes[PREFIX..PREFIX + 4].copy_from_slice(&LEADER_EPOCH.to_be_bytes());
    }

    /// The offset after the batch's last record.
    pub fn next_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta)).saturating_add(1)
    }

    /// The sequence of the last record; sequences start again at 0 after `i32::MAX`.
    pub fn last_sequence(&self) -> i32 {
        ((i64::from(self.base_sequence) + i64::from(self.last_offset_delta)) & i64::from(i32::MAX)) as i32
    }

    /// Time and offset of the first record at or after `time`, in a batch whose newest record is. The first
    /// record stands for all when they are compressed: a reader starts early, never late.
    pub fn first_at(&self, time: i64, bytes: &[u8]) -> (i64, i64) {
        let first = (self.base_timestamp, self.base_offset);
        if self.attributes & COMPRESSION != 0 {
            return first;
        }
        self.find(time, bytes.get(HEADER..).unwrap_or_default()).ok().flatten().unwrap_or(first)
    }

    fn find(&self, time: i64, records: &[u8]) -> Read<Option<(i64, i64)>> {
        let mut reader = Reader::new(records);
        for _ in 0..self.records {
            let length = usize::try_from(reader.varint()?).map_err(|_| Malformed("a record has a negative length"))?;
            let mut record = Reader::new(reader.take(length)?);
            record.i8()?; // attributes: none are in use
            let timestamp = self.base_timestamp.saturating_add(record.varint()?);
            let offset = self.base_offset.saturating_add(record.varint()?);
            if timestamp >= time {
                return Ok(Some((timestamp, offset)));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A batch of uncompressed records with these times and the value `v`.
    pub struct Draft {
        pub times: Vec<i64>,
        pub producer: (i64, i16, i32),
        pub attributes: i16,
        pub padding: usize,
    }

    impl Draft {
        pub fn plain(times: &[i64]) -> Draft {
            Draft { times: times.to_vec(), producer: (-1, -1, -1), attributes: 0, padding: 1 }
        }

        pub fn idempotent(id: i64, epoch: i16, sequence: i32, records: usize) -> Draft {
            Draft { times: vec![0; records], producer: (id, epoch, sequence), attributes: 0, padding: 1 }
        }

        pub fn bytes(&self) -> Vec<u8> {
            let base = self.times[0];
            let mut covered = Vec::new();
            covered.extend(self.attributes.to_be_bytes());
            covered.extend((self.times.len() as i32 - 1).to_be_bytes());
            covered.extend(base.to_be_bytes());
            covered.extend(self.times.iter().max().unwrap().to_be_bytes());
            covered.extend(self.producer.0.to_be_bytes());
            covered.extend(self.producer.1.to_be_bytes());
            covered.extend(self.producer.2.to_be_bytes());
            covered.extend((self.times.len() as i32).to_be_bytes());
            for (delta, time) in self.times.iter().enumerate() {
                let mut record = vec![0];
                record.extend(varint(time - base));
                record.extend(varint(delta as i64));
                record.extend(varint(-1));
                record.extend(varint(self.padding as i64));
                record.extend(vec![b'v'; self.padding]);
                record.extend(varint(0));
                covered.extend(varint(record.len() as i64));
                covered.extend(record);
            }
            let mut bytes = 0i64.to_be_bytes().to_vec();
            bytes.extend((covered.len() as i32 + 9).to_be_bytes());
            bytes.extend((-1i32).to_be_bytes());
            bytes.push(2);
            bytes.extend(crc32c::crc32c(&covered).to_be_bytes());
            bytes.extend(covered);
            bytes
        }
    }

    fn varint(value: i64) -> Vec<u8> {
        let mut raw = ((value << 1) ^ (value >> 63)) as u64;
        let mut bytes = Vec::new();
        while raw >= 0x80 {
            bytes.push(raw as u8 | 0x80);
            raw >>= 7;
        }
        bytes.push(raw as u8);
        bytes
    }

    #[test]
    fn only_one_whole_intact_batch_is_taken() {
        let good = Draft::plain(&[1, 2, 3]).bytes();
        assert_eq!(Batch::produced(&good).unwrap().next_offset(), 3);
        assert_eq!(Batch::produced(&[]), Err(Code::CorruptMessage));
        assert_eq!(Batch::produced(&good[..good.len() - 1]), Err(Code::CorruptMessage));
        assert_eq!(Batch::produced(&[&good[..], &good[..]].concat()), Err(Code::InvalidRecord));
        let mut flipped = good.clone();
        flipped[70] ^= 1;
        assert_eq!(Batch::produced(&flipped), Err(Code::CorruptMessage));
        let mut old = good.clone();
        old[16] = 1;
        assert_eq!(Batch::produced(&old), Err(Code::UnsupportedForMessageFormat));
        let transactional = Draft { attributes: 0x10, ..Draft::plain(&[1]) };
        assert_eq!(Batch::produced(&transactional.bytes()), Err(Code::InvalidRequest));
        let unknown_codec = Draft { attributes: 5, ..Draft::plain(&[1]) };
        assert_eq!(Batch::produced(&unknown_codec.bytes()), Err(Code::InvalidRecord));
        let without_sequence = Draft::idempotent(4, 0, -1, 1);
        assert_eq!(Batch::produced(&without_sequence.bytes()), Err(Code::InvalidRecord));
    }

    #[test]
    fn placing_a_batch_leaves_its_checksum_valid() {
        let mut bytes = Draft::plain(&[1, 2]).bytes();
        let mut batch = Batch::produced(&bytes).unwrap();
        batch.place(40, &mut bytes);
        assert!(Batch::header(&bytes).unwrap().is_stored_at(40, &bytes));
        assert_eq!(batch.next_offset(), 42);
    }

    #[test]
    fn sequences_start_again_at_zero() {
        let at_the_end = Draft::idempotent(1, 0, i32::MAX, 2).bytes();
        assert_eq!(Batch::produced(&at_the_end).unwrap().last_sequence(), 0);
    }

    #[test]
    fn a_time_is_exact_unless_compressed() {
        let table = [(0, 0, (5, 10)), (0, 6, (9, 11)), (0, 9, (9, 11)), (0, 10, (12, 13)), (1, 10, (5, 10))];
        for (attributes, time, expected) in table {
            let mut bytes = Draft { attributes, ..Draft::plain(&[5, 9, 7, 12]) }.bytes();
            let mut batch = Batch::produced(&bytes).unwrap();
            batch.place(10, &mut bytes);
            assert_eq!(batch.first_at(time, &bytes), expected, "{attributes} {time}");
        }
    }
}
