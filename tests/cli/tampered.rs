//! Rows and values of the lake's own tables changed by another program, on each layer: `lake verify` finds each and names
//! it with its place.

use super::planted::{finds, shop};
use crate::support::Project;
use crate::support::oracle;
use crate::support::postgres::Server;
use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Int64Type};
use deltalake::DeltaTable;
use deltalake::datafusion::common::ScalarValue;
use deltalake::datafusion::prelude::{col, lit};
use std::sync::Arc;

const BOOKS: &str = "bronze/books";

/// A commit of another program to the table in a folder: `bronze/books`.
fn altered<F: Future<Output = deltalake::DeltaResult<T>>, T>(
    project: &Project,
    table: &str,
    work: impl FnOnce(DeltaTable) -> F,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let folder = project.path().join(".lake/tables").join(table);
    runtime.block_on(async move {
        let objects = Arc::new(object_store::local::LocalFileSystem::new());
        work(oracle::open(objects, url::Url::from_directory_path(folder).unwrap()).await).await.unwrap();
    });
}

#[test]
fn a_row_of_bronze_that_was_taken_out_or_doubled_is_named() {
    let Some(server) = Server::start("rows changed in Bronze", &[]) else { return };
    let project = shop(&server);
    let of_bronze = ["--table", "bronze.books"];
    let at = || col("_source_row").eq(lit(3i64));
    let rows = rows_of(&project, BOOKS, "_source_row");
    altered(&project, BOOKS, |table| table.delete().with_predicate(at()).into_future());
    finds(
        &project,
        &of_bronze,
        &[
            "1 row is missing",
            "in/books.csv row 3 is neither in the table nor in its quarantine",
            "commit 2 (DELETE) of another program changed rows: what it changed is not proven",
            "the table holds 3 rows, its commits say 4",
        ],
    );
    altered(&project, BOOKS, |table| table.write(rows.clone()).into_future());
    altered(&project, BOOKS, |table| table.write(rows).into_future());
    let doubled = project.lake(&["verify", "--table", "bronze.books"]).fails_with(1).stdout;
    for told in [
        "in/books.csv row 3 is in the table more than once",
        "the table holds 5 rows, its commits say 4",
        "offset 2 stands in the table more than once",
    ] {
        assert!(doubled.contains(told), "`{told}` is not told:\n{doubled}");
    }
}

/// The row of a table whose number in this column is 3, as the table holds it.
fn rows_of(project: &Project, table: &str, number: &str) -> Vec<RecordBatch> {
    let mut found = Vec::new();
    let folder = project.path().join(".lake/tables").join(table);
    oracle::each_batch(
        Arc::new(object_store::local::LocalFileSystem::new()),
        url::Url::from_directory_path(folder).unwrap(),
        |batch, rejects| {
            let numbers = cast(batch.column_by_name(number).unwrap(), &DataType::Int64).unwrap();
            let third: BooleanArray =
                numbers.as_primitive::<Int64Type>().iter().map(|row| Some(row == Some(3))).collect();
            let batch = filter_record_batch(batch, &third).unwrap();
            let (schema, rows) = (batch.schema(), batch.num_rows());
            let names = schema.fields().iter().map(|field| field.name().clone());
            let mut columns: Vec<(String, ArrayRef)> = names.zip(batch.columns().to_vec()).collect();
            if table.starts_with("bronze") {
                columns.retain(|(name, _)| name != "_quarantined");
                columns.push(("_quarantined".into(), Arc::new(BooleanArray::from(vec![rejects; rows]))));
            }
            let columns = columns.into_iter().map(|(name, array)| (name, array, true));
            found.push(RecordBatch::try_from_iter_with_nullable(columns).unwrap());
        },
    );
    found.retain(|batch| batch.num_rows() > 0);
    found
}

/// All rows are there, and one is not what was sent.
#[test]
fn a_value_of_bronze_that_another_program_changed_is_found() {
    let Some(server) = Server::start("values changed in Bronze", &[]) else { return };
    let project = shop(&server);
    altered(&project, BOOKS, |table| {
        table.update().with_predicate(col("id").eq(lit("3"))).with_update("price", lit("7.01")).into_future()
    });
    let told = "commit 2 (UPDATE) of another program changed rows: what it changed is not proven";
    finds(&project, &["--table", "bronze.books"], &[told]);
    let cell = "in/books.csv row 3: price is 7.00 in the file, 7.01 in the table";
    finds(
        &project,
        &["--table", "bronze.books", "--cells"],
        &[told, "cells of 1 of 4 rows differ from their files", cell],
    );
}

#[test]
fn a_row_of_silver_or_gold_that_was_taken_out_doubled_or_changed_is_named() {
    let Some(server) = Server::start("rows changed in Silver and Gold", &[]) else { return };
    let project = shop(&server);
    let prices = "select cast(id as bigint) as id, cast(price as decimal(10,2)) as price from bronze.books\n";
    project.write("models/silver/prices.sql", prices);
    let keys =
        "version: 2\nmodels:\n  - name: prices\n    columns:\n      - {name: id, data_tests: [not_null, unique]}\n";
    project.write("models/silver/schema.yml", keys);
    let history = "{{ config(materialized='snapshot', unique_key='id', strategy='check', check_cols='all') }}\n\
                   select id, price from silver.prices\n";
    project.write("models/silver/history.sql", history);
    project.lake(&["run", "--once"]).ok();
    finds(&project, &["--cells"], &[]);
    for (table, folder) in [("silver.prices", "silver/prices"), ("gold.book", "gold/book")] {
        let asked = ["--cells", "--table", table];
        let mend = || {
            project.lake(&["promote", "all", "--full-refresh"]).ok();
            project.lake(&["load-warehouse"]).ok();
            finds(&project, &asked, &[]);
        };
        let at = || col("id").eq(lit(3i64));
        let third = rows_of(&project, folder, "id");
        altered(&project, folder, |table| table.delete().with_predicate(at()).into_future());
        finds(&project, &asked, &["rows: 4 by its SQL, 3 in the table", "id = 3: is missing in the table"]);
        mend();
        altered(&project, folder, |table| table.write(third).into_future());
        finds(&project, &asked, &["rows: 4 by its SQL, 5 in the table", "id = 3: 1 by its SQL, 2 in the table"]);
        mend();
        let price = ScalarValue::Decimal128(Some(701), 10, 2);
        let changed = |table: DeltaTable| table.update().with_predicate(at()).with_update("price", lit(price));
        altered(&project, folder, |table| changed(table).into_future());
        finds(&project, &asked, &["values differ in price", "id = 3: price is 7.00 by its SQL, 7.01 in the table"]);
        if table == "silver.prices" {
            finds(&project, &["--cells", "--table", "gold.book"], &[]);
            let refused = project.lake(&["verify", "--table", table]).fails_with(78).stderr;
            assert!(refused.contains("`--cells` compares Silver tables, too"), "{refused}");
        }
        mend();
    }
    altered(&project, "silver/history", |table| table.delete().with_predicate(col("id").eq(lit(3i64))).into_future());
    let whole = project.lake(&["verify", "--cells", "--table", "silver.history"]).fails_with(1).stdout;
    for told in
        ["not compared: a snapshot keeps what its SQL made at other times", "(DELETE) of another program changed rows"]
    {
        assert!(whole.contains(told), "`{told}` is not told:\n{whole}");
    }
    std::fs::remove_dir_all(project.path().join(".lake/tables/silver/history")).unwrap();
    std::fs::remove_file(project.path().join("models/silver/history.sql")).unwrap();
    let sampled = project.lake(&["verify", "--cells", "--sample", "100", "--output", "json"]).ok().json();
    let of = |proof: &str, table: &str| {
        let found =
            sampled["proofs"].as_array().unwrap().iter().find(|one| one["proof"] == proof && one["table"] == table);
        found.unwrap_or_else(|| panic!("{sampled}"))["rows"].as_u64().unwrap()
    };
    for (rows, least) in [(of("cells", "bronze.sales"), 20), (of("remade", "gold.sale"), 20)] {
        assert!((least..=250).contains(&rows), "{sampled}");
    }
}
