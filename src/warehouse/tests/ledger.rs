//! The ledger: part of the load, read as earlier releases wrote it, and never trusted blindly.

use super::*;

#[tokio::test]
async fn loads_are_serialised_and_the_ledger_is_part_of_them() {
    let Some(config) = throwaway::database().await else { return };
    let (mut one, mut other) = (connect(&config).await.unwrap(), connect(&config).await.unwrap());
    assert!(one.ledger().await.unwrap().is_empty(), "no ledger yet is no error");
    let mut first = one.begin().await.unwrap();
    assert!(first.try_lock().await.unwrap());
    let mut second = other.begin().await.unwrap();
    assert!(!second.try_lock().await.unwrap());
    let entry = Entry {
        table: "gold.t".into(),
        lake_id: "l".into(),
        table_id: "t".into(),
        delta_version: 3,
        commit_id: Some("c".into()),
        run: 2,
        schema_hash: "h".into(),
        rows: 5,
        load_id: uuid::Uuid::new_v4().to_string(),
        columns: vec!["a".into(), "b, \"c\"".into()],
        declared: Some(Declared { not_null: vec!["a".into()], checks: [("n".into(), "a > 'x'".into())].into() }),
        loaded_at: String::new(),
    };
    first.record(std::slice::from_ref(&entry)).await.unwrap();
    assert!(matches!(first.commit().await.unwrap(), Outcome::Committed));
    assert!(second.try_lock().await.unwrap());
    let mut found = second.ledger().await.unwrap().remove(0);
    assert!(found.loaded_at.ends_with('Z'));
    found.loaded_at.clear();
    assert_eq!(found, entry);
}

#[tokio::test]
async fn a_ledger_of_an_earlier_release_is_read_and_completed() {
    let Some(config) = throwaway::database().await else { return };
    let mut warehouse = connect(&config).await.unwrap();
    let mut load = warehouse.begin().await.unwrap();
    load.try_lock().await.unwrap();
    let entry = Entry { table: "gold.t".into(), load_id: uuid::Uuid::new_v4().to_string(), ..Entry::default() };
    load.record(std::slice::from_ref(&entry)).await.unwrap();
    let older = "alter table lake.ledger drop column table_id, drop column columns, drop column commit_id, drop column declared";
    load.run_script(Path::new("older.sql"), older, "d").await.unwrap();
    assert!(matches!(load.commit().await.unwrap(), Outcome::Committed));
    let old = warehouse.ledger().await.unwrap().remove(0);
    assert_eq!((old.table_id.as_str(), old.columns, old.declared), ("", vec![], None));
    let mut load = warehouse.begin().await.unwrap();
    load.try_lock().await.unwrap();
    load.record(&[Entry { table_id: "id".into(), ..entry }]).await.unwrap();
    assert_eq!(load.ledger().await.unwrap()[0].table_id, "id");
}

/// Everything a load asks of the ledger, in its order.
async fn go_through(config: &WarehouseConfig) -> Result<()> {
    let mut warehouse = connect(config).await?;
    warehouse.ledger().await?;
    let mut load = warehouse.begin().await?;
    load.try_lock().await?;
    load.ledger().await?;
    load.prepare(&[target("t", &book_columns(), &["id"])]).await?;
    load.scripts().await?;
    load.record(&[entry("gold", &target("t", &book_columns(), &["id"]))]).await?;
    load.run_script(Path::new("a.sql"), "select 1", "d").await
}

#[tokio::test]
async fn a_ledger_that_somebody_changed_is_named() {
    for tampering in [
        "alter table lake.ledger alter delta_version type text",
        "alter table lake.ledger alter delta_version type integer",
        "alter table lake.ledger drop column run",
        "alter table lake.ledger alter lake_id drop not null; update lake.ledger set lake_id = null",
        "alter table lake.ledger alter loaded_at drop not null; update lake.ledger set loaded_at = null",
        "alter table lake.ledger alter loaded_at drop default, alter loaded_at type text",
        "update lake.ledger set rows = -1",
        "alter table lake.ledger alter columns type jsonb using '{}'::jsonb",
        "update lake.ledger set columns = array[null]",
        "update lake.ledger set declared = '[1]'",
        "alter table lake.ledger drop constraint ledger_pkey",
        "alter table lake.ledger add check (rows > 100) not valid",
        "drop table lake.ledger; create view lake.ledger as select 1 as one",
        "alter table lake.script drop column digest",
        "alter table lake.script alter digest drop not null; update lake.script set digest = null",
        "alter table lake.script drop constraint script_pkey, alter path type integer using 1",
    ] {
        let Some(config) = throwaway::database().await else { return };
        let mut warehouse = connect(&config).await.unwrap();
        put(warehouse.as_mut(), &target("t", &book_columns(), &["id"]), books(&[(1, None, 1)])).await.unwrap();
        let mut load = warehouse.begin().await.unwrap();
        load.try_lock().await.unwrap();
        load.run_script(Path::new("a.sql"), "select 1", "d").await.unwrap();
        assert!(matches!(load.commit().await.unwrap(), Outcome::Committed));
        go_through(&config).await.unwrap();
        execute(&config, tampering).await;
        let error = go_through(&config).await.err().unwrap_or_else(|| panic!("went through: {tampering}"));
        assert_eq!(error.kind(), Kind::Config, "{tampering}: {error:?}");
        assert!(error.to_string().starts_with("the ledger of the loads "), "{tampering}: {error:?}");
    }
}

/// The schema `lake` is everybody's: one broken row is no reason to drop it.
#[tokio::test]
async fn a_broken_row_is_named_and_can_be_taken_out_alone() {
    for tampering in ["delta_version = -5", "run = -1"] {
        let Some(config) = throwaway::database().await else { return };
        let mut warehouse = connect(&config).await.unwrap();
        for name in ["t", "it's"] {
            put(warehouse.as_mut(), &target(name, &book_columns(), &["id"]), books(&[(1, None, 1)])).await.unwrap();
        }
        execute(&config, &format!("update lake.ledger set {tampering} where table_name = 'gold.it''s'")).await;
        let error = warehouse.ledger().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.to_string().ends_with("the row of `gold.it's`"), "{error}");
        let hint = error.hint_text().unwrap();
        assert!(!hint.contains("drop"), "{hint}");
        execute(&config, hint.split_once("run: ").unwrap().1.split(';').next().unwrap()).await;
        assert_eq!(warehouse.ledger().await.unwrap().len(), 1, "the other row stays");
    }
}
