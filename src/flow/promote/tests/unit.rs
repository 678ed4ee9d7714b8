//! Unit tests of models: given rows, expected rows, and how a difference is told.

use super::*;
use crate::engine::EngineConfig;
use crate::flow::select;
use crate::flow::unit::{UnitReport, unit};
use std::collections::BTreeMap;

const SOURCES: &str = "sources:
  - name: shop
    tables:
      - name: sales
        columns: [{name: id, data_type: bigint}, {name: at, data_type: date}, {name: price, data_type: 'decimal(9,2)'}]
      - name: loose
";
const DAYS: &str = "{{ config(materialized='append') }}select at, count(*) as n, sum(price) as total, \
                    '{{ var('mark', 'm') }}' as mark from bronze.sales s \
                    {% if is_incremental() %}where at > (select max(at) from {{ this }}){% endif %} group by at";

/// The unit tests of a project with these entries below `unit_tests:`, and no lake anywhere.
async fn outcome(tests: &str) -> (Vec<UnitReport>, Option<Error>) {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("models/sources.yml", SOURCES);
    write("models/silver/days.sql", DAYS);
    write("models/silver/plain.sql", "select id, name from bronze.loose");
    write("models/gold/top.sql", "select at, n, total / 2 as half from silver.days where n > 1");
    write("tests/fixtures/two_days.csv", "id,at,price\n1,2024-01-01,1.50\n2,2024-01-01,\n3,2024-01-02,0.10\n");
    write("tests/fixtures/deep/one_day.sql", "-- of June\nselect date '2024-06-01' as at, '7.25' as price, 1 as id;\n");
    write("models/unit.yml", &format!("unit_tests:\n{tests}"));
    let project = Project::load(root.path(), &BTreeMap::new(), &[]).unwrap();
    let engine = Engine::new(&EngineConfig { memory_bytes: 64 << 20, threads: 1 }).unwrap();
    let everything = select::parse(&[], &[]).unwrap();
    unit(&project, &engine, &everything, &Progress::silent(), &Stop::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_in_any_form_and_order_are_compared() {
    let (reports, failure) = outcome(
        "  - name: by_day
    model: days
    given:
      - {input: \"source('shop', 'sales')\", format: csv, fixture: two_days}
    expect:
      rows:
        - {at: 2024-01-02, n: 1, total: 0.1}
        - {at: 2024-01-01, n: 2, total: '1.50', mark: m}
        
  - name: grows
    model: days
    overrides: {macros: {is_incremental: true}, vars: {mark: x}}
    given:
      - {input: this, rows: [{at: 2024-01-01}]}
      - input: source('shop', 'sales')
        format: csv
        rows: |
          at,price
          2024-01-01,5
          2024-01-03,
    expect: {rows: [{at: 2024-01-03, total: null, mark: x}]}
  - name: typed_by_its_query
    model: top
    given: [{input: ref('days'), rows: [{at: 2024-01-01, n: 2, total: 3}, {n: 1}]}]
    expect: {rows: [{half: 1.5, at: 2024-01-01}]}
  - name: typed_by_values
    model: plain
    given: [{input: \"source('shop', 'loose')\", rows: [{id: 7, name: seven}, {id: 8}]}]
    expect: {format: csv, rows: \"id,name\\n8,\\n7,seven\\n\"}
  - name: nothing
    model: plain
    given: [{input: \"source('shop', 'loose')\", format: csv, rows: \"id,name\\n\"}]
    expect: {rows: []}
"
        .replace("{at: 2024-01-02, n: 1, total: 0.1}", "{at: 2024-01-02, n: 1, total: 0.1, mark: m}")
        .as_str(),
    )
    .await;
    assert!(failure.is_none(), "{failure:?}");
    assert_eq!(reports.len(), 5);
    assert!(reports.iter().all(|report| report.passed));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_may_be_queries() {
    let (reports, failure) = outcome(
        "  - name: of_a_file
    model: days
    given: [{input: \"source('shop', 'sales')\", format: sql, fixture: one_day}]
    expect: {format: sql, rows: \"select 1 as n, 7.25 as total union all select 1, 7.25 where false\"}
  - name: untyped
    model: plain
    given: [{input: \"source('shop', 'loose')\", format: sql, rows: \"select 7 as id, cast(null as text) as name\"}]
    expect: {format: sql, rows: \"select cast(7 as smallint) as id, null as name\"}
  - name: not_rounded
    model: plain
    given: [{input: \"source('shop', 'loose')\", format: sql, rows: \"select 7 as id, 'x' as name\"}]
    expect: {format: sql, rows: \"select 7.5 as id\"}
  - name: not_run
    model: plain
    given: [{input: \"source('shop', 'loose')\", format: sql, rows: \"select nothing as id\"}]
    expect: {rows: []}
",
    )
    .await;
    assert_eq!(
        reports.iter().map(|report| report.passed).collect::<Vec<_>>(),
        [true, true, false, false],
        "{failure:?}"
    );
    let message = |at: usize| reports[at].message.clone().unwrap();
    assert!(message(2).contains("a value of column `id` does not fit bigint"), "{}", message(2));
    assert!(message(3).starts_with("models/unit.yml:16:67: "), "{}", message(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_is_shown_row_by_row() {
    let (reports, failure) = outcome(
        "  - name: wrong
    model: plain
    given: [{input: \"source('shop', 'loose')\", rows: [{id: 7, name: seven}, {id: 8}, {id: 8}]}]
    expect: {rows: [{id: 7, name: eight}, {id: 8, name: null}]}
  - name: no_such_column
    model: plain
    given: [{input: \"source('shop', 'loose')\", rows: [{id: 7, name: seven}]}]
    expect: {rows: [{nam: x}]}
  - name: no_such_input_column
    model: top
    given: [{input: ref('days'), rows: [{n: 2, totl: 3}]}]
    expect: {rows: []}
  - name: misfit
    model: top
    given: [{input: ref('days'), rows: [{n: many}]}]
    expect: {rows: []}
",
    )
    .await;
    let message = |at: usize| reports[at].message.clone().unwrap();
    let diff = "1 missing, 2 unexpected\n            id  name\n  expected  7   eight\n  actual    7   seven\n  actual    8   NULL";
    assert_eq!(message(0), diff);
    let start = "models/unit.yml:9:20: the model returns no column `nam`, did you mean `name`?";
    assert!(message(1).starts_with(start), "{}", message(1));
    assert!(message(2).contains("`silver.days` has no column `totl`, did you mean `total`?"), "{}", message(2));
    assert!(message(3).contains("a value of column `n` does not fit bigint"), "{}", message(3));
    let failure = failure.unwrap();
    assert_eq!(failure.kind(), Kind::CheckFailed);
    assert!(failure.to_string().contains("unit test `wrong` of `silver.plain`: 1 missing"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_built_after_its_unit_tests() {
    let units = "unit_tests:
  - name: doubled
    model: silver.sales
    given: [{input: \"source('bronze', 'sales')\", rows: [{id: 7, book: 1, amount: 2}]}]
    expect: {rows: [{id: 7, amount: 3}]}
  - name: chosen
    model: big
    given: [{input: ref('sales'), rows: [{id: 7, amount: 2}, {id: 8, amount: 9}]}]
    expect: {rows: [{id: 8}]}
";
    let view = "{{ config(materialized='view') }}select id from silver.sales where amount > 5";
    let shop = Shop::open(&[
        ("models/gold/big.sql", view),
        ("models/gold/top.sql", "select count(*) as n from gold.big"),
        ("models/unit.yml", units),
    ])
    .await;
    let (report, failure) = shop.fails().await;
    let of = |report: &Report, name: &str| report.models.iter().find(|model| model.table == name).unwrap().status;
    assert_eq!(of(&report, "silver.sales"), ModelStatus::Failed);
    assert_eq!((of(&report, "gold.top"), of(&report, "silver.books")), (ModelStatus::Blocked, ModelStatus::Built));
    assert!(failure.to_string().starts_with("unit test `doubled` of `silver.sales`: 1 missing"), "{failure}");
    assert!(shop.read("target/run_results.json").contains("unit_test.lake.doubled"));
    shop.write("models/unit.yml", &units.replace("amount: 3", "amount: 2"));
    let report = shop.all().await;
    assert_eq!(report.unit_tests.iter().map(|test| test.name.as_str()).collect::<Vec<_>>(), ["doubled", "chosen"]);
    assert!(shop.read("target/manifest.json").contains("unit_test.lake.chosen"));
    assert!(shop.all().await.unit_tests.is_empty(), "nothing was to be built");
}
