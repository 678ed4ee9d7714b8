//! Promotes small projects in a lake in a temporary folder.

mod failures;
mod gate;
mod guards;
mod history;
mod increments;
mod oracle;
mod parallel;
pub(in crate::flow) mod shop;
mod sieve;
mod unit;
mod views;

use super::*;
use crate::error::Kind;
use crate::flow::checks::TestStatus;
use crate::flow::test;
use crate::table::manifest;
use shop::{BOOKS, Shop};

const DIM: (&str, &str) = ("models/gold/dim_book.sql", "select id, title from silver.books\n");
const FACT: (&str, &str) = ("models/gold/fact_sale.sql", "select id, book, amount from silver.sales\n");
const SPANNING: (&str, &str) = (
    "models/gold/s.yml",
    "models:\n  - name: fact_sale\n    columns:\n      - {name: book, tests: [{relationships: {to: ref('dim_book'), field: id}}]}\n",
);

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort();
    lines
}

impl Shop {
    async fn manifest(&self) -> manifest::Manifest {
        manifest::latest(&self.lake).await.unwrap().unwrap()
    }

    async fn layer(&self, layer: Layer) -> (Report, Option<Error>) {
        self.promote(&[layer]).await.unwrap()
    }

    async fn test(&self, select: &[&str]) -> Result<(test::Report, Option<Error>)> {
        let options =
            test::Options { select: select.iter().map(|text| text.to_string()).collect(), ..test::Options::default() };
        let (progress, stop) = (Progress::silent(), Stop::default());
        test::test(self.root.path(), &self.project()?, &self.lake, &self.engine, &options, &progress, &stop).await
    }

    /// Takes a table away as an `mv` of its folder would.
    fn take_away(&self, table: &str) {
        std::fs::remove_dir_all(self.root.path().join("lake").join(table)).unwrap();
    }
}

fn statuses(report: &Report) -> Vec<(&str, ModelStatus)> {
    report.models.iter().map(|model| (model.table.as_str(), model.status)).collect()
}

fn test_named<'a>(report: &'a Report, name: &str) -> &'a TestReport {
    report.tests.iter().find(|test| test.name == name).unwrap_or_else(|| panic!("no test {name} in {report:?}"))
}

const GOLD: (&str, &str) = (
    "models/gold/fact_sale.sql",
    "select s.id, s.book, b.title, s.amount\nfrom silver.sales s left join {{ ref('books') }} b on b.id = s.book\n",
);

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_built_once_and_then_skipped() {
    let shop = Shop::open(&[GOLD]).await;
    let first = shop.all().await;
    assert_eq!(
        statuses(&first),
        [
            ("silver.books", ModelStatus::Built),
            ("silver.sales", ModelStatus::Built),
            ("gold.fact_sale", ModelStatus::Built)
        ]
    );
    assert_eq!(first.run, Some(1));
    assert_eq!(first.models[2].rows, 3);
    assert_eq!(shop.numbers("select sum(amount) from gold.fact_sale").await, [21]);

    let second = shop.all().await;
    assert!(second.models.iter().all(|model| model.status == ModelStatus::Skipped), "{second:?}");
    assert_eq!(second.run, Some(1), "an identical run publishes no manifest");

    // Comments and white space are no change.
    shop.write("models/silver/books.sql", "-- all books\nselect id,\n  title from bronze.books -- as sent\n");
    let skipped = shop.all().await;
    assert!(skipped.models.iter().all(|model| model.status == ModelStatus::Skipped));
    assert_eq!(skipped.models[0].reason, "only comments or layout changed");

    shop.write("models/silver/books.sql", "select id, upper(title) as title from bronze.books\n");
    let changed = shop.all().await;
    assert_eq!(
        changed.models.iter().map(|model| model.reason.as_str()).collect::<Vec<_>>(),
        ["its SQL changed", "nothing changed", "`silver.books` is rebuilt"]
    );
    assert_eq!(changed.run, Some(2));
    let manifest = manifest::latest(&shop.lake).await.unwrap().unwrap();
    assert_eq!(manifest.tables["silver.books"].version, 2);
    assert_eq!(manifest.tables["gold.fact_sale"].inputs["silver.books"], 2);

    shop.add_sales(&[(4, Some(2), 1)]).await;
    let grown = shop.all().await;
    assert_eq!(
        grown.models.iter().map(|model| model.reason.as_str()).collect::<Vec<_>>(),
        ["nothing changed", "new version of `bronze.sales`: 1 -> 2", "`silver.sales` is rebuilt"]
    );
    assert_eq!(shop.numbers("select sum(amount) from gold.fact_sale").await, [22]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_of_a_bronze_table_gates_nothing_whatever_it_compares_with() {
    let shop = Shop::open(&[GOLD]).await;
    let test = "      - name: sales\n        columns:\n          - name: book\n            data_tests:\n              \
                - relationships: {to: ref('books'), field: id}\n";
    let sources = shop.read("models/sources.yml").replace("      - name: sales\n", test);
    shop.write("models/sources.yml", &sources);
    shop.add_sales(&[(4, Some(99), 1)]).await;
    let report = shop.all().await;
    assert!(report.run == Some(1) && report.tests.is_empty(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bronze_shows_its_two_halves() {
    let shop = Shop::open(&[("models/silver/bad.sql", "select _source, _reason from bronze.books__quarantine")]).await;
    shop.all().await;
    assert_eq!(shop.numbers("select count(*) from bronze.books").await, [3]);
    assert_eq!(shop.numbers("select count(*) from silver.bad where _reason = 'torn'").await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_build_that_fails_publishes_nothing() {
    let shop = Shop::open(&[
        GOLD,
        ("models/schema.yml", "models:\n  - name: sales\n    columns: [{name: book, tests: [not_null]}]\n"),
    ])
    .await;
    let (report, _) = shop.fails().await;
    assert_eq!(report.models[1].version, None);
    assert!(manifest::latest(&shop.lake).await.unwrap().is_none());
    let results: serde_json::Value = serde_json::from_str(&shop.read("target/run_results.json")).unwrap();
    let status = |id: &str| {
        let all = results["results"].as_array().unwrap();
        all.iter().find(|result| result["unique_id"] == id).unwrap()["status"].as_str().unwrap().to_string()
    };
    assert_eq!(status("model.lake.silver.books"), "success");
    assert_eq!(status("model.lake.silver.sales"), "error");
    assert_eq!(status("model.lake.gold.fact_sale"), "skipped");
    assert_eq!(status("test.lake.not_null_sales_book"), "fail");

    // Mended, the failing rows of the run before are gone too.
    assert!(shop.exists("target/failures/not_null_sales_book.csv"));
    shop.write("models/silver/sales.sql", "select id, coalesce(book, 0) as book, amount from bronze.sales");
    assert_eq!(shop.all().await.run, Some(1));
    assert!(!shop.exists("target/failures/not_null_sales_book.csv"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuilt_parent_is_tested_with_its_standing_children() {
    let shop = Shop::open(&[(
        "models/schema.yml",
        "models:\n  - name: sales\n    columns:\n      - {name: book, tests: [{relationships: {to: ref('books'), field: id}}]}\n",
    )])
    .await;
    let report = shop.all().await;
    assert_eq!(report.models[0].table, "silver.books");
    shop.write("models/silver/books.sql", "select id, title from bronze.books where id > 1");
    let (report, _) = shop.fails().await;
    assert_eq!(statuses(&report), [("silver.books", ModelStatus::Failed), ("silver.sales", ModelStatus::Skipped)]);
    assert_eq!(shop.numbers("select count(*) from silver.books").await, [3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn append_adds_and_tests_old_and_new_rows() {
    let shop = Shop::open(&[
        (
            "models/gold/log.sql",
            "{{ config(materialized='append') }}\nselect id, amount from bronze.sales\n\
             {% if is_incremental() %}where id > (select max(id) from {{ this }}){% endif %}\n",
        ),
        ("models/gold/s.yml", "models:\n  - name: log\n    columns: [{name: amount, tests: [unique]}]\n"),
    ])
    .await;
    shop.all().await;
    assert_eq!(shop.numbers("select count(*) from gold.log").await, [3]);
    shop.add_sales(&[(4, Some(1), 11)]).await;
    let report = shop.all().await;
    assert_eq!(report.models.last().unwrap().rows, 1);
    assert_eq!(shop.numbers("select count(*) from gold.log").await, [4]);

    // 5 stands in the table already: only old and new rows together show it.
    shop.add_sales(&[(5, Some(1), 5)]).await;
    let (report, _) = shop.fails().await;
    assert_eq!(test_named(&report, "unique_log_amount").failures, 1);
    assert_eq!(shop.numbers("select count(*) from gold.log").await, [4]);

    shop.write("models/gold/s.yml", "");
    shop.all().await;
    assert_eq!(shop.numbers("select count(*) from gold.log").await, [5]);
    let twice = shop.read("models/gold/log.sql").replace("id, amount from", "id, amount * 2 as amount from");
    shop.write("models/gold/log.sql", &twice);
    let report = shop.all().await;
    assert_eq!(report.models.iter().find(|model| model.table == "gold.log").unwrap().status, ModelStatus::Skipped);
    let options = Options { layers: vec![Layer::Gold], full_refresh: true, ..Options::default() };
    let (_, failure) = shop.promote_with(options).await.unwrap();
    assert!(failure.is_none());
    assert_eq!(shop.numbers("select sum(amount) from gold.log").await, [2 * (5 + 7 + 9 + 11 + 5)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn planning_faults_show_the_models_own_line() {
    let shop = Shop::open(&[]).await;
    shop.write(
        "models/silver/books.sql",
        "{{ config(tags=['x']) }}\nselect id,\n       {{ var('what', 'titel') }}, titel\nfrom bronze.books",
    );
    assert_eq!(
        shop.fault().await,
        "models/silver/books.sql:3:8: column `titel` not found, did you mean `title`?\n  \
         3 |        {{ var('what', 'titel') }}, titel\n    |        ^"
    );
    shop.write("models/silver/books.sql", "select b.id, b.titel\nfrom books b");
    assert_eq!(
        shop.fault().await,
        "models/silver/books.sql:1:14: column `b.titel` not found, did you mean `title`?\n  \
         1 | select b.id, b.titel\n    |              ^"
    );
    shop.write("models/silver/books.sql", "select id\nfrm bronze.books");
    let text = shop.fault().await;
    assert!(text.starts_with("models/silver/books.sql:2:"), "{text}");
    shop.write("models/silver/books.sql", BOOKS);
    shop.write("models/silver/s.yml", "models:\n  - name: books\n    columns:\n      - {name: id, data_type: date}\n      - {name: title, data_type: text}\n");
    let text = shop.fault().await;
    assert!(text.starts_with("models/silver/s.yml:4:31: `id` is declared date, the query returns bigint\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_that_do_not_exist_are_named_with_the_remedy() {
    let shop = Shop::open(&[GOLD, ("models/more.yml", "sources:\n  - name: x\n    tables: [{name: events}]\n")]).await;
    let error = shop.promote(&[Layer::Gold]).await.unwrap_err();
    assert_eq!(error.to_string(), "`silver.books`, which `gold.fact_sale` reads, was never built");
    assert_eq!(error.hint_text(), Some("run `lake promote silver` first, or `lake promote all`"));
    shop.write("models/silver/events.sql", "select * from bronze.events");
    let error = shop.promote(&[Layer::Silver]).await.unwrap_err();
    assert_eq!(error.to_string(), "`bronze.events`, which `silver.events` reads, does not exist yet");
    assert_eq!(error.hint_text(), Some("run `lake bronze` first"));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_promotes_at_once_one_is_told_so() {
    let shop = Shop::open(&[]).await;
    shop.all().await;
    shop.add_sales(&[(4, Some(2), 1)]).await;
    let (one, other) = tokio::join!(shop.promote(&[Layer::Silver]), shop.promote(&[Layer::Silver]));
    let failures: Vec<Error> = [one, other].into_iter().filter_map(|outcome| outcome.unwrap().1).collect();
    assert!(failures.len() <= 1, "{failures:?}");
    assert!(failures.iter().all(|failure| failure.kind() == Kind::Conflict), "{failures:?}");
    assert_eq!(shop.numbers("select count(*) from silver.sales").await, [4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_leaves_nothing_half_done() {
    let shop = Shop::open(&[]).await;
    let (progress, stop) = (Progress::silent(), Stop::default());
    stop.request(2);
    let options = Options { layers: vec![Layer::Silver], ..Options::default() };
    let (report, failure) =
        promote(shop.root.path(), &shop.project().unwrap(), &shop.lake, &shop.engine, &options, &progress, &stop)
            .await
            .unwrap();
    assert_eq!(failure.unwrap().kind(), Kind::Interrupted(2));
    assert!(report.models.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_a_failed_run_reach_a_manifest_only_tested_together() {
    let shop = Shop::open(&[DIM, FACT, SPANNING]).await;
    shop.all().await;
    shop.write(DIM.0, "select id, title from silver.books where id > 1\n");
    shop.write(FACT.0, "select id, book, arrow_cast('x', 'Int64') as amount from silver.sales\n");
    let (report, _) = shop.fails().await;
    let dim = report.models.iter().find(|model| model.table == "gold.dim_book").unwrap();
    assert_eq!((dim.status, dim.version, report.run), (ModelStatus::Built, Some(2), None));

    let (report, failure) = shop.layer(Layer::Silver).await;
    assert!(failure.is_none(), "{failure:?}");
    assert_eq!(report.run, Some(1), "nothing of Silver changed");
    assert_eq!(shop.manifest().await.tables["gold.dim_book"].version, 1);

    // The fact as it stands is up to date again, but was never tested with the new dimension.
    shop.write(FACT.0, FACT.1);
    let (report, failure) = shop.layer(Layer::Gold).await;
    assert_eq!(failure.unwrap().kind(), Kind::CheckFailed);
    assert_eq!(test_named(&report, "relationships_fact_sale_book__id__dim_book").status, TestStatus::Fail);
    assert_eq!(statuses(&report)[0], ("gold.dim_book", ModelStatus::Failed));
    assert_eq!((report.run, shop.manifest().await.run), (None, 1));

    shop.write(SPANNING.0, &SPANNING.1.replace("{to", "{severity: warn, to"));
    let (report, failure) = shop.layer(Layer::Gold).await;
    assert!(failure.is_none(), "{failure:?}");
    assert_eq!(report.run, Some(2));
    let tables = shop.manifest().await.tables;
    assert!(tables["gold.dim_book"].version > 1 && tables["silver.books"].version == 1, "{tables:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_leaves_alone_is_read_as_published() {
    let shop = Shop::open(&[GOLD]).await;
    shop.all().await;
    shop.write("models/silver/books.sql", "select id, upper(title) as title from bronze.books\n");
    shop.write(GOLD.0, "select arrow_cast(title, 'Int64') as n from silver.books\n");
    shop.fails().await;
    shop.write(GOLD.0, &GOLD.1.replace("s.amount", "s.amount * 2 as amount"));
    let (report, failure) = shop.layer(Layer::Gold).await;
    assert!(failure.is_none(), "{failure:?}");
    assert_eq!(report.run, Some(2));
    let tables = shop.manifest().await.tables;
    assert_eq!((tables["silver.books"].version, tables["gold.fact_sale"].inputs["silver.books"]), (1, 1));
    assert_eq!(shop.numbers("select count(*) from gold.fact_sale where title = 'Emma'").await, [2]);

    assert_eq!(shop.all().await.run, Some(3));
    let tables = shop.manifest().await.tables;
    assert_eq!((tables["silver.books"].version, tables["gold.fact_sale"].inputs["silver.books"]), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_made_anew_is_a_change_even_at_the_same_version() {
    let shop = Shop::open(&[]).await;
    shop.all().await;
    shop.take_away("bronze/books");
    shop.add_books(&[(Some(7), "Persuasion")]).await;
    let report = shop.all().await;
    assert_eq!(report.models[0].reason, "`bronze.books` was made anew");
    assert_eq!(shop.numbers("select id from silver.books").await, [7]);

    // A published table made anew by a run that failed is not what the manifest means.
    shop.write("models/silver/sales.sql", "select arrow_cast('x', 'Int64') as n from bronze.sales\n");
    shop.write("models/silver/books.sql", "select id from bronze.books\n");
    shop.write("models/s.yml", "models:\n  - name: books\n    columns: [{name: id, tests: [unique]}]\n");
    shop.take_away("silver/books");
    shop.fails().await;
    let error = shop.test(&["books"]).await.unwrap_err();
    assert_eq!(error.to_string(), "`silver.books` is not the table that run 2 published");
    shop.write("models/silver/sales.sql", "select id from bronze.sales\n");
    assert_eq!(shop.all().await.run, Some(3));
    assert_eq!(shop.test(&["books"]).await.unwrap().0.tests[0].status, TestStatus::Pass);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_never_built_passes_no_test() {
    let shop = Shop::open(&[(
        "models/s.yml",
        "models:\n  - name: sales\n    columns: [{name: book, tests: [not_null]}]\n  - name: books\n    columns: [{name: id, tests: [unique]}]\n",
    )])
    .await;
    shop.fails().await;
    let (report, _) = shop.test(&[]).await.unwrap();
    let found: Vec<_> =
        report.tests.iter().map(|test| (test.name.as_str(), test.status, test.message.as_deref())).collect();
    assert!(found.contains(&("unique_books_id", TestStatus::Pass, None)), "{found:?}");
    let never_built = Some("`silver.sales` was never built");
    assert!(found.contains(&("not_null_sales_book", TestStatus::Skipped, never_built)), "{found:?}");
}
