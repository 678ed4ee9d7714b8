//! A last line that was still being written when it was sent.
//!
//! A file may end without a line end for good, so its last line is sent as a row. When it is longer at the next
//! run, the row that was sent is the beginning of the row that stands there now. That is provable: a row's digest
//! is the head of SHA-256 over all bytes from the start of the file to the end of the row's content, so the digest
//! that was sent is found at some byte inside the row. Looks only, at that one row, and decides nothing.

use super::lines::head;
use super::{Input, open_file};
use crate::error::{Context, Kind, Result};
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader, Read};

/// The last row sent, as the digests know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastRow {
    /// Digest of the row before it; none when it is the file's first.
    pub preceding: Option<u64>,
    /// What was sent.
    pub sent: u64,
    /// What stands there now.
    pub now: u64,
}

/// Bytes of the row that are looked at; a longer row counts as edited.
const MOST_BYTES: usize = 1 << 20;

/// Whether the row that stands in the file now begins with the row that was sent and everything before it is the
/// same. Reads the file again, up to that row. Fails with `Input` when it cannot be read.
pub fn grew(input: &Input, row: &LastRow) -> Result<bool> {
    grew_in(open_file(&input.path)?, row).context(Kind::Input, || format!("read `{}` again", input.id))
}

fn grew_in(bytes: impl Read, row: &LastRow) -> std::io::Result<bool> {
    let mut bytes = BufReader::new(bytes);
    let mut hasher = Sha256::new();
    if let Some(preceding) = row.preceding
        && !skip_to(&mut bytes, &mut hasher, preceding)?
    {
        return Ok(false);
    }
    for byte in bytes.bytes().take(MOST_BYTES) {
        hasher.update([byte?]);
        match head(&hasher) {
            digest if digest == row.sent => return Ok(true),
            digest if digest == row.now => return Ok(false),
            _ => {}
        }
    }
    Ok(false)
}

/// Reads up to the end of the content that has this digest: before a CR or LF, for these end every row, or before
/// the zero byte that such a one begins with in UTF-16 of the other byte order.
fn skip_to(bytes: &mut impl BufRead, hasher: &mut Sha256, digest: u64) -> std::io::Result<bool> {
    loop {
        let buffer = bytes.fill_buf()?;
        if buffer.is_empty() {
            return Ok(false);
        }
        let end = buffer.iter().position(|byte| matches!(byte, b'\n' | b'\r' | 0));
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
        grew_in(now, &row).unwrap()
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
        for (encoding, order) in [("utf-16le", u16::to_le_bytes as fn(u16) -> [u8; 2]), ("utf-16be", u16::to_be_bytes)]
        {
            let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(order).collect() };
            let (sent, now) = (wide("a,b\n1,x\n2,he"), wide("a,b\n1,x\n2,hello\n"));
            assert!(grown(&sent, &now, Some(encoding)), "{encoding}");
        }
    }
}
