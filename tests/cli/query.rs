//! `lake query` on a small lake: formats, exactness, places of errors, read only.

use crate::support::Project;

/// Two good rows and a bad one in Bronze.
fn project() -> Project {
    let project = Project::empty();
    project.write("lake.toml", "[[produce]]\nname = \"books\"\nfiles = [\"books.csv\"]\n");
    project.write("books.csv", "title,price\n\"a \"\"b\"\", c\",10.50\nкнига,\nragged,1,2\n");
    project.lake(&["produce"]).ok();
    project.lake(&["bronze", "--once"]).ok();
    project
}

#[test]
fn rows_come_as_table_csv_and_json() {
    let project = project();
    let sql = "select title, price, cast(price as decimal(10,3)) as exact from bronze.books order by _offset";
    let output = project.lake(&["query", sql, "--output", "csv"]).ok();
    assert_eq!(output.stdout, "title,price,exact\n\"a \"\"b\"\", c\",10.50,10.500\nкнига,,\n");
    let output = project.lake(&["query", sql, "--output", "json"]).ok();
    let rows = lines(&output.stdout);
    assert_eq!((rows.len(), rows[0]["title"].as_str()), (2, Some("a \"b\", c")));
    assert_eq!((rows[0]["exact"].as_str(), rows[1]["price"].is_null()), (Some("10.500"), true));
    let output = project.lake(&["query", sql]).ok();
    assert!(output.stdout.contains("| книга    | NULL  | NULL   |"), "{}", output.stdout);
    assert!(output.stdout.ends_with("(2 rows)\n"));
    let output = project.lake(&["query", "select count(*) as n from bronze.books__quarantine", "--output", "csv"]);
    assert_eq!(output.ok().stdout, "n\n1\n");
    let output = project.lake(&["query", "select 1 as n where false", "--output", "json"]).ok();
    assert_eq!(output.stdout, "");
}

/// Each line is JSON by itself.
fn lines(stdout: &str) -> Vec<serde_json::Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[test]
fn json_lines_end_with_what_went_wrong() {
    let project = Project::empty();
    let sql = "select 10 / (30000 - value) as n from generate_series(1, 40000)";
    let output = project.lake(&["query", sql, "--output", "json"]).fails_with(1);
    let lines = lines(&output.stdout);
    let (last, rows) = lines.split_last().unwrap();
    assert!(!rows.is_empty() && rows.iter().all(|row| row["n"].is_i64()), "{:?}", rows.first());
    assert_eq!((&last["error"]["kind"], &last["error"]["exit_code"]), (&"input".into(), &1.into()));
}

#[test]
fn an_unknown_name_is_shown_in_its_place() {
    let project = project();
    let table = [
        ("select title\nfrom bronze.boks", "error: query:2:6: table `bronze.boks` not found", "`bronze.books`"),
        ("select titel from bronze.books", "error: query:1:8: column `titel` not found", "`title`"),
    ];
    for (sql, message, near) in table {
        let output = project.lake(&["query", sql]).fails_with(78);
        assert!(output.stderr.starts_with(message) && output.stderr.contains(near), "{}", output.stderr);
        assert!(output.stderr.contains('^'), "{}", output.stderr);
    }
}

#[test]
fn a_query_only_reads() {
    let project = project();
    for sql in ["drop table bronze.books", "insert into bronze.books values (1)", "", "select 1; select 2"] {
        let output = project.lake(&["query", sql]).fails_with(78);
        assert!(output.stderr.starts_with("error: "), "{sql}: {}", output.stderr);
    }
    let output = project.lake(&["query", "--warehouse", "create table t (a int)"]);
    assert_ne!(output.code, 0, "{}", output.stdout);
}

#[test]
fn a_table_is_cut_with_a_remark_beside_it() {
    let project = Project::empty();
    let sql = |rows: u32| format!("select value as n from generate_series(1, {rows})");
    let output = project.lake(&["query", &sql(10_001)]).ok();
    assert!(output.stdout.ends_with("(10000 rows)\n") && !output.stdout.contains("only"), "it goes to stdout");
    assert_eq!(output.stderr, "only the first 10000 rows; `--output csv` prints all\n");
    let output = project.lake(&["query", &sql(10_000)]).ok();
    assert!(output.stdout.ends_with("(10000 rows)\n") && output.stderr.is_empty(), "{}", output.stderr);
    let output = project.lake(&["query", &sql(10_001), "--output", "csv"]).ok();
    assert_eq!((output.stdout.lines().count(), output.stderr.as_str()), (10_002, ""));
}
