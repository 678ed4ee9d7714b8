//! The one text of each value that both sides hash: how Arrow's becomes it, and the SQL that makes PostgreSQL's it.
//!
//! | type | text |
//! |---|---|
//! | boolean, whole numbers | as PostgreSQL prints them |
//! | decimals | without zeros behind the last digit that counts |
//! | floats | the 16 hexadecimal digits of the double, so 0 and -0 differ; every NaN is `NaN` |
//! | text | itself |
//! | bytes | hexadecimal |
//! | dates, timestamps | hexadecimal days or microseconds since 2000 |
//! | lists of plain values | `dimensions;`, then each item as `length:text`, null as `-` |
//! | structs, maps, other lists | as `jsonb` prints them |
//!
//! NULL has no text. No setting of the session or the server changes any of them. The types are those a table of the
//! lake can hold; nothing here is shared with the encoder that loaded the rows, the spelling of JSON apart.

use super::super::json::json_texts;
use super::super::sql_type::{plain_type, sql_type};
use super::json;
use crate::error::{Context, Error, Kind, Result};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, TimeUnit, *};
use std::io::Write;

/// Days and microseconds from 1970 to 2000, where PostgreSQL counts from.
const DAYS_TO_2000: i32 = 10_957;
const MICROS_TO_2000: i64 = 946_684_800_000_000;

/// Appends the text of the value of a row, which is known not to be null.
type Put<'a> = Box<dyn Fn(usize, &mut Vec<u8>) -> Result<()> + 'a>;

/// Hands the text of each value to `take`, none for NULL.
pub fn each(field: &FieldRef, array: &ArrayRef, mut take: impl FnMut(Option<&[u8]>)) -> Result<()> {
    let is_json = sql_type(array.data_type()).is_some_and(|found| found.name == "jsonb");
    let documents;
    let put: Put<'_> = if is_json {
        documents = json_texts(field, array).map_err(|(_, reason)| unreadable(field, &reason))?;
        Box::new(|row, out| {
            out.extend_from_slice(json::canonical(documents.value(row))?.as_bytes());
            Ok(())
        })
    } else if let DataType::List(item) = array.data_type() {
        let list = array.as_list::<i32>();
        items(list, plain(list.values(), item)?)
    } else {
        plain(array, field)?
    };
    let mut text = Vec::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            take(None);
            continue;
        }
        text.clear();
        put(row, &mut text)?;
        take(Some(&text));
    }
    Ok(())
}

fn unreadable(field: &Field, reason: &str) -> Error {
    Error::internal(format!("column `{}` cannot be compared: it {reason}", field.name()))
}

fn items<'a>(list: &'a arrow::array::ListArray, put: Put<'a>) -> Put<'a> {
    let (values, offsets) = (list.values(), list.value_offsets());
    Box::new(move |row, out| {
        let range = offsets[row] as usize..offsets[row + 1] as usize;
        out.extend_from_slice(if range.is_empty() { b"0;" } else { b"1;" });
        let mut item = Vec::new();
        for at in range {
            if values.is_null(at) {
                out.push(b'-');
                continue;
            }
            item.clear();
            put(at, &mut item)?;
            show(format_args!("{}:", item.len()), out)?;
            out.extend_from_slice(&item);
        }
        Ok(())
    })
}

fn plain<'a>(array: &'a ArrayRef, field: &Field) -> Result<Put<'a>> {
    use DataType::*;
    Ok(match array.data_type() {
        Boolean => {
            let array = array.as_boolean();
            Box::new(move |row, out| bytes(if array.value(row) { b"true" } else { b"false" }, out))
        }
        Int8 => shown::<Int8Type>(array),
        Int16 => shown::<Int16Type>(array),
        Int32 => shown::<Int32Type>(array),
        Int64 => shown::<Int64Type>(array),
        Float32 => number::<Float32Type>(array, |value, out| float(f64::from(value), out)),
        Float64 => number::<Float64Type>(array, float),
        Decimal128(_, scale) => {
            let scale = scale.unsigned_abs();
            number::<Decimal128Type>(array, move |value, out| decimal(value, scale, out))
        }
        Date32 => {
            number::<Date32Type>(array, |days, out| show(format_args!("{:08x}", days.wrapping_sub(DAYS_TO_2000)), out))
        }
        Timestamp(TimeUnit::Microsecond, _) => number::<TimestampMicrosecondType>(array, |at, out| {
            show(format_args!("{:016x}", at.wrapping_sub(MICROS_TO_2000)), out)
        }),
        Utf8 => {
            let array = array.as_string::<i32>();
            Box::new(move |row, out| bytes(array.value(row).as_bytes(), out))
        }
        Binary => {
            let array = array.as_binary::<i32>();
            Box::new(move |row, out| array.value(row).iter().try_for_each(|byte| show(format_args!("{byte:02x}"), out)))
        }
        other => return Err(unreadable(field, &format!("is {other}, which no table of the lake holds"))),
    })
}

fn number<'a, T: ArrowPrimitiveType>(
    array: &'a ArrayRef,
    put: impl Fn(T::Native, &mut Vec<u8>) -> Result<()> + 'a,
) -> Put<'a> {
    let array = array.as_primitive::<T>();
    Box::new(move |row, out| put(array.value(row), out))
}

fn shown<'a, T: ArrowPrimitiveType>(array: &'a ArrayRef) -> Put<'a>
where
    T::Native: std::fmt::Display,
{
    number::<T>(array, |value, out| show(format_args!("{value}"), out))
}

fn show(text: std::fmt::Arguments<'_>, out: &mut Vec<u8>) -> Result<()> {
    out.write_fmt(text).context(Kind::Internal, || "write a value as text")
}

fn bytes(text: &[u8], out: &mut Vec<u8>) -> Result<()> {
    out.extend_from_slice(text);
    Ok(())
}

fn float(value: f64, out: &mut Vec<u8>) -> Result<()> {
    match value.is_nan() {
        true => bytes(b"NaN", out),
        false => show(format_args!("{:016x}", value.to_bits()), out),
    }
}

fn decimal(value: i128, scale: u8, out: &mut Vec<u8>) -> Result<()> {
    let (mut digits, mut scale) = (value.unsigned_abs(), u32::from(scale));
    while scale > 0 && digits.is_multiple_of(10) {
        (digits, scale) = (digits / 10, scale - 1);
    }
    let sign = if value < 0 { "-" } else { "" };
    let unit = 10u128.pow(scale);
    match scale {
        0 => show(format_args!("{sign}{digits}"), out),
        _ => show(format_args!("{sign}{}.{:02$}", digits / unit, digits % unit, scale as usize), out),
    }
}

/// The SQL whose text is that of the column `column` (quoted, with its table).
pub fn sql(data_type: &DataType, column: &str) -> String {
    match data_type {
        DataType::List(item) if plain_type(item.data_type()).is_some() => {
            let item = plain_sql(item.data_type(), "u.item");
            format!(
                "case when {column} is not null then coalesce(array_ndims({column}), 0) || ';' || \
                 coalesce((select string_agg(coalesce(octet_length(i.text) || ':' || i.text, '-'), '' order by i.place) \
                 from (select {item} as text, u.place from unnest({column}) with ordinality u (item, place)) i), '') end"
            )
        }
        other => plain_sql(other, column),
    }
}

fn plain_sql(data_type: &DataType, value: &str) -> String {
    use DataType::*;
    match data_type {
        Decimal128(_, _) => format!("trim_scale({value})::text"),
        Float32 | Float64 => {
            format!(
                "case when {value} = 'NaN' then 'NaN' else encode(float8send({value}::double precision), 'hex') end"
            )
        }
        Date32 => format!("encode(date_send({value}), 'hex')"),
        Timestamp(_, None) => format!("encode(timestamp_send({value}), 'hex')"),
        Timestamp(_, Some(_)) => format!("encode(timestamptz_send({value}), 'hex')"),
        Binary => format!("encode({value}, 'hex')"),
        Utf8 => format!("{value}::text collate \"C\""),
        _ => format!("{value}::text"),
    }
}
