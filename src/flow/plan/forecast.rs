//! The columns each table will have after the run, and what no longer fits them.
//!
//! Goes through all models in building order on a session whose tables have columns and no rows. One that is built
//! is planned as a build would; one that stays is planned on the new columns of what it reads, only to see whether
//! it still can be.

use super::{Broken, Changes};
use crate::engine::lineage::Source;
use crate::engine::{Engine, Session};
use crate::error::{Error, Kind, Result};
use crate::flow::catalog;
use crate::flow::promote::plan::{Action, Plan, Step};
use crate::flow::promote::{contract, prepare};
use crate::ident::TableName;
use crate::model::{Model, Project};
use arrow::datatypes::SchemaRef;
use std::collections::{BTreeMap, BTreeSet};

/// What is foreseen of a model's table.
#[derive(Debug, Clone, Default)]
pub(super) struct Outlook {
    /// `None` when it was never built.
    pub before: Option<SchemaRef>,
    /// `None` when it cannot be known.
    pub after: Option<SchemaRef>,
    pub fault: Option<String>,
    pub breaks: Vec<Broken>,
    pub lineage: Option<BTreeMap<String, BTreeSet<String>>>,
    pub influences: BTreeSet<String>,
}

pub(super) struct Forecast<'a> {
    project: &'a Project,
    decided: &'a Plan<'a>,
    session: Session,
    lineage: bool,
    outlooks: BTreeMap<TableName, Outlook>,
    /// Models whose columns will differ from those they have.
    changed: BTreeSet<TableName>,
    /// Models whose columns cannot be known.
    unknown: BTreeSet<TableName>,
}

impl<'a> Forecast<'a> {
    pub fn new(project: &'a Project, decided: &'a Plan<'a>, engine: &Engine, lineage: bool) -> Result<Forecast<'a>> {
        let session = engine.session();
        for table in decided.pins.values().filter(|table| catalog::published(table)) {
            catalog::describe(&session, table)?;
        }
        let (outlooks, changed, unknown) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        Ok(Forecast { project, decided, session, lineage, outlooks, changed, unknown })
    }

    /// The outlook of every model.
    pub async fn run(mut self) -> Result<BTreeMap<TableName, Outlook>> {
        let steps: BTreeMap<&TableName, &Step<'_>> =
            self.decided.steps.iter().map(|step| (&step.model.table, step)).collect();
        for model in &self.project.models {
            let step = steps.get(&model.table).copied();
            let mut outlook = Outlook { before: self.columns_of(&model.table), ..Outlook::default() };
            match step.filter(|step| matches!(step.action, Action::Build(_))) {
                Some(step) => self.build(step, &mut outlook).await?,
                None => self.keep(model, &mut outlook).await?,
            }
            if self.lineage && step.is_some() && outlook.after.is_some() {
                self.trace(model, step.is_some_and(|step| step.adds), &mut outlook).await?;
            }
            self.outlooks.insert(model.table.clone(), outlook);
        }
        Ok(self.outlooks)
    }

    /// Of a table that readers have.
    fn columns_of(&self, table: &TableName) -> Option<SchemaRef> {
        Some(self.decided.pins.get(table).filter(|pinned| catalog::published(pinned))?.schema())
    }

    async fn build(&mut self, step: &Step<'_>, outlook: &mut Outlook) -> Result<()> {
        let model = step.model;
        if model.upstream.iter().any(|upstream| self.unknown.contains(upstream)) {
            self.unknown.insert(model.table.clone());
            return Ok(());
        }
        let standing = self.decided.pins.get(&model.table).filter(|_| step.adds);
        let mut planned = prepare::plan_query(&self.session, model, standing).await;
        // One that is driven by a table is built whole when its rows no longer fit.
        if let (Ok((query, None)), Some(table)) = (&planned, standing) {
            planned = prepare::fits(&query.layout, table, model).and(planned);
        }
        match planned {
            Ok((contract::Query { layout, .. }, _)) => {
                self.session.register_columns(&model.table, layout.schema.clone())?;
                if outlook.before.is_some()
                    && !Changes::between(outlook.before.as_deref(), Some(&layout.schema)).are_none()
                {
                    self.changed.insert(model.table.clone());
                }
                outlook.after = Some(layout.schema);
            }
            Err(error) => {
                let fault = fault(error)?;
                self.blame(model, &fault);
                outlook.fault = Some(fault);
                self.unknown.insert(model.table.clone());
            }
        }
        Ok(())
    }

    async fn keep(&mut self, model: &Model, outlook: &mut Outlook) -> Result<()> {
        outlook.after = outlook.before.clone();
        if outlook.before.is_none() {
            self.unknown.insert(model.table.clone());
            return Ok(());
        }
        let reads = |among: &BTreeSet<TableName>| model.upstream.iter().any(|upstream| among.contains(upstream));
        if !reads(&self.changed) || reads(&self.unknown) {
            return Ok(());
        }
        if let Err(error) = prepare::plan_query(&self.session, model, None).await {
            self.blame(model, &fault(error)?);
        }
        Ok(())
    }

    /// Notes with each changed input of a model that cannot be planned that it may be the cause.
    fn blame(&mut self, model: &Model, fault: &str) {
        for upstream in model.upstream.iter().filter(|upstream| self.changed.contains(upstream)) {
            if let Some(outlook) = self.outlooks.get_mut(upstream) {
                outlook.breaks.push(Broken { what: model.table.to_string(), why: fault.to_string() });
            }
        }
    }

    async fn trace(&self, model: &Model, adds: bool, outlook: &mut Outlook) -> Result<()> {
        let Some(columns) = &outlook.after else { return Ok(()) };
        if model.seed.is_some() {
            return Ok(());
        }
        let statement = model.statement(adds);
        // A model that stays may not fit what it reads any more; that is told where it was found.
        let Ok((schema, lineage)) = self.session.lineage_of(statement).await else { return Ok(()) };
        let named = |sources: BTreeSet<Source>| -> BTreeSet<String> {
            sources.into_iter().map(|source| format!("{}.{}", source.table, source.column)).collect()
        };
        let returned = schema.fields().iter().zip(lineage.columns);
        let stored = returned.filter(|(field, _)| columns.column_with_name(field.name()).is_some());
        outlook.lineage = Some(stored.map(|(field, origins)| (field.name().clone(), named(origins))).collect());
        outlook.influences = named(lineage.influences);
        Ok(())
    }
}

/// What is wrong with a statement, in words; any other error stays one.
fn fault(error: Error) -> Result<String> {
    match error.kind() {
        Kind::Config | Kind::Input => Ok(error.to_string()),
        _ => Err(error),
    }
}
