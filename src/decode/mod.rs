//! Bytes into Arrow, one record at a time, with a reason for every record that cannot be decoded.
//!
//! Owns what a payload means: its grammar, the types its values may take, the fields nobody declared.
//! Does no I/O and knows neither Kafka nor tables. A record is good as a whole or rejected as a whole,
//! and one bad record never touches its neighbours.
//!
//! To add a format: one file with a type that implements [`Decoder`], its variant of [`Format`], and its line in the
//! contract test.

mod column;
mod csv;
mod fill;
mod format;
pub mod infer;
mod json;
mod kind;
mod names;
mod object;
mod place;
mod raw;
mod rows;
mod scan;
mod target;
#[cfg(test)]
mod tests;
mod value;

pub use csv::{CsvDecoder, Layout};
pub use format::{Format, decoder};
pub use json::JsonDecoder;
pub use kind::field_text;
pub use raw::RawDecoder;

use crate::error::{Error, Result};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

/// Name of the text column that keeps undeclared fields; always the last one of [`Decoder::schema`].
pub const RESCUED: &str = "_rescued";

/// Turns payloads of one format into rows of one schema.
pub trait Decoder: Send {
    /// The declared columns in order, then [`RESCUED`].
    fn schema(&self) -> SchemaRef;

    /// Decodes every payload. An error is a fault of the program; bad payloads are in [`Decoded::rejects`].
    fn decode(&mut self, payloads: &[&[u8]]) -> Result<Decoded>;
}

/// The outcome of one call: `batch.num_rows() + rejects.len()` is the number of payloads.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// One row per good payload, in the order of the payloads.
    pub batch: RecordBatch,
    /// In the order of the payloads.
    pub rejects: Vec<Reject>,
}

/// A payload that could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Its place among the payloads, from 0.
    pub index: usize,
    /// What is wrong with it: the byte or the column, what was expected, the value shortened.
    pub reason: String,
}

/// Refuses more bytes at once than the offsets of an array can count.
fn check_size(payloads: &[&[u8]]) -> Result<()> {
    let bytes: usize = payloads.iter().map(|payload| payload.len()).sum();
    match i32::try_from(bytes) {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::internal(format!("{bytes} bytes of payloads were to be decoded at once"))),
    }
}
