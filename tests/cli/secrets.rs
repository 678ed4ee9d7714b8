//! A canary in every place a secret can stand appears in no output.

use crate::support::Project;

const CANARY: &str = "canary-7f3a";

fn assert_silent(project: &Project, arguments: &[&str], codes: &[i32]) {
    let output = project.lake(arguments);
    assert!(codes.contains(&output.code), "{arguments:?} ended with {}:\n{}", output.code, output.stderr);
    let said = format!("{}{}", output.stdout, output.stderr);
    assert!(!said.contains(CANARY), "{arguments:?} shows the canary:\n{said}");
}

#[test]
fn faulty_settings_do_not_show_their_values() {
    let files = [
        format!("[warehouse]\npassword = \"{CANARY}\n"),
        format!("[warehouse]\npassword = [\"{CANARY}\"]\n"),
        format!("[warehouse]\npasswrod = \"{CANARY}\"\n"),
        format!("[warehouse]\nurl = \"postgress://me:{CANARY}@h/x\"\n"),
        format!("[kafka]\nproperties = {{ \"sasl.password\" = \"{CANARY}\" }}\n"),
        format!("[lake]\nroot = \"s3://b/x\"\noptions = {{ aws_secret_access_key = \"{CANARY}\" }}\n"),
    ];
    for text in files {
        let project = Project::empty();
        project.write("lake.toml", text);
        assert_silent(&project, &["status", "-vvv"], &[78]);
    }
}

#[test]
fn unreachable_services_do_not_show_their_passwords() {
    let mut project = Project::empty();
    project.write("secret", CANARY);
    project.write("lake.toml", "[lake]\noptions = { aws_secret_access_key = { file = \"secret\" } }\n");
    project.env("AWS_ACCESS_KEY_ID", "me").env("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    project.env("SASL", CANARY).env("PGPASSWORD", CANARY).env("LAKE__WAREHOUSE__PASSWORD", CANARY);
    project.env("LAKE__KAFKA__PROPERTIES__SASL_PASSWORD", CANARY);
    let url = format!("postgres://me:{CANARY}@127.0.0.1:1/x");
    let services = ["--brokers", "127.0.0.1:1", "--warehouse-url", &url, "--lake", "s3://b/x"];
    for arguments in [["doctor", "-vvv"], ["doctor", "--output=json"]] {
        assert_silent(&project, &[&arguments[..], &services].concat(), &[69]);
    }
    assert_silent(&project, &[&["query", "--warehouse", "select 1", "-vvv"][..], &services].concat(), &[69]);
}

#[test]
fn the_embedded_password_stays_in_its_file() {
    let project = Project::empty();
    let output = project.lake(&["query", "--warehouse", "select 1 as one", "-vvv"]).ok();
    let password = project.read(".lake/postgres.password");
    assert!(password.trim().len() > 20);
    assert!(!format!("{}{}", output.stdout, output.stderr).contains(password.trim()));
}
