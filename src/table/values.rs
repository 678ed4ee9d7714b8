//! How the values of a column are stored in a file, judged by the first rows that come.
//!
//! Parquet's usual way is a dictionary: each value once, each row a small number. It pays while values come again, and
//! each has to be looked up: that was a fifth of the time of writing a fact table. Where nearly every row brings a new
//! one the dictionary grows to its limit of a megabyte and is given up, in each row group anew. Whole numbers are stored
//! as differences ([DELTA_BINARY_PACKED]) where those take about as few bits as a place in the dictionary: keys, days,
//! prices. Nothing is left in them to compress. A wrong guess costs time or space, never a value.
//!
//! [DELTA_BINARY_PACKED]: https://parquet.apache.org/docs/file-format/data-pages/encodings/

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type};
use arrow::row::{RowConverter, SortField};
use std::collections::HashSet;
use std::hash::Hash;

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
/// Of so many rows less than one differs from the one before it, where a dictionary stores runs.
const RUN_OF: usize = 16;
/// Of so many values more than one came in the second half of the rows, where a dictionary would go on growing.
const LATE_IN: usize = 3;
/// What differences may take beyond a place in a dictionary, which takes looking up.
const BITS_FOR_SPEED: u32 = 4;
/// Differences of more bits save little of the 64 a number has.
const MOST_BITS: u32 = 48;
/// Digits of a decimal that Parquet keeps as a whole number of 64 bits.
const MOST_DIGITS: u8 = 18;

/// The way for a column that begins with these values.
pub(super) fn stored(first: &ArrayRef) -> Stored {
    let sample = first.slice(0, first.len().min(MOST_ROWS));
    if sample.len() < LEAST_ROWS || sample.null_count() > sample.len() / 2 || sample.data_type().is_nested() {
        return Stored::Dictionary;
    }
    let Some(seen) = Seen::of(&sample) else { return Stored::Dictionary };
    let are_new = (sample.len() - seen.values) * ONE_AGAIN_IN < sample.len();
    let most_bits = match seen.goes_on {
        true => MOST_BITS,
        false => seen.values.ilog2() + 1 + BITS_FOR_SPEED,
    };
    match seen.bits {
        _ if seen.changes * RUN_OF < sample.len() => Stored::Dictionary,
        Some(bits) if bits <= most_bits => Stored::Differences,
        _ if are_new => Stored::Plain,
        _ => Stored::Dictionary,
    }
}

struct Seen {
    /// How many different ones.
    values: usize,
    /// There are more than these rows show.
    goes_on: bool,
    /// How often one is another than that before it.
    changes: usize,
    /// What a difference to the one before takes at most; of whole numbers.
    bits: Option<u32>,
}

impl Seen {
    /// `None` for types without order.
    fn of(sample: &ArrayRef) -> Option<Seen> {
        if let Some(numbers) = whole_numbers(sample) {
            let (values, goes_on) = different(numbers.iter());
            let differences = || numbers.iter().zip(numbers.iter().skip(1)).map(|(before, after)| after - before);
            let changes = differences().filter(|difference| *difference != 0).count();
            let spread = differences().max()? - differences().min()?;
            return Some(Seen { values, goes_on, changes, bits: Some(i128::BITS - spread.leading_zeros()) });
        }
        let converter = RowConverter::new(vec![SortField::new(sample.data_type().clone())]).ok()?;
        let rows = converter.convert_columns(std::slice::from_ref(sample)).ok()?;
        let changes = rows.iter().zip(rows.iter().skip(1)).filter(|(before, after)| before != after).count();
        let (values, goes_on) = different(rows.iter().map(|row| row.data()));
        Some(Seen { values, goes_on, changes, bits: None })
    }
}

/// How many different values there are, and whether there will be more.
fn different<T: Eq + Hash>(values: impl ExactSizeIterator<Item = T>) -> (usize, bool) {
    let half = values.len() / 2;
    let (mut seen, mut early) = (HashSet::new(), 0);
    for (at, value) in values.enumerate() {
        seen.insert(value);
        if at + 1 == half {
            early = seen.len();
        }
    }
    (seen.len(), (seen.len() - early) * LATE_IN > seen.len())
}

/// Those that Parquet keeps as whole numbers, without NULL.
fn whole_numbers(sample: &ArrayRef) -> Option<Vec<i128>> {
    match sample.data_type() {
        DataType::Decimal128(digits, _) if *digits <= MOST_DIGITS => {
            Some(sample.as_primitive::<Decimal128Type>().iter().flatten().collect())
        }
        kind if is_integer(kind) => {
            let numbers = cast(sample, &DataType::Int64).ok()?;
            Some(numbers.as_primitive::<Int64Type>().iter().flatten().map(i128::from).collect())
        }
        _ => None,
    }
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
        let decimals = |digits| -> ArrayRef {
            let numbers = Decimal128Array::from_iter_values((0..ROWS).map(|row| i128::from(shuffled(row))));
            Arc::new(numbers.with_precision_and_scale(digits, 2).unwrap())
        };
        let texts = |value: &dyn Fn(i64) -> i64| -> ArrayRef {
            Arc::new(StringArray::from_iter_values((0..ROWS).map(|row| format!("name {}", value(row)))))
        };
        let few = Int64Array::from_iter_values((0..100).map(shuffled));
        let late: Int64Array = (0..2 * ROWS).map(|row| (row >= ROWS).then_some(row)).collect();
        let sparse: Int64Array = (0..ROWS).map(|row| (row % 3 == 0).then_some(shuffled(row))).collect();
        let table: [(&str, ArrayRef, Stored); 16] = [
            ("four rows of each, rising", numbers(|row| row / 4), Stored::Differences),
            ("a hundred rows of each, rising", numbers(|row| row / 100), Stored::Dictionary),
            ("all the same", numbers(|_| 7), Stored::Dictionary),
            ("no two alike", numbers(shuffled), Stored::Differences),
            ("no two alike, far apart", numbers(|row| shuffled(row) << 30), Stored::Plain),
            ("a thousand of them", numbers(|row| shuffled(row) % 1000), Stored::Differences),
            ("a thousand of them, far apart", numbers(|row| shuffled(row) % 1000 * 1_000_000), Stored::Dictionary),
            ("four of each of many, far apart", numbers(|row| shuffled(row / 4) % 1_000_000), Stored::Differences),
            ("ten of them in long runs", numbers(|row| shuffled(row / 1000) % 10), Stored::Dictionary),
            ("decimals, no two alike", decimals(18), Stored::Differences),
            ("decimals of more digits", decimals(38), Stored::Plain),
            ("texts, no two alike", texts(&shuffled), Stored::Plain),
            ("texts of fifty", texts(&|row| shuffled(row) % 50), Stored::Dictionary),
            ("too few to tell", Arc::new(few), Stored::Dictionary),
            ("NULL at first", Arc::new(late), Stored::Dictionary),
            ("mostly NULL", Arc::new(sparse), Stored::Dictionary),
        ];
        for (what, column, expected) in table {
            assert_eq!(stored(&column), expected, "{what}");
        }
    }
}
