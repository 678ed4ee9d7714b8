//! One pattern of `--select`, as dbt writes them: `[@][[N]+][METHOD:]VALUE[+[N]]`.

use crate::error::{Error, Result};
use crate::ident::suggestion;
use crate::model::Model;

const METHODS: [&str; 3] = ["tag", "path", "state"];
const MODIFIED: &str = "modified";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    pub written: String,
    pub base: Base,
    /// Steps up from the base; 0 for none.
    pub ancestors: usize,
    pub descendants: usize,
    /// Everything made from the base, and everything that is made from.
    pub whole: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Base {
    Name(String),
    Tag(String),
    Path(String),
    /// What is not as it was built.
    Modified,
}

impl Pattern {
    pub fn parse(written: &str) -> Result<Pattern> {
        let (whole, rest) = written.strip_prefix('@').map_or((false, written), |rest| (true, rest));
        let (ancestors, rest) = ancestors(rest);
        let (descendants, rest) = descendants(rest);
        if whole && ancestors.max(descendants) > 0 {
            return Err(nothing(written)
                .hint("@ takes all of what is made from a model and of what that is made from; leave the + away"));
        }
        if rest.is_empty() || rest.contains(['+', '*', '@']) {
            return Err(nothing(written).hint(
                "write a model, tag:NAME, path:models/gold or state:modified, with +, 2+ or @ in front, + or +3 behind",
            ));
        }
        Ok(Pattern { written: written.to_string(), base: base(written, rest)?, ancestors, descendants, whole })
    }
}

impl Base {
    /// Whether the model is meant, `modified` saying so of a model that is not as it was built.
    pub fn fits(&self, model: &Model, modified: impl Fn() -> bool) -> bool {
        match self {
            Base::Name(name) => model.table.name() == name || model.table.to_string() == *name,
            Base::Tag(tag) => model.tags.contains(tag),
            Base::Path(path) => model.file.starts_with(path),
            Base::Modified => modified(),
        }
    }
}

fn base(written: &str, text: &str) -> Result<Base> {
    let Some((method, value)) = text.split_once(':') else { return Ok(Base::Name(text.to_string())) };
    match method {
        "tag" if !value.is_empty() => Ok(Base::Tag(value.to_string())),
        "path" if !value.is_empty() => Ok(Base::Path(value.trim_end_matches('/').to_string())),
        "state" if value == MODIFIED => Ok(Base::Modified),
        "state" => Err(nothing(written)
            .hint(format!("unknown state `{value}`{}; there is state:{MODIFIED}", suggestion(value, [MODIFIED])))),
        "tag" | "path" => Err(nothing(written).hint(format!("name something behind `{method}:`"))),
        _ => Err(nothing(written).hint(format!(
            "unknown selector `{method}:`{}; there are {}:",
            suggestion(method, METHODS),
            METHODS.join(":, ")
        ))),
    }
}

fn nothing(written: &str) -> Error {
    Error::config(format!("`{written}` selects nothing"))
}

/// The steps that `+` or `2+` in front means, and what is behind it.
fn ancestors(text: &str) -> (usize, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    match text[digits..].strip_prefix('+') {
        Some(rest) => (steps(&text[..digits]), rest),
        None => (0, text),
    }
}

/// The steps that `+` or `+2` behind means, and what is in front of it.
fn descendants(text: &str) -> (usize, &str) {
    match text.rsplit_once('+') {
        Some((rest, digits)) if digits.bytes().all(|digit| digit.is_ascii_digit()) => (steps(digits), rest),
        _ => (0, text),
    }
}

/// Without a number, and with one beyond counting, there is no end.
fn steps(digits: &str) -> usize {
    digits.parse().unwrap_or(usize::MAX)
}
