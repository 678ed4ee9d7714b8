//! Values come back as they were written, whatever is asked of them.

use super::*;
use arrow::array::{Decimal128Array, Float64Array};
use arrow::util::display::array_value_to_string;

fn decimals(values: Vec<i128>, digits: u8, scale: i8) -> ArrayRef {
    Arc::new(Decimal128Array::from(values).with_precision_and_scale(digits, scale).unwrap())
}

/// Each row in a file of its own but for the last column, so that the bounds of a file are equal.
#[tokio::test(flavor = "multi_thread")]
async fn a_filter_changes_no_value_and_hides_none() {
    let (_directory, lake) = lake().await;
    let columns = [
        ("d38_18", vec![decimals(vec![297_536_190_653_526_544_757], 38, 18), decimals(vec![1], 38, 18)]),
        ("d18_2", vec![decimals(vec![9_007_199_254_740_993], 18, 2), decimals(vec![9_007_199_254_740_992], 18, 2)]),
        ("d15_2", vec![decimals(vec![999_999_999_999_999], 15, 2), decimals(vec![7], 15, 2)]),
        ("nan", vec![Arc::new(Float64Array::from(vec![f64::NAN, 1.0, -1.0])) as ArrayRef]),
        ("real", vec![Arc::new(Float64Array::from(vec![0.1])) as ArrayRef]),
    ];
    for (column, files) in columns {
        let batch = |values: &ArrayRef| RecordBatch::try_from_iter([("v", values.clone())]).unwrap();
        let name = TableName::new(Layer::Silver, column).unwrap();
        let mut table = lake.create(&name, batch(&files[0]).schema(), &[]).await.unwrap();
        for values in &files {
            let staged = staged(&table, batch(values)).await;
            let commit = Commit { mode: Mode::Append, staged, txns: vec![], info: Map::new() };
            table.commit(commit, "table.commit").await.unwrap();
        }
        let context = SessionContext::new();
        context.register_table("t", table.provider().await.unwrap()).unwrap();
        let asked = async |sql: &str| -> Vec<String> {
            let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
            let text = |batch: &RecordBatch| -> Vec<String> {
                (0..batch.num_rows()).map(|row| array_value_to_string(batch.column(0), row).unwrap()).collect()
            };
            let mut rows: Vec<String> = batches.iter().flat_map(text).collect();
            rows.sort();
            rows
        };
        let mut written: Vec<String> = files
            .iter()
            .flat_map(|file| (0..file.len()).map(|row| array_value_to_string(file, row).unwrap()))
            .collect();
        written.sort();
        assert_eq!(asked("select v from t where v is not null").await, written, "{column}");
        assert_eq!(asked("select distinct v from t where v is not null").await, written, "{column}");
    }
    // NaN is greater than every number.
    let context = SessionContext::new();
    let table = lake.table(&TableName::parse("silver.nan").unwrap()).await.unwrap().unwrap();
    context.register_table("t", table.provider().await.unwrap()).unwrap();
    assert_eq!(context.sql("select v from t where v > 1").await.unwrap().count().await.unwrap(), 1);
}
