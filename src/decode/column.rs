//! Collects the values of one column into an Arrow array.

use super::value::Value;
use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder, Float64Builder, Int8Builder,
    Int16Builder, Int32Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, TimeUnit};
use std::sync::Arc;

pub(super) enum Column {
    Boolean(BooleanBuilder),
    Int8(Int8Builder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Text(StringBuilder),
}

impl Column {
    /// `None` for a type JSON cannot fill; [`super::value::parse`] reads all others.
    pub fn new(data_type: &DataType) -> Option<Column> {
        Some(match data_type {
            DataType::Boolean => Column::Boolean(BooleanBuilder::new()),
            DataType::Int8 => Column::Int8(Int8Builder::new()),
            DataType::Int16 => Column::Int16(Int16Builder::new()),
            DataType::Int32 => Column::Int32(Int32Builder::new()),
            DataType::Int64 => Column::Int64(Int64Builder::new()),
            DataType::Float32 => Column::Float32(Float32Builder::new()),
            DataType::Float64 => Column::Float64(Float64Builder::new()),
            DataType::Decimal128(_, 0..) => Column::Decimal(Decimal128Builder::new().with_data_type(data_type.clone())),
            DataType::Date32 => Column::Date(Date32Builder::new()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Column::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(data_type.clone()))
            }
            DataType::Utf8 => Column::Text(StringBuilder::new()),
            _ => return None,
        })
    }

    /// Appends a value parsed for this column's type.
    pub fn append(&mut self, value: Value<'_>) {
        match (self, value) {
            (Column::Boolean(builder), Value::Boolean(value)) => builder.append_value(value),
            (Column::Int8(builder), Value::Int8(value)) => builder.append_value(value),
            (Column::Int16(builder), Value::Int16(value)) => builder.append_value(value),
            (Column::Int32(builder), Value::Int32(value)) => builder.append_value(value),
            (Column::Int64(builder), Value::Int64(value)) => builder.append_value(value),
            (Column::Float32(builder), Value::Float32(value)) => builder.append_value(value),
            (Column::Float64(builder), Value::Float64(value)) => builder.append_value(value),
            (Column::Decimal(builder), Value::Decimal(value)) => builder.append_value(value),
            (Column::Date(builder), Value::Date(value)) => builder.append_value(value),
            (Column::Timestamp(builder), Value::Timestamp(value)) => builder.append_value(value),
            (Column::Text(builder), Value::Text(value)) => builder.append_value(value),
            (column, _) => column.append_null(),
        }
    }

    fn append_null(&mut self) {
        match self {
            Column::Boolean(builder) => builder.append_null(),
            Column::Int8(builder) => builder.append_null(),
            Column::Int16(builder) => builder.append_null(),
            Column::Int32(builder) => builder.append_null(),
            Column::Int64(builder) => builder.append_null(),
            Column::Float32(builder) => builder.append_null(),
            Column::Float64(builder) => builder.append_null(),
            Column::Decimal(builder) => builder.append_null(),
            Column::Date(builder) => builder.append_null(),
            Column::Timestamp(builder) => builder.append_null(),
            Column::Text(builder) => builder.append_null(),
        }
    }

    /// The collected array; the column is empty afterwards.
    pub fn finish(&mut self) -> ArrayRef {
        match self {
            Column::Boolean(builder) => Arc::new(builder.finish()),
            Column::Int8(builder) => Arc::new(builder.finish()),
            Column::Int16(builder) => Arc::new(builder.finish()),
            Column::Int32(builder) => Arc::new(builder.finish()),
            Column::Int64(builder) => Arc::new(builder.finish()),
            Column::Float32(builder) => Arc::new(builder.finish()),
            Column::Float64(builder) => Arc::new(builder.finish()),
            Column::Decimal(builder) => Arc::new(builder.finish()),
            Column::Date(builder) => Arc::new(builder.finish()),
            Column::Timestamp(builder) => Arc::new(builder.finish()),
            Column::Text(builder) => Arc::new(builder.finish()),
        }
    }
}
