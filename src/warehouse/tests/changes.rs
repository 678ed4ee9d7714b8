//! Loads of the rows that came and left: the same rows end in the table as by a load of all.

use super::*;

type Book = (i64, Option<&'static str>, i128);

/// Rows with the number of their copies.
fn moved(rows: &[(Book, i64)]) -> Held {
    let books = books(&rows.iter().map(|(book, _)| *book).collect::<Vec<_>>()).0.unwrap();
    let copies: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1)));
    let columns = books.columns().iter().cloned().chain([copies]);
    batches(["id", "title", "price", "n"].into_iter().zip(columns).collect())
}

async fn put_changes(warehouse: &mut dyn Warehouse, target: &Target, rows: &[(Book, i64)]) -> Result<Changes> {
    Ok(put_extent(warehouse, Extent::Changes, vec![(target.clone(), moved(rows))]).await?.remove(0))
}

async fn shown(warehouse: &mut dyn Warehouse, table: &str) -> String {
    let sql = format!(
        "select string_agg(concat_ws(' ', id, coalesce(title, '-'), price), ', ' order by id, title) from gold.{table}"
    );
    ask(warehouse, &sql).await.remove(0).unwrap_or_default()
}

#[tokio::test]
async fn keys_that_came_and_left_are_brought_up_to_date() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let warehouse = warehouse.as_mut();
    let table = target("book", &book_columns(), &["id"]);
    let rows: [Book; 4] = [(1, Some("a"), 1), (2, None, 2), (3, Some("c"), 3), (4, Some("d"), 4)];
    put(warehouse, &table, books(&rows)).await.unwrap();
    let place = "select ctid::text || xmin from gold.book where id in (1, 3) order by id";
    let before = ask(warehouse, place).await;
    let changed = [(rows[1], -1), ((2, Some("b"), 2), 1), (rows[3], -1), ((5, None, 5), 1), (rows[2], 1)];
    let changes = put_changes(warehouse, &table, &changed).await.unwrap();
    assert_eq!(changes, Changes { rows: 5, inserted: 1, updated: 1, deleted: 1 });
    assert_eq!(shown(warehouse, "book").await, "1 a 0.01, 2 b 0.02, 3 c 0.03, 5 - 0.05");
    assert_eq!(ask(warehouse, place).await, before, "equal rows were not written again");
    let twice = put_changes(warehouse, &table, &[((6, None, 6), 2)]).await.unwrap_err();
    assert_eq!(twice.kind(), Kind::Input, "{twice:?}");
}

#[tokio::test]
async fn values_of_a_unique_column_change_places() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let warehouse = warehouse.as_mut();
    let mut table = target("code", &book_columns(), &["id"]);
    table.unique = vec!["title".into()];
    put(warehouse, &table, books(&[(1, Some("a"), 1), (2, Some("b"), 2), (3, None, 3)])).await.unwrap();
    let swapped: [(Book, i64); 4] =
        [((1, Some("a"), 1), -1), ((2, Some("b"), 2), -1), ((1, Some("b"), 1), 1), ((2, Some("a"), 2), 1)];
    put_changes(warehouse, &table, &swapped).await.unwrap();
    assert_eq!(shown(warehouse, "code").await, "1 b 0.01, 2 a 0.02, 3 - 0.03");
}

#[tokio::test]
async fn copies_that_left_a_bag_leave_it() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let warehouse = warehouse.as_mut();
    let bag = target("bag", &book_columns(), &[]);
    let (a, b, c): (Book, Book, Book) = ((1, Some("a"), 1), (1, None, 1), (2, Some("c"), 3));
    put(warehouse, &bag, books(&[a, a, a, b, b, c])).await.unwrap();
    let changes = put_changes(warehouse, &bag, &[(a, -2), (b, -1), (c, 2)]).await.unwrap();
    assert_eq!(changes, Changes { rows: 3, inserted: 2, updated: 0, deleted: 3 });
    assert_eq!(shown(warehouse, "bag").await, "1 a 0.01, 1 - 0.01, 2 c 0.03, 2 c 0.03, 2 c 0.03");
    let missing = put_changes(warehouse, &bag, &[(a, -5)]).await.unwrap();
    assert_eq!(missing.deleted, 1, "what is not there cannot leave; the caller counts");
}

/// Of every type of column, nulls, NaN and negative zero among the values.
#[tokio::test]
async fn rows_of_any_type_leave_a_bag() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let warehouse = warehouse.as_mut();
    let field = Arc::new(Field::new("x", DataType::Utf8, true));
    let inner: ArrayRef = Arc::new(StringArray::from(vec![Some("1"), None, Some("3")]));
    let mut lists = ListBuilder::new(Int32Builder::new());
    lists.append_value([Some(1), None]);
    lists.append_null();
    lists.append_value([]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("f", Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(-0.0), None]))),
        ("b", Arc::new(BinaryArray::from(vec![Some(&b"\0"[..]), None, Some(b"")]))),
        ("s", Arc::new(StructArray::from(vec![(field, inner)]))),
        ("l", Arc::new(lists.finish())),
        ("t", Arc::new(TimestampMicrosecondArray::from(vec![Some(0), None, Some(-1)]).with_timezone("UTC"))),
        ("o", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
    ];
    let types: Vec<(&str, DataType)> = columns.iter().map(|(name, array)| (*name, array.data_type().clone())).collect();
    let bag = target("bag", &types, &[]);
    put(warehouse, &bag, batches(columns.clone())).await.unwrap();
    let mut left = columns;
    left.push(("n", Arc::new(Int64Array::from(vec![-1, -1, -1]))));
    let changes = put_extent(warehouse, Extent::Changes, vec![(bag, batches(left))]).await.unwrap();
    assert_eq!(changes, [Changes { rows: 3, inserted: 0, updated: 0, deleted: 3 }]);
}

/// Rows of two partitions have the same place in their tables.
#[tokio::test]
async fn a_bag_in_partitions_loses_only_the_rows_that_left() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let warehouse = warehouse.as_mut();
    let theirs = "create schema gold; create table gold.bag (id bigint, title text, price numeric(10,2)) \
                  partition by list (id); create table gold.ones partition of gold.bag for values in (1); \
                  create table gold.others partition of gold.bag default";
    execute(&config, theirs).await;
    let bag = target("bag", &book_columns(), &[]);
    let (a, b, c): (Book, Book, Book) = ((1, Some("a"), 1), (1, Some("b"), 1), (2, Some("c"), 3));
    put(warehouse, &bag, books(&[a, b, b, c, c, c])).await.unwrap();
    let changes = put(warehouse, &bag, books(&[b, b, c, c, a, a])).await.unwrap();
    assert_eq!((changes.inserted, changes.deleted), (1, 1), "of all rows");
    assert_eq!(shown(warehouse, "bag").await, "1 a 0.01, 1 a 0.01, 1 b 0.01, 1 b 0.01, 2 c 0.03, 2 c 0.03");
    let changes = put_changes(warehouse, &bag, &[(b, -1), (c, -1)]).await.unwrap();
    assert_eq!((changes.inserted, changes.deleted), (0, 2), "of changes");
    assert_eq!(shown(warehouse, "bag").await, "1 a 0.01, 1 a 0.01, 1 b 0.01, 2 c 0.03");
}

/// More rows than PostgreSQL would look up one by one in the memory it has for that.
#[tokio::test]
async fn many_rows_leave_a_bag_of_many_in_little_time() {
    let Some(config) = throwaway::database().await else { return };
    let memory = "do $$ begin execute format('alter database %I set work_mem = ''64kB''', current_database()); end $$";
    execute(&config, memory).await;
    let mut warehouse = connect(&config).await.unwrap();
    let warehouse = warehouse.as_mut();
    let bag = target("bag", &book_columns(), &[]);
    let rows: Vec<Book> = (0..60_000).map(|n| (n / 2, [None, Some("b")][n as usize % 2], i128::from(n % 7))).collect();
    put(warehouse, &bag, books(&rows)).await.unwrap();
    let left: Vec<(Book, i64)> = rows.iter().filter(|row| row.0 % 2 == 0).map(|row| (*row, -1)).collect();
    let started = std::time::Instant::now();
    let changes = put_changes(warehouse, &bag, &left).await.unwrap();
    assert_eq!((changes.deleted, changes.inserted), (30_000, 0));
    assert!(started.elapsed().as_secs() < 20, "it took {:?}", started.elapsed());
}
