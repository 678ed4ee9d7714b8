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
fn times_and_numbers_of_other_countries_arrive_typed() {
    let csv = "Am;Tag;US;Summe;Offen;Preis\n31.12.2024 10:00;31.12.2024;12/31/2024 9:05;1.234,56;03/04/2024;€ 1,50\n\
               01.02.2024 23:59;01.02.2024;01/02/2024 23:00;-0,5;05/06/2024;€ 1.000,00\n";
    let (project, folder) = made_from("any.csv", csv.as_bytes());
    project.lake(&["--project", &folder, "run", "--once"]).ok();
    let sql = "select cast(am as text) am, tag, cast(us as text) us, summe, offen, preis from gold.any order by summe";
    let lake = project.lake(&["--project", &folder, "query", "--output", "csv", sql]).ok().stdout;
    assert_eq!(
        lake,
        "am,tag,us,summe,offen,preis\n\
         2024-02-01T23:59:00,2024-02-01,2024-01-02T23:00:00,-0.50,05/06/2024,\"€ 1.000,00\"\n\
         2024-12-31T10:00:00,2024-12-31,2024-12-31T09:05:00,1234.56,03/04/2024,\"€ 1,50\"\n"
    );
    let sum = "select sum(summe) s, count(distinct am) n from gold.any";
    let warehouse = project.lake(&["--project", &folder, "query", "--warehouse", "--output", "csv", sum]).ok().stdout;
    assert_eq!(warehouse, "s,n\n1234.06,2\n");
    let silver = project.read("shop/models/silver/any.sql");
    assert!(silver.contains("parse_date(\"Offen\", '%m/%d/%Y') or parse_date(\"Offen\", '%d/%m/%Y')"), "{silver}");
    assert!(silver.contains("parse_decimal(replace(\"Preis\", '€', ''), 18, 2, '.,')"), "{silver}");
}

#[test]
fn a_value_that_does_not_fit_stops_the_promotion_and_is_named() {
    for (good, bad, value) in [("31.12.2024", "12/31/2024", "12/31/2024"), ("1.50", "1.505", "1.505")] {
        let (project, folder) = made_from("any.csv", format!("id,v\n1,{good}\n").as_bytes());
        project.write("shop/data/any.csv", format!("id,v\n1,{good}\n2,{bad}\n"));
        let failed = project.lake(&["--project", &folder, "run", "--once"]);
        assert!(failed.code != 0, "{}", failed.stdout);
        assert!(failed.stderr.contains("silver.any") && failed.stderr.contains("column `v`"), "{}", failed.stderr);
        assert!(failed.stderr.contains(value), "{}", failed.stderr);
    }
}

#[test]
fn names_that_mean_something_to_the_services_make_a_project_that_runs() {
    let long = "x y ".repeat(20);
    let csv = format!("_offset,_topic,xmin,select,Price (a),price a,{long}1,{long}2,id\n1,2,3,4,5,6,7,8,9\n");
    let (project, folder) = made_from("any.csv", csv.as_bytes());
    project.lake(&["--project", &folder, "run", "--once"]).ok();
    let sql = "select \"offset\", topic, xmin_, \"select\", price_a, price_a_2, id from gold.any";
    for warehouse in [&[][..], &["--warehouse"]] {
        let arguments = [&["--project", &folder, "query", "--output", "csv", sql], warehouse].concat();
        let rows = project.lake(&arguments).ok().stdout;
        assert_eq!(rows, "offset,topic,xmin_,select,price_a,price_a_2,id\n1,2,3,4,5,6,9\n");
    }
    let (project, folder) = made_from("any.jsonl", b"{\"id\":1,\"ID\":2,\"\":3,\"_key\":4}\n");
    project.lake(&["--project", &folder, "run", "--once"]).ok();
    let sql = "select id, key, _rescued from bronze.any";
    let rows = project.lake(&["--project", &folder, "query", "--output", "csv", sql]).ok().stdout;
    assert_eq!(rows, "id,key,_rescued\n1,4,\"{\"\"ID\"\":2,\"\"\"\":3}\"\n");
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
