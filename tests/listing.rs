//! Every test file is part of the binary: with one test binary, a file nobody names is silently not run.

use std::fs;
use std::path::{Path, PathBuf};

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn every_test_file_is_compiled_in() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tests = project.join("tests");
    let manifest = fs::read_to_string(project.join("Cargo.toml")).unwrap();
    let mut unlisted = Vec::new();
    for file in rust_files(&tests) {
        let stem = file.file_stem().unwrap().to_str().unwrap();
        // The root of a binary: of the tests or of a benchmark.
        if stem == "main" {
            let path = file.strip_prefix(project).unwrap().to_str().unwrap();
            if !manifest.contains(&format!("path = \"{path}\"")) {
                unlisted.push(file);
            }
            continue;
        }
        let module = if stem == "mod" { file.parent().unwrap().file_name().unwrap().to_str().unwrap() } else { stem };
        let folder = if stem == "mod" { file.parent().unwrap().parent().unwrap() } else { file.parent().unwrap() };
        let root = folder.join("main.rs");
        let parent = if root.exists() { root } else { folder.join("mod.rs") };
        let listed = fs::read_to_string(&parent).unwrap_or_default().lines().any(|line| {
            let line = line.trim().trim_start_matches("pub ");
            line == format!("mod {module};")
        });
        // One that several benchmarks share lies beside their folders.
        let shared = |root: PathBuf| {
            let text = fs::read_to_string(root).unwrap_or_default();
            text.contains(&format!("#[path = \"../{module}.rs\"]\nmod {module};"))
        };
        let neighbours = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path().join("main.rs"));
        if !listed && !neighbours.into_iter().any(shared) {
            unlisted.push(file);
        }
    }
    assert!(unlisted.is_empty(), "no `mod` line or `path` of Cargo.toml names {unlisted:?}");
}
