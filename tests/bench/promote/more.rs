//! What comes later into the TPC-H tables, a hundredth of their rows: new orders, or lines that stand with another quantity.

use crate::tpch::{append, in_lake};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Decimal128Type, Int32Type, Int64Type};
use arrow::record_batch::{RecordBatch, RecordBatchReader};
use std::path::Path;
use std::sync::Arc;
use tpchgen::generators::{LineItemGenerator, OrderGenerator};
use tpchgen_arrow::{LineItemArrow, OrderArrow};

/// Of a hundred.
const SHARE: i32 = 100;
/// Added to a quantity, which is 50 at most, in hundredths.
const MORE: i128 = 10_000;

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
