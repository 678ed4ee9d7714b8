//! Character encodings: which one a file has, and bytes to text line by line.
//!
//! Line by line works because no encoding accepted here keeps state over a line end, nor uses the bytes of
//! CR and LF for anything else; ISO-2022-JP does and is refused.

use super::lines::Unit;
use crate::error::{Error, Result};
use encoding_rs::{Encoding, ISO_2022_JP, REPLACEMENT, SHIFT_JIS, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use std::borrow::Cow;

/// The encoding of a declared name, any label browsers know (`latin1` is windows-1252 there).
pub(super) fn named(label: &str) -> Result<&'static Encoding> {
    match Encoding::for_label(label.as_bytes()) {
        Some(encoding) if encoding != ISO_2022_JP && encoding != REPLACEMENT => Ok(encoding),
        _ => Err(Error::config(format!("encoding `{label}` cannot be read"))
            .hint("use utf-8, utf-16le, utf-16be, windows-1252, shift_jis, gb18030, euc-jp or another WHATWG name")),
    }
}

/// The encoding that holds for a file beginning with `head`, and the length of its byte order mark.
pub(super) fn of_file(head: &[u8], declared: Option<&str>) -> Result<(&'static Encoding, usize)> {
    if let Some((encoding, length)) = Encoding::for_bom(head) {
        return Ok((encoding, length));
    }
    Ok((declared.map(named).transpose()?.unwrap_or(UTF_8), 0))
}

pub(super) fn unit(encoding: &'static Encoding) -> Unit {
    if encoding == UTF_16LE {
        Unit::Utf16Le
    } else if encoding == UTF_16BE {
        Unit::Utf16Be
    } else {
        Unit::Byte
    }
}

/// Text of `bytes`; false: some of it could not be decoded and stands as U+FFFD.
pub(super) fn decode<'a>(encoding: &'static Encoding, bytes: &'a [u8]) -> (Cow<'a, str>, bool) {
    if encoding == UTF_8 {
        return match std::str::from_utf8(bytes) {
            Ok(text) => (Cow::Borrowed(text), true),
            Err(_) => (String::from_utf8_lossy(bytes), false),
        };
    }
    let (text, had_errors) = encoding.decode_without_bom_handling(bytes);
    (text, !had_errors)
}

/// The likeliest encoding of a file that begins with `head` and declares none. Only a guess: for a new
/// project's settings, where the user can read and change it, never while producing.
pub(super) fn guess(head: &[u8]) -> &'static Encoding {
    if let Some((encoding, _)) = Encoding::for_bom(head) {
        return encoding;
    }
    let Err(error) = std::str::from_utf8(head) else { return UTF_8 };
    // A character cut at the end of the head, or one begun rightly and then damaged.
    if error.error_len() != Some(1) {
        return UTF_8;
    }
    if looks_like_shift_jis(head) {
        return SHIFT_JIS;
    }
    let has_multibyte_characters = !head[..error.valid_up_to()].is_ascii();
    if has_multibyte_characters || !head.iter().all(|byte| is_likely_windows_1252(*byte)) {
        return UTF_8;
    }
    WINDOWS_1252
}

/// Letters, punctuation and the printable signs of Western European text. The other bytes occur in damaged
/// UTF-8 or in binary data rather than in text.
fn is_likely_windows_1252(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80 | 0x82 | 0x84 | 0x85 | 0x91..=0x97 | 0x99 | 0xa0..=0xfc)
}

/// Decodes without an error, and most lead bytes lie in the range that is control characters elsewhere.
fn looks_like_shift_jis(bytes: &[u8]) -> bool {
    let whole_lines = bytes.iter().rposition(|byte| *byte == b'\n').map_or(bytes, |end| &bytes[..=end]);
    let (_, had_errors) = SHIFT_JIS.decode_without_bom_handling(whole_lines);
    if had_errors {
        return false;
    }
    let (mut typical, mut other) = (0, 0);
    let mut rest = whole_lines.iter();
    while let Some(byte) = rest.next() {
        match byte {
            0x81..=0x9f => {
                typical += 1;
                rest.next();
            }
            0xe0..=0xfc => {
                other += 1;
                rest.next();
            }
            0x80.. => other += 1,
            _ => {}
        }
    }
    typical > other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_wins_over_the_declaration() {
        assert_eq!(of_file(b"\xef\xbb\xbfa", Some("latin1")).unwrap(), (UTF_8, 3));
        assert_eq!(of_file(b"\xff\xfea\0", None).unwrap(), (UTF_16LE, 2));
        assert_eq!(of_file(b"\xfe\xff\0a", Some("utf-16")).unwrap(), (UTF_16BE, 2));
        assert_eq!(of_file(b"abc", Some("latin1")).unwrap(), (WINDOWS_1252, 0));
        assert_eq!(of_file(b"abc", None).unwrap(), (UTF_8, 0));
    }

    #[test]
    fn unknown_and_stateful_encodings_are_refused() {
        for label in ["klingon", "iso-2022-jp", "hz-gb-2312"] {
            assert!(named(label).is_err(), "{label}");
        }
    }

    #[test]
    fn the_guess_prefers_utf_8_with_damage_over_a_wrong_table() {
        let table: [(&[u8], &Encoding); 8] = [
            (b"042|42|\xe2\x82(", UTF_8),
            (b"cut \xe2\x82", UTF_8),
            ("naïve".as_bytes(), UTF_8),
            (b"Jos\xe9 \xc1lvarez", WINDOWS_1252),
            (b"Bank Name\xa0,City", WINDOWS_1252),
            (b"\x96\xbc\x91\x4f,\x94\x4e\x97\xee\r\n", SHIFT_JIS),
            (b"ok \xc3\xa9 then \xff", UTF_8),
            (b"oogie bo\xff\xffgie", UTF_8),
        ];
        for (bytes, expected) in table {
            assert_eq!(guess(bytes), expected, "{bytes:?}");
        }
    }
}
