//! YAML as a tree whose every node knows its place.
//!
//! Scalars keep their text as written (`1.50` stays `1.50`); what a scalar means is its reader's business.
//! Contracts are read from this tree and not through derived structs, so that one pass reports every
//! mistake with its place instead of the first one only. Anchors, aliases and several documents in one
//! file are refused.

use crate::model::fault::{Fault, Place};
use crate::model::files::SourceFile;
use crate::model::origin::offset_of;
use serde_saphyr::granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span};

/// Deeper nesting than any contract has; keeps the recursion bounded.
const MAX_DEPTH: usize = 32;

#[derive(Debug, Clone)]
pub struct Node {
    pub place: Place,
    pub value: Value,
}

#[derive(Debug, Clone)]
pub enum Value {
    Null,
    Scalar(String),
    List(Vec<Node>),
    /// In file order; keys are unique scalars.
    Map(Vec<(Key, Node)>),
}

#[derive(Debug, Clone)]
pub struct Key {
    pub name: String,
    pub place: Place,
}

impl Node {
    /// Whether the scalar is written without quotes: only then `true` and `7` are more than texts.
    pub fn is_plain(&self) -> bool {
        let Place { file, line, column } = &self.place;
        let text = file.text();
        !text[offset_of(text, *line, *column)..].starts_with(['"', '\'', '|', '>'])
    }

    /// Every scalar of the tree, the keys left out.
    pub fn scalars_mut(&mut self) -> Vec<(&Place, &mut String)> {
        match &mut self.value {
            Value::Null => Vec::new(),
            Value::Scalar(text) => vec![(&self.place, text)],
            Value::List(items) => items.iter_mut().flat_map(Node::scalars_mut).collect(),
            Value::Map(entries) => entries.iter_mut().flat_map(|(_, node)| node.scalars_mut()).collect(),
        }
    }
}

/// Parses one file; an empty file is a null node.
pub fn parse(file: &SourceFile) -> Result<Node, Fault> {
    let mut tree = Tree { file, events: Parser::new_from_str(file.text()) };
    let mut root = None;
    while let Some((event, span)) = tree.next()? {
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd => {}
            _ if root.is_some() => return Err(tree.place(&span.start).fault("a second YAML document in one file")),
            event => root = Some(tree.node(event, span, 0)?),
        }
    }
    let empty = Node { place: Place::start_of(file), value: Value::Null };
    Ok(root.unwrap_or(empty))
}

struct Tree<'a, E> {
    file: &'a SourceFile,
    events: E,
}

impl<'a, E: Iterator<Item = Result<(Event<'a>, Span), ScanError>>> Tree<'a, E> {
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Fault> {
        match self.events.next().transpose() {
            Ok(event) => Ok(event),
            Err(error) => Err(self.place(error.marker()).fault(format!("no valid YAML: {}", error.kind()))),
        }
    }

    fn place(&self, marker: &Marker) -> Place {
        Place { file: self.file.clone(), line: marker.line().max(1), column: marker.col() + 1 }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Fault> {
        let place = self.place(&span.start);
        if depth > MAX_DEPTH {
            return Err(place.fault("nested too deeply"));
        }
        let value = match event {
            Event::Scalar(text, style, ..) => scalar(&text, style),
            Event::SequenceStart(..) => self.list(depth)?,
            Event::MappingStart(..) => self.map(depth)?,
            Event::Alias(_) => return Err(place.fault("aliases (`*name`) are not read, write the value out")),
            other => return Err(place.fault(format!("unexpected YAML {other:?}"))),
        };
        Ok(Node { place, value })
    }

    fn list(&mut self, depth: usize) -> Result<Value, Fault> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                None | Some((Event::SequenceEnd, _)) => return Ok(Value::List(items)),
                Some((event, span)) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, Fault> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        loop {
            let key = match self.next()? {
                None | Some((Event::MappingEnd, _)) => return Ok(Value::Map(entries)),
                Some((event, span)) => self.key(event, span, depth)?,
            };
            if entries.iter().any(|(earlier, _)| earlier.name == key.name) {
                return Err(key.place.fault(format!("`{}` stands here twice", key.name)));
            }
            let Some((event, span)) = self.next()? else {
                return Err(key.place.fault(format!("`{}` has no value", key.name)));
            };
            let value = self.node(event, span, depth + 1)?;
            entries.push((key, value));
        }
    }

    fn key(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Key, Fault> {
        match event {
            // As it is written: `null` is a name like any other here.
            Event::Scalar(name, ..) if !name.is_empty() => {
                Ok(Key { name: name.to_string(), place: self.place(&span.start) })
            }
            event => Err(self.node(event, span, depth + 1)?.place.fault("a key must be a plain text")),
        }
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    let is_null = matches!(text, "" | "~" | "null" | "Null" | "NULL");
    match style {
        ScalarStyle::Plain if is_null => Value::Null,
        _ => Value::Scalar(text.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        parse(&SourceFile::new("models/a.yml", text)).unwrap_err().to_string()
    }

    #[test]
    fn nodes_know_their_places_and_scalars_their_text() {
        let root = parse(&SourceFile::new("a.yml", "version: 2\nlist:\n  - 1.50\n  - 'null'\n  - ~\n")).unwrap();
        let Value::Map(entries) = &root.value else { panic!("{root:?}") };
        assert_eq!((entries[1].0.place.line, entries[1].0.place.column), (2, 1));
        let Value::List(items) = &entries[1].1.value else { panic!("{root:?}") };
        assert!(matches!(&items[0].value, Value::Scalar(text) if text == "1.50"));
        assert_eq!((items[0].place.line, items[0].place.column), (3, 5));
        assert!(matches!(&items[1].value, Value::Scalar(text) if text == "null"));
        assert!(matches!(items[2].value, Value::Null));
    }

    #[test]
    fn an_empty_file_is_null() {
        assert!(matches!(parse(&SourceFile::new("a.yml", "# nothing\n")).unwrap().value, Value::Null));
    }

    #[test]
    fn broken_yaml_is_refused_with_its_place() {
        assert!(fault("a: [1, 2\n").starts_with("models/a.yml:"), "{}", fault("a: [1, 2\n"));
        assert_eq!(fault("name: x\nname: y\n"), "models/a.yml:2:1: `name` stands here twice\n  2 | name: y\n    | ^");
        assert!(fault("a: &x 1\nb: *x\n").contains("a.yml:2:4: aliases"), "{}", fault("a: &x 1\nb: *x\n"));
        assert!(fault("a: 1\n---\nb: 2\n").contains("second YAML document"));
    }
}
