//! `lake plan` and `lake retry`: what they print, and that a plan leaves everything as it is.

use crate::support::Project;
use crate::support::postgres::Server;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn shop() -> Project {
    let project = Project::empty();
    project.write("lake.toml", "[[produce]]\nname = \"books\"\nfiles = [\"books.csv\"]\n");
    project.write("books.csv", "id,title\n1,Emma\n2,\n");
    project.write("models/silver/titles.sql", "select cast(id as bigint) as id, title from bronze.books\n");
    project.write("models/gold/dim_title.sql", "select id, title from silver.titles\nwhere id > 0\n");
    project.lake(&["produce"]).ok();
    project.lake(&["bronze", "--once"]).ok();
    project
}

/// Every file below a folder with its bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut folders, mut files) = (vec![folder.to_path_buf()], BTreeMap::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => drop(files.insert(path.clone(), std::fs::read(&path).unwrap())),
            }
        }
    }
    files
}

#[test]
fn a_plan_is_shown_and_changes_nothing() {
    let project = shop();
    let before = files(project.path());
    let text = project.lake(&["plan"]).ok().stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("model           does   why          reads"), "{text}");
    assert!(lines[1].starts_with("silver.titles   build  never built  2 rows, "), "{text}");
    assert!(lines[2].starts_with("gold.dim_title  build  never built  what is rebuilt"), "{text}");
    assert!(text.contains("\n2 of 2 models would be built, 0 tests run\n"), "{text}");
    let unknown =
        "\nthe next load is not known: ask `lake load-warehouse --dry-run`, which starts the embedded PostgreSQL\n";
    assert!(text.ends_with(unknown), "{text}");

    let detailed = project.lake(&["plan", "gold", "--select", "+dim_title", "--exclude", "tag:none", "-v"]);
    assert!(detailed.fails_with(78).stderr.contains("no model fits `tag:none`"));
    let detailed = project.lake(&["plan", "-v"]).ok().stdout;
    for line in [
        "  reads silver.titles, rebuilt before: not known yet",
        "  id bigint <- silver.titles.id",
        "  title text <- bronze.books.title",
        "  rows decided by silver.titles.id",
    ] {
        assert!(detailed.contains(line), "{line} in\n{detailed}");
    }
    let json = project.lake(&["plan", "--output", "json"]).ok().json();
    let gold = &json["models"][1];
    assert_eq!(
        (&gold["table"], &gold["runs"], &gold["code"]),
        (&"gold.dim_title".into(), &true.into(), &"never_built".into())
    );
    assert_eq!(gold["lineage"]["title"], serde_json::json!(["silver.titles.title"]));
    assert_eq!(gold["columns"]["after"][1], serde_json::json!({ "name": "title", "data_type": "text" }));
    let drawn = project.lake(&["plan", "--graph", "mermaid"]).ok().stdout;
    assert!(drawn.contains("n0[\"bronze.books\"]\n") && drawn.contains("n1[\"gold.dim_title\"]:::runs\n"), "{drawn}");
    let drawn = project.lake(&["plan", "--graph", "svg"]).ok().stdout;
    assert!(drawn.starts_with("<svg ") && drawn.ends_with("</svg>\n"), "{drawn}");
    assert!(files(project.path()) == before, "a plan changed a file");
}

#[test]
fn a_fault_of_a_model_fails_the_plan_at_its_line() {
    let project = shop();
    project.write("models/gold/dim_title.sql", "select id,\n       titel from silver.titles\n");
    let output = project.lake(&["plan"]).fails_with(78);
    let fault = "models/gold/dim_title.sql:2:8: column `titel` not found, did you mean `title`?";
    assert!(output.stderr.contains(fault), "{}", output.stderr);
    // What is sound is planned all the same.
    assert!(output.stdout.contains("silver.titles   build  never built"), "{}", output.stdout);
}

#[test]
fn a_retry_runs_what_failed_and_nothing_else() {
    let project = shop();
    project.lake(&["retry"]).fails_with(78);
    let tests = "models:\n  - name: titles\n    columns: [{name: title, data_tests: [not_null]}]\n";
    project.write("models/schema.yml", tests);
    project.lake(&["promote", "all"]).fails_with(1);
    let text = project.lake(&["plan"]).ok().stdout;
    assert!(text.contains("`silver.titles` in the last run: not published: `not_null_titles_title` failed"), "{text}");
    project.write("models/schema.yml", tests.replace("[not_null]", "[{not_null: {severity: warn}}]"));
    let report = project.lake(&["retry", "--output", "json"]).ok().json();
    let built = report["models"].as_array().unwrap().iter().filter(|model| model["status"] == "built").count();
    assert_eq!((built, &report["run"]), (2, &1.into()));
    let again = project.lake(&["retry"]).ok();
    assert!(again.stderr.contains("nothing failed in the last run"), "{}", again.stderr);
}

#[test]
fn the_next_load_is_told_as_a_dry_run_tells_it() {
    let Some(server) = Server::start("the load in a plan", &[]) else { return };
    let mut project = shop();
    project.env("LAKE__WAREHOUSE__URL", &server.url());
    let plan = |project: &Project| project.lake(&["plan"]).ok().stdout;
    let text = plan(&project);
    let none = "the next load is not known: there is no run to load: no promote has finished yet";
    assert!(text.lines().last().unwrap().starts_with(none), "{text}");

    project.lake(&["promote", "all"]).ok();
    let (before, text) = (files(project.path()), plan(&project));
    let dry = project.lake(&["load-warehouse", "--dry-run"]).ok().stdout;
    assert!(text.ends_with(&format!("\nthe next load of run 1:\n{dry}")), "{text}\n{dry}");
    assert!(dry.ends_with("full: it was never loaded\n"), "{dry}");
    assert!(files(project.path()) == before, "looking at a load changed a file");
    assert_eq!(server.ask("select count(*) from pg_namespace where nspname in ('lake', 'gold')"), "0");

    project.lake(&["load-warehouse"]).ok();
    let known = &project.lake(&["plan", "--output", "json"]).ok().json()["load"]["known"];
    assert_eq!((&known["run"], &known["tables"][0]["how"]), (&1.into(), &"it stands".into()));
    // Another load, and a server that only reads, keep nobody from looking.
    let held = server.hold("select pg_advisory_lock(7809641312192258404)");
    assert!(plan(&project).contains("it stands"));
    drop(held);
    drop(server);
    let down = plan(&project);
    assert!(down.contains("\nthe next load is not known: cannot reach"), "{down}");
}
