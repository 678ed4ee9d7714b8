//! Whole projects, from files to models or faults.

use super::*;
use crate::check::Severity;

const SOURCES: &str = "\
version: 2
sources:
  - name: shop
    tables:
      - name: books
        description: as sent
        meta: {topic: shop.books, owner: us}
        columns:
          - {name: id, data_tests: [not_null]}
      - name: sales
";

fn load(files: &[(&str, &str)]) -> Result<Project> {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        std::fs::create_dir_all(root.path().join(path).parent().unwrap()).unwrap();
        std::fs::write(root.path().join(path), text).unwrap();
    }
    Project::load(root.path(), &BTreeMap::new(), &[])
}

fn fault(files: &[(&str, &str)]) -> String {
    let sources = [("models/sources.yml", SOURCES)];
    load(&[&sources, files].concat()).unwrap_err().to_string()
}

fn tables(tables: &[TableName]) -> Vec<String> {
    tables.iter().map(TableName::to_string).collect()
}

#[test]
fn a_whole_project_is_read() {
    let schema = "\
models:
  - name: fact_sale
    description: one line of a receipt
    config: {materialized: append, driven_by: sales, tags: nightly}
    data_tests:
      - unique: {columns: [sale, line]}
      - dbt_utils.unique_combination_of_columns:
          arguments: {combination_of_columns: [sale, book]}
          config: {severity: warn, where: book > 0}
    columns:
      - name: sale
        tests: [not_null]
      - name: line
        tests:
          - not_null
      - name: book
        tests:
          - relationships: {to: ref('dim_book'), field: book_id}
          - accepted_values:
              name: known_books
              values: [1, 2]
              quote: false
";
    let project = load(&[
        ("models/sources.yml", SOURCES),
        ("models/gold/fact_sale.sql", "select * from sales s join silver.books using (id)"),
        ("models/gold/schema.yml", schema),
        ("models/marts/dim_book.sql", "with x as (select * from {{ ref('books') }}) select * from x;"),
        ("models/silver/books.sql", "select * from books union all select * from bronze.books__quarantine"),
        ("sql/checks/no_loss.sql", "{{ config(severity='warn') }}select * from fact_sale, bronze.sales"),
        ("sql/bronze/sales.sql", "select * from batch"),
        ("sql/warehouse/01_roles.sql", "create role reader"),
    ])
    .unwrap();

    let order: Vec<String> = project.models.iter().map(|model| model.table.to_string()).collect();
    assert_eq!(order, ["silver.books", "gold.dim_book", "gold.fact_sale"]);
    let [books, dim_book, fact] = project.models.as_slice() else { panic!() };
    assert_eq!(books.sql, r#"select * from "bronze".books union all select * from bronze.books__quarantine"#);
    assert_eq!(tables(&books.upstream), ["bronze.books"]);
    assert_eq!(dim_book.sql, r#"with x as (select * from "silver"."books") select * from x"#);
    assert_eq!(tables(&fact.upstream), ["bronze.sales", "silver.books"]);
    let Materialization::Incremental(incremental) = &fact.materialization else { panic!("{fact:?}") };
    assert_eq!(
        (&incremental.strategy, tables(incremental.driven_by.as_slice())),
        (&Strategy::Append, vec!["bronze.sales".to_string()])
    );
    assert_eq!(fact.tags, ["nightly"]);
    assert_eq!(fact.primary_key(), Some(vec!["sale".into(), "line".into()]));
    assert_eq!(dim_book.primary_key(), None);
    let names: Vec<&str> = fact.checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "not_null_fact_sale_sale",
            "not_null_fact_sale_line",
            "relationships_fact_sale_book__book_id__dim_book",
            "known_books",
            "unique_fact_sale_sale_line",
            "unique_fact_sale_sale_book"
        ]
    );
    assert_eq!(fact.checks[5].options.severity, Severity::Warn);
    assert_eq!(fact.checks[5].options.filter.as_deref(), Some("book > 0"));

    assert_eq!(project.sources[0].stream.topics, Topics::one("shop.books"));
    assert_eq!(project.sources[0].checks[0].name, "source_not_null_bronze_books_id");
    assert_eq!(project.sources[1].stream.topics, Topics::one("sales"));
    assert_eq!(project.sources[1].stream_sql.as_ref().unwrap().1, "select * from batch");
    let singular = &project.singular[0];
    assert_eq!((singular.table.to_string(), singular.options.severity), ("gold.fact_sale".to_string(), Severity::Warn));
    assert_eq!(tables(&singular.tables()), ["gold.fact_sale", "bronze.sales"]);
    assert_eq!(project.warehouse_sql[0].0, Path::new("sql/warehouse/01_roles.sql"));
}

#[test]
fn both_renderings_count_for_what_a_model_reads() {
    let text = "{{ config(materialized='append') }}select * from bronze.sales\n\
        {% if is_incremental() %}where at > (select max(at) from {{ this }}) and id in (select id from books){% endif %}";
    let project = load(&[("models/sources.yml", SOURCES), ("models/silver/new.sql", text)]).unwrap();
    let model = &project.models[0];
    assert_eq!(tables(&model.upstream), ["bronze.books", "bronze.sales"]);
    assert_eq!(model.statement(false), "select * from bronze.sales");
    assert!(model.statement(true).contains(r#"from "silver"."new") and id in (select id from "bronze".books)"#));
}

#[test]
fn what_meta_says_of_a_stream_is_read_or_named() {
    let load = |meta: &str| {
        let contract = format!("sources: [{{name: s, tables: [{{name: t, meta: {{{meta}}}}}]}}]");
        load(&[("models/sources.yml", &contract)]).map(|mut project| project.sources.remove(0).stream)
    };
    let topics = |meta: &str| load(meta).unwrap().topics;
    assert_eq!(topics("topics: [b, a]"), Topics::named(vec!["a".into(), "b".into()]).unwrap());
    assert_eq!(topics("topics: a"), topics("topic: a"));
    assert_eq!(topics("topic_pattern: 'sales_.*'"), Topics::matching("sales_.*").unwrap());
    let only = |by, is: &[&str]| Some(Only { by, is: is.iter().map(|kind| kind.to_string()).collect() });
    let header = load("only: {header: type, is: [order, refund]}, partition_by: [day]").unwrap();
    assert_eq!(header.only, only(KindBy::Header("type".into()), &["order", "refund"]));
    assert_eq!(header.partition_by, ["day"]);
    assert_eq!(load("only: {field: kind, is: 7}").unwrap().only, only(KindBy::Field("kind".into()), &["7"]));
    let faults = [
        ("only: {header: a, field: b, is: [c]}", "`only` takes a `header` or a `field`"),
        ("only: {header: a}", "in `is` the values"),
        ("only: {heder: a, is: [b]}", "unknown key `heder` in `only`, did you mean `header`?"),
        ("topic: a, topics: [b]", "`topic` names the topics already"),
        ("topics: [a, a]", "the topic `a` stands there twice"),
        ("topics: []", "`topics` names no topic"),
        ("topic_pattern: 'a['", "is no regular expression: unclosed character class"),
        ("topic_patern: a", "`meta` has no `topic_patern`, did you mean `topic_pattern`?"),
    ];
    for (meta, expected) in faults {
        let fault = load(meta).unwrap_err().to_string();
        assert!(fault.contains(expected), "{meta}: {fault}");
    }
}

#[test]
fn faults_show_place_line_and_caret() {
    let table: [(&[(&str, &str)], &str); 9] = [
        (
            &[("models/sources.yml", "sources: [{name: s, tables: [{name: t, meta: {owner: me, topik: x}}]}]")],
            "models/sources.yml:1:58: `meta` has no `topik`, did you mean `topic`?\n  \
             1 | sources: [{name: s, tables: [{name: t, meta: {owner: me, topik: x}}]}]\n    |                                                          ^",
        ),
        (
            &[("models/silver/x.sql", "select *\nfrom bronze.bookz b")],
            "models/silver/x.sql:2:6: unknown table `bronze.bookz`, did you mean `bronze.books`?\n  \
             2 | from bronze.bookz b\n    |      ^",
        ),
        (
            &[("models/silver/a.sql", "select * from b"), ("models/silver/b.sql", "select *\n  from silver.a")],
            "models/silver/a.sql:1:15: the models read each other in a circle: silver.a -> silver.b -> silver.a\n  \
             1 | select * from b\n    |               ^",
        ),
        (
            &[("models/silver/a.sql", "select * from gold.b"), ("models/gold/b.sql", "select 1")],
            "models/silver/a.sql:1:15: a silver model cannot read `gold.b`, which is a gold table\n  \
             1 | select * from gold.b\n    |               ^",
        ),
        (
            &[("models/silver/a.sql", "{{ config(tags='x') }} select * from {{ ref('a') }}")],
            "models/silver/a.sql:1:38: `silver.a` reads itself, which is possible only inside \
             `{% if is_incremental() %}`\n  1 | {{ config(tags='x') }} select * from {{ ref('a') }}\n    | \
             \u{20}                                    ^",
        ),
        (
            &[("models/silver/a.sql", "select 1"), ("models/schema.yml", "models:\n  - name: aa\n")],
            "models/schema.yml:2:11: no model file is named `aa.sql`, did you mean `a`?\n  \
             2 |   - name: aa\n    |           ^",
        ),
        (
            &[
                ("models/silver/a.sql", "select 1 as x"),
                ("models/s.yml", "models:\n  - name: a\n    columns:\n      - {name: x, tests: [not_nul]}\n"),
            ],
            "models/s.yml:4:27: unknown test `not_nul`, did you mean `not_null`? (known are not_null, unique, \
             accepted_values, accepted_range, relationships, expression_is_true, row_count, \
             dbt_utils.unique_combination_of_columns, dbt_utils.expression_is_true, dbt_utils.accepted_range, \
             dbt_utils.not_empty_string, dbt_expectations.expect_table_row_count_to_be_between; others go into macros/)\n  \
             4 |       - {name: x, tests: [not_nul]}\n    |                           ^",
        ),
        (
            &[("models/s.yml", "models:\n  - name: a\n    colums: []\n"), ("models/silver/a.sql", "select 1")],
            "models/s.yml:3:5: unknown key `colums` in a model, did you mean `columns`? (known are name, \
             description, config, columns, constraints, tests, data_tests, docs, access, group, latest_version, deprecation_date, \
             time_spine, meta)\n  3 |     colums: []\n    |     ^",
        ),
        (
            &[("models/other/a.sql", "select 1")],
            "models/other/a.sql:1:1: a model lies below models/silver or models/gold (or staging, intermediate, \
             marts)\n  1 | select 1\n    | ^",
        ),
    ];
    for (files, expected) in table {
        assert_eq!(fault(files), expected);
    }
}

#[test]
fn every_fault_is_reported_at_once() {
    let text = fault(&[
        ("models/silver/a.sql", "select * from nothing_like_it, bronze.bookz"),
        ("models/gold/b.sql", "select {{ broken"),
        ("sql/bronze/unknown.sql", "select 1"),
        (
            "models/s.yml",
            "models:\n  - name: a\n    columns:\n      - name: x\n        tests:\n          - relationships: {to: ref('q'), field: y}\n",
        ),
    ]);
    assert!(text.starts_with("5 faults in the project\n"), "{text}");
    for part in ["unknown table `nothing_like_it`", "`bronze.bookz`", "gold/b.sql:1", "no Bronze table", "s.yml:6:33"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn test_arguments_are_checked() {
    let below = |test: &str| {
        let yaml = format!("models:\n  - name: a\n    columns:\n      - name: x\n        tests:\n          - {test}\n");
        fault(&[("models/silver/a.sql", "select 1 as x"), ("models/s.yml", &yaml)])
    };
    for (test, part) in [
        ("accepted_values", "`accepted_values` needs `values`"),
        ("accepted_values: {values: []}", "`values` is empty"),
        ("accepted_values: {values: [a b], quote: false}", "`a b` is no number"),
        ("relationships: {to: ref('a')}", "`relationships` needs `field`"),
        ("relationships: {to: 'join(a)', field: x}", "`join(a)` is no table"),
        ("not_null: {severity: fatal}", "unknown severity `fatal`"),
        ("not_null: {config: {fail_calc: sum}}", "unknown key `fail_calc`"),
        ("unique: {}\n            not_null: {}", "a test is a name"),
    ] {
        assert!(below(test).contains(part), "{test}: {}", below(test));
    }
}

#[test]
fn equal_check_names_are_told_apart() {
    let schema =
        |layer: &str| format!("models:\n  - name: {layer}.a\n    columns:\n      - {{name: x, tests: [not_null]}}\n");
    let project = load(&[
        ("models/silver/a.sql", "select 1 as x"),
        ("models/gold/a.sql", "select * from a"),
        ("models/silver/s.yml", &schema("silver")),
        ("models/gold/s.yml", &schema("gold")),
    ])
    .unwrap();
    let names: Vec<&str> = project.checks().map(|check| check.name.as_str()).collect();
    assert_eq!(names, ["not_null_a_x", "not_null_a_x_gold"]);
}

#[test]
fn a_stream_says_how_it_is_read() {
    let stream = |meta: &str, columns: &str| {
        let text = format!("sources:\n- name: s\n  tables:\n  - name: a\n    meta: {meta}\n    columns: {columns}\n");
        load(&[("models/sources.yml", &text)]).map(|mut project| project.sources.remove(0))
    };
    let given = stream("{format: csv, csv: {delimiter: ';', quote: none, null: NA}}", "[{name: x}]").unwrap();
    let layout = crate::decode::Layout { delimiter: ';', quote: None, null: "NA".into() };
    assert_eq!((given.stream.format, given.stream.drift), (crate::decode::Format::Csv(layout), Drift::Rescue));
    assert_eq!(stream("{drift: add}", "[]").unwrap().stream.drift, Drift::Add);
    let raw = stream("{format: raw}", "[]").unwrap();
    assert_eq!((raw.columns[0].name.as_str(), &raw.columns[0].data_type), ("value", &Some(DataType::Binary)));
    let table = [
        ("{format: csvv}", "[]", "`format` is json, csv or raw, not `csvv`, did you mean `csv`?"),
        ("{drift: fial}", "[]", "`drift` is rescue, add or fail, not `fial`, did you mean `fail`?"),
        ("{csv: {null: ''}}", "[]", "`csv` says how CSV is laid out; add `format: csv`"),
        ("{format: csv, csv: {delimiter: ab}}", "[{name: x}]", "`delimiter` is one character, not `ab`"),
        ("{format: csv, csv: {delimiter: ';', quote: ';'}}", "[{name: x}]", "cannot be used together"),
        ("{format: csv, csv: {sep: ab}}", "[{name: x}]", "unknown key `sep` in the csv of a stream"),
        ("{format: csv}", "[]", "a stream in CSV has no columns"),
        ("{format: raw, drift: add}", "[]", "only JSON brings fields nobody declared; take `drift` out"),
        ("{only: {field: k, is: a}, format: raw}", "[]", "no field `k` tells kinds apart in a format but JSON"),
        (
            "{format: csv}",
            "[{name: x, data_type: 'text[]'}]",
            "column `x` has type text[], which cannot be read from CSV",
        ),
        ("{format: raw}", "[{name: x}, {name: y}]", "a raw stream fills one column, not 2"),
        ("{}", "[{name: x, data_type: binary}]", "column `x` has type binary, which cannot be read from JSON"),
    ];
    for (meta, columns, expected) in table {
        let fault = stream(meta, columns).unwrap_err().to_string();
        assert!(fault.contains(expected) && fault.starts_with("models/sources.yml:"), "{meta} {columns}: {fault}");
    }
}

#[test]
fn constraints_are_tests_that_are_not_written_already() {
    let yml = "models:\n  - name: a\n    columns:\n      - name: x\n        tests: [not_null]\n        constraints:\n          \
               - {type: primary_key}\n          - {type: not_null}\n          - {type: check, expression: x > 0}\n";
    let files = [("models/silver/a.sql", "select 1 as x"), ("models/s.yml", yml)];
    let project = load(&files).unwrap();
    let names: Vec<&str> = project.models[0].checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(names, ["not_null_a_x", "unique_a_x", "expression_is_true_a_x_0"]);
    assert_eq!(project.models[0].primary_key(), Some(vec!["x".to_string()]));
}

#[test]
fn a_check_is_a_condition_of_the_warehouse_too() {
    let yml = "models:\n  - name: a\n    constraints:\n      - {type: primary_key, columns: [x, y]}\n      \
               - {type: check, name: both, expression: 'x>0 or y > 0', columns: [x, y]}\n    columns:\n      \
               - name: x\n        constraints:\n          - {type: check, expression: \"x <> 'a''b'\"}\n      \
               - {name: y, tests: [{expression_is_true: {expression: '> 1'}}]}\n";
    let files = [("models/silver/a.sql", "select 1 as x, 2 as y"), ("models/s.yml", yml)];
    let model = load(&files).unwrap().models.remove(0);
    let conditions: Vec<&str> = model.conditions.iter().map(|condition| condition.expression.as_str()).collect();
    assert_eq!(conditions, ["x <> 'a''b'", "x > 0 or y > 0"], "what is written as a test is one, and no more");
    assert!(model.conditions[0].name.starts_with("check_") && model.conditions[1].name == "both");
    assert_eq!(model.primary_key(), Some(vec!["x".to_string(), "y".to_string()]));
    assert_eq!(model.checks.len(), 6, "{:?}", model.checks);
}

#[test]
fn of_two_models_of_one_name_a_contract_turns_off_the_one_it_speaks_of() {
    let off = |path: &'static str, name: &str| {
        let contract = format!("models:\n  - name: {name}\n    config: {{enabled: false}}\n");
        let files = [
            ("models/sources.yml", SOURCES),
            ("models/silver/book.sql", "select id from bronze.books"),
            ("models/gold/book.sql", "select id from bronze.books"),
            (path, contract.as_str()),
        ];
        load(&files).unwrap().models.iter().map(|model| model.table.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(off("models/gold/book.yml", "book"), ["silver.book"]);
    assert_eq!(off("models/silver/book.yml", "book"), ["gold.book"]);
    assert_eq!(off("models/all.yml", "gold.book"), ["silver.book"]);
}

#[test]
fn a_check_that_is_turned_off_is_none() {
    let sql = "select id from bronze.books where id is null";
    let names = |text: String| {
        let files = [("models/sources.yml", SOURCES), ("sql/checks/no_id.sql", text.as_str())];
        load(&files).unwrap().singular.iter().map(|check| check.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(sql.to_string()), ["no_id"]);
    assert!(names(format!("{{{{ config(enabled=false) }}}}{sql}")).is_empty());
}
