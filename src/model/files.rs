//! Finds and reads the project's files; understands none of them.
//!
//! Below `models/` every `.sql` is a model and every `.yml` or `.yaml` a contract, at any depth, below `seeds/` every
//! `.csv` a seed, below `snapshots/` every `.sql` holds snapshots, below `macros/` macros; a `.md` may hold blocks of
//! documentation. Other files there (pictures) belong to nobody. `sql/bronze`, `sql/checks` and `sql/warehouse` are
//! flat. A dbt project names its folders itself ([`Folders`]).

use crate::error::{Context, Error, Kind, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Deeper nesting is taken for a loop of symbolic links.
const MAX_DEPTH: usize = 32;
/// The folder below a dbt project's tests that holds tests to be named in contracts, not queries alone.
const GENERIC: &str = "generic";
/// The one that holds rows for unit tests, and where it lies in a project that is none of dbt's.
const FIXTURES: &str = "fixtures";
const TESTS: &str = "tests";

/// The text of one file and its path relative to the project, or a part of one. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct SourceFile {
    path: Arc<str>,
    text: Arc<str>,
    snapshot: Option<Arc<Part>>,
}

/// What a file says of one of the tables in it.
#[derive(Debug)]
struct Part {
    name: String,
    start: (usize, usize),
    template: String,
}

impl SourceFile {
    pub fn new(path: &str, text: &str) -> SourceFile {
        SourceFile { path: path.into(), text: text.into(), snapshot: None }
    }

    /// The snapshot `name` in this file. Each character of `template` stands at the byte that the one it comes from has
    /// in the file; `start` is the line and column where what is wrong with the snapshot as a whole is shown.
    pub fn snapshot(&self, name: &str, start: (usize, usize), template: String) -> SourceFile {
        SourceFile { snapshot: Some(Arc::new(Part { name: name.into(), start, template })), ..self.clone() }
    }

    /// Whether it is a snapshot, and so may be one of several in its file.
    pub fn is_snapshot(&self) -> bool {
        self.snapshot.is_some()
    }

    /// What is expanded to make the statement.
    pub fn template(&self) -> &str {
        self.snapshot.as_ref().map_or(&self.text, |part| &part.template)
    }

    /// What the user wrote of it, without the rest of the file.
    pub fn own_text(&self) -> &str {
        self.snapshot.as_ref().map_or(&self.text, |part| part.template.trim())
    }

    /// Line and column, from 1.
    pub fn start(&self) -> (usize, usize) {
        self.snapshot.as_ref().map_or((1, 1), |part| part.start)
    }

    /// Relative to the project, with `/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Of the whole file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The name of what it makes: a snapshot's, else that of the file without folder and extension.
    pub fn name(&self) -> &str {
        self.snapshot.as_ref().map_or_else(|| self.stem(), |part| &part.name)
    }

    /// The file's name without folder and extension.
    pub fn stem(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        name.rsplit_once('.').map_or(name, |(stem, _)| stem)
    }

    /// Whether it is a table written out: a seed.
    pub fn is_seed(&self) -> bool {
        self.path.ends_with(".csv")
    }

    /// The folders below one of `roots` the file lies in: `silver`, `a` for `models/silver/a/b.sql`; `None` when it lies
    /// below none of them.
    pub fn folders_below(&self, roots: &[String]) -> Option<Vec<&str>> {
        let inside = |root: &String| self.path.strip_prefix(root.as_str())?.strip_prefix('/');
        let mut steps: Vec<&str> = roots.iter().find_map(inside)?.split('/').collect();
        steps.pop();
        Some(steps)
    }
}

/// Where a project keeps what, relative to it.
#[derive(Debug, Clone)]
pub struct Folders {
    pub models: Vec<String>,
    pub seeds: Vec<String>,
    pub macros: Vec<String>,
    /// Tests that are queries, beside `sql/checks`.
    pub tests: Vec<String>,
    pub snapshots: Vec<String>,
}

impl Default for Folders {
    fn default() -> Folders {
        let one = |name: &str| vec![name.to_string()];
        Folders {
            models: one("models"),
            seeds: one("seeds"),
            macros: one("macros"),
            tests: Vec::new(),
            snapshots: one("snapshots"),
        }
    }
}

/// Everything of the project, in path order.
#[derive(Debug, Default)]
pub struct Files {
    pub contracts: Vec<SourceFile>,
    pub models: Vec<SourceFile>,
    pub seeds: Vec<SourceFile>,
    pub macros: Vec<SourceFile>,
    /// May hold blocks of documentation.
    pub notes: Vec<SourceFile>,
    /// Whole files, then the snapshots in them.
    pub snapshots: Vec<SourceFile>,
    /// Python models, which nobody runs.
    pub foreign: Vec<SourceFile>,
    pub stream_sql: Vec<SourceFile>,
    pub checks: Vec<SourceFile>,
    /// Tests to be named in contracts.
    pub own_tests: Vec<SourceFile>,
    pub warehouse_sql: Vec<SourceFile>,
    /// Rows for unit tests.
    pub fixtures: Vec<SourceFile>,
}

impl Files {
    /// What becomes a table.
    pub fn tables(&self) -> impl Iterator<Item = &SourceFile> {
        self.models.iter().chain(&self.seeds).chain(&self.snapshots)
    }
}

/// Reads the project at `root`; folders that do not exist count as empty.
pub fn read(root: &Path, folders: &Folders) -> Result<Files> {
    let below = |folders: &[&[String]], extensions: &[&str]| -> Result<Vec<SourceFile>> {
        let folders: BTreeSet<&String> = folders.iter().copied().flatten().collect();
        let found = folders.into_iter().map(|folder| read_below(root, folder, extensions, MAX_DEPTH));
        Ok(found.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    };
    let Folders { models, seeds, macros, tests, snapshots } = folders;
    let mut checks = read_below(root, "sql/checks", &["sql"], 1)?;
    let is_below =
        |file: &SourceFile, folder| file.folders_below(tests).is_some_and(|steps| steps.first() == Some(&folder));
    let (own_tests, mut queries): (Vec<_>, Vec<_>) =
        below(&[tests], &["sql"])?.into_iter().partition(|file| is_below(file, GENERIC));
    queries.retain(|file| !is_below(file, FIXTURES));
    checks.extend(queries);
    let of_tests = if tests.is_empty() { &vec![TESTS.to_string()] } else { tests };
    let fixtures: Vec<String> = of_tests.iter().map(|folder| format!("{folder}/{FIXTURES}")).collect();
    Ok(Files {
        contracts: below(&[models, seeds, snapshots], &["yml", "yaml"])?,
        models: below(&[models], &["sql"])?,
        seeds: below(&[seeds], &["csv"])?,
        macros: below(&[macros], &["sql"])?,
        notes: below(&[models, seeds, snapshots, macros], &["md"])?,
        snapshots: below(&[snapshots], &["sql"])?,
        foreign: below(&[models], &["py"])?,
        stream_sql: read_below(root, "sql/bronze", &["sql"], 1)?,
        checks,
        own_tests,
        warehouse_sql: read_below(root, "sql/warehouse", &["sql"], 1)?,
        fixtures: below(&[&fixtures], &["csv", "sql"])?,
    })
}

/// One file that may be missing.
pub fn read_one(root: &Path, name: &str) -> Result<Option<SourceFile>> {
    let path = root.join(name);
    path.is_file().then(|| read_file(root, &path)).transpose()
}

fn read_below(root: &Path, folder: &str, extensions: &[&str], depth: usize) -> Result<Vec<SourceFile>> {
    let mut paths = Vec::new();
    collect(&root.join(folder), depth, &mut paths)?;
    paths.retain(|path| path.extension().is_some_and(|found| extensions.iter().any(|known| found == *known)));
    paths.sort();
    paths.iter().map(|path| read_file(root, path)).collect()
}

fn collect(folder: &Path, depth: usize, paths: &mut Vec<PathBuf>) -> Result<()> {
    if !folder.is_dir() || depth == 0 {
        return Ok(());
    }
    let unreadable = || format!("read the folder `{}`", folder.display());
    for entry in std::fs::read_dir(folder).context(Kind::Config, unreadable)? {
        let path = entry.context(Kind::Config, unreadable)?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        match path.is_dir() {
            _ if hidden => {}
            true => collect(&path, depth - 1, paths)?,
            false => paths.push(path),
        }
    }
    Ok(())
}

fn read_file(root: &Path, path: &Path) -> Result<SourceFile> {
    let shown = path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/");
    let bytes = std::fs::read(path).context(Kind::Config, || format!("read `{shown}`"))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        Error::config(format!("{shown}:{line}: the file is not UTF-8")).hint("save it as UTF-8")
    })?;
    Ok(SourceFile::new(&shown, text.strip_prefix('\u{feff}').unwrap_or(&text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_at_any_depth_and_in_order() {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("models/gold/mart/b.sql", "\u{feff}select 1"),
            ("models/gold/a.sql", "select 2"),
            ("models/gold/README.md", "notes"),
            ("models/gold/.hidden.sql", "select 3"),
            ("models/sources.yml", "version: 2"),
            ("sql/checks/c.sql", "select 4"),
        ] {
            std::fs::create_dir_all(root.path().join(path).parent().unwrap()).unwrap();
            std::fs::write(root.path().join(path), text).unwrap();
        }
        let files = read(root.path(), &Folders::default()).unwrap();
        let paths: Vec<&str> = files.models.iter().map(SourceFile::path).collect();
        assert_eq!(paths, ["models/gold/a.sql", "models/gold/mart/b.sql"]);
        assert_eq!(files.models[1].text(), "select 1");
        assert_eq!(files.models[1].stem(), "b");
        assert_eq!(files.models[1].folders_below(&["models".into()]), Some(vec!["gold", "mart"]));
        assert_eq!(files.contracts.len(), 1);
        assert_eq!(files.checks[0].stem(), "c");
    }

    #[test]
    fn a_file_in_another_encoding_is_refused_with_its_line() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("models/gold")).unwrap();
        std::fs::write(root.path().join("models/gold/a.sql"), b"select 1\n, '\xe9'").unwrap();
        assert_eq!(
            read(root.path(), &Folders::default()).unwrap_err().to_string(),
            "models/gold/a.sql:2: the file is not UTF-8"
        );
    }
}
