//! Small shops whose tables are spoilt, and models of which nothing can be said.

use super::*;
use crate::flow::promote::Options;
use crate::flow::promote::tests::shop::Shop;
use crate::ident::{Layer, TableName};
use crate::table::{Commit, Mode};
use serde_json::Map;

const KEYS: (&str, &str) =
    ("models/silver/keys.yml", "models:\n  - name: books\n    columns: [{name: id, data_tests: [not_null, unique]}]\n");
const TITLES: (&str, &str) = ("models/gold/titles.sql", "select title, id from silver.books\n");

async fn proven(shop: &Shop) -> Vec<Remade> {
    let project = shop.project().unwrap();
    let declared = Declared { root: shop.root.path(), sources: &[], streams: &[], project: &project };
    let scope = Scope { cells: true, ..Scope::default() };
    prove(declared, &shop.lake, &shop.engine, &scope, &Progress::silent(), &Stop::default()).await.unwrap()
}

/// Of the newest version.
async fn proof(shop: &Shop, table: &str) -> Remade {
    proven(shop).await.into_iter().rfind(|proof| proof.table == table).unwrap()
}

async fn differences(shop: &Shop, table: &str) -> Vec<String> {
    let proof = proof(shop, table).await;
    assert_eq!(proof.not_compared, None, "{proof:?}");
    proof.differences.iter().map(ToString::to_string).collect()
}

async fn why_not(shop: &Shop, table: &str) -> String {
    let proof = proof(shop, table).await;
    assert!(proof.differences.is_empty(), "{proof:?}");
    proof.not_compared.unwrap_or_else(|| format!("{} rows of {table} were compared", proof.rows))
}

/// Puts the result of a query in the place of a table's rows, in a commit that says nothing of what it was made of.
async fn spoil(shop: &Shop, table: &str, sql: &str) {
    let mut table = shop.lake.table(&TableName::parse(table).unwrap()).await.unwrap().unwrap();
    let session = shop.engine.session();
    session.register(table.name(), table.provider().await.unwrap()).unwrap();
    let mut stage = table.stage(table.schema()).await.unwrap();
    for rows in session.query(sql).await.unwrap() {
        stage.write(rows).await.unwrap();
    }
    let commit =
        Commit { mode: Mode::Replace, staged: stage.finish().await.unwrap(), txns: Vec::new(), info: Map::new() };
    table.commit(commit, "table.commit").await.unwrap();
}

async fn rebuild(shop: &Shop) {
    let options = Options { layers: vec![Layer::Silver, Layer::Gold], full_refresh: true, ..Options::default() };
    assert!(shop.promote_with(options).await.unwrap().1.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_removed_doubled_or_changed_is_named_in_silver_and_in_gold() {
    let shop = Shop::open(&[KEYS, TITLES]).await;
    shop.all().await;
    for proof in proven(&shop).await {
        assert!(proof.differences.is_empty() && proof.not_compared.is_none() && proof.rows == 3, "{proof:?}");
    }
    let silver: [(&str, &[&str]); 4] = [
        (
            "select * from silver.books where id <> 2",
            &["rows: 3 by its SQL, 2 in the table", "id = 2: is missing in the table"],
        ),
        (
            "select * from silver.books union all select * from silver.books where id = 2",
            &["rows: 3 by its SQL, 4 in the table", "id = 2: 1 by its SQL, 2 in the table"],
        ),
        (
            "select id, replace(title, 'es', 'ez') as title from silver.books",
            &["values differ in title", "id = 2: title is Ulysses by its SQL, Ulyssez in the table"],
        ),
        (
            "select case id when 3 then 4 else id end as id, title from silver.books",
            &["values differ in id", "id = 3: is missing in the table", "id = 4: is in the table and not by its SQL"],
        ),
    ];
    for (fault, expected) in silver {
        spoil(&shop, "silver.books", fault).await;
        assert_eq!(differences(&shop, "silver.books").await, expected);
        assert_eq!(differences(&shop, "gold.titles").await, [""; 0], "it was made of the rows that were right");
        rebuild(&shop).await;
        assert_eq!(differences(&shop, "silver.books").await, [""; 0]);
    }
    spoil(&shop, "gold.titles", "select upper(title) as title, id from gold.titles where id <> 3").await;
    let expected = [
        "rows: 3 by its SQL, 2 in the table",
        "title = EMMA, id = 1: is in the table and not by its SQL",
        "title = Emma, id = 1: is missing in the table",
        "title = ULYSSES, id = 2: is in the table and not by its SQL",
        "title = Ulysses, id = 2: is missing in the table",
        "title = Буря, id = 3: is missing in the table",
    ];
    assert_eq!(differences(&shop, "gold.titles").await, expected);
    let read = proven(&shop).await.into_iter().find(|proof| proof.table == "gold.titles").unwrap();
    assert!(read.differences.is_empty(), "readers still see the version the run named: {read:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn increments_are_what_one_build_of_all_rows_makes() {
    let sum = "select book, count(*) as n, sum(amount) as amount from bronze.sales group by book";
    let keyed = format!("{{{{ config(materialized='incremental', unique_key='book') }}}}\n{sum}\n");
    let append = "{{ config(materialized='incremental') }}\nselect id, amount from bronze.sales\n";
    let shop = Shop::open(&[("models/gold/keyed.sql", &keyed), ("models/gold/added.sql", append)]).await;
    shop.all().await;
    shop.add_sales(&[(4, Some(1), 8), (5, None, 1)]).await;
    shop.all().await;
    shop.add_sales(&[(6, Some(2), 2)]).await;
    shop.all().await;
    for (table, rows) in [("gold.keyed", 3), ("gold.added", 6)] {
        let proof = proof(&shop, table).await;
        assert!(proof.differences.is_empty() && proof.not_compared.is_none(), "{proof:?}");
        assert_eq!(proof.rows, rows);
    }
    spoil(&shop, "gold.keyed", "select book, n, amount + 1 as amount from gold.keyed").await;
    let expected = [
        "values differ in amount",
        "book = 1: amount is 20 by its SQL, 21 in the table",
        "book = 2: amount is 2 by its SQL, 3 in the table",
        "book = NULL: amount is 10 by its SQL, 11 in the table",
    ];
    assert_eq!(differences(&shop, "gold.keyed").await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_run_of_the_statement_need_not_give_is_not_compared() {
    let incremental =
        |config: &str, sql: &str| format!("{{{{ config(materialized='incremental'{config}) }}}}\n{sql}\n");
    let own = "select id, title from bronze.books {% if is_incremental() %}where id > 3{% endif %}";
    let own = incremental(", unique_key='id'", own);
    let looks_up = "select s.id, b.title from bronze.sales s left join bronze.books b on b.id = s.book";
    let looks_up = incremental(", driven_by='sales', unique_key='id'", looks_up);
    let snapshot = "{{ config(materialized='snapshot', unique_key='id', strategy='check', check_cols='all') }}\n\
                    select id, amount from bronze.sales\n";
    let files = [
        ("models/gold/clock.sql", "select id, current_date as today from silver.books\n"),
        ("models/gold/floats.sql", "select sum(cast(amount as double)) as total from bronze.sales\n"),
        ("models/gold/mixed.sql", "select book, avg(cast(amount as double)) as mean from bronze.sales group by book\n"),
        ("models/gold/history.sql", snapshot),
        ("models/gold/own.sql", own.as_str()),
        ("models/gold/looks_up.sql", looks_up.as_str()),
        TITLES,
    ];
    let shop = Shop::open(&files).await;
    shop.all().await;
    for whole in ["gold.own", "gold.looks_up"] {
        assert_eq!(
            why_not(&shop, whole).await,
            format!("3 rows of {whole} were compared"),
            "all rows were built at once"
        );
    }
    shop.add_books(&[(Some(4), "Persuasion")]).await;
    shop.add_sales(&[(4, Some(4), 1)]).await;
    shop.all().await;
    for equal in ["gold.own", "gold.looks_up"] {
        assert_eq!(why_not(&shop, equal).await, format!("4 rows of {equal} were compared"), "it could differ");
    }
    shop.add_books(&[(Some(1), "Emma, again")]).await;
    shop.add_sales(&[(5, None, 1)]).await;
    shop.all().await;
    let expected = [
        ("gold.clock", "`current_date` in its SQL answers otherwise each time"),
        ("gold.floats", "all its columns are floating numbers that were added up in no order"),
        ("gold.history", "a snapshot keeps what its SQL made at other times"),
        ("gold.own", "its rows are not those of one build, and its SQL says itself what is new"),
        (
            "gold.looks_up",
            "its rows are not those of one build, and `bronze.books`, which it only looks up, changed between its builds",
        ),
    ];
    for (table, why) in expected {
        assert_eq!(why_not(&shop, table).await, why);
    }
    let mixed = proof(&shop, "gold.mixed").await;
    assert_eq!((mixed.rows, mixed.columns, mixed.left_out), (3, 1, vec!["mean".to_string()]));
    shop.write(TITLES.0, "select upper(title) as title, id from silver.books\n");
    assert_eq!(why_not(&shop, "gold.titles").await, "its SQL changed since it was built");
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_that_are_gone_are_told() {
    let shop = Shop::open(&[TITLES]).await;
    shop.all().await;
    let folder = shop.root.path().join("lake/bronze/sales");
    let files = || {
        let folders = ["_quarantined=false", "_quarantined=true"].map(|half| folder.join(half));
        let listed = folders.into_iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
        listed.map(|file| file.unwrap().path()).collect::<Vec<_>>()
    };
    let old = files();
    spoil(&shop, "bronze.sales", "select * from bronze.sales where id > 1").await;
    assert_eq!(differences(&shop, "silver.sales").await, [""; 0], "the version it was built from is kept");
    old.iter().for_each(|file| std::fs::remove_file(file).unwrap());
    let cleaned = "version 1 of `bronze.sales`, which it was built from, was cleaned away";
    assert_eq!(why_not(&shop, "silver.sales").await, cleaned);
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(why_not(&shop, "silver.sales").await, "`bronze.sales`, which it was built from, is gone");
    shop.add_sales(&[(1, None, 1)]).await;
    assert_eq!(why_not(&shop, "silver.sales").await, "`bronze.sales`, which it was built from, was made anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_tests_took_out_are_compared_with_their_table() {
    let tests = "models:\n  - name: sales\n    columns:\n      - name: book\n        tests:\n          \
                 - not_null: {on_failure: quarantine}\n          \
                 - relationships: {to: ref('books'), field: id, config: {on_failure: quarantine}}\n";
    let shop = Shop::open(&[("models/silver/schema.yml", tests)]).await;
    shop.add_sales(&[(4, Some(9), 1)]).await;
    shop.all().await;
    let counts = |proof: &Remade| (proof.rows, proof.rejected, proof.not_compared.clone());
    assert_eq!(counts(&proof(&shop, "silver.sales").await), (2, 2, None));
    // The books of the build, not those of today.
    shop.add_books(&[(Some(9), "Persuasion")]).await;
    let options = Options { layers: vec![Layer::Silver], select: vec!["books".into()], ..Options::default() };
    assert!(shop.promote_with(options).await.unwrap().1.is_none());
    assert_eq!(counts(&proof(&shop, "silver.sales").await), (2, 2, None));
    spoil(&shop, "silver.sales", "select id, book, amount from silver.sales union all select 4, 9, 1").await;
    let expected =
        ["rows: 2 by its SQL, 3 in the table", "id = 4, book = 9, amount = 1: is in the table and not by its SQL"];
    assert_eq!(differences(&shop, "silver.sales").await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_is_compared_with_its_file() {
    let shop = Shop::bare(&[("seeds/country.csv", "code,name\nat,Austria\nno,Norway\n")]).await;
    let report = shop.all().await;
    let seed = report.models[0].table.clone();
    assert_eq!(proof(&shop, &seed).await.rows, 2);
    spoil(&shop, &seed, &format!("select code, upper(name) as name from {seed} where code = 'no'")).await;
    let expected = [
        "rows: 2 by its SQL, 1 in the table",
        "code = at, name = Austria: is missing in the table",
        "code = no, name = NORWAY: is in the table and not by its SQL",
        "code = no, name = Norway: is missing in the table",
    ];
    assert_eq!(differences(&shop, &seed).await, expected);
    shop.write("seeds/country.csv", "code,name\nat,Austria\n");
    assert_eq!(why_not(&shop, &seed).await, "its SQL changed since it was built");
}
