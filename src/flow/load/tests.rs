//! The flow on a lake in a temporary folder and a PostgreSQL of the test's own.

mod histories;
mod proven;
mod since;

use super::commit::{settle, unknown};
use super::*;
use crate::check::{self, Check, Rule};
use crate::engine::EngineConfig;
use crate::error::{Error, Kind};
use crate::flow::verify::{Scope, star};
use crate::ident::{Layer, TableName};
use crate::model::{Materialization, Model};
use crate::table::manifest::{self, Manifest, ManifestTable};
use crate::table::{Commit, LakeConfig, Mode};
use crate::warehouse::{Entry, WarehouseConfig, connect, throwaway};
use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use std::sync::Arc;

struct Setting {
    _folder: tempfile::TempDir,
    lake: Lake,
    engine: Engine,
    project: Project,
    config: WarehouseConfig,
}

fn gold(name: &str) -> TableName {
    TableName::new(Layer::Gold, name).unwrap()
}

fn model(name: &str, rules: Vec<Rule>) -> Model {
    let check = |rule| Check { name: "c".into(), table: gold(name), rule, options: check::Options::default() };
    Model {
        table: gold(name),
        file: "m.sql".into(),
        sql: String::new(),
        materialization: Materialization::Table,
        partition_by: Vec::new(),
        cluster_by: Vec::new(),
        description: String::new(),
        columns: vec![],
        checks: rules.into_iter().map(check).collect(),
        conditions: vec![],
        upstream: vec![],
        reads: vec![],
        tags: vec![],
        contract_enforced: false,
        contract_describes: false,
        seed: None,
        origin: Default::default(),
    }
}

/// `dim_book(id, title)`, its key tested, and `fact_sale(book)`, which refers to it.
async fn setting() -> Option<Setting> {
    let config = throwaway::database().await?;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("lake").display().to_string();
    let lake = Lake::open(&LakeConfig { root, ..LakeConfig::default() }).await.unwrap();
    let engine = Engine::new(&EngineConfig { memory_bytes: 64 << 20, threads: 2 }).unwrap();
    let id = || "id".to_string();
    let dim = model("dim_book", vec![Rule::Unique { columns: vec![id()] }, Rule::NotNull { column: id() }]);
    let refers = Rule::Relationships { column: "book".into(), to: gold("dim_book"), field: id() };
    let project = Project { models: vec![dim, model("fact_sale", vec![refers])], ..Project::default() };
    Some(Setting { _folder: folder, lake, engine, project, config })
}

impl Setting {
    async fn write(&self, name: &str, columns: Vec<(&str, ArrayRef)>) {
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, a)| (name, a, true)));
        let batch = batch.unwrap();
        let mut table = self.lake.create(&gold(name), batch.schema(), &[]).await.unwrap();
        let mut stage = table.stage(batch.schema()).await.unwrap();
        stage.write(batch).await.unwrap();
        let staged = stage.finish().await.unwrap();
        let commit = Commit { mode: Mode::Replace, staged, txns: vec![], info: Default::default() };
        table.commit(commit, "table.commit").await.unwrap();
    }

    async fn promote(&self, books: &[(i64, &str)], sales: &[i64]) {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(books.iter().map(|book| book.0)));
        let titles: ArrayRef = Arc::new(StringArray::from_iter_values(books.iter().map(|book| book.1)));
        self.write("dim_book", vec![("id", ids), ("title", titles)]).await;
        self.write("fact_sale", vec![("book", Arc::new(Int64Array::from(sales.to_vec())))]).await;
        self.publish(&["dim_book", "fact_sale"]).await;
    }

    async fn publish(&self, names: &[&str]) {
        let mut manifest = Manifest { id: uuid::Uuid::new_v4().to_string(), ..Manifest::default() };
        for name in names {
            let table = self.lake.table(&gold(name)).await.unwrap().unwrap();
            let entry = ManifestTable { version: table.version(), id: table.id().into(), ..ManifestTable::default() };
            manifest.tables.insert(format!("gold.{name}"), entry);
        }
        let newest = manifest::latest(&self.lake).await.unwrap().map_or(0, |newest| newest.run);
        assert!(manifest::publish(&self.lake, manifest, newest).await.unwrap().is_some());
    }

    async fn load(&self, full: bool) -> Result<Report> {
        self.load_with(&Options { full, dry_run: false }).await
    }

    async fn load_with(&self, options: &Options) -> Result<Report> {
        let mut warehouse = connect(&self.config).await.unwrap();
        let (progress, stop) = (Progress::silent(), Stop::default());
        load(&self.project, &self.lake, &self.engine, warehouse.as_mut(), options, &progress, &stop).await
    }

    async fn ask(&self, sql: &str) -> String {
        let mut warehouse = connect(&self.config).await.unwrap();
        let rows = warehouse.query(sql).await.unwrap().rows;
        let texts = rows.into_iter().flatten().map(|value| value.unwrap_or("NULL".into()));
        texts.collect::<Vec<_>>().join(" ")
    }
}

fn statuses(report: &Report) -> Vec<(&str, u64, Status)> {
    report.tables.iter().map(|table| (table.table.as_str(), table.rows, table.status)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_loaded_once_and_only_what_changed_again() {
    let Some(setting) = setting().await else { return };
    let error = setting.load(false).await.unwrap_err();
    assert_eq!(error.hint_text(), Some("run `lake promote all` first"));

    setting.promote(&[(1, "a"), (2, "b")], &[1, 2, 2]).await;
    let report = setting.load(false).await.unwrap();
    assert_eq!(statuses(&report), [("gold.dim_book", 2, Status::Loaded), ("gold.fact_sale", 3, Status::Loaded)]);
    let sql =
        "select count(*)::text from pg_constraint where connamespace = 'gold'::regnamespace and contype in ('p', 'f')";
    assert_eq!(setting.ask(sql).await, "2");

    let entries =
        "select string_agg(table_name || ' ' || delta_version || ' ' || run || ' ' || load_id, ';') from lake.ledger";
    let before = setting.ask(entries).await;
    let report = setting.load(false).await.unwrap();
    assert_eq!(statuses(&report), [("gold.dim_book", 2, Status::Unchanged), ("gold.fact_sale", 3, Status::Unchanged)]);
    assert_eq!(setting.ask(entries).await, before, "a load with nothing to do writes nothing");

    setting.write("fact_sale", vec![("book", Arc::new(Int64Array::from(vec![2, 2])))]).await;
    setting.publish(&["dim_book", "fact_sale"]).await;
    let report = setting.load(false).await.unwrap();
    assert_eq!(statuses(&report), [("gold.dim_book", 2, Status::Unchanged), ("gold.fact_sale", 2, Status::Loaded)]);
    assert_eq!((report.tables[1].deleted, report.run), (1, Some(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_fails_leaves_everything_as_it_was() {
    let Some(mut setting) = setting().await else { return };
    setting.promote(&[(1, "a")], &[1]).await;
    setting.load(false).await.unwrap();
    setting.promote(&[(1, "a"), (2, "new")], &[1, 99]).await;
    assert_eq!(setting.load(false).await.unwrap_err().kind(), Kind::Input);
    let state = "select (select count(*) from gold.dim_book)::text, (select string_agg(delta_version::text, ',') from lake.ledger)";
    assert_eq!(setting.ask(state).await, "1 1,1");
    setting.promote(&[(1, "a"), (2, "new")], &[1, 2]).await;
    setting.project.warehouse_sql = vec![("sql/warehouse/a.sql".into(), "select 1/0".into())];
    setting.load(false).await.unwrap_err();
    assert_eq!(setting.ask(state).await, "1 1,1");
    setting.project.warehouse_sql[0].1 = "create or replace view gold.v as select 1 as one".into();
    setting.load(false).await.unwrap();
    assert_eq!(setting.ask("select count(*)::text, (select one::text from gold.v) from gold.dim_book").await, "2 1");
    setting.project.warehouse_sql[0].1 = "create or replace view gold.v as select 2 as one".into();
    let report = setting.load(false).await.unwrap();
    assert!(report.tables.iter().all(|table| table.status == Status::Unchanged));
    assert_eq!(setting.ask("select one::text from gold.v").await, "2", "an edited script runs without new data");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_somebody_else_are_not_replaced() {
    let Some(setting) = setting().await else { return };
    let mut warehouse = connect(&setting.config).await.unwrap();
    let mut theirs = warehouse.begin().await.unwrap();
    assert!(theirs.try_lock().await.unwrap());
    let sql = "create table gold.dim_book (id bigint, title text); insert into gold.dim_book values (7, 'x')";
    theirs.run_script("theirs.sql".as_ref(), sql, "digest").await.unwrap();
    theirs.commit().await.unwrap();
    setting.promote(&[(1, "a")], &[1]).await;
    let error = setting.load(false).await.unwrap_err();
    assert_eq!(error.to_string(), "the warehouse table for `gold.dim_book` holds rows that lake did not load");
    setting.load(true).await.unwrap();
    assert_eq!(setting.ask("select title from gold.dim_book").await, "a");

    let Some(mut other) = self::setting().await else { return };
    other.config = setting.config.clone();
    other.promote(&[(1, "other")], &[1]).await;
    let error = other.load(false).await.unwrap_err();
    assert_eq!(error.to_string(), "the warehouse table for `gold.dim_book` holds rows that came from another lake");
    other.config.schema = "mart".into();
    other.load(false).await.unwrap();
    let report = setting.load(false).await.unwrap();
    assert!(report.tables.iter().all(|table| table.status == Status::Unchanged), "each schema has its own ledger rows");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_loads_at_once_load_once() {
    let Some(setting) = setting().await else { return };
    setting.promote(&[(1, "a"), (2, "b")], &[1, 2]).await;
    let (one, other) = tokio::join!(setting.load(false), setting.load(false));
    let loaded = |report: &Report| report.tables.iter().filter(|table| table.status == Status::Loaded).count();
    assert_eq!(loaded(&one.unwrap()) + loaded(&other.unwrap()), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_is_looked_up() {
    let Some(setting) = setting().await else { return };
    setting.promote(&[(1, "a")], &[1]).await;
    setting.load(false).await.unwrap();
    let mut warehouse = connect(&setting.config).await.unwrap();
    let id = warehouse.ledger().await.unwrap()[0].load_id.clone();
    let cause = || Error::unavailable("the wire was cut");
    let (progress, stop) = (Progress::silent(), Stop::default());
    settle(warehouse.as_mut(), &id, cause(), &progress, &stop).await.unwrap();
    let error = settle(warehouse.as_mut(), "another", cause(), &progress, &stop).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
}

/// A warehouse that is gone once the COMMIT was sent.
struct Gone;

#[async_trait::async_trait]
impl Warehouse for Gone {
    fn address(&self) -> &str {
        "nowhere"
    }

    fn schema(&self) -> &str {
        "gold"
    }

    async fn begin(&mut self) -> Result<Box<dyn Load + '_>> {
        Err(Error::internal("the connection ended again"))
    }

    async fn reconnect(&mut self) -> Result<()> {
        Ok(())
    }

    async fn ledger(&mut self) -> Result<Vec<Entry>> {
        Ok(Vec::new())
    }

    async fn query(&mut self, _sql: &str) -> Result<crate::warehouse::Answer> {
        Ok(Default::default())
    }
}

#[tokio::test]
async fn a_ledger_that_cannot_be_asked_leaves_the_outcome_unknown() {
    let cause = Error::unavailable("the wire was cut");
    let error = settle(&mut Gone, "id", cause, &Progress::silent(), &Stop::default()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("whether the load is in could not be found out"), "{error}");
    assert_eq!(unknown(Error::interrupted(15)).kind(), Kind::Interrupted(15), "a stop stays a stop");
}

/// A folder deleted and built again counts its versions from the start.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_made_anew_is_loaded_although_its_version_stands() {
    let Some(setting) = setting().await else { return };
    setting.promote(&[(1, "a"), (2, "b")], &[1, 2]).await;
    let before = setting.load(false).await.unwrap();
    std::fs::remove_dir_all(setting._folder.path().join("lake/gold/fact_sale")).unwrap();
    setting.write("fact_sale", vec![("book", Arc::new(Int64Array::from(vec![2])))]).await;
    setting.publish(&["dim_book", "fact_sale"]).await;
    let mut warehouse = connect(&setting.config).await.unwrap();
    let proofs = star::prove(&setting.lake, &setting.engine, warehouse.as_mut(), &Scope::default()).await.unwrap();
    assert_eq!(proofs[1].differences, ["`gold.fact_sale` was made anew since it was loaded"]);
    let report = setting.load(false).await.unwrap();
    assert_eq!(report.tables[1].version, before.tables[1].version, "else this proves nothing");
    assert_eq!(statuses(&report), [("gold.dim_book", 2, Status::Unchanged), ("gold.fact_sale", 1, Status::Loaded)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_made_anew_that_no_run_has_published_is_not_loaded() {
    let Some(setting) = setting().await else { return };
    setting.promote(&[(1, "a"), (2, "b")], &[1, 2]).await;
    setting.load(false).await.unwrap();
    std::fs::remove_dir_all(setting._folder.path().join("lake/gold/fact_sale")).unwrap();
    let error = setting.load(false).await.unwrap_err();
    assert_eq!(error.to_string(), "run 1 names `gold.fact_sale`, which is not in the lake");
    setting.write("fact_sale", vec![("book", Arc::new(Int64Array::from(vec![2])))]).await;
    let error = setting.load(false).await.unwrap_err();
    assert_eq!(error.to_string(), "`gold.fact_sale` is not the table that run 1 published");
    assert_eq!(setting.ask("select count(*)::text from gold.fact_sale").await, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_project_proves_only_what_it_loaded() {
    let (Some(setting), Some(mut other)) = (setting().await, setting().await) else { return };
    setting.promote(&[(1, "a")], &[1]).await;
    setting.load(false).await.unwrap();
    other.config = WarehouseConfig { schema: "mart".into(), ..setting.config.clone() };
    other.promote(&[(7, "x"), (8, "y")], &[7]).await;
    let prove = async |of: &Setting| {
        let mut warehouse = connect(&of.config).await.unwrap();
        let proofs = star::prove(&of.lake, &of.engine, warehouse.as_mut(), &Scope::default()).await.unwrap();
        let told = |proof: star::Star| (proof.table, proof.differences.iter().map(ToString::to_string).collect());
        proofs.into_iter().map(told).collect::<Vec<(String, Vec<String>)>>()
    };
    let never = vec!["it was never loaded into the warehouse".to_string()];
    let name = |table: &str| table.to_string();
    let expected = [(name("gold.dim_book"), never.clone()), (name("gold.fact_sale"), never)];
    assert_eq!(prove(&other).await, expected, "the loads of another project are not its own");
    other.load(false).await.unwrap();
    assert_eq!(prove(&other).await, [(name("mart.dim_book"), vec![]), (name("mart.fact_sale"), vec![])]);
    assert_eq!(prove(&setting).await, [(name("gold.dim_book"), vec![]), (name("gold.fact_sale"), vec![])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_a_load_between_batches() {
    let Some(setting) = setting().await else { return };
    setting.promote(&[(1, "a")], &[1]).await;
    let mut warehouse = connect(&setting.config).await.unwrap();
    let stop = Stop::default();
    stop.request(15);
    let (options, progress, warehouse) = (Options::default(), Progress::silent(), warehouse.as_mut());
    let ended = load(&setting.project, &setting.lake, &setting.engine, warehouse, &options, &progress, &stop);
    assert_eq!(ended.await.unwrap_err().kind(), Kind::Interrupted(15));
    assert_eq!(setting.ask("select to_regclass('gold.dim_book')::text").await, "NULL");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_left_the_model_leaves_the_warehouse() {
    let Some(setting) = setting().await else { return };
    setting.promote(&[(1, "a")], &[1]).await;
    setting.load(false).await.unwrap();
    std::fs::remove_dir_all(setting._folder.path().join("lake/gold/dim_book")).unwrap();
    let (ids, genres): (ArrayRef, ArrayRef) =
        (Arc::new(Int64Array::from(vec![1])), Arc::new(StringArray::from(vec!["poetry"])));
    setting.write("dim_book", vec![("id", ids), ("genre", genres)]).await;
    setting.publish(&["dim_book", "fact_sale"]).await;
    setting.load(false).await.unwrap();
    assert_eq!(setting.ask("select to_jsonb(b)::text from gold.dim_book b").await, r#"{"id": 1, "genre": "poetry"}"#);
    assert_eq!(setting.load(false).await.unwrap().tables[0].status, Status::Unchanged);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_without_columns_is_completed() {
    let Some(mut setting) = setting().await else { return };
    setting.promote(&[(1, "a")], &[1]).await;
    let forget = "update lake.ledger set columns = null";
    setting.project.warehouse_sql = vec![("sql/warehouse/a.sql".into(), forget.into())];
    setting.load(false).await.unwrap();
    setting.project.warehouse_sql.clear();
    setting.load(false).await.unwrap();
    let known = "select string_agg(columns::text, ' ' order by table_name) from lake.ledger";
    assert_eq!(setting.ask(known).await, "{id,title} {book}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_any_name_is_loaded_and_proven() {
    let Some(mut setting) = setting().await else { return };
    setting.config.schema = "the \"shop\"; drop table книга.x".into();
    setting.promote(&[(1, "a")], &[1]).await;
    setting.load(false).await.unwrap();
    let report = setting.load(false).await.unwrap();
    assert!(report.tables.iter().all(|table| table.status == Status::Unchanged));
    let mut warehouse = connect(&setting.config).await.unwrap();
    let proofs = star::prove(&setting.lake, &setting.engine, warehouse.as_mut(), &Scope::default()).await.unwrap();
    assert!(proofs.len() == 2 && proofs.iter().all(|proof| proof.differences.is_empty()), "{proofs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_too_wide_for_postgres_is_refused_before_anything_is_done() {
    let Some(setting) = setting().await else { return };
    setting.promote(&[(1, "a")], &[1]).await;
    let names: Vec<String> = (0..1601).map(|index| format!("c{index}")).collect();
    let value: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    setting.write("wide", names.iter().map(|name| (name.as_str(), Arc::clone(&value))).collect()).await;
    setting.publish(&["dim_book", "fact_sale", "wide"]).await;
    let error = setting.load(false).await.unwrap_err();
    assert_eq!(error.to_string(), "`wide` has 1601 columns, Postgres holds 1600");
    assert_eq!(setting.ask("select to_regclass('gold.dim_book')::text").await, "NULL");
}
