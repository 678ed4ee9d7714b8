//! `lake up`

use super::connections::Connections;
use super::output::Answer;
use crate::error::Result;
use crate::ident::quote;
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
    let config = connections.warehouse_config().await?;
    let (warehouse, found) = (config.url.clone(), finding_gold(&config.url, &config.schema));
    let psql = match connections.config.warehouse.url {
        Some(_) => format!("psql '{found}'"),
        None => format!("PGPASSWORD=$(cat '{}') psql '{found}'", connections.password_file().display()),
    };
    Ok(Addresses { brokers, lake, warehouse, psql })
}

/// The address with the Gold schema first in the session's search path, so that plain names find its tables.
fn finding_gold(url: &str, schema: &str) -> String {
    if url.contains("options=") {
        return url.to_string();
    }
    let path: String = format!("{},public", quote(schema))
        .chars()
        .flat_map(|c| [Some('\\').filter(|_| c.is_whitespace() || c == '\\'), Some(c)])
        .flatten()
        .collect();
    let encoded: String = path
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b',' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    let joint = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joint}options=-csearch_path%3D{encoded}")
}

pub fn text(addresses: &Addresses, embedded_broker: bool) -> String {
    let Addresses { brokers, lake, psql, .. } = addresses;
    let remark = match embedded_broker {
        true => "   (embedded: no consumer groups, no transactions, no replication)",
        false => "",
    };
    format!("broker     {brokers}{remark}\nlake       {lake}\nwarehouse  {psql}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_find_gold() {
        let table = [
            ("postgres://a@b/c", "gold", "postgres://a@b/c?options=-csearch_path%3D%22gold%22,public"),
            ("postgres://a@b/c?x=1", "my'g", "postgres://a@b/c?x=1&options=-csearch_path%3D%22my%27g%22,public"),
            ("postgres://a@b/c", "a b", "postgres://a@b/c?options=-csearch_path%3D%22a%5C%20b%22,public"),
            ("postgres://a@b/c?options=-cx%3D1", "gold", "postgres://a@b/c?options=-cx%3D1"),
        ];
        for (url, schema, expected) in table {
            assert_eq!(finding_gold(url, schema), expected);
        }
    }
}
