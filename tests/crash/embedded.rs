//! The embedded parts are killed, or pieces of `.lake/` disappear: the next command goes on with the same rows, or
//! says what is gone. Nothing is passed over in silence.

use crate::support::{Output, Project};
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Three orders of 6.75 altogether, brought all of the road.
fn shop() -> Project {
    let project = Project::empty();
    project.write("data/orders.csv", "order_id,amount\n1,1.50\n2,2.25\n3,3.00\n");
    project.write(
        "lake.toml",
        "[[produce]]\nname = \"orders\"\nfiles = [\"data/*.csv\"]\nkey = [\"order_id\"]\npartitions = 2\n",
    );
    project.write(
        "models/gold/fact_order.sql",
        "select cast(order_id as bigint) as order_id, cast(amount as decimal(10,2)) as amount from bronze.orders\n",
    );
    project.lake(&["run", "--once"]).ok();
    project
}

fn arrived(project: &Project, rows: &str) {
    let question = ["query", "--warehouse", "--output", "csv", "select count(*), sum(amount) from gold.fact_order"];
    let answer = project.lake(&question).ok();
    assert_eq!(answer.stdout.lines().last(), Some(rows), "{}", answer.stderr);
}

/// Everything works, also on what is new.
fn goes_on(project: &Project) {
    project.lake(&["run", "--once"]).ok();
    arrived(project, "3,6.75");
    project.write("data/more.csv", "order_id,amount\n4,4.00\n");
    project.lake(&["run", "--once"]).ok();
    arrived(project, "4,10.75");
    project.lake(&["verify"]).ok();
}

/// `lake up`, which has started everything.
struct Up {
    process: Child,
}

impl Up {
    fn start(project: &Project) -> Up {
        let mut process = project.command(&["up", "-q"]).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let addresses = lines.map(Result::unwrap).take(3).collect::<Vec<_>>();
        assert!(addresses.last().is_some_and(|line| line.starts_with("warehouse")), "{addresses:?}");
        Up { process }
    }

    /// Its exit code, `None` after `KILL`.
    fn end(mut self, signal: &str) -> Option<i32> {
        kill(signal, &self.process.id().to_string());
        self.process.wait().unwrap().code()
    }
}

fn kill(signal: &str, pid: &str) {
    assert!(Command::new("kill").args(["-s", signal, pid]).status().unwrap().success());
}

fn postmaster(project: &Project) -> String {
    project.read(".lake/postgres/data/postmaster.pid").lines().next().unwrap().to_string()
}

fn delete(project: &Project, folder: &str) {
    fs::remove_dir_all(project.path().join(folder)).unwrap();
}

#[test]
fn a_killed_postgres_is_started_again_while_up_holds_it() {
    let project = shop();
    let up = Up::start(&project);
    kill("KILL", &postmaster(&project));
    arrived(&project, "3,6.75");
    goes_on(&project);
    assert_eq!(up.end("INT"), Some(130));
    arrived(&project, "4,10.75");
}

#[test]
fn a_killed_up_leaves_nothing_in_the_way() {
    let project = shop();
    let up = Up::start(&project);
    assert_eq!(up.end("KILL"), None);
    goes_on(&project);
    assert!(!project.path().join(".lake/postgres/data/postmaster.pid").exists(), "the last user stops PostgreSQL");
}

#[test]
fn lost_addresses_locks_and_pid_files_are_made_again() {
    let project = shop();
    for entry in fs::read_dir(project.path().join(".lake")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && !path.ends_with("postgres.password") {
            fs::remove_file(path).unwrap();
        }
    }
    fs::remove_file(project.path().join(".lake/broker/lock")).unwrap();
    goes_on(&project);
}

/// PostgreSQL notices that its pid file is gone once a minute, and ends: this test takes as long.
#[test]
fn a_postgres_whose_pid_file_was_deleted_is_waited_for() {
    let project = shop();
    let up = Up::start(&project);
    fs::remove_file(project.path().join(".lake/postgres/data/postmaster.pid")).unwrap();
    arrived(&project, "3,6.75");
    assert_eq!(up.end("INT"), Some(130));
    goes_on(&project);
}

#[test]
fn a_lost_password_is_said() {
    let project = shop();
    fs::remove_file(project.path().join(".lake/postgres.password")).unwrap();
    let failed = project.lake(&["load-warehouse"]).fails_with(78);
    assert!(failed.stderr.contains("postgres.password` with the password of"), "{}", failed.stderr);
    delete(&project, ".lake/postgres/data");
    goes_on(&project);
}

#[test]
fn the_topic_of_a_lost_broker_folder_goes_on_where_it_was() {
    let project = shop();
    delete(&project, ".lake/broker");
    let bronze = project.lake(&["bronze", "--once"]).fails_with(1);
    assert!(bronze.stderr.contains("topic `orders` of `bronze.orders` does not exist"), "{}", bronze.stderr);
    // Sent before what the topic held: at offset 0 Bronze would take these rows for those it has read.
    project.write("data/a_first.csv", "order_id,amount\n11,1.00\n12,1.00\n13,1.00\n14,1.00\n");
    project.lake(&["run", "--once"]).ok();
    arrived(&project, "7,10.75");
    project.lake(&["verify"]).ok();
}

#[test]
fn a_lost_postgres_is_filled_from_the_lake() {
    let project = shop();
    delete(&project, ".lake/postgres");
    let verified = project.lake(&["verify"]).fails_with(1);
    assert!(verified.stdout.contains("it was never loaded into the warehouse"), "{}", verified.stdout);
    project.lake(&["load-warehouse"]).ok();
    arrived(&project, "3,6.75");
    goes_on(&project);
}

#[test]
fn a_lost_bronze_table_is_read_again_from_the_topic() {
    let project = shop();
    delete(&project, ".lake/tables/bronze/orders");
    goes_on(&project);
}

#[test]
fn a_lost_lake_is_built_again_and_replaces_loaded_rows_only_when_told() {
    let project = shop();
    delete(&project, ".lake/tables");
    let refused = project.lake(&["run", "--once"]).fails_with(78);
    assert!(refused.stderr.contains("came from another lake"), "{}", refused.stderr);
    assert!(refused.stderr.contains("lake load-warehouse --full"), "{}", refused.stderr);
    project.lake(&["load-warehouse", "--full"]).ok();
    goes_on(&project);
}

/// Programs of PostgreSQL that work, but for stopping it.
fn programs_that_do_not_stop(project: &Project) -> Option<String> {
    let found = Command::new("pg_config").arg("--bindir").output().ok()?;
    let real = String::from_utf8(found.stdout).unwrap().trim().to_string();
    for name in ["initdb", "pg_ctl", "postgres"] {
        let refusal = "[ \"$1\" = stop ] && { echo 'no stopping here' >&2; exit 1; }\n";
        let script = format!("#!/bin/sh\n{}exec '{real}/{name}' \"$@\"\n", if name == "pg_ctl" { refusal } else { "" });
        let path = project.write(&format!("bin/{name}"), script);
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    fs::metadata(format!("{real}/initdb")).ok()?;
    Some(project.path().join("bin").to_str().unwrap().to_string())
}

#[test]
fn what_goes_wrong_at_the_end_is_told_whatever_went_wrong_before() {
    let mut project = Project::empty();
    project.write("lake.toml", "");
    let Some(bin) = programs_that_do_not_stop(&project) else {
        return crate::support::left_out("the end of a PostgreSQL that does not stop: no pg_config on this machine");
    };
    project.env("LAKE__WAREHOUSE__POSTGRES_BIN", &bin);
    let warned = |output: &Output| {
        output.stderr.contains("stop the PostgreSQL in") && output.stderr.contains("no stopping here")
    };
    let failed = project.lake(&["query", "--warehouse", "select * from nowhere"]);
    let alone = project.lake(&["query", "--warehouse", "select 1"]);
    kill("QUIT", &postmaster(&project));
    let failed = failed.fails_with(78);
    assert!(
        failed.stderr.starts_with("making") && failed.stderr.contains("error: run `query:1:15`"),
        "{}",
        failed.stderr
    );
    assert!(warned(&failed) && failed.stderr.contains("\nwarning: stop the"), "{}", failed.stderr);
    let alone = alone.fails_with(69);
    assert!(warned(&alone) && alone.stderr.contains("error: stop the"), "{}", alone.stderr);
}
