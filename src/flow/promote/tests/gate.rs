//! What tests take beside their arguments, and the sources' age.

use super::*;
use crate::flow::checks::Evidence;

/// The contract of `silver.sales` with tests of the table.
fn table_tests(tests: &str) -> String {
    format!("models:\n  - name: sales\n    tests:\n      - {tests}\n")
}

async fn outcome(shop: &Shop) -> (Report, Option<Error>) {
    shop.promote(&[Layer::Silver]).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_rows_are_judged_by_their_number() {
    // Two of three amounts are above 5.
    let table = [
        ("", TestStatus::Fail, 2),
        (", error_if: '> 2'", TestStatus::Warn, 2),
        (", error_if: '>= 2'", TestStatus::Fail, 2),
        (", error_if: '> 2', warn_if: '> 2'", TestStatus::Pass, 2),
        (", config: {severity: warn, error_if: '> 1'}", TestStatus::Warn, 2),
        (", limit: 1, error_if: '> 1'", TestStatus::Warn, 1),
        (", where: 'id > 2'", TestStatus::Fail, 1),
        (", where: 'id > 3'", TestStatus::Pass, 0),
    ];
    for (options, status, failures) in table {
        let test = table_tests(&format!("expression_is_true: {{name: small, expression: amount <= 5{options}}}"));
        let shop = Shop::open(&[("models/silver/schema.yml", &test)]).await;
        let (report, failure) = outcome(&shop).await;
        let test = test_named(&report, "small");
        assert_eq!((test.status, test.failures), (status, failures), "{options}");
        assert_eq!(failure.is_some(), status == TestStatus::Fail, "{options}");
        assert_eq!(report.run.is_some(), status != TestStatus::Fail, "{options}");
    }
}

/// By hand: the amounts are 5, 7 and 9, the books of the sales 1, 1 and none, those there are 1, 2 and 3.
#[tokio::test(flavor = "multi_thread")]
async fn a_test_of_ones_own_gates_like_any_other() {
    let own = "{% test at_most(model, column_name, most=8) %}\n{{ config(severity='warn') if most == 7 }}\n\
        select * from {{ model }} where {{ column_name }} > {{ most }}\n{% endtest %}\n\
        {% data_test known(model, column_name, to) %}\nselect {{ column_name }} from {{ model }}\n\
        where {{ column_name }} not in (select id from {{ to }} where id > 1)\n{% enddata_test %}\n";
    let column = |name: &str, test: &str| {
        format!("models:\n  - name: sales\n    columns:\n      - name: {name}\n        tests:\n          - {test}\n")
    };
    let table = [
        ("amount", "at_most", "at_most_sales_amount", TestStatus::Fail, 1),
        ("amount", "at_most: {most: 4}", "at_most_sales_amount_4", TestStatus::Fail, 3),
        ("amount", "at_most: {arguments: {most: 9}}", "at_most_sales_amount_9", TestStatus::Pass, 0),
        ("amount", "at_most: {most: 7}", "at_most_sales_amount_7", TestStatus::Warn, 1),
        ("amount", "at_most: {where: 'id < 3'}", "at_most_sales_amount", TestStatus::Pass, 0),
        ("amount", "at_most: {name: small, severity: warn}", "small", TestStatus::Warn, 1),
        (
            "book",
            "known: {to: \"source('bronze', 'books')\"}",
            "known_sales_book_source_bronze_books",
            TestStatus::Fail,
            2,
        ),
    ];
    for (name, test, called, status, failures) in table {
        let files = [("macros/own.sql", own), ("models/silver/schema.yml", &column(name, test))];
        let shop = Shop::open(&files).await;
        let (report, failure) = outcome(&shop).await;
        let run = test_named(&report, called);
        assert_eq!((run.status, run.failures), (status, failures), "{test}");
        assert_eq!((failure.is_some(), report.run.is_some()), (status == TestStatus::Fail, status != TestStatus::Fail));
        if test == "at_most" {
            assert_eq!(run.message.as_deref(), Some("1 row returned by macros/own.sql"));
        }
    }
    let shop = Shop::open(&[
        ("macros/own.sql", own),
        ("models/silver/schema.yml", &column("amount", "at_most: {most: nothing}")),
    ])
    .await;
    let text = shop.fault().await;
    assert!(text.starts_with("macros/own.sql:3:1: column `nothing` not found"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_test_is_not_run_and_a_count_of_rows_is() {
    let off = table_tests("expression_is_true: {expression: amount < 0, config: {enabled: false}}");
    let shop = Shop::open(&[("models/silver/schema.yml", &off)]).await;
    assert!(shop.all().await.tests.is_empty());
    shop.write("models/silver/schema.yml", &table_tests("row_count: {min_value: 3, max_value: 3}"));
    assert_eq!(test_named(&shop.all().await, "row_count_sales").status, TestStatus::Pass);
    shop.add_sales(&[(4, Some(2), 1)]).await;
    let (report, failure) = shop.fails().await;
    let test = test_named(&report, "row_count_sales");
    assert_eq!(test.message.as_deref(), Some("the number of rows of `silver.sales` is not 3 to 3"));
    assert_eq!(shop.read(test.kept_at.as_deref().unwrap()), "row_count\n4\n");
    assert!(failure.to_string().contains("row_count_sales"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_too_old_blocks_what_reads_it() {
    let source = |field: &str, freshness: &str| {
        format!(
            "sources:\n  - name: shop\n    freshness: {freshness}\n    loaded_at_field: {field}\n    tables:\n      \
             - {{name: books, freshness: null}}\n      - {{name: sales}}\n"
        )
    };
    let old = "to_timestamp(amount)";
    let both = "{warn_after: {count: 1, period: hour}, error_after: {count: 2, period: day}}";
    let shop = Shop::open(&[]).await;
    shop.write("models/sources.yml", &source(old, both));
    let (report, failure) = shop.fails().await;
    assert_eq!(statuses(&report), [("silver.books", ModelStatus::Built), ("silver.sales", ModelStatus::Blocked)]);
    assert_eq!(report.models[1].reason, "blocked: `bronze.sales` is too old");
    assert_eq!(failure.kind(), Kind::CheckFailed);
    let message = "the newest `to_timestamp(amount)` of `bronze.sales` is older than 2 days";
    assert!(failure.to_string().contains(message), "{failure}");
    assert_eq!(test_named(&report, "freshness_warn_bronze_sales").status, TestStatus::Warn);
    assert_eq!(report.run, None);

    shop.write("models/sources.yml", &source(old, "{warn_after: {count: 1, period: hour}}"));
    let warned = shop.all().await;
    assert_eq!(test_named(&warned, "freshness_warn_bronze_sales").status, TestStatus::Warn);
    assert_eq!(warned.run, Some(1));

    shop.write("models/sources.yml", &source("to_timestamp(amount + 4000000000)", both));
    let fresh = shop.all().await;
    assert!(fresh.tests.iter().all(|test| test.status == TestStatus::Pass), "{fresh:?}");
    assert_eq!(fresh.tests.len(), 2);
    let (progress, stop) = (Progress::silent(), Stop::default());
    let (project, options) = (shop.project().unwrap(), test::Options::default());
    let root = shop.root.path();
    let (tested, _) = test::test(root, &project, &shop.lake, &shop.engine, &options, &progress, &stop).await.unwrap();
    assert_eq!(tested.tests.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_statistics_prove_is_not_read() {
    let columns = "models:\n  - name: sales\n    tests: [{row_count: {min_value: 1}}]\n    columns:\n      \
                   - {name: id, tests: [not_null, unique, accepted_range: {min_value: 1}]}\n      \
                   - {name: book, tests: [not_null: {where: book is not null}]}\n";
    let shop = Shop::open(&[("models/silver/schema.yml", columns)]).await;
    let report = shop.all().await;
    let evidence = |report: &Report, name: &str| test_named(report, name).evidence.unwrap();
    for name in ["row_count_sales", "not_null_sales_id", "accepted_range_sales_id"] {
        assert_eq!(evidence(&report, name), Evidence::Statistics, "{name}");
    }
    // A key twice and a NULL: what no statistics tell.
    for name in ["unique_sales_id", "not_null_sales_book"] {
        assert!(matches!(evidence(&report, name), Evidence::ScannedBytes(1..)), "{name}: {report:?}");
    }
    let totals = &report.evidence;
    assert_eq!((totals.proved_by_statistics, totals.scanned), (3, 2));
    assert!(totals.scanned_bytes > 0);
}

/// `silver.sales` adds its rows and has a key.
async fn adding(options: &str) -> Shop {
    let shop = Shop::open(&[(
        "models/silver/sales.sql",
        "{{ config(materialized='append') }}select id, book, amount from bronze.sales\n\
         {% if is_incremental() %}where id > 100{% endif %}\n",
    )])
    .await;
    let rows: Vec<(i64, Option<i64>, i64)> = (10..100).map(|id| (id, Some(1), id)).collect();
    shop.add_sales(&rows).await;
    let test = format!("models:\n  - name: sales\n    columns: [{{name: id, tests: [unique{options}]}}]\n");
    shop.write("models/silver/schema.yml", &test);
    shop.all().await;
    shop
}

#[tokio::test(flavor = "multi_thread")]
async fn added_keys_are_compared_with_each_other_and_with_those_that_stand() {
    let shop = adding("").await;
    shop.add_sales(&[(101, Some(1), 1), (102, None, 1)]).await;
    let report = shop.all().await;
    assert!(matches!(test_named(&report, "unique_sales_id").evidence, Some(Evidence::ScannedBytes(1..))), "{report:?}");
    // Both are added again, because the model asks for all above 100: they stand.
    shop.add_sales(&[(103, Some(1), 1), (103, Some(1), 1), (104, Some(1), 1)]).await;
    let (report, _) = shop.fails().await;
    let failed = test_named(&report, "unique_sales_id");
    assert_eq!(failed.failures, 3);
    assert_eq!(sorted(&shop.read(failed.kept_at.as_deref().unwrap())), ["101,2", "102,2", "103,2", "id,_rows"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_stand_twice_are_found_unless_a_test_has_passed_on_them() {
    // Neither counted: the test let two pass, or is new.
    let shop = adding(": {error_if: '> 2', warn_if: '> 2'}").await;
    shop.add_sales(&[(50, Some(1), 1), (51, Some(1), 1)]).await;
    shop.write("models/silver/sales.sql", &shop.read("models/silver/sales.sql").replace("> 100", "= 101"));
    shop.promote_with(Options { layers: vec![Layer::Silver], full_refresh: true, ..Options::default() }).await.unwrap();
    shop.add_sales(&[(101, Some(1), 1)]).await;
    let (report, _) = shop.promote(&[Layer::Silver]).await.unwrap();
    assert_eq!(test_named(&report, "unique_sales_id").failures, 2, "50 and 51 stand twice");
}
