//! What every warehouse promises ([`lake::warehouse::Warehouse`], [`lake::warehouse::Load`]), whatever database it is.
//!
//! To test another one: a row in [`each`].

use crate::support::services::services;
use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use futures::StreamExt;
use lake::error::Result;
use lake::warehouse::{
    self, Batches, Changes, Column, Entry, Extent, ForeignKey, Load, Outcome, Rows, Standing, Target, Warehouse,
    WarehouseConfig,
};
use std::sync::Arc;
use std::time::Duration;

type Book = (i64, &'static str);

struct Held(RecordBatch);

#[async_trait]
impl Rows for Held {
    async fn open(&self) -> Result<Batches> {
        Ok(futures::stream::iter([Ok(self.0.clone())]).boxed())
    }
}

/// Books, with the number of copies that came or left when they are changes.
fn books(rows: &[Book], copies: Option<&[i64]>) -> Held {
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)))),
        ("title", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1)))),
    ];
    if let Some(copies) = copies {
        columns.push(("copies", Arc::new(Int64Array::from(copies.to_vec()))));
    }
    Held(RecordBatch::try_from_iter(columns).unwrap())
}

fn target(name: &str, columns: &[(&str, DataType)], key: &[&str]) -> Target {
    let column = |(name, data_type): &(&str, DataType)| Column {
        name: name.to_string(),
        data_type: data_type.clone(),
        nullable: !key.contains(name),
        description: String::new(),
    };
    Target {
        name: name.into(),
        description: String::new(),
        columns: columns.iter().map(column).collect(),
        primary_key: key.iter().map(ToString::to_string).collect(),
        unique: vec![],
        foreign_keys: vec![],
        checks: vec![],
    }
}

fn book() -> Target {
    target("book", &[("id", DataType::Int64), ("title", DataType::Utf8)], &["id"])
}

/// Two connections to each warehouse there is, to a schema that nobody else has; none on a machine without any.
async fn each(test: &str) -> Vec<(Box<dyn Warehouse>, Box<dyn Warehouse>)> {
    let Some(services) = services(test) else { return Vec::new() };
    let schema = format!("t{}", uuid::Uuid::new_v4().simple());
    let config = WarehouseConfig { url: services.postgres, password: Some(services.postgres_password), schema };
    vec![(warehouse::connect(&config).await.unwrap(), warehouse::connect(&config).await.unwrap())]
}

/// A load that has the lock; other tests use the same database.
async fn begin(warehouse: &mut dyn Warehouse) -> Box<dyn Load + '_> {
    let mut load = warehouse.begin().await.unwrap();
    while !load.try_lock().await.unwrap() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    load
}

async fn put(warehouse: &mut dyn Warehouse, target: &Target, extent: Extent, rows: Held) -> Result<Changes> {
    let mut load = begin(warehouse).await;
    load.prepare(std::slice::from_ref(target)).await?;
    load.stage(target, extent, &rows).await?;
    let changes = load.merge().await?.remove(0);
    load.constrain(std::slice::from_ref(target)).await?;
    assert!(matches!(load.commit().await?, Outcome::Committed));
    Ok(changes)
}

async fn titles(warehouse: &mut dyn Warehouse) -> String {
    let answer = warehouse.query("select id, title from book order by id").await.unwrap();
    answer
        .rows
        .into_iter()
        .map(|row| row.into_iter().flatten().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join(", ")
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_seen_of_a_load_before_its_commit_nor_of_one_that_was_dropped() {
    for (mut warehouse, mut other) in each("the contract of a warehouse").await {
        put(warehouse.as_mut(), &book(), Extent::All, books(&[(1, "a")], None)).await.unwrap();
        for commits in [false, true] {
            let before = titles(other.as_mut()).await;
            let schema = warehouse.schema().to_string();
            let mut load = begin(warehouse.as_mut()).await;
            load.stage(&book(), Extent::All, &books(&[(1, "b"), (2, "c")], None)).await.unwrap();
            load.merge().await.unwrap();
            let entry = Entry {
                table: format!("{schema}.book"),
                load_id: uuid::Uuid::new_v4().to_string(),
                ..Entry::default()
            };
            load.record(std::slice::from_ref(&entry)).await.unwrap();
            assert_eq!(titles(other.as_mut()).await, before);
            match commits {
                true => assert!(matches!(load.commit().await.unwrap(), Outcome::Committed)),
                false => drop(load),
            }
            let noted = other.ledger().await.unwrap().iter().any(|found| found.load_id == entry.load_id);
            assert_eq!((noted, titles(other.as_mut()).await == before), (commits, !commits), "ledger and rows are one");
        }
        assert_eq!(titles(other.as_mut()).await, "1 b, 2 c");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_changed_lead_where_all_rows_do_and_the_same_rows_change_nothing() {
    for (mut warehouse, _) in each("the contract of a warehouse").await {
        let warehouse = warehouse.as_mut();
        put(warehouse, &book(), Extent::All, books(&[(1, "a"), (2, "b"), (3, "c")], None)).await.unwrap();
        let again = books(&[(3, "c"), (1, "a"), (2, "b")], None);
        let again = put(warehouse, &book(), Extent::All, again).await.unwrap();
        assert_eq!(again, Changes { rows: 3, ..Changes::default() });
        let changes = books(&[(1, "a"), (2, "b"), (2, "d"), (4, "e")], Some(&[-1, -1, 1, 1]));
        let changed = put(warehouse, &book(), Extent::Changes, changes).await.unwrap();
        assert_eq!((changed.inserted, changed.updated, changed.deleted), (1, 1, 1));
        assert_eq!(titles(warehouse).await, "2 d, 3 c, 4 e");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_come_in_any_order_and_references_hold_at_the_end() {
    for (mut warehouse, _) in each("the contract of a warehouse").await {
        let mut sale = target("sale", &[("id", DataType::Int64), ("title", DataType::Utf8)], &[]);
        sale.foreign_keys = vec![ForeignKey { column: "id".into(), table: "book".into(), field: "id".into() }];
        for (sold, fits) in [(1, true), (9, false)] {
            let mut load = begin(warehouse.as_mut()).await;
            load.stage(&sale, Extent::All, &books(&[(sold, "s")], None)).await.unwrap();
            load.stage(&book(), Extent::All, &books(&[(1, "a")], None)).await.unwrap();
            load.merge().await.unwrap();
            let held = load.constrain(&[sale.clone(), book()]).await;
            assert_eq!(held.is_ok(), fits, "{held:?}");
            if fits {
                assert!(matches!(load.commit().await.unwrap(), Outcome::Committed));
            }
        }
        assert_eq!(titles(warehouse.as_mut()).await, "1 a");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_load_runs_at_a_time_and_a_refused_one_leaves_the_connection_usable() {
    for (mut warehouse, mut other) in each("the contract of a warehouse").await {
        let mut load = begin(warehouse.as_mut()).await;
        assert_eq!(load.standing(&book()).await.unwrap(), Standing::Absent);
        let mut second = other.begin().await.unwrap();
        assert!(!second.try_lock().await.unwrap());
        drop(second);
        load.stage(&book(), Extent::All, &books(&[(1, "a\0")], None)).await.unwrap_err();
        drop(load);
        put(warehouse.as_mut(), &book(), Extent::All, books(&[(1, "a")], None)).await.unwrap();
        let mut load = begin(other.as_mut()).await;
        assert_eq!(load.standing(&book()).await.unwrap(), Standing::Filled);
        assert!(load.fits(&book()).await.unwrap());
    }
}
