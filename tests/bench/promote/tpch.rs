//! TPC-H tables as Bronze tables: the generator's own rows, one commit a table.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchReader};
use lake::ident::{Layer, TableName};
use lake::table::{Commit, Committed, Lake, LakeConfig, Mode};
use serde_json::Map;
use std::path::Path;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, RegionGenerator,
    SupplierGenerator,
};
use tpchgen_arrow::{CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, RegionArrow, SupplierArrow};

pub const TABLES: [&str; 7] = ["region", "nation", "supplier", "part", "customer", "orders", "lineitem"];

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

pub fn in_lake<T>(root: &Path, work: impl AsyncFnOnce(Lake) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(8 << 20).build().unwrap();
    runtime.block_on(async {
        let lake = LakeConfig { root: root.display().to_string(), ..LakeConfig::default() };
        work(Lake::open(&lake).await.unwrap()).await
    })
}

async fn write(lake: &Lake, name: &str, rows: impl RecordBatchReader) -> u64 {
    append(lake, name, rows.schema(), rows.map(|batch| batch.unwrap())).await
}

pub async fn append(lake: &Lake, name: &str, schema: SchemaRef, rows: impl Iterator<Item = RecordBatch>) -> u64 {
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
