//! The SQL functions that read text exactly: `parse_date`, `parse_timestamp` and `parse_decimal`.
//!
//! A blank text is NULL, blanks around a value do not matter, and a value that does not fit is an error naming the
//! column and the value: nothing is rounded, nothing becomes NULL silently. They exist because a cast to decimal
//! rounds, and because with a session time zone set DataFusion 55's `to_timestamp` answers another type than it
//! announces.
//!
//! To add a function: an arm in [`Target`], in [`Target::return_type`] and in [`Parse::read`].

mod decimal;

use crate::engine::types::type_name;
use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Decimal128Array, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use chrono::format::{Item, Parsed, StrftimeItems};
use chrono::{Datelike, NaiveDate, NaiveDateTime};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use decimal::Notation;
use std::sync::{Arc, LazyLock};

/// The functions, for a session to register.
pub(super) fn functions() -> impl Iterator<Item = ScalarUDF> {
    let signature = Signature::user_defined(Volatility::Immutable);
    let targets = [Target::Date, Target::Timestamp, Target::Decimal].into_iter();
    targets.map(move |target| ScalarUDF::new_from_impl(Parse { target, signature: signature.clone() }))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Target {
    /// `parse_date(text, format)`, the format in strftime's letters: date
    Date,
    /// `parse_timestamp(text, format)`: timestamp, to the microsecond
    Timestamp,
    /// `parse_decimal(text, precision, scale [, marks])`: decimal; marks are the decimal mark, or the mark
    /// between thousands and the decimal mark (`'.,'`), `.` when left out
    Decimal,
}

/// Of date, timestamp and decimal.
static DOCUMENTED: LazyLock<(Documentation, Documentation, Documentation)> = LazyLock::new(|| {
    let written = |summary: &str, syntax: &str| Documentation::builder(DocSection::default(), summary, syntax).build();
    (
        written("Reads a date written in the format's letters, as strftime has them", "parse_date(text, format)"),
        written("Reads a time to the microsecond, in strftime's letters", "parse_timestamp(text, format)"),
        written("Reads a decimal exactly, nothing rounded", "parse_decimal(text, precision, scale [, marks])"),
    )
});

#[derive(Debug, PartialEq, Eq, Hash)]
struct Parse {
    target: Target,
    signature: Signature,
}

impl Target {
    fn return_type(self, constants: &[Option<&ScalarValue>]) -> Result<DataType> {
        match self {
            Target::Date => Ok(DataType::Date32),
            Target::Timestamp => Ok(DataType::Timestamp(TimeUnit::Microsecond, None)),
            Target::Decimal => {
                let digits = |at: usize| match constants.get(at) {
                    Some(Some(ScalarValue::Int64(Some(digits)))) => u8::try_from(*digits).ok(),
                    _ => None,
                };
                match (digits(1), digits(2)) {
                    (Some(precision @ 1..=38), Some(scale)) if scale <= precision => {
                        Ok(DataType::Decimal128(precision, scale as i8))
                    }
                    _ => plan_err!("parse_decimal takes its precision, up to 38, and its scale as plain numbers"),
                }
            }
        }
    }
}

impl ScalarUDFImpl for Parse {
    fn name(&self) -> &str {
        match self.target {
            Target::Date => "parse_date",
            Target::Timestamp => "parse_timestamp",
            Target::Decimal => "parse_decimal",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(match self.target {
            Target::Date => &DOCUMENTED.0,
            Target::Timestamp => &DOCUMENTED.1,
            Target::Decimal => &DOCUMENTED.2,
        })
    }

    fn coerce_types(&self, found: &[DataType]) -> Result<Vec<DataType>> {
        let wanted: &[DataType] = match (self.target, found.len()) {
            (Target::Date | Target::Timestamp, 2) => &[DataType::Utf8],
            (Target::Decimal, 3) => &[DataType::Int64, DataType::Int64],
            (Target::Decimal, 4) => &[DataType::Int64, DataType::Int64, DataType::Utf8],
            (Target::Decimal, _) => return plan_err!("write parse_decimal(text, precision, scale [, marks])"),
            _ => return plan_err!("write {}(text, format)", self.name()),
        };
        let text = match &found[0] {
            text @ (DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => text.clone(),
            DataType::Null => DataType::Utf8,
            other => return plan_err!("{} reads text, not {other}", self.name()),
        };
        Ok(std::iter::once(text).chain(wanted.iter().cloned()).collect())
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        self.target.return_type(&[])
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(self.name(), self.target.return_type(args.scalar_arguments)?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = matches!(args.args[0], ColumnarValue::Scalar(_));
        let rows = if is_constant { 1 } else { args.number_rows };
        let texts = cast(&args.args[0].to_array(rows)?, &DataType::Utf8)?;
        let notation = match args.args.last() {
            Some(ColumnarValue::Scalar(ScalarValue::Utf8(Some(text)))) => Some(text.as_str()),
            Some(ColumnarValue::Scalar(ScalarValue::Int64(_))) => None,
            _ => return exec_err!("the last argument of {} is a plain text", self.name()),
        };
        let column = args.arg_fields[0].name();
        let values = self.read(&texts, notation, args.return_type(), if is_constant { "" } else { column })?;
        match is_constant {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&values, 0)?)),
            false => Ok(ColumnarValue::Array(values)),
        }
    }
}

impl Parse {
    fn read(&self, texts: &ArrayRef, notation: Option<&str>, wanted: &DataType, column: &str) -> Result<ArrayRef> {
        Ok(match (self.target, wanted) {
            (Target::Decimal, DataType::Decimal128(precision, scale)) => {
                let Some(notation) = Notation::new(notation.unwrap_or("."), *precision, *scale as u8) else {
                    return exec_err!("the marks of parse_decimal are two different signs at most, for example '.,'");
                };
                let values = each(texts, column, &type_name(wanted), |text| notation.read(text))?;
                Arc::new(Decimal128Array::from(values).with_precision_and_scale(*precision, *scale)?)
            }
            (Target::Date, _) => {
                let items = items(notation)?;
                let values = each(texts, column, &written(notation, "a date"), |text| {
                    date(&parsed(text, &items)?).map(|date| date.to_epoch_days())
                })?;
                Arc::new(Date32Array::from(values))
            }
            _ => {
                let items = items(notation)?;
                let values = each(texts, column, &written(notation, "a time"), |text| {
                    moment(&parsed(text, &items)?).map(|moment| moment.and_utc().timestamp_micros())
                })?;
                Arc::new(TimestampMicrosecondArray::from(values))
            }
        })
    }
}

/// The value of every text that is not blank; fails at the first that has none.
fn each<T>(
    texts: &ArrayRef,
    column: &str,
    wanted: &str,
    read: impl Fn(&str) -> std::result::Result<T, &'static str>,
) -> Result<Vec<Option<T>>> {
    let mut values = Vec::with_capacity(texts.len());
    for text in texts.as_string::<i32>() {
        let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
            values.push(None);
            continue;
        };
        match read(text) {
            Ok(value) => values.push(Some(value)),
            Err(why) => {
                let place = if column.is_empty() { String::new() } else { format!("column `{column}`: ") };
                let shown: String = text.chars().take(80).collect();
                return exec_err!("{place}`{shown}` is not {wanted}{why}");
            }
        }
    }
    Ok(values)
}

fn written(format: Option<&str>, what: &str) -> String {
    format!("{what} written as {}", format.unwrap_or_default())
}

fn items(format: Option<&str>) -> Result<Vec<Item<'_>>> {
    match StrftimeItems::new(format.unwrap_or_default()).parse() {
        Ok(items) => Ok(items),
        Err(_) => exec_err!("`{}` is no format of dates and times", format.unwrap_or_default()),
    }
}

fn parsed(text: &str, items: &[Item<'_>]) -> std::result::Result<Parsed, &'static str> {
    let mut parsed = Parsed::new();
    chrono::format::parse(&mut parsed, text, items.iter()).map_err(|_| "")?;
    Ok(parsed)
}

fn date(parsed: &Parsed) -> std::result::Result<NaiveDate, &'static str> {
    let date = parsed.to_naive_date().map_err(|_| "")?;
    // A year written with two digits would be one of the first century.
    if (1000..=9999).contains(&date.year()) { Ok(date) } else { Err(", as its year has not four digits") }
}

fn moment(parsed: &Parsed) -> std::result::Result<NaiveDateTime, &'static str> {
    date(parsed)?;
    parsed.to_naive_datetime_with_offset(0).map_err(|_| "")
}
