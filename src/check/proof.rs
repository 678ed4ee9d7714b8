//! What statistics of files prove of a rule, so that no row has to be read.
//!
//! A proof holds for every row, so it holds for those a filter leaves. Whatever is missing, cut short or rounded is
//! unknown and proves nothing:
//! - bounds of text from 32 bytes on, which writers cut;
//! - bounds of floating point, which leave NaN out, and cannot tell -0.0 from 0.0;
//! - bounds of decimals of more digits than a double holds, which is what statistics have them in;
//! - bounds of timestamps, which are cut to milliseconds, the upper one downwards.

use super::{Check, Range, Rule};
use arrow::datatypes::{DataType, Schema};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Writers cut text at 32 characters or at 64 bytes.
const MOST_TEXT: usize = 31;
/// Decimal digits that go through a double and come back.
const MOST_DIGITS: u8 = 15;

/// Of one file, as Delta writes them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Statistics {
    num_records: Option<u64>,
    tight_bounds: Option<bool>,
    null_count: Map<String, Value>,
    min_values: Map<String, Value>,
    max_values: Map<String, Value>,
}

impl Statistics {
    /// `None` when the text is no statistics, or those of more rows than there are.
    pub fn parse(json: &str) -> Option<Statistics> {
        let statistics: Statistics = serde_json::from_str(json).ok()?;
        (statistics.tight_bounds != Some(false)).then_some(statistics)
    }

    fn no_null(&self, column: &str) -> bool {
        self.num_records == Some(0) || self.null_count.get(column).and_then(Value::as_u64) == Some(0)
    }

    /// Every row is NULL there, which most rules accept.
    fn only_null(&self, column: &str) -> bool {
        let nulls = self.null_count.get(column).and_then(Value::as_u64);
        self.num_records.is_some_and(|rows| rows == 0 || nulls == Some(rows))
    }

    fn bounds(&self, column: &str, data_type: &DataType) -> Option<(Bound, Bound)> {
        let bound = |values: &Map<String, Value>| Bound::read(values.get(column)?, data_type);
        Some((bound(&self.min_values)?, bound(&self.max_values)?))
    }
}

/// A value that is known exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Bound {
    Number(Exact),
    /// ISO, so that the order of text is that of days.
    Day(String),
    Text(String),
}

impl Bound {
    fn read(value: &Value, data_type: &DataType) -> Option<Bound> {
        use DataType::*;
        match (data_type, value) {
            (Int8 | Int16 | Int32 | Int64, Value::Number(number)) => {
                Exact::parse(&number.to_string()).filter(|exact| exact.scale == 0).map(Bound::Number)
            }
            (Decimal128(digits, _), Value::Number(number)) if *digits <= MOST_DIGITS => {
                Exact::parse(&number.to_string()).map(Bound::Number)
            }
            (Date32, Value::String(text)) if is_day(text) => Some(Bound::Day(text.clone())),
            (Utf8, Value::String(text)) if text.len() <= MOST_TEXT => Some(Bound::Text(text.clone())),
            _ => None,
        }
    }

    /// An end of a range as SQL writes it: a number, or a day in quotes; anything else is unknown.
    fn of_sql(text: &str) -> Option<Bound> {
        let text = text.trim();
        let quoted = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
        match quoted.filter(|day| is_day(day)) {
            Some(day) => Some(Bound::Day(day.to_string())),
            None => Exact::parse(text).map(Bound::Number),
        }
    }

    /// Whether this one lies above `other`, or on it where that is allowed; unknown between different kinds.
    fn is_above(&self, other: &Bound, or_equal: bool) -> bool {
        let order = match (self, other) {
            (Bound::Number(a), Bound::Number(b)) => a.compare(b),
            (Bound::Day(a), Bound::Day(b)) => Some(a.cmp(b)),
            _ => None,
        };
        order.is_some_and(|order| order.is_gt() || or_equal && order.is_eq())
    }
}

/// Four digits of a year, so that text sorts as days do.
fn is_day(text: &str) -> bool {
    let shape = |(at, byte): (usize, u8)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() };
    text.len() == 10 && text.bytes().enumerate().all(shape)
}

/// `digits` divided by ten to the power of `scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Exact {
    digits: i128,
    scale: u32,
}

impl Exact {
    /// Plain digits with or without a point; `None` for anything else, an exponent too.
    fn parse(text: &str) -> Option<Exact> {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let unsigned = whole.strip_prefix('-').unwrap_or(whole);
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if unsigned.is_empty() || !digits(unsigned) || !digits(part) {
            return None;
        }
        let part = part.trim_end_matches('0');
        Some(Exact { digits: format!("{whole}{part}").parse().ok()?, scale: part.len() as u32 })
    }

    fn compare(&self, other: &Exact) -> Option<std::cmp::Ordering> {
        let scale = self.scale.max(other.scale);
        let at = |exact: &Exact| exact.digits.checked_mul(10_i128.checked_pow(scale - exact.scale)?);
        Some(at(self)?.cmp(&at(other)?))
    }
}

impl Check {
    /// Whether statistics could ever prove it.
    pub fn is_provable(&self) -> bool {
        matches!(
            self.rule,
            Rule::NotNull { .. } | Rule::AcceptedRange { .. } | Rule::AcceptedValues { .. } | Rule::RowCount { .. }
        )
    }

    /// Whether the files' statistics show that no row fails. `None` stands for a file without.
    pub fn is_proved_by(&self, schema: &Schema, files: &[Option<Statistics>]) -> bool {
        let each = |holds: &dyn Fn(&Statistics) -> bool| files.iter().all(|file| file.as_ref().is_some_and(holds));
        let type_of = |column: &str| schema.field_with_name(column).map(|field| field.data_type()).ok();
        match &self.rule {
            Rule::NotNull { column } => type_of(column).is_some() && each(&|file| file.no_null(column)),
            Rule::AcceptedRange { column, range } => type_of(column).is_some_and(|data_type| {
                each(&|file| file.only_null(column) || within(file, column, data_type, range))
            }),
            Rule::AcceptedValues { column, values, quote } => type_of(column).is_some_and(|data_type| {
                each(&|file| file.only_null(column) || is_one_of(file, column, data_type, values, *quote))
            }),
            Rule::RowCount { least, most } => {
                let rows = files.iter().map(|file| file.as_ref()?.num_records).sum::<Option<u64>>();
                // A filter may leave fewer.
                let enough = |rows| least.is_none_or(|least| self.options.filter.is_none() && rows >= least);
                rows.is_some_and(|rows| enough(rows) && most.is_none_or(|most| rows <= most))
            }
            _ => false,
        }
    }
}

fn within(file: &Statistics, column: &str, data_type: &DataType, range: &Range) -> bool {
    let Some((least, greatest)) = file.bounds(column, data_type) else { return false };
    let end = |text: &Option<String>| text.as_ref().map(|text| Bound::of_sql(text));
    let above = end(&range.least).is_none_or(|end| end.is_some_and(|end| least.is_above(&end, range.inclusive)));
    let below = end(&range.greatest).is_none_or(|end| end.is_some_and(|end| end.is_above(&greatest, range.inclusive)));
    above && below
}

/// All rows have one value, and it is accepted. Text is compared with text and numbers with numbers only.
fn is_one_of(file: &Statistics, column: &str, data_type: &DataType, values: &[String], quote: bool) -> bool {
    match file.bounds(column, data_type) {
        Some((Bound::Text(least), Bound::Text(greatest))) => quote && least == greatest && values.contains(&least),
        Some((Bound::Number(least), Bound::Number(greatest))) => {
            let is = |value: &String| Exact::parse(value).and_then(|value| value.compare(&least));
            !quote && least == greatest && values.iter().any(|value| is(value).is_some_and(|order| order.is_eq()))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Options;
    use crate::ident::TableName;
    use arrow::datatypes::{Field, TimeUnit};

    fn proved(rule: Rule, filter: Option<&str>, data_type: DataType, files: &[&str]) -> bool {
        let options = Options { filter: filter.map(str::to_string), ..Options::default() };
        let check = Check { name: "c".into(), table: TableName::parse("gold.x").unwrap(), rule, options };
        let files: Vec<_> = files.iter().map(|file| Statistics::parse(file)).collect();
        check.is_proved_by(&Schema::new(vec![Field::new("a", data_type, true)]), &files)
    }

    fn file(least: &str, greatest: &str) -> String {
        format!(
            r#"{{"numRecords":3,"nullCount":{{"a":0}},"minValues":{{"a":{least}}},"maxValues":{{"a":{greatest}}}}}"#
        )
    }

    fn range(least: Option<&str>, greatest: Option<&str>, inclusive: bool) -> Rule {
        let text = |end: Option<&str>| end.map(str::to_string);
        Rule::AcceptedRange {
            column: "a".into(),
            range: Range { least: text(least), greatest: text(greatest), inclusive },
        }
    }

    #[test]
    fn no_nulls_are_proved_by_a_count_of_nought_in_every_file() {
        let rule = || Rule::NotNull { column: "a".into() };
        let (none, one) = (r#"{"numRecords":3,"nullCount":{"a":0}}"#, r#"{"numRecords":3,"nullCount":{"a":1}}"#);
        let table: [(&[&str], bool); 10] = [
            (&[none], true),
            (&[none, none], true),
            (&[], true),
            (&[none, one], false),
            (&[none, r#"{"numRecords":0}"#], true),
            // Missing: in one file, of this column, of the whole file, of a struct.
            (&[none, r#"{"numRecords":3}"#], false),
            (&[r#"{"numRecords":3,"nullCount":{"b":0}}"#], false),
            (&[none, ""], false),
            (&[r#"{"numRecords":3,"nullCount":{"a":{"b":0}}}"#], false),
            (&[r#"{"numRecords":3,"tightBounds":false,"nullCount":{"a":0}}"#], false),
        ];
        for (files, expected) in table {
            assert_eq!(proved(rule(), None, DataType::Int64, files), expected, "{files:?}");
        }
        assert!(proved(rule(), Some("b > 1"), DataType::Int64, &[none]), "it holds for all rows, so for some");
        let schema = Schema::empty();
        let check = Check {
            name: "c".into(),
            table: TableName::parse("gold.x").unwrap(),
            rule: rule(),
            options: Options::default(),
        };
        assert!(!check.is_proved_by(&schema, &[Statistics::parse(none)]), "a column that is not there is told");
    }

    #[test]
    fn a_range_is_proved_by_exact_bounds_only() {
        let zero = || range(Some("0"), None, true);
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        let table = [
            (zero(), DataType::Int64, file("0", "9"), true),
            (zero(), DataType::Int64, file("-1", "9"), false),
            (range(Some("0"), None, false), DataType::Int64, file("0", "9"), false),
            (range(Some("0"), Some("9"), true), DataType::Int32, file("0", "9"), true),
            (range(None, Some("8"), true), DataType::Int32, file("0", "9"), false),
            (range(None, Some("9"), false), DataType::Int32, file("0", "9"), false),
            (range(None, Some("9.5"), false), DataType::Int32, file("0", "9"), true),
            // Ends that are other columns or expressions, even those that begin like numbers.
            (range(Some("b"), None, true), DataType::Int64, file("0", "9"), false),
            (range(Some("0 - 1"), None, true), DataType::Int64, file("0", "9"), false),
            (range(Some("-1e0"), None, true), DataType::Int64, file("0", "9"), false),
            (zero(), DataType::Decimal128(10, 2), file("0.0", "12.34"), true),
            (zero(), DataType::Decimal128(10, 2), file("-0.01", "12.34"), false),
            (range(None, Some("12.34"), true), DataType::Decimal128(10, 2), file("0.0", "12.34"), true),
            (range(None, Some("12.34"), false), DataType::Decimal128(10, 2), file("0.0", "12.34"), false),
            // Rounded: 0.9999999999999999999 is written as 1.0.
            (range(Some("1"), None, true), DataType::Decimal128(38, 19), file("1.0", "1.0"), false),
            (
                range(Some("'2020-01-01'"), None, true),
                DataType::Date32,
                file(r#""2020-01-01""#, r#""2021-01-01""#),
                true,
            ),
            (
                range(Some("'2020-01-02'"), None, true),
                DataType::Date32,
                file(r#""2020-01-01""#, r#""2021-01-01""#),
                false,
            ),
            (
                range(Some("'2020-01-01'"), None, true),
                DataType::Date32,
                file(r#""+10000-01-01""#, r#""+10000-01-01""#),
                false,
            ),
            // Floating point leaves NaN out of its bounds, and -0.0 may stand as 0.0.
            (zero(), DataType::Float64, file("0.0", "9.0"), false),
            (range(Some("0"), None, true), DataType::Float64, file("-0.0", "-0.0"), false),
            (
                range(None, Some("'2020-01-01'"), true),
                micros,
                file(r#""2019-01-01T00:00:00.000Z""#, r#""2019-01-01T00:00:00.000Z""#),
                false,
            ),
            (zero(), DataType::Int64, r#"{"numRecords":3,"nullCount":{"a":3}}"#.to_string(), true),
            (zero(), DataType::Int64, r#"{"numRecords":3,"nullCount":{"a":2}}"#.to_string(), false),
            (zero(), DataType::Int64, r#"{"numRecords":3,"minValues":{"a":1}}"#.to_string(), false),
        ];
        for (rule, data_type, file, expected) in table {
            assert_eq!(proved(rule.clone(), None, data_type, &[&file]), expected, "{rule:?} by {file}");
        }
    }

    #[test]
    fn accepted_values_are_proved_by_one_whole_value_a_file() {
        let rule = |values: &[&str], quote| Rule::AcceptedValues {
            column: "a".into(),
            values: values.iter().map(|value| value.to_string()).collect(),
            quote,
        };
        let text = |text: &str| file(&format!("\"{text}\""), &format!("\"{text}\""));
        let long = "x".repeat(32);
        let table = [
            (rule(&["x", "y"], true), DataType::Utf8, text("x"), true),
            (rule(&["y"], true), DataType::Utf8, text("x"), false),
            (rule(&["x", "y"], true), DataType::Utf8, file("\"x\"", "\"y\""), false),
            // Cut: the rows may go on with anything.
            (rule(&[&long], true), DataType::Utf8, text(&long), false),
            (rule(&["1"], true), DataType::Int64, file("1", "1"), false),
            (rule(&["1"], false), DataType::Int64, file("1", "1"), true),
            (rule(&["1.50"], false), DataType::Decimal128(9, 2), file("1.5", "1.5"), true),
            (rule(&["0"], false), DataType::Float64, file("0.0", "0.0"), false),
        ];
        for (rule, data_type, file, expected) in table {
            assert_eq!(proved(rule.clone(), None, data_type, &[&file]), expected, "{rule:?} by {file}");
        }
    }

    #[test]
    fn a_number_of_rows_is_the_sum_of_the_files() {
        let rule = |least, most| Rule::RowCount { least, most };
        let (three, unknown) = (r#"{"numRecords":3}"#, "{}");
        let table: [(Rule, Option<&str>, &[&str], bool); 8] = [
            (rule(Some(6), Some(6)), None, &[three, three], true),
            (rule(Some(7), None), None, &[three, three], false),
            (rule(None, Some(5)), None, &[three, three], false),
            (rule(Some(1), None), None, &[three, unknown], false),
            (rule(Some(1), None), None, &[], false),
            (rule(None, Some(1)), None, &[], true),
            (rule(Some(1), None), Some("x"), &[three], false),
            (rule(None, Some(3)), Some("x"), &[three], true),
        ];
        for (rule, filter, files, expected) in table {
            assert_eq!(proved(rule.clone(), filter, DataType::Int64, files), expected, "{rule:?} by {files:?}");
        }
    }
}
