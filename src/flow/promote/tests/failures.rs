//! What a failed promote says: which model, column and value, and what readers do not get.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn one_failure_does_not_stop_the_others() {
    let shop =
        Shop::open(&[GOLD, ("models/silver/broken.sql", "select arrow_cast(title, 'Int64') as n from bronze.books")])
            .await;
    let (report, failure) = shop.fails().await;
    assert_eq!(failure.kind(), Kind::Input);
    assert_eq!(failure.to_string(), "build `silver.broken` from models/silver/broken.sql, in its column `n`");
    assert!(failure.causes().last().unwrap().contains("\"Emma\""), "{:?}", failure.causes());
    assert_eq!(report.models.iter().filter(|model| model.status == ModelStatus::Built).count(), 3);
    assert_eq!(report.run, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_failures_are_told_together() {
    let failing = "select arrow_cast(title, 'Int64') as n from bronze.books";
    let shop = Shop::open(&[
        ("models/silver/a.sql", failing),
        ("models/silver/b.sql", failing),
        ("models/s.yml", "models:\n  - name: sales\n    columns: [{name: book, tests: [not_null]}]\n"),
    ])
    .await;
    let (_, failure) = shop.fails().await;
    let text = failure.to_string();
    assert!(text.starts_with("3 models failed\n`silver.a`: build `silver.a` from"), "{text}");
    assert!(text.contains("\n`silver.b`: ") && text.contains("\ndata test `not_null_sales_book`: 1 row"), "{text}");
    assert_eq!(
        std::error::Error::source(&failure).unwrap().to_string(),
        "`silver.a`: build `silver.a` from models/silver/a.sql, in its column `n`"
    );
    assert!(failure.causes().is_empty(), "said already: {:?}", failure.causes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_names_what_it_holds_back_and_why() {
    let shop = Shop::open(&[
        GOLD,
        ("models/gold/dim_book.sql", "select id, title from silver.books\n"),
        ("models/schema.yml", "models:\n  - name: sales\n    columns: [{name: book, tests: [not_null]}]\n"),
    ])
    .await;
    let (_, failure) = shop.fails().await;
    let hint = "not published, readers keep the old version: `silver.sales`, `gold.fact_sale` (blocked: `silver.sales` \
                was not built); held back with them, though built: `silver.books`, `gold.dim_book` (the tables of a \
                run are published together)";
    assert_eq!(failure.hint_text(), Some(hint));

    // The same beside a failure that has no test in it.
    shop.write("models/schema.yml", "");
    shop.write("models/silver/sales.sql", "select id, book / 0 as book, amount from bronze.sales\n");
    shop.write("models/silver/books.sql", "select id, upper(title) as title from bronze.books\n");
    let (_, failure) = shop.fails().await;
    assert_eq!(failure.hint_text(), Some(hint));
    assert_eq!(failure.to_string(), "build `silver.sales` from models/silver/sales.sql, in its column `book`");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_failing_column_is_named_when_it_is_one() {
    let table = [
        ("select id, cast(title as int) as a, cast(title as date) as b from bronze.books -- why", Some("a")),
        (
            "select id, case when id > 2 then arrow_cast(title, 'Int64') end as \"odd name\" from bronze.books",
            Some("odd name"),
        ),
        ("select id, arrow_cast('x', 'Int64') as n from bronze.books", None),
        ("select b.id from bronze.books b join bronze.sales s on cast(b.title as int) = s.id", None),
        ("select distinct cast(title as int) as n from bronze.books", None),
        ("select id from bronze.books where cast(title as int) > 1", None),
    ];
    let shop = Shop::open(&[]).await;
    for (sql, column) in table {
        shop.write("models/silver/books.sql", sql);
        let column = column.map(|column| format!(", in its column `{column}`")).unwrap_or_default();
        let expected = format!("build `silver.books` from models/silver/books.sql{column}");
        let (_, failure) = shop.fails().await;
        assert_eq!((failure.kind(), failure.to_string()), (Kind::Input, expected), "{sql}");
        assert!(failure.causes().last().unwrap().contains('"'), "no value in {:?}", failure.causes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn days_beyond_the_calendar_are_refused() {
    let days = "select arrow_cast(day, 'Date32') as day from (values (1), (99999999)) as days(day)";
    let shop = Shop::open(&[("models/gold/days.sql", days)]).await;
    let (_, failure) = shop.fails().await;
    assert_eq!(failure.kind(), Kind::Input, "{failure}");
    assert!(failure.to_string().contains("a value of column `day` is beyond the calendar"), "{failure}");
}
