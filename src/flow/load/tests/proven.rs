//! What the proof of loaded tables says of them.

use super::*;

impl Setting {
    /// Each loaded table with what differs in it.
    async fn differences(&self) -> Vec<(String, Vec<String>)> {
        let mut warehouse = connect(&self.config).await.unwrap();
        let proofs = star::prove(&self.lake, &self.engine, warehouse.as_mut(), &Scope::default()).await.unwrap();
        let told = |proof: star::Star| (proof.table, proof.differences.iter().map(ToString::to_string).collect());
        proofs.into_iter().map(told).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_whose_model_and_folder_are_gone_is_no_difference() {
    let Some(setting) = setting().await else { return };
    setting.promote(&[(1, "a")], &[1]).await;
    setting.load(false).await.unwrap();
    std::fs::remove_dir_all(setting._folder.path().join("lake/gold/fact_sale")).unwrap();
    let lost = "`gold.fact_sale` is not in the lake".to_string();
    assert_eq!(setting.differences().await[1].1, [lost], "a run names it");
    setting.publish(&["dim_book"]).await;
    assert_eq!(setting.differences().await, [("gold.dim_book".into(), vec![]), ("gold.fact_sale".into(), vec![])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_equal_rows_the_true_counts_are_told() {
    let Some(setting) = setting().await else { return };
    let sales: Vec<i64> = (0..900).map(|sale| 1 + sale % 3).collect();
    setting.promote(&[(1, "a"), (2, "b"), (3, "c"), (4, "d")], &sales).await;
    setting.load(false).await.unwrap();
    let spoil = "delete from gold.fact_sale where ctid in (select min(ctid) from gold.fact_sale where book = 1);
        delete from gold.fact_sale where book = 2; insert into gold.fact_sale values (3), (4)";
    throwaway::execute(&setting.config, spoil).await;
    let told = setting.differences().await.remove(1).1;
    let expected = [
        "rows: 900 in the lake, 601 in the warehouse",
        "book = 1: 300 in the lake, 299 in the warehouse",
        "book = 2: is missing in the warehouse",
        "book = 3: 300 in the lake, 301 in the warehouse",
        "book = 4: is in the warehouse and not in the lake",
    ];
    assert_eq!(told, expected);
}

/// A primary key may carry columns that tell nothing apart.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_a_key_merely_includes_does_not_name_the_row() {
    let Some(setting) = setting().await else { return };
    setting.promote(&[(1, "a"), (2, "b")], &[1]).await;
    setting.load(false).await.unwrap();
    let spoil = "alter table gold.dim_book drop constraint dim_book_pkey cascade;
        alter table gold.dim_book add primary key (id) include (title); update gold.dim_book set title = 'x' where id = 2";
    throwaway::execute(&setting.config, spoil).await;
    let told = setting.differences().await.remove(0).1;
    assert_eq!(told, ["values differ in title", "id = 2: title is b in the lake, x in the warehouse"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_counts_other_rows_is_told() {
    let Some(setting) = setting().await else { return };
    setting.promote(&[(1, "a"), (2, "b")], &[1]).await;
    setting.load(false).await.unwrap();
    throwaway::execute(&setting.config, "update lake.ledger set rows = 3 where table_name like '%dim_book'").await;
    let told = setting.differences().await.remove(0).1;
    assert_eq!(told, ["the ledger says 3 rows, the lake's version has 2"]);
}
