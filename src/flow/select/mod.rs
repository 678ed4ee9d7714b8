//! `--select` and `--exclude`: which models a run is about, in dbt's words.
//!
//! A pattern is a model (`books`, `silver.books`), `tag:NAME`, `path:models/gold` or `state:modified`. `+` in front
//! adds everything it is made from, `+` behind everything made from it, a number at the plus only so many steps;
//! `@` in front adds everything made from it and all that this is made from. Several patterns add up; those joined
//! by commas must all fit. What is excluded goes last. Every verb that takes models uses this.
//!
//! Knows the project only: which models are not as they were built, whoever asks finds out.

mod kin;
mod pattern;
#[cfg(test)]
mod tests;

use crate::error::{Error, Result};
use crate::ident::{TableName, suggestion};
use crate::model::Project;
use kin::Kin;
use pattern::{Base, Pattern};
use std::collections::BTreeSet;

/// Parsed patterns; none means everything.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    select: Vec<Group>,
    exclude: Vec<Group>,
}

/// Patterns joined by commas.
type Group = Vec<Pattern>;

/// Patterns stand one in a text or several, white space between them.
pub fn parse(select: &[String], exclude: &[String]) -> Result<Selection> {
    Ok(Selection { select: groups(select)?, exclude: groups(exclude)? })
}

fn groups(texts: &[String]) -> Result<Vec<Group>> {
    let written = texts.iter().flat_map(|text| text.split_whitespace());
    written.map(|group| group.split(',').map(Pattern::parse).collect()).collect()
}

impl Selection {
    pub fn is_everything(&self) -> bool {
        self.select.is_empty() && self.exclude.is_empty()
    }

    /// Whether it has to be known which models are not as they were built.
    pub fn asks_state(&self) -> bool {
        self.select.iter().chain(&self.exclude).flatten().any(|pattern| pattern.base == Base::Modified)
    }

    /// The selected tables, `modified` being those not as they were built. A pattern that fits no model is an error
    /// of kind Config, unless it asks for these.
    pub fn models(&self, project: &Project, modified: &BTreeSet<TableName>) -> Result<BTreeSet<TableName>> {
        let choice = Choice { project, kin: Kin::of(project), modified };
        let mut selected = match self.select.is_empty() {
            true => project.nodes().map(|model| &model.table).collect(),
            false => choice.of_any(&self.select)?,
        };
        for excluded in choice.of_any(&self.exclude)? {
            selected.remove(excluded);
        }
        Ok(selected.into_iter().cloned().collect())
    }
}

struct Choice<'a> {
    project: &'a Project,
    kin: Kin<'a>,
    modified: &'a BTreeSet<TableName>,
}

impl<'a> Choice<'a> {
    fn of_any(&self, groups: &[Group]) -> Result<BTreeSet<&'a TableName>> {
        let mut found = BTreeSet::new();
        for group in groups {
            found.extend(self.of_all(group)?);
        }
        Ok(found)
    }

    fn of_all(&self, group: &Group) -> Result<BTreeSet<&'a TableName>> {
        let mut common: Option<BTreeSet<&TableName>> = None;
        for pattern in group {
            let found = self.of(pattern)?;
            common = Some(match common {
                Some(before) => before.intersection(&found).copied().collect(),
                None => found,
            });
        }
        Ok(common.unwrap_or_default())
    }

    fn of(&self, pattern: &Pattern) -> Result<BTreeSet<&'a TableName>> {
        let fits = |table: &TableName| self.modified.contains(table);
        let fitting = self.project.nodes().filter(|model| pattern.base.fits(model, || fits(&model.table)));
        let base: BTreeSet<&TableName> = fitting.map(|model| &model.table).collect();
        if base.is_empty() && pattern.base != Base::Modified {
            return Err(self.unknown(pattern));
        }
        if pattern.whole {
            return Ok(self.kin.ancestors(&self.kin.descendants(&base, usize::MAX), usize::MAX));
        }
        let mut found = self.kin.ancestors(&base, pattern.ancestors);
        found.extend(self.kin.descendants(&base, pattern.descendants));
        Ok(found)
    }

    fn unknown(&self, pattern: &Pattern) -> Error {
        let models = || self.project.nodes();
        let near = match &pattern.base {
            Base::Name(name) => suggestion(name, models().map(|model| model.table.name())),
            Base::Tag(tag) => suggestion(tag, models().flat_map(|model| model.tags.iter().map(String::as_str))),
            Base::Path(path) => {
                let places = models().flat_map(|model| model.file.ancestors()).filter_map(|place| place.to_str());
                suggestion(path, places.filter(|place| !place.is_empty()).collect::<BTreeSet<_>>())
            }
            Base::Modified => String::new(),
        };
        let error = Error::config(format!("no model fits `{}`{near}", pattern.written));
        match &pattern.base {
            Base::Path(_) => error.hint("path: takes a folder or a file below models/, for example path:models/gold"),
            Base::Name(_) | Base::Tag(_) | Base::Modified => error,
        }
    }
}
