//! The lake as a whole: its tables, and the few objects that lie beside them.

use super::failure::failed;
use super::store::{LakeConfig, Store};
use super::{Table, schema};
use crate::error::{Context, Error, Kind, Result};
use crate::ident::{Layer, TableName};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use deltalake::DeltaTableError;
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake::kernel::transaction::CommitProperties;
use deltalake::kernel::{StructField, StructType};
use deltalake::operations::create::CreateBuilder;
use deltalake::protocol::SaveMode;
use std::sync::Arc;

/// Commits after which the log gets a checkpoint, so that opening a table stays cheap.
const CHECKPOINT_INTERVAL: &str = "20";

/// Handle on the whole lake; cheap to clone. A table lies at `<root>/<layer>/<name>`.
#[derive(Clone)]
pub struct Lake(Arc<Store>);

impl Lake {
    /// Connects; on a remote store also proves once that conditional PUT is honoured, and refuses without it.
    /// A store that does not answer is an error of kind Unavailable after 15 s at most.
    pub async fn open(config: &LakeConfig) -> Result<Lake> {
        let store = Store::connect(config)?;
        if !store.is_local() {
            store.probe().await?;
        }
        Ok(Lake(Arc::new(store)))
    }

    #[cfg(test)]
    pub(super) fn over(objects: Arc<dyn object_store::ObjectStore>) -> Lake {
        Lake(Arc::new(Store::over(objects)))
    }

    /// Writes, refuses to overwrite and deletes one object: reachable, permitted and conditional PUT honoured.
    pub async fn probe(&self) -> Result<()> {
        self.0.probe().await
    }

    /// Root as shown to people (no secrets in it).
    pub fn root(&self) -> &str {
        self.0.shown()
    }

    /// Names of the tables of a layer, sorted.
    pub async fn tables(&self, layer: Layer) -> Result<Vec<TableName>> {
        let mut tables = Vec::new();
        for name in self.0.folders(layer.as_str()).await? {
            let Ok(table) = TableName::new(layer, &name) else {
                tracing::warn!("`{layer}/{name}` in the lake cannot be a table's folder and is left out");
                continue;
            };
            if self.exists(&table).await? {
                tables.push(table);
            }
        }
        Ok(tables)
    }

    async fn exists(&self, name: &TableName) -> Result<bool> {
        let log = self.0.log_store(&folder(name))?;
        log.is_delta_table_location().await.map_err(|error| failed(error, format!("look for table `{name}`")))
    }

    /// The table at its newest version; `None` when it does not exist.
    pub async fn table(&self, name: &TableName) -> Result<Option<Table>> {
        if !self.exists(name).await? {
            return Ok(None);
        }
        Table::load(name.clone(), self.0.log_store(&folder(name))?, None).await.map(Some)
    }

    /// Creates the table, or opens it when it exists by now (whatever its schema: the caller compares).
    /// Types are brought into the shape of [`schema::storable`].
    pub async fn create(&self, name: &TableName, schema: SchemaRef, partition_by: &[&str]) -> Result<Table> {
        if let Some(table) = self.table(name).await? {
            return Ok(table);
        }
        let log = self.0.log_store(&folder(name))?;
        let created = CreateBuilder::new()
            .with_log_store(log.clone())
            .with_columns(delta_schema(&schema, name)?.fields().cloned())
            .with_partition_columns(partition_by.iter().copied())
            .with_configuration([
                ("delta.checkpointInterval", Some(CHECKPOINT_INTERVAL)),
                // Old commits say what became of each offset; only `lake maintain` knows how to keep that.
                ("delta.enableExpiredLogCleanup", Some("false")),
            ])
            .with_save_mode(SaveMode::ErrorIfExists)
            // A retry would write our columns over those of the writer who came first.
            .with_commit_properties(CommitProperties::default().with_max_retries(0))
            .await;
        match created {
            Ok(_) => Table::load(name.clone(), log, None).await,
            Err(error) => match self.table(name).await? {
                Some(table) => Ok(table),
                // Its first version was said to exist, and does not.
                None if matches!(error, DeltaTableError::InvalidVersion(_)) => {
                    let message = format!("the store refused to create table `{name}` as if it existed");
                    Err(Error::conflict(message).hint("run again").caused_by(error))
                }
                None => Err(failed(error, format!("create table `{name}`"))),
            },
        }
    }

    /// Writes an object that must not exist yet (conditional PUT). False: it exists.
    pub async fn put_new(&self, path: &str, bytes: Bytes) -> Result<bool> {
        self.0.put_new(path, bytes).await
    }

    pub async fn get(&self, path: &str) -> Result<Option<Bytes>> {
        self.0.get(path).await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<()> {
        self.0.delete(path).await
    }

    /// Paths below a prefix, relative to the lake's root, sorted.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.0.list(prefix).await
    }
}

fn folder(name: &TableName) -> String {
    format!("{}/{}", name.layer(), name.name())
}

/// The Delta schema of these columns, all made storable; kind Config names the column that cannot be.
pub(super) fn delta_schema(arrow: &SchemaRef, table: &TableName) -> Result<StructType> {
    schema::check_columns(arrow, &table.to_string())?;
    let columns = schema::storable(arrow);
    let mut fields: Vec<StructField> = Vec::with_capacity(columns.fields().len());
    for field in columns.fields() {
        let column = field.as_ref().try_into_kernel().map_err(|error| {
            let (name, data_type) = (field.name(), field.data_type());
            Error::config(format!("column `{name}` of `{table}` is {data_type}, which no Delta table can hold"))
                .hint("cast it, for example to text")
                .caused_by(error)
        });
        fields.push(column?);
    }
    StructType::try_new(fields).context(Kind::Config, || format!("the columns of `{table}` fit no Delta table"))
}
