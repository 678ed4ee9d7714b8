//! Macros and blocks of documentation: the project's own below `macros/`, and those of dbt's packages offered here.
//!
//! Every macro is a template of its own, in which it stands at its own place in its file and all else is blank: its
//! faults have the file's line and column. In there it goes by another name, so that whatever it calls, itself included,
//! is called through [`super::calls`]. To offer one more: a macro in `offered/<package>.sql`.

use super::blocks::{blocks, place};
use super::{fault_in, plain_environment};
use crate::ident::suggestion;
use crate::model::fault::Faults;
use crate::model::files::SourceFile;
use std::collections::BTreeMap;
use std::sync::Arc;

const OFFERED: [(&str, &str); 3] = [
    ("dbt", include_str!("offered/dbt.sql")),
    ("dbt_utils", include_str!("offered/dbt_utils.sql")),
    ("dbt_date", include_str!("offered/dbt_date.sql")),
];

/// Macros by name.
pub(super) type Named = BTreeMap<String, Arc<Block>>;

/// One macro.
#[derive(Debug)]
pub(super) struct Block {
    pub file: SourceFile,
    /// Name of its template, of no other one.
    pub template: String,
    pub source: String,
    /// What it is called in its template.
    pub alias: String,
    /// One of ours: nobody can mend its text.
    pub offered: bool,
}

#[derive(Debug)]
pub struct Macros {
    pub(super) own: Arc<Named>,
    pub(super) packages: Vec<(&'static str, Arc<Named>)>,
    docs: BTreeMap<String, String>,
}

impl Default for Macros {
    fn default() -> Macros {
        Macros::read(&[], &[], &mut Faults::default())
    }
}

impl Macros {
    /// Reads the project's files; what is wrong with them is told once, called or not.
    pub fn read(files: &[SourceFile], notes: &[SourceFile], faults: &mut Faults) -> Macros {
        let packages = OFFERED.map(|(package, text)| {
            let file = SourceFile::new(&format!("{package}.sql"), text);
            (package, Arc::new(named(&[file], true, faults)))
        });
        let own = Arc::new(named(files, false, faults));
        Macros { own, packages: packages.into(), docs: docs(notes, faults) }
    }

    /// A block of documentation, without the blanks around it.
    pub fn doc(&self, name: &str) -> Result<&str, String> {
        let near = || suggestion(name, self.docs.keys().map(String::as_str));
        self.docs.get(name).map(String::as_str).ok_or_else(|| format!("no block `docs {name}` is written{}", near()))
    }

    /// The file a template's text stands in; `None` for one that is no macro.
    pub(super) fn file_of(&self, template: &str) -> Option<&SourceFile> {
        self.own.values().find(|block| block.template == template).map(|block| &block.file)
    }
}

fn named(files: &[SourceFile], offered: bool, faults: &mut Faults) -> Named {
    let mut named = Named::new();
    for file in files {
        for found in blocks(file, faults) {
            let at = place(file, found.whole.start);
            match found.kind {
                "macro" => {}
                "materialization" => {
                    faults.push(at.fault("materializations of one's own are not offered"));
                    continue;
                }
                // Looked up by the name a contract writes; one nobody asks for does nothing.
                _ => continue,
            }
            let name = file.text()[found.name.clone()].to_string();
            let block = Arc::new(block(file, &name, &found.name, found.whole.end, found.whole.start, offered));
            if let Some(earlier) = named.get(&name) {
                let earlier = earlier.file.path();
                faults.push(at.fault(format!("the macro `{name}` is already written in {earlier}")));
                continue;
            }
            let compiled = plain_environment().template_from_named_str(&block.template, &block.source).map(drop);
            faults.keep(compiled.map_err(|error| fault_in(file, &error)));
            named.insert(name, block);
        }
    }
    named
}

fn block(
    file: &SourceFile,
    name: &str,
    written: &std::ops::Range<usize>,
    end: usize,
    start: usize,
    offered: bool,
) -> Block {
    let text = file.text();
    let alias = "z".repeat(name.len());
    let mut source: String = text[..start].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect();
    source.push_str(&text[start..written.start]);
    source.push_str(&alias);
    source.push_str(&text[written.end..end]);
    Block { file: file.clone(), template: format!("{}#{name}", file.path()), source, alias, offered }
}

fn docs(files: &[SourceFile], faults: &mut Faults) -> BTreeMap<String, String> {
    let mut docs = BTreeMap::new();
    for file in files {
        for found in blocks(file, faults).into_iter().filter(|found| found.kind == "docs") {
            docs.insert(file.text()[found.name].to_string(), file.text()[found.body].trim().to_string());
        }
    }
    docs
}
