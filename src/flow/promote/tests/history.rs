//! Snapshots: what becomes of a row's versions.

use super::*;
use crate::check::{Check, Rule};

/// `id, book, amount, at`, by the day of June 2024 at which a sale was changed.
const SOURCE: &str = "select id, book, amount % 100 as amount, \
    to_timestamp_seconds(1717200000 + (amount / 100) * 86400) as at from bronze.sales \
    qualify row_number() over (partition by id order by amount / 100 desc) = 1";

fn model(config: &str) -> String {
    format!("{{{{ config(materialized='snapshot', {config}) }}}}\n{SOURCE}\n")
}

/// Id, amount, first day and day after the last of each version, in days of June 2024; 0 for the present one.
async fn versions(shop: &Shop) -> Vec<i64> {
    let day = |column: &str| {
        format!("coalesce(cast(date_part('day', {column}) as bigint) + (date_part('month', {column}) - 6) * 100, 0)")
    };
    shop.numbers(&format!(
        "select cast(id * 100000000 + amount * 1000000 + {} * 1000 + {} as bigint) from gold.sale_history order by 1",
        day("dbt_valid_from"),
        day("dbt_valid_to")
    ))
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_row_ends_the_one_before() {
    let config = "unique_key='id', strategy='timestamp', updated_at='at'";
    let shop = Shop::open(&[("models/gold/sale_history.sql", &model(config))]).await;
    shop.all().await;
    assert_eq!(versions(&shop).await, [105001000, 207001000, 309001000]);
    // Sale 1 on the third, sale 2 at the same time with another amount, sale 4 new.
    shop.add_sales(&[(1, Some(1), 211), (2, Some(1), 8), (4, None, 106)]).await;
    let report = shop.all().await;
    let model = report.models.iter().find(|model| model.table == "gold.sale_history").unwrap();
    assert_eq!(versions(&shop).await, [105001003, 111003000, 207001000, 309001000, 406002000]);
    assert_eq!((model.rows, model.files), (3, Some(Effort { rewritten: 1, kept: 0 })));
    assert_eq!(test_named(&report, "no_overlap_sale_history").status, TestStatus::Pass);
    // A late row is older than the present one.
    shop.add_sales(&[(1, Some(1), 150)]).await;
    shop.all().await;
    assert_eq!(versions(&shop).await, [105001003, 111003000, 207001000, 309001000, 406002000]);
    // A history outlives a full refresh and another statement.
    let options = Options { layers: vec![Layer::Gold], full_refresh: true, ..Options::default() };
    assert!(shop.promote_with(options).await.unwrap().1.is_none());
    assert_eq!(versions(&shop).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn compared_columns_tell_and_what_left_ends() {
    let config = "unique_key=['id'], strategy='check', check_cols=['amount'], hard_deletes='invalidate'";
    let shop = Shop::open(&[("models/gold/sale_history.sql", &model(config))]).await;
    shop.all().await;
    let open = "select id * 100 + amount from gold.sale_history where dbt_valid_to is null order by 1";
    let all = "select count(*) from gold.sale_history";
    assert_eq!(shop.numbers(open).await, [105, 207, 309]);
    shop.add_sales(&[(1, Some(2), 105), (2, Some(1), 108)]).await;
    shop.all().await;
    assert_eq!((shop.numbers(open).await, shop.numbers(all).await), (vec![105, 208, 309], vec![4]));
    shop.write(
        "models/gold/sale_history.sql",
        &model(config).replace("from bronze.sales", "from bronze.sales where id <> 3"),
    );
    shop.all().await;
    assert_eq!((shop.numbers(open).await, shop.numbers(all).await), (vec![105, 208], vec![4]));
    // It comes back, after it had ended.
    shop.write("models/gold/sale_history.sql", &model(config));
    shop.all().await;
    assert_eq!((shop.numbers(open).await, shop.numbers(all).await), (vec![105, 208, 309], vec![5]));
    let torn = "select count(*) from gold.sale_history where dbt_valid_to < dbt_valid_from";
    assert_eq!(shop.numbers(torn).await, [0]);
    assert_eq!(shop.numbers("select count(distinct dbt_scd_id) from gold.sale_history").await, [5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_without_key_and_a_key_of_two_rows_are_refused() {
    let config = "unique_key='book', strategy='check', check_cols='all'";
    let shop = Shop::open(&[("models/gold/sale_history.sql", &model(config))]).await;
    let text = shop.fault().await;
    assert_eq!(text, "`gold.sale_history` has a row without its key or without its time");
    shop.write(
        "models/gold/sale_history.sql",
        &model(config).replace("from bronze.sales", "from bronze.sales where id < 3"),
    );
    let text = shop.fault().await;
    assert_eq!(text, "`gold.sale_history`: 2 new rows have the key book = 1");
    shop.write("models/gold/sale_history.sql", &model(config).replace("'book'", "'nothing'"));
    assert!(shop.fault().await.contains("returns no column `nothing`"));
}

/// The two keys read alike when their values are put one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_several_columns_are_told_apart() {
    let config = "unique_key=['x', 'y'], strategy='check', check_cols=['amount']";
    let rows = "select 'a|b' as x, 'c' as y, 1 as amount union all select 'a' as x, 'b|c' as y, 2 as amount";
    let text = format!("{{{{ config(materialized='snapshot', {config}) }}}}\n{rows}\n");
    let shop = Shop::open(&[("models/gold/pair_history.sql", &text)]).await;
    shop.all().await;
    shop.write("models/gold/pair_history.sql", &text.replace("1 as amount", "3 as amount"));
    shop.all().await;
    let versions = "select amount from gold.pair_history order by 1";
    assert_eq!(shop.numbers(versions).await, [1, 2, 3]);
    assert_eq!(shop.numbers("select count(distinct dbt_scd_id) from gold.pair_history").await, [3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_row_of_a_key_that_stands_is_refused() {
    let config = "unique_key='x', strategy='check', check_cols=['y']";
    let text =
        |rows: &str| format!("{{{{ config(materialized='snapshot', {config}) }}}}\nselect 1 as x, 'a' as y{rows}\n");
    let shop = Shop::open(&[("models/gold/h.sql", &text(""))]).await;
    shop.all().await;
    shop.write("models/gold/h.sql", &text(" union all select 1, 'z'"));
    assert_eq!(shop.fault().await, "`gold.h`: 2 new rows have the key x = 1");
    assert_eq!(shop.numbers("select count(*) from gold.h").await, [1]);
}

/// By hand: of key 2 the first ends after the second began, of key 3 it never ends, of key 4 it ends before it began.
#[tokio::test(flavor = "multi_thread")]
async fn versions_that_overlap_are_found() {
    let sql = "select * from (values (1, 1, 2), (1, 2, null), (2, 1, 3), (2, 2, null), (3, 1, null), (3, 5, null), (4, 5, 1)) \
               as h(key, began, ended)";
    let shop = Shop::open(&[("models/gold/h.sql", sql)]).await;
    shop.all().await;
    let (key, from, to) = (vec!["key".to_string()], "began".to_string(), "ended".to_string());
    let rule = Rule::NoOverlap { key, from, to };
    let check =
        Check { name: "h".into(), table: TableName::parse("gold.h").unwrap(), rule, options: Default::default() };
    let sql = format!("select key from ({}) order by 1", check.failing_rows_sql());
    assert_eq!(shop.numbers(&sql).await, [2, 3, 4]);
}
