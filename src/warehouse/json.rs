//! Nested values as JSON documents, one text a row.
//!
//! Two things Arrow's own writer would get wrong in silence: NaN and the infinities, which it makes `null` and which are
//! the strings of PostgreSQL's own `to_jsonb` here; and dates outside its calendar, in whose place it writes the text of
//! an error. Those are refused, and so is text that `jsonb` cannot hold.

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, StringArray, StringBuilder};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Field, FieldRef, Float16Type, Float32Type, Float64Type};
use arrow::error::ArrowError;
use arrow::json::writer::{Encoder, EncoderFactory, EncoderOptions, NullableEncoder, make_encoder};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How JSON spells the character that no text of PostgreSQL can hold.
const NUL: &[u8] = b"\\u0000";

/// A document for each value of the array; the error is of a row.
pub fn json_texts(field: &FieldRef, array: &ArrayRef) -> Result<StringArray, (usize, String)> {
    let lost = Arc::new(AtomicBool::new(false));
    let exact = Arc::new(Exact { lost: Arc::clone(&lost) });
    let options = EncoderOptions::default().with_explicit_nulls(true).with_encoder_factory(exact);
    let nullable = Arc::new(Field::clone(field).with_nullable(true));
    let mut encoder = make_encoder(&nullable, array, &options).map_err(|error| (0, error.to_string()))?;
    let mut texts = StringBuilder::new();
    let mut text = Vec::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            texts.append_null();
            continue;
        }
        text.clear();
        encoder.encode(row, &mut text);
        if lost.load(Ordering::Relaxed) {
            return Err((row, "holds a date or time outside the calendar".into()));
        }
        if holds_nul(&text) {
            return Err((row, "contains a NUL character, which Postgres jsonb cannot hold".into()));
        }
        texts.append_value(std::str::from_utf8(&text).map_err(|error| (row, error.to_string()))?);
    }
    Ok(texts.finish())
}

/// Whether a string in the document holds NUL: an escape of it that is not itself behind a backslash.
fn holds_nul(json: &[u8]) -> bool {
    let backslashes = |end: usize| json[..end].iter().rev().take_while(|byte| **byte == b'\\').count();
    json.windows(NUL.len()).enumerate().any(|(at, part)| part == NUL && backslashes(at) % 2 == 0)
}

/// Writes what Arrow's own encoder would change.
#[derive(Debug)]
struct Exact {
    /// Set when a value could not be written.
    lost: Arc<AtomicBool>,
}

impl EncoderFactory for Exact {
    fn make_default_encoder<'a>(
        &self,
        _field: &'a FieldRef,
        array: &'a dyn Array,
        _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let encoder: Box<dyn Encoder + 'a> = match array.data_type() {
            DataType::Float16 => Box::new(Floats(array.as_primitive::<Float16Type>())),
            DataType::Float32 => Box::new(Floats(array.as_primitive::<Float32Type>())),
            DataType::Float64 => Box::new(Floats(array.as_primitive::<Float64Type>())),
            times if times.is_temporal() => {
                let options = FormatOptions::new().with_display_error(false);
                Box::new(Times { formatter: ArrayFormatter::try_new(array, &options)?, lost: Arc::clone(&self.lost) })
            }
            _ => return Ok(None),
        };
        Ok(Some(NullableEncoder::new(encoder, array.nulls().cloned())))
    }
}

struct Floats<'a, T: ArrowPrimitiveType>(&'a PrimitiveArray<T>);

impl<T: ArrowPrimitiveType> Encoder for Floats<'_, T>
where
    T::Native: Into<f64>,
{
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let value = self.0.value(row);
        let text = match value.into() {
            wide if wide.is_nan() => "\"NaN\"".to_string(),
            f64::INFINITY => "\"Infinity\"".to_string(),
            f64::NEG_INFINITY => "\"-Infinity\"".to_string(),
            _ => format!("{value:?}"),
        };
        out.extend_from_slice(text.as_bytes());
    }
}

struct Times<'a> {
    formatter: ArrayFormatter<'a>,
    lost: Arc<AtomicBool>,
}

impl Encoder for Times<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        match self.formatter.value(row).try_to_string() {
            Ok(text) => out.extend_from_slice(format!("\"{text}\"").as_bytes()),
            Err(_) => self.lost.store(true, Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escaped_backslash_hides_no_nul() {
        for (json, expected) in [
            (r#"{"a":"\u0000"}"#, true),
            (r#"{"a":"\\u0000"}"#, false),
            (r#"{"a":"\\\u0000"}"#, true),
            (r#"{"a":"u0000"}"#, false),
        ] {
            assert_eq!(holds_nul(json.as_bytes()), expected, "{json}");
        }
    }
}
