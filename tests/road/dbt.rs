//! A dbt project on the road: no `lake.toml`, seeds instead of streams, dbt's files and its last line.
//!
//! The shapes below are written from dbt's published JSON schemas, run-results v6 and manifest v12: the keys an object
//! may have where the schema allows no others, and those it must have.

use crate::support::Project;
use serde_json::Value;
use std::collections::BTreeSet;

const FILES: [(&str, &str); 8] = [
    (
        "dbt_project.yml",
        "name: shop\nprofile: shop\nmodels:\n  shop: {+materialized: table, staging: {+materialized: view}}\n",
    ),
    ("seeds/raw_orders.csv", "id,customer,status,cents\n1,7,placed,150\n2,7,returned,50\n3,8,placed,99\n"),
    ("macros/money.sql", "{% macro euros(column) %}(cast({{ column }} as decimal(16, 2)) / 100){% endmacro %}\n"),
    (
        "models/staging/stg_orders.sql",
        "select id, customer, status, {{ euros('cents') }} as euros from {{ ref('raw_orders') }}\n",
    ),
    (
        "models/customers.sql",
        "{% set kinds = ['placed', 'returned'] %}\nselect customer{% for kind in kinds %},\n    sum(case when status = '{{ kind }}' then euros else 0 end) as {{ kind }}\n{%- endfor %}\nfrom {{ ref('stg_orders') }} group by customer\n",
    ),
    ("models/docs.md", "{% docs who %}\nWho bought.\n{% enddocs %}\n"),
    (
        "models/schema.yml",
        "models:\n  - name: customers\n    columns:\n      - {name: customer, description: '{{ doc(\"who\") }}', tests: [unique, not_null]}\n      - name: never_there\n  - name: stg_orders\n    columns:\n      - {name: customer, tests: [{relationships: {to: ref('customers'), field: customer}}]}\n",
    ),
    ("tests/no_loss.sql", "select * from {{ ref('customers') }} where placed < 0\n"),
];

fn project() -> Project {
    let project = Project::empty();
    FILES.iter().for_each(|(path, text)| drop(project.write(path, text)));
    project
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Whether an object has all keys it must have and none that it may not.
fn fits(value: &Value, must: &[&str], may: &[&str]) {
    let (found, must): (_, BTreeSet<&str>) = (keys(value), must.iter().copied().collect());
    let known: BTreeSet<&str> = must.iter().chain(may).copied().collect();
    assert!(found.is_superset(&must), "{value} lacks {:?}", must.difference(&found));
    assert!(found.is_subset(&known), "{value} has {:?}", found.difference(&known));
}

const METADATA: [&str; 8] =
    ["dbt_version", "generated_at", "invocation_id", "env", "project_name", "project_id", "user_id", "adapter_type"];
const NODE: [&str; 11] = [
    "database",
    "schema",
    "name",
    "resource_type",
    "package_name",
    "path",
    "original_file_path",
    "unique_id",
    "fqn",
    "alias",
    "checksum",
];
const NODE_MAY: [&str; 9] = [
    "config",
    "tags",
    "description",
    "columns",
    "relation_name",
    "raw_code",
    "compiled",
    "compiled_code",
    "depends_on",
];

#[test]
fn a_dbt_project_is_built_as_it_is() {
    let project = project();
    let built = project.lake(&["promote", "all"]).ok();
    assert_eq!(built.stderr.trim_end().lines().last(), Some("Done. PASS=7 WARN=0 ERROR=0 SKIP=0 TOTAL=7"));
    let found = project.lake(&["query", "--output", "csv", "select * from gold.customers order by 1"]).ok().stdout;
    assert_eq!(found, "customer,placed,returned\n7,1.500000,0.500000\n8,0.990000,0.000000\n");

    let again = project.lake(&["promote", "all"]).ok().stderr;
    assert!(again.contains("Done. PASS=0 WARN=0 ERROR=0 SKIP=0 NO-OP=7 TOTAL=7"), "{again}");
    project.write("seeds/raw_orders.csv", "id,customer,status,cents\n1,7,placed,-1\n");
    let failed = project.lake(&["promote", "all"]).fails_with(1).stderr;
    assert!(failed.contains("Done. PASS=5 WARN=0 ERROR=2 SKIP=0 TOTAL=7"), "{failed}");
    let tested = project.lake(&["test"]).ok().stderr;
    assert!(tested.contains("Done. PASS=4 WARN=0 ERROR=0 SKIP=0 TOTAL=4"), "{tested}");
    // It has no stream, which is an error in other projects.
    let status = project.lake(&["status"]).ok().stdout;
    assert!(status.contains("gold.customers"), "{status}");
}

#[test]
fn its_files_have_the_shape_dbt_published() {
    let project = project();
    project.lake(&["promote", "all"]).ok();
    let results: Value = serde_json::from_str(&project.read("target/run_results.json")).unwrap();
    let manifest: Value = serde_json::from_str(&project.read("target/manifest.json")).unwrap();

    fits(&results, &["metadata", "results", "elapsed_time"], &["args"]);
    fits(&results["metadata"], &["dbt_schema_version"], &METADATA[..4]);
    let of_result = [
        "status",
        "timing",
        "thread_id",
        "execution_time",
        "adapter_response",
        "message",
        "failures",
        "unique_id",
        "compiled",
        "compiled_code",
        "relation_name",
    ];
    let ids: BTreeSet<&str> = results["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| {
            fits(result, &of_result, &[]);
            assert!(["success", "pass"].contains(&result["status"].as_str().unwrap()), "{result}");
            result["unique_id"].as_str().unwrap()
        })
        .collect();

    let must = [
        "metadata",
        "nodes",
        "sources",
        "macros",
        "docs",
        "exposures",
        "metrics",
        "groups",
        "selectors",
        "disabled",
        "parent_map",
        "child_map",
        "group_map",
        "saved_queries",
        "semantic_models",
        "unit_tests",
    ];
    fits(&manifest, &must, &[]);
    fits(&manifest["metadata"], &["dbt_schema_version"], &METADATA);
    assert_eq!(keys(&manifest["nodes"]), ids);
    for node in manifest["nodes"].as_object().unwrap().values() {
        let may: &[&str] = match node["resource_type"].as_str().unwrap() {
            "model" => &["language", "contract"],
            "seed" => &[],
            _ => &["test_metadata", "attached_node"],
        };
        fits(node, &NODE, &[&NODE_MAY, may].concat());
        fits(&node["checksum"], &["name", "checksum"], &[]);
    }
    let customers = &manifest["nodes"]["model.lake.gold.customers"];
    assert_eq!(customers["columns"]["customer"]["description"], "Who bought.");
    assert_eq!(
        manifest["parent_map"]["model.lake.gold.customers"],
        serde_json::json!(["model.lake.silver.stg_orders"])
    );
    let children = &manifest["child_map"]["seed.lake.silver.raw_orders"];
    // The test of the view reads what the view reads.
    let test = "test.lake.relationships_stg_orders_customer__customer__customers";
    assert_eq!(children, &serde_json::json!(["model.lake.silver.stg_orders", test]));
}

const HISTORY: &str = "{{ config(unique_key='sku', strategy='timestamp', updated_at='at', target_schema='snapshots') }}
select * from {{ ref('prices') }}";

/// With prices and their history, built once.
fn project_with_history() -> Project {
    let project = project();
    project.write("snapshots/prices.sql", format!("{{% snapshot price_history %}}\n{HISTORY}\n{{% endsnapshot %}}\n"));
    project.write(
        "snapshots/more.yml",
        "snapshots:\n  - name: price_kept\n    relation: ref('prices')\n    config: {unique_key: sku, strategy: check, check_cols: all, hard_deletes: invalidate}\n",
    );
    project.write(
        "models/price_now.sql",
        "select sku, price from {{ ref('price_history') }} where dbt_valid_to is null\n",
    );
    project.write("seeds/prices.csv", "sku,price,at\nA,1.00,2024-01-01 00:00:00\nB,2.00,2024-01-01 00:00:00\n");
    project.lake(&["promote", "all"]).ok();
    project
}

#[test]
fn snapshots_keep_the_history_of_rows() {
    let project = project_with_history();
    project.write("seeds/prices.csv", "sku,price,at\nA,1.50,2024-02-01 00:00:00\nC,3.00,2024-02-01 00:00:00\n");
    project.lake(&["promote", "all"]).ok();

    let asked = |sql: &str| project.lake(&["query", "--output", "csv", sql]).ok().stdout;
    let days = "cast(dbt_valid_from as date) as since, cast(dbt_valid_to as date) as until";
    assert_eq!(
        asked(&format!("select sku, price, {days} from silver.price_history order by sku, since")),
        "sku,price,since,until\nA,1.00,2024-01-01,2024-02-01\nA,1.50,2024-02-01,\nB,2.00,2024-01-01,\nC,3.00,2024-02-01,\n"
    );
    assert_eq!(asked("select * from gold.price_now order by 1"), "sku,price\nA,1.50\nB,2.00\nC,3.00\n");
    assert_eq!(
        asked("select sku, price, dbt_valid_to is null as stands from silver.price_kept order by 1, 2"),
        "sku,price,stands\nA,1.00,false\nA,1.50,true\nB,2.00,false\nC,3.00,true\n"
    );
}

#[test]
fn a_snapshot_is_one_in_the_files_of_dbt_too() {
    let project = project_with_history();
    let manifest: Value = serde_json::from_str(&project.read("target/manifest.json")).unwrap();
    let node = &manifest["nodes"]["snapshot.lake.silver.price_history"];
    fits(node, &NODE, &[&NODE_MAY[..], &["language", "contract"]].concat());
    assert_eq!((&node["resource_type"], &node["config"]["materialized"]), (&"snapshot".into(), &"snapshot".into()));
    assert_eq!((&node["config"]["strategy"], &node["config"]["updated_at"]), (&"timestamp".into(), &"at".into()));
    assert_eq!(node["raw_code"], HISTORY);
    let parents = &manifest["parent_map"]["model.lake.gold.price_now"];
    assert_eq!(parents, &serde_json::json!(["snapshot.lake.silver.price_history"]));
    let results: Value = serde_json::from_str(&project.read("target/run_results.json")).unwrap();
    let mut ids = results["results"].as_array().unwrap().iter().map(|result| &result["unique_id"]);
    assert!(ids.any(|id| id == "snapshot.lake.silver.price_kept"), "{results}");
}

#[test]
fn a_snapshot_that_failed_is_retried() {
    let project = project_with_history();
    let tested = |values: &str| {
        let test = format!("{{name: sku, tests: [{{accepted_values: {{values: [{values}]}}}}]}}");
        project.write("snapshots/tests.yml", format!("snapshots:\n  - {{name: price_history, columns: [{test}]}}\n"));
    };
    tested("A");
    project.lake(&["promote", "all"]).fails_with(1);
    tested("A, B");
    let report = project.lake(&["retry", "--output", "json"]).ok().json();
    let built = |model: &&Value| model["table"] == "silver.price_history" && model["status"] == "built";
    assert_eq!(report["models"].as_array().unwrap().iter().filter(built).count(), 1, "{report}");
}

#[test]
fn functions_are_listed_with_what_they_do() {
    let project = Project::empty();
    let text = project.lake(&["functions", "date_trunc"]).ok().stdout;
    assert!(text.starts_with("date_trunc(precision, expression) (also datetrunc)  scalar\n    Truncates"), "{text}");
    let all = project.lake(&["functions", "--output", "json"]).ok().json();
    let named = |name: &str| all["functions"].as_array().unwrap().iter().find(|found| found["name"] == name).cloned();
    assert_eq!(named("parse_decimal").unwrap()["syntax"], "parse_decimal(text, precision, scale [, marks])");
    assert_eq!(named("json_as_text").unwrap()["syntax"], "json_as_text(json, path...)");
    let of_json = project.lake(&["functions", "get_json_object"]).ok().stdout;
    let others = "json_extract_string, json_extract_path_text, get_json_object";
    assert!(
        of_json.starts_with(&format!("json_as_text(json, path...) (also {others})  scalar\n    Any value")),
        "{of_json}"
    );
    let kinds = ["md5", "sum", "row_number"].map(|name| named(name).unwrap()["kind"].clone());
    assert_eq!(kinds, ["scalar", "aggregate", "window"]);
    let is_table = |found: &Value| found["name"] == "generate_series" && found["kind"] == "table";
    assert!(all["functions"].as_array().unwrap().iter().any(is_table));
    let unknown = project.lake(&["functions", "date_trunk"]).fails_with(78).stderr;
    assert!(unknown.contains("did you mean `date_trunc`?"), "{unknown}");
}
