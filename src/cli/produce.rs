//! `lake produce`

use super::connections::Connections;
use super::output::Answer;
use crate::error::{Error, Result};
use crate::flow;
use crate::ident;
use crate::source::{Format, SourceConfig};
use std::path::{Path, PathBuf};

/// Send file rows to Kafka; only new ones unless --again
#[derive(clap::Args)]
pub struct Args {
    /// Sources declared in lake.toml [default: all of them]
    #[arg(value_name = "SOURCE", conflicts_with = "file")]
    sources: Vec<String>,
    /// A file, folder or glob that lake.toml does not declare
    #[arg(long, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// Topic of the undeclared files [default: named after the first]
    #[arg(long, requires = "file")]
    topic: Option<String>,
    /// csv or jsonl [default: by the file's extension]
    #[arg(long, requires = "file", value_parser = parse_format)]
    format: Option<Format>,
    /// Column that keys the records; several are joined
    #[arg(long, requires = "file", value_name = "COLUMN")]
    key: Vec<String>,
    /// Character between cells [default: sniffed]
    #[arg(long, requires = "file", value_parser = parse_delimiter)]
    delimiter: Option<char>,
    /// Encoding of a file that is not UTF-8, for example windows-1252
    #[arg(long, requires = "file")]
    encoding: Option<String>,
    /// Cell text that means null, beside the empty cell
    #[arg(long, requires = "file", value_name = "TEXT")]
    null: Vec<String>,
    /// The first line is data
    #[arg(long, requires = "file")]
    no_header: bool,
    /// Column holding the event time
    #[arg(long, requires = "file", value_name = "COLUMN")]
    event_time: Option<String>,
    /// Partitions of the topic, when it is made here
    #[arg(long, requires = "file", value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// Send every row again; Bronze recognises and drops what it has
    #[arg(long)]
    again: bool,
    /// Send edited files as a new source
    #[arg(long, conflicts_with = "again")]
    as_new: bool,
    /// Rows per second
    #[arg(long, value_name = "ROWS", value_parser = parse_pace)]
    rate: Option<f64>,
    /// Replay at X times the pace of the event times
    #[arg(long, value_name = "X", value_parser = parse_pace, conflicts_with = "rate")]
    speed: Option<f64>,
}

pub async fn run(args: Args, connections: &mut Connections) -> Result<Answer> {
    let sources = args.sources(&connections.config.sources, &here()?)?;
    let options = flow::produce::Options { again: args.again, as_new: args.as_new, ..connections.produce_options() };
    let (report, failure) = produce(connections, &sources, &options).await?;
    Ok(Answer::new("", &report)?.failing(failure))
}

/// The flow with the project's connections; `run` uses it too.
pub async fn produce(
    connections: &mut Connections,
    sources: &[SourceConfig],
    options: &flow::produce::Options,
) -> Result<(flow::produce::Report, Option<Error>)> {
    let kafka = connections.kafka()?;
    let project = connections.config.project.clone();
    flow::produce::produce(&kafka, sources, &project, options, &connections.progress, &connections.stop).await
}

impl Args {
    /// What to send: the ad hoc files, the named sources, or all declared ones; paced as asked.
    fn sources(&self, declared: &[SourceConfig], here: &Path) -> Result<Vec<SourceConfig>> {
        let mut sources = match (self.file.is_empty(), self.sources.is_empty()) {
            (false, _) => vec![self.ad_hoc(here)?],
            (true, true) => declared.to_vec(),
            (true, false) => self.sources.iter().map(|name| named(name, declared)).collect::<Result<_>>()?,
        };
        if sources.is_empty() {
            return Err(nothing_declared());
        }
        for source in &mut sources {
            if self.rate.is_some() || self.speed.is_some() {
                (source.rate, source.speed) = (self.rate, self.speed);
            }
        }
        Ok(sources)
    }

    fn ad_hoc(&self, here: &Path) -> Result<SourceConfig> {
        let stem = self.file.first().and_then(|file| file.file_stem()).map(|stem| stem.to_string_lossy().into_owned());
        let topic = self.topic.clone().or_else(|| ident::name_from(stem.as_deref()?));
        let topic =
            topic.ok_or_else(|| Error::config("no topic can be named after the file").hint("add --topic NAME"))?;
        Ok(SourceConfig {
            name: topic,
            files: self.file.iter().map(|file| here.join(file).display().to_string()).collect(),
            format: self.format,
            key: self.key.clone(),
            delimiter: self.delimiter,
            encoding: self.encoding.clone(),
            header: self.no_header.then_some(false),
            null_values: self.null.clone(),
            event_time: self.event_time.clone(),
            partitions: self.partitions,
            ..SourceConfig::default()
        })
    }
}

fn named(name: &str, declared: &[SourceConfig]) -> Result<SourceConfig> {
    let found = declared.iter().find(|source| source.name == name).cloned();
    found.ok_or_else(|| {
        let known = declared.iter().map(|source| source.name.as_str());
        Error::config(format!("no source `{name}` in lake.toml")).hint(ident::known_names(name, known))
    })
}

pub fn nothing_declared() -> Error {
    Error::config("the project declares nothing to produce").hint(
        "write into lake.toml:\n\n  [[produce]]\n  name = \"books\"\n  files = [\"data/books.csv\"]\n\n\
         or send a file once with: lake produce --file data/books.csv --topic books",
    )
}

fn here() -> Result<PathBuf> {
    std::env::current_dir().map_err(|error| Error::config("find the current folder").caused_by(error))
}

fn parse_format(text: &str) -> Result<Format, String> {
    match text {
        "csv" => Ok(Format::Csv),
        "jsonl" => Ok(Format::Jsonl),
        _ => Err("write csv or jsonl".into()),
    }
}

fn parse_delimiter(text: &str) -> Result<char, String> {
    let text = if text == "\\t" || text == "tab" { "\t" } else { text };
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(delimiter), None) => Ok(delimiter),
        _ => Err("write one character, or tab".into()),
    }
}

fn parse_pace(text: &str) -> Result<f64, String> {
    let pace: f64 = text.parse().map_err(|_| "write a number")?;
    if pace.is_finite() && pace > 0.0 { Ok(pace) } else { Err("write a number above 0".into()) }
}
