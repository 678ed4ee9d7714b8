//! Messages side by side in one buffer: taking one over costs no allocation.

/// Length of a key, payload or header value that is not there.
const ABSENT: u32 = u32::MAX;

/// Messages in the order they were received.
#[derive(Debug, Default)]
pub struct Messages {
    entries: Vec<Entry>,
    /// Key, payload and headers of each message in turn.
    bytes: Vec<u8>,
}

/// Lengths have 32 bits because Kafka's own have 31.
#[derive(Debug, Clone, Copy)]
struct Entry {
    offset: i64,
    timestamp_ms: Option<i64>,
    start: usize,
    slot: u32,
    key: u32,
    payload: u32,
    headers: u32,
}

/// One message of [`Messages`].
#[derive(Debug, Clone, Copy)]
pub struct Message<'m> {
    /// Place of its partition in the list of those assigned, in their order.
    pub slot: usize,
    pub offset: i64,
    pub timestamp_ms: Option<i64>,
    pub key: Option<&'m [u8]>,
    /// `None` is a tombstone.
    pub payload: Option<&'m [u8]>,
    pub headers: Headers<'m>,
}

/// Names and values of a message's headers, in order; names may repeat.
#[derive(Debug, Clone, Copy)]
pub struct Headers<'m>(&'m [u8]);

impl Messages {
    pub fn push<'h>(
        &mut self,
        slot: usize,
        offset: i64,
        timestamp_ms: Option<i64>,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: impl Iterator<Item = (&'h str, Option<&'h [u8]>)>,
    ) {
        let start = self.bytes.len();
        let (key, payload) = (self.append(key), self.append(payload));
        let before = self.bytes.len();
        for (name, value) in headers {
            self.bytes.extend((name.len() as u32).to_le_bytes());
            self.bytes.extend(value.map_or(ABSENT, |value| value.len() as u32).to_le_bytes());
            self.bytes.extend_from_slice(name.as_bytes());
            self.bytes.extend_from_slice(value.unwrap_or_default());
        }
        let headers = (self.bytes.len() - before) as u32;
        self.entries.push(Entry { offset, timestamp_ms, start, slot: slot as u32, key, payload, headers });
    }

    fn append(&mut self, bytes: Option<&[u8]>) -> u32 {
        let Some(bytes) = bytes else { return ABSENT };
        self.bytes.extend_from_slice(bytes);
        bytes.len() as u32
    }

    /// Forgets the messages and keeps their room, for the next ones.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes.clear();
    }

    /// Bytes of payloads, keys and headers there is room for.
    pub fn room(&self) -> usize {
        self.bytes.capacity()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Payload, key and header bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The message at a place below [`Messages::len`].
    pub fn get(&self, index: usize) -> Message<'_> {
        self.view(&self.entries[index])
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = Message<'_>> {
        self.entries.iter().map(|entry| self.view(entry))
    }

    fn view(&self, entry: &Entry) -> Message<'_> {
        let (key, rest) = split(&self.bytes[entry.start..], entry.key);
        let (payload, rest) = split(rest, entry.payload);
        Message {
            slot: entry.slot as usize,
            offset: entry.offset,
            timestamp_ms: entry.timestamp_ms,
            key,
            payload,
            headers: Headers(&rest[..entry.headers as usize]),
        }
    }
}

fn split(bytes: &[u8], length: u32) -> (Option<&[u8]>, &[u8]) {
    if length == ABSENT {
        return (None, bytes);
    }
    let (part, rest) = bytes.split_at(length as usize);
    (Some(part), rest)
}

impl<'m> Headers<'m> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The last value of a name, when it is text.
    pub fn text(self, name: &str) -> Option<&'m str> {
        let (_, value) = self.filter(|(each, _)| *each == name).last()?;
        std::str::from_utf8(value?).ok()
    }

    /// Whether a header of this name is there, whatever its value.
    pub fn has(mut self, name: &str) -> bool {
        self.any(|(each, _)| each == name)
    }
}

impl<'m> Iterator for Headers<'m> {
    type Item = (&'m str, Option<&'m [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = self.0.split_first_chunk::<4>()?;
        let (value, rest) = rest.split_first_chunk::<4>()?;
        let (name, rest) = rest.split_at(u32::from_le_bytes(*name) as usize);
        let (value, rest) = split(rest, u32::from_le_bytes(*value));
        self.0 = rest;
        Some((std::str::from_utf8(name).ok()?, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_they_went_in() {
        let mut messages = Messages::default();
        let headers = [("a", Some(b"1".as_slice())), ("", None), ("a", Some(b"")), ("b", Some(b"\xff"))];
        messages.push(3, 7, Some(-1), Some(b"k"), None, headers.into_iter());
        messages.push(1, i64::MAX, None, None, Some(b""), std::iter::empty());
        messages.push(0, 0, None, Some(b""), Some(b"{}"), headers.into_iter().take(1));
        let [first, second, third] = [0, 1, 2].map(|index| messages.get(index));
        assert_eq!((first.slot, first.offset, first.timestamp_ms), (3, 7, Some(-1)));
        assert_eq!((first.key, first.payload), (Some(b"k".as_slice()), None));
        assert_eq!(first.headers.collect::<Vec<_>>(), headers);
        assert_eq!((first.headers.text("a"), first.headers.text("b"), first.headers.text("c")), (Some(""), None, None));
        assert!(first.headers.has("") && first.headers.has("b") && !first.headers.has("c"));
        assert_eq!((second.key, second.payload), (None, Some(b"".as_slice())));
        assert!(second.headers.is_empty() && second.headers.has("a").eq(&false));
        assert_eq!(
            (third.key, third.payload, third.headers.count()),
            (Some(b"".as_slice()), Some(b"{}".as_slice()), 1)
        );
        assert_eq!(messages.iter().len(), 3);
    }
}
