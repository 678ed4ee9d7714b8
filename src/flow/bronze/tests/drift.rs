//! Fields nobody declared, by what the stream says of them.

use super::tables::{Bench, shown, topic_of};
use super::*;
use crate::decode::infer::MOST_COLUMNS;
use crate::error::Kind;
use crate::flow::bronze::desk::Desk;

async fn bench(drift: Drift) -> Bench {
    let mut bench = Bench::new().await;
    bench.stream.drift = drift;
    bench
}

/// Names and types of the stream's own columns in the table.
async fn columns_of(bench: &Bench) -> Vec<String> {
    let schema = bench.table().await.schema();
    let own = super::super::columns::stream_columns(&schema);
    own.iter().map(|column| format!("{} {}", column.name(), column.data_type())).collect()
}

#[tokio::test]
async fn a_field_nobody_declared_ends_a_stream_that_is_to_fail() {
    let bench = bench(Drift::Fail).await;
    let payloads = [r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":"x"}"#, r#"{"n":3,"late":true,"z":{}}"#];
    let error = bench.run(&topic_of(&payloads), 1, usize::MAX, 100).await.unwrap_err();
    let expected = "books/0 offset 3: `bronze.books` declares no `late`, `z`";
    assert_eq!((error.kind(), error.to_string().as_str()), (Kind::Input, expected));
    assert!(error.hint_text().unwrap().contains("`drift: add`"));
    let table = bench.table().await;
    assert_eq!((table.rows(), table.txn(&position_app(&Partition::new(TOPIC, 0))).await.unwrap()), (Some(0), None));

    let mut bench = bench;
    bench.stream.drift = Drift::Rescue;
    assert_eq!(bench.run(&topic_of(&payloads), 1, usize::MAX, 100).await.unwrap().rows, 3);
}

#[tokio::test]
async fn what_was_committed_before_an_undeclared_field_stays() {
    let bench = bench(Drift::Fail).await;
    let payloads = [r#"{"n":1}"#, r#"{"n":2}"#, r#"{"late":true}"#];
    bench.run(&topic_of(&payloads), 1, usize::MAX, 1).await.unwrap_err();
    let read = bench.query("select n, _offset from bronze.books order by n").await;
    assert_eq!(read.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
}

#[tokio::test]
async fn new_fields_become_columns_in_the_commit_of_their_first_rows() {
    for declared in [true, false] {
        let mut bench = bench(Drift::Add).await;
        if !declared {
            bench.stream.columns.clear();
        }
        bench.run(&topic_of(&[r#"{"n":1}"#]), 1, usize::MAX, 100).await.unwrap();
        let notes = bench.notes();
        let mut payloads: Vec<String> = (1..30).map(|n| format!("{{\"n\":{n}}}")).collect();
        payloads.extend([
            r#"{"n":30,"Late":true,"price":1}"#.into(),
            r#"{"n":31,"Late":false,"price":1,"nothing":null}"#.into(),
            r#"{"n":32,"tags":["a"]}"#.into(),
        ]);
        payloads.extend((33..60).map(|n| format!("{{\"n\":{n},\"late\":true}}")));
        payloads.push(r#"{"n":60,"price":"dear"}"#.into());
        let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
        let report = bench.run(&topic_of(&payloads), 7, usize::MAX, 100).await.unwrap();
        assert_eq!((report.rows, report.rejects, report.commits), (58, 1, 1), "{declared}");
        assert_eq!(bench.table().await.rows(), Some(60), "the files of fewer columns are there too");
        let expected = ["n Int64", "late Boolean", "price Int64", "tags Utf8"];
        assert_eq!(columns_of(&bench).await, expected, "{declared}");
        assert!(notes.lock().unwrap().iter().any(|note| note.contains("new columns: `late` boolean")), "{notes:?}");
        let sql = "select n, late, price, tags, _rescued, _reason from bronze.books where n between 29 and 33 or _quarantined order by _offset";
        let expected = "\
+----+-------+-------+-------+------------------+---------------------------------------------+
| n  | late  | price | tags  | _rescued         | _reason                                     |
+----+-------+-------+-------+------------------+---------------------------------------------+
| 29 |       |       |       |                  |                                             |
| 30 | true  | 1     |       |                  |                                             |
| 31 | false | 1     |       | {\"nothing\":null} |                                             |
| 32 |       |       | [\"a\"] |                  |                                             |
| 33 | true  |       |       |                  |                                             |
|    |       |       |       |                  | column `price`: expected bigint, found \"dear\" |
+----+-------+-------+-------+------------------+---------------------------------------------+";
        let read = shown(&bench.query(sql).await);
        assert_eq!(read.replace([' ', '-'], ""), expected.replace([' ', '-'], ""), "{declared}");
    }
}

#[tokio::test]
async fn added_columns_go_on_being_filled_and_stand_still_when_rescued_again() {
    let mut bench = bench(Drift::Add).await;
    let payloads = [r#"{"n":1,"x":1}"#, r#"{"n":2,"x":2,"y":1.5}"#, r#"{"n":3,"x":3,"z":1}"#];
    bench.run(&topic_of(&payloads[..1]), 1, usize::MAX, 100).await.unwrap();
    bench.run(&topic_of(&payloads[..2]), 1, usize::MAX, 100).await.unwrap();
    bench.stream.drift = Drift::Rescue;
    bench.run(&topic_of(&payloads), 1, usize::MAX, 100).await.unwrap();
    let read = bench.query("select n, x, y, _rescued from bronze.books order by n").await;
    let expected = "\
+---+---+-----+---------------+
| n | x | y   | _rescued      |
+---+---+-----+---------------+
| 1 | 1 |     |               |
| 2 | 2 | 1.5 |               |
| 3 |   |     | {\"x\":3,\"z\":1} |
+---+---+-----+---------------+";
    assert_eq!(shown(&read), expected);
}

#[tokio::test]
async fn some_fields_stay_rescued() {
    let mut bench = bench(Drift::Add).await;
    let nested = DataType::Struct(vec![Field::new("a", DataType::Int64, true)].into());
    bench.stream.columns.push(Column { name: "Foo".into(), ..Column::default() });
    bench.stream.columns.push(Column { name: "s".into(), data_type: Some(nested), ..Column::default() });
    for payload in [
        r#"{"foo":1}"#,
        r#"{"книга":1}"#,
        r#"{"xmin":1}"#,
        r#"{"u":null}"#,
        r#"{"u":"\u0000"}"#,
        r#"{"u":"\ud800"}"#,
        r#"{"s.b":1}"#,
        r#"{"A b":1,"a-b":2}"#,
    ] {
        let stream = bench.stream.clone();
        let mut bench = Bench::new().await;
        bench.stream = stream;
        bench.run(&topic_of(&[payload]), 1, usize::MAX, 100).await.unwrap();
        assert_eq!(columns_of(&bench).await.len(), 3, "{payload}");
        let read = bench.query("select _rescued from bronze.books").await;
        assert_eq!(read[0].column(0).as_string::<i32>().value(0), payload);
    }
    let payload = r#"{"s":{"a":1,"b":{"c":2}}}"#;
    bench.run(&topic_of(&[payload]), 1, usize::MAX, 100).await.unwrap();
    let read = bench.query("select _rescued from bronze.books").await;
    assert_eq!(read[0].column(0).as_string::<i32>().value(0), r#"{"s.b":{"c":2}}"#);
}

#[tokio::test]
async fn a_table_gets_no_more_columns_than_are_bearable() {
    let bench = bench(Drift::Add).await;
    let payloads: Vec<String> = (0..6)
        .map(|part| {
            let members: Vec<String> = (0..300).map(|at| format!("\"f{part}_{at}\":{at}")).collect();
            format!("{{\"n\":{part},{}}}", members.join(","))
        })
        .collect();
    let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
    assert_eq!(bench.run(&topic_of(&payloads), 3, usize::MAX, 100).await.unwrap().rows, 6);
    assert_eq!(columns_of(&bench).await.len(), MOST_COLUMNS);
    let read = bench.query("select count(*) from bronze.books where _rescued is not null").await;
    assert_eq!(read[0].column(0).as_primitive::<Int64Type>().value(0), 3);
}

#[tokio::test]
async fn with_sql_new_fields_stay_rescued() {
    let mut bench = bench(Drift::Add).await;
    bench.stream.sql = Some(("s.sql".into(), "select * from batch".into()));
    bench.run(&topic_of(&[r#"{"n":1,"x":1}"#]), 1, usize::MAX, 100).await.unwrap();
    assert_eq!(columns_of(&bench).await, ["n Int64"]);
    let read = bench.query("select _rescued from bronze.books").await;
    assert_eq!(read[0].column(0).as_string::<i32>().value(0), r#"{"x":1}"#);
}

#[tokio::test]
async fn two_writers_that_add_columns_at_once_do_the_work_once() {
    let bench = bench(Drift::Add).await;
    let payloads: Vec<String> = (0..40).map(|n| format!("{{\"n\":{n},\"c{}\":{n},\"s\":{n}}}", n % 7)).collect();
    let topic = topic_of(&payloads.iter().map(String::as_str).collect::<Vec<_>>());
    let (one, other) = tokio::join!(bench.run(&topic, 1, usize::MAX, 3), bench.run(&topic, 2, usize::MAX, 4));
    assert_eq!(one.unwrap().rows + other.unwrap().rows, 40);
    let sql = "select count(*), sum(n), sum(s), sum(c0), sum(c6), count(_rescued) from bronze.books";
    let read = bench.query(sql).await;
    let found: Vec<i64> = (0..6).map(|at| read[0].column(at).as_primitive::<Int64Type>().value(0)).collect();
    let of = |rest: i64| (0..40).filter(|n| n % 7 == rest).sum::<i64>();
    assert_eq!(found, [40, 780, 780, of(0), of(6), 0]);
}

#[tokio::test]
async fn a_writer_takes_over_the_columns_that_another_one_added() {
    for (drift, behind) in [(Drift::Add, true), (Drift::Rescue, false)] {
        let mut bench = bench(Drift::Add).await;
        bench.run(&topic_of(&[r#"{"n":1}"#]), 1, usize::MAX, 100).await.unwrap();
        let shares = Shares::of(64 << 20, 1);
        bench.stream.drift = drift;
        let standing = Some(bench.table().await);
        let mut desk = Desk::open(&bench.lake, &bench.engine, &bench.stream, shares, standing, None).await.unwrap();
        assert!(!desk.is_behind());
        bench.stream.drift = Drift::Add;
        let grown = topic_of(&[r#"{"n":1}"#, r#"{"n":2,"x":1}"#]);
        bench.run(&grown, 1, usize::MAX, 100).await.unwrap();
        desk.table = bench.table().await;
        assert_eq!(desk.is_behind(), behind, "{drift:?}");
    }
}

#[tokio::test]
async fn a_contract_with_a_wider_type_has_the_table_written_anew() {
    let mut bench = bench(Drift::Rescue).await;
    let types = |bench: &mut Bench, n: DataType, day: DataType| {
        let column =
            |name: &str, data_type| Column { name: name.into(), data_type: Some(data_type), ..Column::default() };
        bench.stream.columns = vec![column("n", n), column("day", day)];
    };
    types(&mut bench, DataType::Int32, DataType::Date32);
    let payloads =
        [r#"{"n":1,"day":"2020-02-29"}"#, r#"{"n":3000000000}"#, r#"{"n":3000000000,"day":"2020-02-29T01:00"}"#];
    bench.run(&topic_of(&payloads[..2]), 1, usize::MAX, 100).await.unwrap();
    let moment = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None);
    types(&mut bench, DataType::Int64, moment.clone());
    let refused = bench.run(&topic_of(&payloads), 1, usize::MAX, 100).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Config);
    assert!(refused.hint_text().unwrap().contains("`drift: add`"), "{:?}", refused.hint_text());
    assert_eq!(bench.table().await.schema().field(0).data_type(), &DataType::Int32);

    bench.stream.drift = Drift::Add;
    let notes = bench.notes();
    let report = bench.run(&topic_of(&payloads), 1, usize::MAX, 100).await.unwrap();
    assert_eq!((report.rows, report.rejects, report.commits), (1, 0, 1));
    let note =
        "`bronze.books` was written anew with `n` bigint instead of integer, `day` timestamp instead of date: 2 rows";
    assert_eq!(notes.lock().unwrap()[0], note);
    let read = bench.query("select n, day, _quarantined from bronze.books order by _offset").await;
    let expected = "\
+------------+---------------------+--------------+
| n          | day                 | _quarantined |
+------------+---------------------+--------------+
| 1          | 2020-02-29T00:00:00 | false        |
|            |                     | true         |
| 3000000000 | 2020-02-29T01:00:00 | false        |
+------------+---------------------+--------------+";
    assert_eq!(shown(&read), expected);

    types(&mut bench, DataType::Utf8, moment);
    let refused = bench.run(&topic_of(&payloads), 1, usize::MAX, 100).await.unwrap_err();
    assert!(!refused.hint_text().unwrap().contains("`drift: add`"), "{:?}", refused.hint_text());
}

#[tokio::test]
async fn redriven_records_bring_columns_as_new_ones_do() {
    let mut bench = bench(Drift::Add).await;
    bench.stream.columns[0].data_type = Some(DataType::Int32);
    let topic = topic_of(&[r#"{"n":1}"#, r#"{"n":3000000000,"x":{"y":[1]},"z":true}"#]);
    let report = bench.run(&topic, 1, usize::MAX, 100).await.unwrap();
    assert_eq!((report.rows, report.rejects, columns_of(&bench).await), (1, 1, vec!["n Int32".to_string()]));
    bench.stream.columns[0].data_type = Some(DataType::Int64);
    bench.run(&topic, 1, usize::MAX, 100).await.unwrap();
    let notes = bench.notes();
    for (dry_run, columns) in [(true, &["n Int64"][..]), (false, &["n Int64", "x Utf8", "z Boolean"])] {
        let Bench { lake, engine, stream, progress, .. } = &bench;
        let stop = Stop::default();
        let redriven = crate::flow::quarantine::redrive(lake, engine, stream, 64 << 20, dry_run, progress, &stop).await;
        assert_eq!(
            (redriven.unwrap().rows, columns_of(&bench).await),
            (1, columns.iter().map(|c| c.to_string()).collect())
        );
    }
    let note = "records of `bronze.books` bring new columns: `x` text, `z` boolean";
    assert!(notes.lock().unwrap().contains(&note.to_string()), "{:?}", notes.lock().unwrap());
    let read =
        bench.query("select n, z, _offset, _rescued from bronze.books where not _quarantined order by _offset").await;
    let expected = "\
+------------+------+---------+----------+
| n          | z    | _offset | _rescued |
+------------+------+---------+----------+
| 1          |      | 0       |          |
| 3000000000 | true | 1       |          |
+------------+------+---------+----------+";
    assert_eq!(shown(&read), expected);
}
