//! Bronze's own columns, and the shape of a Bronze table: the stream's columns, then these.

use crate::decode::RESCUED;
use crate::error::{Error, Result};
use crate::flow::reasons::Place;
use crate::ident::TableName;
use crate::model::Column;
use crate::table::schema::{self, storable_type};
use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Int64Type, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use std::sync::Arc;

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
pub(in crate::flow) fn table_schema(columns: &Fields) -> SchemaRef {
    let own = SYSTEM_COLUMNS.iter().map(|name| Arc::new(Field::new(*name, system_type(name), true)));
    Arc::new(Schema::new(columns.iter().cloned().chain(own).collect::<Fields>()))
}

/// The columns of a table that are not Bronze's own.
pub(super) fn stream_columns(schema: &Schema) -> Fields {
    let columns = schema.fields().iter().filter(|field| !is_system(field.name()));
    columns.map(|field| Field::new(field.name(), storable_type(field.data_type()), true)).collect()
}

/// The contract as Arrow columns; a column without a type is text.
pub(in crate::flow) fn declared(table: &TableName, columns: &[Column]) -> Result<Fields> {
    if let Some(column) = columns.iter().find(|column| is_system(&column.name)) {
        return Err(Error::config(format!("`{table}` declares `{}`, which Bronze fills itself", column.name))
            .hint("take the column out of the contract"));
    }
    let data_type = |column: &Column| column.data_type.as_ref().map_or(DataType::Utf8, storable_type);
    Ok(columns.iter().map(|column| Field::new(&column.name, data_type(column), true)).collect())
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
        assert!(widen(&[("a", DataType::Int64)]).unwrap_err().contains("is integer, not bigint"));
    }

    #[test]
    fn system_columns_cannot_be_declared() {
        let table = TableName::parse("bronze.books").unwrap();
        let column = |name: &str| Column { name: name.into(), ..Column::default() };
        assert_eq!(declared(&table, &[column("a")]).unwrap()[0].data_type(), &DataType::Utf8);
        assert!(declared(&table, &[column("_offset")]).is_err());
    }
}
