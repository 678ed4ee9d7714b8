//! Random histories of a lake, loaded step by step: the warehouse holds what a load of all rows would have put there.

use super::*;
use crate::table::{Picked, Table, schema};
use arrow::array::{AsArray, Float32Array, Float64Array, Float64Builder, ListBuilder, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::Int64Type;
use futures::TryStreamExt;

const ROUNDS: u64 = 2;
const STEPS: u64 = 12;
/// Bytes of a file that upkeep would not merge any more.
const LARGE: u64 = 1 << 20;

/// splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// Two tables of the same columns, `dim_book` by its key, `fact_sale` as a bag, where rows occur several times.
struct History {
    setting: Setting,
    random: Random,
    /// The key of the next row.
    next: i64,
    /// Columns added so far.
    added: usize,
}

impl History {
    async fn new(seed: u64) -> Option<History> {
        let mut setting = setting().await?;
        setting.project.models[1].checks.clear();
        let mut history = History { setting, random: Random(seed), next: 0, added: 0 };
        for name in ["dim_book", "fact_sale"] {
            let rows = history.rows(name, 20);
            history.commit(name, rows, None, Mode::Replace).await;
        }
        history.setting.publish(&["dim_book", "fact_sale"]).await;
        Some(history)
    }

    /// New rows: of the bag those of a few values.
    fn rows(&mut self, name: &str, count: u64) -> RecordBatch {
        let ids: Vec<i64> = (0..count)
            .map(|_| {
                self.next += 1;
                if name == "dim_book" { self.next } else { self.random.below(4) as i64 }
            })
            .collect();
        self.rows_of(&ids)
    }

    fn rows_of(&mut self, ids: &[i64]) -> RecordBatch {
        let titles: Vec<Option<String>> =
            ids.iter().map(|_| [None, Some("a"), Some("b")][self.random.below(3) as usize].map(String::from)).collect();
        let odd =
            [Some(0.0), Some(-0.0), Some(f64::NAN), None, Some(f64::NEG_INFINITY), Some(f64::INFINITY), Some(1.5)];
        let weights: Vec<Option<f64>> = ids.iter().map(|_| odd[self.random.below(odd.len() as u64) as usize]).collect();
        let mut lists = ListBuilder::new(Float64Builder::new());
        ids.iter().for_each(|_| lists.append_value([odd[self.random.below(odd.len() as u64) as usize]]));
        let mut columns: Vec<(String, ArrayRef)> = vec![
            ("id".into(), Arc::new(Int64Array::from(ids.to_vec()))),
            ("title".into(), Arc::new(StringArray::from(titles))),
            ("weight".into(), Arc::new(Float64Array::from(weights.clone()))),
            ("narrow".into(), Arc::new(Float32Array::from_iter(weights.iter().map(|weight| weight.map(|w| w as f32))))),
            ("list".into(), Arc::new(lists.finish())),
        ];
        for number in 0..self.added {
            let values: Vec<Option<i64>> =
                ids.iter().map(|_| Some(self.random.below(3) as i64).filter(|n| *n > 0)).collect();
            columns.push((format!("more_{number}"), Arc::new(Int64Array::from(values))));
        }
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
    }

    async fn table(&self, name: &str) -> Option<Table> {
        self.setting.lake.table(&gold(name)).await.unwrap()
    }

    async fn commit(&self, name: &str, rows: RecordBatch, instead_of: Option<&Picked>, mode: Mode) {
        let lake = &self.setting.lake;
        let mut table = match self.table(name).await {
            Some(table) => table,
            None => lake.create(&gold(name), rows.schema(), &[]).await.unwrap(),
        };
        let mut stage = table.stage(rows.schema()).await.unwrap();
        stage.write(rows).await.unwrap();
        let mut staged = stage.finish().await.unwrap();
        if let Some(picked) = instead_of {
            staged = staged.in_place_of(picked);
        }
        let commit = Commit { mode, staged, txns: vec![], info: Default::default() };
        table.commit(commit, "table.commit").await.unwrap();
    }

    /// Some of the rows of some files are left as they are, some get other values, some go.
    async fn rewrite(&mut self, name: &str) {
        let table = self.table(name).await.unwrap();
        let mut files = table.holding(&[], |_| true).unwrap();
        files.retain(|_| self.random.below(2) == 0);
        if files.is_empty() {
            return;
        }
        let picked = Picked::together(files);
        let rows: Vec<RecordBatch> = table.rows_in(&picked, None).await.unwrap().try_collect().await.unwrap();
        let rows = concat_batches(&table.schema(), &rows).unwrap();
        let fates: Vec<u64> = (0..rows.num_rows()).map(|_| self.random.below(6)).collect();
        let stays = UInt32Array::from_iter_values((0..rows.num_rows() as u32).filter(|row| fates[*row as usize] > 1));
        let ids = rows.column(0).as_primitive::<Int64Type>();
        let changed: Vec<i64> = (0..rows.num_rows()).filter(|row| fates[*row] == 1).map(|row| ids.value(row)).collect();
        let changed = schema::align(&self.rows_of(&changed), &table.schema()).unwrap();
        let rows = concat_batches(&table.schema(), &[take_record_batch(&rows, &stays).unwrap(), changed]).unwrap();
        self.commit(name, rows, Some(&picked), Mode::Exchange).await;
    }

    /// Upkeep: other files, the same rows.
    async fn compact(&self, name: &str) {
        let mut table = self.table(name).await.unwrap();
        for bin in table.bins(LARGE).unwrap() {
            let staged = table.rewrite(&bin, LARGE).await.unwrap();
            let commit = Commit { mode: Mode::Rewrite, staged, txns: vec![], info: Default::default() };
            table.commit(commit, "table.commit").await.unwrap();
        }
    }

    async fn step(&mut self) {
        let name = ["dim_book", "fact_sale"][self.random.below(2) as usize];
        match self.random.below(12) {
            0..4 => {
                let count = self.random.below(12);
                let rows = self.rows(name, count);
                self.commit(name, rows, None, Mode::Append).await;
            }
            4..8 => self.rewrite(name).await,
            8 | 9 => self.compact(name).await,
            10 => {
                let rows = self.rows(name, 15);
                self.commit(name, rows, None, Mode::Replace).await;
            }
            _ if self.added < 3 => {
                self.added += 1;
                let rows = self.rows(name, 3);
                self.commit(name, rows, None, Mode::Append).await;
            }
            _ => {}
        }
    }

    /// The rows of the warehouse's table, sorted.
    async fn held(&self, schema: &str, name: &str) -> String {
        let sql = format!("select coalesce(string_agg(t::text, e'\\n' order by t::text), '') from {schema}.{name} t");
        self.setting.ask(&sql).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_leads_to_the_same_table_as_all_rows() {
    let first = uuid::Uuid::new_v4().as_u128() as u64 % 1_000_000_000;
    let given = std::env::var("LAKE_TEST_SEED").ok().map(|text| text.parse::<u64>().unwrap());
    let mut ways = std::collections::BTreeMap::<String, u64>::new();
    for seed in given.map_or((first..first + ROUNDS).collect::<Vec<_>>(), |seed| vec![seed]) {
        eprintln!("what_changed_leads_to_the_same_table_as_all_rows: LAKE_TEST_SEED={seed}");
        let Some(mut history) = History::new(seed).await else { return };
        for _ in 0..STEPS {
            for _ in 0..=history.random.below(3) {
                history.step().await;
            }
            history.setting.publish(&["dim_book", "fact_sale"]).await;
            let report = history.setting.load(false).await.unwrap();
            for table in report.tables {
                let how = table.how.split(':').next().unwrap_or_default();
                let how = if how.contains("since") { "files" } else { how };
                *ways.entry(how.chars().filter(|c| !c.is_numeric()).collect()).or_default() += 1;
            }
            history.setting.config.schema = "whole".into();
            history.setting.load(true).await.unwrap();
            history.setting.config.schema = "gold".into();
            for name in ["dim_book", "fact_sale"] {
                assert_eq!(history.held("gold", name).await, history.held("whole", name).await, "seed {seed}: {name}");
            }
        }
        let mut warehouse = connect(&history.setting.config).await.unwrap();
        let proofs = star::prove(&history.setting.lake, &history.setting.engine, warehouse.as_mut(), &Scope::default())
            .await
            .unwrap();
        assert!(proofs.iter().all(|proof| proof.differences.is_empty()), "seed {seed}: {proofs:?}");
    }
    eprintln!("tables by what was done: {ways:?}");
    if given.is_none() {
        let times = |way: &str| ways.get(way).copied().unwrap_or_default();
        assert!(times("files") > 10 && times("it stands") > 3, "{ways:?}");
    }
}
