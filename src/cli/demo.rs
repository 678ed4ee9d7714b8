//! `lake demo`

use super::columns::{columns, grouped};
use super::connections::Connections;
use super::output::{Answer, Format};
use super::run::{self, Round};
use super::{rows, up};
use crate::error::{Error, Kind, Result};
use crate::flow::checks::{TestReport, TestStatus};
use crate::flow::{self, query};
use crate::ident::quote;
use crate::warehouse::Warehouse;
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use serde::Serialize;

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

/// Best sellers, when the project is the bookshop.
const BEST_SELLERS: &str = "\
select b.title, sum(s.quantity) as sold, sum(s.revenue) as revenue
from gold.fact_sale s join gold.dim_book b on b.book_key = s.book_key
group by b.title order by sold desc, b.title limit 5";

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
    let mut warehouse = connections.warehouse().await?;
    let (sql, result) = result(warehouse.as_mut(), &connections.config.warehouse.schema).await?;
    let addresses = up::addresses(connections).await?;
    let nothing_to_do = round.nothing_to_do();
    let text = [
        layers,
        tests_text(&tests.tests),
        format!("from PostgreSQL:\n{sql}\n{}", rows::table(&result)?),
        closing(&addresses, nothing_to_do),
    ]
    .join("\n");
    let result = if connections.format == Format::Json { rows::texts(&result)? } else { Vec::new() };
    let report = Report { round, tests, nothing_to_do, result, addresses };
    Ok(Answer::new(text, &report)?.failing(failure))
}

/// Rows and versions of each table, layer by layer.
async fn layers(connections: &mut Connections) -> Result<String> {
    let (project, streams, engine) = (connections.project()?, connections.streams(&[])?, connections.engine()?);
    let parts = flow::status::Parts {
        project: &project,
        streams: &streams,
        engine: &engine,
        kafka: connections.kafka(),
        lake: connections.lake().await,
        warehouse: Some(connections.warehouse().await),
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
        table.push(vec![format!("{} in PostgreSQL", load.table), grouped(load.rows), String::new()]);
    }
    Ok(columns(&["table", "rows", "quarantined"], &table))
}

fn tests_text(tests: &[TestReport]) -> String {
    let count = |status| tests.iter().filter(|test| test.status == status).count();
    let (passed, failed, warned) = (count(TestStatus::Pass), count(TestStatus::Fail), count(TestStatus::Warn));
    format!("tests: {passed} passed, {failed} failed, {warned} warned\n")
}

/// A result worth showing: the best sellers, else the first rows of the first loaded table.
async fn result(warehouse: &mut dyn Warehouse, schema: &str) -> Result<(String, Vec<RecordBatch>)> {
    let best_sellers = BEST_SELLERS.replace("gold.", &format!("{}.", quote(schema)));
    match collect(warehouse, &best_sellers).await {
        // Another project, with other tables or columns.
        Err(error) if error.kind() == Kind::Config => {}
        outcome => return Ok((best_sellers, outcome?)),
    }
    let loaded = warehouse.ledger().await?;
    let Some(first) = loaded.first() else {
        return Err(Error::check_failed("nothing was loaded: the project has no Gold table"));
    };
    let table: Vec<String> = first.table.split('.').map(quote).collect();
    let sql = format!("select * from {} limit 5", table.join("."));
    let rows = collect(warehouse, &sql).await?;
    Ok((sql, rows))
}

async fn collect(warehouse: &mut dyn Warehouse, sql: &str) -> Result<Vec<RecordBatch>> {
    query::warehouse(warehouse, sql).await?.batches.try_collect().await
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
