//! The formats a stream may have, and the decoder of each.
//!
//! Reads no settings: whoever does names one of these. To add a format: its variant, its line in [`decoder`] and its
//! file.

use super::Decoder;
use super::csv::{CsvDecoder, Layout};
use super::json::JsonDecoder;
use super::raw::RawDecoder;
use crate::error::Result;
use arrow::datatypes::Fields;

/// What a payload is written in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON object.
    #[default]
    Json,
    /// One delimited record, its fields in the order of the columns.
    Csv(Layout),
    /// Bytes that go into one column as they are.
    Raw,
}

/// The decoder for these columns; kind Config when the format cannot fill them.
pub fn decoder(format: &Format, columns: &Fields) -> Result<Box<dyn Decoder>> {
    Ok(match format {
        Format::Json => Box::new(JsonDecoder::new(columns)?),
        Format::Csv(layout) => Box::new(CsvDecoder::new(columns, layout.clone())?),
        Format::Raw => Box::new(RawDecoder::new(columns)?),
    })
}
