//! Our tables as other engines read them: DuckDB's delta extension, delta-rs for Python, Spark 4 with Delta 4.
//! `tests/interop/setup` installs them.

use crate::support::{Project, left_out};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

const ROWS: i64 = 60;

/// Where `tests/interop/setup` put the engines.
fn cache() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let below =
        || Some(variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))?.join("lake/interop"));
    variable("LAKE_INTEROP_CACHE").or_else(below).filter(|cache| cache.join("python/bin/python").exists())
}

/// Bronze in three commits with quarantined rows in each, Gold with a column of each kind, an append model.
fn shop() -> Project {
    let project = Project::empty();
    project.write("lake.toml", "[[produce]]\nname = \"any\"\nfiles = [\"data/any.csv\"]\n");
    project.write(
        "models/sources.yml",
        "version: 2\nsources:\n  - name: bronze\n    tables:\n      - name: any\n        meta: { topic: any }\n        \
         columns:\n          - { name: id, data_type: bigint }\n          - { name: price, data_type: \"decimal(12,3)\" }\n          \
         - { name: seen, data_type: timestamptz }\n          - { name: opened, data_type: timestamp }\n          \
         - { name: day, data_type: date }\n          - { name: note, data_type: text }\n          \
         - { name: ratio, data_type: double }\n          - { name: good, data_type: boolean }\n",
    );
    project.write(
        "models/silver/seen.sql",
        "{{ config(materialized='append') }}\n\
         select id, price, seen from bronze.any {% if is_incremental() %} where id > (select max(id) from {{ this }}) {% endif %}\n",
    );
    project.write(
        "models/gold/fact_any.sql",
        "select id, cast(note as bytea) as raw, price * 2 as twice, seen, opened, day, ratio, good,\n  \
         cast(id as smallint) as small, array[note, 'x'] as notes, cast(null as text) as nothing\nfrom bronze.any\n",
    );
    let mut rows = String::from("id,price,seen,opened,day,note,ratio,good\n");
    for id in 1..=ROWS {
        let (second, day) = (id % 60, 1 + id % 28);
        rows.push_str(&format!(
            "{id},{id}.{:03},2026-03-{day:02}T10:00:{second:02}.{:06}+02:00,1969-12-31T23:59:{second:02}.000001,\
             19{:02}-02-{day:02},é{id}\u{1F4DA},{}.5e-3,{}\n",
            id % 1000,
            id * 7,
            id % 100,
            id - 30,
            id % 2 == 0
        ));
        if id % 20 == 0 {
            rows.push_str(&format!("none,{id},,,,,,\n"));
            project.write("data/any.csv", &rows);
            project.lake(&["produce"]).ok();
            project.lake(&["bronze", "--once"]).ok();
            project.lake(&["promote", "all"]).ok();
        }
    }
    project
}

fn read(cache: &Path, engine: &str, folders: &[PathBuf]) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/read.py");
    let mut command = Command::new(cache.join("python/bin/python"));
    let output = command.arg(script).arg(engine).arg(cache.join("jars")).args(folders).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{engine}:\n{stderr}");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn engines(cache: &Path) -> Vec<&'static str> {
    let spark = cache.join("jars").read_dir().is_ok_and(|mut jars| jars.next().is_some());
    if !spark {
        left_out("Spark needs Java and Maven when tests/interop/setup is run");
    }
    ["duckdb", "deltars", "spark"].into_iter().filter(|engine| *engine != "spark" || spark).collect()
}

/// What all engines say of these tables, which has to be the same.
fn agreed(cache: &Path, project: &Project, tables: &[&str], when: &str) -> Vec<Value> {
    let folders: Vec<PathBuf> = tables.iter().map(|table| project.path().join(".lake/tables").join(table)).collect();
    let mut found: Option<Vec<Value>> = None;
    for engine in engines(cache) {
        let tables = read(cache, engine, &folders);
        assert_eq!(tables.len(), folders.len(), "{engine}");
        assert_eq!(found.get_or_insert_with(|| tables.clone()), &tables, "{engine}, {when}");
    }
    found.unwrap()
}

#[test]
fn other_engines_read_what_we_wrote() {
    let Some(cache) = cache() else {
        return left_out("other engines reading our tables; tests/interop/setup installs them");
    };
    let project = shop();
    let tables = ["bronze/any", "silver/seen", "gold/fact_any"];
    let fresh = agreed(&cache, &project, &tables, "fresh");
    let (bronze, silver, gold) = (&fresh[0], &fresh[1], &fresh[2]);
    // By hand: three rows have no number for an id, the sum of 1..=60 is 1830.
    assert_eq!(
        (bronze["rows"].as_i64(), silver["rows"].as_i64(), gold["rows"].as_i64()),
        (Some(63), Some(60), Some(60))
    );
    for (table, column, sum) in [
        (bronze, "id", "1830"),
        (bronze, "price", "1831.830"),
        (silver, "price", "1831.830"),
        (gold, "twice", "3663.660"),
        (gold, "small", "1830"),
    ] {
        assert_eq!(table["columns"][column]["sum"], sum, "{column}");
    }
    assert_eq!(
        (bronze["columns"]["id"]["nulls"].as_i64(), gold["columns"]["nothing"]["nulls"].as_i64()),
        (Some(3), Some(60))
    );
    let sql = "select count(*) as n, sum(twice) as s, max(length(encode(raw, 'hex'))) as o from gold.fact_any";
    assert_eq!(project.lake(&["query", "--output", "csv", sql]).ok().stdout, "n,s,o\n60,3663.660,16\n");
    // Merged, with a checkpoint at the end of the log.
    let report = project.lake(&["maintain", "--output", "json"]).ok().json();
    assert_eq!(
        (report["tables"][0]["merged_files"].as_i64(), report["tables"][0]["checkpoint"].as_bool()),
        (Some(6), Some(true))
    );
    assert_eq!(agreed(&cache, &project, &tables, "after maintenance"), fresh);
}

/// A stream of visits by day, with a column that is a whole number of this type.
fn visits(project: &Project, whole: &str) {
    project.write(
        "models/sources.yml",
        format!(
            "version: 2\nsources:\n  - name: bronze\n    tables:\n      - name: visits\n        \
             meta: {{ topic: visits, drift: add, partition_by: [day] }}\n        columns:\n          \
             - {{ name: day, data_type: date }}\n          - {{ name: seconds, data_type: {whole} }}\n          \
             - {{ name: place, data_type: \"struct<city text, at struct<lat double>>\" }}\n          \
             - {{ name: pages, data_type: \"array<struct<path: text, n: int>>\" }}\n"
        ),
    );
}

#[test]
fn other_engines_read_nested_columns_and_those_that_came_later() {
    let Some(cache) = cache() else {
        return left_out("other engines reading nested columns; tests/interop/setup installs them");
    };
    let project = Project::empty();
    project.write("lake.toml", "[[produce]]\nname = \"visits\"\nfiles = [\"data/visits.jsonl\"]\n");
    let mut lines = String::new();
    // The second part carries a field nobody declared, the third one a number that no `int` holds, and no place.
    for (part, whole) in ["int", "int", "bigint"].into_iter().enumerate() {
        visits(&project, whole);
        for n in 0..20_i64 {
            let place = match (part, n % 4) {
                (2, _) => "null".to_string(),
                (_, 0) => r#"{"city":null}"#.to_string(),
                _ => format!(r#"{{"city":"Å{n}","at":{{"lat":{n}.5}}}}"#),
            };
            let pages: Vec<String> = (0..n % 3).map(|page| format!(r#"{{"path":"/{page}","n":{n}}}"#)).collect();
            let (later, seconds) = match part {
                0 => (String::new(), n),
                1 => (format!(r#","agent":"browser {n}""#), n),
                _ => (String::new(), 5_000_000_000 + n),
            };
            let day = 1 + n % 3;
            lines.push_str(&format!(
                "{{\"day\":\"2026-03-{day:02}\",\"seconds\":{seconds},\"place\":{place},\"pages\":[{}]{later}}}\n",
                pages.join(",")
            ));
        }
        project.write("data/visits.jsonl", &lines);
        project.lake(&["produce"]).ok();
        project.lake(&["bronze", "--once"]).ok();
    }
    let fresh = agreed(&cache, &project, &["bronze/visits"], "fresh");
    let columns = &fresh[0]["columns"];
    // By hand: 0..20 three times is 570, and 20 of them have five thousand million more.
    assert_eq!((fresh[0]["rows"].as_i64(), &columns["seconds"]["sum"]), (Some(60), &Value::from("100000000570")));
    let nulls = |column: &str| columns[column]["nulls"].as_i64();
    assert_eq!((nulls("agent"), nulls("place"), nulls("pages")), (Some(40), Some(20), Some(0)));
    project.lake(&["maintain"]).ok();
    assert_eq!(agreed(&cache, &project, &["bronze/visits"], "after maintenance"), fresh);
}
