//! Tables whose model changed its columns.

use super::*;

fn ids(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

/// `name type, ...` in the table's order.
async fn columns(warehouse: &mut dyn Warehouse, table: &str) -> String {
    let sql = format!(
        "select string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' order by attnum) from pg_attribute \
         where attrelid = 'gold.{table}'::regclass and attnum > 0 and not attisdropped"
    );
    ask(warehouse, &sql).await.remove(0).unwrap_or_default()
}

#[tokio::test]
async fn a_column_that_left_the_model_is_dropped_and_one_of_somebody_else_stays() {
    for key in [&["id"][..], &[]] {
        let Some(config) = throwaway::database().await else { return };
        let mut warehouse = connect(&config).await.unwrap();
        let warehouse = warehouse.as_mut();
        let mut table = target("book", &book_columns(), key);
        table.columns[1].nullable = false;
        put(warehouse, &table, books(&[(1, Some("a"), 100), (2, Some("b"), 200)])).await.unwrap();
        execute(&config, "alter table gold.book add note text; update gold.book set note = 'mine' where id = 1").await;

        let extra: ArrayRef = Arc::new(StringArray::from(vec!["x", "y"]));
        let prices = Decimal128Array::from(vec![100, 250]).with_precision_and_scale(10, 2).unwrap();
        let changed = [("id", DataType::Int64), ("price", DataType::Decimal128(10, 2)), ("extra", DataType::Utf8)];
        let rows = batches(vec![("id", ids(&[1, 2])), ("price", Arc::new(prices)), ("extra", extra)]);
        put(warehouse, &target("book", &changed, key), rows).await.unwrap();
        assert_eq!(columns(warehouse, "book").await, "id bigint, price numeric(10,2), note text, extra text");
        let shown = "select concat_ws(' ', id, price, extra) from gold.book order by id";
        assert_eq!(ask(warehouse, shown).await, [Some("1 1.00 x".into()), Some("2 2.50 y".into())]);
        if !key.is_empty() {
            let note = "select note from gold.book where id = 1";
            assert_eq!(ask(warehouse, note).await, [Some("mine".into())], "a row that stays keeps what others wrote");
        }

        put(warehouse, &target("book", &[("id", DataType::Int64)], key), batches(vec![("id", ids(&[]))]))
            .await
            .unwrap();
        let rows = batches(vec![("n", ids(&[7]))]);
        put(warehouse, &target("book", &[("n", DataType::Int64)], &[]), rows).await.unwrap();
        assert_eq!(columns(warehouse, "book").await, "note text, n bigint", "an empty table is migrated, too");
    }
}

#[tokio::test]
async fn a_leaving_column_that_something_depends_on_refuses_the_load() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let warehouse = warehouse.as_mut();
    put(warehouse, &target("book", &book_columns(), &["id"]), books(&[(1, Some("a"), 1)])).await.unwrap();
    execute(&config, "create view gold.titles as select title from gold.book").await;
    let narrow = target("book", &[("id", DataType::Int64)], &["id"]);
    let error = put(warehouse, &narrow, batches(vec![("id", ids(&[1, 2]))])).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert_eq!(
        error.to_string(),
        "cannot drop column `title` of `gold.book`, which left the model: \
         view titles depends on column title of table book"
    );
    let remedy = error.hint_text().unwrap().strip_prefix("run: ").unwrap().split(';').next().unwrap();
    assert_eq!(remedy, r#"alter table "gold"."book" drop column "title" cascade"#);
    assert_eq!(ask(warehouse, "select title from gold.titles").await, [Some("a".into())], "nothing has changed");
    execute(&config, remedy).await;
    put(warehouse, &narrow, batches(vec![("id", ids(&[1, 2]))])).await.unwrap();
    assert_eq!(columns(warehouse, "book").await, "id bigint");
}

/// Rows leave both tables in the load that widens the columns of the reference between them.
#[tokio::test]
async fn types_are_widened_under_their_references() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let warehouse = warehouse.as_mut();
    let star = |id: DataType, price: DataType| {
        let dim = target("dim", &[("id", id.clone()), ("price", price)], &["id"]);
        let mut fact = target("fact", &[("book", id)], &[]);
        fact.foreign_keys = vec![ForeignKey { column: "book".into(), table: "dim".into(), field: "id".into() }];
        (dim, fact)
    };
    let prices = |values: Vec<i128>, precision, scale| -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, scale).unwrap())
    };
    let (dim, fact) = star(DataType::Int32, DataType::Decimal128(4, 2));
    let small = |values: &[i32]| -> ArrayRef { Arc::new(Int32Array::from(values.to_vec())) };
    let dims = batches(vec![("id", small(&[1, 2])), ("price", prices(vec![1234, 5], 4, 2))]);
    put_all(warehouse, vec![(dim, dims), (fact, batches(vec![("book", small(&[1, 2]))]))]).await.unwrap();

    let large = i64::from(i32::MAX) + 1;
    let (dim, fact) = star(DataType::Int64, DataType::Decimal128(6, 3));
    let tables = || {
        let dims = batches(vec![("id", ids(&[2, large])), ("price", prices(vec![50, 999_999], 6, 3))]);
        vec![(dim.clone(), dims), (fact.clone(), batches(vec![("book", ids(&[2, large]))]))]
    };
    execute(&config, "create view gold.v as select price from gold.dim").await;
    let error = put_all(warehouse, tables()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    let said = "cannot widen column `price` of `gold.dim` from numeric(4,2) to numeric(6,3): rule _RETURN on view v";
    assert!(error.to_string().starts_with(said), "{error}");
    let remedy = r#"alter table "gold"."dim" alter column "price" type numeric(6,3)"#;
    assert!(error.hint_text().unwrap().contains(remedy), "{error:?}");
    execute(&config, "drop view gold.v").await;

    let changes = put_all(warehouse, tables()).await.unwrap();
    assert_eq!(changes[0], Changes { rows: 2, inserted: 1, updated: 0, deleted: 1 });
    assert_eq!(columns(warehouse, "dim").await, "id bigint, price numeric(6,3)");
    assert_eq!(columns(warehouse, "fact").await, "book bigint");
    let joined =
        "select string_agg(id || ' ' || price, ', ' order by id) from gold.dim d join gold.fact f on f.book = d.id";
    assert_eq!(ask(warehouse, joined).await, [Some(format!("2 0.050, {large} 999.999"))]);
    let references =
        "select count(*)::text from pg_constraint where contype = 'f' and conrelid = 'gold.fact'::regclass";
    assert_eq!(ask(warehouse, references).await, [Some("1".into())], "the reference is the old one");
}

#[tokio::test]
async fn another_type_is_refused_before_a_row_moves() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let warehouse = warehouse.as_mut();
    let table = |data_type| target("t", &[("v", data_type)], &[]);
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["5"]));
    put(warehouse, &table(DataType::Utf8), batches(vec![("v", texts)])).await.unwrap();
    let error = put(warehouse, &table(DataType::Int64), Held(None)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert_eq!(error.to_string(), "column `v` of `gold.t` is text, the lake has bigint");
    let remedy = error.hint_text().unwrap().strip_prefix("run: ").unwrap().split(';').next().unwrap();
    execute(&config, remedy).await;
    put(warehouse, &table(DataType::Int64), batches(vec![("v", ids(&[5]))])).await.unwrap();
    assert_eq!(columns(warehouse, "t").await, "v bigint");
}

#[tokio::test]
async fn columns_that_differ_are_found() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let warehouse = warehouse.as_mut();
    let table = target("book", &book_columns(), &["id"]);
    put(warehouse, &table, books(&[(1, None, 1)])).await.unwrap();
    execute(&config, "alter table gold.book drop price, add note text").await;
    let entry = warehouse.ledger().await.unwrap().remove(0);
    let gold = Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("price", DataType::Utf8, true)]);
    assert_eq!(
        column_differences(warehouse, &entry, &gold).await.unwrap(),
        [
            "column `price` is missing in the warehouse",
            "column `title` stands in the warehouse and is no longer in the lake"
        ]
    );
    execute(&config, "drop table gold.book").await;
    assert!(column_differences(warehouse, &entry, &gold).await.unwrap().is_empty(), "the sums tell that");
}

#[tokio::test]
async fn a_column_no_longer_tested_takes_nulls_again() {
    for key in [&["id"][..], &[]] {
        let Some(config) = throwaway::database().await else { return };
        let mut warehouse = connect(&config).await.unwrap();
        let warehouse = warehouse.as_mut();
        let mut table = target("book", &book_columns(), key);
        table.columns[1].nullable = false;
        put(warehouse, &table, books(&[(1, Some("a"), 100)])).await.unwrap();
        let unproven = put(warehouse, &table, books(&[(1, Some("a"), 100), (7321, None, 5)])).await.unwrap_err();
        assert!(unproven.in_one_line().contains("SQLSTATE 23502"), "{}", unproven.in_one_line());
        assert!(!unproven.in_one_line().contains("7321"), "it tells the row: {}", unproven.in_one_line());
        execute(&config, "alter table gold.book add note text not null default 'x'").await;
        table.columns[1].nullable = true;
        put(warehouse, &table, books(&[(1, Some("a"), 100), (2, None, 200)])).await.unwrap();
        let sql = "select attname from pg_attribute where attrelid = 'gold.book'::regclass and attnotnull and attnum > 0 \
                   order by attnum";
        let expected: Vec<_> = key.iter().copied().chain(["note"]).map(|name| Some(name.to_string())).collect();
        assert_eq!(ask(warehouse, sql).await, expected, "the key and a column of somebody else stay as they were");
    }
}

#[tokio::test]
async fn a_column_that_somebody_renamed_is_named_before_a_row_moves() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let warehouse = warehouse.as_mut();
    let mut table = target("book", &book_columns(), &["id"]);
    table.columns[1].nullable = false;
    put(warehouse, &table, books(&[(1, Some("a"), 1)])).await.unwrap();
    execute(&config, "alter table gold.book rename title to kunde; alter table gold.book add mine boolean").await;
    let error = put(warehouse, &table, Held(None)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    let said = "column `title` of `gold.book` is not in Postgres any more; was it renamed to `kunde`?";
    assert_eq!(error.to_string(), said);
    let remedy = error.hint_text().unwrap().strip_prefix("run: ").unwrap().split(';').next().unwrap();
    execute(&config, remedy).await;
    put(warehouse, &table, books(&[(1, Some("b"), 1)])).await.unwrap();
    assert_eq!(columns(warehouse, "book").await, "id bigint, title text, price numeric(10,2), mine boolean");
    execute(&config, "alter table gold.book drop title").await;
    put(warehouse, &table, books(&[(1, Some("c"), 1)])).await.unwrap();
    assert_eq!(ask(warehouse, "select title from gold.book").await, [Some("c".into())], "a dropped one comes back");
}
