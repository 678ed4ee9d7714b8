//! Blocks of a file: `{% macro %}`, `{% docs %}` and the like, found by their tags and not yet understood.

use super::follow::tag_end;
use crate::model::fault::{Faults, Place};
use crate::model::files::SourceFile;
use crate::model::origin::position_of;
use std::ops::Range;

const KINDS: [&str; 6] = ["macro", "docs", "test", "data_test", "materialization", "snapshot"];

/// Byte ranges of the file.
#[derive(Debug)]
pub(super) struct Found {
    pub kind: &'static str,
    pub name: Range<usize>,
    /// With its tags.
    pub whole: Range<usize>,
    pub body: Range<usize>,
}

/// The blocks of a file, none inside another; one without an end is a fault.
pub(super) fn blocks(file: &SourceFile, faults: &mut Faults) -> Vec<Found> {
    let text = file.text();
    let (mut found, mut at) = (Vec::new(), 0);
    let mut open: Option<Found> = None;
    while let Some((start, end)) = next_tag(text, at) {
        at = end;
        let (word, name) = head(text, start, end);
        let word = &text[word];
        match &mut open {
            Some(block) if word.strip_prefix("end") == Some(block.kind) => {
                block.whole.end = end;
                block.body.end = start;
                found.extend(open.take());
            }
            Some(_) => {}
            None if word == "raw" => at = text[end..].find("endraw").map_or(text.len(), |length| end + length),
            None => {
                let kind = KINDS.iter().find(|kind| **kind == word);
                open = kind.map(|kind| Found { kind, name, whole: start..end, body: end..end });
            }
        }
    }
    if let Some(Found { kind, name, whole, .. }) = open {
        faults.push(place(file, whole.start).fault(format!("`{kind} {}` has no `end{kind}`", &text[name])));
    }
    found
}

pub(super) fn place(file: &SourceFile, at: usize) -> Place {
    let (line, column) = position_of(file.text(), at);
    Place { file: file.clone(), line, column }
}

/// As many blanks, and the same ends of lines.
pub(super) fn blanked(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
}

/// The next `{% %}`, comments passed over.
fn next_tag(text: &str, mut at: usize) -> Option<(usize, usize)> {
    loop {
        let start = at + text[at..].find("{%").into_iter().chain(text[at..].find("{#")).min()?;
        let end = tag_end(text, start)?;
        match text[start..].starts_with("{%") {
            true => return Some((start, end)),
            false => at = end,
        }
    }
}

/// The first word of a tag and the one behind it.
fn head(text: &str, start: usize, end: usize) -> (Range<usize>, Range<usize>) {
    let word = |from: usize| {
        let inside = &text[from..end];
        let begin = from + inside.find(|c: char| c.is_alphanumeric() || c == '_').unwrap_or(inside.len());
        let rest = &text[begin..end];
        begin..begin + rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len())
    };
    let first = word(start);
    let second = word(first.end);
    (first, second)
}
