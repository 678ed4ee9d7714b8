//! What a run has to do, found out before anything is written.
//!
//! Reads every table's version once; from then on the run knows only these versions: the newest of what is
//! selected, of all other models the one that the newest manifest names, because that is what the run's own
//! manifest will name beside its tables. Says for each model whether it is stale and why, and which commit
//! each test guards: the last one, in building order, of the tables it reads that are rebuilt. A model that
//! is up to date but in no manifest (the run that built it failed elsewhere) is tested again before it gets
//! into one.

use super::Options;
use super::hashes::{Hasher, Hashes};
use super::reason::Reason;
use super::record::{Record, app, record_of};
use crate::check::{Check, Rule};
use crate::error::{Error, Result};
use crate::flow::account;
use crate::flow::catalog::{self, Pins};
use crate::flow::count::counted;
use crate::flow::select::{self, Selection};
use crate::ident::{Layer, TableName};
use crate::model::{Materialization, Model, Project};
use crate::table::manifest::{self, Manifest};
use crate::table::{Lake, Table};
use futures::TryStreamExt;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;

pub(in crate::flow) struct Plan<'a> {
    /// In building order.
    pub steps: Vec<Step<'a>>,
    /// Existing tables, each at the version this run reads.
    pub pins: Pins,
    /// Those selected.
    pub views: Vec<&'a Model>,
    /// Every check of a Silver or Gold table that reads a selected model.
    pub checks: Vec<&'a Check>,
    /// How old the sources may be that the selected models read.
    pub freshness: Vec<&'a Check>,
    /// The manifest the run starts from.
    pub newest: Option<Manifest>,
}

pub(in crate::flow) struct Step<'a> {
    pub model: &'a Model,
    pub action: Action,
    pub hashes: Hashes,
    /// Checks that must pass before this model's commit; of a skipped model, before a manifest names it.
    pub guards: Vec<&'a Check>,
    /// Of the build that its published table stems from.
    pub last: Option<Record>,
    /// It is built onto the rows that stand, unless it turns out that this is not enough.
    pub adds: bool,
    /// What the model may pass over although it is built.
    pub warning: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::flow) enum Action {
    Build(Reason),
    Skip(Reason),
}

pub(in crate::flow) async fn plan<'a>(project: &'a Project, lake: &Lake, options: &Options) -> Result<Plan<'a>> {
    let selection = select::parse(&options.select, &options.exclude)?;
    let mut selected = selected(&selection, project, lake).await?;
    selected.retain(|table| options.layers.contains(&table.layer()));
    let models: Vec<&Model> = project.models.iter().filter(|model| selected.contains(&model.table)).collect();
    if models.is_empty() && !selection.asks_state() {
        return Err(nothing_selected(options));
    }
    if options.since_version.is_some() && models.len() != 1 {
        return Err(Error::config(format!("a version to go back to is one model's, {} are selected", models.len()))
            .hint("name the model with `--select`"));
    }
    // A test of a Bronze table gates nothing, whatever it compares it with: what it would hold back stands already.
    let gating = project.checks().filter(|check| check.table.layer() != Layer::Bronze);
    let checks: Vec<&Check> =
        gating.filter(|check| check.tables().iter().any(|table| selected.contains(table))).collect();
    let freshness = freshness(project, &models);
    let newest = manifest::latest(lake).await?;
    let mut pins = catalog::pin(lake, tables_of_interest(project, &models, &checks)).await?;
    if let Some(newest) = &newest {
        hold_back(&mut pins, &selected, newest).await?;
    }
    let standing = records(&pins).await?;
    check_inputs(&models, &selected, &pins, &standing)?;
    let hashes = Hasher::of(project).all(&models)?;
    let mut steps: Vec<Step<'_>> = Vec::new();
    let mut stale = BTreeSet::new();
    for (model, hashes) in models.into_iter().zip(hashes) {
        let action = action(model, &hashes, &stale, &pins, &standing, options).await?;
        if matches!(action, Action::Build(_)) {
            stale.insert(model.table.clone());
        }
        let adds = standing.get(&model.table).is_some_and(|last| builds_onto(model, last, &hashes, options));
        let asks = adds && matches!(action, Action::Build(_)) && driver(model).is_none();
        let warning = match pins.get(&model.table).filter(|_| asks && model.origin.incremental.is_some()) {
            Some(table) => late_rows(model, table, &pins).await?,
            None => None,
        };
        let last = standing.get(&model.table).cloned();
        steps.push(Step { model, action, hashes, guards: Vec::new(), last, adds, warning });
    }
    let unnamed = unnamed(&standing, &pins, newest.as_ref()).await?;
    assign(&checks, &stale, &unnamed, &mut steps);
    let views = project.views.iter().filter(|view| selected.contains(&view.table)).collect();
    Ok(Plan { steps, pins, views, checks, freshness, newest })
}

fn freshness<'a>(project: &'a Project, models: &[&Model]) -> Vec<&'a Check> {
    let read: BTreeSet<&TableName> = models.iter().flat_map(|model| &model.upstream).collect();
    let checks = project.sources.iter().filter(|source| read.contains(&source.table)).flat_map(|source| &source.checks);
    checks.filter(|check| matches!(check.rule, Rule::Freshness { .. })).collect()
}

/// Of the build each published model stems from.
async fn records(pins: &Pins) -> Result<BTreeMap<TableName, Record>> {
    let mut records = BTreeMap::new();
    for (name, table) in pins.iter().filter(|(name, _)| name.layer() != Layer::Bronze) {
        if catalog::published(table) {
            records.insert(name.clone(), record_of(table).await?);
        }
    }
    Ok(records)
}

/// The models a selection means; the lake is asked only when it asks for what is not as it was built.
pub(in crate::flow) async fn selected(
    selection: &Selection,
    project: &Project,
    lake: &Lake,
) -> Result<BTreeSet<TableName>> {
    let mut modified = BTreeSet::new();
    if selection.asks_state() {
        let pins = catalog::pin(lake, project.models.iter().map(|model| model.table.clone())).await?;
        let standing = records(&pins).await?;
        let models: Vec<&Model> = project.models.iter().collect();
        for (model, now) in models.iter().zip(Hasher::of(project).all(&models)?) {
            if standing.get(&model.table).is_none_or(|record| record.hashes.changed_to(&now).is_some()) {
                modified.insert(model.table.clone());
            }
        }
    }
    selection.models(project, &modified)
}

/// The built tables whose rows are not those the newest manifest names.
async fn unnamed(
    standing: &BTreeMap<TableName, Record>,
    pins: &Pins,
    newest: Option<&Manifest>,
) -> Result<BTreeSet<TableName>> {
    let mut unnamed = BTreeSet::new();
    for (name, table) in standing.keys().filter_map(|name| pins.get_key_value(name)) {
        let named = match newest.and_then(|newest| newest.tables.get(&name.to_string())) {
            Some(entry) => entry.names_rows_of(table).await?,
            None => false,
        };
        if !named {
            unnamed.insert(name.clone());
        }
    }
    Ok(unnamed)
}

/// Moves models that are not selected to the versions the manifest names. One made anew since stays: there
/// is nothing to go back to.
async fn hold_back(pins: &mut Pins, selected: &BTreeSet<TableName>, newest: &Manifest) -> Result<()> {
    for (name, table) in pins.iter_mut().filter(|(name, _)| !selected.contains(name)) {
        if let Some(entry) = newest.tables.get(&name.to_string()).filter(|entry| entry.is_of(table)) {
            *table = table.at(entry.version).await?;
        }
    }
    Ok(())
}

fn nothing_selected(options: &Options) -> Error {
    let layers: Vec<&str> = options.layers.iter().map(|layer| layer.as_str()).collect();
    let error = Error::config(format!("no {} model is selected", layers.join(" or ")));
    match options.select.is_empty() {
        true => error.hint("write a SELECT into models/silver/NAME.sql or models/gold/NAME.sql"),
        false => error.hint("`promote silver` and `promote gold` build one layer; `promote all` builds both"),
    }
}

fn tables_of_interest(project: &Project, models: &[&Model], checks: &[&Check]) -> Vec<TableName> {
    let all_models = project.models.iter().map(|model| model.table.clone());
    let upstream = models.iter().flat_map(|model| model.upstream.iter().cloned());
    all_models.chain(upstream).chain(checks.iter().flat_map(|check| check.tables())).collect()
}

/// Every input must exist by the time its turn comes.
fn check_inputs(
    models: &[&Model],
    selected: &BTreeSet<TableName>,
    pins: &Pins,
    standing: &BTreeMap<TableName, Record>,
) -> Result<()> {
    for model in models {
        for upstream in model.upstream.iter().filter(|upstream| !selected.contains(upstream)) {
            let reader = &model.table;
            match (upstream.layer(), pins.get(upstream)) {
                (Layer::Bronze, None) => {
                    return Err(Error::input(format!("`{upstream}`, which `{reader}` reads, does not exist yet"))
                        .hint("run `lake bronze` first"));
                }
                (Layer::Silver | Layer::Gold, _) if !standing.contains_key(upstream) => {
                    return Err(Error::input(format!("`{upstream}`, which `{reader}` reads, was never built"))
                        .hint(format!("run `lake promote {}` first, or `lake promote all`", upstream.layer())));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Whether a model must be built, and why. `stale` holds the earlier models that are.
async fn action(
    model: &Model,
    hashes: &Hashes,
    stale: &BTreeSet<TableName>,
    pins: &Pins,
    standing: &BTreeMap<TableName, Record>,
    options: &Options,
) -> Result<Action> {
    let build = |reason| Ok(Action::Build(reason));
    let (Some(table), Some(last)) = (pins.get(&model.table), standing.get(&model.table)) else {
        return build(Reason::NeverBuilt);
    };
    if options.only.as_ref().is_some_and(|only| !only.contains(&model.table)) {
        return Ok(Action::Skip(Reason::NotRetried));
    }
    if options.full_refresh {
        return build(Reason::FullRefresh);
    }
    if let Some(version) = options.since_version {
        may_go_back(model, table, version).await?;
    }
    let changed = last.hashes.changed_to(hashes);
    if let (Some(changed), Some(_)) = (&changed, driver(model)) {
        return build(changed.clone());
    }
    if let Some(version) = options.since_version {
        return build(Reason::Since(version));
    }
    // What does not drive an increment cannot bring one.
    let mut passive = None;
    for upstream in &model.upstream {
        let drives = driver(model).is_none_or(|driver| driver == upstream);
        if stale.contains(upstream) {
            if drives {
                return build(Reason::UpstreamIsBuilt(upstream.clone()));
            }
            passive = passive.or(Some(upstream));
            continue;
        }
        let Some(pinned) = pins.get(upstream) else { continue };
        let read = table.txn(&app(upstream)).await?;
        let unchanged = match read {
            Some(read) => pinned.same_rows_since(read).await?,
            None => false,
        };
        if !unchanged && !drives {
            passive = passive.or(Some(upstream));
            continue;
        }
        if !unchanged {
            return build(Reason::NewVersion { upstream: upstream.clone(), read, now: pinned.version() });
        }
        if drives && last.input_ids.get(&upstream.to_string()).is_some_and(|id| id != pinned.id()) {
            return build(Reason::MadeAnew(upstream.clone()));
        }
    }
    if let Some(passive) = passive {
        return Ok(Action::Skip(Reason::OnlyLookedUp(passive.clone())));
    }
    let changed = match changed {
        None if last.hashes.only_layout_changed_to(hashes) => return Ok(Action::Skip(Reason::OnlyLayoutChanged)),
        None => return Ok(Action::Skip(Reason::NothingChanged)),
        Some(Reason::SqlChanged) if model.seed.is_some() => Reason::FileChanged,
        Some(changed) => changed,
    };
    match model.materialization {
        Materialization::Table | Materialization::Snapshot(_) => build(changed),
        Materialization::Incremental(_) => Ok(Action::Skip(Reason::NothingToAppend(Box::new(changed)))),
    }
}

/// Refuses to build what came since `version` once more where rows would then stand twice, or be left out.
async fn may_go_back(model: &Model, table: &Table, version: i64) -> Result<()> {
    let name = &model.table;
    let keyed = match &model.materialization {
        Materialization::Incremental(incremental) if !incremental.strategy.key().is_empty() => driver(model),
        _ => None,
    };
    let Some(driver) = keyed else {
        return Err(Error::config(format!("`{name}` is not made by key from what is new in a table"))
            .hint("`--since-version` makes the keys anew that came since; a full refresh makes all rows anew"));
    };
    match table.txn(&app(driver)).await? {
        Some(read) if read < version => {
            Err(Error::config(format!("`{name}` has read `{driver}` up to version {read}, not {version}"))
                .hint("what came between would be left out"))
        }
        _ => Ok(()),
    }
}

/// The table whose new rows make the model's increments.
fn driver(model: &Model) -> Option<&TableName> {
    match &model.materialization {
        Materialization::Incremental(incremental) => incremental.driven_by.as_ref(),
        Materialization::Table | Materialization::Snapshot(_) => None,
    }
}

/// Whether a model whose last build was `last` goes on from the rows that stand. A history is never thrown away; other
/// rows are when they were made by another statement, unless that statement itself says what is new.
fn builds_onto(model: &Model, last: &Record, now: &Hashes, options: &Options) -> bool {
    match &model.materialization {
        Materialization::Table => false,
        Materialization::Snapshot(_) => true,
        Materialization::Incremental(_) if options.full_refresh => false,
        Materialization::Incremental(incremental) => {
            incremental.driven_by.is_none() || last.hashes.changed_to(now).is_none()
        }
    }
}

/// Rows that came out of quarantine since `table`, which only adds, was built: they stand among older ones by their
/// offsets and times, so a model that goes on from the newest of these does not see them.
async fn late_rows(model: &Model, table: &Table, pins: &Pins) -> Result<Option<String>> {
    for upstream in model.upstream.iter().filter(|upstream| upstream.layer() == Layer::Bronze) {
        let (Some(pinned), Some(read)) = (pins.get(upstream), table.txn(&app(upstream)).await?) else { continue };
        let mut rows = 0;
        let mut commits = pin!(pinned.commits(read + 1..=pinned.version()));
        while let Some(commit) = commits.try_next().await? {
            let resolved = account::resolved(&commit, &upstream.to_string())?.unwrap_or_default();
            rows += resolved.values().map(|resolved| resolved.rows).sum::<u64>();
        }
        if rows > 0 {
            return Ok(Some(format!(
                "`{}` adds to what stands, and {} of `{upstream}` came out of quarantine: they keep their first offsets \
                 and times; unless the model goes on by `_ingested_at`, `lake promote all --full-refresh --select {}` \
                 is needed to have them",
                model.table,
                counted(rows, "row"),
                model.table.name()
            )));
        }
    }
    Ok(None)
}

/// Each check goes to the last stale table it reads, for then it runs before a commit; failing that, to the
/// last one that no manifest names. A check of none of these has no turn.
fn assign<'a>(
    checks: &[&'a Check],
    stale: &BTreeSet<TableName>,
    unnamed: &BTreeSet<TableName>,
    steps: &mut [Step<'a>],
) {
    let positions: BTreeMap<&TableName, usize> =
        steps.iter().enumerate().map(|(at, step)| (&step.model.table, at)).collect();
    let last = |check: &Check, among: &BTreeSet<TableName>| {
        let tables = check.tables();
        tables.iter().filter(|table| among.contains(table)).filter_map(|table| positions.get(table)).max().copied()
    };
    let turns: Vec<(usize, &Check)> = checks
        .iter()
        .filter_map(|check| Some((last(check, stale).or_else(|| last(check, unnamed))?, *check)))
        .collect();
    for (at, check) in turns {
        steps[at].guards.push(check);
    }
}
