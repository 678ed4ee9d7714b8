//! Statements traced by hand.

use crate::engine::{Engine, EngineConfig, Session};
use crate::ident::TableName;
use arrow::datatypes::{DataType, Field, Schema};
use std::sync::Arc;

/// `silver.a(id, x, y)`, `silver.b(id, z)` and `bronze.c(k, tags)`.
fn session() -> Session {
    let session = Engine::new(&EngineConfig { memory_bytes: 1 << 20, threads: 1 }).unwrap().session();
    let tags = DataType::new_list(DataType::Utf8, true);
    let tables = [
        ("silver.a", vec![("id", DataType::Int64), ("x", DataType::Int64), ("y", DataType::Utf8)]),
        ("silver.b", vec![("id", DataType::Int64), ("z", DataType::Int64)]),
        ("bronze.c", vec![("k", DataType::Int64), ("tags", tags)]),
    ];
    for (name, columns) in tables {
        let fields: Vec<Field> = columns.into_iter().map(|(name, kind)| Field::new(name, kind, true)).collect();
        session.register_columns(&TableName::parse(name).unwrap(), Arc::new(Schema::new(fields))).unwrap();
    }
    session
}

/// `silver.` is left away, for it is everywhere.
fn told<'s>(sources: impl IntoIterator<Item = &'s super::Source>) -> String {
    let names = sources.into_iter().map(|source| format!("{}.{}", source.table, source.column).replace("silver.", ""));
    names.collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn columns_come_from_where_their_expressions_say() {
    // Statement, origins of each column, influences.
    let table: [(&str, &[&str], &str); 31] = [
        ("select id, x from silver.a", &["a.id", "a.x"], ""),
        ("select * from silver.a", &["a.id", "a.x", "a.y"], ""),
        ("select x + id as n, upper(y) as y, 1 as one from silver.a", &["a.id a.x", "a.y", ""], ""),
        ("select x from silver.a where y = 'q' and id > 1", &["a.x"], "a.id a.y"),
        ("select case when id = 1 then x end as n from silver.a", &["a.id a.x"], ""),
        ("select a.x, b.z from silver.a a join silver.b b on a.id = b.id", &["a.x", "b.z"], "a.id b.id"),
        ("select id, z from silver.a left join silver.b using (id)", &["a.id", "b.z"], "a.id b.id"),
        ("select a.x from silver.a a left join silver.b b on b.id = a.id and b.z > a.x", &["a.x"], "a.id a.x b.id b.z"),
        ("select a.x, b.z from silver.a a cross join silver.b b", &["a.x", "b.z"], ""),
        ("select y, sum(x) as total, count(*) as n from silver.a group by y", &["a.y", "a.x", ""], "a.y"),
        ("select sum(x) filter (where id > 3) as total from silver.a", &["a.x"], "a.id"),
        ("select y from silver.a group by y having max(x) > 3", &["a.y"], "a.x a.y"),
        ("select y, id, sum(x) as total from silver.a group by rollup (y, id)", &["a.y", "a.id", "a.x"], "a.id a.y"),
        ("select x from silver.a union all select z from silver.b", &["a.x b.z"], ""),
        ("select id, x from silver.a union select z, id from silver.b", &["a.id b.z", "a.x b.id"], ""),
        ("select id from silver.a except select id from silver.b", &["a.id"], "a.id b.id"),
        (
            "with q as (select id as k, x * 2 as d from silver.a) select d, k from q where k > 1",
            &["a.x", "a.id"],
            "a.id",
        ),
        (
            "with q as (select id, x from silver.a), r as (select q.x, b.z from q join silver.b b on b.id = q.id) \
             select z, x from r",
            &["b.z", "a.x"],
            "a.id b.id",
        ),
        ("select s.n from (select x as n from silver.a where y is null) s", &["a.x"], "a.y"),
        ("select x, (select max(z) from silver.b) as top from silver.a", &["a.x", "b.z"], ""),
        (
            "select x, (select max(z) from silver.b b where b.id = a.id) as top from silver.a a",
            &["a.x", "b.z"],
            "a.id b.id",
        ),
        ("select x from silver.a where id in (select id from silver.b where z > 0)", &["a.x"], "a.id b.id b.z"),
        ("select x from silver.a a where exists (select 1 from silver.b b where b.id = a.id)", &["a.x"], "a.id b.id"),
        ("select x in (select z from silver.b) as known from silver.a", &["a.x b.z"], ""),
        ("select id, sum(x) over (partition by y order by id) as running from silver.a", &["a.id", "a.x"], "a.id a.y"),
        ("select row_number() over (order by x) as n from silver.a", &[""], "a.x"),
        ("select distinct y from silver.a", &["a.y"], ""),
        ("select distinct on (y) y, x from silver.a order by y, id", &["a.y", "a.x"], "a.id a.y"),
        ("select x from silver.a order by id limit 3", &["a.x"], "a.id"),
        ("select k, unnest(tags) as tag from bronze.c", &["bronze.c.k", "bronze.c.tags"], ""),
        (
            "with recursive r as (select id as one, x as two from silver.a union all select two, one + 1 from r where \
             one < 9) select one from r",
            &["a.id a.x"],
            "a.id a.x",
        ),
    ];
    let session = session();
    for (sql, columns, influences) in table {
        let (_, lineage) = session.lineage_of(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let found: Vec<String> = lineage.columns.iter().map(told).collect();
        assert_eq!(found, columns, "{sql}");
        assert_eq!(told(&lineage.influences), influences, "{sql}");
    }
}

#[tokio::test]
async fn values_and_functions_come_from_nowhere() {
    let (_, lineage) = session().lineage_of("select * from (values (1, 'a')) v (n, t)").await.unwrap();
    assert_eq!(lineage.columns.len(), 2);
    assert!(lineage.columns.iter().all(|origins| origins.is_empty()) && lineage.influences.is_empty());
}
