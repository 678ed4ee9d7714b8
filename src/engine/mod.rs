//! SQL over the lake's tables: the DataFusion session.
//!
//! Owns planning and running of queries, what SQL is allowed, how much memory it may take, how tables are
//! joined when that is short (`joins`), the names of types, where the columns of a result come from (`lineage`), which
//! part of a table's rows a query may be run on (`narrow`), whether it gives the same rows each time (`steady`), which
//! functions there are (`functions`), those of our own, which read text (`parse`) and look into JSON (`json`), and which
//! expressions another database reads alike (`portable`). Results leave it in the shape of [`crate::table::schema`]: no
//! views, no dictionaries, microseconds.
//! Never writes, never decides what a query means for a model: it answers, or says where the text is wrong.
//!
//! To run queries elsewhere later (more than one machine), only [`Session`] has to change.

pub mod lineage;
pub mod narrow;
pub mod portable;
pub mod sql;
pub mod types;

mod deep;
mod fault;
mod floating;
mod functions;
mod joins;
mod json;
mod parse;
mod prepared;
mod regroup;
mod steady;
mod value;

#[cfg(test)]
mod tests;

pub use fault::{Fault, failed, fault_of};
pub use functions::Function;
pub use prepared::Prepared;
pub use steady::Steadiness;

use crate::error::{Context, Error, Kind, Result};
use crate::ident::{Layer, TableName};
use crate::table::schema;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider};
use datafusion::common::Column;
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::{MemTable, TableProvider, ViewTable};
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::execution::{FunctionRegistry, SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::Analyzer;
use datafusion::physical_plan::common::spawn_buffered;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use fault::exhausted;
use floating::FloatingLiterals;
use futures::{StreamExt, TryStreamExt};
use joins::Joins;
use lineage::Lineage;
use narrow::Narrow;
use std::sync::Arc;

/// The one catalog, and in it the schema of names without a layer.
const CATALOG: &str = "lake";
const UNQUALIFIED: &str = "public";
const BATCH_ROWS: usize = 8192;
/// Batches of a result that wait to be read.
const BATCHES_AHEAD: usize = 2;
/// What each sort keeps free to merge what it has spilled, where there is enough for many.
const SORT_RESERVE_BYTES: usize = 10 << 20;
/// What DataFusion calls it in the metrics of a scan.
const BYTES_READ: &str = "bytes_scanned";

/// What queries hold that DataFusion does not count: files being read and written, rows on their way.
const UNCOUNTED_BYTES: usize = 96 << 20;

#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Bytes queries may take; before they do, they spill to disk.
    pub memory_bytes: usize,
    /// Parallel partitions of a query.
    pub threads: usize,
}

/// Makes sessions that share one memory pool. Spills to the system's directory for temporary files.
#[derive(Clone)]
pub struct Engine {
    runtime: Arc<RuntimeEnv>,
    config: SessionConfig,
}

impl Engine {
    pub fn new(config: &EngineConfig) -> Result<Engine> {
        let counted = config.memory_bytes - UNCOUNTED_BYTES.min(config.memory_bytes / 2);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(counted)))
            .build_arc()
            .context(Kind::Unavailable, || "prepare the query engine")?;
        let threads = config.threads.max(1);
        let mut session = SessionConfig::new()
            .with_target_partitions(threads)
            .with_sort_spill_reservation_bytes(SORT_RESERVE_BYTES.min(counted / (8 * threads)))
            .with_batch_size(BATCH_ROWS)
            .with_default_catalog_and_schema(CATALOG, UNQUALIFIED)
            .with_create_default_catalog_and_schema(false);
        session.options_mut().sql_parser.collect_spans = true;
        // `0.19` is exactly that: read as a float, money times a rate would no longer be exact.
        session.options_mut().sql_parser.parse_float_as_decimal = true;
        session.options_mut().execution.time_zone = Some("UTC".into());
        Ok(Engine { runtime, config: session })
    }

    /// Parallel partitions of a query.
    pub fn threads(&self) -> usize {
        self.config.target_partitions()
    }

    /// The same for queries over so few rows that sharing them out takes longer than working on them. Rows stay in order.
    pub fn sequential(&self) -> Engine {
        Engine { runtime: self.runtime.clone(), config: self.config.clone().with_target_partitions(1) }
    }

    /// An empty session with the schemas `bronze`, `silver` and `gold`.
    pub fn session(&self) -> Session {
        let mut rules = Analyzer::new().rules;
        rules.insert(0, Arc::new(FloatingLiterals));
        let state = SessionStateBuilder::new_with_default_features()
            .with_config(self.config.clone())
            .with_runtime_env(self.runtime.clone())
            .with_analyzer_rules(rules)
            .build();
        let mut context = SessionContext::new_with_state(state);
        let schema = || Arc::new(MemorySchemaProvider::new());
        let layers = Layer::ALL.map(|layer| (layer, schema()));
        let unqualified = schema();
        let catalog = MemoryCatalogProvider::new();
        let named = layers.iter().map(|(layer, schema)| (layer.as_str(), schema));
        for (name, schema) in named.chain([(UNQUALIFIED, &unqualified)]) {
            // Cannot fail: a catalog in memory takes every schema.
            if let Err(error) = catalog.register_schema(name, schema.clone()) {
                tracing::error!("schema `{name}` could not be registered: {error}");
            }
        }
        context.register_catalog(CATALOG, Arc::new(catalog));
        parse::functions().chain(json::functions()).for_each(|function| context.register_udf(function));
        // Cannot fail either: a session takes every planner.
        if let Err(error) = context.register_expr_planner(Arc::new(json::Operators)) {
            tracing::error!("`->` could not be registered: {error}");
        }
        let planner = Arc::new(context.state());
        Session { context, planner, tables: Tables { layers, unqualified } }
    }
}

/// Runs `work`, which reads many statements, on one stack deep enough for each: a thread for every one of them
/// takes longer than most statements.
pub fn on_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    deep::call(work)
}

/// As [`on_deep_stack`], for work that plans many statements. It runs no query: the thread it is asked on waits.
pub async fn planning_on_deep_stack<T: Send>(work: impl Future<Output = T> + Send) -> Result<T> {
    deep::wait(work).await
}

/// Batches of one schema as a table.
pub fn in_memory(schema: SchemaRef, batches: Vec<RecordBatch>) -> Result<Arc<dyn TableProvider>> {
    let table =
        MemTable::try_new(schema, vec![batches]).context(Kind::Internal, || "the batches are not of one schema")?;
    Ok(Arc::new(table))
}

/// A set of registered tables to query. Reads only: a statement other than a query is refused.
pub struct Session {
    context: SessionContext,
    /// Its functions and rules, which stay the same: a copy of them for every statement takes longer than most of these.
    planner: Arc<SessionState>,
    tables: Tables,
}

/// What is registered; a clone is the same.
#[derive(Clone)]
struct Tables {
    layers: [(Layer, Arc<MemorySchemaProvider>); 3],
    unqualified: Arc<MemorySchemaProvider>,
}

impl Tables {
    fn has(&self, parts: &[String]) -> bool {
        match parts {
            [name] => self.unqualified.table_exist(name),
            [layer, name] => Layer::parse(layer).is_some_and(|layer| self.layer(layer).table_exist(name)),
            _ => false,
        }
    }

    /// Every registered name as a query writes it.
    fn names(&self) -> Vec<String> {
        let qualified = self
            .layers
            .iter()
            .flat_map(|(layer, schema)| schema.table_names().into_iter().map(move |name| format!("{layer}.{name}")));
        qualified.chain(self.unqualified.table_names()).collect()
    }

    fn layer(&self, layer: Layer) -> &MemorySchemaProvider {
        match layer {
            Layer::Bronze => &self.layers[0].1,
            Layer::Silver => &self.layers[1].1,
            Layer::Gold => &self.layers[2].1,
        }
    }
}

impl Session {
    /// Makes `provider` visible as `layer.name`, replacing an earlier one.
    pub fn register(&self, table: &TableName, provider: Arc<dyn TableProvider>) -> Result<()> {
        replace(self.tables.layer(table.layer()), table.name(), provider)
    }

    /// Makes columns visible as those of `layer.name`, a table without rows, replacing an earlier one: enough to plan.
    pub fn register_columns(&self, table: &TableName, columns: SchemaRef) -> Result<()> {
        self.register(table, Arc::new(EmptyTable::new(columns)))
    }

    /// Makes `provider` visible under a name without a layer, replacing an earlier one.
    pub fn register_unqualified(&self, name: &str, provider: Arc<dyn TableProvider>) -> Result<()> {
        replace(&self.tables.unqualified, name, provider)
    }

    /// Makes batches visible under an unqualified name, replacing an earlier one.
    pub fn register_batches(&self, name: &str, schema: SchemaRef, batches: Vec<RecordBatch>) -> Result<()> {
        self.register_unqualified(name, in_memory(schema, batches)?)
    }

    /// Makes the result of a query visible as `layer.name`, replacing an earlier table; nothing runs yet.
    /// The query sees the tables registered now, so a view may take the name of a table it reads.
    pub async fn register_view(&self, table: &TableName, sql: &str) -> Result<()> {
        let plan = self.logical(sql).await?;
        self.register(table, Arc::new(ViewTable::new(plan, None)))
    }

    /// Output schema of a query without running it. Planning errors carry their place, see [`Fault`].
    pub async fn schema_of(&self, sql: &str) -> Result<SchemaRef> {
        let plan = self.logical(sql).await?;
        Ok(schema::storable(plan.schema().as_arrow()))
    }

    /// As [`Session::schema_of`], and where each of the columns comes from.
    pub async fn lineage_of(&self, sql: &str) -> Result<(SchemaRef, Lineage)> {
        let (planner, tables, sql) = (self.planner.clone(), self.tables.clone(), sql.to_string());
        deep::run(move || async move {
            let plan = plan(&planner, &tables, &sql).await?;
            let lineage = lineage::of(&plan).map_err(|error| failed(error, "trace the columns of a query"))?;
            Ok((schema::storable(plan.schema().as_arrow()), lineage))
        })
        .await?
    }

    /// Whether the query may be run on a part of `table`'s rows, see [`Narrow`]; else why not.
    pub async fn narrow(&self, sql: &str, table: &TableName) -> Result<std::result::Result<Narrow, String>> {
        let (planner, tables, sql, table) =
            (self.planner.clone(), self.tables.clone(), sql.to_string(), table.to_string());
        deep::run(move || async move {
            let plan = plan(&planner, &tables, &sql).await?;
            Ok(narrow::of(&plan, &table))
        })
        .await?
    }

    /// The whole result. Its columns are those of [`Session::schema_of`]; it may hold no batch.
    pub async fn query(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        self.stream(sql).await?.try_collect().await.map_err(|error| failed(error, "run a query"))
    }

    /// The result as it comes. What it yields as an error, [`failed`] turns into ours.
    pub async fn stream(&self, sql: &str) -> Result<SendableRecordBatchStream> {
        self.run(sql, &[]).await.map(|(rows, _)| rows)
    }

    /// As [`Session::stream`], sorted by columns of the result, the least first and NULL last.
    pub async fn sorted(&self, sql: &str, by: &[String]) -> Result<SendableRecordBatchStream> {
        self.run(sql, by).await.map(|(rows, _)| rows)
    }

    /// As [`Session::stream`], with the means to see what was read of files for it.
    pub async fn measured(&self, sql: &str) -> Result<(SendableRecordBatchStream, Reading)> {
        self.run(sql, &[]).await
    }

    /// Begins a query; see `joins` for what becomes of one that does not fit into memory.
    async fn run(&self, sql: &str, sorted_by: &[String]) -> Result<(SendableRecordBatchStream, Reading)> {
        let plan = self.physical(sql, sorted_by, Joins::Hashed).await?;
        let rows = ahead(results(plan.clone(), self.context.task_ctx())?);
        if !joins::any_hashed(plan.as_ref()) {
            return Ok((rows, Reading(plan)));
        }
        let (rows, ran_out) = joins::ran_out(rows).await;
        if !ran_out {
            return Ok((rows, Reading(plan)));
        }
        // What it holds has to be free before it is begun again.
        drop((rows, plan));
        tracing::debug!("a join does not fit into memory: both sides are sorted instead");
        let plan = self.physical(sql, sorted_by, Joins::Sorted).await?;
        let sorting = Arc::new(TaskContext::from(&Joins::Sorted.choose(self.context.state())));
        Ok((ahead(results(plan.clone(), sorting)?), Reading(plan)))
    }

    async fn logical(&self, sql: &str) -> Result<LogicalPlan> {
        let (planner, tables, sql) = (self.planner.clone(), self.tables.clone(), sql.to_string());
        deep::run(move || async move { plan(&planner, &tables, &sql).await }).await?
    }

    async fn physical(&self, sql: &str, sorted_by: &[String], joins: Joins) -> Result<Arc<dyn ExecutionPlan>> {
        let (context, tables, sql) = (self.context.clone(), self.tables.clone(), sql.to_string());
        let (planner, by) = (self.planner.clone(), sorted_by.to_vec());
        deep::run(move || async move {
            let logical = plan(&planner, &tables, &sql).await?;
            let logical = sorted(logical, &by).map_err(|error| failed(error, "sort the rows of a query"))?;
            let state = joins.choose(context.state());
            let optimized = state.optimize(&logical).map_err(|error| failed(error, "plan a query"))?;
            let physical = state.query_planner().create_physical_plan(&optimized, &state).await;
            physical.map_err(|error| failed(error, "plan a query"))
        })
        .await?
    }
}

fn sorted(plan: LogicalPlan, by: &[String]) -> datafusion::error::Result<LogicalPlan> {
    if by.is_empty() {
        return Ok(plan);
    }
    let column = |name: &String| {
        let found = plan.schema().qualified_field_with_unqualified_name(name)?;
        Ok(Expr::Column(Column::from(found)).sort(true, false))
    };
    let by = by.iter().map(column).collect::<datafusion::error::Result<Vec<_>>>()?;
    LogicalPlanBuilder::from(plan).sort(by)?.build()
}

/// The same rows worked out by a task of its own, a little ahead of who reads them: several queries asked for by one task
/// run at the same time.
fn ahead(rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
    spawn_buffered(rows, BATCHES_AHEAD)
}

/// What a plan yields, in types that can be stored.
fn results(plan: Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
    let stream = execute_stream(plan, context).map_err(|error| failed(error, "run a query"))?;
    let columns = schema::storable(&stream.schema());
    let target = columns.clone();
    let batches = stream.map(move |batch| {
        schema::conform(&batch?, &target).map_err(|error| DataFusionError::External(Box::new(error)))
    });
    Ok(Box::pin(RecordBatchStreamAdapter::new(columns, batches)))
}

/// What a query reads of files.
pub struct Reading(Arc<dyn ExecutionPlan>);

impl Reading {
    /// Bytes read so far.
    pub fn bytes(&self) -> u64 {
        bytes_read(self.0.as_ref())
    }
}

fn bytes_read(plan: &dyn ExecutionPlan) -> u64 {
    let own = plan.metrics().and_then(|metrics| metrics.sum_by_name(BYTES_READ)).map_or(0, |bytes| bytes.as_usize());
    own as u64 + plan.children().into_iter().map(|child| bytes_read(child.as_ref())).sum::<u64>()
}

fn replace(schema: &MemorySchemaProvider, name: &str, provider: Arc<dyn TableProvider>) -> Result<()> {
    let describe = || format!("make `{name}` known to queries");
    schema.deregister_table(name).context(Kind::Internal, describe)?;
    schema.register_table(name.to_string(), provider).context(Kind::Internal, describe)?;
    Ok(())
}

/// From text to a checked logical plan. Runs on a deep stack, see [`deep`].
async fn plan(planner: &SessionState, tables: &Tables, sql: &str) -> Result<LogicalPlan> {
    let invalid = |fault: Fault| Error::config("the query is not valid").caused_by(fault);
    let query = sql::parse(sql).map_err(invalid)?;
    sql::check_tables(&query, |parts| tables.has(parts), || tables.names()).map_err(invalid)?;
    let statement = Statement::Statement(Box::new(query.into_statement()));
    let refused = |error: DataFusionError| invalid(fault::of_planning(&error));
    let plan = planner.statement_to_plan(statement).await.map_err(refused)?;
    // Types are final only after analysis: branches of a CASE or a UNION may differ before.
    planner.analyzer().execute_and_check(plan, planner.config_options(), |_, _| {}).map_err(refused)
}
