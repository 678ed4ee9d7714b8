//! `lake load-warehouse`: what is loaded, and why.

use crate::support::Project;

#[test]
fn what_would_be_loaded_is_told_with_its_reason() {
    let project = Project::empty();
    project.write("models/gold/dim_book.sql", "select 1 as id, 'a' as title\n");
    project.lake(&["promote", "all"]).ok();
    let planned = project.lake(&["load-warehouse", "--dry-run"]).ok().stdout;
    assert_eq!(planned.lines().count(), 2, "{planned}");
    let line = planned.lines().last().unwrap();
    assert!(line.starts_with("gold.dim_book  load") && line.ends_with("full: it was never loaded"), "{planned}");
    let asked = "select count(*) as n from pg_class where relname = 'dim_book'";
    assert_eq!(project.lake(&["query", "--warehouse", "--output", "csv", asked]).ok().stdout, "n\n0\n");

    project.lake(&["load-warehouse"]).ok();
    project.write("models/gold/dim_book.sql", "select 1 as id, 'b' as title\n");
    project.lake(&["promote", "all"]).ok();
    let planned = project.lake(&["load-warehouse", "--dry-run", "--output", "json"]).ok().json();
    let table = &planned["tables"][0];
    assert_eq!((&table["status"], &table["how"]), (&"due".into(), &"2 files since version 1".into()), "{planned}");
    let loaded = project.lake(&["load-warehouse", "--output", "json"]).ok().json();
    let table = &loaded["tables"][0];
    assert_eq!((&table["status"], &table["inserted"], &table["deleted"]), (&"loaded".into(), &1.into(), &1.into()));
    let again = project.lake(&["load-warehouse", "--dry-run"]).ok().stdout;
    let words: Vec<&str> = again.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(words, ["gold.dim_book", "-", "2", "it", "stands"], "{again}");
}
