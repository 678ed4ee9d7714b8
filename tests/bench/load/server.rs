//! A PostgreSQL of the benchmark's own: durable, gone with the process.

use crate::measure::{self, Finished};
use crate::psql::psql;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Linux counts CPU time for user space in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;
const NOBODY: u32 = 65_534;

pub struct Server {
    port: u16,
    folder: tempfile::TempDir,
    process: Child,
}

impl Server {
    /// `None` without its programs.
    pub fn start() -> Option<Server> {
        let bin = programs()?;
        let folder = tempfile::Builder::new().prefix("lake-bench-").tempdir_in("/var/tmp").unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
        let command = |program: &str| {
            let mut command = Command::new(bin.join(program));
            command.current_dir("/").stdin(Stdio::null());
            if root {
                command.uid(NOBODY).gid(NOBODY);
            }
            command
        };
        if root {
            [folder.path(), &data].iter().for_each(|path| chown(path, Some(NOBODY), Some(NOBODY)).unwrap());
        }
        let made = command("initdb")
            .args(["-A", "trust", "-U", "bench", "-E", "UTF8", "--locale=C", "-D"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = command("postgres")
            .args(["-h", "127.0.0.1", "-k", "", "-c", "shared_buffers=1GB", "-c", "max_wal_size=8GB"])
            .args(["-c", "maintenance_work_mem=256MB", "-p", &port.to_string(), "-D"])
            .arg(&data)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        let server = Server { port, folder, process };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !std::fs::read_to_string(data.join("postmaster.pid")).is_ok_and(|text| text.contains("ready")) {
            assert!(Instant::now() < deadline, "Postgres did not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(server)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn url(&self) -> String {
        format!("postgres://bench@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    /// Writes out what earlier turns left, so that the next one does not pay for it.
    pub fn settle(&self) {
        self.sql("checkpoint");
    }

    pub fn sql(&self, sql: &str) -> String {
        measure::run(psql(self).args(["-At", "-c", sql])).stdout
    }

    /// Loads the project's star into a schema.
    pub fn load(&self, project: &Path, schema: &str) -> Finished {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lake"));
        command.args(["load-warehouse", "--output", "json"]).current_dir(project);
        command.env("LAKE__WAREHOUSE__URL", self.url()).env("LAKE__WAREHOUSE__SCHEMA", schema);
        measure::run(&mut command)
    }

    /// Of the server and all it has started, those that ended among them.
    pub fn cpu_seconds(&self) -> f64 {
        let ticks = |pid: u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let fields: Vec<u64> = stat
                .rsplit(')')
                .next()
                .unwrap_or_default()
                .split_whitespace()
                .map(|f| f.parse().unwrap_or(0))
                .collect();
            fields.get(11..15).map_or(0, |ticks| ticks.iter().sum())
        };
        let pid = self.process.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|child| child.parse().ok());
        (ticks(pid) + children.map(ticks).sum::<u64>()) as f64 / TICKS_PER_SECOND
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(Command::new("kill").args(["-INT", &self.process.id().to_string()]).status());
        drop(self.process.wait());
    }
}

fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    versions.map(|entry| entry.path().join("bin")).filter(|bin| bin.join("initdb").exists()).max()
}
