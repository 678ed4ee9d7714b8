//! A PostgreSQL of the test's own, which may be killed, filled up, made read-only and started again.

use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio_postgres::NoTls;

const PATIENCE: Duration = Duration::from_secs(60);
const NOBODY: u32 = 65534;

/// Its standard input ends with the test, and the server with that.
const SCRIPT: &str = r#"data=$1; shift; "$@" -D "$data" >>"$data.log" 2>&1 </dev/null &
    server=$!; cat >/dev/null; kill -INT $server 2>/dev/null; wait $server"#;

/// Gone with this value. User `test`, who needs no password on the loopback address unless `pg_hba.conf` is changed.
pub struct Server {
    folder: tempfile::TempDir,
    bin: PathBuf,
    port: u16,
    options: Vec<String>,
    shell: Option<Child>,
}

impl Server {
    /// `None`, after saying what is left out, on a machine without PostgreSQL's programs. `options` are `name=value`.
    pub fn start(test: &str, options: &[&str]) -> Option<Server> {
        let Some(bin) = binaries() else {
            super::left_out(&format!("{test} needs PostgreSQL's programs (apt-get install postgresql)"));
            return None;
        };
        let options = options.iter().map(ToString::to_string).collect();
        let mut server = Server { folder: folder(), bin, port: free_port(), options, shell: None };
        std::fs::create_dir(server.data()).unwrap();
        if is_root() {
            chown(server.data(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let initdb = server
            .program("initdb")
            .args(["-A", "trust", "-U", "test", "--no-sync", "-E", "UTF8", "--locale=C", "-D"])
            .arg(server.data())
            .output();
        let initdb = initdb.unwrap();
        assert!(initdb.status.success(), "{}", String::from_utf8_lossy(&initdb.stderr));
        server.again();
        Some(server)
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("postgres://test@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    /// A copy of what it has, which follows it and can only be read. It is killed for that and starts again.
    pub fn standby(&mut self) -> Server {
        self.kill();
        let (bin, options) = (self.bin.clone(), self.options.clone());
        let mut standby = Server { folder: folder(), bin, port: free_port(), options, shell: None };
        let copied = Command::new("cp").arg("-a").arg(self.data()).arg(standby.folder.path()).status().unwrap();
        assert!(copied.success(), "the files of the server could not be copied");
        std::fs::remove_file(standby.data().join("postmaster.pid")).unwrap();
        self.again();
        std::fs::write(standby.data().join("standby.signal"), "").unwrap();
        standby.options.push(format!("primary_conninfo=host=127.0.0.1 port={} user=test", self.port));
        standby.again();
        standby
    }

    /// Starts it; what an earlier one left running has a minute to end.
    pub fn again(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.try_start() {
            let log = std::fs::read_to_string(self.data().with_extension("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "Postgres does not start:\n{log}");
        }
    }

    fn try_start(&mut self) -> bool {
        let mut command = self.program("sh");
        command.args(["-c", SCRIPT, "sh"]).arg(self.data()).arg(self.bin.join("postgres"));
        command.args(["-p", &self.port.to_string(), "-h", "127.0.0.1", "-k", "", "-c", "fsync=off"]);
        command.args(self.options.iter().flat_map(|option| ["-c", option]));
        self.shell = Some(command.stdin(Stdio::piped()).process_group(0).spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if self.pid().is_some_and(|(pid, ready)| ready && is_running(pid)) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(30));
        }
        self.end();
        false
    }

    /// Its process, and whether it takes connections.
    fn pid(&self) -> Option<(u32, bool)> {
        let text = std::fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        Some((text.lines().next()?.parse().ok()?, text.contains("ready")))
    }

    /// As a machine that loses its power: no process of it is left, and nothing was written meanwhile.
    pub fn kill(&mut self) {
        let (pid, _) = self.pid().unwrap();
        // Once it is stopped it starts no other, and those that end stay to be signalled.
        super::running::signal(pid, "STOP");
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        for child in children.split_whitespace() {
            super::running::signal(child.parse().unwrap(), "KILL");
        }
        super::running::signal(pid, "KILL");
        self.end();
    }

    fn end(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            drop(shell.stdin.take());
            shell.wait().unwrap();
        }
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(if name == "sh" { "sh".into() } else { self.bin.join(name) });
        command.current_dir("/");
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// Statements of somebody else.
    pub fn execute(&self, sql: &str) {
        self.ask(sql);
    }

    /// The first cell of the last result, empty for NULL or none.
    pub fn ask(&self, sql: &str) -> String {
        self.try_ask(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }

    /// A session that did this and goes on until the value is dropped.
    pub fn hold(&self, sql: &str) -> Held {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let client = runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&self.url(), NoTls).await.unwrap();
            tokio::spawn(connection);
            client.batch_execute(sql).await.unwrap();
            client
        });
        Held { _client: client, _runtime: runtime }
    }

    pub fn try_ask(&self, sql: &str) -> Result<String, tokio_postgres::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&self.url(), NoTls).await?;
            let driver = tokio::spawn(connection);
            let messages = client.simple_query(sql).await?;
            drop(client);
            drop(driver.await);
            let cell = |message: &tokio_postgres::SimpleQueryMessage| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_string()),
                _ => None,
            };
            Ok(messages.iter().rev().find_map(cell).unwrap_or_default())
        })
    }
}

/// An open session.
pub struct Held {
    _client: tokio_postgres::Client,
    _runtime: tokio::runtime::Runtime,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// A folder that PostgreSQL may use.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("lake-server-").tempdir_in("/tmp").unwrap();
    if is_root() {
        chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    folder
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn is_running(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

pub fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

fn binaries() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let installed = versions.map(|entry| entry.path().join("bin")).filter(|bin| bin.join("initdb").exists()).max();
    installed.or_else(|| {
        let output = Command::new("pg_config").arg("--bindir").output().ok()?;
        Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim())).filter(|bin| bin.join("initdb").exists())
    })
}
