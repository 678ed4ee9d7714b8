//! JSON lines: each line one object, sent byte for byte as it stands.
//!
//! Always UTF-8. A line that is not exactly one JSON object is a bad row; blank lines are passed over.

use super::lines::{Ends, Line, Lines, Unit};
use super::{Input, Source, SourceConfig, compressed, encoding, event_time, join_key, open_file};
use crate::error::{Error, Result};
use crate::record::{Record, SourcePosition};
use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::io::Read;

/// Lines of one file with their faults. Shared by producing and by the preview.
pub(super) struct Reader {
    name: String,
    lines: Lines,
    limit: usize,
}

impl Reader {
    pub fn open(input: &Input, config: &SourceConfig) -> Result<Reader> {
        let mut head = Vec::new();
        let bom = read_head(input, &mut head)?;
        compressed::refuse_head(&input.id, &head)?;
        let declared = config.encoding.as_deref().map(encoding::named).transpose()?;
        if declared.is_some_and(|encoding| encoding != encoding_rs::UTF_8) || bom.is_none() {
            return Err(Error::config(format!("`{}` is not UTF-8, as JSON lines must be", input.id))
                .hint("convert it first, for example with iconv -t utf-8"));
        }
        if head.trim_ascii_start().first() == Some(&b'[') {
            return Err(Error::input(format!("{}:1: a JSON array, not one object a line", input.id))
                .hint(format!("convert it first, for example with jq -c '.[]' {}", input.id)));
        }
        let limit = config.record_limit();
        let mut lines = Lines::new(Box::new(open_file(&input.path)?), &input.id, Unit::Byte, Ends::LineFeed, limit);
        lines.skip(bom.unwrap_or(0))?;
        Ok(Reader { name: input.id.clone(), lines, limit })
    }

    /// The next line that is not blank, and the reason when it is bad.
    pub fn next(&mut self) -> Result<Option<(Line, Option<String>)>> {
        while let Some(line) = self.lines.next()? {
            if !line.content().trim_ascii().is_empty() {
                let fault = self.fault(&line).map(|reason| format!("{}:{}: {reason}", self.name, line.number));
                return Ok(Some((line, fault)));
            }
        }
        Ok(None)
    }

    fn fault(&self, line: &Line) -> Option<String> {
        if line.is_cut() {
            let limit = self.limit;
            return Some(format!("the line has {} bytes, more than the {limit} of max_record_bytes", line.length));
        }
        let text = match std::str::from_utf8(line.content()) {
            Ok(text) => text,
            Err(error) => return Some(format!("not UTF-8 text (byte {})", error.valid_up_to() + 1)),
        };
        if !text.trim_ascii_start().starts_with('{') {
            return Some("not a JSON object".to_string());
        }
        serde_json::from_str::<IgnoredAny>(text).err().map(|error| {
            // The line number inside the line is always 1.
            format!("not one JSON object: {}", error.to_string().replace(" at line 1 column ", " at column "))
        })
    }
}

/// Reads the first bytes; the length of the byte order mark, `None` when it is one of another encoding.
fn read_head(input: &Input, head: &mut Vec<u8>) -> Result<Option<usize>> {
    use crate::error::{Context, Kind};
    let file = open_file(&input.path)?;
    file.take(1024).read_to_end(head).context(Kind::Input, || format!("read `{}`", input.id))?;
    let (encoding, bom) = encoding::of_file(head, None)?;
    head.drain(..bom);
    Ok((encoding == encoding_rs::UTF_8).then_some(bom))
}

/// Members of an object in their order, each value as the JSON text it is; none when it is no object.
pub(super) fn members(object: &[u8]) -> Vec<(String, &RawValue)> {
    serde_json::from_slice(object).map(|Members(members)| members).unwrap_or_default()
}

struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry::<String, &'de RawValue>()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

/// The text of a member: a string's characters, another value's JSON; `None` when absent or null.
fn member_text(members: &[(String, &RawValue)], name: &str) -> Option<String> {
    let json = members.iter().find(|(member, _)| member == name)?.1.get();
    match json.as_bytes().first() {
        Some(b'"') => serde_json::from_str(json).ok(),
        _ => Some(json.to_string()).filter(|json| json != "null"),
    }
}

pub(super) struct JsonlSource {
    reader: Reader,
    key: Vec<String>,
    event_time: Option<String>,
    row: u64,
}

impl JsonlSource {
    pub fn open(input: &Input, config: &SourceConfig) -> Result<JsonlSource> {
        let reader = Reader::open(input, config)?;
        Ok(JsonlSource { reader, key: config.key.clone(), event_time: config.event_time.clone(), row: 0 })
    }

    fn key_and_time(&self, content: &[u8]) -> (Option<Bytes>, Option<i64>) {
        if self.key.is_empty() && self.event_time.is_none() {
            return (None, None);
        }
        let members = members(content);
        let texts: Vec<Option<String>> = self.key.iter().map(|name| member_text(&members, name)).collect();
        let time = self.event_time.as_ref().and_then(|name| member_text(&members, name));
        (join_key(texts.iter().map(Option::as_deref)), time.and_then(|text| event_time::parse(&text)))
    }
}

impl Source for JsonlSource {
    fn next(&mut self) -> Result<Option<Record>> {
        let Some((line, error)) = self.reader.next()? else { return Ok(None) };
        self.row += 1;
        let position = SourcePosition { row: self.row, partitions: 1, digest: line.digest };
        let content = line.content().strip_suffix(b"\r").unwrap_or(line.content());
        let (key, timestamp_ms) = if error.is_none() { self.key_and_time(content) } else { (None, None) };
        Ok(Some(Record { key, payload: Bytes::copy_from_slice(content), timestamp_ms, position, error }))
    }
}
