//! What others made of the tables outlives a load of all rows, one of changes, and one of other columns.

use super::*;

const THEIRS: &str = "create role reader_of_test; grant usage on schema gold to reader_of_test;
    grant select, update (title) on gold.book to reader_of_test;
    create view gold.titles as select id, title from gold.book;
    create materialized view gold.counted as select count(*) as n from gold.book;
    create table public.review (book bigint references gold.book (id) on delete cascade, stars int);
    comment on column gold.book.price is 'in euro';
    alter table gold.book enable row level security;
    create policy cheap on gold.book for select to reader_of_test using (price < 100);
    create index by_title on gold.book (lower(title));
    alter table gold.book add constraint dear check (price < 1000);
    create function gold.noted() returns trigger language plpgsql as 'begin return new; end';
    create trigger noted before update on gold.book for each row execute function gold.noted();
    create publication everything for table gold.book;
    insert into public.review values (1, 5)";

/// All of it, as the catalog tells it, with the table's own number.
const FOUND: &str = "select concat_ws(e'\\n', c.oid, c.relacl, c.relrowsecurity, c.reloptions,
    (select string_agg(concat_ws(' ', attname, attacl), ', ' order by attnum) from pg_attribute
        where attrelid = c.oid and attacl is not null),
    (select string_agg(description, ', ' order by objsubid) from pg_description where objoid = c.oid),
    (select string_agg(pg_get_constraintdef(oid), ', ' order by conname) from pg_constraint
        where c.oid in (conrelid, confrelid)),
    (select string_agg(pg_get_indexdef(indexrelid), ', ' order by indexrelid) from pg_index where indrelid = c.oid),
    (select string_agg(concat_ws(' ', polname, polroles::regrole[], pg_get_expr(polqual, polrelid)), ', ')
        from pg_policy where polrelid = c.oid),
    (select string_agg(pg_get_triggerdef(oid), ', ') from pg_trigger where tgrelid = c.oid and not tgisinternal),
    (select count(*) from pg_publication_rel where prrelid = c.oid),
    (select count(*) from gold.titles), (select n from gold.counted), (select string_agg(stars::text, '') from review))
    from pg_class c where c.oid = 'gold.book'::regclass";

#[tokio::test]
async fn what_others_made_survives_every_kind_of_load() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let warehouse = warehouse.as_mut();
    let book = target("book", &book_columns(), &["id"]);
    let rows = [(1, Some("a"), 100), (2, Some("b"), 200)];
    put(warehouse, &book, books(&rows)).await.unwrap();
    execute(&config, THEIRS).await;
    let before = ask(warehouse, FOUND).await;
    assert!(before[0].as_ref().unwrap().lines().count() > 12, "{before:?}");

    let changes = put(warehouse, &book, books(&[(1, Some("c"), 100), (3, Some("d"), 300)])).await.unwrap();
    assert_eq!((changes.updated, changes.inserted, changes.deleted), (1, 1, 1));
    assert_eq!(ask(warehouse, FOUND).await, before, "after a load of all rows");

    let wide = books(&[(3, Some("d"), 300), (4, None, 400)]).0.unwrap();
    let copies: ArrayRef = Arc::new(Int64Array::from(vec![-1, 1]));
    let columns = wide.columns().iter().cloned().chain([copies]);
    let moved = batches(["id", "title", "price", "n"].into_iter().zip(columns).collect());
    put_extent(warehouse, Extent::Changes, vec![(book.clone(), moved)]).await.unwrap();
    assert_eq!(ask(warehouse, FOUND).await, before, "after a load of changes");

    let mut wider = book.clone();
    let description = String::new();
    wider.columns.push(Column { name: "more".into(), data_type: DataType::Int32, nullable: true, description });
    let more: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
    let columns = books(&[(1, Some("c"), 100), (4, None, 400)]).0.unwrap();
    let columns = columns.columns().iter().cloned().chain([more]);
    let rows = batches(["id", "title", "price", "more"].into_iter().zip(columns).collect());
    put(warehouse, &wider, rows).await.unwrap();
    assert_eq!(ask(warehouse, FOUND).await, before, "after a load of one more column");
    execute(&config, "drop owned by reader_of_test; drop role reader_of_test").await;
}
