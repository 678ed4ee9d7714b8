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
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut unlisted = Vec::new();
    for file in rust_files(&tests) {
        let stem = file.file_stem().unwrap().to_str().unwrap();
        if stem == "main" && file.parent() == Some(tests.as_path()) {
            continue;
        }
        let module = if stem == "mod" { file.parent().unwrap().file_name().unwrap().to_str().unwrap() } else { stem };
        let folder = if stem == "mod" { file.parent().unwrap().parent().unwrap() } else { file.parent().unwrap() };
        let parent = if folder == tests { tests.join("main.rs") } else { folder.join("mod.rs") };
        let listed = fs::read_to_string(&parent).unwrap_or_default().lines().any(|line| {
            let line = line.trim().trim_start_matches("pub ");
            line == format!("mod {module};")
        });
        if !listed {
            unlisted.push(file);
        }
    }
    assert!(unlisted.is_empty(), "no `mod` line names {unlisted:?}");
}
