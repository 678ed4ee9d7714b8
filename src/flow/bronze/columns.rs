//! Bronze's own columns, and the shape of a Bronze table: the stream's columns, then these.

use crate::decode::RESCUED;
use crate::engine::types::type_name;
use crate::error::{Error, Result};
use crate::flow::reasons::Place;
use crate::ident::{TableName, suggestion};
use crate::model::Column;
use crate::table::schema::{self, storable_type};
use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Int64Type, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use std::sync::Arc;

/// Bytes of a folder's name; most file systems take 255.
const LONGEST_FOLDER: usize = 250;

pub const TOPIC: &str = "_topic";
pub const PARTITION: &str = "_partition";
pub const OFFSET: &str = "_offset";
/// A record's headers as a JSON object.
pub const HEADERS: &str = "_headers";
/// Identity of the source a record came from, and its row there; null for records no `lake produce` sent.
pub const SOURCE: &str = "_source";
pub const SOURCE_ROW: &str = "_source_row";
/// When the record was sent or happened, by its producer or by the broker.
pub const TIMESTAMP: &str = "_timestamp";
pub const KEY: &str = "_key";
/// When Bronze took the record in, as a row or into quarantine.
pub const INGESTED_AT: &str = "_ingested_at";
/// Why a record is quarantined.
pub const REASON: &str = "_reason";
/// The payload of a quarantined record.
pub const RAW: &str = "_raw";
/// The Delta partition column that keeps good rows and rejects in files of their own.
pub const QUARANTINED: &str = "_quarantined";

/// Names of Bronze's own columns in their order. The last three are not shown to readers of good rows.
pub const SYSTEM_COLUMNS: [&str; 13] = [
    TOPIC,
    PARTITION,
    OFFSET,
    TIMESTAMP,
    KEY,
    HEADERS,
    SOURCE,
    SOURCE_ROW,
    INGESTED_AT,
    RESCUED,
    REASON,
    RAW,
    QUARANTINED,
];

/// Columns of [`SYSTEM_COLUMNS`] that only quarantined records use.
pub const HIDDEN_COLUMNS: [&str; 3] = [REASON, RAW, QUARANTINED];

/// Columns of [`SYSTEM_COLUMNS`] whose numbers rise, or stay the same, from row to row for the most part.
pub(super) const COUNTING: [&str; 5] = [PARTITION, OFFSET, TIMESTAMP, SOURCE_ROW, INGESTED_AT];

fn system_type(name: &str) -> DataType {
    match name {
        PARTITION => DataType::Int32,
        OFFSET | SOURCE_ROW => DataType::Int64,
        TIMESTAMP | INGESTED_AT => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        KEY | RAW => DataType::Binary,
        QUARANTINED => DataType::Boolean,
        _ => DataType::Utf8,
    }
}

pub(super) fn is_system(name: &str) -> bool {
    SYSTEM_COLUMNS.contains(&name)
}

/// The stream's columns, then Bronze's own; all nullable.
pub(super) fn table_schema(columns: &Fields) -> SchemaRef {
    let own = SYSTEM_COLUMNS.iter().map(|name| Arc::new(Field::new(*name, system_type(name), true)));
    Arc::new(Schema::new(columns.iter().cloned().chain(own).collect::<Fields>()))
}

/// The columns of a table that are not Bronze's own.
pub(super) fn stream_columns(schema: &Schema) -> Fields {
    let columns = schema.fields().iter().filter(|field| !is_system(field.name()));
    columns.map(|field| Field::new(field.name(), storable_type(field.data_type()), true)).collect()
}

/// The contract as Arrow columns; a column without a type is text.
pub(super) fn declared(table: &TableName, columns: &[Column]) -> Result<Fields> {
    if let Some(column) = columns.iter().find(|column| is_system(&column.name)) {
        return Err(Error::config(format!("`{table}` declares `{}`, which Bronze fills itself", column.name))
            .hint("take the column out of the contract"));
    }
    let data_type = |column: &Column| column.data_type.as_ref().map_or(DataType::Utf8, storable_type);
    Ok(columns.iter().map(|column| Field::new(&column.name, data_type(column), true)).collect())
}

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

/// Fails at the first row whose value is too long for the name of a folder, where the column's name stands before it
/// and each odd byte is written as three.
pub(super) fn check_partition_values(table: &TableName, partition_by: &[String], good: &RecordBatch) -> Result<()> {
    for name in partition_by.iter().filter(|name| *name != QUARANTINED) {
        let texts = good.column_by_name(name).filter(|column| *column.data_type() == DataType::Utf8);
        let Some(texts) = texts.map(|column| column.as_string::<i32>()) else { continue };
        let written = |value: &str| {
            name.len() + 1 + value.bytes().map(|b| if b.is_ascii_alphanumeric() { 1 } else { 3 }).sum::<usize>()
        };
        let long = texts.iter().position(|value| value.is_some_and(|value| written(value) > LONGEST_FOLDER));
        if let Some(row) = long {
            return Err(Error::input(format!(
                "{}: its `{name}`, by which `{table}` is partitioned, is too long to name a folder",
                place(good, row)?
            ))
            .hint(format!(
                "nothing of the batch was committed; cut it in sql/bronze/{}.sql, such as `left({name}, 20)`",
                table.name()
            )));
        }
    }
    Ok(())
}

/// Where the record of a row stands.
pub(super) fn place(rows: &RecordBatch, row: usize) -> Result<Place> {
    let column = |name: &str| rows.column_by_name(name);
    let (Some(topics), Some(numbers), Some(offsets)) = (column(TOPIC), column(PARTITION), column(OFFSET)) else {
        return Err(Error::internal("a Bronze batch lacks columns of its own"));
    };
    Ok(Place {
        topic: topics.as_string::<i32>().value(row).to_string(),
        partition: numbers.as_primitive::<Int32Type>().value(row),
        offset: offsets.as_primitive::<Int64Type>().value(row),
    })
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

/// The table's columns and those of `wanted` it does not have yet: the next commit adds them. Columns only
/// the table has stay, and are null from now on. Fails when a column changed its type.
pub(super) fn widened(table: &TableName, existing: &SchemaRef, wanted: &Schema) -> Result<SchemaRef> {
    schema::widened(existing, wanted, &table.to_string()).map_err(|fault| {
        let changed = wanted.fields().iter().filter_map(|new| {
            let (_, old) = existing.column_with_name(new.name())?;
            (storable_type(old.data_type()) != *new.data_type()).then_some((old.data_type(), new.data_type()))
        });
        let or_widen = match changed.into_iter().all(|(old, new)| schema::is_wider(old, new)) {
            true => {
                "; or run `lake bronze` with `drift: add` for the stream, which writes the table anew in the wider type"
            }
            false => "",
        };
        fault.hint(format!(
            "change the contract back, or move the table away: `lake bronze {}` then reads the topic again from its \
             beginning{or_widen}",
            table.name()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray};

    fn fields(columns: &[(&str, DataType)]) -> Fields {
        columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect()
    }

    #[test]
    fn a_contract_may_grow_and_shrink_but_not_change() {
        let table = TableName::parse("bronze.books").unwrap();
        let existing = table_schema(&fields(&[("a", DataType::Int32), ("b", DataType::Utf8View)]));
        let widen = |columns: &[(&str, DataType)]| {
            let widened = widened(&table, &existing, &table_schema(&fields(columns)));
            widened.map(|schema| schema.fields().len() - existing.fields().len()).map_err(|fault| fault.to_string())
        };
        assert_eq!(widen(&[("a", DataType::Int32), ("b", DataType::Utf8)]), Ok(0));
        assert_eq!(widen(&[("b", DataType::Utf8)]), Ok(0));
        assert_eq!(widen(&[("c", DataType::Utf8), ("a", DataType::Int32)]), Ok(1));
        assert!(widen(&[("a", DataType::Int64)]).unwrap_err().contains("is Int32, not Int64"));
    }

    #[test]
    fn a_table_is_partitioned_by_single_values_of_its_own_columns() {
        let table = TableName::parse("bronze.books").unwrap();
        let list = DataType::List(Arc::new(Field::new("element", DataType::Utf8, true)));
        let columns = fields(&[("sold_on", DataType::Date32), ("tags", list), ("image", DataType::Binary)]);
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
    fn a_value_that_names_no_folder_is_named_with_its_place() {
        let table = TableName::parse("bronze.books").unwrap();
        let rows = |second: String| {
            let columns: [(&str, ArrayRef); 4] = [
                (TOPIC, Arc::new(StringArray::from(vec!["t", "t"]))),
                (PARTITION, Arc::new(Int32Array::from(vec![0, 3]))),
                (OFFSET, Arc::new(Int64Array::from(vec![7, 8]))),
                ("region", Arc::new(StringArray::from(vec![None, Some(second)]))),
            ];
            RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
        };
        let check = |value: &str| check_partition_values(&table, &["region".into()], &rows(value.into()));
        assert!(check(&"x".repeat(200)).is_ok() && check("").is_ok() && check("a/b%é").is_ok());
        for long in ["x".repeat(250), "é".repeat(60)] {
            assert!(check(&long).unwrap_err().to_string().starts_with("t/3 offset 8: its `region`"));
        }
    }

    #[test]
    fn system_columns_cannot_be_declared() {
        let table = TableName::parse("bronze.books").unwrap();
        let column = |name: &str| Column { name: name.into(), ..Column::default() };
        assert_eq!(declared(&table, &[column("a")]).unwrap()[0].data_type(), &DataType::Utf8);
        assert!(declared(&table, &[column("_offset")]).is_err());
    }
}
