//! Arrow schemas as a Delta table can hold them, and batches brought into that shape.
//!
//! Every column is nullable in the lake: what must not be null is stated by a test, which speaks before
//! the commit and names the rows, where a Delta invariant would only refuse the file.

use crate::error::{Context, Error, Kind, Result};
use arrow::array::temporal_conversions::{date32_to_datetime, timestamp_us_to_datetime};
use arrow::array::{ArrayRef, AsArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options, max, min};
use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DataType, Date32Type, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit,
    TimestampMicrosecondType,
};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use std::collections::HashSet;
use std::sync::Arc;

/// The type a value of this type has once it is stored. Whatever SQL and decoders produce has one:
/// views, dictionaries and large variants lose their encoding, unsigned integers become signed,
/// timestamps count microseconds, the null type is text.
pub fn storable_type(data_type: &DataType) -> DataType {
    use DataType::*;
    match data_type {
        Utf8 | LargeUtf8 | Utf8View | Null => Utf8,
        Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => Binary,
        UInt8 => Int16,
        UInt16 => Int32,
        UInt32 | UInt64 => Int64,
        Float16 => Float32,
        Date64 => Date32,
        Timestamp(_, None) => Timestamp(TimeUnit::Microsecond, None),
        Timestamp(_, Some(_)) => Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Decimal32(digits, scale) | Decimal64(digits, scale) | Decimal128(digits, scale) | Decimal256(digits, scale) => {
            // A negative scale stands for zeros before the point.
            let zeros = scale.min(&0).unsigned_abs();
            Decimal128(digits.saturating_add(zeros).min(DECIMAL128_MAX_PRECISION), *scale.max(&0))
        }
        Dictionary(_, values) => storable_type(values),
        RunEndEncoded(_, values) => storable_type(values.data_type()),
        List(field) | LargeList(field) | ListView(field) | LargeListView(field) | FixedSizeList(field, _) => {
            List(storable_field(field, "element"))
        }
        Struct(fields) => Struct(fields.iter().map(|field| storable_field(field, field.name())).collect()),
        other => other.clone(),
    }
}

fn storable_field(field: &FieldRef, name: &str) -> FieldRef {
    Arc::new(Field::new(name, storable_type(field.data_type()), true))
}

/// The name a contract would use; the inverse of [`parse_type`] for every type a table can hold.
pub fn type_name(data_type: &DataType) -> String {
    let name = match storable_type(data_type) {
        DataType::Utf8 => "text",
        DataType::Boolean => "boolean",
        DataType::Int8 => "tinyint",
        DataType::Int16 => "smallint",
        DataType::Int32 => "integer",
        DataType::Int64 => "bigint",
        DataType::Float32 => "real",
        DataType::Float64 => "double precision",
        DataType::Date32 => "date",
        DataType::Timestamp(_, None) => "timestamp",
        DataType::Timestamp(_, Some(_)) => "timestamptz",
        DataType::Binary => "binary",
        DataType::Decimal128(digits, scale) => return format!("decimal({digits},{scale})"),
        DataType::List(element) => return format!("{}[]", type_name(element.data_type())),
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|field| format!("{}: {}", field.name(), type_name(field.data_type())));
            return format!("struct<{}>", fields.collect::<Vec<_>>().join(", "));
        }
        other => return other.to_string().to_lowercase(),
    };
    name.to_string()
}

/// The schema with every type made storable, every column nullable and all metadata dropped.
pub fn storable(schema: &Schema) -> SchemaRef {
    let fields: Fields = schema.fields().iter().map(|field| storable_field(field, field.name())).collect();
    Arc::new(Schema::new(fields))
}

/// Refuses what no table can hold: no column at all, a nameless one, two that differ only in case.
pub(super) fn check_columns(schema: &Schema, table: &str) -> Result<()> {
    if schema.fields().is_empty() {
        return Err(Error::config(format!("`{table}` would have no column")));
    }
    let mut seen = HashSet::new();
    for field in schema.fields() {
        if field.name().is_empty() {
            return Err(Error::config(format!("`{table}` would have a column without a name")));
        }
        if !seen.insert(field.name().to_lowercase()) {
            return Err(Error::config(format!("`{table}` would have two columns `{}`", field.name()))
                .hint("names of columns must differ in more than case; give one an alias"));
        }
    }
    Ok(())
}

/// The columns of `standing` and of `added`; of one type where both have it, else an error of kind Config.
/// With nothing new they stay in `standing`'s order, otherwise `added` says where the new ones belong.
pub fn widened(standing: &SchemaRef, added: &Schema, table: &str) -> Result<SchemaRef> {
    let added = storable(added);
    for field in added.fields() {
        let Some((_, existing)) = standing.column_with_name(field.name()) else { continue };
        let (old, new) = (storable_type(existing.data_type()), field.data_type());
        if old != *new {
            let (old, new) = (type_name(&old), type_name(new));
            return Err(Error::config(format!("column `{}` of `{table}` is {old}, not {new}", field.name()))
                .hint("rows can only be added in the table's own types; replace the table to change one"));
        }
    }
    if added.fields().iter().all(|field| standing.column_with_name(field.name()).is_some()) {
        return Ok(standing.clone());
    }
    let left = standing.fields().iter().filter(|field| added.column_with_name(field.name()).is_none());
    Ok(Arc::new(Schema::new(added.fields().iter().chain(left).cloned().collect::<Fields>())))
}

/// Whether each value of the one type is exactly one of the other, so that a column may change to it with the rows it
/// has.
pub fn is_wider(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    match (from, to) {
        (Int8, Int16 | Int32 | Int64) | (Int16, Int32 | Int64) | (Int32, Int64) | (Float32, Float64) => true,
        (Date32, Timestamp(TimeUnit::Microsecond, None)) => true,
        (Decimal128(digits, scale), Decimal128(more, finer)) if from != to => {
            scale <= finer && i16::from(*digits) - i16::from(*scale) <= i16::from(*more) - i16::from(*finer)
        }
        _ => false,
    }
}

/// The column as `field` has it; a value that does not fit its type is an error of kind Input, never a null.
pub fn convert(column: &ArrayRef, field: &Field) -> Result<ArrayRef> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(column, field.data_type(), &options).context(Kind::Input, || {
        format!("a value of column `{}` does not fit {}", field.name(), type_name(field.data_type()))
    })
}

/// A batch of these columns; the number of rows is given because there may be no column to tell it.
pub fn assemble(schema: SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let rows = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &rows)
        .context(Kind::Internal, || "arrange the columns of a batch")
}

/// The batch with the columns of `schema`, found by name and converted; those it lacks are null.
pub fn align(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = schema.fields().iter().map(|field| match batch.column_by_name(field.name()) {
        Some(column) => convert(column, field),
        None => Ok(new_null_array(field.data_type(), batch.num_rows())),
    });
    assemble(schema.clone(), columns.collect::<Result<_>>()?, batch.num_rows())
}

/// Refuses days and times beyond the calendar that statistics are written in, about 262,000 years either way.
pub fn check_calendar(batch: &RecordBatch) -> Result<()> {
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let is_known = match field.data_type() {
            DataType::Date32 => {
                let days = column.as_primitive::<Date32Type>();
                [min(days), max(days)].into_iter().flatten().all(|day| date32_to_datetime(day).is_some())
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                let times = column.as_primitive::<TimestampMicrosecondType>();
                [min(times), max(times)].into_iter().flatten().all(|time| timestamp_us_to_datetime(time).is_some())
            }
            _ => true,
        };
        if !is_known {
            return Err(Error::input(format!("a value of column `{}` is beyond the calendar", field.name()))
                .hint("days and times reach from the year -262143 to 262142; leave such rows out, or make them NULL"));
        }
    }
    Ok(())
}

/// The batch with the columns of `schema`, taken in order whatever their names, and converted.
pub fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.schema_ref().fields() == schema.fields() {
        return Ok(batch.clone());
    }
    if batch.num_columns() != schema.fields().len() {
        let (found, expected) = (batch.num_columns(), schema.fields().len());
        return Err(Error::internal(format!("a batch of {found} columns where {expected} were announced")));
    }
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| convert(column, field));
    assemble(schema.clone(), columns.collect::<Result<_>>()?, batch.num_rows())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, DictionaryArray, StringViewArray, TimestampNanosecondArray, UInt64Array};
    use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};

    fn batch(name: &str, column: ArrayRef) -> RecordBatch {
        RecordBatch::try_from_iter([(name, column)]).unwrap()
    }

    #[test]
    fn types_become_storable() {
        use DataType::*;
        let us = TimeUnit::Microsecond;
        let table = [
            (Utf8View, Utf8),
            (LargeBinary, Binary),
            (Null, Utf8),
            (UInt8, Int16),
            (UInt32, Int64),
            (UInt64, Int64),
            (Timestamp(TimeUnit::Nanosecond, None), Timestamp(us, None)),
            (Timestamp(TimeUnit::Second, Some("+02:00".into())), Timestamp(us, Some("UTC".into()))),
            (Dictionary(Box::new(Int32), Box::new(Utf8View)), Utf8),
            (Decimal64(9, 2), Decimal128(9, 2)),
            (Decimal128(38, 9), Decimal128(38, 9)),
            (Decimal128(1, -3), Decimal128(4, 0)),
            (Decimal256(50, 20), Decimal128(38, 20)),
            (
                LargeList(Arc::new(Field::new("item", Utf8View, false))),
                List(Arc::new(Field::new("element", Utf8, true))),
            ),
        ];
        for (from, to) in table {
            assert_eq!(storable_type(&from), to, "{from}");
        }
    }

    #[test]
    fn values_survive_the_way_into_a_table() {
        let cases: Vec<ArrayRef> = vec![
            Arc::new(StringViewArray::from(vec![Some("é"), None])),
            Arc::new(vec![Some("é"), None].into_iter().collect::<DictionaryArray<Int32Type>>()),
        ];
        for column in cases {
            let batch = batch("a", column);
            let stored = conform(&batch, &storable(batch.schema_ref())).unwrap();
            let text = stored.column(0).as_string::<i32>();
            assert_eq!(text.iter().collect::<Vec<_>>(), [Some("é"), None]);
        }
        let instants = batch("t", Arc::new(TimestampNanosecondArray::from(vec![1_500, -1_000])));
        let stored = conform(&instants, &storable(instants.schema_ref())).unwrap();
        assert_eq!(stored.column(0).as_primitive::<TimestampMicrosecondType>().values(), &[1, -1]);
        let counts = batch("n", Arc::new(UInt64Array::from(vec![7])));
        let stored = conform(&counts, &storable(counts.schema_ref())).unwrap();
        assert_eq!(stored.column(0).as_primitive::<Int64Type>().values(), &[7]);
    }

    #[test]
    fn a_value_that_does_not_fit_is_no_null() {
        let counts = batch("n", Arc::new(UInt64Array::from(vec![u64::MAX])));
        let error = conform(&counts, &storable(counts.schema_ref())).unwrap_err();
        assert_eq!(error.kind(), Kind::Input);
        assert!(error.to_string().contains("`n`"), "{error}");
    }

    #[test]
    fn columns_are_added_where_they_belong_and_never_change() {
        let schema = |columns: &[(&str, DataType)]| {
            let fields = columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true));
            Arc::new(Schema::new(fields.collect::<Vec<_>>()))
        };
        let (text, view, whole) = (DataType::Utf8, DataType::Utf8View, DataType::Int64);
        let standing = schema(&[("a", text.clone()), ("b", whole.clone())]);
        let table = [
            (vec![("b", whole.clone()), ("a", view)], Some(vec!["a", "b"])),
            (vec![("b", whole.clone())], Some(vec!["a", "b"])),
            (vec![("c", text.clone()), ("b", whole.clone())], Some(vec!["c", "b", "a"])),
            (vec![("a", whole)], None),
            (vec![("c", text.clone()), ("b", text)], None),
        ];
        for (added, expected) in table {
            let names = widened(&standing, &schema(&added), "bronze.x")
                .map(|schema| schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>());
            assert_eq!(
                names.as_ref().ok(),
                expected.map(|names| names.into_iter().map(String::from).collect()).as_ref()
            );
        }
    }

    #[test]
    fn a_wider_type_holds_every_value() {
        use DataType::*;
        let moment = |zone: Option<&str>| Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
        let wider = [
            (Int8, Int16),
            (Int32, Int64),
            (Float32, Float64),
            (Date32, moment(None)),
            (Decimal128(5, 2), Decimal128(7, 4)),
            (Decimal128(5, 2), Decimal128(6, 2)),
        ];
        for (from, to) in wider {
            assert!(is_wider(&from, &to) && !is_wider(&to, &from) && !is_wider(&from, &from), "{from} {to}");
        }
        let other =
            [(Int64, Float64), (Int32, Utf8), (Date32, moment(Some("UTC"))), (Decimal128(5, 2), Decimal128(6, 4))];
        for (from, to) in other {
            assert!(!is_wider(&from, &to), "{from} {to}");
        }
    }

    #[test]
    fn columns_are_found_by_name() {
        let batch = batch("n", Arc::new(UInt64Array::from(vec![7])));
        let wanted = |column: &str| {
            let fields = vec![Field::new("new", DataType::Utf8, true), Field::new(column, DataType::Int64, true)];
            Arc::new(Schema::new(fields))
        };
        let found = align(&batch, &wanted("n")).unwrap();
        assert_eq!(found.column(1).as_primitive::<Int64Type>().values(), &[7]);
        assert_eq!((found.column(0).null_count(), align(&batch, &wanted("m")).unwrap().column(1).null_count()), (1, 1));
    }

    #[test]
    fn impossible_columns_are_refused() {
        let schema = |names: &[&str]| {
            Schema::new(names.iter().map(|n| Field::new(*n, DataType::Utf8, true)).collect::<Vec<_>>())
        };
        assert!(check_columns(&schema(&["a", "b"]), "silver.x").is_ok());
        for bad in [&[][..], &[""], &["a", "A"]] {
            assert_eq!(check_columns(&schema(bad), "silver.x").unwrap_err().kind(), Kind::Config, "{bad:?}");
        }
    }
}
