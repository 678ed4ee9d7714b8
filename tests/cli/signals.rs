//! A signal ends a daemon cleanly with 128 + its number; `up` prints its addresses first.

use crate::support::Project;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

fn ends_with(child: &mut Child, code: i32) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            assert_eq!(status.code(), Some(code));
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    panic!("still running 30 s after the signal");
}

#[test]
fn up_says_where_and_stays_until_interrupted() {
    let project = Project::empty();
    let mut child = project.command(&["up", "--output", "json", "-q"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let addresses: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert!(addresses["brokers"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(addresses["psql"].as_str().unwrap().contains("postgres.password"));
    let shared = project.lake(&["query", "--warehouse", "select 1 as one", "--output", "csv"]).ok();
    assert_eq!(shared.stdout, "one\n1\n");
    signal(&child, "INT");
    ends_with(&mut child, 130);
}

#[test]
fn a_daemon_ends_on_sigterm() {
    let project = Project::empty();
    project.write("lake.toml", "[[produce]]\nname = \"books\"\nfiles = [\"books.csv\"]\n");
    project.write("books.csv", "title\na\n");
    project.lake(&["produce"]).ok();
    let mut child = project.command(&["bronze", "--interval", "200ms", "-q"]).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let count = ["query", "select count(*) as n from bronze.books", "--output", "csv", "-q"];
    while project.lake(&count).stdout != "n\n1\n" {
        assert!(Instant::now() < deadline, "the row does not appear");
    }
    signal(&child, "TERM");
    ends_with(&mut child, 143);
}
