//! One setting: what is written, and where.

use super::FILE;
use std::fmt;

/// How the names of variables that hold settings begin.
pub const PREFIX: &str = "LAKE__";

/// Where a setting stands, as messages show it.
#[derive(Debug, Clone, PartialEq)]
pub enum Place {
    File { line: usize },
    Variable(String),
    Flag(&'static str),
}

impl Place {
    pub fn file(line: usize) -> Place {
        Place::File { line }
    }

    /// How `key` would be written in this place.
    pub fn spelling(&self, key: &str) -> String {
        match self {
            Place::Variable(_) => format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase()),
            Place::File { .. } | Place::Flag(_) => key.to_string(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { line } => write!(f, "{FILE}:{line}"),
            Place::Variable(name) => f.write_str(name),
            Place::Flag(name) => f.write_str(name),
        }
    }
}

/// A value as written. Scalars are kept as text: a variable or a flag has nothing else.
#[derive(Clone)]
pub enum Value {
    Text(String),
    /// `{ env = "NAME" }`
    FromVariable(String),
    /// `{ file = "path" }`
    FromFile(String),
    List,
    EmptyTable,
}

impl Value {
    pub fn is_empty_table(&self) -> bool {
        matches!(self, Value::EmptyTable)
    }
}

#[derive(Clone)]
pub struct Setting {
    pub place: Place,
    pub value: Value,
}

/// 1-based line of a byte offset.
pub fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}
