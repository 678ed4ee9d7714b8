//! `lake init --from` and the project it writes, run at once.

use crate::support::Project;

fn made_from(name: &str, text: &[u8]) -> (Project, String) {
    let project = Project::empty();
    project.write(name, text);
    project.lake(&["init", "shop", "--from", name]).ok();
    (project, "shop".into())
}

#[test]
fn a_project_made_from_a_file_ends_with_the_rows_in_postgres() {
    let csv = b"Order No,Placed,Price (EUR),Zip,Sent,Back\r\n1,2024-03-01,10.50,01234,2024-03-02 08:15:00,31.12.2024 10:00\r\n\
                2,2024-03-02,,99999,,\r\n";
    let (project, folder) = made_from("any.csv", csv);
    project.lake(&["--project", &folder, "run", "--once"]).ok();
    let sql = "select order_no, placed, price_eur, zip, cast(sent as date) as sent from gold.any order by order_no";
    let expected = "order_no,placed,price_eur,zip,sent\n1,2024-03-01,10.50,01234,2024-03-02\n2,2024-03-02,,99999,\n";
    let lake = project.lake(&["--project", &folder, "query", "--output", "csv", sql]).ok().stdout;
    assert_eq!(lake, expected);
    let warehouse = project.lake(&["--project", &folder, "query", "--warehouse", "--output", "csv", sql]).ok().stdout;
    assert_eq!(warehouse, expected);
    project.lake(&["--project", &folder, "verify"]).ok();
}

#[test]
fn a_file_named_like_a_keyword_makes_a_project_that_runs() {
    let (project, folder) = made_from("null.csv", b"a,b\n1,2\n");
    project.lake(&["--project", &folder, "run", "--once"]).ok();
}

#[test]
fn a_file_without_rows_makes_a_project_that_runs() {
    let (project, folder) = made_from("none.csv", b"a,b\n");
    project.lake(&["--project", &folder, "run", "--once"]).ok();
}

#[test]
fn a_project_in_the_way_is_not_overwritten() {
    let (project, _) = made_from("any.csv", b"a,b\n1,2\n");
    let refused = project.lake(&["init", "shop", "--from", "any.csv"]);
    assert!(refused.code != 0 && refused.stderr.contains("shop"), "{}", refused.stderr);
}

#[test]
fn a_project_made_of_nothing_runs() {
    let project = Project::empty();
    project.lake(&["init", "fresh"]).ok();
    project.lake(&["--project", "fresh", "run", "--once"]).ok();
}
