//! Finds and reads the project's files; understands none of them.
//!
//! Below `models/` every `.sql` is a model and every `.yml` or `.yaml` a contract, at any depth; other
//! files there (notes, pictures) belong to nobody. `sql/bronze`, `sql/checks`, `sql/warehouse` and
//! `tests/fixtures` are flat.

use crate::error::{Context, Error, Kind, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Deeper nesting is taken for a loop of symbolic links.
const MAX_DEPTH: usize = 32;

/// The text of one file and its path relative to the project. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct SourceFile {
    path: Arc<str>,
    text: Arc<str>,
}

impl SourceFile {
    pub fn new(path: &str, text: &str) -> SourceFile {
        SourceFile { path: path.into(), text: text.into() }
    }

    /// Relative to the project, with `/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The file's name without folder and extension.
    pub fn stem(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        name.rsplit_once('.').map_or(name, |(stem, _)| stem)
    }

    /// The folder below `models/` the file lies in: `silver` for `models/silver/a/b.sql`.
    pub fn top_folder(&self) -> Option<&str> {
        let (folder, rest) = self.path.strip_prefix("models/")?.split_once('/')?;
        (!rest.is_empty()).then_some(folder)
    }
}

/// Everything below `models/` and `sql/`, in path order.
#[derive(Debug, Default)]
pub struct Files {
    pub contracts: Vec<SourceFile>,
    pub models: Vec<SourceFile>,
    pub stream_sql: Vec<SourceFile>,
    pub checks: Vec<SourceFile>,
    pub warehouse_sql: Vec<SourceFile>,
    /// Rows for unit tests.
    pub fixtures: Vec<SourceFile>,
}

/// Reads the project at `root`; folders that do not exist count as empty.
pub fn read(root: &Path) -> Result<Files> {
    Ok(Files {
        contracts: read_below(root, "models", &["yml", "yaml"], MAX_DEPTH)?,
        models: read_below(root, "models", &["sql"], MAX_DEPTH)?,
        stream_sql: read_below(root, "sql/bronze", &["sql"], 1)?,
        checks: read_below(root, "sql/checks", &["sql"], 1)?,
        warehouse_sql: read_below(root, "sql/warehouse", &["sql"], 1)?,
        fixtures: read_below(root, "tests/fixtures", &["csv"], 1)?,
    })
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
        let files = read(root.path()).unwrap();
        let paths: Vec<&str> = files.models.iter().map(SourceFile::path).collect();
        assert_eq!(paths, ["models/gold/a.sql", "models/gold/mart/b.sql"]);
        assert_eq!(files.models[1].text(), "select 1");
        assert_eq!(files.models[1].stem(), "b");
        assert_eq!(files.models[1].top_folder(), Some("gold"));
        assert_eq!(files.contracts.len(), 1);
        assert_eq!(files.checks[0].stem(), "c");
    }

    #[test]
    fn a_file_in_another_encoding_is_refused_with_its_line() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("models/gold")).unwrap();
        std::fs::write(root.path().join("models/gold/a.sql"), b"select 1\n, '\xe9'").unwrap();
        assert_eq!(read(root.path()).unwrap_err().to_string(), "models/gold/a.sql:2: the file is not UTF-8");
    }
}
