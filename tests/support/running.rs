//! A `lake` that goes on beside the test.

use super::Project;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Killed when dropped.
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    pub fn start(project: &Project, arguments: &[&str], env: &[(&str, &str)]) -> Running {
        let log = project.path().join(format!("log-{}", uuid::Uuid::new_v4().simple()));
        let errors = std::fs::File::create(&log).unwrap();
        let mut command = project.command(arguments);
        command.envs(env.iter().copied()).stdout(Stdio::null()).stderr(errors);
        Running { child: command.spawn().unwrap(), log }
    }

    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until a failpoint or a signal stopped it.
    pub fn await_stop(&mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        while !is_stopped(self.child.id()) {
            let over = self.has_ended() || Instant::now() > deadline;
            assert!(!over, "it does not stop:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks it to end and takes its exit code; panics after half a minute.
    pub fn end(mut self) -> (i32, String) {
        self.signal("TERM");
        self.wait()
    }

    /// Exit code and what it said.
    pub fn wait(&mut self) -> (i32, String) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status.code().unwrap_or(-1), self.log());
            }
            assert!(Instant::now() < deadline, "it does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub fn signal(process: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status().unwrap();
    assert!(sent.success(), "kill -{name} {process}");
}

fn is_stopped(process: u32) -> bool {
    let state = Command::new("ps").args(["-o", "state=", "-p", &process.to_string()]).output().unwrap();
    String::from_utf8_lossy(&state.stdout).trim_start().starts_with('T')
}
