//! Faults planted behind lake's back in the warehouse: `lake verify` finds each, names the row, and holds again when it
//! is mended. Those in the lake are `tampered`'s.

use crate::support::Project;
use crate::support::postgres::Server;

const BOOKS: &str = "id,title,price,weight\n1,a,10.50,0.1\n2,b,,0.30000000000000004\n3,c,7.00,\n4,d,8.00,1e300\n";

/// Books with a key, sales without one; everything loaded.
pub fn shop(server: &Server) -> Project {
    let mut project = Project::empty();
    project.env("LAKE__WAREHOUSE__URL", &server.url());
    project.write(
        "lake.toml",
        "[[produce]]\nname = \"books\"\nfiles = [\"in/books.csv\"]\n\
         [[produce]]\nname = \"sales\"\nfiles = [\"in/sales.csv\"]\n",
    );
    project.write("in/books.csv", BOOKS);
    let sales: String = (0..500).map(|n| format!("{},{}\n", 1 + n % 4, n % 50)).collect();
    project.write("in/sales.csv", format!("book,amount\n{sales}"));
    project.write(
        "models/gold/book.sql",
        "select cast(id as bigint) as id, title, cast(price as decimal(10,2)) as price, \
         cast(weight as double) as weight from bronze.books\n",
    );
    project.write(
        "models/gold/sale.sql",
        "select cast(book as bigint) as book, cast(amount as bigint) as amount from bronze.sales\n",
    );
    project.write(
        "models/gold/schema.yml",
        "version: 2\nmodels:\n  - name: book\n    columns:\n      - {name: id, data_tests: [not_null, unique]}\n",
    );
    project.lake(&["run", "--once"]).ok();
    project
}

/// Verifies these tables and expects exactly these differences.
pub fn finds(project: &Project, arguments: &[&str], expected: &[&str]) {
    let mut verify = vec!["verify", "--output", "json"];
    verify.extend(arguments);
    let report = project.lake(&verify);
    assert_eq!(report.code, i32::from(!expected.is_empty()), "{}\n{}", report.stdout, report.stderr);
    let report = report.json();
    let proofs = report["proofs"].as_array().unwrap().iter();
    let found: Vec<&str> =
        proofs.flat_map(|proof| proof["differences"].as_array().unwrap()).map(|text| text.as_str().unwrap()).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_row_that_is_not_as_it_was_loaded_is_named_with_both_its_values() {
    let Some(server) = Server::start("rows changed in the warehouse", &[]) else { return };
    let project = shop(&server);
    finds(&project, &[], &[]);
    let few = "rows: 4 in the lake, 3 in the warehouse";
    let planted: &[(&str, &[&str])] = &[
        ("delete from gold.book where id = 2", &[few, "id = 2: is missing in the warehouse"]),
        (
            "insert into gold.book values (9, 'x', 1, 1)",
            &["rows: 4 in the lake, 5 in the warehouse", "id = 9: is in the warehouse and not in the lake"],
        ),
        (
            "update gold.book set price = 7.01 where id = 3",
            &["values differ in price", "id = 3: price is 7.00 in the lake, 7.01 in the warehouse"],
        ),
        (
            "update gold.book set weight = 0.3 where id = 2",
            &["values differ in weight", "id = 2: weight is 0.30000000000000004 in the lake, 0.3 in the warehouse"],
        ),
        (
            "update gold.book set title = 'b ', price = 0 where id = 2",
            &[
                "values differ in title, price",
                "id = 2: title is b in the lake, b  in the warehouse; price is NULL in the lake, 0.00 in the warehouse",
            ],
        ),
        (
            "update gold.book set price = 15 - price where id in (3, 4)",
            &[
                "each column has its values, in other rows",
                "id = 3: price is 7.00 in the lake, 8.00 in the warehouse",
                "id = 4: price is 8.00 in the lake, 7.00 in the warehouse",
            ],
        ),
        (
            "insert into gold.sale select * from gold.sale where (book, amount) = (1, 0) limit 1",
            &["rows: 500 in the lake, 501 in the warehouse", "book = 1, amount = 0: 5 in the lake, 6 in the warehouse"],
        ),
        (
            "update gold.sale set amount = 51 where ctid = (select min(ctid) from gold.sale where amount = 49)",
            &[
                "values differ in amount",
                "book = 2, amount = 49: 5 in the lake, 4 in the warehouse",
                "book = 2, amount = 51: is in the warehouse and not in the lake",
            ],
        ),
        (
            "alter table gold.book alter price type numeric(12,3)",
            &["column `price` is numeric(12,3) in the warehouse, the lake has numeric(10,2)"],
        ),
    ];
    for (fault, expected) in planted {
        server.execute(fault);
        finds(&project, &[], expected);
        server.execute("alter table gold.book alter price type numeric(10,2)");
        project.lake(&["load-warehouse", "--full"]).ok();
    }
    finds(&project, &[], &[]);
    server.execute("update gold.sale set amount = amount + 1000");
    let report = project.lake(&["verify", "--table", "gold.sale"]).fails_with(1);
    assert_eq!(report.stdout.matches("gold.sale: ").count(), 1 + 5, "examples only:\n{}", report.stdout);
}

#[test]
fn one_table_or_a_sample_is_proven_when_asked() {
    let Some(server) = Server::start("samples", &[]) else { return };
    let project = shop(&server);
    server.execute("update gold.sale set amount = amount + 1000");
    finds(&project, &["--table", "gold.book"], &[]);
    finds(&project, &["--table", "bronze.sales", "--table", "gold.book"], &[]);
    project.lake(&["load-warehouse", "--full"]).ok();
    let sampled = project.lake(&["verify", "--table", "gold.sale", "--sample", "100", "--output", "json"]).ok().json();
    let compared = sampled["proofs"][0]["compared"].as_u64().unwrap();
    assert!((20..=200).contains(&compared), "{sampled}");
    server.execute("update gold.sale set amount = amount + 1000");
    project.lake(&["verify", "--table", "gold.sale", "--sample", "100"]).fails_with(1);
    let unknown = project.lake(&["verify", "--table", "gold.sales"]).fails_with(78);
    let expected = "error: the project declares no table `gold.sales`\n\nhint: did you mean `gold.sale`?\n";
    assert_eq!(unknown.stderr, expected);
}

#[test]
fn what_a_topic_still_holds_and_nobody_read_is_found() {
    let Some(server) = Server::start("records nobody read", &[]) else { return };
    let project = shop(&server);
    project.write("in/books.csv", format!("{BOOKS}5,e,9.00,\n"));
    project.lake(&["produce"]).ok();
    let report = project.lake(&["verify", "--table", "bronze.books"]).fails_with(1);
    for told in ["in/books.csv row 5 is neither", "books/0: up to 1 records from offset 4 are not read"] {
        assert!(report.stdout.contains(told), "`{told}` is not told:\n{}", report.stdout);
    }
    let log = project.path().join(".lake/tables/bronze/books/_delta_log/00000000000000000001.json");
    let commit = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, commit.replace(r#""from":0"#, r#""from":1"#)).unwrap();
    let report = project.lake(&["verify", "--table", "bronze.books"]).fails_with(1);
    let told = "books/0: offsets 0 to 0 lie before the first commit and were never read";
    assert!(report.stdout.contains(told), "{}", report.stdout);
}
