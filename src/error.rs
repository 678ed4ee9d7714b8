//! The one error type: whose fault it is, what was attempted, what to do about it.
//!
//! There is no `From` for foreign errors, so a bare `?` on one does not compile: every failure passes
//! through [`Context::context`], which demands the sentence that names the object and the attempt.
//! `Display` prints that sentence only; causes are reached through `source()` and printed by `cli`.

use std::error::Error as StdError;
use std::fmt;

pub type Result<T, E = Error> = std::result::Result<T, E>;
pub type Cause = Box<dyn StdError + Send + Sync + 'static>;

/// Whose fault a failure is and whether running again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `lake.toml`, a model, a contract, a flag or a credential is wrong: edit it, then run again.
    Config,
    /// Data that was read is wrong: mend the data or the contract.
    Input,
    /// A data test failed; nothing was published.
    CheckFailed,
    /// A service could not be reached or did not answer: run again when it is back.
    Unavailable,
    /// Somebody else changed the same object at the same time: run again.
    Conflict,
    /// A signal asked us to stop and we did so cleanly. Holds the signal's number.
    Interrupted(u8),
    /// A fault of `lake` itself.
    Internal,
}

impl Kind {
    /// The process exit code (sysexits.h where it has one; 128 + signal after a clean stop).
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Input | Kind::CheckFailed => 1,
            Kind::Unavailable => 69,
            Kind::Internal => 70,
            Kind::Conflict => 75,
            Kind::Config => 78,
            Kind::Interrupted(signal) => 128 + signal,
        }
    }
}

/// A failure: one lower-case sentence without a final stop, an optional hint, an optional cause.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    hint: Option<String>,
    cause: Option<Cause>,
}

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), hint: None, cause: None }
    }

    pub fn config(message: impl Into<String>) -> Self {
        Error::new(Kind::Config, message)
    }

    pub fn input(message: impl Into<String>) -> Self {
        Error::new(Kind::Input, message)
    }

    pub fn check_failed(message: impl Into<String>) -> Self {
        Error::new(Kind::CheckFailed, message)
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        Error::new(Kind::Unavailable, message)
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Error::new(Kind::Conflict, message)
    }

    pub fn interrupted(signal: u8) -> Self {
        Error::new(Kind::Interrupted(signal), format!("stopped by signal {signal}"))
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Error::new(Kind::Internal, message)
    }

    /// Adds the remedy, printed after a blank line behind `hint:`.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Keeps what caused this failure for the `caused by:` lines.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Cause>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// One error that stands for several: the headline, each of them on a line of its own, the hint of the first that
    /// has one, the first as the cause.
    pub fn of_several(kind: Kind, headline: impl Into<String>, errors: Vec<Error>) -> Error {
        let lines = errors.iter().map(Error::in_one_line);
        let text = std::iter::once(headline.into()).chain(lines).collect::<Vec<_>>().join("\n");
        let hint = errors.iter().find_map(|error| error.hint.clone());
        let cause = errors.into_iter().next().map(Cause::from);
        Error { kind, message: text, hint, cause }
    }

    /// Puts the name of what failed in front, where several things are told of together.
    #[must_use]
    pub fn about(mut self, name: impl fmt::Display) -> Self {
        self.message = format!("`{name}`: {}", self.message);
        self
    }

    /// The message and what caused it, joined by colons.
    pub fn in_one_line(&self) -> String {
        let causes = self.causes();
        std::iter::once(self.message.clone()).chain(causes).collect::<Vec<_>>().join(": ")
    }

    /// Messages of the causes, outermost first; one that only repeats what was said already is left out.
    pub fn causes(&self) -> Vec<String> {
        let mut said = self.message.clone();
        let mut causes = Vec::new();
        let mut next = self.source();
        while let Some(cause) = next {
            let message = cause.to_string();
            if !message.is_empty() && !said.contains(&message) {
                said.clone_from(&message);
                causes.push(message);
            }
            next = cause.source();
        }
        causes
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_ref().map(|cause| cause.as_ref() as &(dyn StdError + 'static))
    }
}

/// A line of a text with a caret under one of its characters; `column` counts from 1. Of a long line what stands
/// around the caret.
pub fn excerpt(line: usize, column: usize, text: &str) -> String {
    const WIDTH: usize = 160;
    let (number, at) = (line.to_string(), column.saturating_sub(1));
    let length = text.chars().count();
    let start = if length > WIDTH { at.saturating_sub(WIDTH / 2).min(length - WIDTH) } else { 0 };
    let mut shown: String = text.chars().skip(start).take(WIDTH).collect();
    // Tabs stay tabs, so that the caret stands under its character at any tab width.
    let before = text.chars().skip(start).take(at - start.min(at));
    let mut indent: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    if start > 0 {
        shown.insert_str(0, "... ");
        indent.insert_str(0, "    ");
    }
    if start + WIDTH < length {
        shown.push_str(" ...");
    }
    format!("{number} | {shown}\n{} | {indent}^", " ".repeat(number.len()))
}

/// Turns any foreign error into ours; the message is built only on failure.
pub trait Context<T> {
    fn context<M: Into<String>>(self, kind: Kind, message: impl FnOnce() -> M) -> Result<T>;
}

impl<T, E: Into<Cause>> Context<T> for Result<T, E> {
    fn context<M: Into<String>>(self, kind: Kind, message: impl FnOnce() -> M) -> Result<T> {
        self.map_err(|cause| Error::new(kind, message()).caused_by(cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        assert_eq!(excerpt(7, 3, "ab\tx"), "7 | ab\tx\n  |   ^");
        let long = format!("{}HERE{}", "x".repeat(5_000), "y".repeat(5_000));
        for (column, first) in [(1, 'x'), (5_001, 'H'), (10_004, 'y')] {
            let shown = excerpt(12, column, &long);
            let (text, caret) = shown.split_once('\n').unwrap();
            assert!(text.len() < 200, "{shown}");
            assert_eq!(text.chars().nth(caret.chars().count() - 1), Some(first), "{shown}");
        }
        assert_eq!(excerpt(1, 9, "short"), "1 | short\n  |      ^", "past the end");
    }

    #[test]
    fn exit_codes_are_the_documented_ones() {
        let table = [
            (Kind::Input, 1),
            (Kind::CheckFailed, 1),
            (Kind::Unavailable, 69),
            (Kind::Internal, 70),
            (Kind::Conflict, 75),
            (Kind::Config, 78),
            (Kind::Interrupted(2), 130),
            (Kind::Interrupted(15), 143),
        ];
        for (kind, code) in table {
            assert_eq!(kind.exit_code(), code, "{kind:?}");
        }
    }

    #[test]
    fn the_cause_chain_is_kept_and_not_repeated() {
        let failed: std::result::Result<(), _> = Err(std::io::Error::other("disk on fire"));
        let error = failed.context(Kind::Unavailable, || "write `bronze.books`").unwrap_err();
        assert_eq!(error.to_string(), "write `bronze.books`");
        assert_eq!(error.source().unwrap().to_string(), "disk on fire");
        let outer = Error::unavailable("publish: write `bronze.books`").caused_by(error);
        assert_eq!(outer.causes(), ["disk on fire"]);
        assert_eq!(outer.in_one_line(), "publish: write `bronze.books`: disk on fire");
    }

    #[test]
    fn several_errors_are_told_line_by_line_and_no_cause_twice() {
        let cause = |text: &str| std::io::Error::other(text.to_string());
        let first = Error::input("bad row").caused_by(cause("no number")).about("a");
        let other = Error::config("no file").caused_by(cause("not found")).hint("write it").about("b");
        let all = Error::of_several(Kind::Input, "2 of 3 failed", vec![first, other]);
        assert_eq!(all.to_string(), "2 of 3 failed\n`a`: bad row: no number\n`b`: no file: not found");
        assert_eq!((all.kind(), all.hint_text(), all.causes()), (Kind::Input, Some("write it"), vec![]));
        assert_eq!(all.in_one_line(), all.to_string());
    }
}
