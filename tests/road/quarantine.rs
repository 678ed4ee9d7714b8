//! Records that could not become rows: looked at, sent again once the stream is mended, deleted; and `lake verify`
//! proves all of it.

use crate::support::{Output, Project, oracle};
use deltalake::DeltaTable;
use serde_json::Value;
use std::sync::Arc;

const CONTRACT: &str = "models/sources.yml";

/// Six rows of a file: 2 and 5 have an id that is no number, 3 their source cannot read.
fn shop() -> Project {
    let project = Project::empty();
    project.write(
        "data/orders.jsonl",
        "{\"id\":1,\"amount\":1.5,\"note\":\"a\"}\n{\"id\":\"no 2\",\"amount\":2.5,\"note\":\"b\"}\n{\"id\":3,\n\
         {\"id\":4,\"amount\":4.5}\n{\"id\":\"no 5\",\"amount\":5.5}\n{\"id\":6,\"amount\":6.5}\n",
    );
    project.write("lake.toml", "[[produce]]\nname = \"orders\"\nfiles = [\"data/orders.jsonl\"]\n");
    contract(&project, "bigint", "");
    project.lake(&["produce"]).ok();
    project.lake(&["bronze", "--once"]).ok();
    project
}

fn contract(project: &Project, id: &str, more: &str) {
    let columns =
        format!("          - {{name: id, data_type: {id}}}\n          - {{name: amount, data_type: double}}\n{more}");
    project.write(
        CONTRACT,
        format!("sources:\n  - name: bronze\n    tables:\n      - name: orders\n        columns:\n{columns}"),
    );
}

/// Ids are read as text, and what is in front of a number is taken away.
fn mend(project: &Project) {
    contract(project, "text", "          - {name: note, data_type: text}\n");
    project.write(
        "sql/bronze/orders.sql",
        "select cast(replace(id, 'no ', '') as bigint) as id, amount, note, _topic, _partition, _offset from batch\n",
    );
}

fn csv(project: &Project, sql: &str) -> String {
    project.lake(&["query", "-q", "--output", "csv", sql]).ok().stdout
}

fn redrive(project: &Project, more: &[&str]) -> Value {
    let arguments = [&["quarantine", "redrive", "orders", "--output", "json"], more].concat();
    project.lake(&arguments).ok().json()
}

fn verified(project: &Project) -> String {
    project.lake(&["verify"]).ok().stdout
}

fn lines(output: &Output) -> Vec<Value> {
    output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn quarantined_records_are_counted_by_kind_and_shown() {
    let project = shop();
    let listed = project.lake(&["quarantine", "list", "--output", "json"]).ok().json();
    let list = &listed["tables"][0];
    assert_eq!((list["table"].as_str(), list["records"].as_u64()), (Some("bronze.orders"), Some(3)));
    let commonest = &list["kinds"][0];
    assert_eq!(
        (commonest["kind"].as_str(), &commonest["records"]),
        (Some("column `id`: expected bigint, found \"…\""), &2.into())
    );
    assert_eq!((&commonest["first"]["offset"], &commonest["last"]["offset"]), (&1.into(), &4.into()));
    let text = project.lake(&["quarantine", "list", "orders"]).ok().stdout;
    assert!(text.contains("orders/0 offset 1") && text.contains("data/orders.jsonl:N"), "{text}");

    let shown = project.lake(&["quarantine", "show", "orders"]).ok().stdout;
    assert!(shown.contains("reason    column `id`: expected bigint, found \"no 5\""), "{shown}");
    assert!(shown.contains("source    data/orders.jsonl row 3") && shown.contains("payload   {\"id\":3,"), "{shown}");
    let one = lines(
        &project.lake(&["quarantine", "show", "orders", "--partition", "0", "--offset", "4", "--output", "json"]).ok(),
    );
    assert_eq!((one.len(), one[0]["payload"].as_str()), (1, Some("{\"id\":\"no 5\",\"amount\":5.5}")));
    assert_eq!((&one[0]["source_row"], &one[0]["partition"]), (&5.into(), &0.into()));
    let raw = project.lake(&["quarantine", "show", "orders", "--raw", "--reason", "found \"…\"", "--limit", "1"]).ok();
    assert_eq!(raw.stdout, "{\"id\":\"no 2\",\"amount\":2.5,\"note\":\"b\"}");
    let unknown = project.lake(&["quarantine", "show", "ordres"]).fails_with(1);
    assert!(unknown.stderr.contains("did you mean `orders`?"), "{}", unknown.stderr);
}

#[test]
fn mended_records_become_rows_once_with_their_first_places() {
    let project = shop();
    let before = csv(&project, "select max(_ingested_at) as at from bronze.orders");
    project.write(
        "models/silver/seen.sql",
        "{{ config(materialized='append') }}\nselect id, _ingested_at as at from bronze.orders\n\
         {% if is_incremental() %}where _ingested_at > (select max(at) from {{ this }}){% endif %}\n",
    );
    project.lake(&["promote", "all"]).ok();
    let untouched = redrive(&project, &[]);
    assert_eq!(
        (&untouched["records"], &untouched["rows"], &untouched["version"]),
        (&3.into(), &0.into(), &Value::Null)
    );

    let headers = csv(&project, "select _offset, _headers from bronze.orders__quarantine where _offset = 1");
    mend(&project);
    let asked = redrive(&project, &["--dry-run"]);
    assert_eq!((&asked["rows"], &asked["stayed"], &asked["version"]), (&2.into(), &1.into(), &Value::Null));
    assert_eq!(csv(&project, "select count(*) as n from bronze.orders"), "n\n3\n");
    let done = redrive(&project, &[]);
    let figures = ["records", "rows", "stayed", "unreadable"].map(|name| done[name].as_u64().unwrap());
    assert_eq!(figures, [3, 2, 1, 1]);
    assert!(done["version"].is_u64() && done["reasons"].as_array().unwrap().is_empty(), "{done}");

    let rows = csv(&project, "select id, amount, note, _offset, _source, _source_row from bronze.orders order by id");
    let expected = "id,amount,note,_offset,_source,_source_row\n1,1.5,,0,data/orders.jsonl,1\n2,2.5,b,1,data/orders.jsonl,2\n\
                    4,4.5,,3,data/orders.jsonl,4\n5,5.5,,4,data/orders.jsonl,5\n6,6.5,,5,data/orders.jsonl,6\n";
    assert_eq!(rows, expected, "what was read before the contract grew keeps its note in _rescued");
    assert_eq!(csv(&project, "select _offset, _headers from bronze.orders where _offset = 1"), headers);
    let newer = format!(
        "select count(*) as n from bronze.orders where _ingested_at > timestamp '{}'",
        before.lines().last().unwrap()
    );
    assert_eq!(csv(&project, &newer), "n\n2\n", "a reader that goes on from the newest row finds them");
    let proofs = verified(&project);
    assert!(proofs.contains("6 in 1 commit = 5 rows, 1 quarantined"), "{proofs}");

    // An incremental model has them, and is told of.
    let promoted = project.lake(&["promote", "all"]).ok();
    assert!(promoted.stderr.contains("2 rows of `bronze.orders` came out of quarantine"), "{}", promoted.stderr);
    assert!(promoted.stderr.contains("--full-refresh --select seen"), "{}", promoted.stderr);
    assert_eq!(csv(&project, "select count(*) as n from silver.seen"), "n\n5\n");
    let promoted = project.lake(&["promote", "all"]).ok();
    assert!(!promoted.stderr.contains("quarantine"), "{}", promoted.stderr);

    assert_eq!(redrive(&project, &[])["version"], Value::Null);
    project.lake(&["produce", "--again"]).ok();
    let again = project.lake(&["bronze", "--once", "--output", "json"]).ok().json();
    assert_eq!((&again["tables"][0]["duplicates"], &again["tables"][0]["rows"]), (&6.into(), &0.into()));
    verified(&project);
}

#[test]
fn deleted_records_are_accounted_for() {
    let project = shop();
    project.lake(&["quarantine", "drop", "orders"]).fails_with(2);
    let refused = project.lake(&["quarantine", "drop", "orders", "--all"]).fails_with(78);
    assert!(refused.stderr.contains("delete 3 records from the quarantine of bronze.orders?"), "{}", refused.stderr);
    assert!(refused.stderr.contains("hint: say it with --yes"), "{}", refused.stderr);
    let drop = |arguments: &[&str]| {
        let all = [&["quarantine", "drop", "orders", "--yes", "--output", "json"], arguments].concat();
        let report = project.lake(&all).ok().json();
        (report["records"].as_u64().unwrap(), report["stayed"].as_u64().unwrap())
    };
    assert_eq!(drop(&["--before", "2001-01-01T00:00:00Z"]), (0, 3));
    assert_eq!(drop(&["--partition", "orders/0", "--offset", "4"]), (1, 2));
    let proofs = verified(&project);
    assert!(proofs.contains("6 rows = 3 good, 2 quarantined, 1 dropped from quarantine"), "{proofs}");
    assert_eq!(drop(&["--reason", "expected bigint"]), (1, 1));
    assert_eq!(drop(&["--all"]), (1, 0));
    let proofs = verified(&project);
    assert!(proofs.contains("6 in 1 commit = 3 rows, 3 dropped from quarantine"), "{proofs}");
    let status = project.lake(&["status", "--output", "json"]).ok().json();
    assert_eq!((&status["streams"][0]["rejects"], &status["streams"][0]["rows"]), (&0.into(), &3.into()));
    assert_eq!(project.lake(&["quarantine", "list"]).ok().stdout, "nothing is in quarantine\n");
    // What was deleted does not come back by being sent again.
    project.lake(&["produce", "--again"]).ok();
    project.lake(&["bronze", "--once"]).ok();
    verified(&project);
    assert_eq!(csv(&project, "select count(*) as n from bronze.orders__quarantine"), "n\n0\n");
}

#[test]
fn rows_deleted_by_another_program_are_still_found() {
    let project = shop();
    mend(&project);
    redrive(&project, &[]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let folder = url::Url::from_directory_path(project.path().join(".lake/tables/bronze/orders")).unwrap();
    runtime.block_on(async move {
        let objects = Arc::new(object_store::local::LocalFileSystem::new());
        let table: DeltaTable = oracle::open(objects, folder).await;
        table.delete().with_predicate("_offset = 1").await.unwrap();
    });
    let found = project.lake(&["verify"]).fails_with(1).stdout;
    assert!(found.contains("the table holds 4 rows, its commits say 5"), "{found}");
}

#[test]
fn what_the_streams_sql_leaves_out_of_a_redrive_is_filtered() {
    let project = shop();
    mend(&project);
    let sql = project.read("sql/bronze/orders.sql").trim_end().to_string();
    project.write("sql/bronze/orders.sql", format!("{sql} where id <> 'no 5'\n"));
    let done = redrive(&project, &[]);
    let figures = ["records", "rows", "filtered", "stayed"].map(|name| done[name].as_u64().unwrap());
    assert_eq!(figures, [3, 1, 1, 1]);
    let proofs = verified(&project);
    assert!(proofs.contains("6 in 1 commit = 4 rows, 1 quarantined, 1 filtered"), "{proofs}");
}

#[test]
fn a_stream_with_too_many_rejects_ends_with_the_commonest_reason() {
    let mut project = shop();
    project.env("LAKE__BRONZE__MAX_REJECT_RATE", "0.3");
    std::fs::remove_dir_all(project.path().join(".lake/tables/bronze/orders")).unwrap();
    let ended = project.lake(&["bronze", "--once"]).fails_with(1).stderr;
    assert!(ended.contains("of 6 records of `bronze.orders` 3 are rejects: 50%, more than the 30%"), "{ended}");
    assert!(
        ended.contains("most of all (2): column `id`: expected bigint, found \"no 2\", at orders/0 offset 1"),
        "{ended}"
    );
    assert_eq!(csv(&project, "select count(*) as n from bronze.orders"), "n\n0\n");
    // What the contract says counts more.
    contract(&project, "bigint", "        meta: {max_reject_rate: 0.5}\n");
    project.lake(&["bronze", "--once"]).ok();
    assert_eq!(csv(&project, "select count(*) as n from bronze.orders"), "n\n3\n");
}

#[test]
fn redriven_rows_of_a_partitioned_table_land_in_their_partitions() {
    let project = Project::empty();
    project.write(
        "data/orders.jsonl",
        "{\"id\":1,\"region\":\"eu\"}\n{\"id\":\"no 2\",\"region\":\"us\"}\n{\"id\":\"no 3\"}\n",
    );
    project.write("lake.toml", "[[produce]]\nname = \"orders\"\nfiles = [\"data/orders.jsonl\"]\n");
    let contract = |id: &str| {
        let columns = format!("columns: [{{name: id, data_type: {id}}}, {{name: region, data_type: text}}]");
        let table = format!("{{name: orders, meta: {{partition_by: [region]}}, {columns}}}");
        project.write(CONTRACT, format!("sources:\n  - name: bronze\n    tables:\n      - {table}\n"));
    };
    contract("bigint");
    project.lake(&["produce"]).ok();
    project.lake(&["bronze", "--once"]).ok();
    contract("text");
    project.write(
        "sql/bronze/orders.sql",
        "select cast(replace(id, 'no ', '') as bigint) as id, region, _topic, _partition, _offset from batch\n",
    );
    assert_eq!(redrive(&project, &[])["rows"], 2);
    let rows = csv(&project, "select id, region, _offset from bronze.orders order by id");
    assert_eq!(rows, "id,region,_offset\n1,eu,0\n2,us,1\n3,,2\n");
    let folder = project.path().join(".lake/tables/bronze/orders/_quarantined=false");
    let mut regions: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    regions.sort();
    assert_eq!(regions, ["region=__HIVE_DEFAULT_PARTITION__", "region=eu", "region=us"]);
    verified(&project);
}

#[test]
fn a_stream_declared_in_the_wrong_format_is_redriven_and_its_table_grows() {
    let project = Project::empty();
    project.write("data/orders.jsonl", "{\"id\":1,\"note\":\"a\"}\n{\"id\":2}\n");
    project.write("lake.toml", "[[produce]]\nname = \"orders\"\nfiles = [\"data/orders.jsonl\"]\n");
    let contract = |meta: &str, more: &str| {
        let columns = format!("columns: [{{name: id, data_type: bigint}}{more}]");
        let table = format!("{{name: orders, meta: {{{meta}}}, {columns}}}");
        project.write(CONTRACT, format!("sources:\n  - name: bronze\n    tables:\n      - {table}\n"));
    };
    contract("format: csv", "");
    project.lake(&["produce"]).ok();
    project.lake(&["bronze", "--once"]).ok();
    assert_eq!(csv(&project, "select count(*) as n from bronze.orders__quarantine"), "n\n2\n");
    contract("format: json", ", {name: note, data_type: text}");
    let done = redrive(&project, &[]);
    assert_eq!((&done["rows"], &done["version"]), (&2.into(), &2.into()));
    assert_eq!(
        csv(&project, "select id, note, _rescued from bronze.orders order by id"),
        "id,note,_rescued\n1,a,\n2,,\n"
    );
    verified(&project);
}
