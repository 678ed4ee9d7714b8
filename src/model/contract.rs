//! Contracts in dbt's spelling: `sources:`, `models:` and the like of every YAML file below `models/`.
//!
//! Reads what is written and resolves nothing: names in tests stay text until the whole project is known.
//! Unknown keys are refused with the known ones, never skipped; `meta` alone is free, and `stream` reads ours in it. Keys
//! that speak of dbt's own workings, its semantic layer or its documentation are known and passed over.
//! To add a key: its name in the list of its map and a line that reads it.

use crate::decode::{self, Format};
use crate::engine::types;
use crate::ident::{Layer, TableName};
use crate::model::constraints::{self, Constraints};
use crate::model::fault::{Faults, Place};
use crate::model::fields::{Fields, text, texts, truth};
use crate::model::files::SourceFile;
use crate::model::freshness::{self, Freshness};
use crate::model::materialization::{WORDS, Written};
use crate::model::node::{Node, Value, parse};
use crate::model::rules::{DeclaredTest, read_tests};
use crate::model::stream::{self, StreamContract};
use crate::model::template::Texts;
use crate::model::unit::{self, DeclaredUnit};
use crate::model::{Column, Condition, configs};
use arrow::datatypes::DataType;

/// One table below `sources:`.
#[derive(Debug, Clone)]
pub struct DeclaredSource {
    /// dbt's name of the source it stands under.
    pub source: String,
    /// What it is called below that source; the table has the name of its `identifier`, if it has one.
    pub name: String,
    pub table: TableName,
    pub place: Place,
    pub stream: StreamContract,
    pub columns: Vec<DeclaredColumn>,
    pub tests: Vec<DeclaredTest>,
}

/// One entry below `models:`, `seeds:` or `snapshots:`.
#[derive(Debug, Clone)]
pub struct DeclaredModel {
    pub name: String,
    pub place: Place,
    /// The key it stands below.
    pub below: &'static str,
    /// Of a snapshot without a file: `ref('x')` or `source('s', 'x')`, whose rows it keeps the history of.
    pub relation: Option<(String, Place)>,
    pub description: String,
    pub config: DeclaredConfig,
    pub columns: Vec<DeclaredColumn>,
    pub tests: Vec<DeclaredTest>,
    pub conditions: Vec<Condition>,
}

/// A `config:`, here or for a whole folder.
#[derive(Debug, Clone, Default)]
pub struct DeclaredConfig {
    pub stored: Written,
    pub tags: Vec<String>,
    pub schema: Option<String>,
    pub enabled: Option<bool>,
    /// `contract: {enforced: true}`
    pub enforced: bool,
    /// Of a seed.
    pub column_types: Vec<(String, DataType, Place)>,
    /// Of a seed.
    pub delimiter: Option<char>,
}

/// A column and where its declaration stands: at its type if it has one, else at its name.
#[derive(Debug, Clone)]
pub struct DeclaredColumn {
    pub column: Column,
    pub place: Place,
}

/// What all files declare.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    pub sources: Vec<DeclaredSource>,
    pub models: Vec<DeclaredModel>,
    pub(super) units: Vec<DeclaredUnit>,
}

/// The key of snapshots, which alone have a `relation`.
const SNAPSHOTS: &str = "snapshots";
/// Of what stands below them nothing is built; their templates are their own.
const PASSED_OVER: [&str; 7] =
    ["semantic_models", "metrics", "saved_queries", "exposures", "groups", "analyses", "macros"];
/// Keys of a model, a seed or a source that only document or describe dbt's storage.
const MODEL_PASSED_OVER: [&str; 7] =
    ["docs", "access", "group", "latest_version", "deprecation_date", "time_spine", "meta"];
const SOURCE_PASSED_OVER: [&str; 8] =
    ["description", "schema", "database", "loader", "tags", "quoting", "overrides", "meta"];

/// Reads one file into `declared`, its templates expanded.
pub fn read(file: &SourceFile, texts: &Texts, fixtures: &[SourceFile], declared: &mut Declared, faults: &mut Faults) {
    let Some(mut root) = faults.keep(parse(file)) else { return };
    if matches!(root.value, Value::Null) {
        return;
    }
    texts.expand(&mut root, &PASSED_OVER, faults);
    let known: Vec<&str> =
        ["version", "sources", "models", "seeds", SNAPSHOTS, "unit_tests"].into_iter().chain(PASSED_OVER).collect();
    let fields = Fields::of(&root, "a contract", &known, faults);
    if let Some(node) = fields.get("version") {
        match text(node, "version", faults).as_deref() {
            Some("2") | None => {}
            Some(other) => faults.push(node.place.fault(format!("version `{other}` is not known, write 2"))),
        }
    }
    for node in fields.list("sources", faults) {
        read_source(node, declared, faults);
    }
    for below in ["models", "seeds", SNAPSHOTS] {
        let entries = fields.list(below, faults);
        declared.models.extend(entries.iter().filter_map(|node| read_model(node, below, faults)));
    }
    for node in fields.list("unit_tests", faults) {
        declared.units.extend(unit::read(node, fixtures, faults));
    }
}

fn read_source(node: &Node, declared: &mut Declared, faults: &mut Faults) {
    let known: Vec<&str> =
        ["name", "tables", "config"].into_iter().chain(SOURCE_PASSED_OVER).chain(freshness::KEYS).collect();
    let fields = Fields::of(node, "a source", &known, faults);
    let config = fields.map("config", "the config of a source", &freshness::KEYS, faults);
    let freshness = Freshness::of(&[&config, &fields]);
    let Some(source) = fields.required("name", faults) else { return };
    for node in fields.list("tables", faults) {
        declared.sources.extend(read_source_table(node, &source.0, &freshness, faults));
    }
}

fn read_source_table<'a>(
    node: &'a Node,
    source: &str,
    outer: &Freshness<'a>,
    faults: &mut Faults,
) -> Option<DeclaredSource> {
    let known = ["name", "identifier", "config", "columns", "tests", "data_tests", "external"];
    let known: Vec<&str> = known.into_iter().chain(SOURCE_PASSED_OVER).chain(freshness::KEYS).collect();
    let fields = Fields::of(node, "a source table", &known, faults);
    let (name, place) = fields.required("name", faults)?;
    let identifier = fields.text("identifier", faults).unwrap_or_else(|| name.clone());
    let table = faults.keep(TableName::new(Layer::Bronze, &identifier).map_err(|error| place.refuse(&error)))?;
    let config =
        fields.map("config", "the config of a source table", &["meta", freshness::KEYS[0], freshness::KEYS[1]], faults);
    let stream = stream::read(&identifier, &fields, &config, faults);
    let (mut columns, Constraints { mut tests, .. }) = read_columns(&fields, faults);
    complete(&mut columns, &stream.format, &place, faults);
    tests.extend(read_tests(&fields, None, faults));
    tests.extend(Freshness::of(&[&config, &fields]).or(outer).tests(&name, faults));
    // For people who read the file; still it has to be text.
    fields.text("description", faults);
    Some(DeclaredSource { source: source.to_string(), name, table, place, stream, columns, tests })
}

/// Raw payloads need no declared column; whatever is declared has to be one the format can fill.
fn complete(columns: &mut Vec<DeclaredColumn>, format: &Format, place: &Place, faults: &mut Faults) {
    if *format == Format::Raw && columns.is_empty() {
        let column = Column { name: "value".into(), data_type: Some(DataType::Binary), ..Column::default() };
        columns.push(DeclaredColumn { column, place: place.clone() });
    }
    let field = |DeclaredColumn { column, .. }: &DeclaredColumn| {
        arrow::datatypes::Field::new(&column.name, column.data_type.clone().unwrap_or(DataType::Utf8), true)
    };
    let decoder = decode::decoder(format, &columns.iter().map(field).collect());
    faults.keep(decoder.map_err(|error| place.refuse(&error)));
}

fn read_model(node: &Node, below: &'static str, faults: &mut Faults) -> Option<DeclaredModel> {
    let known = ["name", "description", "config", "columns", "constraints", "tests", "data_tests"];
    let of_snapshot = (below == SNAPSHOTS).then_some("relation");
    let known: Vec<&str> = known.into_iter().chain(of_snapshot).chain(MODEL_PASSED_OVER).collect();
    let fields = Fields::of(node, "a model", &known, faults);
    let (name, place) = fields.required("name", faults)?;
    let config = fields.get("config").map(|node| read_config(node, faults)).unwrap_or_default();
    let (columns, Constraints { mut tests, mut conditions }) = read_columns(&fields, faults);
    tests.extend(read_tests(&fields, None, faults));
    let relation = fields.get("relation").and_then(|node| Some((text(node, "relation", faults)?, node.place.clone())));
    let constraints = constraints::read(&fields, None, &tests, faults);
    tests.extend(constraints.tests);
    conditions.extend(constraints.conditions);
    Some(DeclaredModel {
        name,
        place,
        below,
        relation,
        description: fields.text("description", faults).unwrap_or_default(),
        config,
        columns,
        tests,
        conditions: constraints::distinct(conditions, faults),
    })
}

/// How the model is stored, as far as it is written here.
fn stored(config: &Fields<'_>, faults: &mut Faults) -> Written {
    let mut stored = Written::default();
    for word in WORDS {
        let Some(node) = config.get(word) else { continue };
        let values = texts(node, word, faults);
        faults.keep(stored.set(word, values).map_err(|message| node.place.fault(message)));
    }
    stored
}

/// The configs of a model, a seed or a snapshot.
pub fn read_config(node: &Node, faults: &mut Faults) -> DeclaredConfig {
    let config = Fields::of(node, "the config of a model", &configs::known(), faults);
    if let Value::Map(entries) = &node.value {
        let refused = entries.iter().filter(|(key, _)| configs::known().contains(&key.name.as_str()));
        refused.for_each(|(key, _)| {
            configs::refusal(&key.name).into_iter().for_each(|why| faults.push(key.place.fault(why)))
        });
    }
    DeclaredConfig {
        stored: stored(&config, faults),
        tags: config.texts("tags", faults),
        schema: config.text("schema", faults).or(config.text("target_schema", faults)),
        enabled: config.get("enabled").and_then(|node| truth(node, "enabled", faults)),
        enforced: enforced(&config, faults),
        column_types: column_types(&config, faults),
        delimiter: delimiter(&config, faults),
    }
}

fn column_types(config: &Fields<'_>, faults: &mut Faults) -> Vec<(String, DataType, Place)> {
    let Some(node) = config.get("column_types") else { return Vec::new() };
    let Value::Map(entries) = &node.value else {
        faults.push(node.place.fault("`column_types` is a map from columns to their types"));
        return Vec::new();
    };
    let typed = entries.iter().filter_map(|(key, node)| Some((key, read_type(node, faults)?)));
    typed.map(|(key, data_type)| (key.name.clone(), data_type, key.place.clone())).collect()
}

fn delimiter(config: &Fields<'_>, faults: &mut Faults) -> Option<char> {
    let node = config.get("delimiter")?;
    let text = text(node, "delimiter", faults)?;
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(delimiter), None) => Some(delimiter),
        _ => {
            faults.push(node.place.fault(format!("`delimiter` is one character, not `{text}`")));
            None
        }
    }
}

/// dbt's `contract: {enforced: true}`.
fn enforced(config: &Fields<'_>, faults: &mut Faults) -> bool {
    let contract = config.map("contract", "a contract's config", &["enforced", "alias_types"], faults);
    contract.get("enforced").and_then(|node| truth(node, "enforced", faults)).unwrap_or_default()
}

/// The columns, their tests, and what their constraints ask for.
fn read_columns(fields: &Fields<'_>, faults: &mut Faults) -> (Vec<DeclaredColumn>, Constraints) {
    let (mut columns, mut asked): (Vec<DeclaredColumn>, Constraints) = Default::default();
    for node in fields.list("columns", faults) {
        let known = [
            "name",
            "data_type",
            "description",
            "meta",
            "tests",
            "data_tests",
            "constraints",
            "quote",
            "tags",
            "granularity",
        ];
        let fields = Fields::of(node, "a column", &known, faults);
        let Some((name, place)) = fields.required("name", faults) else { continue };
        if columns.iter().any(|earlier| earlier.column.name == name) {
            faults.push(place.fault(format!("the column `{name}` is declared twice")));
            continue;
        }
        let written = read_tests(&fields, Some(&name), faults);
        let constraints = constraints::read(&fields, Some(&name), &written, faults);
        asked.tests.extend(written.into_iter().chain(constraints.tests));
        asked.conditions.extend(constraints.conditions);
        let data_type = fields.get("data_type");
        columns.push(DeclaredColumn {
            place: data_type.map_or(place, |node| node.place.clone()),
            column: Column {
                data_type: data_type.and_then(|node| read_type(node, faults)),
                description: fields.text("description", faults).unwrap_or_default(),
                name,
            },
        });
    }
    (columns, asked)
}

fn read_type(node: &Node, faults: &mut Faults) -> Option<DataType> {
    let text = text(node, "data_type", faults)?;
    faults.keep(types::parse_type(&text).map_err(|error| node.place.refuse(&error)))
}
