//! Planted faults: what is printed, the exit code, and that nothing was published.

use crate::support::Project;

const MODELS: &[(&str, &str)] = &[
    ("models/gold/dim_shop.sql", "select distinct shop as shop_key from bronze.any\n"),
    ("models/gold/fact_any.sql", "select id, shop as shop_key, amount from bronze.any\n"),
];

fn shop(rows: &str, tests: &str) -> Project {
    let project = Project::empty();
    project.write("data/any.csv", format!("id,shop,amount\n{rows}"));
    project.write("lake.toml", "[[produce]]\nname = \"any\"\nfiles = [\"data/any.csv\"]\n");
    for (path, sql) in MODELS {
        project.write(path, sql);
    }
    let schema = format!("version: 2\nmodels:\n  - name: fact_any\n    columns:\n{tests}");
    project.write("models/gold/schema.yml", schema);
    project
}

fn road_to_promote(project: &Project) -> crate::support::Output {
    project.lake(&["produce"]).ok();
    project.lake(&["bronze", "--once"]).ok();
    project.lake(&["promote", "all"])
}

#[test]
fn one_failing_row_of_each_test_kind_keeps_readers_on_the_old_version() {
    let kinds = [
        ("      - {name: amount, data_tests: [not_null]}\n", "3,a,\n", "not_null_fact_any_amount"),
        ("      - {name: id, data_tests: [unique]}\n", "1,a,5\n", "unique_fact_any_id"),
        (
            "      - name: shop_key\n        data_tests:\n          - accepted_values: {values: [a, b]}\n",
            "3,c,5\n",
            "accepted_values_fact_any_shop_key",
        ),
        (
            "      - name: id\n        data_tests:\n          - relationships: {to: ref('dim_shop'), field: shop_key}\n",
            "3,a,5\n",
            "relationships_fact_any_id",
        ),
    ];
    for (tests, bad_row, name) in kinds {
        let good = if name.starts_with("relationships") { "a,a,10\n" } else { "1,a,10\n2,b,20\n" };
        let project = shop(good, tests);
        road_to_promote(&project).ok();
        let before = project.lake(&["query", "--output", "csv", "select * from gold.fact_any order by id"]).ok().stdout;
        project.write("data/any.csv", format!("id,shop,amount\n{good}{bad_row}"));
        let failed = road_to_promote(&project).fails_with(1);
        assert!(failed.stderr.contains(name), "{name} is not named:\n{}", failed.stderr);
        let after = project.lake(&["query", "--output", "csv", "select * from gold.fact_any order by id"]).ok().stdout;
        assert_eq!(before, after, "{name}: readers saw rows of a failed run");
        let kept = std::fs::read_dir(project.path().join("target/failures")).unwrap().count();
        assert!(kept > 0, "{name}: the failing rows were not kept");
        project.lake(&["load-warehouse"]).ok();
    }
}

#[test]
fn a_test_that_warns_lets_the_run_through_and_a_filter_narrows_it() {
    let tests = "      - name: amount\n        data_tests:\n          - not_null: {severity: warn}\n      - name: id\n        data_tests:\n          - unique: {where: \"shop_key = 'a'\"}\n";
    let project = shop("1,a,\n1,b,3\n", tests);
    road_to_promote(&project).ok();
}

#[test]
fn a_singular_check_gates_the_commit_too() {
    let project = shop("1,a,5\n", "      - {name: id}\n");
    project.write("sql/checks/no_fives.sql", "select * from gold.fact_any where amount = '5'\n");
    let failed = road_to_promote(&project).fails_with(1);
    assert!(failed.stderr.contains("no_fives"), "{}", failed.stderr);
    project.lake(&["query", "select * from gold.fact_any"]).fails_with(78);
}

#[test]
fn broken_models_are_reported_with_their_place() {
    let project = shop("1,a,5\n", "      - {name: id}\n");
    project.write("models/gold/fact_any.sql", "select id,\n       amont\nfrom bronze.any\n");
    let failed = road_to_promote(&project).fails_with(78);
    for expected in ["models/gold/fact_any.sql:2:8", "amont", "^", "amount"] {
        assert!(failed.stderr.contains(expected), "`{expected}` is missing in:\n{}", failed.stderr);
    }
}

#[test]
fn services_that_do_not_answer_are_named_with_a_hint() {
    let mut project = shop("1,a,5\n", "      - {name: id}\n");
    project.env("LAKE__KAFKA__BROKERS", "127.0.0.1:9");
    let failed = project.lake(&["produce"]).fails_with(69);
    assert!(failed.stderr.contains("127.0.0.1:9") && failed.stderr.contains("hint:"), "{}", failed.stderr);

    let mut project = shop("1,a,5\n", "      - {name: id}\n");
    road_to_promote(&project).ok();
    project.env("LAKE__WAREHOUSE__URL", "postgres://lake@127.0.0.1:9/lake");
    let failed = project.lake(&["load-warehouse"]).fails_with(69);
    assert!(failed.stderr.contains("127.0.0.1:9") && failed.stderr.contains("hint:"), "{}", failed.stderr);
    project.env("LAKE__LAKE__ROOT", "s3://lake/x").env("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    project.env("AWS_ACCESS_KEY_ID", "canary-id").env("AWS_SECRET_ACCESS_KEY", "canary-secret");
    let failed = project.lake(&["promote", "all"]).fails_with(69);
    assert!(failed.stderr.contains("s3://lake/x") && !failed.stderr.contains("canary-secret"), "{}", failed.stderr);
}

#[test]
fn a_demo_without_gold_says_what_is_missing() {
    let project = Project::empty();
    project.write("lake.toml", "[[produce]]\nname = \"any\"\nfiles = [\"any.csv\"]\n");
    project.write("any.csv", "id\n1\n");
    project.write("models/silver/any.sql", "select id from bronze.any\n");
    let failed = project.lake(&["demo"]).fails_with(78);
    assert!(
        failed.stderr.contains("no Gold model") && failed.stderr.contains("models/gold/NAME.sql"),
        "{}",
        failed.stderr
    );
}

#[test]
fn a_source_at_fault_keeps_back_none_of_the_others() {
    let project = shop("1,a,5\n", "      - {name: id}\n");
    let source = |name: &str, files: &str| format!("[[produce]]\nname = \"{name}\"\nfiles = [\"{files}\"]\n");
    project.write("lake.toml", source("many", "many/*.csv") + &source("any", "data/any.csv"));
    project.write("many/1.csv", "a,b\n1,2\n");
    project.lake(&["run", "--once"]).ok();
    let count = |table: &str| {
        let sql = format!("select count(*) as n from {table}");
        project.lake(&["query", "--output", "csv", &sql]).ok().stdout
    };

    project.write("many/2.csv", "a,c\n3,4\n");
    project.write("data/any.csv", "id,shop,amount\n1,a,5\n2,b,6\n");
    let failed = project.lake(&["run", "--once"]).fails_with(1);
    let error = "error: 1 of 2 sources were not sent to their end\n`many`: ";
    assert!(failed.stderr.contains(error) && failed.stderr.contains("many/2.csv"), "{}", failed.stderr);
    assert_eq!((count("gold.fact_any"), count("bronze.many")), ("n\n2\n".into(), "n\n1\n".into()));

    // Continuous too: the round is done, then the run ends.
    project.write("data/any.csv", "id,shop,amount\n1,a,5\n2,b,6\n3,c,7\n");
    let failed = project.lake(&["run"]).fails_with(1);
    assert!(failed.stderr.contains(error), "{}", failed.stderr);
    assert_eq!(count("gold.fact_any"), "n\n3\n");

    std::fs::remove_dir_all(project.path().join("many")).unwrap();
    project.write("data/any.csv", "id,shop,amount\n1,a,5\n2,b,6\n3,c,7\n4,d,8\n");
    let failed = project.lake(&["run", "--once"]).fails_with(1);
    assert!(failed.stderr.contains(error), "{}", failed.stderr);
    assert_eq!(count("gold.fact_any"), "n\n4\n");
}
