//! New rows in the lake: one in a hundred of the fact, those with the largest keys, get another tax.

use arrow::array::{Array, AsArray, Decimal128Array};
use arrow::compute::{kernels::cmp::gt, max};
use arrow::datatypes::{Decimal128Type, Int64Type};
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use lake::ident::TableName;
use lake::table::manifest::{self, ManifestTable};
use lake::table::{Commit, Lake, LakeConfig, Mode, Picked, Table};
use std::path::Path;
use std::sync::Arc;

/// Answers what was done, for people. The files that hold such rows are written anew, as `promote` would.
pub fn last_of_hundred(root: &Path, round: usize) -> String {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(8 << 20).build().unwrap();
    runtime.block_on(async {
        let config = LakeConfig { root: root.display().to_string(), ..LakeConfig::default() };
        let lake = Lake::open(&config).await.unwrap();
        let name = TableName::parse("gold.fact_order_line").unwrap();
        let mut table = lake.table(&name).await.unwrap().unwrap();
        let from = largest(&table).await / 100 * 99;
        let (mut changed, mut rewritten) = (0, 0);
        for file in table.holding(&[], |_| true).unwrap() {
            let rows: Vec<RecordBatch> = table.rows_in(&file, None).await.unwrap().try_collect().await.unwrap();
            let rows: Vec<(RecordBatch, usize)> = rows.iter().map(|rows| taxed(rows, from, round)).collect();
            let touched: usize = rows.iter().map(|(_, touched)| touched).sum();
            if touched > 0 {
                replace(&mut table, &file, rows.into_iter().map(|(rows, _)| rows).collect()).await;
                (changed, rewritten) = (changed + touched, rewritten + 1);
            }
        }
        let mut run = manifest::latest(&lake).await.unwrap().unwrap();
        run.id = uuid::Uuid::new_v4().to_string();
        let entry = ManifestTable { version: table.version(), ..run.tables[&name.to_string()].clone() };
        run.tables.insert(name.to_string(), entry);
        let after = run.run;
        assert!(manifest::publish(&lake, run, after).await.unwrap().is_some());
        format!("{changed} rows in {rewritten} of {} files", table.files().unwrap())
    })
}

async fn largest(table: &Table) -> i64 {
    let everything = Picked::together(table.holding(&[], |_| true).unwrap());
    let keys = table.rows_in(&everything, Some(&["order_key".to_string()])).await.unwrap();
    let most = keys.map_ok(|keys| max(keys.column(0).as_primitive::<Int64Type>()).unwrap_or(0));
    most.try_fold(0, |most, next| async move { Ok(most.max(next)) }).await.unwrap()
}

/// The rows with another tax from the key on, and how many those are.
fn taxed(rows: &RecordBatch, from: i64, round: usize) -> (RecordBatch, usize) {
    let keys = rows.column_by_name("order_key").unwrap();
    let hit = gt(keys, &arrow::array::Int64Array::new_scalar(from)).unwrap();
    let at = rows.schema().index_of("tax").unwrap();
    let taxes = rows.column(at).as_primitive::<Decimal128Type>();
    let new = taxes.iter().zip(hit.values()).map(|(tax, hit)| tax.map(|tax| tax + if hit { round as i128 } else { 0 }));
    let new: Decimal128Array = new.collect();
    let mut columns = rows.columns().to_vec();
    columns[at] = Arc::new(new.with_data_type(rows.column(at).data_type().clone()));
    (RecordBatch::try_new(rows.schema(), columns).unwrap(), hit.true_count())
}

async fn replace(table: &mut Table, file: &Picked, rows: Vec<RecordBatch>) {
    let mut stage = table.stage(table.schema()).await.unwrap();
    for batch in rows {
        stage.write(batch).await.unwrap();
    }
    let staged = stage.finish().await.unwrap().in_place_of(file);
    let commit = Commit { mode: Mode::Exchange, staged, txns: Vec::new(), info: Default::default() };
    table.commit(commit, "table.commit").await.unwrap();
}
