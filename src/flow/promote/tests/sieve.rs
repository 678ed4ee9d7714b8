//! Rows that a test takes out of a model: where they go, how often, and what a run that ended in between leaves.

use super::*;
use crate::ident::TableName;
use crate::model::rejected_of;
use crate::table::{Commit, Mode};

const ASIDE: &str = "models:
  - name: sales
    columns:
      - name: book
        tests:
          - not_null: {on_failure: quarantine}
          - relationships: {to: ref('books'), field: id, config: {on_failure: quarantine}}
      - name: amount
        tests:
          - accepted_range: {min_value: 1, on_failure: quarantine, where: id < 100}
";
const REJECTED: &str = "silver.sales__rejected";

async fn rejected_by(shop: &Shop, names: &str) -> Vec<i64> {
    shop.numbers(&format!("select id from {REJECTED} where _rejected_by = '{names}' order by id")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_rows_go_aside_and_the_others_are_published() {
    let shop = Shop::open(&[GOLD, ("models/silver/schema.yml", ASIDE)]).await;
    shop.add_sales(&[(4, Some(99), 0), (5, None, 0), (100, Some(1), 0)]).await;
    let report = shop.all().await;
    let sales = &report.models[1];
    assert_eq!((sales.status, sales.rows, sales.rejected), (ModelStatus::Built, 3, 3));
    assert_eq!((report.models[2].status, report.run), (ModelStatus::Built, Some(1)));
    assert_eq!(shop.numbers("select id from gold.fact_sale order by id").await, [1, 2, 100]);
    assert_eq!(rejected_by(&shop, "not_null_sales_book").await, [3]);
    assert_eq!(rejected_by(&shop, "not_null_sales_book, accepted_range_sales_amount").await, [5]);
    assert_eq!(rejected_by(&shop, "relationships_sales_book__id__books, accepted_range_sales_amount").await, [4]);
    assert_eq!(shop.numbers(&format!("select count(distinct _rejected_at) from {REJECTED}")).await, [1]);
    let test = test_named(&report, "not_null_sales_book");
    assert_eq!((test.status, test.failures), (TestStatus::Warn, 2));
    let message = "2 rows of `silver.sales` without `book`, set aside in `silver.sales__rejected`";
    assert_eq!(test.message.as_deref(), Some(message));

    let again = shop.all().await;
    assert!(again.models.iter().all(|model| model.status == ModelStatus::Skipped), "{again:?}");

    // The whole is built anew, and so is what went aside.
    shop.add_sales(&[(6, Some(1), 1)]).await;
    shop.all().await;
    assert_eq!(shop.numbers(&format!("select count(*) from {REJECTED}")).await, [3]);
    assert_eq!(shop.numbers("select count(*) from silver.sales").await, [4]);
    shop.write("models/silver/sales.sql", "select id, book, amount from bronze.sales where book = 1 and amount > 0\n");
    assert_eq!(shop.all().await.models[1].rejected, 0);
    assert_eq!(shop.numbers(&format!("select count(*) from {REJECTED}")).await, [0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_rejected_rows_than_allowed_publish_nothing() {
    let test = "models:\n  - name: sales\n    columns:\n      - name: book\n        tests:\n          \
                - not_null: {on_failure: quarantine, error_if: '> 1'}\n";
    let shop = Shop::open(&[("models/silver/schema.yml", test)]).await;
    assert_eq!(shop.all().await.models[1].rejected, 1);
    shop.add_sales(&[(4, None, 1), (5, None, 1)]).await;
    let (report, failure) = shop.fails().await;
    assert_eq!((failure.kind(), report.models[1].status), (Kind::CheckFailed, ModelStatus::Failed));
    assert!(failure.to_string().contains("3 rows of `silver.sales` without `book`"), "{failure}");
    assert_eq!(shop.numbers(&format!("select count(*) from {REJECTED}")).await, [1]);
    assert_eq!(shop.numbers("select count(*) from silver.sales").await, [2]);
}

/// Adds what is above `least`.
fn adding(least: i64) -> String {
    format!(
        "{{{{ config(materialized='append') }}}}select id, book, amount from bronze.sales\n\
         {{% if is_incremental() %}}where id > {least}{{% endif %}}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_run_that_ended_between_the_two_commits_are_in_once() {
    let shop = Shop::open(&[("models/silver/schema.yml", ASIDE), ("models/silver/sales.sql", &adding(3))]).await;
    shop.all().await;
    for (step, added) in [(10, 7), (20, 0), (30, 2)] {
        let bad: Vec<_> = (0..added).map(|at| (step + at, None, 1)).collect();
        shop.add_sales(&[bad, vec![(step + 9, Some(1), 1)]].concat()).await;
        shop.write("models/silver/sales.sql", &adding(step - 1));
        // As if this very run had ended after its rejected rows were in.
        let name = rejected_of(&TableName::parse("silver.sales").unwrap()).unwrap();
        let mut table = shop.lake.table(&name).await.unwrap().unwrap();
        let session = shop.engine.session();
        crate::flow::catalog::register(&session, &table).await.unwrap();
        let mut stage = table.stage(table.schema()).await.unwrap();
        for batch in session.query(&format!("select * from {name}")).await.unwrap() {
            stage.write(batch).await.unwrap();
        }
        let staged = stage.finish().await.unwrap();
        let commit = Commit { mode: Mode::Append, staged, txns: Vec::new(), info: Default::default() };
        table.commit(commit, "table.commit").await.unwrap();

        let report = shop.all().await;
        assert_eq!(report.models[1].rejected, added as u64);
        let expected = 1 + if step == 10 || step == 20 { 7 } else { 9 };
        assert_eq!(shop.numbers(&format!("select count(*) from {REJECTED}")).await, [expected], "step {step}");
    }
    assert_eq!(shop.numbers("select count(*) from silver.sales").await, [2 + 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_loses_a_key_is_not_published() {
    for option in ["", ", on_failure: quarantine"] {
        let test = format!(
            "models:\n  - name: sales\n    columns:\n      - name: book\n        tests:\n          \
             - relationships: {{to: ref('books'), field: id{option}}}\n"
        );
        let shop = Shop::open(&[("models/silver/schema.yml", &test)]).await;
        shop.all().await;
        shop.write("models/silver/books.sql", "select id, title from bronze.books where id <> 1\n");
        let (report, failure) = shop.fails().await;
        assert_eq!(statuses(&report), [("silver.books", ModelStatus::Failed), ("silver.sales", ModelStatus::Skipped)]);
        let message = "2 rows of `silver.sales` whose `book` is no `id` of `silver.books`";
        assert!(failure.to_string().contains(message), "{option}: {failure}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_of_the_name_that_rejected_rows_get_is_refused() {
    let sql = "select id, book, amount, 'x' as _rejected_by from bronze.sales";
    let shop = Shop::open(&[("models/silver/schema.yml", ASIDE), ("models/silver/sales.sql", sql)]).await;
    assert_eq!(shop.fault().await, "`silver.sales` returns a column `_rejected_by`, which its rejected rows get");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_adds_by_version_reads_no_rejected_row_again() {
    let sql = "{{ config(materialized='incremental', incremental_strategy='append') }}select id, book, amount from bronze.sales\n";
    let shop = Shop::open(&[("models/silver/schema.yml", ASIDE), ("models/silver/sales.sql", sql)]).await;
    assert_eq!(shop.all().await.models[1].rejected, 1);
    shop.add_sales(&[(4, None, 1), (5, Some(1), 2)]).await;
    assert_eq!(shop.all().await.models[1].rejected, 1);
    shop.add_sales(&[(6, Some(2), 9)]).await;
    assert_eq!(shop.all().await.models[1].rejected, 0);
    assert_eq!(shop.numbers("select id from silver.sales order by id").await, [1, 2, 5, 6]);
    assert_eq!(shop.numbers(&format!("select id from {REJECTED} order by id")).await, [3, 4]);
}
