//! A small shop: two Bronze tables written through `table`, and a Silver model on each.

use super::*;
use crate::engine::EngineConfig;
use crate::table::{Commit, LakeConfig, Mode};
use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use arrow::record_batch::RecordBatch;
use std::collections::BTreeMap;
use std::sync::Arc;
use tempfile::TempDir;

const SOURCES: &str = "\
version: 2
sources:
  - name: shop
    tables:
      - name: books
      - name: sales
";
pub const BOOKS: &str = "select id, title from bronze.books\n";
const SALES: &str = "select id, book, amount from {{ source('shop', 'sales') }}\n";

pub struct Shop {
    pub root: TempDir,
    pub lake: Lake,
    pub engine: Engine,
}

impl Shop {
    /// Two Bronze tables with three rows each, and a Silver model on each.
    pub async fn open(files: &[(&str, &str)]) -> Shop {
        let shop = Shop::bare(&[]).await;
        shop.write("models/sources.yml", SOURCES);
        shop.write("models/silver/books.sql", BOOKS);
        shop.write("models/silver/sales.sql", SALES);
        for (path, text) in files {
            shop.write(path, text);
        }
        shop.add_books(&[(Some(1), "Emma"), (Some(2), "Ulysses"), (Some(3), "Буря")]).await;
        shop.add_sales(&[(1, Some(1), 5), (2, Some(1), 7), (3, None, 9)]).await;
        shop
    }

    /// These files alone, and an empty lake.
    pub async fn bare(files: &[(&str, &str)]) -> Shop {
        let root = tempfile::tempdir().unwrap();
        let address = root.path().join("lake").to_string_lossy().into_owned();
        let lake = Lake::open(&LakeConfig { root: address, ..LakeConfig::default() }).await.unwrap();
        let engine = Engine::new(&EngineConfig { memory_bytes: 64 << 20, threads: 2 }).unwrap();
        let shop = Shop { root, lake, engine };
        for (path, text) in files {
            shop.write(path, text);
        }
        shop
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.root.path().join(path)).unwrap()
    }

    pub fn exists(&self, path: &str) -> bool {
        self.root.path().join(path).exists()
    }

    pub async fn add_books(&self, rows: &[(Option<i64>, &str)]) {
        let ids: Int64Array = rows.iter().map(|(id, _)| *id).collect();
        let titles: StringArray = rows.iter().map(|(_, title)| Some(*title)).collect();
        self.add("bronze.books", vec![("id", Arc::new(ids)), ("title", Arc::new(titles))], rows.len()).await;
    }

    pub async fn add_sales(&self, rows: &[(i64, Option<i64>, i64)]) {
        let ids: Int64Array = rows.iter().map(|row| Some(row.0)).collect();
        let books: Int64Array = rows.iter().map(|row| row.1).collect();
        let amounts: Int64Array = rows.iter().map(|row| Some(row.2)).collect();
        let columns: Vec<(&str, ArrayRef)> =
            vec![("id", Arc::new(ids)), ("book", Arc::new(books)), ("amount", Arc::new(amounts))];
        self.add("bronze.sales", columns, rows.len()).await;
    }

    /// Rows in the shape of a Bronze table, with one quarantined record more.
    async fn add(&self, table: &str, columns: Vec<(&str, ArrayRef)>, rows: usize) {
        let text = |value: Option<&str>| -> ArrayRef { Arc::new(StringArray::from(vec![value; rows])) };
        let flags: ArrayRef = Arc::new(BooleanArray::from(vec![false; rows]));
        let all: Vec<(&str, ArrayRef)> = columns
            .into_iter()
            .chain([("_source", text(Some("f.csv"))), ("_reason", text(None)), ("_raw", text(None))])
            .chain([("_quarantined", flags)])
            .collect();
        let fields: Vec<Field> =
            all.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let good = RecordBatch::try_new(schema.clone(), all.into_iter().map(|(_, column)| column).collect()).unwrap();
        let name = TableName::parse(table).unwrap();
        let mut table = self.lake.create(&name, schema.clone(), &["_quarantined"]).await.unwrap();
        let mut stage = table.stage(schema.clone()).await.unwrap();
        stage.write(good).await.unwrap();
        stage.write(quarantined(&schema)).await.unwrap();
        let commit = Commit {
            mode: Mode::Append,
            staged: stage.finish().await.unwrap(),
            txns: Vec::new(),
            info: serde_json::Map::new(),
        };
        table.commit(commit, "table.commit").await.unwrap();
    }

    pub fn project(&self) -> Result<Project> {
        Project::load(self.root.path(), &BTreeMap::new(), &[])
    }

    pub async fn promote(&self, layers: &[Layer]) -> Result<(Report, Option<Error>)> {
        self.promote_with(Options { layers: layers.to_vec(), ..Options::default() }).await
    }

    pub async fn promote_with(&self, options: Options) -> Result<(Report, Option<Error>)> {
        let (progress, stop) = (Progress::silent(), Stop::default());
        promote(self.root.path(), &self.project()?, &self.lake, &self.engine, &options, &progress, &stop).await
    }

    pub async fn all(&self) -> Report {
        let (report, failure) = self.promote(&[Layer::Silver, Layer::Gold]).await.unwrap();
        assert!(failure.is_none(), "{failure:?}");
        report
    }

    pub async fn fails(&self) -> (Report, Error) {
        let (report, failure) = self.promote(&[Layer::Silver, Layer::Gold]).await.unwrap();
        (report, failure.expect("a failure"))
    }

    /// The error of a run whose only model at fault has this text.
    pub async fn fault(&self) -> String {
        match self.promote(&[Layer::Silver, Layer::Gold]).await {
            Err(error) => error.to_string(),
            Ok((_, failure)) => failure.expect("a failure").to_string(),
        }
    }

    /// First column of a query over the lake as it stands now.
    pub async fn numbers(&self, sql: &str) -> Vec<i64> {
        let session = self.engine.session();
        crate::flow::catalog::open_all(&self.lake, &session, None).await.unwrap();
        let batches = session.query(sql).await.unwrap();
        let columns = batches.iter().map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec());
        columns.flatten().collect()
    }
}

fn quarantined(schema: &Arc<Schema>) -> RecordBatch {
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match (field.name().as_str(), field.data_type()) {
            ("_quarantined", _) => Arc::new(BooleanArray::from(vec![true])),
            ("_reason", _) => Arc::new(StringArray::from(vec!["torn"])),
            (_, DataType::Int64) => Arc::new(Int64Array::from(vec![None])),
            _ => Arc::new(StringArray::from(vec![None::<&str>])),
        }
    });
    RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()
}
