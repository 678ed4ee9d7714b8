//! `lake verify`: the proofs hold after a run, and a lost row or table is found.

use crate::support::Project;

#[test]
fn a_run_proves_itself_and_a_row_too_many_does_not() {
    let project = Project::empty();
    let csv = project.write("in/books.csv", "id,title,price\n1,a,10.50\n2,b,\n3,c,7\n3,x\n");
    project.lake(&["init", "--from", csv.to_str().unwrap()]).ok();
    project.lake(&["run", "--once"]).ok();
    let report = project.lake(&["verify", "--output", "json"]).ok().json();
    let proofs = report["proofs"].as_array().unwrap();
    let kinds: Vec<&str> = proofs.iter().map(|proof| proof["proof"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["rows", "offsets", "star"]);
    let rows = &proofs[0];
    assert_eq!(
        (rows["file_rows"].as_u64(), rows["good"].as_u64(), rows["quarantined"].as_u64()),
        (Some(4), Some(3), Some(1))
    );
    assert_eq!((proofs[1]["offsets"].as_u64(), proofs[2]["rows"].as_u64()), (Some(4), Some(3)));

    let toml = project.read("lake.toml");
    let file = toml.lines().find_map(|line| line.strip_prefix("files = [\"")?.strip_suffix("\"]")).unwrap();
    let grown = project.read(file) + "4,d,1\n";
    project.write(file, grown);
    let output = project.lake(&["verify"]).fails_with(1);
    assert!(output.stdout.contains("1 rows are missing"), "{}", output.stdout);
    assert!(output.stdout.contains("row 5 is neither in the table nor in its quarantine"), "{}", output.stdout);
    assert!(output.stderr.contains("error: 1 of 3 proofs do not hold\n"), "{}", output.stderr);

    for verb in [&["produce"][..], &["bronze", "--once"], &["promote", "all"]] {
        project.lake(verb).ok();
    }
    project.lake(&["load-warehouse"]).ok();
    project.lake(&["verify"]).ok();
    std::fs::remove_dir_all(project.path().join(".lake/tables/gold")).unwrap();
    let output = project.lake(&["verify", "--output", "json"]).fails_with(1).json();
    assert_eq!(output["proofs"][2]["differences"][0], "`gold.books` is not in the lake");
    assert_eq!(output["error"]["kind"], "check_failed");
}

#[test]
fn what_was_never_built_is_not_proven() {
    let project = Project::empty();
    let csv = project.write("in/books.csv", "id,title\n1,a\n2,b\n");
    project.lake(&["init", "--from", csv.to_str().unwrap()]).ok();
    project.lake(&["produce"]).ok();
    project.lake(&["bronze", "--once"]).ok();
    let output = project.lake(&["verify"]).fails_with(1);
    let line = "gold.books: no run has published it, so nothing of it is proven";
    assert!(output.stdout.contains(line), "{}", output.stdout);
    assert!(output.stderr.contains("hint: bring everything up to date with `lake run --once`"), "{}", output.stderr);

    let project = Project::empty();
    project.write("models/sources.yml", "sources:\n  - name: x\n    tables: [{name: events}]\n");
    let output = project.lake(&["verify"]).fails_with(1);
    let line = "bronze.events: nothing of topic `events` was read into it, so nothing of it is proven";
    assert!(output.stdout.contains(line), "{}", output.stdout);
}

#[test]
fn a_project_that_declares_nothing_has_nothing_to_prove() {
    let project = Project::empty();
    project.write("lake.toml", "");
    let output = project.lake(&["verify"]).ok();
    assert!(output.stderr.contains("nothing to prove"), "{}", output.stderr);
}
