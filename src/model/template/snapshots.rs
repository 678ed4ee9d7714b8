//! Snapshots as dbt writes them: `{% snapshot name %}` blocks, and entries of a contract that name a `relation`.
//!
//! Each becomes a template of its own, in which it stands at its own place in its file and all else is blank, so that its
//! faults have the file's line and column.

use super::blocks::{blanked, blocks, place};
use crate::model::fault::{Faults, Place};
use crate::model::files::SourceFile;
use crate::model::origin::offset_of;

/// What stands around a relation to make a query of it.
const BEFORE: &str = "select * from {{ ";
const BEHIND: &str = " }}";

/// The snapshots of a file; one without any is a fault.
pub fn snapshots_in(file: &SourceFile, faults: &mut Faults) -> Vec<SourceFile> {
    let (text, before) = (file.text(), faults.count());
    let found: Vec<SourceFile> = blocks(file, faults)
        .into_iter()
        .filter(|found| found.kind == "snapshot")
        .map(|found| {
            let Place { line, column, .. } = place(file, found.whole.start);
            let template = format!("{}{}", blanked(&text[..found.body.start]), &text[found.body]);
            file.snapshot(&text[found.name], (line, column), template)
        })
        .collect();
    if found.is_empty() && faults.count() == before {
        faults.push(Place::start_of(file).fault("there is no `{% snapshot name %}` in this file"));
    }
    found
}

/// The snapshot `name`, declared at `at`, of the rows of a relation: `ref('x')` or `source('s', 'x')`.
pub fn snapshot_of(name: &str, at: &Place, relation: &str, written: &Place, faults: &mut Faults) -> Option<SourceFile> {
    let is_call = ["ref(", "source("].iter().any(|call| relation.starts_with(call)) && relation.ends_with(')');
    if !is_call {
        let message = format!("`relation` is ref('name') or source('source', 'table'), not `{relation}`");
        faults.push(written.fault(message));
        return None;
    }
    // More than `BEFORE` stands before it: its key, and the name it belongs to.
    let begins = offset_of(at.file.text(), written.line, written.column).saturating_sub(BEFORE.len());
    let template = format!("{}{BEFORE}{relation}{BEHIND}", " ".repeat(begins));
    Some(at.file.snapshot(name, (at.line, at.column), template))
}
