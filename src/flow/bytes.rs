//! Bytes that may be text and may be anything, where only text can stand: base64 for programs, escapes for people.

use std::fmt::Write;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// With padding, as in RFC 4648.
pub fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// What [`base64`] made; `None` when it did not make this.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let mut bits = 0u32;
        for digit in group {
            bits = bits << 6 | ALPHABET.iter().position(|known| known == digit)? as u32;
        }
        bits <<= 6 * (4 - group.len());
        bytes.extend(bits.to_be_bytes()[1..].iter().take((group.len() * 3) / 4));
    }
    (base64(&bytes) == text).then_some(bytes)
}

/// One line: text as it is, but for what a terminal would act on, and every byte that is no text as `\xff`.
pub fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' | '\n' | '\r' | '\t' => text.extend(c.escape_default()),
                c if c.is_control() => text.extend(c.escape_unicode()),
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            // Writing into a String cannot fail.
            write!(text, "\\x{byte:02x}").unwrap_or_default();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_padded_and_read_back() {
        for (bytes, expected) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), expected);
            assert_eq!(from_base64(expected).as_deref(), Some(bytes.as_bytes()));
        }
        for bad in ["Z", "Zg=", "Zh==", "Zg==x", "Z g=", "=", "Zm9vé"] {
            assert_eq!(from_base64(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_no_text_is_escaped() {
        for (bytes, expected) in [
            (b"{\"a\":\"\xc3\xa9\"}".as_slice(), "{\"a\":\"é\"}"),
            (b"\xff\xfea", "\\xff\\xfea"),
            (b"a\nb\\c\x1b[1m", "a\\nb\\\\c\\u{1b}[1m"),
            (b"\xc3", "\\xc3"),
        ] {
            assert_eq!(escaped(bytes), expected);
        }
    }
}
