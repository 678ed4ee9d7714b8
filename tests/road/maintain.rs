//! `lake maintain` on a project: readers, proofs and later runs notice nothing but fewer files.

use crate::support::Project;
use std::path::Path;
use std::time::Duration;

/// Five commits of Bronze, good and bad rows in each, and an append model built from each of them.
fn shop() -> Project {
    let project = Project::empty();
    project.write("lake.toml", "[[produce]]\nname = \"any\"\nfiles = [\"data/any.csv\"]\n[maintain]\nkeep_runs = 1\n");
    project.write("models/silver/seen.sql", "{{ config(materialized='append') }}\nselect id, 1 as n from bronze.any\n");
    let mut rows = String::from("id,amount\n");
    for round in 0..5 {
        for row in 0..10 {
            rows.push_str(&format!("{round}{row},1.50\n"));
        }
        rows.push_str(&format!("{round},2.50,one cell too many\n"));
        project.write("data/any.csv", &rows);
        project.lake(&["produce"]).ok();
        project.lake(&["bronze", "--once"]).ok();
        project.lake(&["promote", "all"]).ok();
    }
    project
}

fn answers(project: &Project) -> Vec<String> {
    let questions = [
        "select count(*) as n, sum(cast(amount as decimal(10,2))) as s from bronze.any",
        "select count(*) as n, min(_offset) as low, max(_offset) as high from bronze.any__quarantine",
        "select count(*) as n, sum(n) as s from silver.seen",
    ];
    questions.map(|sql| project.lake(&["query", "--output", "csv", sql]).ok().stdout).to_vec()
}

fn age(directory: &Path) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            age(&path);
        } else {
            let file = std::fs::File::options().append(true).open(&path).unwrap();
            let made = file.metadata().unwrap().modified().unwrap();
            file.set_modified(made - Duration::from_secs(30 * 24 * 3600)).unwrap();
        }
    }
}

#[test]
fn maintenance_changes_nothing_that_anybody_reads() {
    let project = shop();
    let before = answers(&project);
    assert_eq!(before[..2], ["n,s\n50,75.00\n", "n,low,high\n5,10,54\n"]);
    let report = project.lake(&["maintain", "--output", "json"]).ok().json();
    let (bronze, silver) = (&report["tables"][0], &report["tables"][1]);
    assert_eq!((bronze["table"].as_str(), silver["table"].as_str()), (Some("bronze.any"), Some("silver.seen")));
    assert_eq!((bronze["before"]["files"].as_u64(), bronze["after"]["files"].as_u64()), (Some(10), Some(2)));
    assert_eq!((silver["before"]["files"].as_u64(), silver["after"]["files"].as_u64()), (Some(5), Some(1)));
    assert_eq!(answers(&project), before);
    // Merged files are no news: an append model that took them for new rows would add them once more.
    let promoted = project.lake(&["promote", "all", "--output", "json"]).ok().json();
    assert_eq!(promoted["models"][0]["status"], "skipped", "{promoted}");
    assert_eq!((promoted["run"].as_u64(), answers(&project)), (Some(5), before.clone()));

    let rows = project.read("data/any.csv") + "90,1.50\n";
    project.write("data/any.csv", rows);
    for verb in [&["produce"][..], &["bronze", "--once"], &["promote", "all"]] {
        project.lake(verb).ok();
    }
    let before = answers(&project);
    assert_eq!(before[0], "n,s\n51,76.50\n");
    age(&project.path().join(".lake/tables"));
    // Old files are pinned by old runs, of which the dry run would keep one.
    let dry = project.lake(&["maintain", "--dry-run"]).ok().stdout;
    assert_eq!(dry.matches("would delete bronze.any _quarantined=").count(), 10, "{dry}");
    let done = project.lake(&["maintain", "bronze.any", "--output", "json"]).ok().json();
    assert_eq!((done["tables"][0]["deleted_files"].as_u64(), done["runs"].as_u64()), (Some(10), Some(1)));
    assert_eq!(answers(&project), before);
    project.lake(&["verify"]).ok();
    project.lake(&["maintain"]).ok();
    assert_eq!(answers(&project), before);
}

#[test]
fn a_retention_too_short_and_a_table_nobody_knows_are_refused() {
    let project = Project::empty();
    let refused = project.lake(&["maintain", "--retain", "10m"]).fails_with(78);
    assert!(refused.stderr.contains("1h at the earliest"), "{}", refused.stderr);
    let refused = project.lake(&["maintain", "books"]).fails_with(1);
    assert!(refused.stderr.contains("there is no table `books`"), "{}", refused.stderr);
}
