//! One JSON value into its column, objects and arrays into struct and list columns member by member.
//!
//! Takes a value known to keep the grammar and the limit of nesting; says what in it has another type and where. The
//! members of an object find their fields as those of a record find its columns; the others are handed back with
//! their path. How deep it goes is bounded by the column's type.

use super::column::{Column, Inside};
use super::object::{Field, shortened};
use super::place::{Placed, place};
use super::scan;
use super::value;
use crate::engine::types::type_name;
use std::borrow::Cow;
use std::fmt;

/// Where in a record a value stands: `address.lines[2]`.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    Column(&'a str),
    Field(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Column(name) => f.write_str(name),
            Path::Field(around, name) => write!(f, "{around}.{name}"),
            Path::Item(around, at) => write!(f, "{around}[{at}]"),
        }
    }
}

/// Appends the value, given as it is written; `rescued` gets members of objects that no field takes, named by their
/// path. After an error the column may hold parts of the value.
pub(super) fn append<'p>(
    column: &mut Column,
    raw: &'p str,
    path: &Path<'_>,
    rescued: &mut Vec<Field<'p>>,
) -> Result<(), String> {
    if column.is_nested() && raw.starts_with('n') {
        column.append_null();
        return Ok(());
    }
    match column.inside() {
        Inside::Nothing(data_type) => {
            let value = value::parse(raw, data_type)
                .map_err(|fault| format!("column `{path}`: {}", fault.describe(raw, &type_name(data_type))))?;
            column.append(value);
            return Ok(());
        }
        Inside::Element(_) if !raw.starts_with('[') => return Err(unexpected(path, "an array", raw)),
        Inside::Element(element) => {
            for (at, item) in scan::items(raw).enumerate() {
                append(element, item, &Path::Item(path, at), rescued)?;
            }
        }
        Inside::Fields(..) if !raw.starts_with('{') => return Err(unexpected(path, "an object", raw)),
        Inside::Fields(names, fields) => {
            let Some(members) = members(raw) else {
                return Err(format!(
                    "column `{path}`: a name in {} holds an escape that is no character",
                    shortened(raw)
                ));
            };
            let placed = place(members, names, &format_args!("{path}."))?;
            let Placed { slots, rescued: left } = placed;
            for ((at, field), slot) in fields.iter_mut().enumerate().zip(slots) {
                match slot {
                    Some(member) => append(field, member.raw, &Path::Field(path, names.name(at)), rescued)?,
                    None => field.append_null(),
                }
            }
            let named = |Field { name, raw }| Field { name: format!("{path}.{name}").into(), raw };
            rescued.extend(left.into_iter().map(named));
        }
    }
    column.close_row();
    Ok(())
}

/// The members of an object; `None` when a name holds an escape that is no character.
fn members(object: &str) -> Option<Vec<Field<'_>>> {
    let field = |(quoted, raw)| Some(Field { name: unescape(quoted)?, raw });
    scan::pairs(object).map(field).collect()
}

fn unescape(quoted: &str) -> Option<Cow<'_, str>> {
    match quoted.contains('\\') {
        true => serde_json::from_str(quoted).ok().map(Cow::Owned),
        false => Some(Cow::Borrowed(&quoted[1..quoted.len() - 1])),
    }
}

fn unexpected(path: &Path<'_>, expected: &str, raw: &str) -> String {
    format!("column `{path}`: expected {expected}, found {}", shortened(raw))
}

#[cfg(test)]
mod tests;
