//! One topic of two kinds of records into two tables, one of them in folders by day.

use crate::support::Project;

const SOURCES: &str = "\
version: 2
sources:
  - name: bronze
    tables:
      - name: orders
        meta: { topic: events, only: { field: kind, is: [order] }, partition_by: [day] }
        columns: [{ name: kind }, { name: amount, data_type: bigint }, { name: at }]
      - name: refunds
        meta: { topic: events, only: { field: kind, is: [refund, chargeback] } }
        columns: [{ name: kind }, { name: amount, data_type: text }]
";

/// By hand: of 400 rows 200 are orders of 4 days, 100 refunds, 50 chargebacks, 50 of no kind that is taken; each
/// 100th row has a cell too many.
fn events() -> String {
    let mut text = String::from("kind,amount,at\n");
    for n in 0..400 {
        let kind = ["order", "refund", "order", ["chargeback", "visit"][n / 4 % 2]][n % 4];
        let amount = if kind == "order" { n.to_string() } else { format!("about {n}") };
        let more = if n % 100 == 99 { ",one cell too many" } else { "" };
        text.push_str(&format!("{kind},{amount},2026-03-0{}T10:00:00{more}\n", 1 + n / 100));
    }
    text
}

fn ask(project: &Project, sql: &str) -> String {
    project.lake(&["query", "-q", "--output", "csv", sql]).ok().stdout
}

#[test]
fn a_topic_of_two_kinds_fills_two_tables_and_every_row_is_accounted_for() {
    let project = Project::empty();
    project.write("data/events.csv", events());
    project.write(
        "lake.toml",
        "[[produce]]\nname = \"events\"\nfiles = [\"data/events.csv\"]\npartitions = 3\n[bronze]\nmax_rows = 60\n",
    );
    project.write("models/sources.yml", SOURCES);
    project.write(
        "sql/bronze/orders.sql",
        "select kind, amount, substr(at, 1, 10)::date as day, _topic, _partition, _offset from batch\n",
    );
    project.lake(&["produce", "-q"]).ok();
    let report = project.lake(&["bronze", "--once", "-q", "--output", "json"]).ok().json();
    let figures = |table: usize| {
        let table = &report["tables"][table];
        ["rows", "rejects", "filtered"].map(|figure| table[figure].as_u64().unwrap())
    };
    // What the source could not read has no kind that can be read: it is in the quarantine of both.
    assert_eq!((figures(0), figures(1)), ([200, 4, 196], [148, 4, 248]), "{report}");
    let proven = |figures: [&str; 2]| {
        let proven = project.lake(&["verify", "-q", "--cells"]).ok().stdout;
        assert!(figures.iter().all(|figures| proven.contains(figures)), "{proven}");
    };
    proven(["204 rows, 7 columns", "152 rows, 6 columns"]);
    project.lake(&["maintain", "-q"]).ok();
    proven(["204 rows, 7 columns", "152 rows, 6 columns"]);
    let days =
        ask(&project, "select day, count(*) as n, sum(amount) as s from bronze.orders group by day order by day");
    assert_eq!(days, "day,n,s\n2026-03-01,50,2450\n2026-03-02,50,7450\n2026-03-03,50,12450\n2026-03-04,50,17450\n");
    assert_eq!(ask(&project, "select count(*) as n from bronze.refunds where amount like 'about %'"), "n\n148\n");
    let folder = project.path().join(".lake/tables/bronze/orders/_quarantined=false/day=2026-03-02");
    assert!(folder.is_dir());

    project.write("models/sources.yml", SOURCES.replace("partition_by: [day]", "partition_by: [kind]"));
    let refused = project.lake(&["bronze", "--once", "-q"]).fails_with(78);
    assert!(refused.stderr.contains("partitioned by day, its contract says kind"), "{}", refused.stderr);
}
