//! Models that are built onto the rows that stand.

use super::*;
use serde_json::Map;

/// The newest state of each sale, by the order in which states came.
const NEWEST: &str = "select id, book, amount from bronze.sales \
    qualify row_number() over (partition by id order by amount desc) = 1";

fn file(config: &str, sql: &str) -> String {
    format!("{{{{ config(materialized='incremental'{config}) }}}}\n{sql}\n")
}

fn gold(report: &Report) -> &ModelReport {
    report.models.iter().find(|model| model.table == "gold.m").unwrap()
}

async fn rows(shop: &Shop) -> Vec<i64> {
    shop.numbers("select id * 1000 + amount from gold.m order by 1").await
}

#[tokio::test(flavor = "multi_thread")]
async fn append_takes_new_rows_by_version() {
    let shop =
        Shop::open(&[("models/gold/m.sql", &file("", "select id, amount from bronze.sales where amount > 5"))]).await;
    shop.all().await;
    assert_eq!(rows(&shop).await, [2007, 3009]);
    // The same row once more is a row more; no clock and no column says what is new.
    shop.add_sales(&[(2, None, 7), (5, None, 5)]).await;
    let report = shop.all().await;
    assert_eq!((gold(&report).rows, gold(&report).reason.as_str()), (1, "new version of `bronze.sales`: 1 -> 2"));
    assert_eq!(rows(&shop).await, [2007, 2007, 3009]);
    assert_eq!(gold(&shop.all().await).status, ModelStatus::Skipped);
    shop.write("models/gold/m.sql", &file("", "select id, amount * 2 as amount from bronze.sales where amount > 5"));
    let report = shop.all().await;
    assert_eq!((gold(&report).rows, gold(&report).reason.as_str()), (3, "its SQL changed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_built_anew_from_all_its_rows() {
    let config = ", unique_key='id'";
    let shop = Shop::open(&[("models/gold/m.sql", &file(config, NEWEST))]).await;
    shop.all().await;
    // 1 changes, 2 comes again as it is, 4 is new; a late row of 3 loses against the one that stands.
    shop.add_sales(&[(1, Some(1), 6), (2, Some(1), 7), (4, None, 1), (3, None, 2)]).await;
    let report = shop.all().await;
    assert_eq!(rows(&shop).await, [1006, 2007, 3009, 4001]);
    assert_eq!((gold(&report).rows, gold(&report).files), (2, Some(Effort { rewritten: 1, kept: 0 })));
    // Nothing in it is another row: nothing is written anew.
    shop.add_sales(&[(2, Some(1), 3)]).await;
    let report = shop.all().await;
    assert_eq!((gold(&report).rows, gold(&report).files), (0, Some(Effort { rewritten: 0, kept: 2 })));
    assert_eq!(rows(&shop).await, [1006, 2007, 3009, 4001]);
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_kept_by_their_key() {
    let sum = "select book, count(*) as id, sum(amount) as amount from bronze.sales group by book";
    let shop = Shop::open(&[("models/gold/m.sql", &file(", unique_key='book'", sum))]).await;
    shop.all().await;
    assert_eq!(rows(&shop).await, [1009, 2012]);
    shop.add_sales(&[(9, None, 1), (8, Some(7), 2)]).await;
    shop.all().await;
    assert_eq!(rows(&shop).await, [1002, 2010, 2012], "NULL is a group too, and keeps its rows");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_since_a_version_is_made_anew() {
    let sql = "select s.id, s.amount, b.title from bronze.sales s left join bronze.books b on b.id = s.book";
    let shop = Shop::open(&[("models/gold/m.sql", &file(", driven_by='sales', unique_key='id'", sql))]).await;
    shop.all().await;
    shop.add_sales(&[(4, Some(9), 4), (5, Some(1), 5)]).await;
    shop.all().await;
    shop.add_books(&[(Some(9), "Persuasion")]).await;
    let since = |version| Options { layers: vec![Layer::Gold], since_version: Some(version), ..Options::default() };
    let (report, failure) = shop.promote_with(since(1)).await.unwrap();
    assert!(failure.is_none(), "{failure:?}");
    assert_eq!((gold(&report).rows, gold(&report).reason.as_str()), (1, "since version 1 once more"));
    assert_eq!(shop.numbers("select id from gold.m where title = 'Persuasion'").await, [4]);
    let refused = |error: Error| (error.kind(), error.to_string());
    let text = "`gold.m` has read `bronze.sales` up to version 2, not 3".to_string();
    assert_eq!(refused(shop.promote_with(since(3)).await.unwrap_err()), (Kind::Config, text));
    shop.write("models/gold/m.sql", &file(", driven_by='sales'", sql));
    let text = "`gold.m` is not made by key from what is new in a table".to_string();
    assert_eq!(refused(shop.promote_with(since(1)).await.unwrap_err()), (Kind::Config, text));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_comes_twice_is_named() {
    let shop =
        Shop::open(&[("models/gold/m.sql", &file(", unique_key='id'", "select id, amount from bronze.sales"))]).await;
    shop.all().await;
    shop.add_sales(&[(7, None, 1), (7, None, 2)]).await;
    let (report, failure) = shop.fails().await;
    assert_eq!(failure.to_string(), "`gold.m`: 2 new rows have the key id = 7");
    assert_eq!((failure.kind(), gold(&report).status), (Kind::Input, ModelStatus::Failed));
    assert_eq!(rows(&shop).await, [1005, 2007, 3009]);
    // As a whole it is the same fault.
    let options = Options { layers: vec![Layer::Gold], full_refresh: true, ..Options::default() };
    let (_, failure) = shop.promote_with(options).await.unwrap();
    assert_eq!(failure.unwrap().to_string(), "`gold.m`: 2 new rows have the key id = 7");
    shop.write(
        "models/gold/m.sql",
        &file(", unique_key='id', incremental_strategy='delete+insert'", "select id, amount from bronze.sales"),
    );
    shop.all().await;
    shop.add_sales(&[(7, None, 3)]).await;
    shop.all().await;
    assert_eq!(rows(&shop).await, [1005, 2007, 3009, 7001, 7002, 7003]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authors_own_filter_is_merged_by_key() {
    let sql = "select id, amount from bronze.sales {% if is_incremental() %}where id > 2{% endif %}";
    let shop = Shop::open(&[("models/gold/m.sql", &file(", unique_key='id'", sql))]).await;
    shop.all().await;
    shop.write("models/silver/none.sql", "select 1 as one");
    shop.add_sales(&[(4, None, 4), (1, None, 8)]).await;
    let report = shop.all().await;
    assert_eq!((gold(&report).rows, rows(&shop).await), (1, vec![1005, 2007, 3009, 4004]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_driver_says_what_is_new_and_others_are_looked_up() {
    let sql = "select s.id, s.amount, b.title from bronze.sales s left join bronze.books b on b.id = s.book";
    let shop = Shop::open(&[("models/gold/m.sql", &file(", driven_by='sales'", sql))]).await;
    shop.all().await;
    shop.add_books(&[(Some(9), "Persuasion")]).await;
    let report = shop.all().await;
    assert_eq!(gold(&report).status, ModelStatus::Skipped);
    assert_eq!(
        gold(&report).reason,
        "only `bronze.books` changed, which does not drive it; a full refresh looks it up anew"
    );
    shop.add_sales(&[(4, Some(9), 4)]).await;
    shop.all().await;
    assert_eq!(shop.numbers("select id from gold.m where title = 'Persuasion'").await, [4]);
    assert_eq!(rows(&shop).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_that_need_more_than_what_is_new_are_refused() {
    for (config, sql, why) in [
        ("", "select book, sum(amount) as amount from bronze.sales group by book", "its rows are made of groups"),
        (
            ", unique_key='id'",
            "select id, row_number() over (order by amount) as n from bronze.sales",
            "reach beyond one `id`",
        ),
        (
            ", unique_key='id'",
            "select id + 1 as id, amount from bronze.sales",
            "its key `id` is not a column of it as it is",
        ),
        (", unique_key='x'", "select id, amount from bronze.sales", "no column `x`"),
        (
            "",
            "select a.id from bronze.sales a where a.id in (select book from bronze.sales)",
            "a subquery reads it too",
        ),
    ] {
        let shop = Shop::open(&[("models/gold/m.sql", &file(config, sql))]).await;
        let text = shop.fault().await;
        assert!(
            text.starts_with("models/gold/m.sql: `gold.m` cannot be built from what is new in `bronze.sales`: "),
            "{text}"
        );
        assert!(text.contains(why), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_goes_on_by_what_changed_and_says_when_it_cannot() {
    let shop = Shop::open(&[
        ("models/silver/now.sql", &file(", unique_key='id'", NEWEST)),
        ("models/gold/m.sql", &file(", unique_key='id'", "select id, amount * 2 as amount from silver.now")),
        ("models/gold/log.sql", &file("", "select id, amount from silver.now")),
    ])
    .await;
    shop.all().await;
    // Twenty more, so that what changes is the smaller part.
    let many: Vec<(i64, Option<i64>, i64)> = (100..400).map(|id| (id, None, id)).collect();
    shop.add_sales(&many).await;
    shop.all().await;
    shop.add_sales(&[(1, None, 100)]).await;
    let report = shop.all().await;
    assert_eq!((gold(&report).rows, gold(&report).reason.as_str()), (1, "`silver.now` is rebuilt"));
    let log = report.models.iter().find(|model| model.table == "gold.log").unwrap();
    assert_eq!(
        log.reason,
        "`silver.now` is rebuilt; built whole: rows of `silver.now` changed or left since its version 2"
    );
    for table in ["gold.m", "gold.log", "silver.now"] {
        assert_eq!(shop.numbers(&format!("select count(*) from {table}")).await, [303]);
    }
    assert_eq!(shop.numbers("select amount from gold.m where id = 1").await, [200]);
    assert_eq!(shop.numbers("select amount from gold.log where id = 1").await, [100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn merged_files_are_no_change() {
    let shop = Shop::open(&[("models/gold/m.sql", &file("", "select * from bronze.sales"))]).await;
    shop.all().await;
    shop.add_sales(&[(4, None, 4)]).await;
    compact(&shop, "bronze.sales").await;
    let report = shop.all().await;
    assert_eq!((gold(&report).rows, rows(&shop).await), (1, vec![1005, 2007, 3009, 4004]));
    assert_eq!(gold(&shop.all().await).status, ModelStatus::Skipped);
}

async fn compact(shop: &Shop, table: &str) {
    let mut table = shop.lake.table(&TableName::parse(table).unwrap()).await.unwrap().unwrap();
    let bins = table.bins(1 << 20).unwrap();
    assert!(!bins.is_empty());
    for bin in bins {
        let staged = table.rewrite(&bin, 1 << 20).await.unwrap();
        let commit = crate::table::Commit { mode: crate::table::Mode::Rewrite, staged, txns: vec![], info: Map::new() };
        table.commit(commit, "table.commit").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_laid_out_as_the_model_says() {
    let config = ", partition_by='book', cluster_by='amount', incremental_strategy='replace_partition'";
    let shop = Shop::open(&[("models/gold/m.sql", &file(config, "select id, book, amount from bronze.sales"))]).await;
    shop.add_sales(&[(9, Some(1), 3)]).await;
    shop.all().await;
    let table = || async { shop.lake.table(&TableName::parse("gold.m").unwrap()).await.unwrap().unwrap() };
    assert_eq!((table().await.partition_by().join(","), table().await.files().unwrap()), ("book".to_string(), 2));
    assert_eq!(shop.numbers("select amount from gold.m where book = 1").await, [3, 5, 7]);
    shop.add_sales(&[(10, Some(2), 1), (11, None, 8)]).await;
    let report = shop.all().await;
    assert_eq!((gold(&report).rows, gold(&report).files), (3, Some(Effort { rewritten: 1, kept: 1 })));
    assert_eq!(shop.numbers("select amount from gold.m where book is null").await, [8, 9]);
    shop.write("models/gold/m.sql", &file(", partition_by='id'", "select id, book, amount from bronze.sales"));
    assert_eq!(shop.fault().await, "`gold.m` stands partitioned by `book`, its model says `id`");
    shop.write("models/gold/m.sql", &file(", cluster_by='day'", "select id, book, amount from bronze.sales"));
    assert_eq!(shop.fault().await, "models/gold/m.sql: `gold.m` returns no column `day`");
}

/// A table of twenty files by key: only those with a changed key are written anew.
#[tokio::test(flavor = "multi_thread")]
async fn only_files_with_a_changed_key_are_written_anew() {
    let shop = Shop::open(&[("models/gold/m.sql", &file(", unique_key='id'", NEWEST))]).await;
    shop.all().await;
    for part in 0..20 {
        let sales: Vec<(i64, Option<i64>, i64)> = (0..50).map(|n| (1000 * (part + 1) + n, None, 1)).collect();
        shop.add_sales(&sales).await;
        shop.all().await;
    }
    let files =
        || async { shop.lake.table(&TableName::parse("gold.m").unwrap()).await.unwrap().unwrap().files().unwrap() };
    assert_eq!(files().await, 21);
    shop.add_sales(&[(5007, None, 2), (17_049, None, 3), (11_000, None, 1)]).await;
    let report = shop.all().await;
    assert_eq!((gold(&report).rows, gold(&report).files), (2, Some(Effort { rewritten: 2, kept: 19 })));
    assert_eq!(files().await, 22);
    assert_eq!(shop.numbers("select count(*) from gold.m").await, [1003]);
    assert_eq!(shop.numbers("select sum(amount) from gold.m where id > 999").await, [1003]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_text_that_would_name_a_partition_is_refused() {
    let sql = "select id, case when id = 2 then '' else 'x' end as kind from bronze.sales";
    let shop = Shop::open(&[("models/gold/m.sql", &format!("{{{{ config(partition_by='kind') }}}}{sql}"))]).await;
    let fault = shop.fault().await;
    assert!(fault.contains("`gold.m` is partitioned by `kind`, which is an empty text in a row"), "{fault}");
}
