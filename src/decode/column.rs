//! Collects the values of one column into an Arrow array, and can take the last ones back. A column of structs or lists
//! holds columns of its own.

use super::names::Columns;
use super::value::Value;
use arrow::array::{
    ArrayRef, BooleanArray, BooleanBufferBuilder, ListArray, NullBufferBuilder, PrimitiveArray, StringArray,
    StructArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, FieldRef, Fields, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use std::sync::Arc;

pub(super) struct Column {
    data_type: DataType,
    cells: Cells,
    valid: NullBufferBuilder,
    rows: usize,
}

/// A cell for each row; what stands in the cell of a null does not count.
enum Cells {
    Boolean(BooleanBufferBuilder),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Decimal(Vec<i128>),
    Date(Vec<i32>),
    Timestamp(Vec<i64>),
    Text(Texts),
    List(Box<Lists>),
    Struct(Box<Structs>),
}

/// The elements of all rows, one behind the other.
struct Lists {
    field: FieldRef,
    element: Column,
    /// 0, then where the elements of each row end.
    ends: Vec<i32>,
}

struct Structs {
    types: Fields,
    names: Columns,
    fields: Vec<Column>,
}

/// What a column is made of.
pub(super) enum Inside<'c> {
    /// Values of this type.
    Nothing(&'c DataType),
    Element(&'c mut Column),
    Fields(&'c Columns, &'c mut [Column]),
}

/// Texts one behind the other.
struct Texts {
    bytes: Vec<u8>,
    /// 0, then where each text ends.
    ends: Vec<i32>,
}

impl Column {
    /// `None` for a type no text can fill; [`super::fill`] reads all others.
    pub fn new(data_type: &DataType) -> Option<Column> {
        let cells = match data_type {
            DataType::Boolean => Cells::Boolean(BooleanBufferBuilder::new(0)),
            DataType::Int8 => Cells::Int8(Vec::new()),
            DataType::Int16 => Cells::Int16(Vec::new()),
            DataType::Int32 => Cells::Int32(Vec::new()),
            DataType::Int64 => Cells::Int64(Vec::new()),
            DataType::Float32 => Cells::Float32(Vec::new()),
            DataType::Float64 => Cells::Float64(Vec::new()),
            DataType::Decimal128(_, 0..) => Cells::Decimal(Vec::new()),
            DataType::Date32 => Cells::Date(Vec::new()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => Cells::Timestamp(Vec::new()),
            DataType::Utf8 => Cells::Text(Texts { bytes: Vec::new(), ends: vec![0] }),
            DataType::List(field) => {
                let (field, element) = (field.clone(), Column::new(field.data_type())?);
                Cells::List(Box::new(Lists { field, element, ends: vec![0] }))
            }
            DataType::Struct(types) => {
                let fields = types.iter().map(|field| Column::new(field.data_type())).collect::<Option<_>>()?;
                let names = Columns::new(types.iter().map(|field| field.name().as_str()));
                Cells::Struct(Box::new(Structs { types: types.clone(), names, fields }))
            }
            _ => return None,
        };
        Some(Column { data_type: data_type.clone(), cells, valid: NullBufferBuilder::new(0), rows: 0 })
    }

    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    pub fn is_nested(&self) -> bool {
        matches!(self.cells, Cells::List(_) | Cells::Struct(_))
    }

    /// What to append to before [`Column::close_row`].
    pub fn inside(&mut self) -> Inside<'_> {
        match &mut self.cells {
            Cells::List(lists) => Inside::Element(&mut lists.element),
            Cells::Struct(structs) => Inside::Fields(&structs.names, &mut structs.fields),
            _ => Inside::Nothing(&self.data_type),
        }
    }

    /// Makes a row of what was appended inside: one value for each field, or any number of elements.
    pub fn close_row(&mut self) {
        self.end_list();
        self.valid.append_non_null();
        self.rows += 1;
    }

    fn end_list(&mut self) {
        if let Cells::List(lists) = &mut self.cells {
            // A payload has more bytes than elements, and these can be counted.
            lists.ends.push(lists.element.len() as i32);
        }
    }

    pub fn len(&self) -> usize {
        self.rows
    }

    /// Appends a value parsed for this column's type.
    pub fn append(&mut self, value: Value<'_>) {
        match (&mut self.cells, value) {
            (Cells::Boolean(cells), Value::Boolean(value)) => cells.append(value),
            (Cells::Int8(cells), Value::Int8(value)) => cells.push(value),
            (Cells::Int16(cells), Value::Int16(value)) => cells.push(value),
            (Cells::Int32(cells), Value::Int32(value)) => cells.push(value),
            (Cells::Int64(cells), Value::Int64(value)) => cells.push(value),
            (Cells::Float32(cells), Value::Float32(value)) => cells.push(value),
            (Cells::Float64(cells), Value::Float64(value)) => cells.push(value),
            (Cells::Decimal(cells), Value::Decimal(value)) => cells.push(value),
            (Cells::Date(cells), Value::Date(value)) => cells.push(value),
            (Cells::Timestamp(cells), Value::Timestamp(value)) => cells.push(value),
            (Cells::Text(texts), Value::Text(value)) => texts.push(&[value.as_bytes()]),
            _ => return self.append_null(),
        }
        self.valid.append_non_null();
        self.rows += 1;
    }

    /// Appends a text in pieces; null in a column of another type.
    pub fn append_text(&mut self, pieces: &[&[u8]]) {
        let Cells::Text(texts) = &mut self.cells else { return self.append_null() };
        texts.push(pieces);
        self.valid.append_non_null();
        self.rows += 1;
    }

    pub fn append_null(&mut self) {
        match &mut self.cells {
            Cells::Boolean(cells) => cells.append(false),
            Cells::Int8(cells) => cells.push(0),
            Cells::Int16(cells) => cells.push(0),
            Cells::Int32(cells) | Cells::Date(cells) => cells.push(0),
            Cells::Int64(cells) | Cells::Timestamp(cells) => cells.push(0),
            Cells::Float32(cells) => cells.push(0.0),
            Cells::Float64(cells) => cells.push(0.0),
            Cells::Decimal(cells) => cells.push(0),
            Cells::Text(texts) => texts.push(&[]),
            Cells::List(_) => self.end_list(),
            Cells::Struct(structs) => structs.fields.iter_mut().for_each(Column::append_null),
        }
        self.valid.append_null();
        self.rows += 1;
    }

    /// Takes back what was appended behind the first `rows` rows, and what was begun of one.
    pub fn truncate(&mut self, rows: usize) {
        if rows > self.rows || (rows == self.rows && !self.is_nested()) {
            return;
        }
        match &mut self.cells {
            Cells::Boolean(cells) => cells.truncate(rows),
            Cells::Int8(cells) => cells.truncate(rows),
            Cells::Int16(cells) => cells.truncate(rows),
            Cells::Int32(cells) | Cells::Date(cells) => cells.truncate(rows),
            Cells::Int64(cells) | Cells::Timestamp(cells) => cells.truncate(rows),
            Cells::Float32(cells) => cells.truncate(rows),
            Cells::Float64(cells) => cells.truncate(rows),
            Cells::Decimal(cells) => cells.truncate(rows),
            Cells::Text(texts) => texts.truncate(rows),
            Cells::List(lists) => {
                lists.ends.truncate(rows + 1);
                lists.element.truncate(lists.ends.last().map_or(0, |end| *end as usize));
            }
            Cells::Struct(structs) => structs.fields.iter_mut().for_each(|field| field.truncate(rows)),
        }
        self.valid.truncate(rows);
        self.rows = rows;
    }

    /// The collected array; the column is empty afterwards, with room for as many rows again.
    pub fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let (rows, valid, data_type) = (std::mem::take(&mut self.rows), self.valid.finish(), &self.data_type);
        Ok(match &mut self.cells {
            Cells::Boolean(cells) => Arc::new(BooleanArray::new(cells.finish(), valid)),
            Cells::Int8(cells) => array::<Int8Type>(cells, valid, data_type)?,
            Cells::Int16(cells) => array::<Int16Type>(cells, valid, data_type)?,
            Cells::Int32(cells) => array::<Int32Type>(cells, valid, data_type)?,
            Cells::Int64(cells) => array::<Int64Type>(cells, valid, data_type)?,
            Cells::Float32(cells) => array::<Float32Type>(cells, valid, data_type)?,
            Cells::Float64(cells) => array::<Float64Type>(cells, valid, data_type)?,
            Cells::Decimal(cells) => array::<Decimal128Type>(cells, valid, data_type)?,
            Cells::Date(cells) => array::<Date32Type>(cells, valid, data_type)?,
            Cells::Timestamp(cells) => array::<TimestampMicrosecondType>(cells, valid, data_type)?,
            Cells::Text(texts) => {
                let bytes = refill(&mut texts.bytes, 0);
                let ends = refill(&mut texts.ends, rows + 1);
                texts.ends.push(0);
                let ends = OffsetBuffer::new(ScalarBuffer::from(ends));
                Arc::new(StringArray::try_new(ends, Buffer::from_vec(bytes), valid)?)
            }
            Cells::List(lists) => {
                let ends = OffsetBuffer::new(ScalarBuffer::from(refill(&mut lists.ends, rows + 1)));
                lists.ends.push(0);
                Arc::new(ListArray::try_new(lists.field.clone(), ends, lists.element.finish()?, valid)?)
            }
            Cells::Struct(structs) => {
                let fields = structs.fields.iter_mut().map(Column::finish).collect::<Result<_, _>>()?;
                Arc::new(StructArray::try_new_with_length(structs.types.clone(), fields, valid, rows)?)
            }
        })
    }
}

impl Texts {
    fn push(&mut self, pieces: &[&[u8]]) {
        pieces.iter().for_each(|piece| self.bytes.extend_from_slice(piece));
        // The decoder takes no more bytes at once than the offsets of an array can count.
        self.ends.push(self.bytes.len() as i32);
    }

    fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows + 1);
        self.bytes.truncate(self.ends.last().map_or(0, |end| *end as usize));
    }
}

/// Takes the values out and leaves room for as many.
fn refill<T>(values: &mut Vec<T>, least: usize) -> Vec<T> {
    let room = values.len().max(least);
    std::mem::replace(values, Vec::with_capacity(room))
}

fn array<T: ArrowPrimitiveType>(
    cells: &mut Vec<T::Native>,
    valid: Option<NullBuffer>,
    data_type: &DataType,
) -> Result<ArrayRef, ArrowError> {
    let values = ScalarBuffer::from(refill(cells, 0));
    Ok(Arc::new(PrimitiveArray::<T>::try_new(values, valid)?.with_data_type(data_type.clone())))
}
