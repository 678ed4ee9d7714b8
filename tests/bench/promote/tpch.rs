//! TPC-H tables as Bronze tables: the generator's own rows, one commit a table; and what comes later, a hundredth of
//! them: new orders, or lines that stand with another quantity.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Decimal128Type, Int32Type, Int64Type, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchReader};
use lake::ident::{Layer, TableName};
use lake::table::{Commit, Committed, Lake, LakeConfig, Mode};
use serde_json::Map;
use std::path::Path;
use std::sync::Arc;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, RegionGenerator,
    SupplierGenerator,
};
use tpchgen_arrow::{CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, RegionArrow, SupplierArrow};

pub const TABLES: [&str; 7] = ["region", "nation", "supplier", "part", "customer", "orders", "lineitem"];

/// Of a hundred.
const SHARE: i32 = 100;
/// Added to a quantity, which is 50 at most, in hundredths.
const MORE: i128 = 100_00;

/// Answers the rows of `lineitem`.
pub fn fill(root: &Path, scale: f64) -> u64 {
    in_lake(root, async |lake| {
        write(&lake, "region", RegionArrow::new(RegionGenerator::new(scale, 1, 1))).await;
        write(&lake, "nation", NationArrow::new(NationGenerator::new(scale, 1, 1))).await;
        write(&lake, "supplier", SupplierArrow::new(SupplierGenerator::new(scale, 1, 1))).await;
        write(&lake, "part", PartArrow::new(PartGenerator::new(scale, 1, 1))).await;
        write(&lake, "customer", CustomerArrow::new(CustomerGenerator::new(scale, 1, 1))).await;
        write(&lake, "orders", OrderArrow::new(OrderGenerator::new(scale, 1, 1))).await;
        write(&lake, "lineitem", LineItemArrow::new(LineItemGenerator::new(scale, 1, 1))).await
    })
}

/// Orders with keys beyond all that stand, and their lines; answers how many lines.
pub fn new_orders(root: &Path, scale: f64, round: usize) -> u64 {
    let part = i32::try_from(round).unwrap();
    let beyond = (6_000_000.0 * scale).ceil() as i64;
    let later = |batch: RecordBatch| {
        let keys = batch.column(0).as_primitive::<Int64Type>().values().iter().map(|key| key + beyond);
        with_column(&batch, 0, Arc::new(Int64Array::from_iter_values(keys)))
    };
    in_lake(root, async |lake| {
        let orders = OrderArrow::new(OrderGenerator::new(scale, part, SHARE));
        append(&lake, "orders", orders.schema(), orders.map(|batch| later(batch.unwrap()))).await;
        let lines = LineItemArrow::new(LineItemGenerator::new(scale, part, SHARE));
        append(&lake, "lineitem", lines.schema(), lines.map(|batch| later(batch.unwrap()))).await
    })
}

/// Lines spread evenly over all, others in each round, with a higher quantity; answers how many.
pub fn changed_lines(root: &Path, scale: f64, round: usize) -> u64 {
    let chosen = move |batch: RecordBatch| {
        let (keys, lines) = (batch.column(0).as_primitive::<Int64Type>(), batch.column(3).as_primitive::<Int32Type>());
        let keys = keys.values().iter().zip(lines.values());
        let mask: BooleanArray =
            keys.map(|(key, line)| Some((key * 7 + i64::from(*line) + round as i64) % i64::from(SHARE) == 0)).collect();
        let batch = filter_record_batch(&batch, &mask).unwrap();
        let quantities = batch.column(4).as_primitive::<Decimal128Type>();
        let higher = Decimal128Array::from_iter_values(quantities.values().iter().map(|quantity| quantity + MORE));
        with_column(&batch, 4, Arc::new(higher.with_data_type(quantities.data_type().clone())))
    };
    in_lake(root, async |lake| {
        let lines = LineItemArrow::new(LineItemGenerator::new(scale, 1, 1));
        append(&lake, "lineitem", lines.schema(), lines.map(|batch| chosen(batch.unwrap()))).await
    })
}

fn with_column(batch: &RecordBatch, at: usize, column: ArrayRef) -> RecordBatch {
    let mut columns = batch.columns().to_vec();
    columns[at] = column;
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

fn in_lake<T>(root: &Path, work: impl AsyncFnOnce(Lake) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(8 << 20).build().unwrap();
    runtime.block_on(async {
        let lake = LakeConfig { root: root.display().to_string(), ..LakeConfig::default() };
        work(Lake::open(&lake).await.unwrap()).await
    })
}

async fn write(lake: &Lake, name: &str, rows: impl RecordBatchReader) -> u64 {
    append(lake, name, rows.schema(), rows.map(|batch| batch.unwrap())).await
}

async fn append(lake: &Lake, name: &str, schema: SchemaRef, rows: impl Iterator<Item = RecordBatch>) -> u64 {
    let name = TableName::new(Layer::Bronze, name).unwrap();
    let mut table = lake.create(&name, schema, &[]).await.unwrap();
    let mut stage = table.stage(table.schema()).await.unwrap();
    for batch in rows {
        stage.write(batch).await.unwrap();
    }
    let staged = stage.finish().await.unwrap();
    let written = staged.rows;
    let commit = Commit { mode: Mode::Append, staged, txns: Vec::new(), info: Map::new() };
    let done = table.commit(commit, "table.commit").await.unwrap();
    assert!(matches!(done, Committed::Done { .. }), "{done:?}");
    written
}
