//! JSON objects into rows.
//!
//! A field belongs to the column of its own name, else to the column whose name [`name_from`] makes of it
//! (`Author(s)` fills `author_s`). A field written twice is a reject: which one counts is not ours to guess.
//! When a field of the exact name and another one claim the same column, the exact one has it and the other
//! is rescued; two inexact ones are a reject. Fields without a column go, as they are written, into one JSON
//! object in `_rescued`. A declared column without a field is null. Objects and arrays fill columns of structs and lists
//! by the same rules (`fill`); a field of an inner object that no column takes is rescued by its path.
//!
//! Each payload is first read straight into the columns (`rows`): the field expected next is compared
//! byte by byte, its value parsed where it stands. That path knows good records and gives up at anything
//! unusual: a bad value, an escape in a name, two claims on a column. Then the row is taken back and the record
//! is read again by the rules above, field by field, on serde_json's raw values; this path also says why. Both
//! read values by `value::parse`, and a property test holds them to the same rows.
//!
//! Not built on arrow-json, which reads more than it should for a table that must hold what was sent: it takes
//! `{"a":1,,"b":2}`, cuts `1.5` to 1 in an integer column, drops decimal places beyond the scale, lets the last
//! of two equal fields win, and one bad record spoils its buffer.

use super::column::Column;
use super::fill::{self, Path};
use super::names::Names;
use super::object::{self, Field};
use super::place::{Placed, place, refuse_repeats};
use super::rows::Rows;
use super::target::Target;
use super::value::Value;
use super::{Decoded, Decoder, Reject};
use crate::error::{Context, Kind, Result};
use arrow::datatypes::{Fields, SchemaRef};
use arrow::record_batch::RecordBatch;

/// Decodes payloads that are one JSON object each.
pub struct JsonDecoder {
    target: Target,
    names: Names,
    rows: Rows,
}

impl JsonDecoder {
    /// For the declared columns; fails when one has a type JSON cannot fill or the reserved name.
    pub fn new(columns: &Fields) -> Result<JsonDecoder> {
        let target = Target::new(columns, "JSON", |data_type| Column::new(data_type).is_some())?;
        let names = Names::new(columns.iter().map(|column| column.name().as_str()));
        let rows = Rows::new(target.columns());
        Ok(JsonDecoder { target, names, rows })
    }

    /// Reads a record by the rules, or says why it is none.
    fn explain(&mut self, payload: &[u8]) -> Result<(), String> {
        let Placed { slots, mut rescued } = place(object::fields(payload)?, &self.names.columns, &"")?;
        let columns = self.rows.columns();
        let mut nested = Vec::new();
        for (at, slot) in slots.into_iter().enumerate() {
            match slot {
                Some(field) => {
                    fill::append(&mut columns[at], field.raw, &Path::Column(self.names.columns.name(at)), &mut nested)?
                }
                None => columns[at].append_null(),
            }
        }
        if !nested.is_empty() {
            rescued.append(&mut nested);
            refuse_repeats(&rescued, &"")?;
        }
        if let Some(column) = columns.last_mut() {
            column.append(rescued_text(&rescued).map_or(Value::Null, |text| Value::Text(text.into())));
        }
        self.rows.end();
        Ok(())
    }
}

fn rescued_text(fields: &[Field<'_>]) -> Option<String> {
    if fields.is_empty() {
        return None;
    }
    let members: Vec<String> =
        fields.iter().map(|field| format!("{}:{}", serde_json::Value::from(field.name.as_ref()), field.raw)).collect();
    Some(format!("{{{}}}", members.join(",")))
}

impl Decoder for JsonDecoder {
    fn schema(&self) -> SchemaRef {
        self.target.schema.clone()
    }

    fn decode(&mut self, payloads: &[&[u8]]) -> Result<Decoded> {
        super::check_size(payloads)?;
        let mut rejects = Vec::new();
        for (index, payload) in payloads.iter().enumerate() {
            if self.rows.read(payload, &mut self.names).is_some() {
                continue;
            }
            self.rows.take_back();
            if let Err(reason) = self.explain(payload) {
                self.rows.take_back();
                rejects.push(Reject { index, reason });
            }
        }
        let batch = self.rows.finish().and_then(|arrays| RecordBatch::try_new(self.target.schema.clone(), arrays));
        Ok(Decoded { batch: batch.context(Kind::Internal, || "assemble the decoded columns")?, rejects })
    }
}

#[cfg(test)]
mod tests;
