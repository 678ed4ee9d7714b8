//! Projects that cannot be read: each folder here is one kind of fault, laid over the sound project in `_whole`.
//! `expected.txt` holds `file:line:column: message` of every fault it has, and of no other. A new kind is a folder.

use lake::model::Project;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const EXPECTED: &str = "expected.txt";
const WHOLE: &str = "_whole";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken")
}

fn kinds() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut kinds: Vec<PathBuf> = entries.filter(|path| path.join(EXPECTED).exists()).collect();
    kinds.sort();
    kinds
}

/// Copies a project's files over what stands in `to`; two kinds of fault never touch the same file.
fn lay(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            fs::create_dir_all(&target).unwrap();
            lay(&path, &target);
        } else if path.file_name().unwrap() != EXPECTED {
            assert!(!target.exists(), "{} stands in two projects", path.display());
            fs::copy(&path, target).unwrap();
        }
    }
}

fn expected(kind: &Path) -> BTreeSet<String> {
    fs::read_to_string(kind.join(EXPECTED)).unwrap().lines().map(str::to_string).collect()
}

/// The faults of the project at `root`, each proved to show its line with the caret below its column.
fn faults(root: &Path) -> BTreeSet<String> {
    let text = Project::load(root, &BTreeMap::new(), &[]).unwrap_err().to_string();
    let lines: Vec<&str> = text.lines().collect();
    let mut found = BTreeSet::new();
    for (at, line) in lines.iter().enumerate() {
        let mut parts = line.splitn(4, ':');
        let place = (parts.next(), parts.next().map(str::parse::<usize>), parts.next().map(str::parse::<usize>));
        let (Some(file), Some(Ok(number)), Some(Ok(column))) = place else { continue };
        let source = fs::read_to_string(root.join(file)).unwrap();
        if let Some(written) = source.lines().nth(number - 1) {
            let margin = format!("  {number} | ");
            assert_eq!(lines[at + 1], format!("{margin}{written}"), "{line}");
            assert_eq!(lines[at + 2].find('^').unwrap(), margin.len() + column - 1, "{line}");
        }
        found.insert(line.to_string());
    }
    found
}

#[test]
fn each_kind_of_fault_is_told_with_its_place() {
    let kinds = kinds();
    assert!(kinds.len() >= 40, "only {} kinds were found", kinds.len());
    let mut wrong = Vec::new();
    for kind in kinds {
        let root = tempfile::tempdir().unwrap();
        lay(&folder().join(WHOLE), root.path());
        lay(&kind, root.path());
        let (found, expected) = (faults(root.path()), expected(&kind));
        if found != expected {
            wrong.push(format!("{}\n  expected {expected:#?}\n  found {found:#?}", kind.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn one_pass_over_a_thousand_models_tells_every_kind() {
    let root = tempfile::tempdir().unwrap();
    lay(&folder().join(WHOLE), root.path());
    for number in 0..1_000 {
        let path = root.path().join(format!("models/gold/filler_number_{number:04}.sql"));
        fs::write(path, format!("select id, {number} as n\nfrom silver.good\n")).unwrap();
    }
    let mut all = BTreeSet::new();
    for kind in kinds() {
        lay(&kind, root.path());
        all.extend(expected(&kind));
    }
    let found = faults(root.path());
    let (missing, more): (Vec<_>, Vec<_>) = (all.difference(&found).collect(), found.difference(&all).collect());
    assert!(missing.is_empty() && more.is_empty(), "missing {missing:#?}\nmore {more:#?}");
}
