//! Which column a field belongs to, and which field is likely to come next.
//!
//! Records of a topic mostly have the same fields in the same order. So each name remembers which one came after
//! it the last time; reading the next field is then one comparison of bytes.

use super::scan;
use crate::ident::name_from;
use std::collections::HashMap;

/// Field names remembered with the column they belong to. Records with others are read one field at a time, so
/// a topic with endless field names costs time, not memory.
const MOST: usize = 4096;

/// The column a field belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Binding {
    pub column: usize,
    /// The field has exactly the column's name.
    pub exact: bool,
}

/// Columns, or fields of a struct, by their names.
pub(super) struct Columns {
    names: Vec<String>,
    places: HashMap<String, usize>,
}

impl Columns {
    /// For the names in their order; of two equal ones the later counts.
    pub fn new<'n>(names: impl Iterator<Item = &'n str>) -> Columns {
        let names: Vec<String> = names.map(str::to_string).collect();
        let places = names.iter().enumerate().map(|(at, name)| (name.clone(), at)).collect();
        Columns { names, places }
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn name(&self, column: usize) -> &str {
        &self.names[column]
    }

    /// The column of a name without escapes: its own, else the one whose name is made of it.
    pub fn bind(&self, name: &str) -> Option<Binding> {
        let exact = self.places.get(name).map(|column| Binding { column: *column, exact: true });
        exact.or_else(|| {
            let column = self.places.get(&name_from(name)?)?;
            Some(Binding { column: *column, exact: false })
        })
    }
}

pub(super) struct Names {
    pub columns: Columns,
    known: Vec<Known>,
    /// Place in `known`, by the name without its quotes.
    places: HashMap<String, usize>,
}

struct Known {
    /// The name between its quotes, as payloads have it.
    quoted: String,
    binding: Option<Binding>,
    /// The name that came after this one the last time.
    next: usize,
}

impl Names {
    /// What stands before the first field.
    pub const START: usize = 0;

    /// For the names of the columns, in order.
    pub fn new<'n>(columns: impl Iterator<Item = &'n str>) -> Names {
        let columns = Columns::new(columns);
        let start = Known { quoted: String::new(), binding: None, next: Names::START };
        Names { columns, known: vec![start], places: HashMap::new() }
    }

    /// The field name that begins at `at` and the place behind its closing quote; `last` is the one before it.
    /// `None` when there is no name, or one with escapes, or one too many.
    pub fn next(&mut self, last: usize, text: &str, at: usize) -> Option<(usize, usize)> {
        let expected = self.known[last].next;
        let quoted = self.known[expected].quoted.as_bytes();
        if expected != Names::START && text.as_bytes()[at..].starts_with(quoted) {
            return Some((expected, at + quoted.len()));
        }
        let end = scan::string(text.as_bytes(), at)?;
        let name = self.look_up(&text[at..end])?;
        self.known[last].next = name;
        Some((name, end))
    }

    fn look_up(&mut self, quoted: &str) -> Option<usize> {
        let name = &quoted[1..quoted.len() - 1];
        if let Some(known) = self.places.get(name) {
            return Some(*known);
        }
        if name.contains('\\') || self.known.len() > MOST {
            return None;
        }
        let place = self.known.len();
        self.known.push(Known { quoted: quoted.to_string(), binding: self.columns.bind(name), next: Names::START });
        self.places.insert(name.to_string(), place);
        Some(place)
    }

    pub fn binding(&self, name: usize) -> Option<Binding> {
        self.known[name].binding
    }

    pub fn quoted(&self, name: usize) -> &str {
        &self.known[name].quoted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_expected_or_not() {
        let mut names = Names::new(["a", "b_c"].into_iter());
        let text = r#""a""b c""a""x""a\n"a"#;
        let (mut last, mut at, mut bindings) = (Names::START, 0, Vec::new());
        for _ in 0..2 {
            for _ in 0..4 {
                (last, at) = names.next(last, text, at).unwrap();
                bindings.push((names.quoted(last).to_string(), names.binding(last)));
            }
            assert_eq!(names.next(last, text, at), None, "an escape");
            (last, at) = (Names::START, 0);
        }
        let exact = Some(Binding { column: 0, exact: true });
        let expected = [("\"a\"", exact), ("\"b c\"", Some(Binding { column: 1, exact: false })), ("\"a\"", exact)];
        assert_eq!(bindings[..3], expected.map(|(name, binding)| (name.to_string(), binding)));
        assert_eq!(bindings[3], ("\"x\"".to_string(), None));
        assert_eq!(bindings[4..], bindings.clone()[..4]);
        assert_eq!(names.next(Names::START, "a", 0), None);
        assert_eq!(names.next(Names::START, "", 0), None);
    }

    #[test]
    fn endless_names_are_not_remembered() {
        let mut names = Names::new(std::iter::empty());
        let known = (0..2 * MOST).filter(|n| names.next(Names::START, &format!("\"{n}\""), 0).is_some()).count();
        assert_eq!((known, names.known.len()), (MOST, MOST + 1));
        assert!(names.next(Names::START, "\"0\"", 0).is_some());
    }
}
