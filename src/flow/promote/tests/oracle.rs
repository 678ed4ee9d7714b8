//! Random histories of a table and of promotes that are cut off: what is built by increments is what the statement makes
//! of all rows. The seed of each history is printed; `LAKE_TEST_SEED` plays one again.

use super::*;
use crate::engine::Session;
use crate::ident::quote;
use crate::table::{Commit, Mode, Picked, Staged, Table, schema};
use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use arrow::record_batch::RecordBatch;
use futures::{StreamExt, TryStreamExt};
use serde_json::Map;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Each is lived through by every kind of model.
const HISTORIES: u64 = 30;
const AT_ONCE: usize = 2;

/// What `config` says, and the statement.
const KINDS: [(&str, &str); 7] = [
    ("", "select *, amount % 7 as rest from bronze.s where amount > 10"),
    (
        "unique_key='id'",
        "select id, book, amount from bronze.s qualify row_number() over (partition by id order by amount desc, book) = 1",
    ),
    (
        "unique_key='book'",
        "select book, count(*) as n, sum(amount) as amount, min(id) as id from bronze.s group by book",
    ),
    (
        "unique_key='id', incremental_strategy='delete+insert'",
        "select id, book, amount * 2 as amount from bronze.s where book is distinct from 2",
    ),
    (
        "unique_key=['id', 'book'], incremental_strategy='delete+insert'",
        "select distinct id, amount, book from bronze.s",
    ),
    (
        "partition_by='book', incremental_strategy='replace_partition'",
        "select *, sum(amount) over (partition by book) as total from bronze.s",
    ),
    ("", "select s.id, s.amount, b.name from bronze.s s left join (select 1 as id, 'one' as name) b on b.id = s.book"),
];

/// A small generator of its own, so that a seed means the same history everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn maybe(&mut self, value: u64) -> Option<i64> {
        (self.below(8) > 0).then(|| self.below(value) as i64)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn increments_make_what_all_rows_make() {
    let replayed = std::env::var("LAKE_TEST_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let first = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let seeds: Vec<u64> = match replayed {
        Some(seed) => vec![seed],
        None => (0..HISTORIES).map(|n| first + n).collect(),
    };
    println!("seeds {first} to {}", first + HISTORIES - 1);
    let runs = seeds.into_iter().map(|seed| async move { tokio::spawn(history(seed)).await.unwrap() });
    let increments: Vec<usize> = futures::stream::iter(runs).buffer_unordered(AT_ONCE).collect().await;
    let some = increments.iter().sum::<usize>();
    assert!(replayed.is_some() || some > 2 * KINDS.len() * HISTORIES as usize / 3, "only {some} increments");
}

/// How many models were built by increments. Each model of the project lives through the same history by itself.
async fn history(seed: u64) -> usize {
    let mut random = Random(seed);
    let shop = Shop::bare(&[("models/sources.yml", "sources: [{name: s, tables: [{name: s}]}]")]).await;
    for (at, (config, sql)) in KINDS.iter().enumerate() {
        let file = format!("{{{{ config(materialized='incremental', {config}) }}}}\n{sql}");
        shop.write(&format!("models/gold/m{at}.sql"), &file);
    }
    let mut columns = 3;
    change(&shop, &mut random, &mut columns).await;
    let mut built = 0;
    // One in eight is long.
    let steps = if random.below(8) == 0 { 5 } else { 2 };
    for step in 0..steps {
        for _ in 0..1 + random.below(2) {
            change(&shop, &mut random, &mut columns).await;
        }
        if random.below(4) == 0 {
            // Cut off wherever it is.
            let cut = Duration::from_micros(random.below(500_000));
            drop(tokio::time::timeout(cut, shop.promote(&[Layer::Gold])).await);
        }
        let (report, failure) = shop.promote(&[Layer::Gold]).await.unwrap();
        assert!(failure.is_none(), "seed {seed}, step {step}: {failure:?}");
        let increment = |model: &&ModelReport| model.status == ModelStatus::Built && !model.reason.contains("whole");
        built += report.models.iter().filter(increment).count() * usize::from(step > 0);
        let session = shop.engine.session();
        crate::flow::catalog::open_all(&shop.lake, &session, None).await.unwrap();
        for (at, (_, sql)) in KINDS.iter().enumerate().filter(|_| step > 0) {
            let reason = &report.models.iter().find(|model| model.table.ends_with(&at.to_string())).unwrap().reason;
            compare(&session, &format!("gold.m{at}"), sql, &format!("seed {seed}, step {step}, model {at}: {reason}"))
                .await;
        }
    }
    built
}

/// As multisets of rows.
async fn compare(session: &Session, table: &str, sql: &str, what: &str) {
    let names = session.schema_of(&format!("select * from {table}")).await.unwrap();
    let list = names.fields().iter().map(|field| quote(field.name())).collect::<Vec<_>>().join(", ");
    let mut sides = Vec::new();
    for from in [table.to_string(), format!("({sql}) as x")] {
        let batches = session.query(&format!("select {list} from {from}")).await.unwrap();
        let text = |batch: &RecordBatch| crate::flow::rows::csv(batch).unwrap();
        let text: String = batches.iter().map(text).collect();
        let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
        lines.sort();
        sides.push(lines);
    }
    assert_eq!(sides[0], sides[1], "{what}");
    assert_eq!(names.fields().len(), session.schema_of(sql).await.unwrap().fields().len(), "{what}");
}

async fn change(shop: &Shop, random: &mut Random, columns: &mut usize) {
    let name = TableName::parse("bronze.s").unwrap();
    let standing = shop.lake.table(&name).await.unwrap();
    let Some(mut table) = standing else {
        let table = shop.lake.create(&name, columns_of(*columns), &["_quarantined"]).await.unwrap();
        return append(table, random, *columns).await;
    };
    match random.below(12) {
        0 => return merge_files(&mut table).await,
        1 | 2 => return rewrite_a_file(&mut table, random).await,
        3 => *columns += 1,
        _ => {}
    }
    append(table, random, *columns).await;
}

fn columns_of(count: usize) -> Arc<Schema> {
    let names = ["id", "book", "amount"].into_iter().map(String::from).chain((3..count).map(|n| format!("more_{n}")));
    let fields = names.map(|name| Field::new(name, DataType::Int64, true));
    Arc::new(Schema::new(fields.chain([Field::new("_quarantined", DataType::Boolean, true)]).collect::<Vec<_>>()))
}

async fn append(table: Table, random: &mut Random, columns: usize) {
    let schema = columns_of(columns);
    let rows = 1 + random.below(6) as usize;
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for (at, end) in [30, 5, 100].into_iter().chain(std::iter::repeat(9)).take(columns).enumerate() {
        let values = (0..rows).map(|_| if at == 2 { Some(random.below(end) as i64) } else { random.maybe(end) });
        arrays.push(Arc::new(values.collect::<Int64Array>()));
    }
    let flags = (0..rows).map(|_| Some(random.below(6) == 0));
    arrays.push(Arc::new(flags.collect::<BooleanArray>()));
    let batch = RecordBatch::try_new(schema.clone(), arrays).unwrap();
    let mut stage = table.stage(schema).await.unwrap();
    stage.write(batch).await.unwrap();
    commit(table, stage.finish().await.unwrap(), Mode::Append).await;
}

async fn commit(mut table: Table, staged: Staged, mode: Mode) {
    table.commit(Commit { mode, staged, txns: Vec::new(), info: Map::new() }, "table.commit").await.unwrap();
}

async fn merge_files(table: &mut Table) {
    for bin in table.bins(1 << 20).unwrap() {
        let staged = table.rewrite(&bin, 1 << 20).await.unwrap();
        commit(table.clone(), staged, Mode::Rewrite).await;
        table.refresh().await.unwrap();
    }
}

/// Deletes some rows of one file, and changes the amounts of others.
async fn rewrite_a_file(table: &mut Table, random: &mut Random) {
    let mut files = table.holding(&[], |_| true).unwrap();
    if files.is_empty() {
        return;
    }
    let file: Picked = files.swap_remove(random.below(files.len() as u64) as usize);
    let batches: Vec<RecordBatch> = table.rows_in(&file, None).await.unwrap().try_collect().await.unwrap();
    let rows = concat_batches(&table.schema(), &batches).unwrap();
    let kept: BooleanArray = (0..rows.num_rows()).map(|_| Some(random.below(3) > 0)).collect();
    let rows = filter_record_batch(&rows, &kept).unwrap();
    let at = rows.schema().index_of("amount").unwrap();
    let mut columns = rows.columns().to_vec();
    let change = |value: Option<i64>| value.map(|value| value + 50 * (value % 2));
    columns[at] = Arc::new(columns[at].as_primitive::<Int64Type>().iter().map(change).collect::<Int64Array>());
    let rows = schema::assemble(rows.schema(), columns, rows.num_rows()).unwrap();
    let mut stage = table.stage(table.schema()).await.unwrap();
    stage.write(rows).await.unwrap();
    let staged = stage.finish().await.unwrap().in_place_of(&file);
    commit(table.clone(), staged, Mode::Exchange).await;
}
