//! What stands on stdout and stderr off a terminal, and a reader that goes away.

use crate::support::Project;
use std::io::Read;
use std::process::Stdio;

#[test]
fn a_closed_pipe_is_no_failure() {
    let project = Project::empty();
    let sql = "select a.v from generate_series(1, 300000) as a(v)";
    let mut command = project.command(&["query", sql, "--output", "csv"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut first = [0; 4];
    out.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"v\n1\n");
    drop(out);
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn progress_is_plain_lines_on_stderr() {
    let mut project = Project::empty();
    project.env("TERM", "dumb");
    project.write("books.csv", "title\na\nb\n");
    let output = project.lake(&["produce", "--file", "books.csv", "--topic", "shop.books"]).ok();
    assert_eq!(output.stdout, "");
    assert_eq!(output.stderr, "produce shop.books: 2 rows to topic shop.books\n");
    let output = project.lake(&["bronze", "shop.books", "--once", "-q", "--output", "json"]).ok();
    assert_eq!((output.json()["tables"][0]["rows"].as_u64(), output.stderr.as_str()), (Some(2), ""));
}
