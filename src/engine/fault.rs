//! What DataFusion's errors mean: a fault of the text, of the data, or of the machine.

use super::value;
use crate::error::{Error, Kind};
use crate::ident::suggestion;
use arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use datafusion::parquet::errors::ParquetError;
use datafusion::sql::sqlparser::parser::ParserError;
use std::fmt;

/// Why and where a statement is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// With the known name probably meant.
    pub message: String,
    /// From 1; `None` when the planner did not say.
    pub line: Option<usize>,
    /// In characters, from 1.
    pub column: Option<usize>,
}

impl Fault {
    pub(super) fn new(message: impl Into<String>) -> Fault {
        Fault { message: message.into(), line: None, column: None }
    }

    pub(super) fn at(mut self, line: usize, column: usize) -> Fault {
        (self.line, self.column) = (Some(line), Some(column));
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

/// The fault an error of the engine carries, if it is one of the text.
pub fn fault_of(error: &Error) -> Option<&Fault> {
    std::error::Error::source(error)?.downcast_ref()
}

/// Our error for a failed query: Input when a value is at fault (a cast, a division, an overflow),
/// Unavailable when memory, disk or store gave out, Config when the text is wrong.
pub fn failed(error: DataFusionError, attempt: impl Into<String>) -> Error {
    match into_ours(error) {
        Ok(ours) => *ours,
        Err(error) => {
            let (kind, hint) = verdict(&error);
            let cause: crate::error::Cause = match kind {
                Kind::Config => Box::new(of_planning(&error)),
                Kind::Input => value::fault(&one_line(&error.strip_backtrace())).into(),
                _ => Box::new(error),
            };
            let failed = Error::new(kind, attempt).caused_by(cause);
            match hint {
                Some(hint) => failed.hint(hint),
                None => failed,
            }
        }
    }
}

/// The error a step of ours put into DataFusion's pipeline, if it is one.
fn into_ours(error: DataFusionError) -> Result<Box<Error>, DataFusionError> {
    match error {
        DataFusionError::External(inner) => inner.downcast::<Error>().map_err(DataFusionError::External),
        DataFusionError::Context(_, inner) if matches!(*inner, DataFusionError::External(_)) => into_ours(*inner),
        other => Err(other),
    }
}

/// Whether memory gave out.
pub(super) fn exhausted(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::ResourcesExhausted(_))
}

fn verdict(error: &DataFusionError) -> (Kind, Option<&'static str>) {
    use DataFusionError::*;
    match error.find_root() {
        ArrowError(..) | Execution(_) => (Kind::Input, None),
        ResourcesExhausted(_) => (Kind::Unavailable, Some("raise `engine.memory`, or lower `engine.threads`")),
        IoError(_) => (Kind::Unavailable, Some("check the space left for temporary files and for the lake")),
        ObjectStore(_) => (Kind::Unavailable, Some("check that the lake's store can be reached, then run again")),
        ParquetError(inner) if spoils_a_condition(inner) => (Kind::Input, None),
        ParquetError(_) => (Kind::Unavailable, Some("check that no file of the lake was deleted or damaged")),
        Plan(_) | SchemaError(..) | SQL(..) | NotImplemented(_) | Configuration(_) => (Kind::Config, None),
        _ => (Kind::Internal, None),
    }
}

/// A condition that is evaluated while a file is read fails on a value, not on the file.
fn spoils_a_condition(error: &ParquetError) -> bool {
    match error {
        ParquetError::ArrowError(_) => true,
        ParquetError::External(inner) => inner.is::<ArrowError>(),
        _ => false,
    }
}

/// Where and why planning refused the text.
pub(super) fn of_planning(error: &DataFusionError) -> Fault {
    let place = error.diagnostic().and_then(|diagnostic| diagnostic.span).map(|span| span.start);
    let mut fault = match error.find_root() {
        DataFusionError::SchemaError(schema_error, _) => of_schema(schema_error),
        DataFusionError::SQL(parser_error, _) => return of_parser(parser_error),
        root => Fault::new(one_line(&root.strip_backtrace())),
    };
    if let Some(place) = place.filter(|place| place.line > 0) {
        fault = fault.at(place.line as usize, place.column as usize);
    }
    fault
}

fn of_schema(error: &SchemaError) -> Fault {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let near = suggestion(field.name(), valid_fields.iter().map(|valid| valid.name()));
            Fault::new(format!("column `{}` not found{near}", field.flat_name()))
        }
        SchemaError::AmbiguousReference { field } => {
            Fault::new(format!("column `{}` stands for more than one column", field.name()))
        }
        SchemaError::DuplicateUnqualifiedField { name } | SchemaError::DuplicateQualifiedField { name, .. } => {
            Fault::new(format!("two columns are named `{name}`"))
        }
    }
}

/// The parser writes the place at the end of its sentence.
pub(super) fn of_parser(error: &ParserError) -> Fault {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
        ParserError::RecursionLimitExceeded => return Fault::new("the statement is nested too deeply"),
    };
    let Some((message, place)) = text.rsplit_once(" at Line: ") else {
        return Fault::new(one_line(text));
    };
    let fault = Fault::new(one_line(message));
    let mut numbers = place.split(", Column: ").map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(line)), Some(Ok(column))) if line > 0 => fault.at(line, column),
        _ => fault,
    }
}

/// DataFusion's sentences span lines and name the stage that failed; ours do neither.
fn one_line(text: &str) -> String {
    const STAGES: [&str; 10] = [
        "Error during planning: ",
        "Execution error: ",
        "Cast error: ",
        "Parser error: ",
        "Compute error: ",
        "Invalid argument error: ",
        "SQL error: ",
        "Schema error: ",
        "Arrow error: ",
        "This feature is not implemented: ",
    ];
    let mut text = text.trim();
    while let Some(rest) = STAGES.iter().find_map(|stage| text.strip_prefix(stage)) {
        text = rest;
    }
    let line = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    line.trim_end_matches('.').to_string()
}
