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
    }
}
