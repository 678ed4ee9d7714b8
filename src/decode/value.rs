//! One JSON value into one value of a declared type: exactly, or not at all.
//!
//! Text that comes as a JSON string is read by the same rules as a JSON number, because CSV rows travel as
//! strings. Nothing passes through a float unless the column is one; nothing is rounded or cut.
//!
//! | type | accepted |
//! |---|---|
//! | text | a string without NUL; a number or boolean as it is written; an object or array as its JSON text |
//! | boolean | `true`/`false`, and as string also `t f yes no y n 1 0` in any case |
//! | tinyint .. bigint | any number without a fractional value (`7`, `7.0`, `7e2`) within range |
//! | real, double precision | any finite number; the nearest float |
//! | decimal(p,s) | any number with at most `s` decimal places (zeros behind do not count) and `p` digits |
//! | date | `YYYY-MM-DD` |
//! | timestamp(tz) | `YYYY-MM-DD[ T]HH:MM[:SS[.ffffff]]`, then nothing, `Z`, ` UTC` or an offset; or a date alone. Without a zone it is UTC; with one a `timestamp` holds the UTC clock |

use arrow::datatypes::DataType;
use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime};
use std::borrow::Cow;

/// A value as its column stores it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'p> {
    Null,
    Boolean(bool),
    Int8(i8),
    Int16(i16),
    Int32(i32),
    Int64(i64),
    Float32(f32),
    Float64(f64),
    Decimal(i128),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01 00:00 UTC.
    Timestamp(i64),
    Text(Cow<'p, str>),
}

/// Why a value is not one of its column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Unreadable,
    OutOfRange,
    Inexact,
    Escape,
    Nul,
}

impl Fault {
    /// The sentence about the value as it is written and the type's name.
    pub fn describe(self, raw: &str, type_name: &str) -> String {
        let raw = super::object::shortened(raw);
        match self {
            Fault::Unreadable => format!("expected {type_name}, found {raw}"),
            Fault::OutOfRange => format!("{raw} is out of range for {type_name}"),
            Fault::Inexact => format!("{raw} does not fit {type_name} exactly"),
            Fault::Escape => format!("{raw} holds an escape that is no character"),
            Fault::Nul => format!("{raw} holds a NUL character, which no text column of the warehouse can store"),
        }
    }
}

/// Reads a JSON value, given as it is written, for a column of a supported type.
pub(super) fn parse<'p>(raw: &'p str, data_type: &DataType) -> Result<Value<'p>, Fault> {
    let text = match raw.as_bytes().first() {
        Some(b'n') => return Ok(Value::Null),
        Some(b'"') => unescape(raw)?,
        Some(b'{' | b'[') if !is_text(data_type) => return Err(Fault::Unreadable),
        Some(b't' | b'f') if !matches!(data_type, DataType::Utf8 | DataType::Boolean) => return Err(Fault::Unreadable),
        Some(_) if is_moment(data_type) => return Err(Fault::Unreadable),
        Some(b'-' | b'0'..=b'9') if matches!(data_type, DataType::Boolean) => return Err(Fault::Unreadable),
        _ => Cow::Borrowed(raw),
    };
    if is_text(data_type) {
        return text_value(text);
    }
    scalar(text.trim(), data_type)
}

/// Reads a text that stands for a value of a supported type, as a JSON string would.
pub(super) fn of_text<'p>(text: Cow<'p, str>, data_type: &DataType) -> Result<Value<'p>, Fault> {
    match is_text(data_type) {
        true if text.contains('\0') => Err(Fault::Nul),
        true => Ok(Value::Text(text)),
        false => scalar(text.trim(), data_type),
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8)
}

/// JSON writes a NUL only as an escape, so text that had none is not looked through.
fn text_value(text: Cow<'_, str>) -> Result<Value<'_>, Fault> {
    match text {
        Cow::Owned(text) if text.contains('\0') => Err(Fault::Nul),
        text => Ok(Value::Text(text)),
    }
}

fn is_moment(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Timestamp(..))
}

/// The text of a JSON string as it is written.
pub(super) fn unescape(raw: &str) -> Result<Cow<'_, str>, Fault> {
    if raw.contains('\\') {
        return serde_json::from_str(raw).map(Cow::Owned).map_err(|_| Fault::Escape);
    }
    Ok(Cow::Borrowed(&raw[1..raw.len() - 1]))
}

fn scalar(text: &str, data_type: &DataType) -> Result<Value<'static>, Fault> {
    match data_type {
        DataType::Boolean => boolean(text).map(Value::Boolean),
        DataType::Int8 => integer(text).and_then(fits).map(Value::Int8),
        DataType::Int16 => integer(text).and_then(fits).map(Value::Int16),
        DataType::Int32 => integer(text).and_then(fits).map(Value::Int32),
        DataType::Int64 => integer(text).and_then(fits).map(Value::Int64),
        DataType::Float32 => float::<f32>(text, |value| value.is_finite()).map(Value::Float32),
        DataType::Float64 => float::<f64>(text, |value| value.is_finite()).map(Value::Float64),
        DataType::Decimal128(precision, scale) => decimal(text, *precision, *scale).map(Value::Decimal),
        DataType::Date32 => date(text).map(|date| Value::Date(date.num_days_from_ce() - UNIX_EPOCH_FROM_CE)),
        DataType::Timestamp(..) => timestamp(text).map(Value::Timestamp),
        _ => Err(Fault::Unreadable),
    }
}

const UNIX_EPOCH_FROM_CE: i32 = 719_163;

fn boolean(text: &str) -> Result<bool, Fault> {
    let is = |word: &&str| text.eq_ignore_ascii_case(word);
    match (["true", "t", "yes", "y", "1"].iter().any(is), ["false", "f", "no", "n", "0"].iter().any(is)) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        _ => Err(Fault::Unreadable),
    }
}

fn integer(text: &str) -> Result<i128, Fault> {
    match text.parse::<i64>() {
        Ok(value) => Ok(value.into()),
        Err(_) => scaled(text, 0),
    }
}

fn fits<T: TryFrom<i128>>(value: i128) -> Result<T, Fault> {
    T::try_from(value).map_err(|_| Fault::OutOfRange)
}

fn float<T: std::str::FromStr>(text: &str, finite: impl Fn(&T) -> bool) -> Result<T, Fault> {
    // Rust also reads "inf" and "nan"; JSON has no such numbers, so neither has a string standing for one.
    if !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')) {
        return Err(Fault::Unreadable);
    }
    let value = text.parse::<T>().map_err(|_| Fault::Unreadable)?;
    if finite(&value) { Ok(value) } else { Err(Fault::OutOfRange) }
}

fn decimal(text: &str, precision: u8, scale: i8) -> Result<i128, Fault> {
    let value = scaled(text, scale.into())?;
    let limit = 10u128.checked_pow(precision.into()).ok_or(Fault::OutOfRange)?;
    if value.unsigned_abs() < limit { Ok(value) } else { Err(Fault::OutOfRange) }
}

/// Digits that any number of them fit an i128; no type holds more.
const MOST_DIGITS: usize = 38;

/// The number times 10^scale, when that is a whole one.
fn scaled(text: &str, scale: i64) -> Result<i128, Fault> {
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| Fault::Unreadable)?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = whole.bytes().chain(fraction.bytes());
    if whole.is_empty() && fraction.is_empty() || !digits.clone().all(|byte| byte.is_ascii_digit()) {
        return Err(Fault::Unreadable);
    }
    // The digits from the first to the last that is not zero, how many they are, and the zeros behind them.
    let (mut significant, mut count, mut zeros) = (0i128, 0, 0);
    for digit in digits {
        match digit {
            b'0' if count > 0 => zeros += 1,
            b'0' => {}
            _ => {
                count += zeros + 1;
                if count <= MOST_DIGITS {
                    significant = significant * 10i128.pow(zeros as u32 + 1) + i128::from(digit - b'0');
                }
                zeros = 0;
            }
        }
    }
    if count == 0 {
        return Ok(0);
    }
    let shift = scale + i64::from(exponent) - fraction.len() as i64 + zeros as i64;
    if shift < 0 {
        return Err(Fault::Inexact);
    }
    let factor = u32::try_from(shift).ok().and_then(|shift| 10i128.checked_pow(shift));
    let value = factor.filter(|_| count <= MOST_DIGITS).and_then(|factor| significant.checked_mul(factor));
    value.map(|value| if negative { -value } else { value }).ok_or(Fault::OutOfRange)
}

fn date(text: &str) -> Result<NaiveDate, Fault> {
    let digits = text.as_bytes().first_chunk::<10>().filter(|_| text.len() == 10).ok_or(Fault::Unreadable)?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *digits else { return Err(Fault::Unreadable) };
    let (year, month, day) = (number(&[y1, y2, y3, y4])?, number(&[m1, m2])?, number(&[d1, d2])?);
    NaiveDate::from_ymd_opt(year as i32, month, day).ok_or(Fault::OutOfRange)
}

/// At most nine digits.
fn number(digits: &[u8]) -> Result<u32, Fault> {
    let mut value = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(Fault::Unreadable);
        }
        value = value * 10 + u32::from(digit - b'0');
    }
    Ok(value)
}

fn timestamp(text: &str) -> Result<i64, Fault> {
    let Some((day, rest)) = text.split_at_checked(10) else { return Err(Fault::Unreadable) };
    let day = date(day)?;
    if rest.is_empty() {
        return Ok(NaiveDateTime::from(day).and_utc().timestamp_micros());
    }
    let clock = rest.strip_prefix([' ', 'T', 't']).ok_or(Fault::Unreadable)?;
    let (clock, offset_seconds) = zone(clock)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let micros = NaiveDateTime::new(day, time(clock)?).and_utc().timestamp_micros() + microseconds(fraction)?;
    Ok(micros - offset_seconds * 1_000_000)
}

fn time(clock: &str) -> Result<NaiveTime, Fault> {
    if let [h1, h2, b':', m1, m2, b':', s1, s2] = *clock.as_bytes() {
        let numbers = (number(&[h1, h2]), number(&[m1, m2]), number(&[s1, s2]));
        if let (Ok(hour), Ok(minute), Ok(second)) = numbers
            && let Some(time) = NaiveTime::from_hms_opt(hour, minute, second)
        {
            return Ok(time);
        }
    }
    // Anything less regular, a leap second too.
    let format = if clock.len() == 5 { "%H:%M" } else { "%H:%M:%S" };
    NaiveTime::parse_from_str(clock, format).map_err(|_| Fault::Unreadable)
}

/// Splits off the zone: the clock without it, and its offset east of UTC in seconds.
fn zone(clock: &str) -> Result<(&str, i64), Fault> {
    if let Some(clock) = clock.strip_suffix(['Z', 'z']).or_else(|| clock.strip_suffix(" UTC")) {
        return Ok((clock, 0));
    }
    let Some(at) = clock.rfind(['+', '-']) else { return Ok((clock, 0)) };
    let (clock, offset) = clock.split_at(at);
    let (mut digits, mut count) = ([0; 4], 0);
    for byte in offset.bytes().skip(1).filter(|byte| *byte != b':') {
        *digits.get_mut(count).ok_or(Fault::Unreadable)? = byte;
        count += 1;
    }
    let [h1, h2, m1, m2] = digits;
    let (hours, minutes) = match count {
        2 => (number(&[h1, h2])?, 0),
        4 => (number(&[h1, h2])?, number(&[m1, m2])?),
        _ => return Err(Fault::Unreadable),
    };
    let seconds = i64::from(hours * 3600 + minutes * 60);
    Ok((clock.trim_end(), if offset.starts_with('-') { -seconds } else { seconds }))
}

fn microseconds(fraction: &str) -> Result<i64, Fault> {
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Fault::Unreadable);
    }
    let significant = fraction.trim_end_matches('0');
    if significant.len() > 6 {
        return Err(Fault::Inexact);
    }
    Ok(i64::from(number(significant.as_bytes())?) * 10i64.pow(6 - significant.len() as u32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::TimeUnit;

    const MONEY: DataType = DataType::Decimal128(10, 2);
    const MOMENT: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

    #[test]
    fn text_keeps_what_is_written() {
        let table = [
            ("\"2600\"", "2600"),
            ("2600", "2600"),
            ("1.10", "1.10"),
            ("1e400", "1e400"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            ("true", "true"),
            ("\" a \"", " a "),
            (r#""a\n\u00e9""#, "a\né"),
            (r#"{"a": [1, 2.50]}"#, r#"{"a": [1, 2.50]}"#),
            ("\"\"", ""),
        ];
        for (raw, expected) in table {
            assert_eq!(parse(raw, &DataType::Utf8), Ok(Value::Text(expected.into())), "{raw}");
        }
        assert_eq!(parse("null", &DataType::Utf8), Ok(Value::Null));
        assert_eq!(parse(r#""\ud800""#, &DataType::Utf8), Err(Fault::Escape));
        assert_eq!(parse(r#""a\u0000""#, &DataType::Utf8), Err(Fault::Nul));
        assert_eq!(parse(r#""a\\u0000""#, &DataType::Utf8), Ok(Value::Text(r"a\u0000".into())));
        assert_eq!(parse(r#"{"a":"\u0000"}"#, &DataType::Utf8), Ok(Value::Text(r#"{"a":"\u0000"}"#.into())));
    }

    #[test]
    fn numbers_are_exact_or_refused() {
        let table = [
            ("1", &DataType::Int32, Ok(Value::Int32(1))),
            ("\" 1 \"", &DataType::Int32, Ok(Value::Int32(1))),
            ("1.0", &DataType::Int64, Ok(Value::Int64(1))),
            ("7e2", &DataType::Int16, Ok(Value::Int16(700))),
            ("1.5", &DataType::Int64, Err(Fault::Inexact)),
            ("9223372036854775807", &DataType::Int64, Ok(Value::Int64(i64::MAX))),
            ("-9223372036854775808", &DataType::Int64, Ok(Value::Int64(i64::MIN))),
            ("9223372036854775808", &DataType::Int64, Err(Fault::OutOfRange)),
            ("40000", &DataType::Int16, Err(Fault::OutOfRange)),
            ("-128", &DataType::Int8, Ok(Value::Int8(-128))),
            ("128", &DataType::Int8, Err(Fault::OutOfRange)),
            ("\"1,000\"", &DataType::Int32, Err(Fault::Unreadable)),
            ("\"\"", &DataType::Int32, Err(Fault::Unreadable)),
            ("true", &DataType::Int32, Err(Fault::Unreadable)),
            ("{}", &DataType::Int32, Err(Fault::Unreadable)),
            ("1.10", &MONEY, Ok(Value::Decimal(110))),
            ("\"-1.1\"", &MONEY, Ok(Value::Decimal(-110))),
            ("1.1000", &MONEY, Ok(Value::Decimal(110))),
            ("0.000", &MONEY, Ok(Value::Decimal(0))),
            ("15e-1", &MONEY, Ok(Value::Decimal(150))),
            ("1.005", &MONEY, Err(Fault::Inexact)),
            ("99999999.99", &MONEY, Ok(Value::Decimal(9_999_999_999))),
            ("100000000", &MONEY, Err(Fault::OutOfRange)),
            ("1e999999999", &MONEY, Err(Fault::OutOfRange)),
            ("\"1e99999999999\"", &MONEY, Err(Fault::Unreadable)),
            ("\"-\"", &MONEY, Err(Fault::Unreadable)),
            ("1.5", &DataType::Float64, Ok(Value::Float64(1.5))),
            ("1e999", &DataType::Float64, Err(Fault::OutOfRange)),
            ("1e39", &DataType::Float32, Err(Fault::OutOfRange)),
            ("\"NaN\"", &DataType::Float64, Err(Fault::Unreadable)),
            ("\"inf\"", &DataType::Float64, Err(Fault::Unreadable)),
        ];
        for (raw, data_type, expected) in table {
            assert_eq!(parse(raw, data_type), expected, "{raw} as {data_type}");
        }
    }

    #[test]
    fn booleans_come_as_literals_and_words() {
        for (raw, expected) in [("true", true), ("\"No\"", false), ("\"1\"", true)] {
            assert_eq!(parse(raw, &DataType::Boolean), Ok(Value::Boolean(expected)), "{raw}");
        }
        for raw in ["1", "\"maybe\"", "[]"] {
            assert_eq!(parse(raw, &DataType::Boolean), Err(Fault::Unreadable), "{raw}");
        }
    }

    #[test]
    fn dates_and_times_are_iso() {
        let day = 1_293_840_000_000_000; // 2011-01-01
        let half_past_ten = day + 37_800_000_000;
        let table = [
            ("\"2011-01-01\"", Ok(Value::Timestamp(day))),
            ("\"2011-01-01T10:30\"", Ok(Value::Timestamp(half_past_ten))),
            ("\"2011-01-01 10:30:00\"", Ok(Value::Timestamp(half_past_ten))),
            ("\"2011-01-01T10:30:00.000001Z\"", Ok(Value::Timestamp(half_past_ten + 1))),
            ("\"2011-01-01T10:30:00.5000000000Z\"", Ok(Value::Timestamp(half_past_ten + 500_000))),
            ("\"2011-01-01T12:30:00+02:00\"", Ok(Value::Timestamp(half_past_ten))),
            ("\"2011-01-01T07:00:00-0330\"", Ok(Value::Timestamp(half_past_ten))),
            ("\"2011-01-01 10:30:00 UTC\"", Ok(Value::Timestamp(half_past_ten))),
            ("\"2011-01-01T10:30:00.0000001\"", Err(Fault::Inexact)),
            ("\"2011-02-30T10:30:00\"", Err(Fault::OutOfRange)),
            ("\"01/02/2011 10:30\"", Err(Fault::Unreadable)),
            ("\"2011-01-01T25:00:00\"", Err(Fault::Unreadable)),
            ("\"2011-01-01é\"", Err(Fault::Unreadable)),
            ("1293840000", Err(Fault::Unreadable)),
        ];
        for (raw, expected) in table {
            assert_eq!(parse(raw, &MOMENT), expected, "{raw}");
        }
        assert_eq!(parse("\"1970-01-02\"", &DataType::Date32), Ok(Value::Date(1)));
        assert_eq!(parse("\"1969-12-31\"", &DataType::Date32), Ok(Value::Date(-1)));
        for raw in ["\"1970-1-2\"", "\"1970-01-02T00:00\"", "19700102"] {
            assert_eq!(parse(raw, &DataType::Date32), Err(Fault::Unreadable), "{raw}");
        }
    }
}
