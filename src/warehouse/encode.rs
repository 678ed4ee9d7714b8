//! Arrow values as PostgreSQL's binary COPY rows.
//!
//! Written here because other encoders have cut decimals, wrapped unsigned integers and shifted
//! timestamps without a word. Each value either arrives as it was or is refused with its reason. What becomes
//! JSON is written by `json`.

use super::json::json_texts;
use super::numeric::{put_i128, put_i256};
use super::sql_type::{plain_type, sql_type};
use arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{ArrowPrimitiveType, DataType, TimeUnit, *};
use arrow::record_batch::RecordBatch;
use std::sync::Arc;

/// Days from 1970 to 2000, where PostgreSQL counts from.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// First day (4714 BC) and the end of PostgreSQL's dates, in days since 2000.
const DATES: std::ops::Range<i32> = -2_451_545..2_145_031_949;
/// First microsecond (4714 BC) and the end (year 294277) of its timestamps, since 2000.
const TIMESTAMPS: std::ops::Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;

/// What every binary COPY stream begins with: signature, no flags, no extension.
pub const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What every one ends with.
pub const TRAILER: &[u8] = &(-1i16).to_be_bytes();

/// A value that cannot be sent: its place in the batch and the reason, said of the value.
#[derive(Debug)]
pub struct Refused {
    pub column: usize,
    pub row: usize,
    pub reason: String,
}

/// Writes the value of a row; the row is known not to be null.
type Put<'a> = Box<dyn Fn(usize, &mut Vec<u8>) -> Result<(), String> + 'a>;

/// Appends the rows of a batch.
pub fn put_rows(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), Refused> {
    let refused = |column, row| move |reason| Refused { column, row, reason };
    let mut arrays = Vec::with_capacity(batch.num_columns());
    for (index, (field, array)) in batch.schema_ref().fields().iter().zip(batch.columns()).enumerate() {
        arrays.push(Flat::new(field, array).map_err(|(row, reason)| refused(index, row)(reason))?);
    }
    let mut columns = Vec::with_capacity(arrays.len());
    for (index, array) in arrays.iter().enumerate() {
        columns.push((array.values.logical_nulls(), array.put().map_err(refused(index, 0))?));
    }
    let width = i16::try_from(columns.len()).map_err(|_| refused(0, 0)("has too many columns".into()))?;
    for row in 0..batch.num_rows() {
        out.extend_from_slice(&width.to_be_bytes());
        for (index, (nulls, put)) in columns.iter().enumerate() {
            put_field(nulls.as_ref(), put, row, out).map_err(refused(index, row))?;
        }
    }
    Ok(())
}

/// Length and value, or -1 for null.
fn put_field(nulls: Option<&NullBuffer>, put: &Put<'_>, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
    if nulls.is_some_and(|nulls| nulls.is_null(row)) {
        out.extend_from_slice(&(-1i32).to_be_bytes());
        return Ok(());
    }
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    put(row, out)?;
    let length = i32::try_from(out.len() - at - 4).map_err(|_| "is longer than 2 GB".to_string())?;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// A column without the encodings that stand between us and its values.
struct Flat {
    values: ArrayRef,
    /// `values` are JSON documents.
    json: bool,
}

impl Flat {
    /// The error is of a row.
    fn new(field: &FieldRef, array: &ArrayRef) -> Result<Flat, (usize, String)> {
        if sql_type(array.data_type()).is_some_and(|found| found.name == "jsonb") {
            return Ok(Flat { values: Arc::new(json_texts(field, array)?), json: true });
        }
        let values = match array.data_type() {
            DataType::Dictionary(_, values) => {
                arrow::compute::cast(array, values).map_err(|error| (0, error.to_string()))?
            }
            _ => Arc::clone(array),
        };
        Ok(Flat { values, json: false })
    }

    fn put(&self) -> Result<Put<'_>, String> {
        if self.json {
            let texts = self.values.as_string::<i32>();
            return Ok(Box::new(move |row, out| {
                out.push(1); // version of the jsonb format
                put_text(texts.value(row), out)
            }));
        }
        match self.values.data_type() {
            DataType::List(item) => list(self.values.as_list::<i32>(), item),
            DataType::LargeList(item) => list(self.values.as_list::<i64>(), item),
            DataType::FixedSizeList(item, _) => {
                let list = self.values.as_fixed_size_list();
                let length = list.value_length() as usize;
                items(list.values(), item, move |row| row * length..(row + 1) * length)
            }
            _ => plain(self.values.as_ref()),
        }
    }
}

fn list<'a, O: OffsetSizeTrait>(
    list: &'a arrow::array::GenericListArray<O>,
    item: &FieldRef,
) -> Result<Put<'a>, String> {
    let offsets = list.value_offsets();
    items(list.values(), item, move |row| offsets[row].as_usize()..offsets[row + 1].as_usize())
}

/// An array value: dimensions, whether nulls occur, item type, then length and lower bound, then items.
fn items<'a>(
    values: &'a ArrayRef,
    item: &FieldRef,
    range: impl Fn(usize) -> std::ops::Range<usize> + 'a,
) -> Result<Put<'a>, String> {
    let oid = plain_type(item.data_type()).ok_or("is a list of values that are not plain")?.oid;
    let (nulls, put) = (values.logical_nulls(), plain(values.as_ref())?);
    Ok(Box::new(move |row, out| {
        let range = range(row);
        let length = i32::try_from(range.len()).map_err(|_| "is too long a list".to_string())?;
        let dimensions = i32::from(length > 0);
        for word in [dimensions, i32::from(nulls.is_some()), oid as i32] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        if dimensions == 1 {
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(&1i32.to_be_bytes());
        }
        range.into_iter().try_for_each(|at| put_field(nulls.as_ref(), &put, at, out))
    }))
}

fn plain<'a>(array: &'a dyn Array) -> Result<Put<'a>, String> {
    use DataType::*;
    Ok(match array.data_type() {
        Boolean => {
            let array = array.as_boolean();
            Box::new(move |row, out| bytes(&[u8::from(array.value(row))], out))
        }
        Int8 => primitive::<Int8Type>(array, |value, out| bytes(&i16::from(value).to_be_bytes(), out)),
        Int16 => primitive::<Int16Type>(array, |value, out| bytes(&value.to_be_bytes(), out)),
        Int32 => primitive::<Int32Type>(array, |value, out| bytes(&value.to_be_bytes(), out)),
        Int64 => primitive::<Int64Type>(array, |value, out| bytes(&value.to_be_bytes(), out)),
        UInt8 => primitive::<UInt8Type>(array, |value, out| bytes(&i16::from(value).to_be_bytes(), out)),
        UInt16 => primitive::<UInt16Type>(array, |value, out| bytes(&i32::from(value).to_be_bytes(), out)),
        UInt32 => primitive::<UInt32Type>(array, |value, out| bytes(&i64::from(value).to_be_bytes(), out)),
        UInt64 => primitive::<UInt64Type>(array, |value, out| decimal(i128::from(value), 0, out)),
        Float16 => primitive::<Float16Type>(array, |value, out| bytes(&value.to_f32().to_be_bytes(), out)),
        Float32 => primitive::<Float32Type>(array, |value, out| bytes(&value.to_be_bytes(), out)),
        Float64 => primitive::<Float64Type>(array, |value, out| bytes(&value.to_be_bytes(), out)),
        Decimal32(_, scale) => scaled::<Decimal32Type>(array, *scale),
        Decimal64(_, scale) => scaled::<Decimal64Type>(array, *scale),
        Decimal128(_, scale) => scaled::<Decimal128Type>(array, *scale),
        Decimal256(_, scale) => {
            let scale = *scale;
            primitive::<Decimal256Type>(array, move |value, out| put_i256(value, scale, out))
        }
        Date32 => primitive::<Date32Type>(array, put_date),
        Date64 => primitive::<Date64Type>(array, |millis, out| {
            let days = exact(millis, 86_400_000).ok_or("is a date with a time of day, which a date cannot hold")?;
            put_date(i32::try_from(days).map_err(|_| "is no date".to_string())?, out)
        }),
        Time32(_) | Time64(_) | Timestamp(_, _) => time(array)?,
        Utf8 => {
            let array = array.as_string::<i32>();
            Box::new(move |row, out| put_text(array.value(row), out))
        }
        LargeUtf8 => {
            let array = array.as_string::<i64>();
            Box::new(move |row, out| put_text(array.value(row), out))
        }
        Utf8View => {
            let array = array.as_string_view();
            Box::new(move |row, out| put_text(array.value(row), out))
        }
        Binary => {
            let array = array.as_binary::<i32>();
            Box::new(move |row, out| bytes(array.value(row), out))
        }
        LargeBinary => {
            let array = array.as_binary::<i64>();
            Box::new(move |row, out| bytes(array.value(row), out))
        }
        BinaryView => {
            let array = array.as_binary_view();
            Box::new(move |row, out| bytes(array.value(row), out))
        }
        FixedSizeBinary(_) => {
            let array = array.as_fixed_size_binary();
            Box::new(move |row, out| bytes(array.value(row), out))
        }
        Null => Box::new(|_, _| Ok(())),
        other => return Err(format!("is {other}, which Postgres has no type for")),
    })
}

fn primitive<'a, T: ArrowPrimitiveType>(
    array: &'a dyn Array,
    put: impl Fn(T::Native, &mut Vec<u8>) -> Result<(), String> + 'a,
) -> Put<'a> {
    let array = array.as_primitive::<T>();
    Box::new(move |row, out| put(array.value(row), out))
}

fn scaled<'a, T: ArrowPrimitiveType>(array: &'a dyn Array, scale: i8) -> Put<'a>
where
    T::Native: Into<i128>,
{
    primitive::<T>(array, move |value, out| decimal(value.into(), scale, out))
}

fn time<'a>(array: &'a dyn Array) -> Result<Put<'a>, String> {
    use DataType::*;
    use TimeUnit::*;
    Ok(match array.data_type() {
        Time32(Second) => primitive::<Time32SecondType>(array, |at, out| put_i64(i64::from(at) * 1_000_000, out)),
        Time32(_) => primitive::<Time32MillisecondType>(array, |at, out| put_i64(i64::from(at) * 1_000, out)),
        Time64(Nanosecond) => primitive::<Time64NanosecondType>(array, |at, out| put_i64(whole_micros(at)?, out)),
        Time64(_) => primitive::<Time64MicrosecondType>(array, put_i64),
        Timestamp(Second, _) => {
            primitive::<TimestampSecondType>(array, |at, out| put_instant(at.checked_mul(1_000_000), out))
        }
        Timestamp(Millisecond, _) => {
            primitive::<TimestampMillisecondType>(array, |at, out| put_instant(at.checked_mul(1_000), out))
        }
        Timestamp(Microsecond, _) => primitive::<TimestampMicrosecondType>(array, |at, out| put_instant(Some(at), out)),
        Timestamp(Nanosecond, _) => {
            primitive::<TimestampNanosecondType>(array, |at, out| put_instant(Some(whole_micros(at)?), out))
        }
        other => return Err(format!("is {other}, which is no time")),
    })
}

/// How many units a value is, when it is a whole number of them.
fn exact(value: i64, unit: i64) -> Option<i64> {
    (value.rem_euclid(unit) == 0).then(|| value.div_euclid(unit))
}

fn whole_micros(nanos: i64) -> Result<i64, String> {
    exact(nanos, 1_000).ok_or_else(|| "is a time finer than microseconds, which Postgres cannot hold".into())
}

fn bytes(value: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    out.extend_from_slice(value);
    Ok(())
}

fn put_i64(value: i64, out: &mut Vec<u8>) -> Result<(), String> {
    bytes(&value.to_be_bytes(), out)
}

fn decimal(value: i128, scale: i8, out: &mut Vec<u8>) -> Result<(), String> {
    put_i128(value, scale, out);
    Ok(())
}

fn put_text(text: &str, out: &mut Vec<u8>) -> Result<(), String> {
    if text.as_bytes().contains(&0) {
        return Err("contains a NUL character, which Postgres text cannot hold".into());
    }
    bytes(text.as_bytes(), out)
}

/// Refuses what lies outside the range: its last values would turn into `infinity` unnoticed.
fn put_date(days: i32, out: &mut Vec<u8>) -> Result<(), String> {
    let days = days.checked_sub(EPOCH_DAYS).filter(|days| DATES.contains(days));
    bytes(&days.ok_or("is a date outside 4714 BC to 5874897 AD")?.to_be_bytes(), out)
}

/// Takes microseconds since 1970.
fn put_instant(micros: Option<i64>, out: &mut Vec<u8>) -> Result<(), String> {
    let micros = micros.and_then(|micros| micros.checked_sub(EPOCH_MICROS)).filter(|at| TIMESTAMPS.contains(at));
    put_i64(micros.ok_or("is a timestamp outside 4714 BC to 294276 AD")?, out)
}
