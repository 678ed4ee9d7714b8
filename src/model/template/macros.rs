//! Macros and blocks of documentation: the project's own below `macros/`, and those of dbt's packages offered here.
//!
//! Every macro is a template of its own, in which it stands at its own place in its file and all else is blank: its
//! faults have the file's line and column. In there it goes by another name, so that whatever it calls, itself included,
//! is called through [`super::calls`]. To offer one more: a macro in `offered/<package>.sql`.

use super::blocks::{Found, blanked, blocks, place};
use super::{fault_in, plain_environment};
use crate::ident::suggestion;
use crate::model::fault::Faults;
use crate::model::files::SourceFile;
use crate::model::rules::is_offered;
use std::collections::BTreeMap;
use std::sync::Arc;

const OFFERED: [(&str, &str); 3] = [
    ("dbt", include_str!("offered/dbt.sql")),
    ("dbt_utils", include_str!("offered/dbt_utils.sql")),
    ("dbt_date", include_str!("offered/dbt_date.sql")),
];

const MACROS: &[&str] = &["macro"];
const TESTS: &[&str] = &["test", "data_test"];

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
    /// Where its body begins in the file.
    pub body: usize,
    /// One of ours: nobody can mend its text.
    pub offered: bool,
}

#[derive(Debug)]
pub struct Macros {
    pub(super) own: Arc<Named>,
    pub(super) packages: Vec<(&'static str, Arc<Named>)>,
    /// The project's tests, which contracts name.
    pub(super) tests: Named,
    docs: BTreeMap<String, String>,
}

impl Default for Macros {
    fn default() -> Macros {
        Macros::read(&[], &[], &[], &mut Faults::default())
    }
}

impl Macros {
    /// Reads the project's files; what is wrong with them is told once, called or not.
    pub fn read(files: &[SourceFile], tests: &[SourceFile], notes: &[SourceFile], faults: &mut Faults) -> Macros {
        let packages = OFFERED.map(|(package, text)| {
            let file = SourceFile::new(&format!("{package}.sql"), text);
            (package, Arc::new(named(&[file], MACROS, true, faults)))
        });
        refuse_materializations(files, faults);
        let own = Arc::new(named(files, MACROS, false, faults));
        // In either place a test may call a macro beside it.
        let both: Vec<SourceFile> = files.iter().chain(tests).cloned().collect();
        let tests = named(&both, TESTS, false, faults);
        Macros { own, packages: packages.into(), tests, docs: docs(notes, faults) }
    }

    /// A block of documentation, without the blanks around it.
    pub fn doc(&self, name: &str) -> Result<&str, String> {
        let near = || suggestion(name, self.docs.keys().map(String::as_str));
        self.docs.get(name).map(String::as_str).ok_or_else(|| format!("no block `docs {name}` is written{}", near()))
    }

    /// The file of a test that the project writes.
    pub fn file_of_test(&self, name: &str) -> Option<&SourceFile> {
        self.tests.get(name).map(|block| &block.file)
    }

    /// Names of the tests that the project writes.
    pub fn tests(&self) -> impl Iterator<Item = &str> {
        self.tests.keys().map(String::as_str)
    }

    /// The file a template's text stands in; `None` for one that is no macro.
    pub(super) fn file_of(&self, template: &str) -> Option<&SourceFile> {
        let blocks = self.own.values().map(Arc::as_ref).chain(self.tests.values().map(Arc::as_ref));
        blocks.into_iter().find(|block| block.template == template).map(|block| &block.file)
    }
}

fn refuse_materializations(files: &[SourceFile], faults: &mut Faults) {
    for file in files {
        for found in blocks(file, &mut Faults::default()).iter().filter(|found| found.kind == "materialization") {
            faults.push(place(file, found.whole.start).fault("materializations of one's own are not offered"));
        }
    }
}

/// The blocks of these kinds, which become macros.
fn named(files: &[SourceFile], kinds: &[&str], offered: bool, faults: &mut Faults) -> Named {
    let mut named = Named::new();
    for file in files {
        for found in blocks(file, faults).into_iter().filter(|found| kinds.contains(&found.kind)) {
            let name = file.text()[found.name.clone()].to_string();
            if kinds == TESTS && is_offered(&name) {
                let message = format!("the test `{name}` is offered already: give this one another name");
                faults.push(place(file, found.name.start).fault(message));
                continue;
            }
            let block = Arc::new(block(file, &name, &found, offered));
            if let Some(earlier) = named.get(&name) {
                let (kind, earlier) = (kinds[0], earlier.file.path());
                let message = format!("the {kind} `{name}` is already written in {earlier}");
                faults.push(place(file, found.whole.start).fault(message));
                continue;
            }
            let compiled = plain_environment().template_from_named_str(&block.template, &block.source).map(drop);
            faults.keep(compiled.map_err(|error| fault_in(file, &error)));
            named.insert(name, block);
        }
    }
    named
}

fn block(file: &SourceFile, name: &str, found: &Found, offered: bool) -> Block {
    let text = file.text();
    let alias = "z".repeat(name.len());
    let mut source = blanked(&text[..found.whole.start]);
    source.push_str(&opening(&text[found.whole.start..found.name.start], found.kind));
    source.push_str(&alias);
    source.push_str(&text[found.name.end..found.body.end]);
    source.push_str(&text[found.body.end..found.whole.end].replace(found.kind, "macro"));
    Block {
        file: file.clone(),
        template: format!("{}#{name}", file.path()),
        source,
        alias,
        body: found.body.start,
        offered,
    }
}

/// `{% test ` as `{%macro `, as long where it can be, so that places stay right.
fn opening(tag: &str, kind: &str) -> String {
    let (before, behind) = tag.split_once(kind).unwrap_or((tag, ""));
    let longer = "macro".len().saturating_sub(kind.len());
    let before = if longer > 0 { before.strip_suffix(' ').unwrap_or(before) } else { before };
    format!("{before}macro{}{behind}", " ".repeat(kind.len().saturating_sub("macro".len())))
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
