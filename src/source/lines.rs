//! Physical lines of a file as raw bytes, with a digest of everything up to each line's end.
//!
//! Memory is bounded: of a line longer than the limit only the first bytes are kept, all are hashed. A
//! line can be given back, so that a reader may look ahead and change its mind.

use crate::error::{Context, Kind, Result};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::io::Read;

const CHUNK: usize = 64 * 1024;

/// Width and byte order of the code units among which line ends are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Byte,
    Utf16Le,
    Utf16Be,
}

impl Unit {
    fn width(self) -> usize {
        match self {
            Unit::Byte => 1,
            Unit::Utf16Le | Unit::Utf16Be => 2,
        }
    }

    fn is(self, unit: &[u8], character: u8) -> bool {
        match self {
            Unit::Byte => unit == [character],
            Unit::Utf16Le => unit == [character, 0],
            Unit::Utf16Be => unit == [0, character],
        }
    }
}

/// What ends a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// LF, CRLF or CR, also mixed.
    Any,
    /// LF only; a CR before it stays part of the line.
    LineFeed,
}

/// One line. A line longer than the limit holds its first bytes and no terminator.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// 1-based.
    pub number: u64,
    /// Content and terminator.
    raw: Vec<u8>,
    content: usize,
    /// Bytes of the content in the file.
    pub length: u64,
    /// Over all bytes from the start of the file to the end of this line's content. The terminator is left
    /// out, so that a last line without one keeps its digest when the file grows.
    pub digest: u64,
}

impl Line {
    pub fn content(&self) -> &[u8] {
        &self.raw[..self.content]
    }

    pub fn terminator(&self) -> &[u8] {
        &self.raw[self.content..]
    }

    pub fn is_cut(&self) -> bool {
        self.length > self.content as u64
    }
}

pub(super) struct Lines {
    input: Box<dyn Read + Send>,
    name: String,
    unit: Unit,
    ends: Ends,
    limit: usize,
    buffer: Vec<u8>,
    start: usize,
    ended: bool,
    number: u64,
    hasher: Sha256,
    given_back: VecDeque<Line>,
}

impl Lines {
    /// `name` is for messages; `limit` is the number of content bytes kept of a line.
    pub fn new(input: Box<dyn Read + Send>, name: &str, unit: Unit, ends: Ends, limit: usize) -> Lines {
        Lines {
            input,
            name: name.to_string(),
            unit,
            ends,
            limit,
            buffer: Vec::new(),
            start: 0,
            ended: false,
            number: 0,
            hasher: Sha256::new(),
            given_back: VecDeque::new(),
        }
    }

    /// Passes over the first `count` bytes (a byte order mark), which count for the digest only.
    pub fn skip(&mut self, count: usize) -> Result<()> {
        self.need(count)?;
        let count = count.min(self.available().len());
        self.hasher.update(&self.buffer[self.start..self.start + count]);
        self.start += count;
        Ok(())
    }

    pub fn next(&mut self) -> Result<Option<Line>> {
        if let Some(line) = self.given_back.pop_front() {
            return Ok(Some(line));
        }
        self.read_line()
    }

    /// Gives `lines` back, to be returned again in the same order.
    pub fn give_back(&mut self, lines: impl DoubleEndedIterator<Item = Line>) {
        for line in lines.rev() {
            self.given_back.push_front(line);
        }
    }

    fn read_line(&mut self) -> Result<Option<Line>> {
        let width = self.unit.width();
        self.need(width)?;
        if self.available().is_empty() {
            return Ok(None);
        }
        self.number += 1;
        let mut line = Line { number: self.number, raw: Vec::new(), content: 0, length: 0, digest: 0 };
        loop {
            self.need(width)?;
            match self.find_end() {
                Some(at) => {
                    self.take_content(&mut line, at);
                    line.digest = self.digest();
                    self.take_terminator(&mut line)?;
                    return Ok(Some(line));
                }
                None if self.ended => {
                    self.take_content(&mut line, self.available().len());
                    line.digest = self.digest();
                    return Ok(Some(line));
                }
                None => self.take_content(&mut line, self.available().len() / width * width),
            }
        }
    }

    /// Bytes before the first line end in the buffer.
    fn find_end(&self) -> Option<usize> {
        let bytes = self.available();
        match (self.unit, self.ends) {
            (Unit::Byte, Ends::Any) => bytes.iter().position(|byte| *byte == b'\n' || *byte == b'\r'),
            (Unit::Byte, Ends::LineFeed) => bytes.iter().position(|byte| *byte == b'\n'),
            (unit, ends) => bytes
                .chunks_exact(2)
                .position(|pair| unit.is(pair, b'\n') || (ends == Ends::Any && unit.is(pair, b'\r')))
                .map(|units| units * 2),
        }
    }

    fn take_content(&mut self, line: &mut Line, count: usize) {
        let bytes = &self.buffer[self.start..self.start + count];
        let room = self.limit - line.raw.len();
        line.raw.extend_from_slice(&bytes[..count.min(room)]);
        line.content = line.raw.len();
        line.length += count as u64;
        self.hasher.update(bytes);
        self.start += count;
    }

    fn take_terminator(&mut self, line: &mut Line) -> Result<()> {
        let width = self.unit.width();
        self.need(2 * width)?;
        let bytes = self.available();
        let is_pair = bytes.len() >= 2 * width
            && self.unit.is(&bytes[..width], b'\r')
            && self.unit.is(&bytes[width..2 * width], b'\n');
        let count = if is_pair { 2 * width } else { width };
        let terminator = &self.buffer[self.start..self.start + count];
        self.hasher.update(terminator);
        if !line.is_cut() {
            line.raw.extend_from_slice(terminator);
        }
        self.start += count;
        Ok(())
    }

    fn available(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Reads until `count` bytes are at hand or the file ends.
    fn need(&mut self, count: usize) -> Result<()> {
        while self.available().len() < count && !self.ended {
            self.buffer.drain(..self.start);
            self.start = 0;
            let filled = self.buffer.len();
            self.buffer.resize(filled + CHUNK, 0);
            let read = loop {
                match self.input.read(&mut self.buffer[filled..]) {
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                    outcome => break outcome,
                }
            };
            let read = read.context(Kind::Input, || format!("read `{}` after line {}", self.name, self.number))?;
            self.buffer.truncate(filled + read);
            self.ended = read == 0;
        }
        Ok(())
    }

    fn digest(&self) -> u64 {
        head(&self.hasher)
    }
}

/// The digest of everything hashed so far: the first 8 bytes of its SHA-256.
pub(super) fn head(hasher: &Sha256) -> u64 {
    let hash = hasher.clone().finalize();
    hash.iter().take(8).fold(0, |digest, byte| digest << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8], unit: Unit, ends: Ends, limit: usize) -> Vec<Line> {
        let mut lines = Lines::new(Box::new(std::io::Cursor::new(bytes.to_vec())), "t", unit, ends, limit);
        std::iter::from_fn(|| lines.next().unwrap()).collect()
    }

    fn texts(bytes: &[u8]) -> Vec<String> {
        let lines = lines(bytes, Unit::Byte, Ends::Any, 100);
        lines.iter().map(|line| String::from_utf8_lossy(line.content()).into_owned()).collect()
    }

    #[test]
    fn every_line_end_counts_once() {
        let table: [(&str, &[&str]); 7] = [
            ("", &[]),
            ("a", &["a"]),
            ("a\n", &["a"]),
            ("a\r\nb\rc\nd", &["a", "b", "c", "d"]),
            ("a\r", &["a"]),
            ("a\n\nb", &["a", "", "b"]),
            ("a\r\r\nb", &["a", "", "b"]),
        ];
        for (text, expected) in table {
            assert_eq!(texts(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn a_pair_split_over_two_reads_is_one_line_end() {
        let mut text = vec![b'x'; CHUNK - 1];
        text.extend_from_slice(b"\r\ny");
        let lines = lines(&text, Unit::Byte, Ends::Any, CHUNK);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].terminator(), b"\r\n");
    }

    #[test]
    fn sixteen_bit_units_are_not_cut_at_a_byte_that_looks_like_an_end() {
        let text: Vec<u8> = "Ċa\r\nb".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let lines = lines(&text, Unit::Utf16Le, Ends::Any, 100);
        assert_eq!(lines.iter().map(|line| line.content().len()).collect::<Vec<_>>(), [4, 2]);
    }

    #[test]
    fn a_long_line_is_cut_but_hashed_whole() {
        let cut = lines(b"abcdef\nx", Unit::Byte, Ends::Any, 3);
        let whole = lines(b"abcdef\nx", Unit::Byte, Ends::Any, 100);
        assert_eq!((cut[0].content(), cut[0].length, cut[0].is_cut()), (b"abc".as_slice(), 6, true));
        assert_eq!(cut[1].digest, whole[1].digest);
    }

    #[test]
    fn the_digest_is_the_head_of_sha256_up_to_the_content() {
        // printf 'a\nb' | sha256sum
        let first = lines(b"a\nb", Unit::Byte, Ends::Any, 9);
        let grown = lines(b"a\nb\nc", Unit::Byte, Ends::Any, 9);
        assert_eq!(format!("{:016x}", first[0].digest), "ca978112ca1bbdca");
        assert_eq!(first[1].digest, grown[1].digest);
    }

    #[test]
    fn lines_given_back_come_again_in_order() {
        let mut source = Lines::new(Box::new(std::io::Cursor::new(b"a\nb\nc".to_vec())), "t", Unit::Byte, Ends::Any, 9);
        let read: Vec<Line> = (0..2).map(|_| source.next().unwrap().unwrap()).collect();
        source.give_back(read.into_iter());
        let numbers: Vec<u64> = std::iter::from_fn(|| source.next().unwrap()).map(|line| line.number).collect();
        assert_eq!(numbers, [1, 2, 3]);
    }
}
