//! Which row and which value is meant, in words: a row by its primary key, by its number where there is none.

use super::{Rows, Target};
use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::StreamExt;

/// Characters of a value that are shown.
const MOST_SHOWN: usize = 60;

/// `the row with id = 7`, or `row 3`, `number` being the row's own among all, from 1.
pub fn row(target: &Target, batch: &RecordBatch, row: usize, number: u64) -> String {
    let position = |name: &String| target.columns.iter().position(|column| column.name == *name);
    let value_of = |name: &String| Some(format!("{name} = {}", value(batch.columns().get(position(name)?)?, row)));
    let key: Option<Vec<String>> = target.primary_key.iter().map(value_of).collect();
    match key.filter(|key| !key.is_empty()) {
        Some(key) => format!("the row with {}", key.join(", ")),
        None => format!("row {number}"),
    }
}

/// A value of an array, short and printable: text in quotes, a time outside the calendar as the number it is.
pub fn value(array: &dyn Array, row: usize) -> String {
    let shown = |array: &dyn Array| {
        let options = FormatOptions::new().with_display_error(false).with_null("null");
        ArrayFormatter::try_new(array, &options).ok()?.value(row).try_to_string().ok()
    };
    let number = || cast(array, &DataType::Int64).ok().and_then(|numbers| shown(&numbers));
    let text = match array.data_type() {
        DataType::Utf8 if array.is_valid(row) => return quoted(array.as_string::<i32>().value(row)),
        _ => shown(array).or_else(number).unwrap_or_else(|| "it cannot be shown".into()),
    };
    cut(&text.escape_debug().to_string())
}

fn quoted(text: &str) -> String {
    format!("'{}'", cut(&text.escape_debug().to_string()))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text.to_string(),
    }
}

/// [`row`] of the row `line`, from 1, found by reading the rows again.
pub async fn nth(target: &Target, rows: &dyn Rows, line: u64) -> Option<String> {
    let mut batches = rows.open().await.ok()?;
    let mut before = 0;
    while let Some(Ok(batch)) = batches.next().await {
        let end = before + batch.num_rows() as u64;
        if line <= end {
            return Some(row(target, &batch, usize::try_from(line.checked_sub(before + 1)?).ok()?, line));
        }
        before = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Date32Array, Decimal128Array, StringArray, TimestampMicrosecondArray};

    #[test]
    fn values_are_short_and_printable() {
        let decimals = Decimal128Array::from(vec![-105]).with_precision_and_scale(5, 2).unwrap();
        let cases: [(&dyn Array, &str); 7] = [
            (&StringArray::from(vec!["a\0b\n"]), r"'a\0b\n'"),
            (&StringArray::from(vec![None::<&str>]), "null"),
            (&StringArray::from(vec!["é".repeat(70)]), &format!("'{}..'", "é".repeat(60))),
            (&decimals, "-1.05"),
            (&Date32Array::from(vec![-1]), "1969-12-31"),
            (&Date32Array::from(vec![i32::MAX]), "2147483647"),
            (&TimestampMicrosecondArray::from(vec![i64::MIN]), "-9223372036854775808"),
        ];
        for (array, expected) in cases {
            assert_eq!(value(array, 0), expected);
        }
    }
}
