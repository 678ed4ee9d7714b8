//! `lake query`

use super::connections::Connections;
use super::output::Answer;
use super::rows;
use crate::error::{Context, Error, Kind, Result};
use crate::flow::query;
use std::io::Read;

/// Ask the lake, or with --warehouse PostgreSQL, read only
#[derive(clap::Args)]
pub struct Args {
    /// One SELECT; - reads it from standard input
    #[arg(value_name = "SQL")]
    sql: String,
    /// Ask PostgreSQL instead of the lake
    #[arg(long)]
    warehouse: bool,
}

pub async fn run(args: Args, connections: &mut Connections) -> Result<Answer> {
    let sql = if args.sql == "-" { from_stdin()? } else { args.sql };
    if sql.trim().is_empty() {
        return Err(Error::config("the query is empty").hint("for example: lake query \"select 1\""));
    }
    let found = if args.warehouse {
        let mut warehouse = connections.warehouse().await?;
        connections.stop.before(query::warehouse(warehouse.as_mut(), &sql)).await?
    } else {
        let (lake, engine) = (connections.lake().await?, connections.engine()?);
        // The tables can be asked whatever is wrong with the project's files.
        let views = connections.project().map(|project| project.views).unwrap_or_default();
        connections.stop.before(query::lake(&lake, &engine, &views, &sql)).await?
    };
    rows::print(found, connections.format, &connections.screen, &connections.stop).await?;
    Ok(Answer::written())
}

fn from_stdin() -> Result<String> {
    let mut sql = String::new();
    std::io::stdin().read_to_string(&mut sql).context(Kind::Config, || "read the query from standard input")?;
    Ok(sql)
}
