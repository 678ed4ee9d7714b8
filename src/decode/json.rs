//! JSON objects into rows.
//!
//! A field belongs to the column of its own name, else to the column whose name [`name_from`] makes of it
//! (`Author(s)` fills `author_s`). A field written twice is a reject: which one counts is not ours to guess.
//! When a field of the exact name and another one claim the same column, the exact one has it and the other
//! is rescued; two inexact ones are a reject. Fields without a column go, as they are written, into one JSON
//! object in `_rescued`. A declared column without a field is null.
//!
//! Each payload is first read straight into the columns (`Rows::read`): the field expected next is compared
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
use super::value::{self, Value};
use super::{Decoded, Decoder, RESCUED, Reject, scan};
use crate::engine::types::type_name;
use crate::error::{Context, Error, Kind, Result};
use arrow::datatypes::{DataType, Field as ArrowField, Fields, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Fields without a column that the straight path compares with each other.
const MANY_RESCUED: usize = 64;

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
        let mut rows = Rows::default();
        for column in columns {
            let (name, data_type) = (column.name(), column.data_type());
            let type_name = type_name(data_type);
            let Some(cells) = Column::new(data_type) else {
                let message = format!("column `{name}` has type {type_name}, which cannot be read from JSON");
                return Err(Error::config(message).hint("declare it as text and convert it in a Silver model"));
            };
            rows.columns.push(cells);
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
        rows.columns.extend(Column::new(rescued.data_type()));
        let fields: Fields = columns.iter().cloned().chain([rescued]).collect();
        Ok(JsonDecoder { schema: Arc::new(Schema::new(fields)), type_names, names, rows })
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

/// The rows collected so far; the last column is [`RESCUED`].
#[derive(Default)]
struct Rows {
    columns: Vec<Column>,
    count: usize,
    /// Of the row at hand: names of the fields without a column, and their text but for the last bracket.
    rescued: Vec<usize>,
    rescued_text: Vec<u8>,
}

impl Rows {
    /// Appends the record as a row. `None`: it takes a closer look; the columns may hold parts of it, which
    /// [`Rows::take_back`] removes.
    fn read(&mut self, payload: &[u8], names: &mut Names) -> Option<()> {
        let text = std::str::from_utf8(payload).ok()?;
        self.rescued.clear();
        let mut at = scan::space(payload, 0);
        (payload.get(at)? == &b'{').then_some(())?;
        at = scan::space(payload, at + 1);
        if payload.get(at)? != &b'}' {
            at = self.read_fields(text, at, names)?;
        }
        (scan::space(payload, at + 1) == payload.len()).then_some(())?;
        self.close();
        Some(())
    }

    /// Comes back with the place of the closing bracket.
    fn read_fields(&mut self, text: &str, mut at: usize, names: &mut Names) -> Option<usize> {
        let bytes = text.as_bytes();
        let mut name = Names::START;
        loop {
            (name, at) = names.next(name, text, at)?;
            at = scan::space(bytes, at);
            (bytes.get(at)? == &b':').then_some(())?;
            let start = scan::space(bytes, at + 1);
            let end = scan::value(bytes, start)?;
            self.keep(name, names, &text[start..end])?;
            at = scan::space(bytes, end);
            match bytes.get(at)? {
                b',' => at = scan::space(bytes, at + 1),
                b'}' => return Some(at),
                _ => return None,
            }
        }
    }

    fn keep(&mut self, name: usize, names: &Names, raw: &str) -> Option<()> {
        let Some(binding) = names.binding(name) else { return self.rescue(name, names, raw) };
        let column = &mut self.columns[binding.column];
        if column.len() > self.count {
            return None;
        }
        column.append(value::parse(raw, column.data_type()).ok()?);
        Some(())
    }

    fn rescue(&mut self, name: usize, names: &Names, raw: &str) -> Option<()> {
        if self.rescued.len() >= MANY_RESCUED || self.rescued.contains(&name) {
            return None;
        }
        if self.rescued.is_empty() {
            self.rescued_text.clear();
        }
        self.rescued_text.push(if self.rescued.is_empty() { b'{' } else { b',' });
        for piece in [names.quoted(name), ":", raw] {
            self.rescued_text.extend_from_slice(piece.as_bytes());
        }
        self.rescued.push(name);
        Some(())
    }

    /// Ends the row: columns without a field are null.
    fn close(&mut self) {
        if let (false, Some(column)) = (self.rescued.is_empty(), self.columns.last_mut()) {
            column.append_text(&[&self.rescued_text, b"}"]);
        }
        for column in &mut self.columns {
            if column.len() == self.count {
                column.append_null();
            }
        }
        self.count += 1;
    }

    fn take_back(&mut self) {
        self.columns.iter_mut().for_each(|column| column.truncate(self.count));
    }

    fn append<'p>(&mut self, values: impl Iterator<Item = Value<'p>>) {
        self.columns.iter_mut().zip(values).for_each(|(column, value)| column.append(value));
        self.count += 1;
    }
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
        self.rows.count = 0;
        let arrays = self.rows.columns.iter_mut().map(Column::finish).collect::<Result<_, _>>();
        let batch = arrays.and_then(|arrays| RecordBatch::try_new(self.schema.clone(), arrays));
        Ok(Decoded { batch: batch.context(Kind::Internal, || "assemble the decoded columns")?, rejects })
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

    /// Columns of every type, so that each kind of value meets each.
    fn every_type() -> JsonDecoder {
        use arrow::datatypes::TimeUnit::Microsecond;
        decoder(&[
            ("a", DataType::Utf8),
            ("b", DataType::Boolean),
            ("c", DataType::Int8),
            ("d", DataType::Int64),
            ("e", DataType::Float64),
            ("f", DataType::Decimal128(12, 2)),
            ("g", DataType::Date32),
            ("h", DataType::Timestamp(Microsecond, None)),
            ("i_j", DataType::Float32),
        ])
    }

    /// What the explaining path alone makes of the payloads.
    fn explained(decoder: &mut JsonDecoder, payloads: &[&[u8]]) -> Decoded {
        let explain =
            |(index, payload): (usize, &&[u8])| decoder.explain(payload).err().map(|reason| Reject { index, reason });
        let rejects = payloads.iter().enumerate().filter_map(explain).collect();
        let arrays = decoder.rows.columns.iter_mut().map(|column| column.finish().unwrap()).collect();
        Decoded { batch: RecordBatch::try_new(decoder.schema.clone(), arrays).unwrap(), rejects }
    }

    fn value() -> impl Strategy<Value = String> {
        let number = "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,8})?([eE][-+]?[0-9]{1,3})?";
        let moment = "\"[0-9]{4}-[01][0-9]-[0-3][0-9]([T ][0-2][0-9]:[0-5][0-9](:[0-6][0-9](\\.[0-9]{1,7})?)?(Z| UTC|[-+][0-9]{2}(:?[0-9]{2})?)?)?\"";
        let text = "\"([ a-zé,:{}\\[\\]]|\\\\[\"\\\\/bfnrtu]|\\\\u[0-9a-f]{4}){0,12}\"";
        let word = prop::sample::select(vec!["null", "true", "false", "\"yes\"", "{}", "[]", "", "NaN", "\"\""]);
        prop_oneof![number, moment, text, number.prop_map(|n| format!("\"{n}\"")), word.prop_map(String::from)]
    }

    fn nested() -> impl Strategy<Value = String> {
        value().prop_recursive(3, 12, 4, |inner| {
            let list = prop::collection::vec(inner.clone(), 0..4).prop_map(|all| format!("[{}]", all.join(" , ")));
            let object = prop::collection::vec(("\"[a-c]\"", inner), 0..4)
                .prop_map(|all| all.into_iter().map(|(k, v)| format!("{k}:{v}")).collect::<Vec<_>>().join(","));
            prop_oneof![list, object.prop_map(|members| format!("{{{members}}}"))]
        })
    }

    fn payload() -> impl Strategy<Value = Vec<u8>> {
        let name = prop_oneof![8 => "[a-h]", 1 => "[a-hA-H]", 1 => "(i_j|I j|x|y|z)", 1 => "\\\\u006[1-9]"];
        let members = prop::collection::vec((name, nested()), 0..8);
        let object = (members, "[ \n]{0,1}").prop_map(|(members, space)| {
            let members: Vec<String> = members.into_iter().map(|(k, v)| format!("\"{k}\"{space}:{space}{v}")).collect();
            format!("{space}{{{space}{}{space}}}{space}", members.join(",")).into_bytes()
        });
        (object, prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>(), 0..3u8))).prop_map(
            |(mut bytes, change)| {
                if let Some((at, byte, kind)) = change {
                    let at = at.index(bytes.len());
                    match kind {
                        0 => bytes[at] = byte,
                        1 => bytes.insert(at, byte),
                        _ => bytes.truncate(at),
                    }
                }
                bytes
            },
        )
    }

    #[test]
    fn bad_records_leave_no_trace_in_the_columns() {
        let good =
            br#"{"a":"x","b":true,"c":1,"d":2,"e":1.5,"f":"1.10","g":"2020-02-29","h":"2020-02-29T01:02:03.5Z","u":1}"#;
        let mut decoder = every_type();
        let mut payloads: Vec<&[u8]> = vec![good];
        payloads.extend((0..good.len()).map(|end| &good[..end]));
        payloads.push(good);
        let decoded = decoder.decode(&payloads).unwrap();
        assert_eq!((decoded.batch.num_rows(), decoded.rejects.len()), (2, good.len()));
        assert_eq!(decoded.batch.slice(0, 1), decoded.batch.slice(1, 1));
        assert_eq!(decoded.batch, decoder.decode(&[good, good]).unwrap().batch);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn both_paths_agree(payloads in prop::collection::vec(payload(), 1..8)) {
            let slices: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
            let (mut straight, mut slow) = (every_type(), every_type());
            for _ in 0..2 {
                let (one, other) = (straight.decode(&slices).unwrap(), explained(&mut slow, &slices));
                prop_assert_eq!(&one.rejects, &other.rejects);
                prop_assert_eq!(one.batch, other.batch);
            }
        }
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
