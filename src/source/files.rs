//! Which files a source has: plain paths, folders and globs, in one stable order.
//!
//! A folder stands for the data files directly in it, hidden ones and other kinds left out. A glob knows
//! `*` and `?` inside a name and `**` for any folders. What matches nothing is an error, never silence.

use super::{Format, Input, SourceConfig, compressed, csv};
use crate::error::{Context, Error, Kind, Result};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

const CSV: [&str; 5] = ["csv", "tsv", "tab", "psv", "txt"];
const JSONL: [&str; 3] = ["jsonl", "ndjson", "json"];
/// Beside data a note far more often than a table, so it is read only when named itself.
const NOTE: &str = "txt";

/// The files of a source, sorted by path, each once. Fails when an entry of `files` matches nothing, when a
/// file's format is not known, and when two delimited files have different headers.
pub fn inputs(config: &SourceConfig, project: &Path) -> Result<Vec<Input>> {
    if config.files.is_empty() {
        return Err(Error::config(format!("source `{}` has no files", config.name))
            .hint("add files = [\"data/...\"] to its [[produce]] entry"));
    }
    let project = absolute(project)?;
    let mut found = BTreeMap::new();
    for pattern in &config.files {
        for path in expand(pattern, &project, config)? {
            let format = format_of(&path, config.format)?;
            found.insert(id_of(&path, &project), (path, format));
        }
    }
    let inputs: Vec<Input> = found.into_iter().map(|(id, (path, format))| Input { id, path, format }).collect();
    check_headers(&inputs, config)?;
    Ok(inputs)
}

/// The format of a file: as declared, else by its extension.
pub fn format_of(path: &Path, declared: Option<Format>) -> Result<Format> {
    let extension = extension_of(path);
    compressed::refuse_name(path, &extension)?;
    if let Some(format) = declared.or_else(|| known_format(&extension)) {
        return Ok(format);
    }
    Err(Error::config(format!("the format of `{}` is not known by its name", path.display()))
        .hint("declare format = \"csv\" or format = \"jsonl\""))
}

fn extension_of(path: &Path) -> String {
    path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default()
}

fn known_format(extension: &str) -> Option<Format> {
    if CSV.contains(&extension) {
        Some(Format::Csv)
    } else if JSONL.contains(&extension) {
        Some(Format::Jsonl)
    } else {
        None
    }
}

/// `path` without `.` and `..`, by its text alone.
fn absolute(path: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(path).context(Kind::Config, || format!("resolve `{}`", path.display()))?;
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            part => clean.push(part),
        }
    }
    Ok(clean)
}

/// Relative to the project with `/`, or the absolute path when the file lies outside.
fn id_of(path: &Path, project: &Path) -> String {
    let shown = path.strip_prefix(project).unwrap_or(path);
    shown.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "/")
}

fn expand(pattern: &str, project: &Path, config: &SourceConfig) -> Result<Vec<PathBuf>> {
    let path = absolute(&project.join(pattern))?;
    if path.is_file() {
        return Ok(vec![path]);
    }
    let found = if path.is_dir() {
        in_folder(&path, config)?
    } else if pattern.contains(['*', '?']) {
        matching(&path)?
    } else {
        return Err(Error::config(format!("there is no file `{pattern}`{}", config.of_source()))
            .hint(format!("looked for {}", path.display())));
    };
    match found.is_empty() {
        true => Err(Error::config(format!("`{pattern}`{} matches no data file", config.of_source()))
            .hint(where_looked(&path, config))),
        false => Ok(found),
    }
}

/// What counts as a data file in a folder, or the glob in full.
fn where_looked(path: &Path, config: &SourceConfig) -> String {
    if !path.is_dir() {
        return format!("looked for {}", path.display());
    }
    let known = CSV.iter().map(|name| (name, Format::Csv)).chain(JSONL.iter().map(|name| (name, Format::Jsonl)));
    let counts = |format| config.format.is_none_or(|declared| declared == format);
    let counted = known.filter(|(name, format)| **name != NOTE && counts(*format));
    let names: Vec<String> = counted.map(|(name, _)| format!(".{name}")).collect();
    format!("data files in {} end in {}; name any other, also a .{NOTE}, itself", path.display(), names.join(", "))
}

/// Data files directly in `folder`, all of one format.
fn in_folder(folder: &Path, config: &SourceConfig) -> Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = Vec::new();
    for (path, is_folder) in entries(folder)? {
        let extension = extension_of(&path);
        compressed::refuse_name(&path, &extension)?;
        let format = known_format(&extension).filter(|_| extension != NOTE);
        if is_folder || format.is_none() || config.format.is_some_and(|declared| format != Some(declared)) {
            continue;
        }
        if let Some(other) = found.iter().find(|other| known_format(&extension_of(other)) != format) {
            let (one, other) = (path.display(), other.display());
            return Err(Error::config(format!("`{one}` and `{other}` in one folder have different formats"))
                .hint("declare format, or name the files, for example data/*.csv"));
        }
        found.push(path);
    }
    Ok(found)
}

/// Entries that are not hidden, with whether each is a folder.
fn entries(folder: &Path) -> Result<Vec<(PathBuf, bool)>> {
    let list = || -> std::io::Result<Vec<(PathBuf, bool)>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
                let is_folder = path.is_dir();
                entries.push((path, is_folder));
            }
        }
        entries.sort();
        Ok(entries)
    };
    list().context(Kind::Input, || format!("list folder `{}`", folder.display()))
}

/// Files that match an absolute glob.
fn matching(pattern: &Path) -> Result<Vec<PathBuf>> {
    let parts: Vec<String> = pattern.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    let fixed = parts.iter().take_while(|part| !part.contains(['*', '?'])).count();
    let base: PathBuf = parts[..fixed].iter().collect();
    let mut found = Vec::new();
    if base.is_dir() {
        descend(&base, &parts[fixed..], &mut found)?;
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn descend(folder: &Path, parts: &[String], found: &mut Vec<PathBuf>) -> Result<()> {
    let Some((part, rest)) = parts.split_first() else { return Ok(()) };
    if part == "**" {
        descend(folder, rest, found)?;
    }
    for (path, is_folder) in entries(folder)? {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if part == "**" {
            // A link may lead back up; following it would never end.
            if is_folder && !path.is_symlink() {
                descend(&path, parts, found)?;
            }
        } else if matches_name(part, &name) {
            match (is_folder, rest.is_empty()) {
                (false, true) => found.push(path),
                (true, false) => descend(&path, rest, found)?,
                _ => {}
            }
        }
    }
    Ok(())
}

/// `*` stands for any characters, `?` for one.
fn matches_name(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut in_name) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while in_name < name.len() {
        if at < pattern.len() && pattern[at] == '*' {
            last_star = Some((at, in_name));
            at += 1;
        } else if at < pattern.len() && (pattern[at] == '?' || pattern[at] == name[in_name]) {
            at += 1;
            in_name += 1;
        } else if let Some((star, matched)) = last_star {
            last_star = Some((star, matched + 1));
            at = star + 1;
            in_name = matched + 1;
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|character| *character == '*')
}

/// Files of one source end up in one table, so their columns must be the same.
fn check_headers(inputs: &[Input], config: &SourceConfig) -> Result<()> {
    let mut first: Option<(&Input, Vec<String>)> = None;
    if inputs.len() < 2 {
        return Ok(());
    }
    for input in inputs.iter().filter(|input| input.format == Format::Csv) {
        let Some(columns) = csv::columns(input, config)? else { continue };
        match &first {
            None => first = Some((input, columns)),
            Some((_, expected)) if *expected == columns => {}
            Some((other, expected)) => {
                let message = format!("`{}` and `{}`{} have different headers", other.id, input.id, config.of_source());
                return Err(Error::input(message).hint(format!(
                    "give each its own [[produce]] entry; the columns are {} and {}",
                    expected.join(", "),
                    columns.join(", ")
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        folder
    }

    fn ids(folder: &Path, patterns: &[&str]) -> Result<Vec<String>> {
        let files = patterns.iter().map(|pattern| pattern.to_string()).collect();
        let config = SourceConfig { name: "s".into(), files, ..SourceConfig::default() };
        Ok(inputs(&config, folder)?.into_iter().map(|input| input.id).collect())
    }

    #[test]
    fn names_match_globs() {
        let table = [
            ("*.csv", "a.csv", true),
            ("*.csv", "a.csv.gz", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "ab.b.c", false),
            ("*", "", true),
            ("é?", "éü", true),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(matches_name(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn files_folders_and_globs_give_sorted_unique_ids() {
        let csv = "a\nx\n";
        let folder = project(&[
            ("data/b.csv", csv),
            ("data/a.csv", csv),
            ("data/.hidden.csv", csv),
            ("data/README.txt", "note"),
            ("data/deep/er/c.csv", csv),
        ]);
        let table: [(&[&str], &[&str]); 5] = [
            (&["data"], &["data/a.csv", "data/b.csv"]),
            (&["data/*.csv", "./data/../data/a.csv"], &["data/a.csv", "data/b.csv"]),
            (&["data/**/*.csv"], &["data/a.csv", "data/b.csv", "data/deep/er/c.csv"]),
            (&["data/?.csv"], &["data/a.csv", "data/b.csv"]),
            (&["data/*/er/c.csv"], &["data/deep/er/c.csv"]),
        ];
        for (patterns, expected) in table {
            assert_eq!(ids(folder.path(), patterns).unwrap(), expected, "{patterns:?}");
        }
    }

    #[test]
    fn a_file_outside_the_project_keeps_its_absolute_path() {
        let (inside, outside) = (project(&[]), project(&[("x.csv", "a\n")]));
        let path = outside.path().join("x.csv").to_string_lossy().into_owned();
        assert_eq!(ids(inside.path(), &[&path]).unwrap(), [path]);
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_a_remedy() {
        let folder = project(&[
            ("one/a.csv", "a,b\n"),
            ("one/b.csv", "a,c\n"),
            ("two/a.csv", "a\n"),
            ("two/b.jsonl", "{}\n"),
            ("gz/a.json.gz", ""),
            ("odd/a.xyz", ""),
            ("none/.keep", ""),
        ]);
        let table = [
            ("one", "`one/a.csv` and `one/b.csv` of source `s` have different headers"),
            ("gz/a.json.gz", "is compressed, which is not supported"),
            ("gz", "is compressed, which is not supported"),
            ("two", "have different formats"),
            ("odd/a.xyz", "is not known by its name"),
            ("none", "matches no data file"),
            ("nope/*.csv", "matches no data file"),
            ("nope.csv", "there is no file `nope.csv`"),
        ];
        for (pattern, message) in table {
            let error = ids(folder.path(), &[pattern]).unwrap_err();
            assert!(error.to_string().contains(message), "{pattern}: {error}");
            assert!(error.hint_text().is_some(), "{pattern}: {error}");
        }
        assert_eq!(inputs(&SourceConfig::default(), folder.path()).unwrap_err().kind(), Kind::Config);
        let hint = ids(folder.path(), &["none"]).unwrap_err().hint_text().unwrap_or_default().to_string();
        assert!(
            hint.ends_with(".csv, .tsv, .tab, .psv, .jsonl, .ndjson, .json; name any other, also a .txt, itself"),
            "{hint}"
        );
    }
}
