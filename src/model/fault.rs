//! What is wrong with a project file, and where: printed as `file:line:column: message` with the line and a caret.
//!
//! Faults are collected, not thrown: a project with five mistakes shows five. [`Faults::into_result`] makes
//! the one error of them.

use crate::error::{Error, Result, excerpt};
use crate::model::files::SourceFile;
use std::fmt;

/// A character of a project file; line and column count from 1.
#[derive(Debug, Clone)]
pub struct Place {
    pub file: SourceFile,
    pub line: usize,
    pub column: usize,
}

impl Place {
    /// Where what is wrong with the whole file, or a snapshot in it, is shown.
    pub fn start_of(file: &SourceFile) -> Place {
        let (line, column) = file.start();
        Place { file: file.clone(), line, column }
    }

    pub fn fault(&self, message: impl Into<String>) -> Fault {
        Fault { place: self.clone(), message: message.into() }
    }

    /// The error as a fault, its remedy behind it.
    pub fn refuse(&self, error: &Error) -> Fault {
        match error.hint_text() {
            Some(hint) => self.fault(format!("{error}; {hint}")),
            None => self.fault(error.to_string()),
        }
    }
}

/// `file:line:column`, for use inside a sentence.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.path(), self.line, self.column)
    }
}

/// One mistake in one project file.
#[derive(Debug, Clone)]
pub struct Fault {
    pub place: Place,
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { file, line, column } = &self.place;
        write!(f, "{}: {}", self.place, self.message)?;
        let Some(text) = file.text().lines().nth(line.saturating_sub(1)) else {
            return Ok(());
        };
        excerpt(*line, *column, text).lines().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// The mistakes found so far.
#[derive(Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    pub fn push(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Keeps the fault of a failed step and goes on without its value.
    pub fn keep<T>(&mut self, outcome: Result<T, Fault>) -> Option<T> {
        outcome.map_err(|fault| self.push(fault)).ok()
    }

    /// `value` when nothing is wrong, else one error that prints every fault, in file order.
    pub fn into_result<T>(mut self, value: T) -> Result<T> {
        self.0.sort_by(|a, b| {
            let key = |fault: &Fault| (fault.place.file.path().to_string(), fault.place.line, fault.place.column);
            key(a).cmp(&key(b))
        });
        // A model rendered in two ways shows what both have in common twice.
        self.0.dedup_by_key(|fault| fault.to_string());
        match self.0.as_slice() {
            [] => Ok(value),
            [fault] => Err(Error::config(fault.to_string())),
            faults => {
                let texts: Vec<String> = faults.iter().map(Fault::to_string).collect();
                Err(Error::config(format!("{} faults in the project\n{}", faults.len(), texts.join("\n")))
                    .hint("mend the first and run it again: others may come of it"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str, line: usize, column: usize) -> Place {
        Place { file: SourceFile::new("models/silver/x.sql", text), line, column }
    }

    #[test]
    fn a_fault_shows_its_line_and_a_caret() {
        let fault = place("select 1\n\tfrom bookz b\n", 2, 7).fault("unknown table `bookz`");
        assert_eq!(
            fault.to_string(),
            "models/silver/x.sql:2:7: unknown table `bookz`\n  2 | \tfrom bookz b\n    | \t     ^"
        );
    }

    #[test]
    fn all_faults_are_one_error_in_file_order() {
        let mut faults = Faults::default();
        faults.push(place("a\nb", 2, 1).fault("second"));
        faults.push(place("a\nb", 1, 1).fault("first"));
        let error = faults.into_result(()).unwrap_err();
        assert!(error.hint_text().is_some());
        let text = error.to_string();
        assert!(text.starts_with("2 faults in the project\n"), "{text}");
        assert!(text.find("first").unwrap() < text.find("second").unwrap());
    }
}
