//! Checks of the contract: declared, kept, changed and taken back; rows that fail one are named.

use super::*;

fn checked(checks: &[(&str, &str)]) -> Target {
    let mut book = target("book", &book_columns(), &["id"]);
    let check =
        |(name, expression): &(&str, &str)| Condition { name: name.to_string(), expression: expression.to_string() };
    book.checks = checks.iter().map(check).collect();
    book
}

/// The table's checks as Postgres tells them, each with its number.
async fn standing(warehouse: &mut dyn Warehouse) -> Vec<(String, String)> {
    let sql = "select conname || ' ' || pg_get_constraintdef(oid), oid::text from pg_constraint \
               where conrelid = 'gold.book'::regclass and contype = 'c' order by conname";
    let rows = warehouse.query(sql).await.unwrap().rows;
    rows.into_iter().map(|mut row| (row[0].take().unwrap(), row[1].take().unwrap())).collect()
}

async fn names(warehouse: &mut dyn Warehouse) -> String {
    standing(warehouse).await.into_iter().map(|(told, _)| told).collect::<Vec<_>>().join(", ")
}

/// Rows with the number of their copies.
fn moved(rows: &[(i64, i128, i64)]) -> Held {
    let books = books(&rows.iter().map(|(id, price, _)| (*id, None, *price)).collect::<Vec<_>>()).0.unwrap();
    let copies: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2)));
    let columns = books.columns().iter().cloned().chain([copies]);
    batches(["id", "title", "price", "n"].into_iter().zip(columns).collect())
}

async fn put_changes(
    warehouse: &mut dyn Warehouse,
    target: &Target,
    rows: &[(i64, i128, i64)],
) -> Result<Vec<Changes>> {
    put_extent(warehouse, Extent::Changes, vec![(target.clone(), moved(rows))]).await
}

#[tokio::test]
async fn a_check_stands_from_the_first_load_on_and_names_the_row_that_fails() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let warehouse = warehouse.as_mut();
    let book = checked(&[("cheap", "price < 10 and \"id\" > 0")]);
    let said = |id| format!("`book`: the row with id = {id} fails the check `cheap`: price < 10 and \"id\" > 0");
    let rows = [(1, None, 100), (2, None, 1_000), (3, None, 100)];
    let error = put(warehouse, &book, books(&rows)).await.unwrap_err();
    assert_eq!((error.to_string(), error.kind()), (said(2), Kind::Input));
    assert!(!error.in_one_line().contains("Failing row"), "it tells the row: {}", error.in_one_line());
    assert_eq!(ask(warehouse, "select to_regclass('gold.book')::text").await, [None], "nothing stays");

    put(warehouse, &book, books(&rows[..1])).await.unwrap();
    let first = standing(warehouse).await;
    assert_eq!(first[0].0, "cheap CHECK (((price < (10)::numeric) AND (id > 0)))");
    let error = put(warehouse, &book, books(&rows)).await.unwrap_err();
    assert_eq!(error.to_string(), said(2), "of a load of all rows");
    let error = put_changes(warehouse, &book, &[(4, 100, 1), (5, 2_000, 1)]).await.unwrap_err();
    assert_eq!(error.to_string(), said(5), "of a load of changes");
    put_changes(warehouse, &book, &[(4, 100, 1), (9, 9_000, -1)]).await.unwrap();
    put(warehouse, &book, books(&[(1, None, 200), (7, None, 1)])).await.unwrap();
    assert_eq!(standing(warehouse).await, first, "it is the same one");
}

#[tokio::test]
async fn checks_follow_the_contract_and_those_of_others_stay() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let warehouse = warehouse.as_mut();
    put(warehouse, &checked(&[("a", "price < 10"), ("b", "id > 0")]), books(&[(1, None, 100)])).await.unwrap();
    execute(&config, "alter table gold.book add constraint theirs check (id < 1000)").await;
    // Rows the old check would refuse come with the new one.
    put(warehouse, &checked(&[("a", "price < 100")]), books(&[(1, None, 5_000)])).await.unwrap();
    assert_eq!(names(warehouse).await, "a CHECK ((price < (100)::numeric)), theirs CHECK ((id < 1000))");
    execute(&config, "alter table gold.book drop constraint a").await;
    put_changes(warehouse, &checked(&[("a", "price < 100")]), &[(2, 100, 1)]).await.unwrap();
    assert_eq!(names(warehouse).await, "a CHECK ((price < (100)::numeric)), theirs CHECK ((id < 1000))");

    let taken = checked(&[("a", "price < 100"), ("theirs", "id < 7")]);
    let error = put(warehouse, &taken, Held(None)).await.unwrap_err();
    assert_eq!(error.to_string(), "`gold.book` has a check `theirs` that no load declared");
    assert_eq!(error.kind(), Kind::Config);
    execute(&config, error.hint_text().unwrap().split_once("run: ").unwrap().1).await;
    put(warehouse, &taken, books(&[(1, None, 100)])).await.unwrap();
    assert_eq!(names(warehouse).await, "a CHECK ((price < (100)::numeric)), theirs CHECK ((id < 7))");
    put(warehouse, &checked(&[]), books(&[(100, None, 90_000)])).await.unwrap();
    assert_eq!(names(warehouse).await, "");
}

/// The ledger was dropped, and the table is taken over as a whole.
#[tokio::test]
async fn a_table_taken_over_has_the_checks_of_the_contract() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let warehouse = warehouse.as_mut();
    put(warehouse, &checked(&[("a", "price < 10")]), books(&[(1, None, 100)])).await.unwrap();
    execute(&config, "drop schema lake cascade").await;
    put(warehouse, &checked(&[("a", "price < 100")]), books(&[(1, None, 5_000)])).await.unwrap();
    assert_eq!(standing(warehouse).await[0].0, "a CHECK ((price < (100)::numeric))");
}

#[tokio::test]
async fn a_check_that_postgres_does_not_understand_is_named_before_a_row_moves() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let warehouse = warehouse.as_mut();
    for stands in [false, true] {
        if stands {
            put(warehouse, &checked(&[]), books(&[(1, None, 100)])).await.unwrap();
        }
        for (expression, why) in [
            ("nvl2 ( price , 1 , 2 ) > 0", "function nvl2"),
            ("prize > 0", "column \"prize\" does not exist"),
            ("price + 1", "must be type boolean"),
            ("sum ( price ) > 0", "aggregate functions are not allowed"),
        ] {
            let error = put(warehouse, &checked(&[("odd", expression)]), Held(None)).await.unwrap_err();
            assert_eq!(error.to_string(), format!("declare the check `odd` of `book`: {expression}"));
            assert_eq!(error.kind(), Kind::Config, "{error:?}");
            assert!(error.in_one_line().contains(why), "{}", error.in_one_line());
        }
        let there = ask(warehouse, "select to_regclass('gold.book')::text").await[0].is_some();
        assert_eq!(there, stands, "nothing of a refused load stays");
    }
}

/// A table that stands empty takes the rows before the check.
#[tokio::test]
async fn a_row_that_fails_a_new_check_is_named_in_a_table_that_stood_empty() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let warehouse = warehouse.as_mut();
    put(warehouse, &checked(&[]), books(&[])).await.unwrap();
    let error = put(warehouse, &checked(&[("cheap", "price < 10")]), books(&[(1, None, 1), (2, None, 1_000)])).await;
    assert_eq!(error.unwrap_err().to_string(), "`book`: the row with id = 2 fails the check `cheap`: price < 10");
}

#[tokio::test]
async fn a_not_null_that_somebody_else_set_stays() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let warehouse = warehouse.as_mut();
    let book = target("book", &book_columns(), &["id"]);
    put(warehouse, &book, books(&[(1, Some("a"), 100)])).await.unwrap();
    execute(&config, "alter table gold.book alter title set not null").await;
    put(warehouse, &book, books(&[(1, Some("b"), 100), (2, Some("c"), 1)])).await.unwrap();
    let error = put(warehouse, &book, books(&[(1, None, 100)])).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Input);
    let remedy = error.hint_text().unwrap().split_once("or: ").unwrap().1;
    assert_eq!(remedy, "alter table gold.book alter column title drop not null");
    assert_eq!(ask(warehouse, "select string_agg(title, '' order by id) from gold.book").await, [Some("bc".into())]);
    execute(&config, remedy).await;
    put(warehouse, &book, books(&[(1, None, 100)])).await.unwrap();
}
