//! Against a real PostgreSQL, by subject.

mod changes;
mod checks;
mod connect;
mod exact;
mod fingerprint;
mod ledger;
mod migrate;
mod names;
mod oracle;
mod query;
mod readers;
mod replace;
mod survive;
mod values;

use super::throwaway::execute;
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
        checks: vec![],
    }
}

/// Rows in memory; none at all of what must not be read.
#[derive(Clone)]
struct Held(Option<RecordBatch>);

#[async_trait]
impl Rows for Held {
    async fn open(&self) -> Result<Batches> {
        let Some(batch) = self.0.clone() else { panic!("a row was asked for") };
        Ok(futures::stream::iter([Ok(batch)]).boxed())
    }
}

fn batches(arrays: Vec<(&str, ArrayRef)>) -> Held {
    let batch = RecordBatch::try_from_iter_with_nullable(arrays.into_iter().map(|(name, array)| (name, array, true)));
    Held(Some(batch.unwrap()))
}

/// A whole load of one table, with its ledger row.
async fn put(warehouse: &mut dyn Warehouse, target: &Target, rows: Held) -> Result<Changes> {
    Ok(put_all(warehouse, vec![(target.clone(), rows)]).await?.remove(0))
}

async fn put_all(warehouse: &mut dyn Warehouse, tables: Vec<(Target, Held)>) -> Result<Vec<Changes>> {
    put_extent(warehouse, Extent::All, tables).await
}

async fn put_extent(
    warehouse: &mut dyn Warehouse,
    extent: Extent,
    tables: Vec<(Target, Held)>,
) -> Result<Vec<Changes>> {
    let schema = warehouse.schema().to_string();
    let mut load = warehouse.begin().await?;
    assert!(load.try_lock().await?);
    let targets: Vec<Target> = tables.iter().map(|(target, _)| target.clone()).collect();
    load.prepare(&targets).await?;
    for (target, rows) in tables {
        load.stage(&target, extent, &rows).await?;
    }
    let changes = load.merge().await?;
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
        declared: Some(target.declared()),
        ..Entry::default()
    }
}

/// One column of a table, as text.
async fn ask(warehouse: &mut dyn Warehouse, sql: &str) -> Vec<Option<String>> {
    warehouse.query(sql).await.unwrap().rows.into_iter().map(|mut row| row.remove(0)).collect()
}

fn books(rows: &[(i64, Option<&str>, i128)]) -> Held {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
    let titles: ArrayRef = Arc::new(StringArray::from_iter(rows.iter().map(|row| row.1)));
    let prices = Decimal128Array::from_iter_values(rows.iter().map(|row| row.2)).with_precision_and_scale(10, 2);
    batches(vec![("id", ids), ("title", titles), ("price", Arc::new(prices.unwrap()))])
}

fn book_columns() -> [(&'static str, DataType); 3] {
    [("id", DataType::Int64), ("title", DataType::Utf8), ("price", DataType::Decimal128(10, 2))]
}
