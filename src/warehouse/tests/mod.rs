//! Against a real PostgreSQL, by subject.

mod connect;
mod fingerprint;
mod ledger;
mod migrate;
mod names;
mod query;
mod replace;
mod values;

use super::*;
use crate::error::Kind;
use arrow::array::*;
use arrow::datatypes::*;
use futures::StreamExt;
use std::sync::Arc;

fn target(name: &str, columns: &[(&str, DataType)], key: &[&str]) -> Target {
    let column = |(name, data_type): &(&str, DataType)| Column {
        name: name.to_string(),
        data_type: data_type.clone(),
        nullable: !key.contains(name),
        description: String::new(),
    };
    Target {
        name: name.into(),
        description: "a test's table".into(),
        columns: columns.iter().map(column).collect(),
        primary_key: key.iter().map(|name| name.to_string()).collect(),
        unique: vec![],
        foreign_keys: vec![],
    }
}

fn batches(arrays: Vec<(&str, ArrayRef)>) -> Batches {
    let batch = RecordBatch::try_from_iter_with_nullable(arrays.into_iter().map(|(name, array)| (name, array, true)));
    futures::stream::iter([Ok(batch.unwrap())]).boxed()
}

/// A whole load of one table, with its ledger row.
async fn put(warehouse: &mut dyn Warehouse, target: &Target, rows: Batches) -> Result<Changes> {
    Ok(put_all(warehouse, vec![(target.clone(), rows)]).await?.remove(0))
}

async fn put_all(warehouse: &mut dyn Warehouse, tables: Vec<(Target, Batches)>) -> Result<Vec<Changes>> {
    let schema = warehouse.schema().to_string();
    let mut load = warehouse.begin().await?;
    assert!(load.try_lock().await?);
    let targets: Vec<Target> = tables.iter().map(|(target, _)| target.clone()).collect();
    load.prepare(&targets).await?;
    let mut changes = Vec::new();
    for (target, rows) in tables {
        changes.push(load.replace(&target, rows).await?);
    }
    load.constrain(&targets).await?;
    let entries: Vec<Entry> = targets.iter().map(|target| entry(&schema, target)).collect();
    load.record(&entries).await?;
    assert!(matches!(load.commit().await?, Outcome::Committed));
    Ok(changes)
}

fn entry(schema: &str, target: &Target) -> Entry {
    Entry {
        table: format!("{schema}.{}", target.name),
        load_id: uuid::Uuid::new_v4().to_string(),
        columns: target.columns.iter().map(|column| column.name.clone()).collect(),
        ..Entry::default()
    }
}

/// Statements of somebody else.
async fn execute(config: &WarehouseConfig, sql: &str) {
    let (client, connection) = tokio_postgres::connect(&config.url, tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    drop(client);
    driver.await.unwrap().unwrap();
}

/// One column of a table, as text.
async fn ask(warehouse: &mut dyn Warehouse, sql: &str) -> Vec<Option<String>> {
    warehouse.query(sql).await.unwrap().rows.into_iter().map(|mut row| row.remove(0)).collect()
}

fn books(rows: &[(i64, Option<&str>, i128)]) -> Batches {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
    let titles: ArrayRef = Arc::new(StringArray::from_iter(rows.iter().map(|row| row.1)));
    let prices = Decimal128Array::from_iter_values(rows.iter().map(|row| row.2)).with_precision_and_scale(10, 2);
    batches(vec![("id", ids), ("title", titles), ("price", Arc::new(prices.unwrap()))])
}

fn book_columns() -> [(&'static str, DataType); 3] {
    [("id", DataType::Int64), ("title", DataType::Utf8), ("price", DataType::Decimal128(10, 2))]
}
