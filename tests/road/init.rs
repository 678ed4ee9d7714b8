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
    let csv = b"Order No,Placed,Price (EUR),Zip\r\n1,2024-03-01,10.50,01234\r\n2,2024-03-02,,99999\r\n";
    let (project, folder) = made_from("any.csv", csv);
    project.lake(&["--project", &folder, "run", "--once"]).ok();
    let sql = "select order_no, placed, price_eur, zip from gold.any order by order_no";
    let expected = "order_no,placed,price_eur,zip\n1,2024-03-01,10.50,01234\n2,2024-03-02,,99999\n";
    let lake = project.lake(&["--project", &folder, "query", "--output", "csv", sql]).ok().stdout;
    assert_eq!(lake, expected);
    let warehouse = project.lake(&["--project", &folder, "query", "--warehouse", "--output", "csv", sql]).ok().stdout;
    assert_eq!(warehouse, expected);
    project.lake(&["--project", &folder, "verify"]).ok();
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
