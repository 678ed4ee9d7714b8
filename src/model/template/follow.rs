//! Follows characters through template expansion.
//!
//! The template is expanded a second time with marks at the borders of its tags; each mark says from which
//! byte of the file the text behind it comes. A template that looks at its own text (a filter over a
//! captured block, say) may come out differently with marks: the caller compares and falls back to lines.

use crate::model::origin::{Segment, SourceMap};

/// A mark is `OPEN kind offset CLOSE`; both characters are private use and occur in no sane SQL.
const OPEN: char = '\u{e000}';
const CLOSE: char = '\u{e001}';
const COPIED: char = 'c';
const TAG: char = 't';

/// The template with marks; `None` when a tag has no end or the text contains a mark's characters.
pub(super) fn instrument(source: &str) -> Option<String> {
    if source.contains([OPEN, CLOSE]) {
        return None;
    }
    let mut marked = String::with_capacity(source.len() * 2);
    let (mut at, mut trims_start) = (0, false);
    while let Some(start) = next_tag(source, at) {
        let end = tag_end(source, start)?;
        let trims_end = source[start + 2..].starts_with('-');
        push_text(&mut marked, source, at..start, trims_start, trims_end);
        push_mark(&mut marked, TAG, start);
        marked.push_str(&source[start..end]);
        trims_start = source[..end - 2].ends_with('-');
        at = end;
    }
    push_text(&mut marked, source, at..source.len(), trims_start, false);
    Some(marked)
}

/// Takes the marks out of an expanded template; `None` when they do not read back.
pub(super) fn strip(marked: &str) -> Option<(String, SourceMap)> {
    let mut stripped = String::with_capacity(marked.len());
    let mut segments = Vec::new();
    let mut parts = marked.split(OPEN);
    stripped.push_str(parts.next()?);
    for part in parts {
        let (mark, text) = part.split_once(CLOSE)?;
        let copied = mark.starts_with(COPIED);
        let source = mark.get(1..)?.parse().ok()?;
        segments.push(Segment { at: stripped.len(), source, copied });
        stripped.push_str(text);
    }
    // Of several marks with nothing between them the last one speaks for the text behind.
    segments.reverse();
    segments.dedup_by_key(|segment| segment.at);
    segments.reverse();
    Some((stripped, SourceMap::new(segments)))
}

/// Text between two tags. What the tags' `-` would trim away is left out already, as a mark would keep it.
fn push_text(marked: &mut String, source: &str, range: std::ops::Range<usize>, trims_start: bool, trims_end: bool) {
    let whole = &source[range.clone()];
    let mut text = whole;
    if trims_start {
        text = text.trim_start();
    }
    let start = range.start + (whole.len() - text.len());
    if trims_end {
        text = text.trim_end();
    }
    push_mark(marked, COPIED, start);
    marked.push_str(text);
}

fn push_mark(marked: &mut String, kind: char, offset: usize) {
    marked.push(OPEN);
    marked.push(kind);
    marked.push_str(&offset.to_string());
    marked.push(CLOSE);
}

fn next_tag(source: &str, from: usize) -> Option<usize> {
    ["{{", "{%", "{#"].iter().filter_map(|opening| source[from..].find(opening)).min().map(|at| from + at)
}

/// The byte behind the tag that starts at `start`; quotes inside it are respected.
pub(super) fn tag_end(source: &str, start: usize) -> Option<usize> {
    let body = start + 2;
    let closing = match source.as_bytes().get(start + 1)? {
        b'#' => return source[body..].find("#}").map(|at| body + at + 2),
        b'%' => "%}",
        _ => "}}",
    };
    let mut quote = None;
    for (at, c) in source[body..].char_indices() {
        match quote {
            Some(open) if open == c => quote = None,
            Some(_) => {}
            None if c == '\'' || c == '"' => quote = Some(c),
            None if source[body + at..].starts_with(closing) => return Some(body + at + 2),
            None => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_come_out_again() {
        let source = "a {{ '}}' }}b{#- c -#} d{{- 1 -}} ";
        let marked = instrument(source).unwrap();
        let (stripped, _) = strip(&marked).unwrap();
        assert_eq!(stripped, "a {{ '}}' }}b{#- c -#}d{{- 1 -}}");
    }

    #[test]
    fn an_open_tag_is_not_followed() {
        assert!(instrument("a {{ b").is_none());
        assert!(instrument("a \u{e000}").is_none());
    }
}
