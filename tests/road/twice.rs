//! Running anything twice, or two at once, changes nothing.

use crate::support::{Project, output};
use std::process::Stdio;

fn count(project: &Project, table: &str) -> String {
    let sql = format!("select count(*) as n from {table}");
    project.lake(&["query", "--output", "csv", &sql]).ok().stdout
}

fn shop() -> Project {
    let project = Project::empty();
    project.write("data/any.csv", "id,amount\n1,10.50\n2,\n3,7.25\n");
    project.write("lake.toml", "[[produce]]\nname = \"any\"\nfiles = [\"data/any.csv\"]\n");
    project
}

#[test]
fn producing_again_sends_only_what_is_new() {
    let project = shop();
    let first = project.lake(&["produce", "--output", "json"]).ok().json();
    assert_eq!(first["sources"][0]["sent"], 3);
    let second = project.lake(&["produce", "--output", "json"]).ok().json();
    assert_eq!(second["sources"][0]["sent"], 0);
    assert_eq!(second["sources"][0]["already"], 3);
    project.write("data/any.csv", "id,amount\n1,10.50\n2,\n3,7.25\n4,1.00\n");
    let third = project.lake(&["produce", "--output", "json"]).ok().json();
    assert_eq!(third["sources"][0]["sent"], 1);
    project.lake(&["bronze", "--once"]).ok();
    assert_eq!(count(&project, "bronze.any"), "n\n4\n");
}

#[test]
fn a_replay_is_recognised_and_dropped() {
    let project = shop();
    project.lake(&["produce"]).ok();
    project.lake(&["bronze", "--once"]).ok();
    project.lake(&["produce", "--again"]).ok();
    let report = project.lake(&["bronze", "--once", "--output", "json"]).ok().json();
    assert_eq!(report["tables"][0]["duplicates"], 3);
    assert_eq!(report["tables"][0]["rows"], 0);
    assert_eq!(count(&project, "bronze.any"), "n\n3\n");
}

#[test]
fn edited_rows_are_refused_until_they_are_declared_a_new_source() {
    let project = shop();
    project.lake(&["produce"]).ok();
    project.write("data/any.csv", "id,amount\n1,99.99\n2,\n3,7.25\n");
    let refused = project.lake(&["produce"]).fails_with(1);
    assert!(refused.stderr.contains("data/any.csv") && refused.stderr.contains("--as-new"), "{}", refused.stderr);
    let sent = project.lake(&["produce", "--as-new"]).ok();
    let warning = "warning: 3 rows sent earlier as `data/any.csv` stay beside the 3 sent now as `data/any.csv#2`";
    assert!(sent.stderr.contains(warning), "{}", sent.stderr);
    project.lake(&["bronze", "--once"]).ok();
    assert_eq!(count(&project, "bronze.any"), "n\n6\n");
}

#[test]
fn a_last_line_that_was_incomplete_when_it_was_sent_is_told_from_an_edit() {
    let project = shop();
    project.write("data/any.csv", "id,amount\n1,10.50\n2,7");
    project.lake(&["produce"]).ok();
    // A line end alone is no change, nor is a row below it.
    project.write("data/any.csv", "id,amount\n1,10.50\n2,7\n3,1");
    assert_eq!(project.lake(&["produce", "--output", "json"]).ok().json()["sources"][0]["sent"], 1);
    project.write("data/any.csv", "id,amount\n1,10.50\n2,7\n3,1.25\n4,2.00\n");
    let refused = project.lake(&["produce"]).fails_with(1);
    let message = "error: row 3 of `data/any.csv` was sent while its line was incomplete, and has grown since\n";
    assert!(refused.stderr.contains(message) && refused.stderr.contains("--as-new"), "{}", refused.stderr);
    // The remedy it names.
    project.write("data/any.csv", "id,amount\n1,10.50\n2,7\n3,1\n3,1.25\n4,2.00\n");
    assert_eq!(project.lake(&["produce", "--output", "json"]).ok().json()["sources"][0]["sent"], 2);
    project.write("data/any.csv", "id,amount\n1,99.50\n2,7\n3,1\n3,1.25\n4,2.00\n");
    let refused = project.lake(&["produce"]).fails_with(1);
    assert!(refused.stderr.contains("were changed, at or before row 5"), "{}", refused.stderr);
}

#[test]
fn two_bronze_at_once_write_every_row_once() {
    let project = Project::bookshop();
    project.lake(&["produce", "sales"]).ok();
    let spawn = || {
        let mut command = project.command(&["bronze", "sales", "--once"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let (one, other) = (spawn(), spawn());
    let (one, other) = (output(one.wait_with_output().unwrap()), output(other.wait_with_output().unwrap()));
    assert!(one.code == 0 && other.code == 0, "{}\n---\n{}", one.stderr, other.stderr);
    let sql = "select count(*) as n, count(distinct _source_row) as d from bronze.sales";
    assert_eq!(project.lake(&["query", "--output", "csv", sql]).ok().stdout, "n,d\n19974,19974\n");
}
