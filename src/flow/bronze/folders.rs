//! The columns a Bronze table is partitioned by, whose values name the folders its rows lie in.

use super::columns::QUARANTINED;
use crate::engine::types::type_name;
use crate::error::{Error, Result};
use crate::ident::{TableName, suggestion};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Date32Type, Fields, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use std::collections::BTreeMap;

/// Bytes of a folder's name; most file systems take 255.
const LONGEST: usize = 250;
/// Days since 1970 of the years 1 to 9999: what is written with four digits, as every reader expects.
const DAYS: std::ops::Range<i64> = -719_162..2_932_897;
const DAY_MICROS: i64 = 86_400_000_000;

/// What a new table is partitioned by: good rows and rejects lie apart, then the columns that the stream names. Each
/// has to be one of the stream's columns and to hold single values.
pub(super) fn partition_columns(table: &TableName, named: &[String], columns: &Fields) -> Result<Vec<String>> {
    for name in named {
        let refused = |why: &str| Err(Error::config(format!("`{table}` cannot be partitioned by `{name}`: {why}")));
        let column = columns.iter().find(|column| column.name() == name);
        match column.map(|column| column.data_type()) {
            None if columns.is_empty() => return refused("nobody declared its columns"),
            None => {
                let near = suggestion(name, columns.iter().map(|column| column.name().as_str()));
                return refused(&format!("there is no such column{near}"));
            }
            Some(data_type) if data_type.is_nested() || *data_type == DataType::Binary => {
                return refused(&format!("it is {}", type_name(data_type)));
            }
            Some(_) if named.iter().filter(|other| *other == name).count() > 1 => return refused("it is named twice"),
            Some(_) => {}
        }
    }
    Ok(std::iter::once(QUARANTINED.to_string()).chain(named.iter().cloned()).collect())
}

/// Fails when a standing table is partitioned by other columns.
pub(super) fn check_partition_columns(table: &TableName, standing: &[String], wanted: &[String]) -> Result<()> {
    if standing == wanted {
        return Ok(());
    }
    let shown = |columns: &[String]| match columns.iter().filter(|column| *column != QUARANTINED).count() {
        0 => "no column".to_string(),
        _ => columns.iter().filter(|column| *column != QUARANTINED).cloned().collect::<Vec<_>>().join(", "),
    };
    let (standing, wanted) = (shown(standing), shown(wanted));
    Err(Error::config(format!("`{table}` is partitioned by {standing}, its contract says {wanted}")).hint(format!(
        "a table keeps its folders: change `partition_by` back, or move the table away, and `lake bronze {}` reads the \
         topics again from their beginning",
        table.name()
    )))
}

/// The good rows that no folder takes, each with the reason; in their order.
pub(super) fn refused(partition_by: &[String], good: &RecordBatch) -> Vec<(usize, String)> {
    let mut refused = BTreeMap::new();
    for name in partition_by.iter().filter(|name| *name != QUARANTINED) {
        let Some(column) = good.column_by_name(name) else { continue };
        for (row, why) in faults(name, column) {
            refused.entry(row).or_insert_with(|| format!("column `{name}`, by which the table is partitioned: {why}"));
        }
    }
    refused.into_iter().collect()
}

/// Rows whose value is no name of a folder.
fn faults(name: &str, column: &ArrayRef) -> Vec<(usize, String)> {
    let outside = |days: i64| !DAYS.contains(&days);
    let year = |row: usize| (row, "its year is not one from 1 to 9999".to_string());
    match column.data_type() {
        DataType::Utf8 => {
            let texts = column.as_string::<i32>().iter().enumerate();
            let long = texts.filter_map(|(row, text)| Some((row, written(name, text?)))).filter(|(_, n)| *n > LONGEST);
            long.map(|(row, bytes)| {
                (row, format!("of {bytes} bytes the name of its folder would be, {LONGEST} are the most"))
            })
            .collect()
        }
        DataType::Date32 => {
            let days = column.as_primitive::<Date32Type>().iter().enumerate();
            days.filter(|(_, day)| day.is_some_and(|day| outside(day.into()))).map(|(row, _)| year(row)).collect()
        }
        DataType::Timestamp(..) => {
            let moments = column.as_primitive::<TimestampMicrosecondType>().iter().enumerate();
            let far = moments.filter(|(_, at)| at.is_some_and(|at| outside(at.div_euclid(DAY_MICROS))));
            far.map(|(row, _)| year(row)).collect()
        }
        _ => Vec::new(),
    }
}

/// Bytes of the name of a folder: the column's name stands before the value, and each odd byte is written as three.
fn written(name: &str, value: &str) -> usize {
    name.len() + 1 + value.bytes().map(|b| if b.is_ascii_alphanumeric() { 1 } else { 3 }).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Date32Array, StringArray, TimestampMicrosecondArray};
    use arrow::datatypes::Field;
    use std::sync::Arc;

    #[test]
    fn a_table_is_partitioned_by_single_values_of_its_own_columns() {
        let table = TableName::parse("bronze.books").unwrap();
        let list = DataType::List(Arc::new(Field::new("element", DataType::Utf8, true)));
        let columns = [("sold_on", DataType::Date32), ("tags", list), ("image", DataType::Binary)];
        let columns: Fields = columns.map(|(name, data_type)| Field::new(name, data_type, true)).to_vec().into();
        let named = |names: &[&str], columns: &Fields| {
            let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
            partition_columns(&table, &names, columns).map_err(|fault| fault.to_string())
        };
        assert_eq!(named(&["sold_on"], &columns).unwrap(), [QUARANTINED, "sold_on"]);
        assert_eq!(named(&[], &Fields::empty()).unwrap(), [QUARANTINED]);
        let refused = [
            (&["sold_in"][..], "there is no such column, did you mean `sold_on`?"),
            (&["tags"], "it is text[]"),
            (&["image"], "it is binary"),
            (&["_offset"], "there is no such column"),
            (&["sold_on", "sold_on"], "it is named twice"),
        ];
        for (names, why) in refused {
            assert!(named(names, &columns).unwrap_err().contains(why), "{:?}", named(names, &columns));
        }
        assert!(named(&["sold_on"], &Fields::empty()).unwrap_err().contains("nobody declared its columns"));
        let standing = named(&["sold_on"], &columns).unwrap();
        assert!(check_partition_columns(&table, &standing, &standing).is_ok());
        let changed = check_partition_columns(&table, &standing, &[QUARANTINED.to_string()]).unwrap_err();
        assert_eq!(changed.kind(), crate::error::Kind::Config);
        assert_eq!(changed.to_string(), "`bronze.books` is partitioned by sold_on, its contract says no column");
    }

    #[test]
    fn a_row_that_no_folder_takes_is_refused_with_the_reason() {
        let (long, odd) = ("x".repeat(250), "é".repeat(60));
        let regions: ArrayRef =
            Arc::new(StringArray::from(vec![None, Some("a/b%é"), Some(&long), Some(&odd), Some("")]));
        let days: ArrayRef = Arc::new(Date32Array::from(vec![i32::MAX, 0, 0, -719_162, -719_163]));
        let day = 86_400_000_000;
        let moments = vec![Some(i64::MAX), None, Some(2_932_896 * day), Some(2_932_897 * day), Some(-719_163 * day)];
        let moments: ArrayRef = Arc::new(TimestampMicrosecondArray::from(moments));
        let columns = [("region", regions), ("day", days), ("at", moments)];
        let rows =
            RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap();
        let rows_of = |by: &str| refused(&[QUARANTINED.into(), by.into()], &rows).into_iter().map(|(row, _)| row);
        assert_eq!(rows_of("region").collect::<Vec<_>>(), [2, 3]);
        assert_eq!(rows_of("day").collect::<Vec<_>>(), [0, 4]);
        assert_eq!(rows_of("at").collect::<Vec<_>>(), [0, 3, 4]);
        let both = refused(&["region".into(), "day".into()], &rows);
        let reason = "column `region`, by which the table is partitioned: of 257 bytes the name of its folder would be, 250 are the most";
        assert_eq!((both.len(), both[1].1.as_str()), (4, reason));
        assert!(both[0].1.contains("`day`") && both[0].1.ends_with("its year is not one from 1 to 9999"), "{both:?}");
    }
}
