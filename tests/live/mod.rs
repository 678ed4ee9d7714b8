//! The bookshop on a real Apache Kafka, a real S3 server and a real PostgreSQL.

use crate::road::bookshop::check_figures;
use crate::support::Project;
use crate::support::services::services;

/// Topics cannot be renamed by a setting, so each run takes names of its own.
fn renamed(project: &Project, unique: &str) {
    for file in ["lake.toml", "models/sources.yml"] {
        let mut text = project.read(file);
        for topic in ["catalogue", "customers", "sales"] {
            text = text.replace(&format!("topic: {topic} "), &format!("topic: {unique}-{topic} "));
            text = text
                .replace(&format!("name = \"{topic}\""), &format!("name = \"{topic}\"\ntopic = \"{unique}-{topic}\""));
        }
        project.write(file, text);
    }
}

#[test]
fn the_road_on_real_services_reaches_the_golden_figures() {
    let Some(services) = services("the road on real services") else { return };
    let mut project = Project::bookshop();
    let unique = format!("t{}", uuid::Uuid::new_v4().simple());
    services.attach(&mut project, &unique);
    renamed(&project, &unique);
    project.lake(&["doctor"]).ok();
    project.lake(&["run", "--once"]).ok();
    check_figures(&project, &unique);
    project.lake(&["verify"]).ok();
    let again = project.lake(&["run", "--once", "--output", "json"]).ok().json();
    for (list, field, idle) in [
        ("/produce/sources", "sent", serde_json::json!(0)),
        ("/bronze/tables", "commits", serde_json::json!(0)),
        ("/load/tables", "status", serde_json::json!("unchanged")),
    ] {
        let done = again.pointer(list).and_then(serde_json::Value::as_array).unwrap();
        assert!(!done.is_empty() && done.iter().all(|entry| entry[field] == idle), "{list}: {again}");
    }
    check_figures(&project, &unique);
    assert!(!project.path().join(".lake/broker").exists(), "an embedded part was started beside the real ones");
    wrong_secrets_are_refused_and_not_printed(&mut project);
}

fn wrong_secrets_are_refused_and_not_printed(project: &mut Project) {
    for (name, command) in [("LAKE__WAREHOUSE__PASSWORD", "load-warehouse"), ("AWS_SECRET_ACCESS_KEY", "verify")] {
        project.env(name, "canary-7f3a");
        let refused = project.lake(&["-vv", command]).fails_with(78);
        assert!(refused.stderr.contains("error:") && refused.stderr.contains("hint:"), "{name}:\n{}", refused.stderr);
        assert!(!refused.stderr.contains("canary-7f3a"), "{name} is printed:\n{}", refused.stderr);
    }
}
