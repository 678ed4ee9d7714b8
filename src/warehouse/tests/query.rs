//! What people wrote: queries and scripts.

use super::*;

#[tokio::test]
async fn scripts_stay_inside_the_load_and_show_their_faults() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let mut load = warehouse.begin().await.unwrap();
    load.try_lock().await.unwrap();
    let path = Path::new("sql/warehouse/a.sql");
    let error = load.run_script(path, "select 1;\nselect nonsense;", "d").await.unwrap_err();
    assert_eq!(error.to_string(), "run `sql/warehouse/a.sql:2:8` in Postgres\n2 | select nonsense;\n  |        ^");
    drop(load);
    let mut load = warehouse.begin().await.unwrap();
    load.try_lock().await.unwrap();
    let error = load.run_script(path, "select 1; commit;", "d").await.unwrap_err();
    assert_eq!(error.to_string(), "`sql/warehouse/a.sql` ended the load's transaction");
    drop(load);
    let mut load = warehouse.begin().await.unwrap();
    load.try_lock().await.unwrap();
    assert!(load.scripts().await.unwrap().is_empty(), "a script that was refused is not noted as run");
}

#[tokio::test]
async fn queries_only_read_and_only_one_statement() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let answer = warehouse.query("select 1 as one, null as none, 'x' as one").await.unwrap();
    assert_eq!(answer.columns, ["one", "none", "one"]);
    assert_eq!(answer.rows, [[Some("1".into()), None, Some("x".into())]]);
    for refused in [
        "create table t (a int)",
        "commit; create table t (a int)",
        "select 1; select 2",
        "select * into t from (select 1) q",
        "insert into lake.ledger values (1) returning 1",
        "copy (select 1) to program 'true'",
        "",
    ] {
        let error = warehouse.query(refused).await.err().unwrap_or_else(|| panic!("ran: {refused}"));
        assert_eq!(error.kind(), Kind::Config, "{refused}: {error}");
    }
    assert_eq!(ask(warehouse.as_mut(), "select to_regclass('t')::text").await, [None]);
    let error = warehouse.query("select nope").await.unwrap_err();
    assert!(error.to_string().contains("`query:1:8`"), "{error}");
}
