//! How the values of a column are stored in a file, judged by the first rows that come.
//!
//! Parquet's usual way is a dictionary: each value once, each row a small number. It pays while values come again. Where
//! nearly every row brings a new one the dictionary grows to its limit of a megabyte and is given up, in each row group
//! anew: a fifth of the time of writing a fact table went there. Whole numbers that only rise are stored as differences,
//! which are smaller than any dictionary. A wrong guess costs time or space, never a value.

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use std::collections::HashSet;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    Dictionary,
    Plain,
    Differences,
}

/// Fewer rows say nothing of a column.
const LEAST_ROWS: usize = 4096;
/// Rows looked at.
const MOST_ROWS: usize = 8192;
/// Of so many rows one is not new, where values are so many that a dictionary of them would be given up.
const ONE_AGAIN_IN: usize = 32;
/// Of so many rows less than one brings a new value, where a dictionary of numbers that rise is smaller than differences.
const RUN_OF: usize = 16;

/// The way for a column that begins with these values.
pub(super) fn stored(first: &ArrayRef) -> Stored {
    if first.len() < LEAST_ROWS || first.null_count() > first.len() / 2 || first.data_type().is_nested() {
        return Stored::Dictionary;
    }
    let sample = first.slice(0, first.len().min(MOST_ROWS));
    let Some((rises, values)) = look(&sample) else { return Stored::Dictionary };
    match rises {
        true if is_integer(first.data_type()) && values * RUN_OF > sample.len() => Stored::Differences,
        _ if (sample.len() - values) * ONE_AGAIN_IN < sample.len() => Stored::Plain,
        _ => Stored::Dictionary,
    }
}

/// Whether no value is less than the one before it, and how many different ones there are. `None` for types without order.
fn look(sample: &ArrayRef) -> Option<(bool, usize)> {
    let converter = RowConverter::new(vec![SortField::new(sample.data_type().clone())]).ok()?;
    let rows = converter.convert_columns(std::slice::from_ref(sample)).ok()?;
    let rises = rows.iter().zip(rows.iter().skip(1)).all(|(before, after)| before <= after);
    let values: HashSet<&[u8]> = rows.iter().map(|row| row.data()).collect();
    Some((rises, values.len()))
}

/// Whether differences of the values can be stored.
pub(super) fn is_integer(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int32 | DataType::Int64 | DataType::Date32 | DataType::Timestamp(..))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Decimal128Array, Int64Array, StringArray};
    use std::sync::Arc;

    const ROWS: i64 = 8192;

    fn numbers(value: impl Fn(i64) -> i64) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values((0..ROWS).map(value)))
    }

    /// The same for every seed, and no two alike.
    fn shuffled(row: i64) -> i64 {
        row * 2_654_435_761 % 4_294_967_296
    }

    #[test]
    fn a_dictionary_is_for_values_that_come_again() {
        let decimals = Decimal128Array::from_iter_values((0..ROWS).map(|row| i128::from(shuffled(row))));
        let texts = |value: &dyn Fn(i64) -> i64| -> ArrayRef {
            Arc::new(StringArray::from_iter_values((0..ROWS).map(|row| format!("name {}", value(row)))))
        };
        let few = Int64Array::from_iter_values((0..100).map(shuffled));
        let sparse: Int64Array = (0..ROWS).map(|row| (row % 3 == 0).then_some(shuffled(row))).collect();
        let table: [(&str, ArrayRef, Stored); 10] = [
            ("four rows of each, rising", numbers(|row| row / 4), Stored::Differences),
            ("a hundred rows of each, rising", numbers(|row| row / 100), Stored::Dictionary),
            ("all the same", numbers(|_| 7), Stored::Dictionary),
            ("no two alike", numbers(shuffled), Stored::Plain),
            ("a thousand of them", numbers(|row| shuffled(row) % 1000), Stored::Dictionary),
            ("decimals, no two alike", Arc::new(decimals), Stored::Plain),
            ("texts, no two alike", texts(&shuffled), Stored::Plain),
            ("texts of fifty", texts(&|row| shuffled(row) % 50), Stored::Dictionary),
            ("too few to tell", Arc::new(few), Stored::Dictionary),
            ("mostly NULL", Arc::new(sparse), Stored::Dictionary),
        ];
        for (what, column, expected) in table {
            assert_eq!(stored(&column), expected, "{what}");
        }
    }
}
