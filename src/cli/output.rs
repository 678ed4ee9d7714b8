//! Stdout: the data a command yields, as text, CSV or JSON. A reader that went away is no failure.

use crate::error::{Context, Error, Kind, Result};
use clap::ValueEnum;
use serde::Serialize;
use std::io::{self, Write};

/// `--output`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    #[value(alias = "table")]
    Text,
    /// One JSON line at the end; `query` prints one object a row, one row a line. A failure is the last line.
    Json,
    /// `query` only.
    Csv,
}

/// What a command has to say when it ends: for people, for programs, and whether it counts as a failure.
pub struct Answer {
    text: String,
    json: serde_json::Value,
    failure: Option<Error>,
}

impl Answer {
    /// `text` may be empty when the progress lines have said it all.
    pub fn new(text: impl Into<String>, report: &impl Serialize) -> Result<Answer> {
        let json = serde_json::to_value(report).context(Kind::Internal, || "write the report as JSON")?;
        Ok(Answer { text: text.into(), json, failure: None })
    }

    /// For a command that has written its data itself.
    pub fn written() -> Answer {
        Answer { text: String::new(), json: serde_json::Value::Null, failure: None }
    }

    /// The report is printed, and then this; an earlier failure stays.
    #[must_use]
    pub fn failing(mut self, failure: Option<Error>) -> Answer {
        self.failure = self.failure.or(failure);
        self
    }

    /// The report, and the failure that goes with it.
    pub fn split(mut self) -> (Answer, Option<Error>) {
        let failure = self.failure.take();
        (self, failure)
    }

    /// Prints the data; with JSON the failure stands in the same object.
    pub fn print(self, format: Format, failure: Option<&Error>) -> Result<()> {
        match format {
            Format::Json => print_json(self.json, failure),
            Format::Text if !self.text.is_empty() => {
                let end = if self.text.ends_with('\n') { "" } else { "\n" };
                print(format_args!("{}{end}", self.text))
            }
            Format::Text | Format::Csv => Ok(()),
        }
    }
}

fn print_json(mut report: serde_json::Value, failure: Option<&Error>) -> Result<()> {
    if let Some(failure) = failure {
        if !report.is_object() {
            report = serde_json::json!({});
        }
        report["error"] = super::failure::json(failure);
    }
    if report.is_null() {
        return Ok(());
    }
    print(format_args!("{report}\n"))
}

/// Writes to stdout and flushes.
pub fn print(text: std::fmt::Arguments<'_>) -> Result<()> {
    let mut stdout = io::stdout().lock();
    written(stdout.write_fmt(text).and_then(|()| stdout.flush()))
}

/// SIGPIPE's number: how the end of a reader travels up to `main`, past whatever has to be closed first.
pub const READER_GONE: u8 = 13;

/// Nobody reading any more (`lake query .. | head`) becomes an interruption that ends with exit code 0.
pub fn written(outcome: io::Result<()>) -> Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Error::interrupted(READER_GONE)),
        outcome => outcome.context(Kind::Unavailable, || "write to standard output"),
    }
}
