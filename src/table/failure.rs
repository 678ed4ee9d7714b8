//! What a failure of the store, or of delta-rs on it, means: whose fault it is and what to do.

use super::local::EMPTY;
use crate::error::{Cause, Error, Kind};
use deltalake::DeltaTableError;
use std::error::Error as StdError;

/// For a table whose newest versions, or all of them, were deleted under its writer.
pub(super) const TAKEN_BACK: &str = "somebody took versions of the table back or made it again; \
                                     run again to go on from what it holds now";

/// The remedy for a file nobody can mend.
pub(super) const DAMAGED: &str = "bring the file back from a copy of the lake; without one, move the table away: it is \
                                  filled again from where its rows came from";

/// Our error for a failure of the store or of delta-rs on it: kind, remedy and cause follow from the store's
/// own error wherever it stands in the chain of causes.
pub(super) fn failed(error: impl Into<Cause>, message: impl Into<String>) -> Error {
    let cause: Cause = error.into();
    let mut next: Option<&(dyn StdError + 'static)> = Some(cause.as_ref());
    while let Some(error) = next {
        if let Some(store) = error.downcast_ref::<object_store::Error>() {
            return of_store(store, message.into());
        }
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return of_io(io, message.into());
        }
        if let Some(DeltaTableError::KernelError(kernel)) = error.downcast_ref()
            && let Some((kind, hint)) = of_kernel(&kernel.to_string())
        {
            let text = kernel.to_string();
            return Error::new(kind, message).hint(hint).caused_by(said(&text).or_else(|| gap(&text)).unwrap_or(text));
        }
        next = error.source();
    }
    Error::new(Kind::Internal, message).caused_by(cause)
}

/// The words for a log in which commits are missing between others.
fn gap(text: &str) -> Option<String> {
    let (_, files) = text.split_once("Expected contiguous commit files, but found gap: ")?;
    let number = |part: &str| part.split(|c: char| !c.is_ascii_digit()).next().map(str::to_string);
    let versions: Vec<String> = files.split("version: ").skip(1).filter_map(number).collect();
    let [before, after] = versions.as_slice() else { return None };
    Some(format!("in its log, version {after} follows version {before}: what was between them was deleted"))
}

/// A store's failure that came through a writer or reader of streams is inside, not behind.
fn of_io(error: &std::io::Error, message: String) -> Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<object_store::Error>()) {
        Some(store) => of_store(store, message),
        None => Error::new(Kind::Unavailable, message).hint(UNREACHED).caused_by(error.to_string()),
    }
}

const UNREACHED: &str = "check that the store is running and can be reached, then run again";
const MISSING: &str = "check that the place exists and that no file of the lake was deleted";
const REFUSED: &str = "check the access key, its secret and its rights on the bucket";

/// Kind and remedy when the store failed Delta's kernel, which keeps of the store's error no more than its words.
fn of_kernel(text: &str) -> Option<(Kind, &'static str)> {
    if text.contains("File not found: ") {
        return Some((Kind::Unavailable, MISSING));
    }
    if text.contains("is older than the existing snapshot version") {
        return Some((Kind::Conflict, TAKEN_BACK));
    }
    if gap(text).is_some() {
        return Some((Kind::Input, "bring the deleted files of `_delta_log` back, or move the table away"));
    }
    if text.contains(EMPTY) {
        return Some((Kind::Input, DAMAGED));
    }
    let (_, store) = text.split_once("Error interacting with object store: ")?;
    let refused = ["lacked the necessary privileges", "lacked valid authentication"];
    Some(match refused.iter().any(|words| store.contains(words)) {
        true => (Kind::Config, REFUSED),
        false => (Kind::Unavailable, UNREACHED),
    })
}

fn of_store(error: &object_store::Error, message: String) -> Error {
    use object_store::Error::*;
    let reason = reason(error);
    let (kind, hint) = match error {
        NotSupported { .. } | NotImplemented { .. } | UnknownConfigurationKey { .. } => {
            (Kind::Config, "check the options of the lake")
        }
        NotFound { .. } if reason.starts_with("NoSuchBucket") => (Kind::Config, "create the bucket first"),
        NotFound { .. } => (Kind::Unavailable, MISSING),
        PermissionDenied { .. } | Unauthenticated { .. } => (Kind::Config, REFUSED),
        _ if reason.contains(EMPTY) => (Kind::Input, DAMAGED),
        // The address of a cloud machine's own credentials: asked when none are configured.
        _ if error.to_string().contains("169.254.169.254") => {
            (Kind::Config, "no credentials were given: set aws_access_key_id and aws_secret_access_key")
        }
        _ => (Kind::Unavailable, UNREACHED),
    };
    Error::new(kind, message).hint(hint).caused_by(reason)
}

/// What the store itself said, else the innermost cause. The sentences around it repeat each other with
/// requests and bodies.
fn reason(error: &object_store::Error) -> String {
    let mut innermost: &dyn StdError = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    said(&error.to_string()).unwrap_or_else(|| innermost.to_string())
}

/// Code and message of the XML in a store's answer.
fn said(text: &str) -> Option<String> {
    let tag = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(value, _)| value.trim())
    };
    let code = tag("Code")?;
    Some(match tag("Message") {
        Some(message) => format!("{code}: {}", message.trim_end_matches('.')),
        None => code.to_string(),
    })
}
