//! Compressed files, which are refused with the command that unpacks them, by name or by their first bytes.
//!
//! To add a kind: its extension, command and first bytes in the table.

use crate::error::{Error, Result};
use std::path::Path;

const COMPRESSED: [(&str, &str, &[u8]); 5] = [
    ("gz", "gunzip -k", b"\x1f\x8b"),
    ("zst", "unzstd -k", b"\x28\xb5\x2f\xfd"),
    ("bz2", "bunzip2 -k", b"BZh"),
    ("xz", "unxz -k", b"\xfd7zXZ\0"),
    ("zip", "unzip", b"PK\x03\x04"),
];

/// Refuses a file with the extension (lower case, no dot) of a compressed one.
pub(super) fn refuse_name(path: &Path, extension: &str) -> Result<()> {
    match COMPRESSED.iter().find(|(name, _, _)| *name == extension) {
        Some((_, command, _)) => Err(refused(&path.display().to_string(), command)),
        None => Ok(()),
    }
}

/// Refuses a file that begins like a compressed one, whatever its name.
pub(super) fn refuse_head(name: &str, head: &[u8]) -> Result<()> {
    match COMPRESSED.iter().find(|(_, _, magic)| head.starts_with(magic)) {
        Some((_, command, _)) => Err(refused(name, command)),
        None => Ok(()),
    }
}

fn refused(name: &str, command: &str) -> Error {
    Error::input(format!("`{name}` is compressed, which is not supported"))
        .hint(format!("unpack it first: {command} {name}"))
}
