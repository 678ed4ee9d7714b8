//! Models that are stored nowhere.

use super::*;

const VIEW: &str = "{{ config(materialized='view') }}\nwith good as (select id, book, amount from {{ source('bronze', 'sales') }})\n\
                    select id, book, amount * 2 as twice from good where amount > 5\n";
/// Over a view, named twice, once under another name.
const PAIRS: &str = "{{ config(materialized='view') }}\nselect pair.id, pair.twice from silver.good_sales as pair\n\
                     where pair.id in (select id from silver.good_sales)\n";
const TOP: &str = "select id, p.twice from {{ ref('pairs') }} p left join good_sales using (id)\n";

fn files<'a>(schema: &'a str, top: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("models/silver/good_sales.sql", VIEW),
        ("models/silver/pairs.sql", PAIRS),
        ("models/gold/top.sql", top),
        ("models/silver/schema.yml", schema),
    ]
}

/// By hand: of the amounts 5, 7 and 9 two are above 5.
#[tokio::test(flavor = "multi_thread")]
async fn a_view_is_part_of_what_reads_it() {
    let top = TOP.replace("select id, p.twice", "select id, p.twice, good_sales.book");
    let shop = Shop::open(&files("", &top)).await;
    let report = shop.all().await;
    let of = |name: &str| report.models.iter().find(|model| model.table == name).unwrap();
    assert_eq!((of("silver.pairs").status, of("gold.top").status), (ModelStatus::View, ModelStatus::Built));
    assert_eq!(shop.numbers("select id * 100 + twice from gold.top order by 1").await, [214, 318]);
    assert!(!shop.exists("lake/silver/pairs"));
    assert_eq!(shop.all().await.models.last().unwrap().status, ModelStatus::Skipped);
    // What the view says is part of the model's statement, and its new rows are the model's.
    shop.add_sales(&[(4, None, 6)]).await;
    let report = shop.all().await;
    assert_eq!(report.models.last().unwrap().reason, "new version of `bronze.sales`: 1 -> 2");
    shop.write("models/silver/good_sales.sql", &VIEW.replace("* 2", "* 3"));
    assert_eq!(shop.all().await.models.last().unwrap().reason, "its SQL changed");
    assert_eq!(shop.numbers("select id * 100 + twice from gold.top order by 1").await, [221, 327, 418]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tests_of_a_view_guard_the_first_model_through_it() {
    let schema = "models:\n  - name: pairs\n    columns:\n      - name: twice\n        tests:\n          - accepted_range: {max_value: 15}\n\
                  \x20     - name: id\n        tests: [unique, {relationships: {to: ref('good_sales'), field: id}}]\n";
    let shop = Shop::open(&files(schema, TOP)).await;
    let (report, failure) = shop.fails().await;
    let test = test_named(&report, "accepted_range_pairs_twice");
    assert_eq!((test.status, test.failures, test.table.as_str()), (TestStatus::Fail, 1, "gold.top"));
    assert_eq!(test.message.as_deref(), Some("1 row returned by the test on `silver.pairs`"));
    assert_eq!(test_named(&report, "relationships_pairs_id__id__good_sales").status, TestStatus::Pass);
    assert!(failure.to_string().contains("accepted_range_pairs_twice"), "{failure}");
    shop.write("models/silver/schema.yml", &schema.replace("15", "18"));
    let report = shop.all().await;
    assert_eq!(test_named(&report, "unique_pairs_id").status, TestStatus::Pass);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_in_a_view_is_shown_in_its_file() {
    let shop = Shop::open(&files("", TOP)).await;
    shop.write("models/silver/good_sales.sql", &VIEW.replace("amount > 5", "amont > 5"));
    let text = shop.fault().await;
    assert!(text.starts_with("models/silver/good_sales.sql:3:"), "{text}");
    shop.write("models/silver/good_sales.sql", VIEW);
    shop.write("models/gold/top.sql", &TOP.replace("p.twice", "p.thrice"));
    let text = shop.fault().await;
    assert!(text.starts_with("models/gold/top.sql:1:"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_increment_is_driven_by_the_table_below_the_view() {
    let top = "{{ config(materialized='incremental', unique_key='id') }}\nselect id, twice from pairs_of_one\n";
    let one = "{{ config(materialized='view') }}\nselect id, twice from silver.good_sales\n";
    let mut files = files("", top);
    files.push(("models/silver/pairs_of_one.sql", one));
    let shop = Shop::open(&files).await;
    shop.all().await;
    shop.add_sales(&[(4, None, 6)]).await;
    let report = shop.all().await;
    assert_eq!(report.models.last().unwrap().rows, 1);
    assert_eq!(shop.numbers("select id * 100 + twice from gold.top order by 1").await, [214, 318, 412]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_is_part_of_what_a_file_says_is_new() {
    let top = "{{ config(materialized='incremental', incremental_strategy='append') }}\nselect id, twice from \
               silver.good_sales\n{% if is_incremental() %}where id > (select max(id) from {{ this }}){% endif %}\n";
    let shop = Shop::open(&files("", top)).await;
    shop.all().await;
    shop.add_sales(&[(4, None, 6)]).await;
    let report = shop.all().await;
    assert_eq!(report.models.last().unwrap().rows, 1);
    assert_eq!(shop.numbers("select id * 100 + twice from gold.top order by 1").await, [214, 318, 412]);
}
