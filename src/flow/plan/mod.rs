//! `lake plan`: what `promote` would do now, why, and what that would change.
//!
//! The decisions are `promote`'s own ([`promote::plan`]), carried no further: statements are planned on the columns
//! their inputs will have, and nothing runs. Writes nothing, and reads of a table its log and never a row, so figures
//! of what a model reads are those of whole tables at the versions `promote` would pin.
//!
//! - `forecast` follows the columns from model to model, in building order;
//! - `change` compares the columns a table has with those it will have, `postgres` asks what a load would refuse.
//!
//! To tell more of a model: a field of [`ModelPlan`], and its words in `cli::plan`.

mod change;
mod forecast;
mod postgres;
#[cfg(test)]
mod tests;

pub use change::{Changes, Column, Retyped};

use super::checks::results;
use super::promote::plan::{Action, Plan, Step};
use super::promote::{self, plan};
use crate::engine::{Engine, planning_on_deep_stack};
use crate::error::{Error, Result};
use crate::ident::TableName;
use crate::model::Project;
use crate::table::{Lake, Table};
use forecast::{Forecast, Outlook};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

#[derive(Debug, Clone, Default)]
pub struct Options {
    /// As `promote` would get them.
    pub promote: promote::Options,
    /// Trace each column to those it comes from.
    pub lineage: bool,
    /// Postgres schema that receives the Gold tables, for messages.
    pub schema: String,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The newest run, which the plan starts from.
    pub run: Option<u64>,
    /// In building order.
    pub models: Vec<ModelPlan>,
}

/// One model of the plan.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ModelPlan {
    /// `layer.name`
    pub table: String,
    /// Relative to the project.
    pub file: String,
    /// Whether it would be built.
    pub runs: bool,
    /// The reason for programs, `never_built` and the like.
    pub code: &'static str,
    pub reason: String,
    /// What the last run from this folder said of it, when it failed there or was blocked.
    pub last_failure: Option<String>,
    /// Tables it reads, sorted.
    pub upstream: Vec<String>,
    /// What building it would read; empty when it does not run.
    pub reads: Vec<Read>,
    /// Names of the tests that would run before its commit; of a model that does not run, before it is published.
    pub tests: Vec<String>,
    pub columns: Changes,
    /// Why its statement cannot be planned, with the place.
    pub fault: Option<String>,
    /// What the change of its columns breaks.
    pub breaks: Vec<Broken>,
    /// By column; absent when not asked for or not known.
    pub lineage: Option<BTreeMap<String, BTreeSet<String>>>,
    /// Columns that decide over its rows and reach none of its columns.
    pub influences: BTreeSet<String>,
}

/// An input at the version it would be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Read {
    pub table: String,
    /// The figures are unknown when this plan rebuilds the table first.
    pub rebuilt: bool,
    pub version: Option<i64>,
    /// By the files' statistics; of a Bronze table with its quarantine.
    pub rows: Option<u64>,
    /// Of all its files.
    pub bytes: Option<u64>,
}

/// What a change of columns breaks: a model further down, or the load into Postgres.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// `layer.name`, or `postgres`
    pub what: String,
    pub why: String,
}

/// The second value is the failure (kind Config) when a statement cannot be planned; the report is complete.
pub async fn plan(
    root: &Path,
    project: &Project,
    lake: &Lake,
    engine: &Engine,
    options: &Options,
) -> Result<(Report, Option<Error>)> {
    let decided = plan::plan(project, lake, &options.promote).await?;
    let forecast = Forecast::new(project, &decided, engine, options.lineage)?;
    let mut outlooks = planning_on_deep_stack(forecast.run()).await??;
    postgres::foresee(project, &decided, &options.schema, &mut outlooks)?;
    let failures = results::last_failures(root).await?;
    let rebuilt: BTreeSet<&TableName> = steps_to_build(&decided).map(|step| &step.model.table).collect();
    let mut report = Report { run: decided.newest.as_ref().map(|newest| newest.run), models: Vec::new() };
    for step in &decided.steps {
        let outlook = outlooks.remove(&step.model.table).unwrap_or_default();
        let mut model = model_plan(step, outlook);
        model.last_failure = failures.get(&model.table).cloned();
        if model.runs {
            model.reads = reads(step, &decided, &rebuilt)?;
        }
        report.models.push(model);
    }
    let faults: Vec<Error> = report.models.iter().filter_map(|model| model.fault.clone()).map(Error::config).collect();
    let failure = match faults.len() {
        0 => None,
        1 => faults.into_iter().next(),
        count => Some(Error::of_several(faults[0].kind(), format!("{count} models cannot be planned"), faults)),
    };
    Ok((report, failure))
}

fn steps_to_build<'s, 'a>(plan: &'s Plan<'a>) -> impl Iterator<Item = &'s Step<'a>> {
    plan.steps.iter().filter(|step| matches!(step.action, Action::Build(_)))
}

fn model_plan(step: &Step<'_>, outlook: Outlook) -> ModelPlan {
    let (Action::Build(reason) | Action::Skip(reason)) = &step.action;
    let runs = matches!(step.action, Action::Build(_));
    let told = match runs || step.guards.is_empty() {
        true => reason.to_string(),
        false => format!("{reason}, but it is in no published run: its tests run again"),
    };
    ModelPlan {
        table: step.model.table.to_string(),
        file: step.model.file.display().to_string(),
        runs,
        code: reason.code(),
        reason: told,
        last_failure: None,
        upstream: step.model.upstream.iter().map(TableName::to_string).collect(),
        reads: Vec::new(),
        tests: step.guards.iter().map(|check| check.name.clone()).collect(),
        columns: Changes::between(outlook.before.as_deref(), outlook.after.as_deref()),
        fault: outlook.fault,
        breaks: outlook.breaks,
        lineage: outlook.lineage,
        influences: outlook.influences,
    }
}

/// The inputs, and the model's own rows where it adds to them and may look at them.
fn reads(step: &Step<'_>, decided: &Plan<'_>, rebuilt: &BTreeSet<&TableName>) -> Result<Vec<Read>> {
    let itself = (step.adds && step.model.origin.incremental.is_some()).then_some(&step.model.table);
    let inputs = step.model.upstream.iter().map(|upstream| (upstream, rebuilt.contains(upstream)));
    inputs.chain(itself.map(|own| (own, false))).map(|(name, rebuilt)| read(name, rebuilt, decided)).collect()
}

fn read(name: &TableName, rebuilt: bool, decided: &Plan<'_>) -> Result<Read> {
    let table = decided.pins.get(name).filter(|_| !rebuilt);
    let bytes = table.map(|table| table.extent(0)).transpose()?.map(|extent| extent.bytes);
    let (version, rows) = (table.map(Table::version), table.and_then(Table::rows));
    Ok(Read { table: name.to_string(), rebuilt, version, rows, bytes })
}
