//! How a failure is shown: `error:`, `caused by:` lines, a blank line, `hint:`; or one JSON object.

use crate::error::{Error, Kind};
use serde_json::{Value, json};
use std::fmt::Write;

/// The text for people, ending in a line end.
pub fn text(error: &Error, colour: bool) -> String {
    let (red, cyan, reset) = if colour { ("\x1b[1;31m", "\x1b[1;36m", "\x1b[0m") } else { ("", "", "") };
    let mut text = format!("{red}error:{reset} {error}\n");
    for cause in error.causes() {
        text.push_str("caused by: ");
        text.push_str(&cause);
        text.push('\n');
    }
    if let Some(hint) = error.hint_text() {
        // Writing into a String cannot fail.
        writeln!(text, "\n{cyan}hint:{reset} {hint}").unwrap_or_default();
    }
    text
}

/// `{kind, message, causes, hint, exit_code}`
pub fn json(error: &Error) -> Value {
    json!({
        "kind": kind(error.kind()),
        "message": error.to_string(),
        "causes": error.causes(),
        "hint": error.hint_text(),
        "exit_code": error.kind().exit_code(),
    })
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Config => "config",
        Kind::Input => "input",
        Kind::CheckFailed => "check_failed",
        Kind::Unavailable => "unavailable",
        Kind::Conflict => "conflict",
        Kind::Interrupted(_) => "interrupted",
        Kind::Internal => "internal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Error {
        let refused = std::io::Error::other("connection refused");
        let inner = Error::unavailable("connect to `127.0.0.1:1`").caused_by(refused);
        Error::unavailable("read the topics").caused_by(inner).hint("is the broker up?")
    }

    #[test]
    fn people_see_the_chain_and_the_hint() {
        let expected = "error: read the topics\ncaused by: connect to `127.0.0.1:1`\ncaused by: connection refused\n\
                        \nhint: is the broker up?\n";
        assert_eq!(text(&failed(), false), expected);
        assert_eq!(text(&Error::config("no"), false), "error: no\n");
        assert!(text(&failed(), true).starts_with("\x1b[1;31merror:\x1b[0m read"));
    }

    #[test]
    fn a_cause_that_repeats_its_effect_is_left_out() {
        let error = Error::input("line 3: bad").caused_by(std::io::Error::other("line 3: bad"));
        assert_eq!(text(&error, false), "error: line 3: bad\n");
    }

    #[test]
    fn programs_see_one_object() {
        let shown = json(&failed());
        assert_eq!(shown["kind"], "unavailable");
        assert_eq!(shown["causes"], json!(["connect to `127.0.0.1:1`", "connection refused"]));
        assert_eq!((shown["hint"].as_str(), shown["exit_code"].as_u64()), (Some("is the broker up?"), Some(69)));
    }
}
