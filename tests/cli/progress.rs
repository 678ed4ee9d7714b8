//! With `--output json` stderr is one JSON object a line, and each commit of Bronze is one of them.

use crate::support::Project;
use serde_json::Value;

fn events(stderr: &str) -> Vec<Value> {
    stderr.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[test]
fn each_commit_is_told_with_its_figures() {
    let project = Project::empty();
    project.write("lake.toml", "[[produce]]\nname = \"books\"\nfiles = [\"books.csv\"]\n[bronze]\nmax_rows = 2\n");
    project.write("books.csv", "title,price\na,10.50\nb,\nragged,1,2\n");
    let produced = events(&project.lake(&["produce", "--output", "json"]).ok().stderr);
    assert!(produced.iter().all(|event| event["time"].is_string()), "{produced:?}");
    let told = events(&project.lake(&["bronze", "--once", "--output", "json"]).ok().stderr);
    let commits: Vec<&Value> = told.iter().filter(|event| event["event"] == "committed").collect();
    let figures = |name: &str| commits.iter().map(|commit| commit[name].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!((figures("rows"), figures("rejects"), figures("version")), (vec![2, 0], vec![0, 1], vec![1, 2]));
    let place = |commit: &Value| commit["partitions"]["books/0"].clone();
    assert_eq!((place(commits[0])["position"].as_i64(), place(commits[0])["lag"].as_i64()), (Some(2), Some(1)));
    assert_eq!((place(commits[1])["position"].as_i64(), place(commits[1])["lag"].as_i64()), (Some(3), Some(0)));
    for commit in &commits {
        assert_eq!(commit["table"], "bronze.books");
        assert!(
            place(commit)["lag_seconds"].as_f64().is_some_and(|seconds| (0.0..600.0).contains(&seconds)),
            "{commit}"
        );
        let steps = commit["milliseconds"].as_object().unwrap();
        let names: Vec<&str> = steps.keys().map(String::as_str).collect();
        assert_eq!(names, ["commit", "decode", "poll", "sql", "write"]);
        assert!(steps["commit"].as_f64().unwrap() > 0.0 && steps["decode"].as_f64().unwrap() > 0.0, "{commit}");
    }
    assert!(figures("bytes")[0] > 20, "{commits:?}");
    let finished = told.iter().find(|event| event["event"] == "finished").unwrap();
    assert_eq!(
        (finished["stage"].as_str(), finished["summary"].as_str()),
        (Some("bronze.books"), Some("2 rows, 1 quarantined"))
    );
}

#[test]
fn what_goes_wrong_is_an_object_too() {
    let project = Project::empty();
    project.write("lake.toml", "[[produce]]\nname = \"books\"\nfiles = [\"books.csv\"]\n");
    let failed = project.lake(&["bronze", "--once", "--output", "json"]).fails_with(1);
    let last = events(&failed.stderr).pop().unwrap();
    assert!(last["text"].as_str().unwrap().starts_with("error: topic `books`"), "{last}");
    assert_eq!(failed.json()["error"]["kind"], "input");
}

#[test]
fn a_stream_that_is_late_says_how_much() {
    let project = Project::empty();
    project.write("lake.toml", "[[produce]]\nname = \"books\"\nfiles = [\"books.csv\"]\n");
    project.write("books.csv", "title,price\na,10.50\n");
    project.lake(&["produce"]).ok();
    project.lake(&["bronze", "--once"]).ok();
    let stream = || project.lake(&["status", "--output", "json"]).ok().json()["streams"][0]["partitions"][0].clone();
    assert_eq!((stream()["lag"].as_i64(), stream()["lag_seconds"].as_f64()), (Some(0), Some(0.0)));
    project.write("books.csv", "title,price\na,10.50\nb,1.00\nc,2.00\n");
    project.lake(&["produce"]).ok();
    let late = stream();
    assert_eq!(late["lag"].as_i64(), Some(2));
    assert!(late["lag_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0 && seconds < 600.0), "{late}");
    let status = project.lake(&["status"]).ok().stdout;
    assert!(status.contains("lag seconds"), "{status}");
}
