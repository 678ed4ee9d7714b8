//! `lake up`

use super::connections::Connections;
use super::output::Answer;
use crate::error::Result;
use serde::Serialize;
use std::time::Duration;

/// Hold the embedded broker and PostgreSQL open for psql, kcat or a second terminal
#[derive(clap::Args)]
pub struct Args {}

/// Where everything answers.
#[derive(Serialize)]
pub struct Addresses {
    pub brokers: String,
    pub lake: String,
    /// Without the password.
    pub warehouse: String,
    /// A shell line that connects.
    pub psql: String,
}

pub async fn run(_args: Args, connections: &mut Connections) -> Result<Answer> {
    let addresses = addresses(connections).await?;
    let embedded_broker = connections.config.kafka.brokers.is_none();
    // Now, not at the end: whoever waits for the addresses goes on with them while this command runs.
    Answer::new(text(&addresses, embedded_broker), &addresses)?.print(connections.format, None)?;
    connections.screen.line("Ctrl-C ends it");
    while !connections.stop.requested() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(Answer::written())
}

/// Starts what is embedded and not running.
pub async fn addresses(connections: &mut Connections) -> Result<Addresses> {
    let brokers = connections.kafka()?.brokers;
    let lake = connections.lake().await?.root().to_string();
    let warehouse = connections.warehouse_config().await?.url;
    let psql = match connections.config.warehouse.url {
        Some(_) => format!("psql '{warehouse}'"),
        None => format!("PGPASSWORD=$(cat '{}') psql '{warehouse}'", connections.password_file().display()),
    };
    Ok(Addresses { brokers, lake, warehouse, psql })
}

pub fn text(addresses: &Addresses, embedded_broker: bool) -> String {
    let Addresses { brokers, lake, psql, .. } = addresses;
    let remark = match embedded_broker {
        true => "   (embedded: no consumer groups, no transactions, no replication)",
        false => "",
    };
    format!("broker     {brokers}{remark}\nlake       {lake}\nwarehouse  {psql}")
}
