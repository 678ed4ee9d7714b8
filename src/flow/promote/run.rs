//! A run on its way through the plan: gives each model its turn, several at a time, and gathers what becomes of them.
//!
//! The report is in building order, whoever ended first. A model that fails takes those that read it out of the run and
//! no others. Once a stop is asked for no turn begins; those under way end by themselves.

use super::order::{Needs, Order};
use super::plan::{Plan, Step};
use super::turn::{self, Ended, Turn};
use super::{ModelReport, ModelStatus, Report, publish};
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::flow::catalog::Pins;
use crate::flow::checks::TestReport;
use crate::flow::{Progress, Stop};
use crate::ident::{Layer, TableName};
use crate::model::{Model, Project};
use crate::table::Lake;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

pub(super) struct Run<'a> {
    root: &'a Path,
    project: &'a Project,
    lake: &'a Lake,
    engine: &'a Engine,
    progress: &'a Progress,
    stop: &'a Stop,
    /// Every table at the version this run uses; built ones move on.
    pins: Pins,
    /// Tests of sources.
    pub(super) of_sources: Vec<TestReport>,
    /// By position in the plan, those that have ended.
    ended: BTreeMap<usize, Ended>,
    /// Failed and blocked tables, and sources too old.
    pub(super) broken: BTreeSet<TableName>,
    published: Option<u64>,
}

impl<'a> Run<'a> {
    pub fn new(
        root: &'a Path,
        project: &'a Project,
        lake: &'a Lake,
        engine: &'a Engine,
        progress: &'a Progress,
        stop: &'a Stop,
        pins: Pins,
    ) -> Run<'a> {
        let (of_sources, ended, broken) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        Run { root, project, lake, engine, progress, stop, pins, of_sources, ended, broken, published: None }
    }

    /// All turns, and the manifest when none of them failed. Kind Interrupted when a stop was asked for before the last.
    pub async fn work(&mut self, plan: &Plan<'_>) -> Result<()> {
        self.judge_sources(plan).await?;
        self.turns(plan).await?;
        if self.broken.is_empty() {
            self.published = publish::publish(self.lake, self.project, plan, &self.pins).await?;
        }
        Ok(())
    }

    async fn turns(&mut self, plan: &Plan<'_>) -> Result<()> {
        let needs = plan.steps.iter().map(|step| Needs { makes: &step.model.table, reads: turn::reads(step) });
        let mut order = Order::of(&needs.collect::<Vec<_>>());
        let mut under_way = FuturesUnordered::new();
        let mut interrupted = Ok(());
        loop {
            while interrupted.is_ok() && under_way.len() < self.engine.threads() {
                let Some(at) = order.next() else { break };
                interrupted = self.stop.check();
                if interrupted.is_err() {
                    break;
                }
                let step = &plan.steps[at];
                let standing = step.last.as_ref().and(self.pins.get(&step.model.table));
                let version = standing.map(|table| table.version());
                match self.blocked(step, version) {
                    Some(ended) => {
                        self.note(step, at, ended);
                        order.ended(at);
                    }
                    None => {
                        let turn = self.turn(turn::reads(step).iter().chain([&step.model.table]));
                        under_way.push(async move { (at, turn.take(step, version).await) });
                    }
                }
            }
            let Some((at, mut ended)) = under_way.next().await else { return interrupted };
            if let Some(stopped) = ended.error.take_if(|error| matches!(error.kind(), Kind::Interrupted(_))) {
                interrupted = Err(stopped);
            }
            self.note(&plan.steps[at], at, ended);
            order.ended(at);
        }
    }

    /// The turn of a model that is about these tables.
    pub(super) fn turn<'b>(&self, tables: impl IntoIterator<Item = &'b TableName>) -> Turn<'a> {
        let &Run { root, project, lake, engine, progress, stop, .. } = self;
        let pins = tables.into_iter().filter_map(|name| Some((name.clone(), self.pins.get(name)?.clone()))).collect();
        Turn { root, project, lake, engine, progress, stop, pins, tests: Vec::new(), unit_tests: Vec::new() }
    }

    /// The end of a model that cannot be begun, because something it reads failed.
    fn blocked(&self, step: &Step<'_>, version: Option<i64>) -> Option<Ended> {
        let upstream = step.model.upstream.iter().find(|upstream| self.broken.contains(upstream))?;
        let why = if upstream.layer() == Layer::Bronze { "is too old" } else { "was not built" };
        let reason = format!("blocked: `{upstream}` {why}");
        let report = ModelReport::new(&step.model.table, ModelStatus::Blocked, reason, version);
        Some(Ended { report: Some(report), tests: Vec::new(), unit_tests: Vec::new(), table: None, error: None })
    }

    fn note(&mut self, step: &Step<'_>, at: usize, mut ended: Ended) {
        let name = &step.model.table;
        if let Some(table) = ended.table.take() {
            self.pins.insert(name.clone(), table);
        }
        let fails = |report: &&ModelReport| matches!(report.status, ModelStatus::Failed | ModelStatus::Blocked);
        if let Some(report) = ended.report.as_ref().filter(fails) {
            self.broken.insert(name.clone());
            self.progress.note(format!("`{name}` {}", report.reason.lines().next().unwrap_or_default()));
        }
        self.ended.insert(at, ended);
    }

    /// What was done, and the failures other than of tests. Tests that had no turn are reported too, never left out.
    pub fn end(self, plan: &Plan<'_>) -> (Report, Vec<(TableName, Error)>) {
        let Run { of_sources, ended, broken, published, .. } = self;
        let view = |view: &&Model| {
            ModelReport::new(&view.table, ModelStatus::View, "a view, part of what reads it".into(), None)
        };
        let models = plan.views.iter().map(view).collect();
        let mut report = Report { models, tests: of_sources, run: published, ..Report::default() };
        let mut errors = Vec::new();
        for (at, ended) in ended {
            report.models.extend(ended.report);
            report.tests.extend(ended.tests);
            report.unit_tests.extend(ended.unit_tests);
            errors.extend(ended.error.map(|error| (plan.steps[at].model.table.clone(), error)));
        }
        let reported: BTreeSet<String> = report.tests.iter().map(|test| test.name.clone()).collect();
        for check in plan.checks.iter().filter(|check| !reported.contains(&check.name)) {
            let why = match broken.contains(&check.table) {
                true => format!("`{}` was not built", check.table),
                false => "none of its tables was rebuilt".to_string(),
            };
            report.tests.push(TestReport::skipped(check, why));
        }
        (report, errors)
    }
}
