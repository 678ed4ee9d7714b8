//! Steps over JSON text by RFC 8259's grammar, without reading what it says.
//!
//! Says where a token ends or that there is none, never what is wrong: whoever wants to know asks `object`,
//! which lets serde_json explain. A property test in `json` holds the two to the same answer.

use super::object::MAX_DEPTH;

/// The first place at or after `at` that is no white space.
pub(super) fn space(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = text.get(at) {
        at += 1;
    }
    at
}

/// The place behind the value of a field that begins at `at`.
pub(super) fn value(text: &[u8], at: usize) -> Option<usize> {
    nested_value(text, at, 1)
}

/// The values of an array that is known to be one, as they are written.
pub(super) fn items(array: &str) -> impl Iterator<Item = &str> {
    let mut at = 1;
    std::iter::from_fn(move || {
        let start = space(array.as_bytes(), at);
        let end = value(array.as_bytes(), start)?;
        // Behind the comma, or behind the array.
        at = space(array.as_bytes(), end) + 1;
        Some(&array[start..end])
    })
}

/// The names, in quotes, and values of an object that is known to be one, as they are written.
pub(super) fn pairs(object: &str) -> impl Iterator<Item = (&str, &str)> {
    let (text, mut at) = (object.as_bytes(), 1);
    std::iter::from_fn(move || {
        let name = space(text, at);
        let name_end = string(text, name)?;
        let start = space(text, space(text, name_end) + 1);
        let end = value(text, start)?;
        at = space(text, end) + 1;
        Some((&object[name..name_end], &object[start..end]))
    })
}

/// `depth`: objects and arrays around the value.
fn nested_value(text: &[u8], at: usize, depth: usize) -> Option<usize> {
    match text.get(at)? {
        b'"' => string(text, at),
        b'-' | b'0'..=b'9' => number(text, at),
        b'n' => literal(text, at, b"null"),
        b't' => literal(text, at, b"true"),
        b'f' => literal(text, at, b"false"),
        b'{' | b'[' if depth >= MAX_DEPTH => None,
        b'[' => members(text, at, b']', |at| nested_value(text, at, depth + 1)),
        b'{' => members(text, at, b'}', |at| {
            let colon = space(text, string(text, at)?);
            (text.get(colon)? == &b':').then_some(())?;
            nested_value(text, space(text, colon + 1), depth + 1)
        }),
        _ => None,
    }
}

/// What stands between a bracket at `at` and its counterpart, separated by commas.
fn members(text: &[u8], at: usize, close: u8, member: impl Fn(usize) -> Option<usize>) -> Option<usize> {
    let mut at = space(text, at + 1);
    if text.get(at)? == &close {
        return Some(at + 1);
    }
    loop {
        at = space(text, member(at)?);
        match text.get(at)? {
            b',' => at = space(text, at + 1),
            found if *found == close => return Some(at + 1),
            _ => return None,
        }
    }
}

fn literal(text: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    text[at..].starts_with(word).then_some(at + word.len())
}

fn number(text: &[u8], mut at: usize) -> Option<usize> {
    if text[at] == b'-' {
        at += 1;
    }
    at = match text.get(at)? {
        b'0' => at + 1,
        _ => digits(text, at)?,
    };
    if text.get(at) == Some(&b'.') {
        at = digits(text, at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        let sign = matches!(text.get(at + 1), Some(b'+' | b'-'));
        at = digits(text, at + 1 + usize::from(sign))?;
    }
    Some(at)
}

/// One digit at least.
fn digits(text: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(b'0'..=b'9') = text.get(at) {
        at += 1;
    }
    (at > from).then_some(at)
}

/// The place behind the string whose opening quote stands at `at`.
pub(super) fn string(text: &[u8], at: usize) -> Option<usize> {
    if text.get(at)? != &b'"' {
        return None;
    }
    let mut at = at + 1;
    loop {
        at = ordinary(text, at);
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at = escape(text, at + 1)?,
            _ => return None,
        }
    }
}

fn escape(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 1),
        b'u' => text.get(at + 1..at + 5)?.iter().all(u8::is_ascii_hexdigit).then_some(at + 5),
        _ => None,
    }
}

/// The first place at or after `at` that is a quote, a backslash, a control character or the end. Eight bytes
/// at a time: strings are most of what JSON is made of.
fn ordinary(text: &[u8], mut at: usize) -> usize {
    while let Some(eight) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let found = special(u64::from_le_bytes(*eight));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while let Some(byte) = text.get(at)
        && !matches!(byte, b'"' | b'\\' | 0..0x20)
    {
        at += 1;
    }
    at
}

/// The high bit of each byte that is special. A borrow may mark bytes above the first, never one below it.
fn special(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x80 * ONES;
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let below_space = word.wrapping_sub(0x20 * ONES) & !word;
    (zero(word ^ (b'"' as u64 * ONES)) | zero(word ^ (b'\\' as u64 * ONES)) | below_space) & HIGHS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_end_where_the_grammar_says() {
        let deepest = format!("{}{}", "[".repeat(MAX_DEPTH - 1), "]".repeat(MAX_DEPTH - 1));
        let deeper = format!("[{deepest}]");
        let good = [
            "0",
            "-0",
            "10",
            "1.50",
            "1e9",
            "-1.5E+10",
            "1e-7",
            "null",
            "true",
            "false",
            "\"\"",
            "\"abcdefg\"",
            "\"abcdefgh\"",
            "\"abcdefghi\\\"jklmnopq\"",
            "\"\\u00e9\\\\\"",
            "\"é日本語é日本語\"",
            "[]",
            "[ 1 , 2 ]",
            "{}",
            "{ \"a\" : [ { \"b\" : null } ] , \"\":1}",
            &deepest,
        ];
        for text in good {
            assert_eq!(value(text.as_bytes(), 0), Some(text.len()), "{text}");
            assert_eq!(value(format!("{text} ,").as_bytes(), 0), Some(text.len()), "{text}");
        }
        let bad = [
            "",
            "-",
            "+1",
            ".5",
            "1.",
            "1e",
            "1e+",
            "nul",
            "tru",
            "x",
            "\"",
            "\"a",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"a\nb\"",
            "\"abcdefgh\tij\"",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\" 1}",
            "[1}",
            &deeper,
        ];
        for text in bad {
            assert_eq!(value(text.as_bytes(), 0), None, "{text}");
        }
        assert_eq!(value(b"01", 0), Some(1), "what follows is for the caller to refuse");
    }

    #[test]
    fn special_bytes_are_found_wherever_they_stand() {
        for special in [b'"', b'\\', 0, 0x1f, b'\n'] {
            for place in 0..20 {
                for other in [b'a', b' ', 0x7f, 0x80, 0xff, b'#', b'!', b']', b'['] {
                    let mut text = [other; 20];
                    text[place] = special;
                    assert_eq!(ordinary(&text, 0), place, "{special} among {other}");
                }
            }
        }
    }
}
