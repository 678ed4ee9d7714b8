//! The Kafka protocol's primitive encodings and error codes.
//!
//! Owns every bound on what a peer may claim: no length or count read here is believed before the bytes
//! behind it are there, so no frame makes the process reserve more than it sent. Never knows a request.

use std::fmt;

/// Most entries one array may hold; far above what a client of one small broker asks for.
const MAX_ENTRIES: usize = 10_000;

/// Why a frame cannot be read. Its connection is closed, nothing else happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}

pub type Read<T> = Result<T, Malformed>;

/// The protocol's error codes this broker answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
pub enum Code {
    None = 0,
    OffsetOutOfRange = 1,
    CorruptMessage = 2,
    UnknownTopicOrPartition = 3,
    MessageTooLarge = 10,
    CoordinatorNotAvailable = 15,
    InvalidTopic = 17,
    InvalidRequiredAcks = 21,
    UnsupportedVersion = 35,
    TopicAlreadyExists = 36,
    InvalidPartitions = 37,
    InvalidReplicationFactor = 38,
    InvalidReplicaAssignment = 39,
    InvalidConfig = 40,
    InvalidRequest = 42,
    UnsupportedForMessageFormat = 43,
    OutOfOrderSequence = 45,
    InvalidProducerEpoch = 47,
    KafkaStorageError = 56,
    FetchSessionIdNotFound = 70,
    InvalidRecord = 87,
}

/// Takes values off the front of a frame.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub fn take(&mut self, length: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed("a value is cut short"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Read<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Malformed("a number is cut short"))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub fn i8(&mut self) -> Read<i8> {
        self.fixed().map(i8::from_be_bytes)
    }

    pub fn i16(&mut self) -> Read<i16> {
        self.fixed().map(i16::from_be_bytes)
    }

    pub fn i32(&mut self) -> Read<i32> {
        self.fixed().map(i32::from_be_bytes)
    }

    pub fn u32(&mut self) -> Read<u32> {
        self.fixed().map(u32::from_be_bytes)
    }

    pub fn i64(&mut self) -> Read<i64> {
        self.fixed().map(i64::from_be_bytes)
    }

    pub fn bool(&mut self) -> Read<bool> {
        Ok(self.i8()? != 0)
    }

    /// A zigzag variable-length number, as records hold them.
    pub fn varint(&mut self) -> Read<i64> {
        let mut raw = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.fixed()?;
            raw |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((raw >> 1) as i64 ^ -((raw & 1) as i64));
            }
        }
        Err(Malformed("a variable-length number does not end"))
    }

    pub fn string(&mut self) -> Read<&'a str> {
        self.nullable_string()?.ok_or(Malformed("a string is null"))
    }

    pub fn nullable_string(&mut self) -> Read<Option<&'a str>> {
        let length = self.i16()?;
        if length == -1 {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| Malformed("a string has a negative length"))?;
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| Malformed("a string is not UTF-8"))?;
        Ok(Some(text))
    }

    pub fn nullable_bytes(&mut self) -> Read<Option<&'a [u8]>> {
        let length = self.i32()?;
        if length == -1 {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| Malformed("bytes have a negative length"))?;
        self.take(length).map(Some)
    }

    pub fn array<T>(&mut self, entry: impl FnMut(&mut Reader<'a>) -> Read<T>) -> Read<Vec<T>> {
        self.nullable_array(entry)?.ok_or(Malformed("an array is null"))
    }

    /// The vector grows with the entries that are really there, whatever count is claimed.
    pub fn nullable_array<T>(&mut self, mut entry: impl FnMut(&mut Reader<'a>) -> Read<T>) -> Read<Option<Vec<T>>> {
        let count = self.i32()?;
        if count == -1 {
            return Ok(None);
        }
        let count = usize::try_from(count).map_err(|_| Malformed("an array has a negative count"))?;
        if count > MAX_ENTRIES || count > self.rest.len() {
            return Err(Malformed("an array claims too many entries"));
        }
        let mut entries = Vec::new();
        for _ in 0..count {
            entries.push(entry(self)?);
        }
        Ok(Some(entries))
    }
}

/// Builds one reply: a frame length, the correlation id, then the body.
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub fn reply(correlation: i32) -> Writer {
        let mut writer = Writer { bytes: vec![0; 4] };
        writer.i32(correlation);
        writer
    }

    /// The finished frame.
    pub fn finish(mut self) -> Vec<u8> {
        let length = self.bytes.len() as u32 - 4;
        self.bytes[..4].copy_from_slice(&length.to_be_bytes());
        self.bytes
    }

    pub fn i8(&mut self, value: i8) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    pub fn i16(&mut self, value: i16) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    pub fn i32(&mut self, value: i32) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    pub fn i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    pub fn code(&mut self, code: Code) {
        self.i16(code as i16);
    }

    /// Text of at most 32,767 bytes; every text written here is a name, an address or a fixed sentence.
    pub fn string(&mut self, text: &str) {
        self.i16(text.len() as i16);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    pub fn nullable_string(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.string(text),
            None => self.i16(-1),
        }
    }

    pub fn array<T>(&mut self, entries: &[T], mut write: impl FnMut(&mut Writer, &T)) {
        self.i32(entries.len() as i32);
        for entry in entries {
            write(self, entry);
        }
    }

    /// The count of a compact array (ApiVersions v3 only), below 127 entries.
    pub fn compact_count(&mut self, count: usize) {
        self.i8(count as i8 + 1);
    }

    pub fn no_tags(&mut self) {
        self.i8(0);
    }

    /// Bytes with their length in front, filled in place.
    pub fn bytes_from<E>(&mut self, length: usize, fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<(), E> {
        self.i32(length as i32);
        let start = self.bytes.len();
        // Not `resize`: it fills byte by byte in a build without optimisation.
        self.bytes.append(&mut vec![0; length]);
        fill(&mut self.bytes[start..])
    }

    /// The place to [`Writer::rewind`] to.
    pub fn mark(&self) -> usize {
        self.bytes.len()
    }

    pub fn rewind(&mut self, mark: usize) {
        self.bytes.truncate(mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_beyond_the_frame_are_refused() {
        let claim = |length: i32| length.to_be_bytes();
        for length in [-2, 1, 4, 5_000, i32::MAX, i32::MIN] {
            assert!(Reader::new(&claim(length)).nullable_bytes().is_err(), "bytes {length}");
            assert!(Reader::new(&claim(length)).nullable_array(|r| r.i8()).is_err(), "array {length}");
        }
        assert!(Reader::new(&[0x7f, 0xff, b'a']).string().is_err());
        assert!(Reader::new(&[0x80, 0x00]).nullable_string().is_err());
        assert!(Reader::new(&[0, 1, 0xff]).string().is_err(), "not UTF-8");
        assert!(Reader::new(&[0xff; 20]).varint().is_err());
        let many = [&claim(10_001)[..], &[0; 20_000]].concat();
        assert!(Reader::new(&many).array(|r| r.i8()).is_err());
    }

    #[test]
    fn null_differs_from_empty() {
        assert_eq!(Reader::new(&[0xff, 0xff]).nullable_string(), Ok(None));
        assert_eq!(Reader::new(&[0, 0]).nullable_string(), Ok(Some("")));
        assert_eq!(Reader::new(&[0xff; 4]).nullable_array(|r| r.i8()), Ok(None));
        assert_eq!(Reader::new(&[0; 4]).nullable_array(|r| r.i8()), Ok(Some(vec![])));
        assert!(Reader::new(&[0xff; 4]).array(|r| r.i8()).is_err());
    }

    #[test]
    fn variable_length_numbers_zigzag() {
        let table: [(&[u8], i64); 6] =
            [(&[0], 0), (&[1], -1), (&[2], 1), (&[0x7f], -64), (&[0x80, 0x01], 64), (&[0xac, 0x02], 150)];
        for (bytes, value) in table {
            assert_eq!(Reader::new(bytes).varint(), Ok(value), "{bytes:?}");
        }
    }

    #[test]
    fn a_reply_starts_with_its_length_and_correlation_id() {
        let mut writer = Writer::reply(7);
        writer.nullable_string(Some("ab"));
        writer.nullable_string(None);
        assert_eq!(writer.finish(), [0, 0, 0, 10, 0, 0, 0, 7, 0, 2, b'a', b'b', 0xff, 0xff]);
    }
}
