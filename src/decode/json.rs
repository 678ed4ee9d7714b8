//! JSON objects into rows.
//!
//! A field belongs to the column of its own name, else to the column whose name [`name_from`] makes of it
//! (`Author(s)` fills `author_s`). A field written twice is a reject: which one counts is not ours to guess.
//! When a field of the exact name and another one claim the same column, the exact one has it and the other
//! is rescued; two inexact ones are a reject. Fields without a column go, as they are written, into one JSON
//! object in `_rescued`. A declared column without a field is null.
//!
//! Built on serde_json's raw values and not on arrow-json, which reads more than it should for a table that
//! must hold what was sent: it takes `{"a":1,,"b":2}`, cuts `1.5` to 1 in an integer column, drops decimal
//! places beyond the scale, lets the last of two equal fields win, and one bad record spoils its buffer.

use super::column::Column;
use super::object::{self, Field, shortened};
use super::value::{self, Value};
use super::{Decoded, Decoder, RESCUED, Reject};
use crate::engine::types::type_name;
use crate::error::{Context, Error, Kind, Result};
use crate::ident::name_from;
use arrow::array::StringBuilder;
use arrow::datatypes::{DataType, Field as ArrowField, Fields, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Field names remembered with the column they belong to. Beyond it they are worked out each time, so a
/// topic with endless field names costs time, not memory.
const REMEMBERED_NAMES: usize = 4096;

/// Decodes payloads that are one JSON object each.
pub struct JsonDecoder {
    schema: SchemaRef,
    type_names: Vec<String>,
    by_name: HashMap<String, usize>,
    bindings: HashMap<String, Option<Binding>>,
}

/// The fields of one record, each in the place where it counts.
struct Placed<'p> {
    /// By column; true when the field has exactly the column's name.
    slots: Vec<Option<(Field<'p>, bool)>>,
    /// Those of no column, in the order they are written.
    rescued: Vec<Field<'p>>,
}

/// The column a field belongs to.
#[derive(Debug, Clone, Copy)]
struct Binding {
    column: usize,
    exact: bool,
}

impl JsonDecoder {
    /// For the declared columns; fails when one has a type JSON cannot fill or the reserved name.
    pub fn new(columns: &Fields) -> Result<JsonDecoder> {
        let mut type_names = Vec::with_capacity(columns.len());
        let mut by_name = HashMap::with_capacity(columns.len());
        for (at, column) in columns.iter().enumerate() {
            let (name, data_type) = (column.name(), column.data_type());
            let type_name = type_name(data_type);
            if Column::new(data_type).is_none() {
                let message = format!("column `{name}` has type {type_name}, which cannot be read from JSON");
                return Err(Error::config(message).hint("declare it as text and convert it in a Silver model"));
            }
            type_names.push(type_name);
            if name == RESCUED || by_name.insert(name.clone(), at).is_some() {
                return Err(Error::config(format!("column name `{name}` is taken"))
                    .hint("give every column a name of its own; names of Bronze's own columns begin with `_`"));
            }
        }
        let rescued = Arc::new(ArrowField::new(RESCUED, DataType::Utf8, true));
        let fields: Fields = columns.iter().cloned().chain([rescued]).collect();
        Ok(JsonDecoder { schema: Arc::new(Schema::new(fields)), type_names, by_name, bindings: HashMap::new() })
    }

    fn width(&self) -> usize {
        self.type_names.len()
    }

    fn bind(&mut self, name: &str) -> Option<Binding> {
        if let Some(known) = self.bindings.get(name) {
            return *known;
        }
        let exact = self.by_name.get(name).map(|column| Binding { column: *column, exact: true });
        let binding = exact.or_else(|| {
            let column = self.by_name.get(&name_from(name)?)?;
            Some(Binding { column: *column, exact: false })
        });
        if self.bindings.len() < REMEMBERED_NAMES {
            self.bindings.insert(name.to_string(), binding);
        }
        binding
    }

    /// The values of a record in column order and the JSON text of what is left over.
    fn read<'p>(&mut self, payload: &'p [u8]) -> Result<(Vec<Value<'p>>, Option<String>), String> {
        let Placed { slots, rescued } = self.place(object::fields(payload)?)?;
        let mut values = Vec::with_capacity(slots.len());
        for (at, slot) in slots.iter().enumerate() {
            values.push(match slot {
                Some((field, _)) => self.value(at, field.raw)?,
                None => Value::Null,
            });
        }
        Ok((values, rescued_text(&rescued)))
    }

    fn value<'p>(&self, at: usize, raw: &'p str) -> Result<Value<'p>, String> {
        let column = self.schema.field(at);
        value::parse(raw, column.data_type())
            .map_err(|fault| format!("column `{}`: {}", column.name(), fault.describe(raw, &self.type_names[at])))
    }

    /// Gives each field its column.
    fn place<'p>(&mut self, fields: Vec<Field<'p>>) -> Result<Placed<'p>, String> {
        let mut slots: Vec<Option<(Field<'p>, bool)>> = Vec::new();
        slots.resize_with(self.width(), || None);
        let mut rescued = Vec::new();
        for field in fields {
            let Some(Binding { column, exact }) = self.bind(&field.name) else {
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
        let declared = self.schema.fields().iter().take(self.width());
        let columns: Option<Vec<Column>> = declared.map(|field| Column::new(field.data_type())).collect();
        let mut columns =
            columns.ok_or_else(|| Error::internal("a column type passed the check but has no builder"))?;
        let mut rescued = StringBuilder::new();
        let mut rejects = Vec::new();
        for (index, payload) in payloads.iter().enumerate() {
            match self.read(payload) {
                Ok((values, left_over)) => {
                    columns.iter_mut().zip(values).for_each(|(column, value)| column.append(value));
                    rescued.append_option(left_over);
                }
                Err(reason) => rejects.push(Reject { index, reason }),
            }
        }
        let mut arrays: Vec<_> = columns.iter_mut().map(Column::finish).collect();
        arrays.push(Arc::new(rescued.finish()));
        let batch = RecordBatch::try_new(self.schema.clone(), arrays)
            .context(Kind::Internal, || "assemble the decoded columns")?;
        Ok(Decoded { batch, rejects })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::AsArray;
    use arrow::datatypes::{Decimal128Type, Int32Type};
    use proptest::prelude::*;

    fn decoder(columns: &[(&str, DataType)]) -> JsonDecoder {
        let fields: Fields =
            columns.iter().map(|(name, data_type)| ArrowField::new(*name, data_type.clone(), true)).collect();
        JsonDecoder::new(&fields).unwrap()
    }

    fn texts(batch: &RecordBatch, column: &str) -> Vec<Option<String>> {
        let array = batch.column_by_name(column).unwrap().as_string::<i32>();
        array.iter().map(|text| text.map(str::to_string)).collect()
    }

    #[test]
    fn good_rows_stand_in_order_around_the_bad_ones() {
        let mut decoder = decoder(&[("qty", DataType::Int32), ("price", DataType::Decimal128(10, 2))]);
        let payloads: Vec<&[u8]> = vec![
            br#"{"qty":1,"price":"1.10"}"#,
            b"{\"qty\":2",
            br#"{"qty":"x"}"#,
            br#"{"price":2.5,"qty":"3"}"#,
            b"{}{}",
            br#"{"qty":99999999999}"#,
            br#"{"qty":null}"#,
        ];
        let decoded = decoder.decode(&payloads).unwrap();
        let quantities: Vec<_> = decoded.batch.column(0).as_primitive::<Int32Type>().iter().collect();
        let prices: Vec<_> = decoded.batch.column(1).as_primitive::<Decimal128Type>().iter().collect();
        assert_eq!(quantities, [Some(1), Some(3), None]);
        assert_eq!(prices, [Some(110), Some(250), None]);
        let rejects: Vec<_> = decoded.rejects.iter().map(|reject| (reject.index, reject.reason.as_str())).collect();
        assert_eq!(
            rejects,
            [
                (1, "the JSON object ends too early, at byte 8"),
                (2, "column `qty`: expected integer, found \"x\""),
                (4, "text after the JSON object at byte 2"),
                (5, "column `qty`: 99999999999 is out of range for integer"),
            ]
        );
    }

    #[test]
    fn undeclared_fields_are_kept_as_written() {
        let mut decoder = decoder(&[("post_code", DataType::Utf8)]);
        let payloads: Vec<&[u8]> = vec![
            br#"{"post_code":2600,"rate": 1.10,"more":{"a": [1]}}"#,
            br#"{"post_code":"02600"}"#,
            "{\"ключ \\\"\":null}".as_bytes(),
        ];
        let decoded = decoder.decode(&payloads).unwrap();
        assert_eq!(texts(&decoded.batch, "post_code"), [Some("2600".into()), Some("02600".into()), None]);
        let rescued = [Some(r#"{"rate":1.10,"more":{"a": [1]}}"#.into()), None, Some(r#"{"ключ \"":null}"#.into())];
        assert_eq!(texts(&decoded.batch, RESCUED), rescued);
    }

    #[test]
    fn fields_find_their_columns() {
        let mut decoder = decoder(&[("author_s", DataType::Utf8), ("id", DataType::Utf8)]);
        let good = [
            (r#"{"Author(s)":"a"}"#, [Some("a"), None, None]),
            (r#"{"ID":1,"id":2}"#, [None, Some("2"), Some(r#"{"ID":1}"#)]),
            (r#"{"id":2,"ID":1}"#, [None, Some("2"), Some(r#"{"ID":1}"#)]),
        ];
        for (payload, expected) in good {
            let decoded = decoder.decode(&[payload.as_bytes()]).unwrap();
            let read = ["author_s", "id", RESCUED].map(|name| texts(&decoded.batch, name)[0].clone());
            assert_eq!(read, expected.map(|text| text.map(str::to_string)), "{payload}");
        }
        let bad = [
            (r#"{"ID":2,"Id":1}"#, "fields `ID` and `Id` both belong to column `id`"),
            (r#"{"id":2,"id":2}"#, "field `id` occurs twice"),
            (r#"{"x":2,"y":1,"x":2}"#, "field `x` occurs twice"),
        ];
        for (payload, reason) in bad {
            let decoded = decoder.decode(&[payload.as_bytes()]).unwrap();
            assert_eq!(decoded.rejects[0].reason, reason, "{payload}");
        }
    }

    #[test]
    fn columns_json_cannot_fill_are_refused() {
        let refuse = |name: &str, data_type| {
            let fields: Fields = vec![ArrowField::new(name, data_type, true)].into();
            JsonDecoder::new(&fields).err().unwrap()
        };
        assert_eq!(refuse("a", DataType::Binary).kind(), Kind::Config);
        assert_eq!(refuse(RESCUED, DataType::Utf8).kind(), Kind::Config);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_row_or_a_reject(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8)) {
            let mut decoder = decoder(&[("a", DataType::Int32), ("b", DataType::Utf8)]);
            let slices: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
            let decoded = decoder.decode(&slices).unwrap();
            prop_assert_eq!(decoded.batch.num_rows() + decoded.rejects.len(), payloads.len());
        }

        #[test]
        fn any_text_survives(text in any::<String>(), other in any::<String>()) {
            let mut decoder = decoder(&[("a", DataType::Utf8)]);
            let payload = serde_json::json!({"a": text, "other name": other}).to_string();
            let decoded = decoder.decode(&[payload.as_bytes()]).unwrap();
            prop_assert_eq!(texts(&decoded.batch, "a"), vec![Some(text)]);
            let rescued: serde_json::Value = serde_json::from_str(texts(&decoded.batch, RESCUED)[0].as_deref().unwrap()).unwrap();
            prop_assert_eq!(rescued, serde_json::json!({"other name": other}));
        }
    }
}
