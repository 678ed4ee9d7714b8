//! Later loads into tables that stand: only what differs is touched, what others made of them survives.

use super::*;

#[tokio::test]
async fn a_later_load_touches_only_rows_that_differ() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let warehouse = warehouse.as_mut();
    let books_table = target("book", &book_columns(), &["id"]);
    let first = put(warehouse, &books_table, books(&[(1, Some("a"), 100), (2, None, 200), (3, Some("c"), 300)])).await;
    assert_eq!(first.unwrap(), Changes { rows: 3, inserted: 3, ..Changes::default() });
    let place = "select id || ' ' || ctid::text || ' ' || xmin::text from gold.book where id in (2, 3) order by id";
    let before = ask(warehouse, place).await;
    let second =
        put(warehouse, &books_table, books(&[(1, None, 100), (2, None, 200), (3, Some("c"), 300), (4, None, 4)]));
    assert_eq!(second.await.unwrap(), Changes { rows: 4, inserted: 1, updated: 1, deleted: 0 });
    assert_eq!(ask(warehouse, place).await, before, "equal rows were not written again");
    let third = put(warehouse, &books_table, books(&[(2, None, 200), (4, None, 4)])).await.unwrap();
    assert_eq!(third, Changes { rows: 2, inserted: 0, updated: 0, deleted: 2 });
    assert_eq!(
        ask(warehouse, "select string_agg(id::text, ',' order by id) from gold.book").await,
        [Some("2,4".into())]
    );

    let twice = put(warehouse, &books_table, books(&[(2, None, 200), (2, None, 201)])).await.unwrap_err();
    assert_eq!(twice.kind(), Kind::Input, "{twice:?}");
}

#[tokio::test]
async fn without_a_key_rows_are_a_bag() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let bag = target("bag", &book_columns(), &[]);
    let (a, b, c) = ((1, Some("a"), 1), (1, None, 1), (2, Some("c"), 3));
    type Rows = Vec<(i64, Option<&'static str>, i128)>;
    let steps: [(Rows, (u64, u64)); 4] =
        [(vec![a, a, a, b], (4, 0)), (vec![a, b, b, c], (2, 2)), (vec![c, b, a, b], (0, 0)), (vec![], (0, 4))];
    for (rows, (inserted, deleted)) in steps {
        let changes = put(warehouse.as_mut(), &bag, books(&rows)).await.unwrap();
        assert_eq!(changes, Changes { rows: rows.len() as u64, inserted, updated: 0, deleted }, "{rows:?}");
        let count = ask(warehouse.as_mut(), "select count(*)::text from gold.bag").await;
        assert_eq!(count, [Some(rows.len().to_string())]);
    }
}

/// Rows whose reader breaks down after the first.
struct Broken;

#[async_trait]
impl Rows for Broken {
    async fn open(&self) -> Result<Batches> {
        let first = Held::open(&books(&[(1, None, 1)])).await?;
        Ok(first.chain(futures::stream::poll_fn(|_| panic!("broken on purpose"))).boxed())
    }
}

#[tokio::test]
async fn rows_that_break_off_are_not_taken_for_all() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let mut load = warehouse.begin().await.unwrap();
    load.try_lock().await.unwrap();
    let error = load.stage(&target("book", &book_columns(), &["id"]), Extent::All, &Broken).await.unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (Kind::Internal, "the rows of `book` broke off"));
}

/// By the database's own equality they are one value; a reader of the text sees two.
#[tokio::test]
async fn zero_may_become_negative_zero() {
    for key in [&["id"][..], &[]] {
        let Some(config) = throwaway::database().await else { return };
        let mut warehouse = connect(&config).await.unwrap();
        let rows = |values: [f64; 3]| {
            let mut lists = ListBuilder::new(Float64Builder::new());
            values.iter().for_each(|value| lists.append_value([Some(*value)]));
            let narrow = Float32Array::from_iter_values(values.iter().map(|value| *value as f32));
            let wide = Float64Array::from_iter_values(values);
            let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
            batches(vec![("id", ids), ("w", Arc::new(wide)), ("n", Arc::new(narrow)), ("l", Arc::new(lists.finish()))])
        };
        let first = rows([0.0, -0.0, f64::NAN]);
        let types = first.0.as_ref().unwrap().schema();
        let types: Vec<(&str, DataType)> =
            types.fields().iter().map(|field| (field.name().as_str(), field.data_type().clone())).collect();
        let table = target("t", &types, key);
        put(warehouse.as_mut(), &table, first).await.unwrap();
        let changes = put(warehouse.as_mut(), &table, rows([-0.0, -0.0, f64::NAN])).await.unwrap();
        assert_eq!(changes.updated + changes.inserted, 1, "{changes:?}");
        let found = ask(warehouse.as_mut(), "select concat_ws(' ', w, n, l) from gold.t order by id").await;
        assert_eq!(found, [Some("-0 -0 {-0}".into()), Some("-0 -0 {-0}".into()), Some("NaN NaN {NaN}".into())]);
    }
}

#[tokio::test]
async fn values_of_a_unique_column_may_change_places() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let mut table = target("code", &book_columns(), &["id"]);
    table.unique = vec!["title".into()];
    put(warehouse.as_mut(), &table, books(&[(1, Some("a"), 1), (2, Some("b"), 2), (3, None, 3)])).await.unwrap();
    let swapped = books(&[(1, Some("b"), 1), (2, Some("a"), 2), (3, None, 4)]);
    let changes = put(warehouse.as_mut(), &table, swapped).await.unwrap();
    assert_eq!(changes, Changes { rows: 3, inserted: 2, updated: 1, deleted: 2 });
}

#[tokio::test]
async fn views_references_and_added_columns_survive() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let mut load = warehouse.begin().await.unwrap();
    load.try_lock().await.unwrap();
    let dim = target("dim", &book_columns(), &["id"]);
    let mut fact = target("fact", &[("book", DataType::Int64)], &[]);
    fact.foreign_keys = vec![ForeignKey { column: "book".into(), table: "dim".into(), field: "id".into() }];
    let facts = |ids: Vec<i64>| batches(vec![("book", Arc::new(Int64Array::from(ids)) as ArrayRef)]);
    load.stage(&fact, Extent::All, &facts(vec![1, 2])).await.unwrap();
    load.stage(&dim, Extent::All, &books(&[(1, None, 1), (2, None, 2)])).await.unwrap();
    load.merge().await.unwrap();
    load.constrain(&[fact.clone(), dim.clone()]).await.unwrap();
    let script = "create or replace view gold.cheap as select b.title from gold.dim b join gold.fact f on f.book = b.id;\n\
         alter table gold.dim add column if not exists note text default 'ours';";
    load.run_script(Path::new("sql/warehouse/views.sql"), script, "d1").await.unwrap();
    assert!(matches!(load.commit().await.unwrap(), Outcome::Committed));

    // Both sides change: row 1 goes, row 3 comes.
    let mut load = warehouse.begin().await.unwrap();
    load.try_lock().await.unwrap();
    let mut wider = dim.clone();
    wider.columns.push(Column {
        name: "extra".into(),
        data_type: DataType::Int32,
        nullable: true,
        description: "new".into(),
    });
    let rows = books(&[(2, None, 2), (3, None, 3)]).0.unwrap();
    let mut arrays: Vec<(String, ArrayRef)> =
        rows.schema().fields().iter().map(|field| field.name().clone()).zip(rows.columns().iter().cloned()).collect();
    arrays.push(("extra".into(), Arc::new(Int32Array::from(vec![7, 8]))));
    let rows = batches(arrays.iter().map(|(name, array)| (name.as_str(), Arc::clone(array))).collect());
    load.stage(&wider, Extent::All, &rows).await.unwrap();
    load.stage(&fact, Extent::All, &facts(vec![2, 3])).await.unwrap();
    load.merge().await.unwrap();
    load.constrain(&[wider, fact.clone()]).await.unwrap();
    assert!(matches!(load.commit().await.unwrap(), Outcome::Committed));
    let sql = "select count(*)::text from gold.cheap union all \
         select string_agg(concat_ws(' ', id, extra, note), ', ' order by id) from gold.dim";
    let answer = ask(warehouse.as_mut(), sql).await;
    assert_eq!(answer, [Some("2".into()), Some("2 7 ours, 3 8 ours".into())]);

    let error = put(warehouse.as_mut(), &fact, facts(vec![99])).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Input);
    assert_eq!(error.to_string(), "`fact`: column `book` of a row is 99, which is not in `dim`.`id`");
}
