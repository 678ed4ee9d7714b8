//! Which tests guard which table, and what a failed one keeps.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn each_test_kind_keeps_the_old_version_when_it_fails() {
    let contract = |column: &str, test: &str| {
        format!(
            "models:\n  - name: sales\n    columns:\n      - name: {column}\n        data_tests:\n          - {test}\n"
        )
    };
    let table: [(&str, &str, &str, u64, &str); 8] = [
        ("book", "not_null", "not_null_sales_book", 2, "id,book,amount\n3,,9\n13,,1\n"),
        ("id", "unique", "unique_sales_id", 1, "id,_rows\n1,2\n"),
        (
            "book",
            "relationships: {to: ref('books'), field: id}",
            "relationships_sales_book__id__books",
            1,
            "id,book,amount\n12,99,1\n",
        ),
        (
            "amount",
            "accepted_values: {values: [1, 5, 7, 9], quote: false}",
            "accepted_values_sales_amount",
            1,
            "id,book,amount\n1,1,4\n",
        ),
        (
            "amount",
            "accepted_values: {name: amounts, values: [5, 7, 9], where: 'amount > 3'}",
            "amounts",
            1,
            "id,book,amount\n1,1,4\n",
        ),
        (
            "amount",
            "accepted_range: {min_value: 2}",
            "accepted_range_sales_amount",
            2,
            "id,book,amount\n12,99,1\n13,,1\n",
        ),
        (
            "amount",
            "dbt_utils.accepted_range: {arguments: {min_value: 1, max_value: 9, inclusive: false}}",
            "accepted_range_sales_amount",
            3,
            "id,book,amount\n3,,9\n12,99,1\n13,,1\n",
        ),
        (
            "amount",
            "expression_is_true: {name: above, expression: '> 3'}",
            "above",
            2,
            "id,book,amount\n12,99,1\n13,,1\n",
        ),
    ];
    for (column, test, name, failures, kept) in table {
        let shop = Shop::open(&[GOLD]).await;
        shop.all().await;
        shop.add_sales(&[(1, Some(1), 4), (12, Some(99), 1), (13, None, 1)]).await;
        shop.write("models/silver/schema.yml", &contract(column, test));
        let (report, failure) = shop.fails().await;
        assert_eq!(failure.kind(), Kind::CheckFailed, "{test}");
        assert!(failure.to_string().contains(&format!("target/failures/{name}.csv")), "{failure}");
        let failed = test_named(&report, name);
        assert_eq!((failed.status, failed.failures), (TestStatus::Fail, failures), "{test}");
        assert_eq!(sorted(&shop.read(failed.kept_at.as_deref().unwrap())), sorted(kept), "{test}");
        assert_eq!(
            statuses(&report),
            [
                ("silver.books", ModelStatus::Skipped),
                ("silver.sales", ModelStatus::Failed),
                ("gold.fact_sale", ModelStatus::Blocked)
            ],
            "{test}"
        );
        assert_eq!(report.run, None);
        assert_eq!(shop.numbers("select count(*) from silver.sales").await, [3], "{test}");
        assert_eq!(manifest::latest(&shop.lake).await.unwrap().unwrap().run, 1);

        // With the test only warning the same rows are published.
        let warned = match test.contains('{') {
            true => test.replacen('{', "{severity: warn, ", 1),
            false => format!("{test}: {{config: {{severity: warn}}}}"),
        };
        shop.write("models/silver/schema.yml", &contract(column, &warned));
        let report = shop.all().await;
        let warned = test_named(&report, name);
        assert_eq!((warned.status, warned.failures), (TestStatus::Warn, failures));
        assert_eq!(shop.numbers("select count(*) from silver.sales").await, [6]);
        assert_eq!(report.run, Some(2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_singular_check_guards_the_last_of_its_tables() {
    let shop = Shop::open(&[
        GOLD,
        (
            "sql/checks/no_loss.sql",
            "select s.id from {{ ref('sales') }} s\nleft join fact_sale f on f.id = s.id\nwhere f.id is null;\n",
        ),
    ])
    .await;
    let report = shop.all().await;
    assert_eq!(test_named(&report, "no_loss").status, TestStatus::Pass);
    shop.write(GOLD.0, &GOLD.1.replace("left join", "join"));
    let (report, failure) = shop.fails().await;
    assert_eq!(
        failure.to_string(),
        "data test `no_loss`: 1 row returned by sql/checks/no_loss.sql (see target/failures/no_loss.csv)"
    );
    assert_eq!(failure.hint_text(), Some("not published, readers keep the old version: `gold.fact_sale`"));
    assert_eq!(test_named(&report, "no_loss").table, "gold.fact_sale");
    assert_eq!(shop.numbers("select count(*) from gold.fact_sale").await, [3]);

    shop.write("sql/checks/no_loss.sql", "select nothing from fact_sale");
    let text = shop.fault().await;
    assert!(text.starts_with("sql/checks/no_loss.sql:1:8: column `nothing` not found"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_test_verb_looks_at_what_stands() {
    let shop = Shop::open(&[
        GOLD,
        (
            "models/gold/s.yml",
            "models:\n  - name: fact_sale\n    columns: [{name: id, tests: [unique, not_null]}, {name: title, tests: [{not_null: {severity: warn}}]}]\n",
        ),
    ])
    .await;
    let run = |select: &'static [&'static str]| {
        let options =
            test::Options { select: select.iter().map(|text| text.to_string()).collect(), ..test::Options::default() };
        let shop = &shop;
        async move {
            let (progress, stop) = (Progress::silent(), Stop::default());
            let project = shop.project().unwrap();
            test::test(shop.root.path(), &project, &shop.lake, &shop.engine, &options, &progress, &stop).await.unwrap()
        }
    };
    let (report, failure) = run(&[]).await;
    assert!(failure.is_none());
    assert!(report.tests.iter().all(|test| test.status == TestStatus::Skipped));
    shop.all().await;
    let (report, failure) = run(&["fact_sale"]).await;
    assert!(failure.is_none());
    assert_eq!(report.run, Some(1));
    let statuses: Vec<TestStatus> = report.tests.iter().map(|test| test.status).collect();
    assert_eq!(statuses, [TestStatus::Pass, TestStatus::Pass, TestStatus::Warn]);
    shop.write("sql/checks/none.sql", "select * from fact_sale where amount > 8");
    let (_, failure) = run(&[]).await;
    assert_eq!(failure.unwrap().kind(), Kind::CheckFailed);
}
