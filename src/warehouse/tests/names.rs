//! Names that are awkward in PostgreSQL are loaded as they are or refused, never cut.

use super::*;

/// Loads a table twice, the second time with other rows, and counts the columns that arrived.
async fn load_twice(config: &WarehouseConfig, table: &str, names: &[&str], key: &[&str]) {
    let mut warehouse = connect(config).await.unwrap();
    let columns: Vec<(&str, DataType)> = names.iter().map(|name| (*name, DataType::Int64)).collect();
    let target = target(table, &columns, key);
    let rows = |values: &[i64]| {
        let array = || Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
        batches(names.iter().map(|name| (*name, array())).collect())
    };
    put(warehouse.as_mut(), &target, rows(&[1, 2, 2][..3 - key.len()])).await.unwrap();
    let changes = put(warehouse.as_mut(), &target, rows(&[2, 3])).await.unwrap();
    assert_eq!((changes.rows, changes.inserted), (2, 1), "{table}");
    let sums = names.iter().map(|name| format!("sum({})::text", crate::ident::quote(name)));
    let place = catalog::address(&config.schema, table);
    let sql = format!("select {} from {place}", sums.collect::<Vec<_>>().join(", "));
    let found = warehouse.query(&sql).await.unwrap().rows.remove(0);
    assert_eq!(found, vec![Some("5".to_string()); names.len()], "{table}");
}

const AWKWARD: &[&str] =
    &["A", "a", "select", "user", "place", "copy", "wanted", "c0", "t", "s", "b", "n", "oid", "a\"b'c;--", "Größe 1"];

#[tokio::test]
async fn columns_of_any_name_arrive() {
    let Some(config) = throwaway::database().await else { return };
    let longest = "ü".repeat(31);
    let names: Vec<&str> = AWKWARD.iter().copied().chain([longest.as_str()]).collect();
    load_twice(&config, "keyed", &names, &["A"]).await;
    load_twice(&config, "bag", &names, &[]).await;
}

#[tokio::test]
async fn tables_named_like_types_and_keywords_arrive() {
    let Some(config) = throwaway::database().await else { return };
    let longest = "x".repeat(63);
    for table in ["text", "int8", "bigint", "numeric", "_text", "user", "order", "table", "lake_stage", &longest] {
        load_twice(&config, table, &["id", "text"], &["id"]).await;
        load_twice(&config, &format!("b{}", &table[..table.len().min(62)]), &["id"], &[]).await;
    }
}

#[tokio::test]
async fn a_schema_of_any_name_arrives_or_is_refused() {
    let Some(config) = throwaway::database().await else { return };
    let fits = "книга".repeat(6);
    for schema in ["a\"b", "a'; drop schema lake cascade; --", "Gold", "select", "two.parts", "日本", "\\", &fits] {
        let config = WarehouseConfig { schema: schema.into(), ..config.clone() };
        load_twice(&config, "t", &["id"], &["id"]).await;
        let mut warehouse = connect(&config).await.unwrap();
        assert_eq!(ask(warehouse.as_mut(), "select current_schema()::text").await, [Some(schema.to_string())]);
        assert_eq!(ask(warehouse.as_mut(), "select sum(id)::text from t").await, [Some("5".into())], "{schema}");
        let ledger = warehouse.ledger().await.unwrap();
        assert_eq!(ledger.iter().filter(|entry| entry.name_in(schema, "") == Some("t")).count(), 1, "{schema}");
        assert_eq!(ledger.iter().filter(|entry| entry.name_in("two", "").is_some()).count(), 0);
    }
    let long = "книга".repeat(7);
    for (schema, said) in [
        ("", "is empty"),
        ("a\0b", "contains a NUL"),
        (long.as_str(), "has 70 bytes"),
        ("lake", "belongs to the ledger"),
        ("pg_catalog", "is reserved"),
    ] {
        let error = connect(&WarehouseConfig { schema: schema.into(), ..config.clone() }).await.err().unwrap();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[tokio::test]
async fn names_and_tables_too_large_are_refused_before_anything_is_done() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let long = "x".repeat(64);
    let many: Vec<String> = (0..1601).map(|index| format!("c{index}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let cases: [(&str, &[&str], &str); 4] = [
        ("t", &[&long], "the column name `xxx"),
        (&long, &["id"], "the table name `xxx"),
        ("t", &["id", "ctid"], "the column name `ctid` of `t` is one that Postgres gives every table itself"),
        ("wide", &many, "`wide` has 1601 columns, Postgres holds 1600"),
    ];
    for (table, names, said) in cases {
        let columns: Vec<(&str, DataType)> = names.iter().map(|name| (*name, DataType::Int64)).collect();
        let tables =
            vec![(target("first", &book_columns(), &[]), Held(None)), (target(table, &columns, &[]), Held(None))];
        let error = put_all(warehouse.as_mut(), tables).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.to_string().starts_with(said), "{error}");
    }
    assert_eq!(ask(warehouse.as_mut(), "select to_regclass('gold.first')::text").await, [None]);
}
