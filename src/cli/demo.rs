//! `lake demo`

use super::columns::{columns, grouped};
use super::connections::Connections;
use super::output::{Answer, Format};
use super::run::{self, Round};
use super::{rows, up};
use crate::error::{Context, Error, Kind, Result};
use crate::flow::checks::summary;
use crate::flow::{self, query};
use crate::ident::quote;
use crate::table::Lake;
use crate::warehouse::{Entry, Warehouse};
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use serde::Serialize;
use std::path::Path;

/// Run the project's own data all of the road and show what arrived
#[derive(clap::Args)]
pub struct Args {}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    round: Round,
    tests: flow::test::Report,
    nothing_to_do: bool,
    result: Vec<Vec<Option<String>>>,
    addresses: up::Addresses,
}

/// The query whose answer is shown at the end; optional. Like the scripts of `sql/warehouse` it names tables
/// plainly: the search path finds them, whatever warehouse.schema says.
const SHOWN: &str = "sql/demo.sql";

pub async fn run(_args: Args, connections: &mut Connections) -> Result<Answer> {
    let project = connections.project()?;
    if connections.config.sources.is_empty() || project.models.is_empty() {
        return Err(Error::config("there is nothing to show here: the project has no source or no model")
            .hint("run it in a clone of lake, or make a project with: lake init shop --from any.csv"));
    }
    let (round, failure) = run::round(connections).await?;
    if let Some(failure) = failure {
        return Ok(Answer::new("", &round)?.failing(Some(failure)));
    }
    let (tests, failure) = super::test::test(connections, &flow::test::Options::default()).await?;
    let layers = layers(connections).await?;
    let (sql, result) = result(connections).await?;
    let addresses = up::addresses(connections).await?;
    let nothing_to_do = round.nothing_to_do();
    let text = [
        layers,
        format!("tests: {}\n", summary(&tests.tests)),
        format!("from PostgreSQL, schema {}:\n{sql}\n{}", connections.config.warehouse.schema, rows::table(&result)?),
        closing(&addresses, nothing_to_do),
    ]
    .join("\n");
    let result = match connections.format {
        Format::Json => result.iter().map(flow::rows::texts).collect::<Result<Vec<_>>>()?.concat(),
        Format::Text | Format::Csv => Vec::new(),
    };
    let report = Report { round, tests, nothing_to_do, result, addresses };
    Ok(Answer::new(text, &report)?.failing(failure))
}

/// Rows of each table, layer by layer.
async fn layers(connections: &mut Connections) -> Result<String> {
    let (project, streams, engine) = (connections.project()?, connections.streams(&[])?, connections.engine()?);
    let root = connections.config.project.clone();
    let parts = flow::status::Parts {
        root: &root,
        project: &project,
        streams: &streams,
        engine: &engine,
        kafka: connections.kafka(),
        lake: connections.lake().await,
        warehouse: Some(connections.warehouse().await),
        target_file_size: connections.config.maintain.target_file_size as u64,
    };
    let status = flow::status::status(parts).await?;
    let known = |figure: Option<u64>| figure.map_or_else(|| "-".into(), grouped);
    let mut table = Vec::new();
    for stream in &status.streams {
        table.push(vec![stream.table.clone(), known(stream.rows), known(stream.rejects)]);
    }
    for model in &status.models {
        table.push(vec![model.model.clone(), known(model.rows), String::new()]);
    }
    for load in &status.loads {
        table.push(vec![format!("{} in PostgreSQL", load.entry.table), grouped(load.entry.rows), String::new()]);
    }
    Ok(columns(&["table", "rows", "quarantined"], &table))
}

/// The answer to the project's own query, else the first rows of the first loaded table.
async fn result(connections: &mut Connections) -> Result<(String, Vec<RecordBatch>)> {
    let lake = connections.lake().await?;
    let mut warehouse = connections.warehouse().await?;
    let sql = match own_query(&connections.config.project.join(SHOWN))? {
        Some(sql) => sql,
        None => first_rows(&lake, warehouse.as_mut()).await?,
    };
    let rows = query::warehouse(warehouse.as_mut(), &sql).await?.batches.try_collect().await?;
    Ok((sql, rows))
}

fn own_query(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(sql) => Ok(Some(sql.trim_end().to_string())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(Kind::Config, || format!("read `{}`", path.display())),
    }
}

async fn first_rows(lake: &Lake, warehouse: &mut dyn Warehouse) -> Result<String> {
    let loaded = flow::load::loaded(lake, warehouse).await?;
    let Some((_, table)) = loaded.first().and_then(Entry::place) else {
        return Err(Error::config("nothing was loaded: the project has no Gold model")
            .hint("write a SELECT into models/gold/NAME.sql"));
    };
    Ok(format!("select * from {} limit 5", quote(table)))
}

fn closing(addresses: &up::Addresses, nothing_to_do: bool) -> String {
    let done = match nothing_to_do {
        true => "There was nothing to do: everything had arrived before.\n",
        false => "Run it again: there will be nothing to do.\n",
    };
    format!(
        "{done}Look around:\n  lake query \"select * from bronze.<table> limit 5\"\n  lake status\n  lake verify\n\
         Connect from elsewhere while `lake up` runs:\n  {}\n",
        addresses.psql
    )
}
