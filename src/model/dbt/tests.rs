//! Whole dbt projects, from their folders to models or faults.

use crate::engine::{Engine, EngineConfig};
use crate::error::Result;
use crate::ident::TableName;
use crate::model::{ChangeBy, Materialization, Model, Project, Snapshot};
use arrow::util::pretty::pretty_format_batches;
use std::collections::BTreeMap;

const PROJECT: &str = "\
name: shop
version: '1.0'
profile: any
model-paths: ['queries']
vars:
  flag: false
  shop: {since: 2020}
models:
  +tags: base
  shop:
    materialized: table
    staging: {+materialized: view, +tags: [raw]}
    reports:
      +schema: silver
      old: {+enabled: \"{{ var('flag') }}\"}
  some_package: {+schema: gold}
seeds:
  shop: {+schema: raw, codes: {+column_types: {code: text}, +delimiter: ';'}}
";

fn load_with(files: &[(&str, &str)], vars: &[(&str, &str)]) -> Result<Project> {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        std::fs::create_dir_all(root.path().join(path).parent().unwrap()).unwrap();
        std::fs::write(root.path().join(path), text).unwrap();
    }
    let vars: BTreeMap<String, String> = vars.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
    Project::load(root.path(), &vars, &[])
}

fn load(files: &[(&str, &str)]) -> Result<Project> {
    load_with(&[&[(super::FILE, PROJECT)], files].concat(), &[])
}

fn model<'a>(project: &'a Project, table: &str) -> &'a Model {
    project.model(&TableName::parse(table).unwrap()).unwrap_or_else(|| panic!("no {table}"))
}

/// A query's rows as text, a seed's rows being known.
async fn rows(sql: &str, seed: Option<&Model>) -> Vec<String> {
    let session = Engine::new(&EngineConfig { memory_bytes: 64 << 20, threads: 1 }).unwrap().session();
    if let Some(rows) = seed.and_then(|seed| seed.seed.clone()) {
        session.register_batches(crate::model::SEED_ROWS, rows.schema(), vec![rows]).unwrap();
    }
    let batches = session.query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error} {:?}", error.causes()));
    let text = pretty_format_batches(&batches).unwrap().to_string();
    let lines = text.lines().skip(3).filter(|line| line.starts_with('|'));
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join("|")).collect()
}

#[test]
fn folders_say_layer_materialization_and_tags() {
    let project = load(&[
        ("queries/customers.sql", "select *, {{ var('since') + 1 }} as n from {{ ref('stg_customers') }}"),
        ("queries/a/staging/stg_customers.sql", "select 1 as id"),
        ("queries/staging/stg_late.sql", "select * from {{ ref('shop', 'customers') }}"),
        ("queries/reports/week.sql", "select id from {{ ref('customers') }}"),
        ("queries/reports/old/gone.sql", "select id from {{ ref('nothing') }}"),
        ("queries/reports/named.sql", "{{ config(tags='own') }}select 1 as id"),
        ("queries/s.yml", "models:\n  - {name: named, config: {schema: gold}}\n  - {name: gone}\n"),
        ("models/ignored.sql", "select from"),
    ])
    .unwrap();
    let names = |models: &[Model]| models.iter().map(|model| model.table.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&project.models), ["silver.stg_customers", "gold.customers", "gold.named", "silver.week"]);
    assert_eq!(names(&project.views), ["silver.stg_late"]);
    assert_eq!(project.views[0].tags, ["base", "raw"]);
    assert_eq!(model(&project, "gold.named").tags, ["base", "own"]);
    assert!(model(&project, "gold.customers").sql.contains(" 2021 as n"));
    assert!(project.models.iter().all(|model| model.materialization == Materialization::Table));
    assert_eq!(project.name, "shop");

    let on = [(super::FILE, PROJECT), ("queries/reports/old/gone.sql", "select 1 as id")];
    assert!(load_with(&on, &[]).unwrap().models.is_empty());
    assert_eq!(load_with(&on, &[("flag", "true")]).unwrap().models.len(), 1);
}

#[test]
fn a_contract_may_describe_columns_that_are_not_there() {
    let project = load(&[
        ("queries/a.sql", "select 1 as id"),
        ("queries/notes.md", "# Notes\n{% docs the_id %}\nWho it is.\n{% enddocs %}\n"),
        (
            "queries/s.yml",
            "models:\n  - name: a\n    columns: [{name: gone}, {name: id, description: \"{{ doc('the_id') }}\"}]\n",
        ),
    ])
    .unwrap();
    let a = model(&project, "gold.a");
    assert!(a.contract_describes && !a.contract_enforced);
    assert_eq!(a.columns[1].description, "Who it is.");
}

#[tokio::test]
async fn a_seed_is_typed_and_its_texts_stay() {
    let project = load(&[
        ("seeds/plain.csv", "Id,name,amount,rate,day,at,ok,zip\n1, a ,1.10,1e3,2024-02-29,2024-02-29 10:00:00,true,01234\n2,,99999999999999999.99,2,2024-03-01,2024-03-01 00:00:00.5,FALSE,00001\n"),
        ("seeds/codes/codes.csv", "code;n\n007;5\n1.50;\n"),
        ("seeds/s.yml", "seeds:\n  - name: codes\n    config: {column_types: {n: 'decimal(9,2)'}}\n    columns: [{name: code, tests: [unique]}]\n"),
    ])
    .unwrap();
    let plain = model(&project, "silver.plain");
    let typed = "select *, arrow_typeof(id) as a, arrow_typeof(amount) as b, arrow_typeof(day) as c, arrow_typeof(ok) as d from";
    let found = rows(&format!("{typed} ({}) as x", plain.sql), Some(plain)).await;
    assert_eq!(
        found,
        [
            "1|a|1.10|1000.0|2024-02-29|2024-02-29T10:00:00|true|01234|Int64|Decimal128(38, 2)|Date32|Boolean",
            "2||99999999999999999.99|2.0|2024-03-01|2024-03-01T00:00:00.500|false|00001|Int64|Decimal128(38, 2)|Date32|Boolean"
        ]
    );
    assert_eq!(rows(&format!("select length(name) from ({}) as x", plain.sql), Some(plain)).await, ["3", ""]);
    let codes = model(&project, "silver.codes");
    assert_eq!(rows(&codes.sql, Some(codes)).await, ["007|5.00", "1.50|"]);
    assert_eq!(codes.checks.len(), 1);
    let other = load(&[("seeds/codes/codes.csv", "code;n\n007;5\n1.51;\n")]).unwrap();
    let same_columns = load(&[("seeds/codes/codes.csv", "code;n\n007;5\n1.50;\n")]).unwrap();
    let of = |project: &Project| model(project, "silver.codes").fingerprint();
    assert_ne!(of(&other), of(&same_columns));
    assert_eq!(of(&same_columns), of(&load(&[("seeds/codes/codes.csv", "code;n\n007;5\n1.50;\n")]).unwrap()));
}

#[test]
fn a_source_a_seed_fills_is_the_seed() {
    let project = load(&[
        ("seeds/raw_orders.csv", "id\n1\n"),
        ("queries/o.sql", "select * from {{ source('shop', 'raw_orders') }} join {{ source('shop', 'sent') }} using (id)"),
        (
            "queries/s.yml",
            "sources:\n  - name: shop\n    schema: raw\n    tables:\n      - {name: raw_orders, columns: [{name: id, tests: [not_null]}]}\n      - {name: sent, identifier: shop_sent}\n",
        ),
    ])
    .unwrap();
    let read: Vec<String> = model(&project, "gold.o").upstream.iter().map(TableName::to_string).collect();
    assert_eq!(read, ["bronze.shop_sent", "silver.raw_orders"]);
    assert_eq!((project.sources.len(), model(&project, "silver.raw_orders").checks.len()), (1, 1));
}

#[test]
fn macros_call_each_other_and_return_values() {
    let macros = "\
{% macro cents(column) -%} {{ return(adapter.dispatch('cents', 'shop')(column)) }} {%- endmacro %}
{% macro default__cents(column) %}wrong{% endmacro %}
{% macro postgres__cents(column) -%} ({{ column }} / 100) {%- endmacro %}
{% macro names() %}{% for n in ['x', 'y'] %}{% if n == 'y' %}{{ return([n, 'z']) }}{% endif %}{% endfor %}{% endmacro %}
{% macro depth(n) %}{% if n == 0 %}{{ return('end') }}{% endif %}{{ return('(' ~ depth(n - 1) ~ ')') }}{% endmacro %}
{# {% macro not_one() %} #}
{% macro endless() %}{{ endless() }}{% endmacro %}
{% test positive(model, column_name) %}select * from {{ model }} where {{ column_name }} < 0{% endtest %}
";
    let render = |text: &str| {
        let files = [("macros/sub/m.sql", macros), ("queries/a.sql", text)];
        load(&files).map(|project| model(&project, "gold.a").sql.clone()).map_err(|error| error.to_string())
    };
    let table = [
        ("select {{ cents('a') }} as a", "select (a / 100) as a"),
        ("select {{ shop.cents('a') }} as a", "select (a / 100) as a"),
        ("select {% for n in names() %}'{{ n | upper }}' as {{ n }},{% endfor %} 1", "select 'Y' as y,'Z' as z, 1"),
        ("select '{{ depth(2) }}'", "select '((end))'"),
        (
            "select '{{ target.type }} {{ this.name }} {{ 'A b'.lower() }} {{ {'k': 1}.items() | list | length }}'",
            "select 'lake a a b 1'",
        ),
        ("select '{{ env_var('DBT_ABSENT', 'other') }}' {{ log('x', info=true) }}", "select 'other'"),
    ];
    for (text, expected) in table {
        assert_eq!(render(text).as_deref(), Ok(expected), "{text}");
    }
    let table = [
        (
            "select {{ endless() }}",
            "macros/sub/m.sql:7:25: macros call each other more than 50 deep (called by queries/a.sql)",
        ),
        ("select {{ cents() }}", "macros/sub/m.sql:3:"),
        ("select {{ return(1) }}", "queries/a.sql:1:11: `return` is for macros"),
        ("select {{ exceptions.raise_compiler_error('no such day') }}", "queries/a.sql:1:11: no such day"),
        ("select {{ ref('a', v=2) }}", "versions of models are not offered"),
        ("select {{ dbt_utils.star(ref('a')) }}", "queries/a.sql:1:11: columns are not known while SQL is made"),
    ];
    for (text, expected) in table {
        let found = render(text).unwrap_err();
        assert!(found.contains(expected), "{text}: {found}");
    }
}

/// Values by hand; the key's by md5sum of `1-_dbt_utils_surrogate_key_null_`.
#[tokio::test]
async fn what_is_offered_of_packages_means_what_it_does_there() {
    let table: [(&str, &[&str]); 16] = [
        ("select {{ dbt_utils.generate_surrogate_key(['1', 'null']) }}", &["9902a3dc3ffe71035ef18229afae9987"]),
        (
            "{{ dbt_utils.date_spine('day', \"'2024-02-28'\", \"'2024-03-01'\") }}",
            &["2024-02-28T00:00:00", "2024-02-29T00:00:00"],
        ),
        (
            "select count(*) from ({{ dbt_utils.date_spine(datepart='month', start_date=\"cast('2024-01-31' as date)\", end_date=\"cast('2024-12-01' as date)\") }}) as x",
            &["11"],
        ),
        (
            "{{ dbt_utils.date_spine('month', \"'2024-01-31'\", \"'2024-04-01'\") }}",
            &["2024-01-31T00:00:00", "2024-02-29T00:00:00", "2024-03-31T00:00:00"],
        ),
        (
            "select {{ dbt.dateadd('quarter', 'n + 1', 'd') }}, {{ dbt.dateadd('hour', 'n', 'd') }} from (select 1 as n, date '2024-01-31' as d) as x",
            &["2024-07-31|2024-01-31T01:00:00"],
        ),
        ("select {{ dbt.date_trunc('month', \"date '2024-02-29'\") }}", &["2024-02-01T00:00:00"]),
        (
            "select {{ dbt.dateadd('month', 1, \"date '2024-01-31'\") }}, {{ dbt.dateadd('day', -3, \"timestamp '2024-03-01 10:00:00'\") }}",
            &["2024-02-29|2024-02-27T10:00:00"],
        ),
        (
            "select {{ dbt.datediff(\"date '2023-12-31'\", \"date '2024-01-01'\", 'year') }}, {{ dbt.datediff(\"date '2024-01-01'\", \"date '2023-11-30'\", 'month') }}, {{ dbt.datediff(\"date '2023-12-31'\", \"date '2024-04-01'\", 'quarter') }}",
            &["1|-2|2"],
        ),
        (
            "select {{ dbt.datediff(\"timestamp '2024-01-01 23:59:59'\", \"timestamp '2024-01-02 00:00:00'\", 'day') }}, {{ dbt.datediff(\"timestamp '2024-01-01 23:59:59'\", \"timestamp '2024-01-02 00:00:00'\", 'hour') }}, {{ dbt.datediff(\"date '2024-01-07'\", \"date '2024-01-08'\", 'week') }}",
            &["1|1|1"],
        ),
        (
            "select {{ dbt.last_day(\"date '2024-02-10'\", 'month') }}, {{ dbt.last_day(\"date '2024-02-10'\", 'quarter') }}",
            &["2024-02-29|2024-03-31"],
        ),
        (
            "select {{ dbt.safe_cast(\"'x'\", dbt.type_int()) }}, {{ dbt.concat([\"'a'\", \"'b'\"]) }}, {{ dbt.hash(\"'a'\") }}",
            &["|ab|0cc175b9c0f1b6a831c399e269772661"],
        ),
        ("select {{ dbt.type_string() }} from (select 1 as varchar) as x", &["1"]),
        (
            "select {{ dbt_utils.star(none, relation_alias='x', except=['b']) }} from (select 1 as a, 2 as b, 3 as c) as x",
            &["1|3"],
        ),
        (
            "select k, {{ dbt_utils.pivot('v', ['p', 'q']) }} from (values (1, 'p'), (1, 'p'), (1, 'q')) as x(k, v) {{ dbt_utils.group_by(1) }}",
            &["1|2|1"],
        ),
        ("{{ dbt_utils.deduplicate('(values (1, 2), (1, 1)) as x(k, v)', 'k', 'v') }}", &["1|1"]),
        ("select count(*) >= 31 from ({{ dbt_date.get_base_dates(n_dateparts=31, datepart='day') }}) as x", &["true"]),
    ];
    for (text, expected) in table {
        let project = load(&[("queries/a.sql", text)]).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(rows(&model(&project, "gold.a").sql, None).await, expected, "{text}");
    }
}

#[test]
fn what_would_be_passed_over_wrongly_is_refused_with_its_place() {
    let with = |line: &str| format!("name: shop\n{line}\n");
    let table = [
        (
            "modle-paths: [a]",
            "dbt_project.yml:2:1: unknown key `modle-paths` in dbt_project.yml, did you mean `model-paths`?",
        ),
        ("on-run-start: ['grant x']", "dbt_project.yml:2:15: hooks are not run"),
        ("on-run-start: []", ""),
        (
            "models: {shop: {+materialised: table}}",
            "dbt_project.yml:2:17: unknown config `materialised`, did you mean `materialized`?",
        ),
        ("models: {+post-hook: x}", "dbt_project.yml:2:10: `post-hook` is not offered: hooks are not run"),
        ("models: {shop: {+materialized: cube}}", "dbt_project.yml:2:32: the materialization `cube` is not offered"),
        ("models: {shop: {a: {+enabled: perhaps}}}", "dbt_project.yml:2:31: `enabled` is true or false, not `perhaps`"),
        ("tests: {+severity: warn}", "dbt_project.yml:2:9: `severity` is read at each test, not for whole folders"),
        ("tests: {+store_failures: true}", ""),
        ("model-paths: ['../other']", "dbt_project.yml:2:14: `../other` does not lie in the project"),
        (
            "vars: {a: 1}\nversion: \"{{ var('b') }}\"",
            "dbt_project.yml:3:10: the variable `b` has neither value nor default",
        ),
        ("flags: {x: true}\ndispatch: []\nquoting: {schema: true}", ""),
    ];
    for (line, expected) in table {
        let text = with(line);
        let found = load_with(&[(super::FILE, &text), ("models/a.sql", "select 1 as id")], &[]);
        match found {
            Ok(_) => assert_eq!(expected, "", "{line}"),
            Err(error) => assert!(!expected.is_empty() && error.to_string().contains(expected), "{line}: {error}"),
        }
    }
    let query = load(&[("snapshots/s.sql", "select 1 as id")]).unwrap_err().to_string();
    assert!(query.starts_with("snapshots/s.sql:1:1: there is no `{% snapshot name %}` in this file"), "{query}");
    let elsewhere = "{% snapshot s %}{{ config(target_schema='gold', unique_key='id', strategy='check', check_cols='all') }}select 1 as id{% endsnapshot %}";
    let elsewhere = load(&[("snapshots/s.sql", elsewhere)]).unwrap_err().to_string();
    assert!(
        elsewhere.contains("`schema` makes `silver.s` a gold table only in a contract and in dbt_project.yml\n"),
        "{elsewhere}"
    );
}

#[test]
fn fixtures_lie_below_the_tests_and_are_none() {
    let project = format!("{PROJECT}test-paths: [data-tests]\n");
    let unit = "unit_tests:\n  - name: u\n    model: a\n    given: [{input: ref('b'), format: sql, fixture: one}]\n    expect: {format: csv, fixture: one}\n";
    let files = [
        (super::FILE, project.as_str()),
        ("queries/a.sql", "select id from {{ ref('b') }}"),
        ("queries/b.sql", "select 1 as id"),
        ("queries/u.yml", unit),
        ("data-tests/fixtures/deep/one.sql", "select 1 as id"),
        ("data-tests/fixtures/one.csv", "id\n1\n"),
        ("data-tests/no_a.sql", "select * from {{ ref('a') }}"),
    ];
    let project = load_with(&files, &[]).unwrap();
    let checks: Vec<&str> = project.singular.iter().map(|check| check.name.as_str()).collect();
    assert_eq!((checks, project.unit_tests.len()), (vec!["no_a"], 1));
}

#[test]
fn snapshots_are_read_as_dbt_writes_them() {
    let blocks = "\
{% snapshot history %}
{{ config(target_schema='anything', strategy='timestamp', updated_at='at', materialized='table') }}
select * from {{ ref('orders') }}
{% endsnapshot %}

{#- {% snapshot not_one %} -#}
{% snapshot big %}{{ config(strategy='check', check_cols=['x'], invalidate_hard_deletes=True) }}
select * exclude (dbt_valid_to) from {{ ref('history') }} where {{ this.name }} is null{% endsnapshot %}
";
    let contract = "\
snapshots:
  - name: yearly
    relation: \"source('shop', 'sent')\"
    config: {schema: gold, unique_key: [id, x], strategy: check, check_cols: all, hard_deletes: invalidate, tags: y}
    columns: [{name: id, tests: [not_null]}]
  - {name: big, description: The big ones}
sources: [{name: shop, tables: [{name: sent}]}]
";
    let project = format!("{PROJECT}snapshots:\n  +tags: all\n  shop: {{old: {{h: {{+unique_key: id}}}}}}\n");
    let files = [
        (super::FILE, project.as_str()),
        ("queries/orders.sql", "select 1 as id"),
        ("queries/s.yml", contract),
        ("snapshots/old/h.sql", blocks),
    ];
    let project = load_with(&files, &[]).unwrap();
    let text = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect::<Vec<_>>();
    let (by_time, all) = (ChangeBy::Timestamp("at".into()), ChangeBy::Columns(Vec::new()));
    let table = [
        ("silver.history", text(&["id"]), by_time, false, "gold.orders"),
        ("silver.big", text(&["id"]), ChangeBy::Columns(text(&["x"])), true, "silver.history"),
        ("gold.yearly", text(&["id", "x"]), all, true, "bronze.sent"),
    ];
    for (name, key, by, invalidate_deleted, upstream) in table {
        let model = model(&project, name);
        let snapshot = Snapshot { key, by, invalidate_deleted };
        assert_eq!(model.materialization, Materialization::Snapshot(snapshot), "{name}");
        assert_eq!(model.upstream, [TableName::parse(upstream).unwrap()], "{name}");
    }
    let yearly = model(&project, "gold.yearly");
    assert_eq!((yearly.sql.trim(), yearly.file.to_str()), ("select * from \"bronze\".\"sent\"", Some("queries/s.yml")));
    assert_eq!((yearly.tags.clone(), yearly.checks.len()), (text(&["all", "y"]), 2));
    let big = model(&project, "silver.big");
    assert_eq!((big.description.as_str(), big.sql.contains("where big is null")), ("The big ones", true));
}
