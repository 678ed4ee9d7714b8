//! Layers of settings and the faults in them, as a user meets them.

use crate::support::Project;
use std::net::TcpListener;

/// An address nobody listens on.
fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn a_fault_names_its_place_and_exits_78() {
    let project = Project::empty();
    project.write("lake.toml", "[kafka]\n\nbroker = \"x\"\n");
    let output = project.lake(&["status"]).fails_with(78);
    let expected = "error: lake.toml:3: unknown setting `kafka.broker`\n\nhint: did you mean `kafka.brokers`?\n";
    assert_eq!((output.stderr.as_str(), output.stdout.as_str()), (expected, ""));
}

#[test]
fn every_fault_is_told_at_once() {
    let mut project = Project::empty();
    project.write("lake.toml", "[bronze]\ninterval = \"soon\"\n[warehouse]\npassword_file = \"none\"\n");
    project.env("LAKE__LAKE__ROOT", "s3://bucket/lake").env("LAKE__KAFKA__PORT", "1");
    let output = project.lake(&["run", "--once"]).fails_with(78);
    for line in [
        "error: 5 settings are wrong",
        "  lake.toml:2: `bronze.interval` is `soon`; write a duration such as 500ms, 10s, 5m, 2h or 7d",
        "  lake.toml:4: `warehouse.password_file` names the file",
        "  LAKE__LAKE__ROOT: the lake is on S3 and there are no credentials; set AWS_ACCESS_KEY_ID",
        "  LAKE__KAFKA__PORT: unknown setting `LAKE__KAFKA__PORT`",
    ] {
        assert!(output.stderr.contains(line), "`{line}` is missing in:\n{}", output.stderr);
    }
}

#[test]
fn a_failure_is_json_when_asked_for() {
    let project = Project::empty();
    project.write("lake.toml", "kafka = 1\n");
    let output = project.lake(&["status", "--output", "json"]).fails_with(78);
    let error = &output.json()["error"];
    assert_eq!((error["kind"].as_str(), error["exit_code"].as_u64()), (Some("config"), Some(78)));
    assert!(error["message"].as_str().unwrap().starts_with("lake.toml:1: unknown setting `kafka`"), "{error}");
}

#[test]
fn flags_win_over_variables_and_files() {
    let (file, variable, flag) = (closed_port(), closed_port(), closed_port());
    let mut project = Project::empty();
    project.write("lake.toml", format!("[warehouse]\nurl = \"postgres://me@{file}/x\"\n"));
    let load = |project: &Project, more: &[&str]| {
        project.lake(&[&["query", "--warehouse", "select 1"], more].concat()).fails_with(69).stderr
    };
    assert!(load(&project, &[]).contains(&file));
    project.env("LAKE__WAREHOUSE__URL", &format!("postgres://me@{variable}/x"));
    assert!(load(&project, &[]).contains(&variable));
    assert!(load(&project, &["--warehouse-url", &format!("postgres://me@{flag}/x")]).contains(&flag));
}

#[test]
fn the_project_is_found_from_below() {
    let project = Project::empty();
    project.write("lake.toml", "unknown = 1\n");
    project.write("models/silver/x.sql", "select 1");
    let mut command = project.command(&["status"]);
    let below = command.current_dir(project.path().join("models/silver")).output().unwrap();
    assert_eq!(below.status.code(), Some(78));
    let elsewhere = Project::empty().lake(&["status", "--project", "/nowhere/at/all"]).fails_with(78);
    assert!(elsewhere.stderr.contains("the project folder `/nowhere/at/all` does not exist"), "{}", elsewhere.stderr);
}
