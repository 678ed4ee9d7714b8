//! One record on its way from a source to a topic, and the headers by which it is recognised afterwards.
//!
//! Bronze reads the headers back to drop replayed duplicates and to quarantine what the source could not
//! parse, so writer and reader share these definitions and nothing else.

use crate::error::{Error, Result};
use bytes::Bytes;
use std::fmt;

/// Header: identity of the source, UTF-8 text, stable over runs.
pub const HEADER_SOURCE: &str = "lake-source";
/// Header: a [`SourcePosition`] in its text form.
pub const HEADER_POSITION: &str = "lake-position";
/// Header: present only on a row the source could not parse; says why, with `file:line`.
pub const HEADER_ERROR: &str = "lake-error";

/// What a source yields and a producer sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub key: Option<Bytes>,
    pub payload: Bytes,
    /// Event time in milliseconds since 1970, when the source knows one.
    pub timestamp_ms: Option<i64>,
    /// Where in its source the record stands.
    pub position: SourcePosition,
    /// Set when the row is sent as raw bytes because it could not be parsed: reason with `file:line`.
    pub error: Option<String>,
}

/// The place of a record in its source: row (1-based, rejected rows counted), the number of
/// partitions the source's rows were spread over when first sent, and a digest of everything up to and with this row.
///
/// `partitions` is kept so that a row sent again reaches the partition it reached first, even after the topic
/// was given more partitions; `digest` tells a grown file from an edited one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourcePosition {
    pub row: u64,
    pub partitions: u32,
    pub digest: u64,
}

impl SourcePosition {
    /// Parses the text form `row;partitions;digest` with the digest in 16 hexadecimal digits.
    pub fn parse(text: &str) -> Result<SourcePosition> {
        let mut parts = text.split(';');
        let (row, partitions, digest) = (parts.next(), parts.next(), parts.next());
        let position = || {
            Some(SourcePosition {
                row: row?.parse().ok()?,
                partitions: partitions?.parse().ok().filter(|partitions| *partitions > 0)?,
                digest: digest.filter(|hex| hex.len() == 16).and_then(|hex| u64::from_str_radix(hex, 16).ok())?,
            })
        };
        match (position(), parts.next()) {
            (Some(position), None) => Ok(position),
            _ => Err(Error::input(format!("`{text}` is no `{HEADER_POSITION}`"))),
        }
    }
}

impl fmt::Display for SourcePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};{};{:016x}", self.row, self.partitions, self.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_its_text_form() {
        let position = SourcePosition { row: 174, partitions: 3, digest: 0xbeef };
        assert_eq!(position.to_string(), "174;3;000000000000beef");
        assert_eq!(SourcePosition::parse(&position.to_string()).unwrap(), position);
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in
            ["", "1", "1;2", "1;0;000000000000beef", "x;1;000000000000beef", "1;1;beef", "1;1;000000000000beef;9"]
        {
            assert!(SourcePosition::parse(bad).is_err(), "{bad}");
        }
    }
}
