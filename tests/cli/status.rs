//! `lake status`: positions of streams, versions of models and how their tests ended.

use crate::support::Project;

#[test]
fn status_shows_what_stands() {
    let project = Project::empty();
    project.write("lake.toml", "[[produce]]\nname = \"books\"\nfiles = [\"books.csv\"]\n");
    project.write("books.csv", "title,price\na,10.50\nb,\nragged,1,2\n");
    project.lake(&["produce"]).ok();
    project.lake(&["bronze", "--once"]).ok();
    let status = project.lake(&["status", "--output", "json"]).ok().json();
    let stream = &status["streams"][0];
    assert_eq!(stream["table"], "bronze.books");
    assert_eq!((stream["rows"].as_u64(), stream["rejects"].as_u64()), (Some(2), Some(1)));
    assert_eq!((&stream["partitions"][0]["position"], &stream["partitions"][0]["lag"]), (&3.into(), &0.into()));
    let status = project.lake(&["status"]).ok().stdout;
    assert!(status.contains("0:3/3"), "{status}");
    let status = project.lake(&["status", "--brokers", "127.0.0.1:1"]).ok().stdout;
    assert!(status.contains("no figures of the broker: ") && status.contains("bronze.books"), "{status}");
}

#[test]
fn the_last_outcome_of_the_tests_is_told() {
    let project = Project::empty();
    project.write("lake.toml", "[[produce]]\nname = \"books\"\nfiles = [\"books.csv\"]\n");
    project.write("books.csv", "id,title\n1,a\n2,\n");
    project.write("models/silver/titles.sql", "select id, title from bronze.books\n");
    let schema = "models:\n  - name: titles\n    columns:\n      - {name: id, data_tests: [unique]}\n      \
                  - {name: title, data_tests: [not_null]}\n";
    project.write("models/schema.yml", schema);
    project.lake(&["produce"]).ok();
    project.lake(&["bronze", "--once"]).ok();
    let outcomes = || {
        let line = project.lake(&["status"]).ok().stdout;
        let line = line.lines().find(|line| line.starts_with("silver.titles")).unwrap().to_string();
        let model = project.lake(&["status", "--output", "json"]).ok().json()["models"][0].clone();
        assert_eq!(model["tests"], 2);
        let counts = ["passed", "warned", "failed"].map(|name| model["outcomes"][name].as_u64().unwrap());
        (counts, model["outcomes"]["at"].is_string(), line)
    };
    let (counts, known, line) = outcomes();
    assert_eq!((counts, known), ([0, 0, 0], false));
    assert!(line.contains("2 never run"), "{line}");

    project.lake(&["promote", "all"]).fails_with(1);
    let (counts, known, line) = outcomes();
    assert_eq!((counts, known), ([1, 0, 1], true));
    assert!(line.contains("1 passed, 1 FAILED at 20"), "{line}");

    project.write("models/schema.yml", schema.replace("[not_null]", "[{not_null: {severity: warn}}]"));
    project.lake(&["promote", "all"]).ok();
    assert_eq!(outcomes().0, [1, 1, 0]);
    // Nothing is built, no test has a turn: what was known stays known.
    project.lake(&["promote", "all"]).ok();
    assert_eq!(outcomes().0, [1, 1, 0]);

    project.write("models/schema.yml", schema);
    project.lake(&["test"]).fails_with(1);
    assert_eq!(outcomes().0, [1, 0, 1]);
    assert!(project.read("target/run_results.json").contains("test.lake.not_null_titles_title"));

    // A file that any run replaces costs no other figure.
    project.write("target/run_results.json", "{");
    let status = project.lake(&["status"]).ok().stdout;
    assert!(status.contains("no figures of the test results: read `target/run_results.json`: "), "{status}");
    assert!(status.contains("bronze.books") && status.contains("2 never run"), "{status}");

    // Made anew and not published: the versions of the run before are not its own.
    std::fs::remove_dir_all(project.path().join(".lake/tables/silver/titles")).unwrap();
    project.lake(&["promote", "all"]).fails_with(1);
    let status = project.lake(&["status", "--output", "json"]).ok().json();
    assert!(status["down"].as_array().unwrap().is_empty() && status["models"][0]["rows"].is_null(), "{status}");
}

#[test]
fn outside_of_a_project_status_says_so() {
    let project = Project::empty();
    let output = project.lake(&["status"]).fails_with(78);
    assert!(output.stderr.contains("error: there is no project in `"), "{}", output.stderr);
    assert!(output.stderr.contains("hint: make one with `lake init"), "{}", output.stderr);
}
