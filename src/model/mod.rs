//! The project's files: contracts of Bronze tables, SQL models, their tests.
//!
//! Reads `models/`, `seeds/`, `macros/` and `sql/` into a [`Project`] whose every name is resolved, or reports all faults
//! at once with their places. Never touches the lake: the same files and variables always give the same project.
//!
//! - `files` finds and reads, `node` parses YAML with places, `fields` reads its maps, `contract` and `rules`
//!   understand dbt's spelling, `configs` its configs, `constraints` and `freshness` what it says as tests in other words,
//!   `unit` its unit tests, `stream` what it says of Kafka;
//! - `dbt` is a dbt project's own file, `layout` says in which layer a file's table lies, `seed` makes a model of a CSV;
//! - `template` expands, `origin` leads from the expanded statement back to the file;
//! - `materialization` is how a model's rows become its table, `views` puts those without a table into what reads them;
//! - `names` says what a name means, `graph` what comes first, `load` joins it all; `fault` prints.

mod configs;
mod constraints;
mod contract;
mod dbt;
pub mod fault;
mod fields;
pub mod files;
mod freshness;
mod graph;
mod layout;
mod load;
mod materialization;
mod names;
mod node;
pub mod origin;
mod rules;
mod seed;
mod statement;
mod stream;
mod template;
#[cfg(test)]
mod tests;
mod topics;
pub mod unit;
mod views;

use crate::check::{Check, Rule};
use crate::engine;
use crate::error::Result;
use crate::ident::TableName;
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
pub use dbt::FILE as DBT_FILE;
use fault::{Fault, Place};
use files::SourceFile;
pub use load::table_of;
pub use materialization::{ChangeBy, Incremental, Materialization, Snapshot, Strategy};
pub use names::{QUARANTINE_SUFFIX, rejected_of};
use origin::SourceMap;
pub use seed::SEED_ROWS;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
pub use stream::{Drift, KindBy, Only, StreamContract, reject_rate};
pub use topics::{Pattern, Topics};
pub use unit::UnitTest;

/// Everything of the project, read and checked together.
#[derive(Debug, Clone, Default)]
pub struct Project {
    /// Of the dbt project; empty when it is none.
    pub name: String,
    pub sources: Vec<SourceTable>,
    /// In dependency order.
    pub models: Vec<Model>,
    /// Stored nowhere, part of the statements that read them; in dependency order.
    pub views: Vec<Model>,
    /// `sql/checks/*.sql`, and the tests of views.
    pub singular: Vec<Check>,
    /// `sql/warehouse/*.sql`: (path relative to the project, text), in name order.
    pub warehouse_sql: Vec<(PathBuf, String)>,
    pub unit_tests: Vec<UnitTest>,
    /// Of the checks that are queries of the project's own, by the query.
    pub query_origins: BTreeMap<String, Origin>,
}

/// A Bronze table as `sources.yml` declares it.
#[derive(Debug, Clone)]
pub struct SourceTable {
    pub table: TableName,
    pub stream: StreamContract,
    pub columns: Vec<Column>,
    pub checks: Vec<Check>,
    /// `sql/bronze/<table>.sql`: (path relative to the project, text), applied to each micro-batch `batch`.
    pub stream_sql: Option<(PathBuf, String)>,
}

/// A column as a contract declares it.
#[derive(Debug, Clone, Default)]
pub struct Column {
    pub name: String,
    pub data_type: Option<DataType>,
    pub description: String,
}

/// What the contract calls a constraint of the table's rows: true of each, or null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    pub name: String,
    /// As [`engine::portable::expression`] writes it.
    pub expression: String,
}

/// One SELECT.
#[derive(Debug, Clone)]
pub struct Model {
    pub table: TableName,
    /// Relative to the project.
    pub file: PathBuf,
    /// After template expansion with `is_incremental()` false, every table written with its layer.
    pub sql: String,
    pub materialization: Materialization,
    /// Columns whose values name the folders its files lie in.
    pub partition_by: Vec<String>,
    /// Columns its new rows are sorted by.
    pub cluster_by: Vec<String>,
    pub description: String,
    pub columns: Vec<Column>,
    pub checks: Vec<Check>,
    /// Those of the checks that the warehouse's table is to have, too.
    pub conditions: Vec<Condition>,
    /// Tables it reads, sorted; in whichever rendering, through views.
    pub upstream: Vec<TableName>,
    /// What its text names, sorted: tables and views.
    pub reads: Vec<TableName>,
    pub tags: Vec<String>,
    /// The columns of the contract are all there are, in that order.
    pub contract_enforced: bool,
    /// Its contract may describe columns it does not return, as in dbt, where only an enforced one is compared.
    pub contract_describes: bool,
    /// The cells of a seed's file, all text, which its statement reads as [`SEED_ROWS`].
    pub seed: Option<RecordBatch>,
    /// Where its text comes from.
    pub origin: Origin,
}

/// The way back from a statement to the file it was written in.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    pub file: SourceFile,
    pub map: SourceMap,
    /// The other rendering, present when the template asks `is_incremental()`.
    pub incremental: Option<(String, SourceMap)>,
    /// Where the contract declares a column.
    pub columns: BTreeMap<String, Place>,
    /// The views that are part of it: statement and where it comes from.
    pub views: Vec<(String, Origin)>,
}

impl Model {
    /// The columns of the declared primary key: a `unique` test whose columns are all `not_null` too.
    pub fn primary_key(&self) -> Option<Vec<String>> {
        let proving = || self.checks.iter().filter(|check| check.holds_for_every_row());
        let never_null = |column: &String| {
            proving().any(|check| matches!(&check.rule, Rule::NotNull { column: checked } if checked == column))
        };
        proving().find_map(|check| match &check.rule {
            Rule::Unique { columns } if columns.iter().all(never_null) => Some(columns.clone()),
            _ => None,
        })
    }

    /// The statement to run. `incremental`: the table stands already and is built onto.
    pub fn statement(&self, incremental: bool) -> &str {
        match &self.origin.incremental {
            Some((sql, _)) if incremental => sql,
            _ => &self.sql,
        }
    }

    /// The same for the same result of the same input: of a seed the file decides, else the statement, layout aside.
    pub fn fingerprint(&self) -> String {
        match self.seed {
            None => engine::sql::fingerprint(&self.sql),
            Some(_) => engine::sql::digest(&format!("{}\n{}", self.sql, self.origin.file.text())),
        }
    }

    /// A fault the engine found in [`Model::statement`], shown in the model's file.
    pub fn fault(&self, found: &engine::Fault, incremental: bool) -> Fault {
        match &self.origin.incremental {
            Some((sql, map)) if incremental => self.origin.fault(found, sql, map),
            _ => self.origin.fault(found, &self.sql, &self.origin.map),
        }
    }
}

impl Origin {
    /// Shows a fault found in `statement`, which `map` leads back from, in the file.
    pub fn fault(&self, found: &engine::Fault, statement: &str, map: &SourceMap) -> Fault {
        fault_in(&self.file, map, statement, found)
    }
}

/// An engine's fault in `file`; at its start when the engine did not say where.
fn fault_in(file: &SourceFile, map: &SourceMap, statement: &str, found: &engine::Fault) -> Fault {
    let place = match (found.line, found.column) {
        (Some(line), Some(column)) => map.place(file, statement, line, column),
        _ => Place::start_of(file),
    };
    place.fault(found.message.as_str())
}

impl Project {
    /// Reads the project; `vars` are visible to templates as `var('name')`. `topics` are those that are
    /// produced: models may read the table of one ([`table_of`]) that has no contract, too. All faults at once.
    pub fn load(root: &Path, vars: &BTreeMap<String, String>, topics: &[&str]) -> Result<Project> {
        engine::on_deep_stack(|| load::load(root, vars, topics))?
    }

    /// Models and views.
    pub fn nodes(&self) -> impl Iterator<Item = &Model> {
        self.models.iter().chain(&self.views)
    }

    /// The model before whose build a unit test of a view has to pass: the first made through it.
    pub fn held_by(&self, test: &UnitTest) -> Option<&TableName> {
        let view = self.views.iter().find(|view| view.table == test.model)?;
        views::first_through(view, &self.models).map(|model| &model.table)
    }

    /// Whether it is a dbt project.
    pub fn is_dbt(&self) -> bool {
        !self.name.is_empty()
    }

    /// Where the query of a check comes from that is one of the project's own.
    pub fn origin_of(&self, check: &Check) -> Option<&Origin> {
        match &check.rule {
            Rule::Singular { sql, .. } => self.query_origins.get(sql),
            _ => None,
        }
    }

    pub fn model(&self, table: &TableName) -> Option<&Model> {
        self.models.iter().find(|model| model.table == *table)
    }

    /// Every check of sources, models and `sql/checks`, in that order.
    pub fn checks(&self) -> impl Iterator<Item = &Check> {
        let sources = self.sources.iter().flat_map(|source| &source.checks);
        sources.chain(self.models.iter().flat_map(|model| &model.checks)).chain(&self.singular)
    }
}
