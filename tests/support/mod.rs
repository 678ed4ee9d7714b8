//! What the tests share: a throwaway project with the real binary, and the services when they are up.

#![allow(dead_code)]

pub mod bronze;
pub mod cluster;
pub mod kafka_proxy;
mod listener;
pub mod malformed;
pub mod oracle;
pub mod postgres;
pub mod postgres_proxy;
pub mod proxy;
pub mod running;
pub mod seed;
pub mod services;
pub mod star;
pub mod workload;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output as ProcessOutput, Stdio};

/// Says that something is not tested here. Written past the test runner, which would keep it to itself.
pub fn left_out(what: &str) {
    std::io::stderr().write_all(format!("left out: {what}\n").as_bytes()).unwrap();
}

/// A project in a temporary folder of its own. Its environment holds nothing of the caller's settings, so that
/// what runs is what the test wrote.
pub struct Project {
    folder: tempfile::TempDir,
    env: Vec<(String, String)>,
}

/// What a command printed and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    pub stdout: String,
    pub stderr: String,
    /// The exit code; -1 when a signal ended the process.
    pub code: i32,
}

impl Output {
    /// Panics with everything that was printed unless the command succeeded.
    pub fn ok(self) -> Output {
        assert_eq!(self.code, 0, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Panics unless the command ended with this code.
    pub fn fails_with(self, code: i32) -> Output {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// The last line of stdout as JSON.
    pub fn json(&self) -> serde_json::Value {
        let line = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}\nstderr:\n{}", self.stderr))
    }
}

impl Project {
    pub fn empty() -> Project {
        let folder = tempfile::tempdir().unwrap();
        // From a root shell the embedded PostgreSQL runs as another user, who must be able to enter.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        Project { folder, env: Vec::new() }
    }

    /// A copy of the bookshop, the project this repository is, without build output.
    pub fn bookshop() -> Project {
        let project = Project::empty();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for folder in ["data", "models", "sql"] {
            copy(&root.join(folder), &project.path().join(folder));
        }
        std::fs::copy(root.join("lake.toml"), project.path().join("lake.toml")).unwrap();
        project
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path().join(path)).unwrap()
    }

    /// Sets a variable for all later commands of this project.
    pub fn env(&mut self, name: &str, value: &str) -> &mut Project {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.into(), value.into()));
        self
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lake"));
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars() {
            if name.starts_with("LAKE") || name.starts_with("AWS_") || name.starts_with("PG") {
                command.env_remove(name);
            }
        }
        command.env("NO_COLOR", "1").envs(self.env.iter().cloned());
        command
    }

    pub fn lake(&self, arguments: &[&str]) -> Output {
        output(self.command(arguments).output().unwrap())
    }

    /// Runs with one failpoint armed, for example `bronze.before_commit=abort`.
    pub fn lake_with_failpoint(&self, failpoint: &str, arguments: &[&str]) -> Output {
        output(self.command(arguments).env("LAKE_FAILPOINT", failpoint).output().unwrap())
    }
}

pub fn output(output: ProcessOutput) -> Output {
    Output {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        code: output.status.code().unwrap_or(-1),
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}
