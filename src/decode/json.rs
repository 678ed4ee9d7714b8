//! JSON objects into rows.
//!
//! A field belongs to the column of its own name, else to the column whose name [`name_from`] makes of it
//! (`Author(s)` fills `author_s`). A field written twice is a reject: which one counts is not ours to guess.
//! When a field of the exact name and another one claim the same column, the exact one has it and the other
//! is rescued; two inexact ones are a reject. Fields without a column go, as they are written, into one JSON
//! object in `_rescued`. A declared column without a field is null.
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
use super::names::{Binding, Names};
use super::object::{self, Field, shortened};
use super::rows::Rows;
use super::value::{self, Value};
use super::{Decoded, Decoder, RESCUED, Reject};
use crate::engine::types::type_name;
use crate::error::{Context, Error, Kind, Result};
use arrow::datatypes::{DataType, Field as ArrowField, Fields, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Decodes payloads that are one JSON object each.
pub struct JsonDecoder {
    schema: SchemaRef,
    type_names: Vec<String>,
    names: Names,
    rows: Rows,
}

/// The fields of one record, each in the place where it counts.
struct Placed<'p> {
    /// By column; true when the field has exactly the column's name.
    slots: Vec<Option<(Field<'p>, bool)>>,
    /// Those of no column, in the order they are written.
    rescued: Vec<Field<'p>>,
}

impl JsonDecoder {
    /// For the declared columns; fails when one has a type JSON cannot fill or the reserved name.
    pub fn new(columns: &Fields) -> Result<JsonDecoder> {
        let mut type_names = Vec::with_capacity(columns.len());
        let mut cells = Vec::with_capacity(columns.len() + 1);
        for column in columns {
            let (name, data_type) = (column.name(), column.data_type());
            let type_name = type_name(data_type);
            let Some(column) = Column::new(data_type) else {
                let message = format!("column `{name}` has type {type_name}, which cannot be read from JSON");
                return Err(Error::config(message).hint("declare it as text and convert it in a Silver model"));
            };
            cells.push(column);
            type_names.push(type_name);
        }
        let names = Names::new(columns.iter().map(|column| column.name().as_str()));
        let taken = columns.iter().enumerate().find(|(at, column)| {
            column.name() == RESCUED || columns[..*at].iter().any(|other| other.name() == column.name())
        });
        if let Some((_, column)) = taken {
            return Err(Error::config(format!("column name `{}` is taken", column.name()))
                .hint("give every column a name of its own; names of Bronze's own columns begin with `_`"));
        }
        let rescued = Arc::new(ArrowField::new(RESCUED, DataType::Utf8, true));
        cells.extend(Column::new(rescued.data_type()));
        let fields: Fields = columns.iter().cloned().chain([rescued]).collect();
        Ok(JsonDecoder { schema: Arc::new(Schema::new(fields)), type_names, names, rows: Rows::new(cells) })
    }

    /// Reads a record by the rules, or says why it is none.
    fn explain(&mut self, payload: &[u8]) -> Result<(), String> {
        let Placed { slots, rescued } = self.place(object::fields(payload)?)?;
        let mut values = Vec::with_capacity(slots.len());
        for (at, slot) in slots.iter().enumerate() {
            values.push(match slot {
                Some((field, _)) => self.value(at, field.raw)?,
                None => Value::Null,
            });
        }
        let left_over = rescued_text(&rescued).map_or(Value::Null, |text| Value::Text(text.into()));
        self.rows.append(values.into_iter().chain([left_over]));
        Ok(())
    }

    fn value<'p>(&self, at: usize, raw: &'p str) -> Result<Value<'p>, String> {
        let column = self.schema.field(at);
        value::parse(raw, column.data_type())
            .map_err(|fault| format!("column `{}`: {}", column.name(), fault.describe(raw, &self.type_names[at])))
    }

    /// Gives each field its column.
    fn place<'p>(&self, fields: Vec<Field<'p>>) -> Result<Placed<'p>, String> {
        let mut slots: Vec<Option<(Field<'p>, bool)>> = Vec::new();
        slots.resize_with(self.type_names.len(), || None);
        let mut rescued = Vec::new();
        for field in fields {
            let Some(Binding { column, exact }) = self.names.bind(&field.name) else {
                rescued.push(field);
                continue;
            };
            let slot = &mut slots[column];
            match slot {
                None => *slot = Some((field, exact)),
                Some((first, _)) if first.name == field.name => return Err(twice(&field.name)),
                Some((_, true)) => rescued.push(field),
                Some((_, false)) if exact => rescued.extend(slot.replace((field, true)).map(|(field, _)| field)),
                Some((first, _)) => {
                    let names = format!("`{}` and `{}`", shortened(&first.name), shortened(&field.name));
                    return Err(format!("fields {names} both belong to column `{}`", self.schema.field(column).name()));
                }
            }
        }
        refuse_repeats(&rescued)?;
        Ok(Placed { slots, rescued })
    }
}

fn twice(name: &str) -> String {
    format!("field `{}` occurs twice", shortened(name))
}

fn refuse_repeats(fields: &[Field<'_>]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    match fields.iter().find(|field| !seen.insert(field.name.as_ref())) {
        Some(field) => Err(twice(&field.name)),
        None => Ok(()),
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
        self.schema.clone()
    }

    fn decode(&mut self, payloads: &[&[u8]]) -> Result<Decoded> {
        let bytes: usize = payloads.iter().map(|payload| payload.len()).sum();
        if i32::try_from(bytes).is_err() {
            return Err(Error::internal(format!("{bytes} bytes of payloads were to be decoded at once")));
        }
        let mut rejects = Vec::new();
        for (index, payload) in payloads.iter().enumerate() {
            if self.rows.read(payload, &mut self.names).is_some() {
                continue;
            }
            self.rows.take_back();
            if let Err(reason) = self.explain(payload) {
                rejects.push(Reject { index, reason });
            }
        }
        let batch = self.rows.finish().and_then(|arrays| RecordBatch::try_new(self.schema.clone(), arrays));
        Ok(Decoded { batch: batch.context(Kind::Internal, || "assemble the decoded columns")?, rejects })
    }
}

#[cfg(test)]
mod tests;
