//! `lake quarantine`: `list`, `show`, `redrive`, `drop`.

use super::columns::columns;
use super::connections::Connections;
use super::output::{Answer, Format, written};
use crate::error::{Error, Result};
use crate::flow::bytes::{escaped, to_json};
use crate::flow::count::{counted, grouped};
use crate::flow::quarantine::{self, Partitions, Record, Redriven, Selection, TableList};
use crate::flow::reasons::{Reason, time};
use serde_json::{Value, json};
use std::io::{BufRead, BufWriter, IsTerminal, Write};

/// Look at the records that could not become rows, send them through the mended stream, delete them
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Count the quarantined records by kind of reason
    List {
        /// Bronze tables [default: all of the lake]
        #[arg(value_name = "TABLE")]
        tables: Vec<String>,
    },
    Show(Show),
    Redrive(Redrive),
    Drop(Drop),
}

/// Print single records: place, source row, times, reason, payload
#[derive(clap::Args)]
struct Show {
    table: String,
    /// Records shown at most
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    #[command(flatten)]
    which: Which,
    /// Write the payloads as they are, one after the other, and nothing else
    #[arg(long)]
    raw: bool,
}

/// Decode the records again by the contract and SQL as they are now; good ones become rows, in one commit
#[derive(clap::Args)]
struct Redrive {
    table: String,
    /// Change nothing; say what would become of the records
    #[arg(long)]
    dry_run: bool,
}

/// Delete records from quarantine, in one commit
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("selection").required(true).multiple(true).args(["all", "reason", "partition", "before"]))]
struct Drop {
    table: String,
    /// All of the table
    #[arg(long, conflicts_with_all = ["reason", "partition", "before"])]
    all: bool,
    #[command(flatten)]
    which: Which,
    /// Those taken in before this time, for example 2026-01-31T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    before: Option<i64>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

#[derive(clap::Args)]
struct Which {
    /// Those whose reason holds this text; also as `list` shows it
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Those of this partition: 3, or sales/3 for one topic of several
    #[arg(long, value_name = "P", value_parser = parse_partition)]
    partition: Option<Partitions>,
    /// The one at this offset
    #[arg(long, value_name = "O", requires = "partition")]
    offset: Option<i64>,
}

impl Which {
    fn selection(self, before: Option<i64>) -> Selection {
        Selection { partition: self.partition, offset: self.offset, reason: self.reason, before }
    }
}

pub async fn run(args: Args, connections: &mut Connections) -> Result<Answer> {
    match args.what {
        What::List { tables } => list(&tables, connections).await,
        What::Show(args) => show(args, connections).await,
        What::Redrive(args) => redrive(args, connections).await,
        What::Drop(args) => drop(args, connections).await,
    }
}

async fn list(names: &[String], connections: &mut Connections) -> Result<Answer> {
    let (lake, engine) = (connections.lake().await?, connections.engine()?);
    let tables = quarantine::tables(&lake, names).await?;
    let lists = quarantine::list(&lake, &engine, &tables, &connections.stop).await?;
    Answer::new(listed(&lists), &json!({ "tables": lists }))
}

fn listed(lists: &[TableList]) -> String {
    let row = |table: &str, kind: &Reason| {
        let seen = |seen: &crate::flow::reasons::Seen| {
            format!("{} {}", seen.place, seen.at.and_then(time).unwrap_or_default())
        };
        vec![table.to_string(), grouped(kind.records), seen(&kind.first), seen(&kind.last), kind.kind.clone()]
    };
    let rows = lists.iter().flat_map(|list| list.kinds.iter().map(|kind| row(&list.table, kind)));
    let rows: Vec<Vec<String>> = rows.collect();
    match rows.is_empty() {
        true => "nothing is in quarantine".into(),
        false => columns(&["table", "records", "first", "last", "reason"], &rows),
    }
}

async fn show(args: Show, connections: &mut Connections) -> Result<Answer> {
    let Show { table, limit, which, raw } = args;
    let lake = connections.lake().await?;
    let table = one(quarantine::tables(&lake, &[table]).await?)?;
    let format = connections.format;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let see = |record: &Record<'_>| {
        written(match (raw, format) {
            (true, _) => out.write_all(record.raw.unwrap_or_default()),
            (false, Format::Json) => writeln!(out, "{}", object(record)),
            (false, _) => out.write_all(text(record).as_bytes()),
        })
    };
    let selection = which.selection(None);
    let more = quarantine::show(&lake, &table, &selection, limit, &connections.stop, see).await?;
    written(out.flush())?;
    if more {
        connections.screen.line(&format!("only the first {limit} records; --limit shows more"));
    }
    Ok(Answer::written())
}

fn text(record: &Record<'_>) -> String {
    let mut text = format!("{}\n", record.place);
    let source = record.source.map(|source| match record.source_row {
        Some(row) => format!("{source} row {row}"),
        None => source.to_string(),
    });
    let shown = |bytes: Option<&[u8]>| bytes.map(escaped);
    let lines = [
        ("reason", Some(record.reason.to_string())),
        ("source", source),
        ("time", record.timestamp.and_then(time)),
        ("taken in", record.ingested_at.and_then(time)),
        ("key", shown(record.key)),
        ("headers", record.headers.map(str::to_string)),
        ("payload", shown(record.raw)),
    ];
    for (name, value) in lines {
        if let Some(value) = value {
            text.push_str(&format!("  {name:<9} {value}\n"));
        }
    }
    text
}

fn object(record: &Record<'_>) -> Value {
    let headers = record.headers.and_then(|headers| serde_json::from_str::<Value>(headers).ok());
    json!({
        "topic": record.place.topic,
        "partition": record.place.partition,
        "offset": record.place.offset,
        "timestamp": record.timestamp.and_then(time),
        "ingested_at": record.ingested_at.and_then(time),
        "source": record.source,
        "source_row": record.source_row,
        "reason": record.reason,
        "key": to_json(record.key),
        "headers": headers,
        "payload": to_json(record.raw),
    })
}

async fn redrive(args: Redrive, connections: &mut Connections) -> Result<Answer> {
    let (lake, engine) = (connections.lake().await?, connections.engine()?);
    let table = one(quarantine::tables(&lake, std::slice::from_ref(&args.table)).await?)?;
    let stream = one(connections.streams(&[table.name().to_string()])?)?;
    let memory = connections.config.bronze.memory;
    let (progress, stop) = (&connections.progress, &connections.stop);
    let report = quarantine::redrive(&lake, &engine, &stream, memory, args.dry_run, progress, stop).await?;
    Answer::new(redriven(&report), &report)
}

fn redriven(report: &Redriven) -> String {
    let Redriven { table, records, rows, filtered, stayed, unreadable, .. } = report;
    let (became, are) = if report.dry_run { ("would become", "would be") } else { ("became", "are") };
    let mut text =
        format!("{table}: of {} in quarantine {} {became} rows", counted(*records, "record"), grouped(*rows));
    if *filtered > 0 {
        text.push_str(&format!(", {} {are} left out by the stream", grouped(*filtered)));
    }
    text.push_str(&format!(", {} {are} still there\n", grouped(*stayed)));
    for kind in &report.reasons {
        let (records, place) = (grouped(kind.records), &kind.first.place);
        text.push_str(&format!("  {records}: {} (for example {place})\n", kind.kind));
    }
    if *unreadable > 0 {
        let unreadable = grouped(*unreadable);
        text.push_str(&format!(
            "  {unreadable}: their source could not read them; mend the file and send it with `lake produce --as-new`\n"
        ));
    }
    text
}

async fn drop(args: Drop, connections: &mut Connections) -> Result<Answer> {
    let Drop { table, all: _, which, before, yes } = args;
    let lake = connections.lake().await?;
    let table = one(quarantine::tables(&lake, &[table]).await?)?;
    let selection = which.selection(before);
    let (progress, stop) = (&connections.progress, &connections.stop);
    let mut agreed = None;
    if !yes {
        let records = quarantine::count(&lake, &table, &selection, stop).await?;
        confirm(&format!("delete {} from the quarantine of {table}?", counted(records, "record")))?;
        agreed = Some(records);
    }
    let report = quarantine::drop(&lake, &table, &selection, agreed, progress, stop).await?;
    let (records, stayed) = (counted(report.records, "record"), grouped(report.stayed));
    Answer::new(format!("{table}: {records} deleted from quarantine, {stayed} left"), &report)
}

/// Kind Config when the answer is not yes, or when there is nobody to ask.
fn confirm(question: &str) -> Result<()> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Error::config(format!("{question} there is nobody to ask")).hint("say it with --yes"));
    }
    let mut line = String::new();
    let asked =
        write!(std::io::stderr(), "{question} [y/N] ").and_then(|()| std::io::stdin().lock().read_line(&mut line));
    match asked.is_ok() && matches!(line.trim(), "y" | "Y" | "yes") {
        true => Ok(()),
        false => Err(Error::config("nothing was deleted")),
    }
}

fn one<T>(found: Vec<T>) -> Result<T> {
    found.into_iter().next().ok_or_else(|| Error::internal("a name that was found stands for nothing"))
}

fn parse_partition(text: &str) -> Result<Partitions, String> {
    let (topic, number) = match text.rsplit_once('/') {
        Some((topic, number)) => (Some(topic.to_string()), number),
        None => (None, text),
    };
    let number = number.parse().ok().filter(|number| *number >= 0);
    number.map(|number| Partitions { topic, number }).ok_or_else(|| "write 3, or sales/3".into())
}

fn parse_time(text: &str) -> Result<i64, String> {
    let time = chrono::DateTime::parse_from_rfc3339(text);
    time.map(|time| time.timestamp_micros()).map_err(|error| format!("write 2026-01-31T00:00:00Z ({error})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_have_a_topic_or_none() {
        let partition = |topic: Option<&str>, number| Ok(Partitions { topic: topic.map(str::to_string), number });
        assert_eq!(parse_partition("3"), partition(None, 3));
        assert_eq!(parse_partition("shop/eu/3"), partition(Some("shop/eu"), 3));
        for bad in ["", "x", "-1", "sales/", "sales/x"] {
            assert!(parse_partition(bad).is_err(), "{bad}");
        }
    }
}
