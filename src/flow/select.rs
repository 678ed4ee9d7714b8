//! `--select`: which models a run is about.
//!
//! A pattern is a model (`books`, `silver.books`), `tag:NAME` or `path:models/gold`; `+` in front adds
//! everything it is made from, `+` behind everything made from it. Several patterns add up.

use crate::error::{Error, Result};
use crate::ident::{TableName, suggestion};
use crate::model::{Model, Project};
use std::collections::BTreeSet;

/// Parsed patterns; none means everything.
#[derive(Debug, Clone, Default)]
pub struct Selection(Vec<Pattern>);

#[derive(Debug, Clone)]
struct Pattern {
    written: String,
    base: Base,
    ancestors: bool,
    descendants: bool,
}

#[derive(Debug, Clone)]
enum Base {
    Name(String),
    Tag(String),
    Path(String),
}

pub fn parse(patterns: &[String]) -> Result<Selection> {
    patterns.iter().map(|written| parse_pattern(written)).collect::<Result<_>>().map(Selection)
}

fn parse_pattern(written: &str) -> Result<Pattern> {
    let (ancestors, rest) = written.strip_prefix('+').map_or((false, written), |rest| (true, rest));
    let (descendants, rest) = rest.strip_suffix('+').map_or((false, rest), |rest| (true, rest));
    let base = match rest.split_once(':') {
        Some(("tag", tag)) => Base::Tag(tag.to_string()),
        Some(("path", path)) => Base::Path(path.trim_end_matches('/').to_string()),
        None if !rest.is_empty() && !rest.contains(['+', '*', '@', ',']) => Base::Name(rest.to_string()),
        _ => {
            return Err(Error::config(format!("`{written}` selects nothing"))
                .hint("write a model, tag:NAME or path:models/gold, with + in front or behind"));
        }
    };
    Ok(Pattern { written: written.to_string(), base, ancestors, descendants })
}

impl Selection {
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// The selected tables. A pattern that fits no model is an error of kind Config.
    pub fn models(&self, project: &Project) -> Result<BTreeSet<TableName>> {
        if self.is_everything() {
            return Ok(project.models.iter().map(|model| model.table.clone()).collect());
        }
        let mut selected = BTreeSet::new();
        for pattern in &self.0 {
            let fitting = project.models.iter().filter(|model| pattern.base.fits(model));
            let base: BTreeSet<TableName> = fitting.map(|model| model.table.clone()).collect();
            if base.is_empty() {
                return Err(pattern.unknown(project));
            }
            if pattern.ancestors {
                selected.extend(ancestors(project, &base));
            }
            if pattern.descendants {
                selected.extend(descendants(project, &base));
            }
            selected.extend(base);
        }
        Ok(selected)
    }
}

impl Pattern {
    fn unknown(&self, project: &Project) -> Error {
        let near = match &self.base {
            Base::Name(name) => suggestion(name, project.models.iter().map(|model| model.table.name())),
            Base::Tag(tag) => {
                suggestion(tag, project.models.iter().flat_map(|model| model.tags.iter().map(String::as_str)))
            }
            Base::Path(_) => String::new(),
        };
        let error = Error::config(format!("no model fits `{}`{near}", self.written));
        match &self.base {
            Base::Path(_) => error.hint("path: takes a folder or a file below models/, for example path:models/gold"),
            Base::Name(_) | Base::Tag(_) => error,
        }
    }
}

impl Base {
    fn fits(&self, model: &Model) -> bool {
        match self {
            Base::Name(name) => model.table.name() == name || model.table.to_string() == *name,
            Base::Tag(tag) => model.tags.contains(tag),
            Base::Path(path) => model.file.starts_with(path),
        }
    }
}

/// Models are in building order, so one walk in the right direction finds all of them.
fn ancestors(project: &Project, base: &BTreeSet<TableName>) -> BTreeSet<TableName> {
    let mut found = base.clone();
    for model in project.models.iter().rev().filter(|model| !model.upstream.is_empty()) {
        if found.contains(&model.table) {
            let known = model.upstream.iter().filter(|table| project.model(table).is_some());
            found.extend(known.cloned().collect::<Vec<_>>());
        }
    }
    found
}

fn descendants(project: &Project, base: &BTreeSet<TableName>) -> BTreeSet<TableName> {
    let mut found = base.clone();
    for model in &project.models {
        if model.upstream.iter().any(|table| found.contains(table)) {
            found.insert(model.table.clone());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Materialization, Origin};

    fn model(table: &str, file: &str, upstream: &[&str], tags: &[&str]) -> Model {
        let parse = |name: &str| TableName::parse(name).unwrap();
        Model {
            table: parse(table),
            file: file.into(),
            sql: String::new(),
            materialization: Materialization::Table,
            description: String::new(),
            columns: Vec::new(),
            checks: Vec::new(),
            upstream: upstream.iter().map(|name| parse(name)).collect(),
            tags: tags.iter().map(|tag| tag.to_string()).collect(),
            contract_enforced: false,
            origin: Origin::default(),
        }
    }

    #[test]
    fn patterns_select_models_and_their_kin() {
        let models = vec![
            model("silver.a", "models/silver/a.sql", &["bronze.a"], &[]),
            model("silver.b", "models/silver/b.sql", &["bronze.b"], &["slow"]),
            model("gold.c", "models/gold/c.sql", &["silver.a"], &[]),
            model("gold.d", "models/gold/deep/d.sql", &["gold.c", "silver.b"], &["slow"]),
        ];
        let project = Project { models, ..Project::default() };
        let table: [(&[&str], &[&str]); 8] = [
            (&[], &["silver.a", "silver.b", "gold.c", "gold.d"]),
            (&["c"], &["gold.c"]),
            (&["gold.c", "b"], &["silver.b", "gold.c"]),
            (&["+c"], &["silver.a", "gold.c"]),
            (&["a+"], &["silver.a", "gold.c", "gold.d"]),
            (&["+c+"], &["silver.a", "gold.c", "gold.d"]),
            (&["tag:slow"], &["silver.b", "gold.d"]),
            (&["path:models/gold/"], &["gold.c", "gold.d"]),
        ];
        for (patterns, expected) in table {
            let patterns: Vec<String> = patterns.iter().map(|text| text.to_string()).collect();
            let selected = parse(&patterns).unwrap().models(&project).unwrap();
            assert_eq!(selected.iter().map(TableName::to_string).collect::<Vec<_>>(), expected, "{patterns:?}");
        }
        let unknown = parse(&["dd".into()]).unwrap().models(&project).unwrap_err();
        assert!(unknown.to_string().starts_with("no model fits `dd`, did you mean"), "{unknown}");
        let nowhere = parse(&["path:gold".into()]).unwrap().models(&project).unwrap_err();
        assert!(nowhere.hint_text().is_some_and(|hint| hint.contains("path:models/gold")), "{nowhere}");
        assert!(parse(&["state:modified".into()]).is_err());
    }
}
