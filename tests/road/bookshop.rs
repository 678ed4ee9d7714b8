//! The bookshop from file to Postgres. Every figure below was printed by `tests/bookshop/golden.py`, which reads the
//! same files with Python's own csv, json and decimal.

use crate::support::{Project, left_out};

/// Query and the exact CSV it must answer with.
pub const FIGURES: &[(&str, &str)] = &[
    ("select count(*) as n from bronze.catalogue", "n\n424\n"),
    ("select count(*) as n from bronze.catalogue__quarantine", "n\n2\n"),
    ("select count(*) as n from bronze.customers", "n\n1209\n"),
    ("select count(*) as n from bronze.customers__quarantine", "n\n5\n"),
    ("select count(*) as n from bronze.customers where _rescued is not null", "n\n1\n"),
    ("select count(*) as n from bronze.sales", "n\n19974\n"),
    ("select count(*) as n from bronze.sales__quarantine", "n\n4\n"),
    (
        "select count(*) as n, count(genre) as g, count(pages) as p, sum(list_price) as price from silver.book",
        "n,g,p,price\n420,370,392,8892.74\n",
    ),
    ("select count(*) as n from silver.book where language = 'el'", "n\n15\n"),
    ("select count(*) as n from silver.book_author", "n\n539\n"),
    ("select count(*) as n, count(email) as e from silver.customer", "n,e\n1201,1081\n"),
    ("select count(*) as n from silver.sale_rejected", "n\n15\n"),
    ("select count(*) as n from gold.dim_author", "n\n132\n"),
    ("select count(*) as n from gold.dim_customer", "n\n1202\n"),
    ("select count(*) as n, min(day) as a, max(day) as b from gold.dim_date", "n,a,b\n739,2023-12-25,2026-01-01\n"),
];

/// The same, of tables that stand in the lake and in Postgres alike. `{}` is the schema.
pub const STAR: &[(&str, &str)] = &[
    (
        "select count(*) as n, sum(quantity) as q, sum(revenue) as r from {}.fact_sale",
        "n,q,r\n19873,25576,508933.9700\n",
    ),
    ("select count(*) as n from {}.fact_sale where is_return", "n\n420\n"),
    ("select count(*) as n from {}.fact_sale where customer_key = 0", "n\n3283\n"),
    (
        "select channel, sum(revenue) as r from {}.fact_sale group by channel order by channel",
        "channel,r\nphone,127780.1310\nshop,126735.6220\nweb,254418.2170\n",
    ),
    (
        "select a.author_name, sum(f.quantity) as copies from {}.fact_sale f \
         join {}.bridge_book_author b on b.book_key = f.book_key join {}.dim_author a on a.author_key = b.author_key \
         group by a.author_name order by copies desc, a.author_name limit 3",
        "author_name,copies\nRosa Lindqvist,550\nIvo Petrenko,525\nIvo Berg,516\n",
    ),
    (
        "select city, count(*) as n from {}.dim_customer where city = 'Θεσσαλονίκη' group by city",
        "city,n\nΘεσσαλονίκη,106\n",
    ),
];

/// Asks the lake and Postgres for every figure.
pub fn check_figures(project: &Project, schema: &str) {
    for (sql, expected) in FIGURES {
        assert_eq!(&project.lake(&["query", "--output", "csv", sql]).ok().stdout, expected, "{sql}");
    }
    for (sql, expected) in STAR {
        let lake = sql.replace("{}", "gold");
        assert_eq!(&project.lake(&["query", "--output", "csv", &lake]).ok().stdout, expected, "{lake}");
        let warehouse = sql.replace("{}", schema);
        let answer = project.lake(&["query", "--output", "csv", "--warehouse", &warehouse]).ok().stdout;
        assert_eq!(&answer, expected, "in Postgres: {warehouse}");
    }
}

#[test]
fn the_four_verbs_one_after_the_other_reach_the_golden_figures() {
    let project = Project::bookshop();
    project.lake(&["produce"]).ok();
    project.lake(&["bronze", "--once"]).ok();
    project.lake(&["promote", "silver"]).ok();
    project.lake(&["promote", "gold"]).ok();
    project.lake(&["load-warehouse"]).ok();
    check_figures(&project, "gold");
    let verified = project.lake(&["verify", "--cells"]).ok().stdout;
    assert!(
        verified.contains("19,990 rows = 19,974 good, 4 quarantined, 12 filtered"),
        "every row of sales.csv is accounted for:\n{verified}"
    );
    assert!(!verified.contains("not compared"), "{verified}");
}

/// In a schema that has to be quoted, and in a database whose ledger speaks of another project first.
#[test]
fn the_demo_shows_a_table_from_postgres_and_has_nothing_to_do_the_second_time() {
    let mut project = Project::bookshop();
    project.env("LAKE__WAREHOUSE__SCHEMA", "the \"shop\"; книга");
    let others =
        "insert into lake.ledger values ('a.a', 'x', 'x', 1, 1, 'x', 1, gen_random_uuid()) on conflict do nothing";
    project.write("sql/warehouse/others.sql", others);
    let first = project.lake(&["demo"]).ok();
    for expected in ["fact_sale", "19,873", "lake up"] {
        assert!(first.stdout.contains(expected), "`{expected}` is missing in:\n{}", first.stdout);
    }
    std::fs::remove_file(project.path().join("sql/demo.sql")).unwrap();
    let second = project.lake(&["demo"]).ok();
    assert!(second.stdout.contains("nothing to do"), "{}", second.stdout);
    let own = "select * from \"bridge_book_author\" limit 5";
    assert!(second.stdout.contains(own), "without a query of its own:\n{}", second.stdout);
}

/// The data in the repository is what the generator writes.
#[test]
fn the_data_is_what_the_generator_makes() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let made =
        std::process::Command::new("python3").arg(root.join("tests/bookshop/generate.py")).arg(folder.path()).status();
    let Ok(status) = made else {
        left_out("the bookshop's generator: python3 is not installed");
        return;
    };
    assert!(status.success());
    for name in ["catalogue.csv", "customers.jsonl", "sales.csv"] {
        let made = std::fs::read(folder.path().join(name)).unwrap();
        assert!(made == std::fs::read(root.join("data").join(name)).unwrap(), "{name} differs");
    }
}
