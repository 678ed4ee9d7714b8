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
    assert!(output.stdout.contains("1 row is missing"), "{}", output.stdout);
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

fn shop() -> Project {
    let project = Project::empty();
    project.write("lake.toml", "[[produce]]\nname = \"books\"\nfiles = [\"in/*.csv\"]\n");
    project.write("in/books.csv", "id,title\n1,a\n2,b\n3,c\n");
    project.write("models/gold/titles.sql", "select id, title from bronze.books\n");
    project.lake(&["run", "--once"]).ok();
    project
}

#[test]
fn a_file_that_two_entries_send_to_one_topic_is_proven_once() {
    let project = shop();
    let entry =
        |name: &str, files: &str| format!("[[produce]]\nname = \"{name}\"\ntopic = \"books\"\nfiles = [\"{files}\"]\n");
    project.write("lake.toml", entry("books", "in/*.csv") + &entry("again", "in/books.csv"));
    let sent = project.lake(&["produce"]).ok().stderr;
    assert!(sent.contains("nothing new"), "{sent}");
    let proven = project.lake(&["verify"]).ok().stdout;
    assert!(proven.contains("3 rows = 3 good"), "{proven}");
}

#[test]
fn a_file_that_is_not_as_it_was_sent_is_told_apart_and_has_its_own_remedy() {
    let project = shop();
    project.lake(&["verify"]).ok();
    let fails = |difference: &str, remedy: &str| {
        let output = project.lake(&["verify"]).fails_with(1);
        assert!(output.stdout.contains(difference), "{}", output.stdout);
        assert!(output.stderr.contains(&format!("hint: {remedy}")), "{}", output.stderr);
        assert!(!output.stderr.contains("run --once"), "{}", output.stderr);
    };
    project.write("in/books.csv", "id,title\n1,a\n2,x\n3,c\n");
    let edited = "rows of `in/books.csv` at or before row 2 were changed after they were sent";
    fails(edited, "put the files back as they were sent");
    project.write("in/books.csv", "id,title\n1,a\n");
    fails("in/books.csv row 2 is in the table, and the file ends before it", "put the files back as they were sent");

    project.write("in/more.csv", "id,title\n");
    std::fs::remove_file(project.path().join("in/books.csv")).unwrap();
    let gone = "`in/books.csv` is gone: of its 3 rows in the table nothing is proven";
    fails(gone, "put the missing files back");
    project.write("lake.toml", "[[produce]]\nname = \"books\"\nfiles = [\"in/books.csv\"]\n");
    fails("there is no file `in/books.csv`", "put the missing files back");
    fails("offsets of bronze.books", "put the missing files back");

    project.write("in/books.csv", "id,title\n1,a\n2,x\n3,c\n4,d\n");
    project.lake(&["produce", "--as-new"]).ok();
    project.lake(&["run", "--once"]).ok();
    let proven = project.lake(&["verify"]).ok().stdout;
    assert!(proven.contains("4 rows = 4 good; 3 superseded"), "{proven}");
}

#[test]
fn what_was_published_and_not_loaded_is_a_difference() {
    let project = shop();
    let loaded = project.lake(&["status", "--output", "json"]).ok().json()["loads"][0].clone();
    assert!(loaded["behind"].is_null() && loaded["rows"] == 3, "{loaded}");
    project.write("in/books.csv", "id,title\n1,a\n2,b\n3,c\n4,d\n");
    for verb in [&["produce"][..], &["bronze", "--once"], &["promote", "all"]] {
        project.lake(verb).ok();
    }
    let version = loaded["delta_version"].as_i64().unwrap();
    let output = project.lake(&["verify"]).fails_with(1);
    let text = format!("`gold.titles` version {} was published and never loaded (loaded: {version})", version + 1);
    assert!(output.stdout.contains(&text), "{}", output.stdout);
    assert!(output.stderr.contains("hint: load what was published with `lake load-warehouse`\n"), "{}", output.stderr);
    let status = project.lake(&["status"]).ok().stdout;
    assert!(status.contains(&format!("behind, {} is published", version + 1)), "{status}");
    project.lake(&["load-warehouse"]).ok();
    project.lake(&["verify"]).ok();
    assert!(!project.lake(&["status"]).ok().stdout.contains("behind"));
}

#[test]
fn cells_are_compared_as_far_as_the_stream_is_what_it_was() {
    let project = Project::empty();
    project.write("lake.toml", "[[produce]]\nname = \"books\"\nfiles = [\"in/*.jsonl\"]\n");
    let rows = [r#"{"id":1,"title":"a","note":"x"}"#, r#"{"id":2,"title":""}"#, r#"{"id":"three","title":"c"}"#];
    project.write("in/books.jsonl", rows.join("\n") + "\n");
    let contract = |more: &str| {
        let columns = format!("[{{name: id, data_type: bigint}}, {{name: title}}{more}]");
        // Delta keeps the empty title as NULL.
        let table =
            format!("      - name: books\n        meta: {{partition_by: [title]}}\n        columns: {columns}\n");
        project.write("models/sources.yml", format!("sources:\n  - name: shop\n    tables:\n{table}"));
    };
    contract("");
    project.write("sql/bronze/books.sql", "select *, upper(title) as loud from batch\n");
    for verb in [&["produce"][..], &["bronze", "--once"]] {
        project.lake(verb).ok();
    }
    let cells = || project.lake(&["verify", "--cells"]).ok().stdout;
    let compared = cells();
    assert!(compared.contains("cells of bronze.books           3 rows, 7 columns"), "{compared}");
    contract(", {name: note}");
    let told = "not compared: 1 of 3 rows not what their files' rows become now; some were taken in when the stream";
    let compared = cells();
    assert!(compared.contains("-      cells of bronze.books") && compared.contains(told), "{compared}");
    contract("");
    project.write("sql/bronze/books.sql", "select *, cast(now() as text) as loud from batch\n");
    let compared = cells();
    assert!(compared.contains("not compared: the stream's SQL asks for `now`"), "{compared}");
}
