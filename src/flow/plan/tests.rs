//! Plans of the small shop that `promote` is tested with.

use super::*;
use crate::flow::checks;
use crate::flow::promote::ModelStatus;
use crate::flow::promote::tests::shop::Shop;
use crate::flow::retry::{Retry, retry};
use crate::ident::Layer;
use std::fs;

const FACT: &str = "models/gold/fact_sale.sql";
const FACT_SQL: &str =
    "select s.id, s.book, b.title, s.amount\nfrom silver.sales s left join {{ ref('books') }} b on b.id = s.book\n";
const CONTRACT: (&str, &str) =
    ("models/gold/s.yml", "models:\n  - name: fact_sale\n    columns: [{name: id, tests: [unique, not_null]}]\n");

fn options(layers: &[Layer], select: &[&str]) -> Options {
    let promote = promote::Options {
        layers: layers.to_vec(),
        select: select.iter().map(|text| text.to_string()).collect(),
        ..promote::Options::default()
    };
    Options { promote, lineage: true, schema: "gold".into() }
}

impl Shop {
    async fn plan_with(&self, options: &Options) -> (Report, Option<Error>) {
        plan(self.root.path(), &self.project().unwrap(), &self.lake, &self.engine, options).await.unwrap()
    }

    async fn plan(&self, select: &[&str]) -> Report {
        let (report, failure) = self.plan_with(&options(&[Layer::Silver, Layer::Gold], select)).await;
        assert!(failure.is_none(), "{failure:?}");
        report
    }

    /// Every file of the lake with its bytes.
    fn files(&self) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
        let (mut folders, mut files) = (vec![self.root.path().to_path_buf()], BTreeMap::new());
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => drop(files.insert(path.clone(), fs::read(&path).unwrap())),
                }
            }
        }
        files
    }

    /// Takes every file of rows away and leaves the logs.
    fn lose_rows(&self) -> usize {
        let rows = self.files().into_keys().filter(|path| path.extension().is_some_and(|end| end == "parquet"));
        rows.filter(|path| fs::remove_file(path).is_ok()).count()
    }
}

fn told(report: &Report) -> Vec<(&str, bool, &str)> {
    report.models.iter().map(|model| (model.table.as_str(), model.runs, model.reason.as_str())).collect()
}

fn model<'a>(report: &'a Report, table: &str) -> &'a ModelPlan {
    report.models.iter().find(|model| model.table == table).unwrap()
}

/// What is changed, the file and its new text, and the reasons of the three models.
type Edit<'a> = (&'a str, Option<(&'a str, &'a str)>, &'a [&'a str]);

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_what_promote_then_does() {
    let shop = Shop::open(&[(FACT, FACT_SQL), CONTRACT]).await;
    let edits: [Edit<'_>; 6] = [
        ("first", None, &["never built", "never built", "never built"]),
        ("again", None, &["nothing changed", "nothing changed", "nothing changed"]),
        (
            "a comment",
            Some(("models/silver/sales.sql", "-- why\nselect id, book, amount from {{ source('shop', 'sales') }}\n")),
            &["nothing changed", "only comments or layout changed", "nothing changed"],
        ),
        (
            "a contract",
            Some(("models/silver/s.yml", "models:\n  - name: books\n    columns: [{name: id, tests: [not_null]}]\n")),
            &["its contract changed", "only comments or layout changed", "`silver.books` is rebuilt"],
        ),
        (
            "a statement",
            Some((FACT, "select id, amount from silver.sales\n")),
            &["nothing changed", "only comments or layout changed", "its SQL changed"],
        ),
        (
            "all sales",
            Some(("models/silver/sales.sql", "select id, book, amount, 1 as one from bronze.sales\n")),
            &["nothing changed", "its SQL changed", "`silver.sales` is rebuilt"],
        ),
    ];
    for (what, edit, reasons) in edits {
        if let Some((path, text)) = edit {
            shop.write(path, text);
        }
        let planned = shop.plan(&[]).await;
        let found: Vec<&str> = planned.models.iter().map(|model| model.reason.as_str()).collect();
        assert_eq!(found, reasons, "{what}");
        let done = shop.all().await;
        for (planned, done) in planned.models.iter().zip(&done.models) {
            assert_eq!((&planned.table, &planned.reason), (&done.table, &done.reason), "{what}");
            assert_eq!(planned.runs, done.status == ModelStatus::Built, "{what}: {}", planned.table);
        }
        let tests: BTreeSet<&str> =
            planned.models.iter().flat_map(|model| model.tests.iter().map(String::as_str)).collect();
        let ran = done.tests.iter().filter(|test| test.status != checks::TestStatus::Skipped);
        assert_eq!(tests, ran.map(|test| test.name.as_str()).collect(), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_writes_nothing_and_reads_no_row() {
    let shop = Shop::open(&[(FACT, FACT_SQL), CONTRACT]).await;
    shop.all().await;
    shop.add_sales(&[(4, Some(2), 1)]).await;
    shop.write("models/silver/books.sql", "select id, upper(title) as title, 1 as one from bronze.books\n");
    let before = shop.files();
    let all = [
        shop.plan(&[]).await,
        shop.plan(&["state:modified+"]).await,
        shop.plan_with(&Options {
            promote: promote::Options { full_refresh: true, ..options(&[Layer::Gold], &[]).promote },
            ..options(&[], &[])
        })
        .await
        .0,
    ];
    assert!(shop.files() == before, "a plan changed a file");
    assert!(shop.lose_rows() > 5);
    assert_eq!(serde_json::to_string(&shop.plan(&[]).await).unwrap(), serde_json::to_string(&all[0]).unwrap());
    assert_eq!(
        told(&all[0]),
        [
            ("silver.books", true, "its SQL changed"),
            ("silver.sales", true, "new version of `bronze.sales`: 1 -> 2"),
            ("gold.fact_sale", true, "`silver.books` is rebuilt")
        ]
    );
    let sales = &model(&all[0], "silver.sales").reads;
    // Three rows and one, and a record in quarantine with each batch.
    assert_eq!((sales[0].table.as_str(), sales[0].version, sales[0].rows), ("bronze.sales", Some(2), Some(6)));
    let on_disk = before.iter().filter(|(path, _)| {
        path.to_string_lossy().contains("bronze/sales/") && path.extension().is_some_and(|end| end == "parquet")
    });
    assert_eq!(sales[0].bytes, Some(on_disk.map(|(_, bytes)| bytes.len() as u64).sum()));
    let unknown = |table: &str| Read { table: table.into(), rebuilt: true, version: None, rows: None, bytes: None };
    assert_eq!(model(&all[0], "gold.fact_sale").reads, [unknown("silver.books"), unknown("silver.sales")]);
    assert_eq!(model(&all[0], "gold.fact_sale").tests, ["unique_fact_sale_id", "not_null_fact_sale_id"]);
    assert_eq!(told(&all[1]).iter().map(|told| told.0).collect::<Vec<_>>(), ["silver.books", "gold.fact_sale"]);
    assert_eq!(told(&all[2]), [("gold.fact_sale", true, "full refresh")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_are_compared_and_traced_through_what_is_not_built_yet() {
    let shop = Shop::open(&[(FACT, FACT_SQL)]).await;
    let first = shop.plan(&[]).await;
    let fact = model(&first, "gold.fact_sale");
    assert_eq!(fact.columns.before, None);
    let title = Column { name: "title".into(), data_type: "text".into() };
    assert_eq!(fact.columns.after.as_ref().unwrap()[2], title);
    let lineage = fact.lineage.as_ref().unwrap();
    assert_eq!(lineage["title"], BTreeSet::from(["silver.books.title".to_string()]));
    assert_eq!(fact.influences, BTreeSet::from(["silver.books.id".to_string(), "silver.sales.book".to_string()]));

    shop.all().await;
    shop.write(
        "models/silver/sales.sql",
        "select id, book, cast(amount as varchar) as amount, _source from bronze.sales\n",
    );
    shop.write(FACT, "select id, amount, _source from silver.sales\n");
    let report = shop.plan(&[]).await;
    let fact = &model(&report, "gold.fact_sale").columns;
    assert_eq!(
        (fact.added.as_slice(), fact.dropped.as_slice()),
        (&["_source".to_string()][..], &["book".into(), "title".into()][..])
    );
    assert_eq!(fact.retyped, [Retyped { name: "amount".into(), before: "bigint".into(), after: "text".into() }]);
    let breaks = &model(&report, "gold.fact_sale").breaks;
    assert_eq!(breaks.len(), 1, "{breaks:?}");
    assert_eq!(breaks[0].what, "postgres");
    assert!(
        breaks[0].why.starts_with("column `amount` of `gold.fact_sale` is bigint, the lake has text; run: "),
        "{breaks:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_change_breaks_further_down_is_told_where_it_comes_from() {
    let shop = Shop::open(&[(FACT, FACT_SQL)]).await;
    shop.all().await;
    shop.write("models/silver/books.sql", "select id from bronze.books\n");
    // Gold is not in this plan, and would be told only by the next one.
    let (report, failure) = shop.plan_with(&options(&[Layer::Silver], &[])).await;
    assert!(failure.is_none());
    let breaks = &model(&report, "silver.books").breaks;
    assert_eq!(breaks[0].what, "gold.fact_sale");
    assert!(breaks[0].why.starts_with("models/gold/fact_sale.sql:1:22: column `b.title` not found"), "{breaks:?}");

    shop.write("models/silver/sales.sql", "select idd from bronze.sales\n");
    let (report, failure) = shop.plan_with(&options(&[Layer::Silver, Layer::Gold], &[])).await;
    assert!(model(&report, "silver.sales").fault.as_ref().unwrap().starts_with("models/silver/sales.sql:1:8: "));
    // What reads a model at fault is not blamed for it.
    assert_eq!(model(&report, "gold.fact_sale").fault, None);
    assert_eq!(model(&report, "gold.fact_sale").columns.after, None);
    assert_eq!(failure.unwrap().kind(), crate::error::Kind::Config);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_remembered_and_retried_alone() {
    let shop = Shop::open(&[(FACT, FACT_SQL), ("models/silver/late.sql", "select id from bronze.books\n")]).await;
    let again = async || retry(shop.root.path(), &shop.project().unwrap()).await;
    assert!(again().await.is_err());
    shop.write("models/silver/s.yml", "models:\n  - name: sales\n    columns: [{name: book, tests: [not_null]}]\n");
    shop.fails().await;
    let report = shop.plan(&[]).await;
    let last = |table: &str| model(&report, table).last_failure.clone();
    assert_eq!(last("silver.sales").unwrap(), "not published: `not_null_sales_book` failed");
    assert_eq!(last("gold.fact_sale").unwrap(), "blocked: `silver.sales` was not built");
    assert_eq!(last("silver.books"), None);
    assert!(model(&report, "silver.books").reason.ends_with("nothing changed"));

    // One has new rows by now, and built well: it is not part of a retry.
    shop.add_books(&[(Some(9), "Persuasion")]).await;
    shop.write("models/silver/sales.sql", "select id, coalesce(book, 0) as book, amount from bronze.sales\n");
    let Retry::Models(options) = again().await.unwrap() else { panic!("models failed") };
    let (report, failure) = shop.promote_with(options).await.unwrap();
    assert!(failure.is_none(), "{failure:?}");
    let built = report.models.iter().filter(|model| model.status == ModelStatus::Built);
    assert_eq!(built.map(|model| model.table.as_str()).collect::<Vec<_>>(), ["silver.sales", "gold.fact_sale"]);
    assert_eq!((report.run, shop.numbers("select count(*) from silver.books").await), (Some(1), vec![3]));
    assert!(matches!(again().await.unwrap(), Retry::Nothing));
}
