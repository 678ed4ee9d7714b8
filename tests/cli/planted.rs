//! Faults planted behind lake's back, on each layer: `lake verify` finds each, names the row, and holds again when it
//! is mended.

use crate::support::Project;
use crate::support::oracle;
use crate::support::postgres::Server;
use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Int64Type};
use deltalake::DeltaTable;
use deltalake::datafusion::prelude::{col, lit};
use std::sync::Arc;

const BOOKS: &str = "id,title,price,weight\n1,a,10.50,0.1\n2,b,,0.30000000000000004\n3,c,7.00,\n4,d,8.00,1e300\n";

/// Books with a key, sales without one; everything loaded.
fn shop(server: &Server) -> Project {
    let mut project = Project::empty();
    project.env("LAKE__WAREHOUSE__URL", &server.url());
    project.write(
        "lake.toml",
        "[[produce]]\nname = \"books\"\nfiles = [\"in/books.csv\"]\n\
         [[produce]]\nname = \"sales\"\nfiles = [\"in/sales.csv\"]\n",
    );
    project.write("in/books.csv", BOOKS);
    let sales: String = (0..500).map(|n| format!("{},{}\n", 1 + n % 4, n % 50)).collect();
    project.write("in/sales.csv", format!("book,amount\n{sales}"));
    project.write(
        "models/gold/book.sql",
        "select cast(id as bigint) as id, title, cast(price as decimal(10,2)) as price, \
         cast(weight as double) as weight from bronze.books\n",
    );
    project.write(
        "models/gold/sale.sql",
        "select cast(book as bigint) as book, cast(amount as bigint) as amount from bronze.sales\n",
    );
    project.write(
        "models/gold/schema.yml",
        "version: 2\nmodels:\n  - name: book\n    columns:\n      - {name: id, data_tests: [not_null, unique]}\n",
    );
    project.lake(&["run", "--once"]).ok();
    project
}

/// Verifies these tables and expects exactly these differences.
fn finds(project: &Project, arguments: &[&str], expected: &[&str]) {
    let mut verify = vec!["verify", "--output", "json"];
    verify.extend(arguments);
    let report = project.lake(&verify);
    assert_eq!(report.code, i32::from(!expected.is_empty()), "{}\n{}", report.stdout, report.stderr);
    let report = report.json();
    let proofs = report["proofs"].as_array().unwrap().iter();
    let found: Vec<&str> =
        proofs.flat_map(|proof| proof["differences"].as_array().unwrap()).map(|text| text.as_str().unwrap()).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_row_that_is_not_as_it_was_loaded_is_named_with_both_its_values() {
    let Some(server) = Server::start("rows changed in the warehouse", &[]) else { return };
    let project = shop(&server);
    finds(&project, &[], &[]);
    let few = "rows: 4 in the lake, 3 in the warehouse";
    let planted: &[(&str, &[&str])] = &[
        ("delete from gold.book where id = 2", &[few, "id = 2: is missing in the warehouse"]),
        (
            "insert into gold.book values (9, 'x', 1, 1)",
            &["rows: 4 in the lake, 5 in the warehouse", "id = 9: is in the warehouse and not in the lake"],
        ),
        (
            "update gold.book set price = 7.01 where id = 3",
            &["values differ in price", "id = 3: price is 7.00 in the lake, 7.01 in the warehouse"],
        ),
        (
            "update gold.book set weight = 0.3 where id = 2",
            &["values differ in weight", "id = 2: weight is 0.30000000000000004 in the lake, 0.3 in the warehouse"],
        ),
        (
            "update gold.book set title = 'b ', price = 0 where id = 2",
            &[
                "values differ in title, price",
                "id = 2: title is b in the lake, b  in the warehouse; price is NULL in the lake, 0.00 in the warehouse",
            ],
        ),
        (
            "update gold.book set price = 15 - price where id in (3, 4)",
            &[
                "each column has its values, in other rows",
                "id = 3: price is 7.00 in the lake, 8.00 in the warehouse",
                "id = 4: price is 8.00 in the lake, 7.00 in the warehouse",
            ],
        ),
        (
            "insert into gold.sale select * from gold.sale where (book, amount) = (1, 0) limit 1",
            &["rows: 500 in the lake, 501 in the warehouse", "book = 1, amount = 0: 5 in the lake, 6 in the warehouse"],
        ),
        (
            "update gold.sale set amount = 51 where ctid = (select min(ctid) from gold.sale where amount = 49)",
            &[
                "values differ in amount",
                "book = 2, amount = 49: 5 in the lake, 4 in the warehouse",
                "book = 2, amount = 51: is in the warehouse and not in the lake",
            ],
        ),
        (
            "alter table gold.book alter price type numeric(12,3)",
            &["column `price` is numeric(12,3) in the warehouse, the lake has numeric(10,2)"],
        ),
    ];
    for (fault, expected) in planted {
        server.execute(fault);
        finds(&project, &[], expected);
        server.execute("alter table gold.book alter price type numeric(10,2)");
        project.lake(&["load-warehouse", "--full"]).ok();
    }
    finds(&project, &[], &[]);
    server.execute("update gold.sale set amount = amount + 1000");
    let report = project.lake(&["verify", "--table", "gold.sale"]).fails_with(1);
    assert_eq!(report.stdout.matches("gold.sale: ").count(), 1 + 5, "examples only:\n{}", report.stdout);
}

#[test]
fn one_table_or_a_sample_is_proven_when_asked() {
    let Some(server) = Server::start("samples", &[]) else { return };
    let project = shop(&server);
    server.execute("update gold.sale set amount = amount + 1000");
    finds(&project, &["--table", "gold.book"], &[]);
    finds(&project, &["--table", "bronze.sales", "--table", "gold.book"], &[]);
    project.lake(&["load-warehouse", "--full"]).ok();
    let sampled = project.lake(&["verify", "--table", "gold.sale", "--sample", "100", "--output", "json"]).ok().json();
    let compared = sampled["proofs"][0]["compared"].as_u64().unwrap();
    assert!((20..=200).contains(&compared), "{sampled}");
    server.execute("update gold.sale set amount = amount + 1000");
    project.lake(&["verify", "--table", "gold.sale", "--sample", "100"]).fails_with(1);
    let unknown = project.lake(&["verify", "--table", "gold.sales"]).fails_with(78);
    let expected = "error: the project declares no table `gold.sales`\n\nhint: did you mean `gold.sale`?\n";
    assert_eq!(unknown.stderr, expected);
}

#[test]
fn what_a_topic_still_holds_and_nobody_read_is_found() {
    let Some(server) = Server::start("records nobody read", &[]) else { return };
    let project = shop(&server);
    project.write("in/books.csv", format!("{BOOKS}5,e,9.00,\n"));
    project.lake(&["produce"]).ok();
    let report = project.lake(&["verify", "--table", "bronze.books"]).fails_with(1);
    for told in ["in/books.csv row 5 is neither", "books/0: up to 1 records from offset 4 are not read"] {
        assert!(report.stdout.contains(told), "`{told}` is not told:\n{}", report.stdout);
    }
    let log = project.path().join(".lake/tables/bronze/books/_delta_log/00000000000000000001.json");
    let commit = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, commit.replace(r#""from":0"#, r#""from":1"#)).unwrap();
    let report = project.lake(&["verify", "--table", "bronze.books"]).fails_with(1);
    let told = "books/0: offsets 0 to 0 lie before the first commit and were never read";
    assert!(report.stdout.contains(told), "{}", report.stdout);
}

fn altered<F: Future<Output = deltalake::DeltaResult<T>>, T>(project: &Project, work: impl FnOnce(DeltaTable) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let folder = project.path().join(".lake/tables/bronze/books");
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
    let rows = rows_of(&project);
    altered(&project, |table| table.delete().with_predicate(at()).into_future());
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
    altered(&project, |table| table.write(rows.clone()).into_future());
    altered(&project, |table| table.write(rows).into_future());
    let doubled = project.lake(&["verify", "--table", "bronze.books"]).fails_with(1).stdout;
    for told in [
        "in/books.csv row 3 is in the table more than once",
        "the table holds 5 rows, its commits say 4",
        "offset 2 stands in the table more than once",
    ] {
        assert!(doubled.contains(told), "`{told}` is not told:\n{doubled}");
    }
}

/// The row as the table holds it.
fn rows_of(project: &Project) -> Vec<RecordBatch> {
    let mut found = Vec::new();
    oracle::each_batch(
        Arc::new(object_store::local::LocalFileSystem::new()),
        url::Url::from_directory_path(project.path().join(".lake/tables/bronze/books")).unwrap(),
        |batch, rejects| {
            let numbers = cast(batch.column_by_name("_source_row").unwrap(), &DataType::Int64).unwrap();
            let third: BooleanArray =
                numbers.as_primitive::<Int64Type>().iter().map(|row| Some(row == Some(3))).collect();
            let mut columns: Vec<(String, ArrayRef)> = filter_record_batch(batch, &third)
                .map(|batch| {
                    batch
                        .schema()
                        .fields()
                        .iter()
                        .map(|field| field.name().clone())
                        .zip(batch.columns().to_vec())
                        .collect()
                })
                .unwrap();
            columns.retain(|(name, _)| name != "_quarantined");
            let rows = columns[0].1.len();
            columns.push(("_quarantined".into(), Arc::new(BooleanArray::from(vec![rejects; rows]))));
            found.push(
                RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
                    .unwrap(),
            );
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
    altered(&project, |table| {
        table.update().with_predicate(col("id").eq(lit("3"))).with_update("price", lit("7.01")).into_future()
    });
    let told = "commit 2 (UPDATE) of another program changed rows: what it changed is not proven";
    finds(&project, &["--table", "bronze.books"], &[told]);
}
