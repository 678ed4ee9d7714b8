//! Where in its file each character of a rendered statement comes from.
//!
//! A statement differs from its file by template expansion and by layers written in front of unqualified
//! names; faults are found in the statement and must be shown in the file.

use crate::model::fault::Place;
use crate::model::files::SourceFile;

/// From here on (a byte of the statement) text was copied from `source` on, or all stems from that one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub at: usize,
    pub source: usize,
    pub copied: bool,
}

/// Segments in order of `at`, the first at 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceMap(Vec<Segment>);

impl Default for SourceMap {
    fn default() -> SourceMap {
        SourceMap::identity()
    }
}

impl SourceMap {
    pub fn identity() -> SourceMap {
        SourceMap(vec![Segment { at: 0, source: 0, copied: true }])
    }

    pub fn new(mut segments: Vec<Segment>) -> SourceMap {
        if segments.first().is_none_or(|first| first.at > 0) {
            segments.insert(0, Segment { at: 0, source: 0, copied: true });
        }
        SourceMap(segments)
    }

    /// Line for line from byte `start` of the file on, for a rendering that could not be followed by character. Right as
    /// long as the template neither adds nor drops lines before the place.
    pub fn by_lines(source: &str, start: usize, rendered: &str) -> SourceMap {
        let starts = |text: &str| -> Vec<usize> {
            std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect()
        };
        let pairs = starts(rendered).into_iter().zip(starts(&source[start..]));
        SourceMap::new(pairs.map(|(at, source)| Segment { at, source: start + source, copied: false }).collect())
    }

    /// Records that `length` bytes were put into the statement at `at`.
    pub fn inserted(&mut self, at: usize, length: usize) {
        self.replaced(at, 0, length);
    }

    /// Records that `length` bytes took the place of the `removed` ones at `at`.
    pub fn replaced(&mut self, at: usize, removed: usize, length: usize) {
        let (from, behind) = (self.source_of(at), at + removed);
        let rest = Segment { at: at + length, source: self.source_of(behind), copied: self.is_copied(behind) };
        let first = self.0.partition_point(|segment| segment.at < at);
        let last = self.0.partition_point(|segment| segment.at < behind);
        for segment in &mut self.0[last..] {
            segment.at = segment.at - removed + length;
        }
        let mut between = vec![Segment { at, source: from, copied: false }];
        if self.0.get(last).is_none_or(|next| next.at > at + length) {
            between.push(rest);
        }
        self.0.splice(first..last, between);
    }

    fn is_copied(&self, at: usize) -> bool {
        let index = self.0.partition_point(|segment| segment.at <= at);
        self.0[..index].last().is_none_or(|segment| segment.copied)
    }

    /// The byte of the file that byte `at` of the statement stems from.
    pub fn source_of(&self, at: usize) -> usize {
        let index = self.0.partition_point(|segment| segment.at <= at);
        match self.0.get(index.saturating_sub(1)) {
            Some(segment) if segment.copied => segment.source + at.saturating_sub(segment.at),
            Some(segment) => segment.source,
            None => at,
        }
    }

    /// The place in `file` of a line and column (from 1, in characters) of the statement.
    pub fn place(&self, file: &SourceFile, statement: &str, line: usize, column: usize) -> Place {
        let (line, column) = position_of(file.text(), self.source_of(offset_of(statement, line, column)));
        Place { file: file.clone(), line, column }
    }
}

/// The byte at which a line and column (from 1, in characters) stands; the text's end when beyond it.
pub fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let start = match line.saturating_sub(1) {
        0 => 0,
        nth => text.match_indices('\n').nth(nth - 1).map_or(text.len(), |(at, _)| at + 1),
    };
    text[start..].char_indices().nth(column.saturating_sub(1)).map_or(text.len(), |(at, _)| start + at)
}

/// Line and column, from 1, in characters, of a byte.
pub fn position_of(text: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_and_positions_are_inverse() {
        let text = "sélect 1\nfrom b\n";
        for (offset, _) in text.char_indices() {
            let (line, column) = position_of(text, offset);
            assert_eq!(offset_of(text, line, column), offset);
        }
        assert_eq!(position_of(text, 11), (2, 2));
    }

    #[test]
    fn insertions_shift_what_follows_and_map_to_one_place() {
        // "from a, b" -> "from s.a, s.b"
        let mut map = SourceMap::identity();
        map.inserted(8, 2);
        map.inserted(5, 2);
        let table = [(0, 0), (4, 4), (5, 5), (6, 5), (7, 5), (8, 6), (9, 7), (10, 8), (11, 8), (12, 8), (13, 9)];
        for (at, source) in table {
            assert_eq!(map.source_of(at), source, "{at}");
        }
    }

    #[test]
    fn an_insertion_at_a_border_keeps_the_segment_behind_it() {
        let mut map = SourceMap::new(vec![
            Segment { at: 0, source: 0, copied: true },
            Segment { at: 5, source: 20, copied: true },
        ]);
        map.inserted(5, 3);
        assert_eq!(map.source_of(6), 20);
        assert_eq!(map.source_of(8), 20);
        assert_eq!(map.source_of(9), 21);
    }
}
