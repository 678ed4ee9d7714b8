//! From a rendered file to a statement whose every table carries its layer.

use crate::engine::sql;
use crate::ident::{TableName, quote};
use crate::model::fault::{Faults, Place};
use crate::model::fault_in;
use crate::model::files::SourceFile;
use crate::model::names::Names;
use crate::model::origin::{SourceMap, offset_of};
use crate::model::template::Rendered;

/// A query and the tables it reads, each with the place of its first mention.
#[derive(Debug, Clone)]
pub struct Statement {
    pub sql: String,
    pub map: SourceMap,
    pub reads: Vec<(TableName, Place)>,
}

/// Looks up every table of the statement. `by` is the model it belongs to, if any.
pub fn resolve(
    file: &SourceFile,
    rendered: &Rendered,
    by: Option<&TableName>,
    names: &Names,
    faults: &mut Faults,
) -> Option<Statement> {
    let sql = without_semicolon(&rendered.sql);
    let place = |line, column| rendered.map.place(file, sql, line, column);
    let references = match sql::references(sql) {
        Ok(references) => references,
        Err(found) => {
            faults.push(fault_in(file, &rendered.map, sql, &found));
            return None;
        }
    };
    let mut statement = Statement { sql: sql.to_string(), map: rendered.map.clone(), reads: Vec::new() };
    let mut layers: Vec<(usize, String)> = Vec::new();
    for reference in references {
        let place = place(reference.line, reference.column);
        let found = match reference.parts.as_slice() {
            [name] => names.unqualified(name, by).inspect(|table| {
                let at = offset_of(sql, reference.line, reference.column);
                layers.push((at, format!("{}.", quote(table.layer().as_str()))));
            }),
            [layer, name] => names.qualified(layer, name),
            parts => Err(format!("`{}` has too many parts, write layer.table", parts.join("."))),
        };
        let found = found.and_then(|table| may_read(by, &table, names).map(|()| table));
        if let Some(table) = faults.keep(found.map_err(|message| place.fault(message)))
            && !statement.reads.iter().any(|(read, _)| *read == table)
        {
            statement.reads.push((table, place));
        }
    }
    layers.sort();
    for (at, layer) in layers.into_iter().rev() {
        statement.sql.insert_str(at, &layer);
        statement.map.inserted(at, layer.len());
    }
    Some(statement)
}

/// Silver never reads Gold, where layers mean something.
fn may_read(by: Option<&TableName>, table: &TableName, names: &Names) -> Result<(), String> {
    match by {
        Some(model) if model.layer() < table.layer() && !names.layers_are_names => {
            Err(format!("a {} model cannot read `{table}`, which is a {} table", model.layer(), table.layer()))
        }
        _ => Ok(()),
    }
}

/// The text of one statement, so that it can stand inside another.
fn without_semicolon(sql: &str) -> &str {
    let trimmed = sql.trim_end();
    trimmed.strip_suffix(';').unwrap_or(trimmed)
}
