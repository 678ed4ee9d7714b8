//! Files that exist and that no version of the table names yet: readable, committable, deletable.

use super::failure::failed;
use crate::error::{Context, Kind, Result};
use crate::ident::TableName;
use arrow::array::StringArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Fields, Schema, SchemaRef};
use async_trait::async_trait;
use chrono::DateTime;
use deltalake::datafusion::catalog::Session;
use deltalake::datafusion::common::ScalarValue;
use deltalake::datafusion::datasource::listing::PartitionedFile;
use deltalake::datafusion::datasource::object_store::ObjectStoreUrl;
use deltalake::datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use deltalake::datafusion::datasource::source::DataSourceExec;
use deltalake::datafusion::datasource::table_schema::TableSchema;
use deltalake::datafusion::datasource::{TableProvider, TableType};
use deltalake::datafusion::error::Result as PlanResult;
use deltalake::datafusion::logical_expr::Expr;
use deltalake::datafusion::physical_plan::ExecutionPlan;
use deltalake::datafusion::physical_plan::empty::EmptyExec;
use deltalake::kernel::Add;
use deltalake::logstore::LogStoreRef;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// Files that exist and that no version of the table names yet. A clone means the same files.
#[derive(Clone)]
pub struct Staged {
    pub rows: u64,
    files: Arc<Files>,
}

#[derive(Clone)]
pub(super) struct Files {
    table: TableName,
    log: LogStoreRef,
    /// The version the table was at when the files were begun.
    pub base: u64,
    pub schema: SchemaRef,
    pub partition_by: Vec<String>,
    pub adds: Vec<Add>,
    /// Set when the files take the place of files that stand.
    pub rewrite: Option<Rewrite>,
}

/// The files whose place others take.
#[derive(Clone)]
pub(super) struct Rewrite {
    /// As [`deltalake`] names them.
    pub paths: HashSet<String>,
    /// Bytes a file was meant to have, when the rows are the very same.
    pub merged_to: Option<u64>,
}

impl Staged {
    pub(super) fn new(
        table: TableName,
        log: LogStoreRef,
        base: u64,
        schema: SchemaRef,
        partition_by: Vec<String>,
        rows: u64,
        adds: Vec<Add>,
    ) -> Staged {
        Staged { rows, files: Arc::new(Files { table, log, base, schema, partition_by, adds, rewrite: None }) }
    }

    /// The same files as the ones that take the place of `rewrite`'s and count as old as the newest of them.
    pub(super) fn rewriting(self, rewrite: Rewrite, modification_time: i64) -> Staged {
        let Files { table, log, base, schema, partition_by, adds, .. } = self.files.as_ref().clone();
        let adds = adds.into_iter().map(|add| Add { data_change: false, modification_time, ..add }).collect();
        let files = Files { table, log, base, schema, partition_by, adds, rewrite: Some(rewrite) };
        Staged { rows: self.rows, files: Arc::new(files) }
    }

    /// The same files as the ones that take the place of others, whose rows they need not have.
    pub(super) fn instead_of(self, paths: HashSet<String>) -> Staged {
        let files = Files { rewrite: Some(Rewrite { paths, merged_to: None }), ..self.files.as_ref().clone() };
        Staged { rows: self.rows, files: Arc::new(files) }
    }

    /// These files and others, begun from the same version or a later one, as one commit: it takes the place of what
    /// both do.
    pub fn and(self, later: Staged) -> Staged {
        let mut files = later.files.as_ref().clone();
        files.adds.splice(0..0, self.files.adds.iter().cloned());
        let replaced = self.files.rewrite.clone();
        match &mut files.rewrite {
            Some(rewrite) => rewrite.paths.extend(replaced.into_iter().flat_map(|replaced| replaced.paths)),
            None => files.rewrite = replaced,
        }
        Staged { rows: self.rows + later.rows, files: Arc::new(files) }
    }

    pub(super) fn files(&self) -> &Files {
        &self.files
    }

    pub fn schema(&self) -> SchemaRef {
        self.files.schema.clone()
    }

    /// The staged files as a table, for the tests that run before the commit. Registers the store it reads
    /// from in whatever session scans it.
    pub async fn provider(&self) -> Result<Arc<dyn TableProvider>> {
        let Files { schema, partition_by, adds, log, .. } = self.files.as_ref();
        FileTable::new(schema, partition_by, adds, log).map(|table| Arc::new(table) as Arc<dyn TableProvider>)
    }

    /// Deletes the files. Only for files that were not committed and whose commit is not in doubt. One that cannot be
    /// deleted is no failure: whatever ended the commit is what the caller has to tell.
    pub async fn discard(self) {
        if let Err(error) = self.delete().await {
            tracing::warn!("{error}; the files cost space and are read by nobody");
        }
    }

    /// [`Staged::discard`] for each.
    pub async fn discard_all(all: impl IntoIterator<Item = Staged>) {
        for staged in all {
            staged.discard().await;
        }
    }

    /// All that can be deleted; the error is of the last file that could not.
    async fn delete(&self) -> Result<()> {
        let store = self.files.log.object_store(None);
        let mut deleted = Ok(());
        for add in &self.files.adds {
            match store.delete(&location(add)?).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => {
                    let doing = format!("delete staged file `{}` of `{}`", add.path, self.files.table);
                    deleted = Err(failed(error, doing));
                }
            }
        }
        deleted
    }
}

/// Files as DataFusion reads them: exactly these, with the partition values of their actions; in this order when a
/// session has one partition.
pub(super) struct FileTable {
    schema: SchemaRef,
    /// Columns in the files, then partition columns.
    layout: TableSchema,
    /// Position in `layout` of each column of `schema`.
    positions: Vec<usize>,
    url: ObjectStoreUrl,
    store: Arc<dyn ObjectStore>,
    files: Vec<PartitionedFile>,
}

impl fmt::Debug for FileTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileTable").field("files", &self.files.len()).finish()
    }
}

impl FileTable {
    pub fn new(schema: &SchemaRef, partition_by: &[String], adds: &[Add], log: &LogStoreRef) -> Result<FileTable> {
        let partitioned = |field: &&FieldRef| partition_by.contains(field.name());
        let (partition, file): (Vec<FieldRef>, Vec<FieldRef>) =
            schema.fields().iter().cloned().partition(|field| partitioned(&field));
        let layout = TableSchema::builder(Arc::new(Schema::new(file)))
            .with_table_partition_cols(Fields::from(partition.clone()))
            .build();
        let positions = schema.fields().iter().map(|field| layout.table_schema().index_of(field.name()));
        let positions = positions.collect::<Result<_, _>>().context(Kind::Internal, || "arrange staged columns")?;
        let partitioned_files = adds.iter().map(|add| partitioned_file(add, &partition));
        // The store is rooted at the table's folder, so it needs an address of its own.
        let address = format!("staged://{}/", Uuid::new_v4());
        Ok(FileTable {
            schema: schema.clone(),
            layout,
            positions,
            url: ObjectStoreUrl::parse(&address).context(Kind::Internal, || "address staged files")?,
            store: log.object_store(None),
            files: partitioned_files.collect::<Result<_>>()?,
        })
    }
}

fn partitioned_file(add: &Add, partition: &[FieldRef]) -> Result<PartitionedFile> {
    let values = partition.iter().map(|field| {
        let text = add.partition_values.get(field.name()).cloned().flatten();
        partition_value(text.as_deref(), field.data_type())
    });
    let size = add.size.max(0) as u64;
    let meta =
        ObjectMeta { location: location(add)?, last_modified: DateTime::default(), size, e_tag: None, version: None };
    Ok(PartitionedFile::from(meta).with_partition_values(values.collect::<Result<_>>()?))
}

/// Where the file lies, its name as the writer encoded it: partition values may hold anything.
pub(super) fn location(add: &Add) -> Result<Path> {
    Path::parse(&add.path).context(Kind::Internal, || format!("find staged file `{}`", add.path))
}

/// Delta keeps partition values as text.
pub(super) fn partition_value(text: Option<&str>, data_type: &DataType) -> Result<ScalarValue> {
    let message = || format!("read partition value `{}` as {data_type}", text.unwrap_or("null"));
    let column = cast(&StringArray::from(vec![text]), data_type).context(Kind::Internal, message)?;
    ScalarValue::try_from_array(&column, 0).context(Kind::Internal, message)
}

#[async_trait]
impl TableProvider for FileTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let wanted = match projection {
            Some(columns) => columns.clone(),
            None => (0..self.positions.len()).collect(),
        };
        if self.files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(Arc::new(self.schema.project(&wanted)?))));
        }
        session.runtime_env().register_object_store(self.url.as_ref(), self.store.clone());
        let positions = wanted.into_iter().map(|column| self.positions[column]).collect();
        let files = FileGroup::new(self.files.clone());
        // Splitting sorts them by name.
        let groups = match session.config().target_partitions() {
            1 => vec![files],
            partitions => files.split_files(partitions),
        };
        let source = Arc::new(ParquetSource::new(self.layout.clone()));
        let scan = FileScanConfigBuilder::new(self.url.clone(), source)
            .with_file_groups(groups)
            .with_projection_indices(Some(positions))?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(scan))
    }
}
