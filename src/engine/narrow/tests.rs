//! Statements and what they allow. `bronze.s` is the table that is narrowed.

use super::Narrow;
use crate::engine::{Engine, EngineConfig};
use crate::ident::TableName;
use arrow::datatypes::{DataType, Field, Schema};
use std::collections::BTreeSet;
use std::sync::Arc;

async fn narrow(sql: &str) -> Result<Narrow, String> {
    let session = Engine::new(&EngineConfig { memory_bytes: 32 << 20, threads: 1 }).unwrap().session();
    let columns = |names: &[&str]| {
        Arc::new(Schema::new(names.iter().map(|name| Field::new(*name, DataType::Int64, true)).collect::<Vec<_>>()))
    };
    for (table, names) in [("bronze.s", &["id", "book", "n"][..]), ("bronze.b", &["book", "title"])] {
        session.register_columns(&TableName::parse(table).unwrap(), columns(names)).unwrap();
    }
    session.narrow(sql, &TableName::parse("bronze.s").unwrap()).await.unwrap()
}

fn columns(names: &[&str]) -> Vec<Option<String>> {
    names.iter().map(|name| (*name != "-").then(|| name.to_string())).collect()
}

#[tokio::test]
async fn rows_that_come_from_one_row_are_known() {
    for (sql, expected) in [
        ("select * from bronze.s", &["id", "book", "n"][..]),
        ("select n as m, id + 1 as x, id from bronze.s where n > 3", &["n", "-", "id"]),
        ("with a as (select id as k, book from bronze.s) select k, book from a order by k", &["id", "book"]),
        ("select b.title, s.id from bronze.s s left join bronze.b b on b.book = s.book", &["-", "id"]),
        ("select b.title, s.id from bronze.b b join bronze.s s on b.book = s.book", &["-", "id"]),
        ("select id from bronze.s where book in (select book from bronze.b)", &["id"]),
        ("select id, n from bronze.s union all select id, book from bronze.s", &["id", "-"]),
    ] {
        assert_eq!(narrow(sql).await, Ok(Narrow { columns: columns(expected), grouped_by: None }), "{sql}");
    }
}

#[tokio::test]
async fn groups_are_known_by_what_they_have_in_common() {
    for (sql, names, by) in [
        ("select book, sum(n) as n from bronze.s group by book", &["book", "-"][..], &["book"][..]),
        ("select book, id, max(n) as n from bronze.s group by 1, 2", &["book", "id", "-"], &["book", "id"]),
        ("select distinct book, n from bronze.s", &["book", "n"], &["book", "n"]),
        (
            "select id, n from bronze.s qualify row_number() over (partition by id order by n desc) = 1",
            &["id", "n"],
            &["id"],
        ),
        (
            "select book, count(*) as c from (select distinct book, id from bronze.s) group by book",
            &["book", "-"],
            &["book"],
        ),
        ("select sum(n) as n from bronze.s", &["-"], &[]),
        ("select id, sum(n) over (order by id) as n from bronze.s", &["id", "-"], &[]),
        ("select upper(cast(book as text)) as b, sum(n) as n from bronze.s group by 1", &["-", "-"], &[]),
    ] {
        let grouped_by: BTreeSet<String> = by.iter().map(|name| name.to_string()).collect();
        let expected = Narrow { columns: columns(names), grouped_by: Some(grouped_by) };
        assert_eq!(narrow(sql).await, Ok(expected), "{sql}");
    }
}

#[tokio::test]
async fn what_needs_all_rows_is_refused() {
    for (sql, why) in [
        ("select id from bronze.s limit 3", "limit"),
        ("select a.id from bronze.s a join bronze.s b on a.id = b.book", "joined with itself"),
        ("select b.title, s.id from bronze.b b left join bronze.s s on b.book = s.book", "left join"),
        ("select book from bronze.b where book not in (select book from bronze.s)", "subquery"),
        ("select id from bronze.s where n = (select max(n) from bronze.s)", "subquery"),
        ("select id from bronze.s union all select book from bronze.b", "union"),
        ("select book, id, sum(n) as n from bronze.s group by rollup(book, id)", "sets of groups"),
        ("select book from bronze.b", "no row of"),
        ("select id from bronze.s except select book from bronze.b", ""),
    ] {
        let answer = narrow(sql).await;
        match (sql.contains("except"), answer) {
            // Planned as an anti join over distinct rows: each group stays or goes by itself.
            (true, Ok(narrow)) => assert_eq!(narrow.columns, columns(&["id"])),
            (_, answer) => assert!(answer.as_ref().is_err_and(|text| text.contains(why)), "{sql}: {answer:?}"),
        }
    }
}
