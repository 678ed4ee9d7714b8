//! A signal ends a command cleanly with 128 + its number, daemon or not; `up` prints its addresses first; `run`
//! waits for a broker that is not there.

use crate::support::Project;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

fn ends_with(child: &mut Child, code: i32) {
    ends_within(child, Duration::from_secs(30), code);
}

fn ends_within(child: &mut Child, patience: Duration, code: i32) {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            assert_eq!(status.code(), Some(code));
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    panic!("still running {patience:?} after the signal");
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
    assert!(addresses["psql"].as_str().unwrap().contains("options=-csearch_path%3D%22gold%22,public"));
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

/// Rows without end, one at a time: work for ever in little memory.
const ENDLESS: &str =
    "with recursive t(n) as (select 1 union all select n + 1 - 1 from t) select count(*) as n from t where n > 5";

const SOON: Duration = Duration::from_secs(5);

/// Runs a command that has work for long, gives it time to begin, and asks it to stop.
fn stops_soon(project: &Project, arguments: &[&str]) {
    let mut child = project.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    assert!(child.try_wait().unwrap().is_none(), "{arguments:?} has ended by itself");
    signal(&child, "TERM");
    ends_within(&mut child, SOON, 143);
}

#[test]
fn a_long_query_ends_on_sigterm() {
    stops_soon(&Project::empty(), &["query", ENDLESS]);
}

#[test]
fn a_query_that_is_long_to_plan_ends_on_sigterm() {
    let project = Project::empty();
    // As many branches as a statement may have; wide ones take the planner longest.
    let columns: Vec<String> = (0..20).map(|number| format!("{number} as n{number}")).collect();
    let unions = vec![format!("select {}", columns.join(", ")); 400].join(" union all ");
    stops_soon(&project, &["query", &unions]);
}

#[test]
fn a_long_promote_and_a_long_test_end_on_sigterm() {
    let project = Project::empty();
    project.write("models/silver/endless.sql", ENDLESS);
    stops_soon(&project, &["promote", "all"]);
    project.write("models/silver/endless.sql", "select 1 as n");
    project.write(
        "sql/checks/endless.sql",
        format!("select m.n from silver.endless m, ({ENDLESS}) as e where m.n <= e.n"),
    );
    stops_soon(&project, &["promote", "all"]);
    assert!(!project.path().join("target/failures").exists());
}

/// Passes on what comes to `listener` to `to`.
fn forward(listener: TcpListener, to: String) {
    std::thread::spawn(move || {
        for from in listener.incoming().flatten() {
            let Ok(target) = TcpStream::connect(&to) else { continue };
            for (mut one, mut other) in [(from.try_clone().unwrap(), target.try_clone().unwrap()), (target, from)] {
                std::thread::spawn(move || std::io::copy(&mut one, &mut other));
            }
        }
    });
}

#[test]
fn run_waits_for_a_broker_that_comes_later() {
    let host = Project::empty();
    let mut broker = host.command(&["up", "--output", "json", "-q"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(broker.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let addresses: serde_json::Value = serde_json::from_str(&line).unwrap();

    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut project = Project::empty();
    let csv = project.write("in/any.csv", "id,title\n1,a\n2,b\n");
    project.lake(&["init", "--from", csv.to_str().unwrap()]).ok();
    project.env("LAKE__KAFKA__BROKERS", &address).env("LAKE__BRONZE__INTERVAL", "200ms");
    let mut child = project.command(&["run"]).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(told.any(|line| line.ends_with("; trying again in 0.2 s")), "it ended instead of waiting");
    forward(TcpListener::bind(&address).unwrap(), addresses["brokers"].as_str().unwrap().to_string());
    assert!(told.any(|line| line.starts_with("load")), "nothing was loaded");
    std::thread::spawn(move || told.for_each(drop));
    let rows = project.lake(&["query", "select count(*) as n from gold.any", "--output", "csv"]).ok();
    assert_eq!(rows.stdout, "n\n2\n");
    signal(&child, "TERM");
    ends_with(&mut child, 143);
    signal(&broker, "TERM");
    ends_with(&mut broker, 143);
}
