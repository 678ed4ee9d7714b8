//! Readers who join the tables all the time while loads go on: they see the old star or the new one, and wait for no
//! more than its last step.

use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const BOOKS: i64 = 300;
/// How long the rows of one load take to come.
const SLOW: Duration = Duration::from_millis(700);
/// What a reader may wait at most. A lock taken before the rows are in would cost it more than [`SLOW`].
const BOUND: Duration = Duration::from_millis(500);

/// Rows that come slowly.
struct Slow(Held);

#[async_trait]
impl Rows for Slow {
    async fn open(&self) -> Result<Batches> {
        tokio::time::sleep(SLOW).await;
        self.0.open().await
    }
}

/// The dimension and the fact of generation `n`, whose number stands in every row; every second one has wider columns
/// than the first, and one more.
fn star(n: i64) -> Vec<(Target, Held)> {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(n..n + BOOKS));
    let same: ArrayRef = Arc::new(Int64Array::from_iter_values((0..BOOKS).map(|_| n)));
    let amount = |precision| {
        let amounts = Decimal128Array::from_iter_values((0..BOOKS).map(|_| i128::from(n)));
        Arc::new(amounts.with_precision_and_scale(precision, 0).unwrap()) as ArrayRef
    };
    let precision = 10 + u8::try_from(n).unwrap();
    let dim = target("dim", &[("id", DataType::Int64), ("generation", DataType::Int64)], &["id"]);
    let mut columns = vec![
        ("book", DataType::Int64),
        ("generation", DataType::Int64),
        ("amount", DataType::Decimal128(precision, 0)),
    ];
    let mut arrays = vec![("book", ids.clone()), ("generation", same.clone()), ("amount", amount(precision))];
    let names: Vec<String> = (0..n).map(|number| format!("more_{number}")).collect();
    for name in &names {
        columns.push((name, DataType::Int64));
        arrays.push((name, same.clone()));
    }
    let mut fact = target("fact", &columns, &[]);
    fact.foreign_keys = vec![ForeignKey { column: "book".into(), table: "dim".into(), field: "id".into() }];
    vec![(dim, batches(vec![("id", ids), ("generation", same)])), (fact, batches(arrays))]
}

async fn load_slowly(warehouse: &mut dyn Warehouse, n: i64) {
    let tables = star(n);
    let mut load = warehouse.begin().await.unwrap();
    assert!(load.try_lock().await.unwrap());
    let targets: Vec<Target> = tables.iter().map(|(target, _)| target.clone()).collect();
    load.prepare(&targets).await.unwrap();
    for (target, rows) in tables {
        load.stage(&target, Extent::All, &Slow(rows)).await.unwrap();
    }
    load.merge().await.unwrap();
    load.constrain(&targets).await.unwrap();
    let entries: Vec<Entry> = targets.iter().map(|target| entry("gold", target)).collect();
    load.record(&entries).await.unwrap();
    assert!(matches!(load.commit().await.unwrap(), Outcome::Committed));
}

/// Joins until `over`; answers how often, and how long the slowest statement took.
async fn read(config: WarehouseConfig, isolation: &'static str, over: Arc<AtomicBool>) -> (u64, Duration) {
    let (client, connection) = tokio_postgres::connect(&config.url, tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    let (mut times, mut slowest) = (0, Duration::ZERO);
    let joined = "select count(*), min(f.generation), max(f.generation), min(d.generation), max(d.generation), \
         min(f.amount)::bigint from gold.fact f join gold.dim d on d.id = f.book";
    while !over.load(Ordering::Relaxed) {
        client.batch_execute(&format!("begin isolation level {isolation}")).await.unwrap();
        let mut seen = Vec::new();
        for _ in 0..2 {
            let began = Instant::now();
            // A statement may be prepared before, and run after, a column has changed its type.
            let Ok(row) = client.query_one(joined, &[]).await else { continue };
            slowest = slowest.max(began.elapsed());
            let generation: i64 = row.get(1);
            let expected = (BOOKS, generation, generation, generation, generation);
            assert_eq!((row.get(0), row.get(1), row.get(2), row.get(3), row.get(4)), expected, "{isolation}");
            assert_eq!(row.get::<_, i64>(5), generation);
            seen.push(generation);
        }
        if isolation == "repeatable read" {
            seen.dedup();
            assert!(seen.len() <= 1, "one transaction saw two stars: {seen:?}");
        }
        client.batch_execute("rollback").await.unwrap();
        times += 1;
    }
    drop(client);
    driver.await.unwrap().unwrap();
    (times, slowest)
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_see_one_star_and_wait_for_no_rows() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    load_slowly(warehouse.as_mut(), 1).await;
    let over = Arc::new(AtomicBool::new(false));
    let readers = ["read committed", "repeatable read"]
        .map(|isolation| tokio::spawn(read(config.clone(), isolation, Arc::clone(&over))));
    for n in 2..6 {
        load_slowly(warehouse.as_mut(), n).await;
    }
    over.store(true, Ordering::Relaxed);
    for (reader, isolation) in readers.into_iter().zip(["read committed", "repeatable read"]) {
        let (times, slowest) = reader.await.unwrap();
        eprintln!("{isolation}: {times} transactions, the slowest statement took {slowest:?}");
        assert!(times > 20 && slowest < BOUND, "{isolation}: {times} transactions, {slowest:?}");
    }
}
