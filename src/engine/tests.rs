//! Queries over batches and tables in memory.

use super::*;
use crate::error::Kind;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray, StringViewArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit, TimestampMicrosecondType};
use std::error::Error as _;

fn engine() -> Engine {
    Engine::new(&EngineConfig { memory_bytes: 64 << 20, threads: 2 }).unwrap()
}

fn books() -> RecordBatch {
    let titles: ArrayRef = Arc::new(StringViewArray::from(vec![Some("Ящик"), Some("b"), None]));
    let sales: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    RecordBatch::try_from_iter([("title", titles), ("sales", sales)]).unwrap()
}

fn session() -> Session {
    let session = engine().session();
    let batch = books();
    let table = MemTable::try_new(batch.schema(), vec![vec![batch.clone()]]).unwrap();
    session.register(&TableName::parse("silver.books").unwrap(), Arc::new(table)).unwrap();
    session.register_batches("batch", batch.schema(), vec![batch]).unwrap();
    session
}

fn types_of(schema: &Schema) -> Vec<DataType> {
    schema.fields().iter().map(|field| field.data_type().clone()).collect()
}

#[tokio::test]
async fn results_are_of_plain_types() {
    let session = session();
    let sql = "select title, upper(title) u, count(*) c, row_number() over (order by title) r,
               arrow_cast('x', 'Dictionary(Int32, Utf8)') d from SILVER.books group by title";
    let expected = [DataType::Utf8, DataType::Utf8, DataType::Int64, DataType::Int64, DataType::Utf8];
    assert_eq!(types_of(&session.schema_of(sql).await.unwrap()), expected);
    let batches = session.query(sql).await.unwrap();
    assert_eq!(types_of(&batches[0].schema()), expected);
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
}

#[tokio::test]
async fn announced_types_are_those_of_the_result() {
    let table = [
        ("select case when sales > 1 then 1 else 0.5 end from silver.books", DataType::Decimal128(21, 1)),
        ("select 1 union all select 2.5", DataType::Decimal128(21, 1)),
        ("select cast('1.10' as decimal(10,2)) * sales from silver.books", DataType::Decimal128(31, 2)),
        ("select coalesce(title, 'none') from silver.books", DataType::Utf8),
        ("select array_agg(title) from silver.books", types::parse_type("text[]").unwrap()),
        ("select null", DataType::Utf8),
    ];
    for (sql, expected) in table {
        assert_eq!(session().schema_of(sql).await.unwrap().field(0).data_type(), &expected, "{sql}");
        let rows = session().query(sql).await.unwrap();
        assert_eq!(rows[0].column(0).data_type(), &expected, "{sql}");
    }
}

#[tokio::test]
async fn a_number_with_a_point_is_exact_and_still_counts_as_any_number() {
    let session = session();
    let sql = "select cast(sales as decimal(18,2)) * 0.19 tax, cast(sales as double) * 0.5 half from silver.books";
    let types = types_of(&session.schema_of(sql).await.unwrap());
    assert_eq!(types, [DataType::Decimal128(21, 4), DataType::Float64]);
    let whole = "select arrow_cast(sum(cast(sales as decimal(18,2)) * 0.19) * 10000, 'Int64') from silver.books";
    let rows = session.query(whole).await.unwrap();
    assert_eq!(rows[0].column(0).as_primitive::<Int64Type>().value(0), 11_400, "(1 + 2 + 3) * 0.19");
    for sql in [
        "power(sales, 0.5)",
        "power(2.0, 0.5)",
        "sqrt(2.5)",
        "round(sales * 1.5, 1)",
        "round(2.345, 2)",
        "ceil(sales / 2.5)",
        "exp(1.5) + ln(2.5)",
        "sales > 0.5",
        "cast(1.5 as bigint)",
        "1e-3",
        "1.5e3 * cast(sales as real)",
        "greatest(sales, 0.5)",
        "coalesce(nullif(sales, 0.0), 0.0)",
        "random() < 0.5",
        "avg(sales * 1.1) over ()",
    ] {
        let asked = session.query(&format!("select {sql} as v from silver.books")).await;
        assert!(asked.is_ok(), "{sql}: {:?}", asked.unwrap_err());
    }
    for sql in ["approx_percentile_cont(sales, 0.5)", "percentile_cont(0.5) within group (order by sales)"] {
        let asked = session.query(&format!("select {sql} as v from silver.books")).await;
        assert!(asked.is_ok(), "{sql}: {:?}", asked.unwrap_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unqualified_batches_and_views_are_tables_too() {
    let session = session();
    let name = TableName::parse("bronze.books").unwrap();
    session.register_view(&name, "select title from batch where sales > 1").await.unwrap();
    let rows = session.query("select count(*) from bronze.books join batch using (title)").await.unwrap();
    assert_eq!(rows[0].column(0).as_primitive::<Int64Type>().value(0), 1);
    // A view may take the place of what it reads.
    session.register_view(&name, "select title from bronze.books where title is not null").await.unwrap();
    let rows = session.query("select * from bronze.books").await.unwrap();
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
}

#[tokio::test]
async fn timestamps_count_microseconds() {
    let sql = "select cast('9999-12-31 23:59:59' as timestamp) a, timestamp '2024-05-01 10:00:00' b,
               '2024-05-01T10:00:00+02:00'::timestamptz c, cast('2024-02-29' as date) d";
    let rows = session().query(sql).await.unwrap();
    let us = TimeUnit::Microsecond;
    let expected = [
        DataType::Timestamp(us, None),
        DataType::Timestamp(us, None),
        DataType::Timestamp(us, Some("UTC".into())),
        DataType::Date32,
    ];
    assert_eq!(types_of(&rows[0].schema()), expected);
    let at = |column: usize| rows[0].column(column).as_primitive::<TimestampMicrosecondType>().value(0);
    assert_eq!(at(0), 253_402_300_799_000_000);
    assert_eq!((at(1) - at(2)) / 1_000_000, 7_200);
}

#[tokio::test]
async fn faults_of_the_text_name_place_and_nearest() {
    let table = [
        ("select titel from silver.books", Some((1, 8)), Some("title")),
        ("select b.titel\nfrom silver.books b", Some((1, 8)), Some("title")),
        ("select title\nfrom silver.book", Some((2, 6)), Some("silver.books")),
        ("select * from gold.nothing_at_all", Some((1, 15)), None),
        ("select title from silver.books where", Some((1, 37)), None),
        ("select title, sum(sales) from silver.books", Some((1, 8)), None),
        ("select nosuch(title) from silver.books", Some((1, 8)), None),
        ("select sales + title || from", None, None),
    ];
    for (sql, place, near) in table {
        let error = session().schema_of(sql).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Config, "{sql}");
        let fault = fault_of(&error).unwrap();
        if let Some(place) = place {
            assert_eq!(fault.line.zip(fault.column), Some(place), "{sql}: {fault}");
        }
        let meant = fault.message.split_once(", did you mean ").map(|(_, meant)| meant);
        assert_eq!(meant, near.map(|near| format!("`{near}`?")).as_deref(), "{sql}: {fault}");
        assert!(!fault.message.contains('\n'), "{fault}");
    }
}

#[tokio::test]
async fn only_queries_are_answered() {
    for sql in ["create table x as select 1", "set datafusion.execution.batch_size = 1", "select 1; select 2"] {
        assert_eq!(session().query(sql).await.unwrap_err().kind(), Kind::Config, "{sql}");
    }
}

#[tokio::test]
async fn faults_of_the_data_are_input() {
    let table = [
        "select cast(title as bigint) from silver.books",
        "select 1 / (sales - 1) from silver.books",
        "select cast(sales * 1000 as smallint) / 1, cast(sales * 100000 as smallint) from silver.books",
    ];
    for sql in table {
        let error = session().query(sql).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Input, "{sql}: {error} {:?}", error.source());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_limited_and_spilled() {
    let engine = Engine::new(&EngineConfig { memory_bytes: 20 << 20, threads: 2 }).unwrap();
    let sql = "select value, repeat('x', 50) t from generate_series(1, 600000) order by value % 1000, value";
    let rows = engine.session().query(sql).await.unwrap();
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 600_000);
    let small = Engine::new(&EngineConfig { memory_bytes: 1 << 20, threads: 2 }).unwrap();
    let error = small.session().query("select array_agg(value) from generate_series(1, 2000000)").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{:?}", error.source());
    assert!(error.hint_text().is_some());
}

#[tokio::test]
async fn deep_expressions_are_planned_and_run_or_refused() {
    let chain = |operators: usize| format!("select sales{} from silver.books", " + sales".repeat(operators));
    assert_eq!(session().query(&chain(390)).await.unwrap()[0].num_rows(), 3);
    let ors = vec!["sales = 7 or title = 'x'"; 190].join(" or ");
    assert!(session().query(&format!("select 1 from silver.books where {ors}")).await.is_ok());
    for operators in [500, 5_000, 100_000] {
        assert_eq!(session().query(&chain(operators)).await.unwrap_err().kind(), Kind::Config, "{operators}");
    }
}

#[tokio::test]
async fn an_empty_result_keeps_its_columns() {
    let stream = session().stream("select title from silver.books where false").await.unwrap();
    assert_eq!(stream.schema().field(0).data_type(), &DataType::Utf8);
    let rows: Vec<_> = stream.try_collect().await.unwrap();
    assert!(rows.iter().all(|batch: &RecordBatch| batch.column(0).is_empty()));
}

#[tokio::test]
async fn text_is_parsed_exactly_or_named_with_its_column() {
    let texts: ArrayRef = Arc::new(StringViewArray::from(vec![Some(" 31.12.2024 10:00 "), Some(" "), None]));
    let sums: ArrayRef = Arc::new(StringViewArray::from(vec![Some("1.234,50"), Some("-7"), None]));
    let batch = RecordBatch::try_from_iter([("at", texts), ("sum", sums)]).unwrap();
    let session = engine().session();
    session.register_batches("rows", batch.schema(), vec![batch]).unwrap();
    let sql = "select parse_timestamp(\"at\", '%d.%m.%Y %H:%M') a, parse_date('29.02.2024', '%d.%m.%Y') b,
               parse_decimal(\"sum\", 10, 2, '.,') c from rows";
    let us = TimeUnit::Microsecond;
    let expected = [DataType::Timestamp(us, None), DataType::Date32, DataType::Decimal128(10, 2)];
    assert_eq!(types_of(&session.schema_of(sql).await.unwrap()), expected);
    let rows = session.query(sql).await.unwrap();
    assert_eq!(types_of(&rows[0].schema()), expected);
    // date -u -d '2024-12-31 10:00' +%s
    let moments: Vec<_> = rows[0].column(0).as_primitive::<TimestampMicrosecondType>().iter().collect();
    assert_eq!(moments, [Some(1_735_639_200_000_000), None, None]);
    let sums: Vec<_> = rows[0].column(2).as_primitive::<arrow::datatypes::Decimal128Type>().iter().collect();
    assert_eq!(sums, [Some(123_450), Some(-700), None]);
    let table = [
        ("parse_timestamp(\"at\", '%m/%d/%Y')", "column `at`: `31.12.2024 10:00` is not a time written as %m/%d/%Y"),
        ("parse_date('1.1.24', '%d.%m.%Y')", "`1.1.24` is not a date written as %d.%m.%Y, as its year has not four"),
        ("parse_date('30.02.2024', '%d.%m.%Y')", "`30.02.2024` is not a date"),
        ("parse_decimal(\"sum\", 10, 1)", "column `sum`: `1.234,50` is not decimal(10,1)"),
    ];
    for (call, message) in table {
        let error = session.query(&format!("select {call} from rows")).await.unwrap_err();
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        assert_eq!(error.kind(), Kind::Input, "{call}: {error} {cause}");
        assert!(cause.contains(message), "{call}: {error} {cause}");
    }
    for wrong in
        ["parse_date(\"at\")", "parse_date(1, '%Y')", "parse_decimal(\"at\", 39, 2)", "parse_decimal(\"at\", 2)"]
    {
        let error = session.schema_of(&format!("select {wrong} from rows")).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Config, "{wrong}: {error}");
    }
}

/// What people bring from other warehouses.
#[tokio::test]
async fn columns_left_out_windows_filtered_and_what_is_refused() {
    let session = Engine::new(&EngineConfig { memory_bytes: 64 << 20, threads: 1 }).unwrap().session();
    let table = [
        ("select * exclude (b) from (select 1 as a, 2 as b) as x", "1"),
        ("select * except (b) from (select 1 as a, 2 as b) as x", "1"),
        ("select * replace (a + 1 as a) from (select 1 as a) as x", "2"),
        ("select a from (values (3), (1)) as x(a) qualify row_number() over (order by a) = 1", "1"),
        ("select distinct on (k) v from (values (1, 2), (1, 1)) as x(k, v) order by k, v", "1"),
    ];
    for (sql, expected) in table {
        let batches = session.query(sql).await.unwrap();
        let text = arrow::util::display::array_value_to_string(batches[0].column(0), 0).unwrap();
        assert_eq!((batches[0].num_columns(), text.as_str()), (1, expected), "{sql}");
    }
    for sql in ["select * from x pivot(sum(n) for v in ('p'))", "select * from x unpivot(n for v in (p, q))"] {
        let refused = session.query(sql).await.unwrap_err();
        assert!(refused.causes()[0].contains("PIVOT is not offered: write"), "{:?}", refused.causes());
    }
}

/// Each is true in PostgreSQL.
#[tokio::test]
async fn floating_numbers_stay_floating_beside_numbers_with_a_point() {
    let truths = [
        "cast(1e-20 as double) > 0.0",
        "cast(1e-20 as double) not in (0.0, 1.0)",
        "nullif(cast(1e-20 as double), 0.0) is not null",
        "coalesce(cast(1e-20 as double), 0.0) > 0",
        "greatest(cast(1e-20 as double), 0.0) > 0",
        "case when true then cast(1e-20 as double) else 0.0 end > 0",
        "cast(1e16 as double) > 0.5",
        "cast(0.12345678901234568 as double) between 0.12345678901234567 and 0.12345678901234569",
        "cast(-1e-20 as double) < -0.0 or cast(-1e-20 as double) < 0.0",
        "1.1 * 1.1 = 1.21 and 0.1 + 0.2 = 0.3",
    ];
    for truth in truths {
        let found = session().query(&format!("select {truth} as t")).await.unwrap();
        assert!(found[0].column(0).as_boolean().value(0), "{truth}");
    }
}

/// By PostgreSQL 15.
#[tokio::test]
async fn is_distinct_from_binds_closer_than_and_and_or() {
    let table = [
        ("true is distinct from true and false", false),
        ("true is distinct from true or true", true),
        ("false is not distinct from false or true", true),
        ("1 is distinct from 1 or 2 is distinct from 3", true),
        ("false and 1 is distinct from 2 or true", true),
        ("not 1 is distinct from 2 or true", true),
        ("not (1 is distinct from 2 or true)", false),
        ("true and (1 is distinct from 1 or false)", false),
        ("'a' is distinct from 'b' and 1 is not distinct from 1 and null is distinct from 1", true),
    ];
    for (text, expected) in table {
        let found = session().query(&format!("select {text} as t")).await.unwrap();
        assert_eq!(found[0].column(0).as_boolean().value(0), expected, "{text}");
    }
}

#[tokio::test]
async fn literals_beside_floating_numbers_stand_wherever_expressions_do() {
    let rows = "(select 1 as n, cast(1 as double) as f union all select 2, cast(2 as double)) as t";
    for sql in [
        "select sum(f * 1.5) = 4.5",
        "select sum(case when f > 1.5 then 1 else 0 end) = 1",
        "select count(*) filter (where f > 1.5) = 1",
        "select count(*) = 2 from (select f * 1.5 as g from ROWS group by f * 1.5) as groups",
        "select max(place) = 2 from (select rank() over (order by f * 1.5) as place from ROWS) as places",
        "select sum(n * 1e3) = 3000",
        "select min(n / 1e3) = 0.001",
        "select avg(1e5) = 100000",
        "select 1e5 / 3 > 33333.3",
        "select count(*) = 1 from ROWS where f * 100000 = 1e5",
        "select bool_and('1.54' > 1.5 and '1.54' <> 1.5 and '1.50' = 1.5 and '10.25' in (1.5, 10.25) and 'a' || 1.50 = 'a1.50')",
        "select max(7.3134060846505848 * (f - 1)) = cast('7.3134060846505848' as double)",
    ] {
        let sql = if sql.contains("ROWS") { sql.replace("ROWS", rows) } else { format!("{sql} from {rows}") };
        let found = session().query(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        assert!(found[0].column(0).as_boolean().value(0), "{sql}");
    }
}

/// Neither side fits into the memory there is.
#[tokio::test(flavor = "multi_thread")]
async fn a_join_that_does_not_fit_into_memory_is_sorted() {
    const ROWS: i64 = 600_000;
    let schema =
        Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("text", DataType::Utf8, true)]));
    let batch = |ids: Vec<i64>| {
        let texts = StringArray::from_iter_values(ids.iter().map(|id| format!("the text of the row with the id {id}")));
        RecordBatch::try_new(schema.clone(), vec![Arc::new(Int64Array::from(ids)), Arc::new(texts)]).unwrap()
    };
    let sql =
        "select count(*) as n, sum(one.id) as s from one join other on one.id = other.id and one.text = other.text";
    for (threads, megabytes) in [(1, 32), (2, 32)] {
        let engine = Engine::new(&EngineConfig { memory_bytes: megabytes << 20, threads }).unwrap();
        let session = engine.session();
        for (name, ids) in [("one", (0..ROWS).collect()), ("other", (0..ROWS).rev().collect::<Vec<i64>>())] {
            let batches = ids.chunks(1024).map(|ids| batch(ids.to_vec())).collect();
            session.register_batches(name, schema.clone(), batches).unwrap();
        }
        let hashed = session.physical(sql, &[], Joins::Hashed).await.unwrap();
        let (rows, ran_out) = joins::ran_out(results(hashed, session.context.task_ctx()).unwrap()).await;
        assert!(ran_out, "too small to prove anything");
        drop(rows);
        let found = session.query(sql).await.unwrap();
        let number = |column: usize| found[0].column(column).as_primitive::<Int64Type>().value(0);
        assert_eq!((number(0), number(1)), (ROWS, ROWS * (ROWS - 1) / 2), "{threads} threads, {megabytes} MB");
    }
}
