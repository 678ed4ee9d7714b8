//! A last line that was still being written when it was sent.
//!
//! A file may end without a line end for good, so its last line is sent as a row. When it is longer at the next
//! run, the row that was sent is the beginning of the row that stands there now. That is provable: a row's digest
//! is the head of SHA-256 over all bytes from the start of the file to the end of the row's content, so the digest
//! that was sent is found at some byte inside the row. Looks only, at that one row.

use crate::error::{Context, Kind, Result};
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader, Read};

/// The last row sent, as the digests know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LastRow {
    /// Digest of the row before it; none when it is the file's first.
    pub preceding: Option<u64>,
    /// What was sent.
    pub sent: u64,
    /// What stands there now.
    pub now: u64,
}

/// Bytes of the row that are looked at; a longer row counts as edited.
const MOST_BYTES: usize = 1 << 20;

/// Whether the row that stands there now begins with the row that was sent and everything before it is the same.
pub(super) fn grew(bytes: Box<dyn Read>, row: &LastRow) -> Result<bool> {
    let mut bytes = BufReader::new(bytes);
    let mut hasher = Sha256::new();
    if let Some(preceding) = row.preceding
        && !skip_to(&mut bytes, &mut hasher, preceding)?
    {
        return Ok(false);
    }
    for byte in bytes.bytes().take(MOST_BYTES) {
        hasher.update([byte.context(Kind::Input, attempt)?]);
        match head(&hasher) {
            digest if digest == row.sent => return Ok(true),
            digest if digest == row.now => return Ok(false),
            _ => {}
        }
    }
    Ok(false)
}

/// Reads up to the end of the content that has this digest: before a CR or LF, for these end every row.
fn skip_to(bytes: &mut impl BufRead, hasher: &mut Sha256, digest: u64) -> Result<bool> {
    loop {
        let buffer = bytes.fill_buf().context(Kind::Input, attempt)?;
        if buffer.is_empty() {
            return Ok(false);
        }
        let end = buffer.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let content = end.unwrap_or(buffer.len());
        hasher.update(&buffer[..content]);
        if end.is_some() && head(hasher) == digest {
            bytes.consume(content);
            return Ok(true);
        }
        let count = content + usize::from(end.is_some());
        hasher.update(&buffer[content..count]);
        bytes.consume(count);
    }
}

fn head(hasher: &Sha256) -> u64 {
    let hash = hasher.clone().finalize();
    hash.iter().take(8).fold(0, |digest, byte| digest << 8 | u64::from(*byte))
}

fn attempt() -> &'static str {
    "look again at a row that was sent"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{self, Format, Input, SourceConfig};

    /// The digests of a file's rows, from the reader that makes them.
    fn digests(text: &[u8], encoding: Option<&str>) -> Vec<u64> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.csv");
        std::fs::write(&path, text).unwrap();
        let config = SourceConfig { encoding: encoding.map(str::to_string), ..SourceConfig::default() };
        let mut source = source::open(&Input { id: "f.csv".into(), path, format: Format::Csv }, &config).unwrap();
        std::iter::from_fn(|| source.next().unwrap()).map(|record| record.position.digest).collect()
    }

    fn grown(sent: &[u8], now: &[u8], encoding: Option<&str>) -> bool {
        let (then, after) = (digests(sent, encoding), digests(now, encoding));
        let at = then.len() - 1;
        let row = LastRow { preceding: at.checked_sub(1).map(|before| after[before]), sent: then[at], now: after[at] };
        grew(Box::new(std::io::Cursor::new(now.to_vec())), &row).unwrap()
    }

    #[test]
    fn a_row_that_grew_is_told_from_an_edited_one() {
        let table: [(&str, &str, bool); 8] = [
            ("a,b\n1,x\n2,he", "a,b\n1,x\n2,hello\n3,y\n", true),
            ("a,b\r\n1,x\r\n2", "a,b\r\n1,x\r\n2,hello\r\n", true),
            ("a,b\n1,h\u{e9}", "a,b\n1,h\u{e9}llo", true),
            ("a,b\n1,\"he", "a,b\n1,\"he\nllo\"\n", true),
            ("a,b\n1,x\n\n\n2,he", "a,b\n1,x\n\n\n2,hello\n", true),
            ("a,b\n1,x\n2,he", "a,b\n1,x\n2,hi\n", false),
            ("a,b\n1,x\n2,he", "a,b\n1,y\n2,hello\n", false),
            ("a,b\n1,x\n2,hello", "a,b\n1,x\n2,he\n", false),
        ];
        for (sent, now, expected) in table {
            assert_eq!(grown(sent.as_bytes(), now.as_bytes(), None), expected, "{sent:?} -> {now:?}");
        }
        let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
        let (sent, now) = (wide("a,b\n1,x\n2,he"), wide("a,b\n1,x\n2,hello\n"));
        assert!(grown(&sent, &now, Some("utf-16le")));
    }
}
