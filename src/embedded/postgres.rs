//! The embedded PostgreSQL: made once, started by the first who needs it, stopped by the last.
//!
//! `.lake/postgres.users` is locked shared by everybody who uses it; whoever can lock it alone at its end
//! is the last. `.lake/postgres.start` is held while one starts it and the others wait. Whether it runs is
//! asked of its own `postmaster.pid`, so one that was killed, or whose starter was, is recognised.
//! Fsync stays on; it listens on 127.0.0.1 only, on no socket file, with a generated password.

use super::binaries::{Programs, Search};
use super::home::Home;
use super::lock::{Lock, Share};
use super::{News, Say};
use crate::error::{Context, Error, Kind, Result};
use std::fmt;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;

/// Superuser and database of the cluster.
const NAME: &str = "lake";
/// Seconds `pg_ctl` waits; recovery after a crash counts in.
const PATIENCE_SECONDS: &str = "120";
/// Longest time for starts that fail for a passing reason: a port taken between choosing and using it, a killed
/// server's children that take a moment to go, a server whose pid file was deleted. The last ends itself when it
/// looks for the file, which is once a minute.
const STARTING: Duration = Duration::from_secs(75);
const SETTINGS: &str = "
# Written by lake.
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
timezone = 'UTC'
log_timezone = 'UTC'
";

/// The file with the password of the embedded PostgreSQL; there once it was started.
pub fn password_file(dot_lake: &Path) -> PathBuf {
    dot_lake.join("postgres.password")
}

/// Where the embedded PostgreSQL answers.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresAddress {
    /// `postgres://lake@127.0.0.1:<port>/lake?sslmode=disable`
    pub url: String,
    pub password: String,
}

impl fmt::Debug for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresAddress").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The running PostgreSQL, as one of its users holds it.
pub struct Borrowed {
    server: Server,
    users: Lock,
    users_path: PathBuf,
}

impl Borrowed {
    /// Finds it running or starts it; of several at once, one starts it.
    pub async fn join(dot_lake: &Path, search: &Search, say: Say<'_>) -> Result<(Borrowed, PostgresAddress)> {
        let users_path = dot_lake.join("postgres.users");
        let users = Lock::acquire(users_path.clone(), Share::Shared).await?;
        let start = Lock::acquire(dot_lake.join("postgres.start"), Share::Exclusive).await?;
        let home = Home::find(&absolute(dot_lake)?).await?;
        let programs = search.find(home.account, made_by(&home.data())?, say).await?;
        let server = Server { home, programs };
        let password = server.initialised(dot_lake, say).await?;
        let port = match server.running().await? {
            Some(port) => port,
            None => server.start(dot_lake, say).await?,
        };
        drop(start);
        let url = format!("postgres://{NAME}@127.0.0.1:{port}/{NAME}?sslmode=disable");
        Ok((Borrowed { server, users, users_path }, PostgresAddress { url, password }))
    }

    /// Stops it when nobody else uses it. Newcomers wait meanwhile.
    pub async fn leave(self) -> Result<()> {
        drop(self.users);
        let Some(_alone) = Lock::attempt(&self.users_path, Share::Exclusive)? else { return Ok(()) };
        self.server.stop().await
    }
}

/// A cluster and the programs that run it.
struct Server {
    home: Home,
    programs: Programs,
}

impl Server {
    async fn run(&self, program: &str, arguments: &[&str]) -> Result<Output> {
        let mut command = self.home.account.command(&self.programs.bin.join(program));
        command.args(arguments).output().await.context(Kind::Unavailable, || format!("run `{program}`"))
    }

    /// Makes the cluster unless it stands, and answers the password. A cluster is made beside its place
    /// and moved there when it is complete, so a start cut short leaves nothing half-made.
    async fn initialised(&self, dot_lake: &Path, say: Say<'_>) -> Result<String> {
        let path = password_file(dot_lake);
        let known = std::fs::read_to_string(&path).ok().map(|text| text.trim().to_string());
        let known = known.filter(|password| !password.is_empty());
        if self.home.data().is_dir() {
            return known.ok_or_else(|| {
                let data = self.home.data().display().to_string();
                Error::config(format!("`{}` with the password of `{data}` is gone", path.display()))
                    .hint(format!("delete {data}: `lake load-warehouse` fills a new one from the lake"))
            });
        }
        say(News::Line("making a PostgreSQL cluster for the embedded warehouse"));
        let password = match known {
            Some(password) => password,
            None => write_password(&path)?,
        };
        self.make_cluster(&password).await?;
        Ok(password)
    }

    async fn make_cluster(&self, password: &str) -> Result<()> {
        let Home { folder, account } = &self.home;
        let (fresh, secret) = (folder.join("data.new"), folder.join("password.new"));
        let what = || format!("make a PostgreSQL cluster in `{}`", folder.display());
        if fresh.exists() {
            std::fs::remove_dir_all(&fresh).context(Kind::Unavailable, what)?;
        }
        write_private(&secret, password).context(Kind::Unavailable, what)?;
        account.own(&secret)?;
        let (data, file) = (text(&fresh)?, format!("--pwfile={}", text(&secret)?));
        let made = self
            .run("initdb", &["-D", data, "-U", NAME, "-A", "scram-sha-256", &file, "-E", "UTF8", "--locale=C"])
            .await;
        std::fs::remove_file(&secret).context(Kind::Unavailable, what)?;
        succeeded(made?, what)?;
        let mut settings = std::fs::OpenOptions::new().append(true).open(fresh.join("postgresql.conf"));
        let written = settings.as_mut().map_err(|cause| std::io::Error::new(cause.kind(), cause.to_string()));
        written.and_then(|file| file.write_all(SETTINGS.as_bytes())).context(Kind::Unavailable, what)?;
        self.make_database(data).await?;
        std::fs::rename(&fresh, self.home.data()).context(Kind::Unavailable, what)
    }

    /// Before the server ever listens: a server of one session takes SQL from its standard input.
    async fn make_database(&self, data: &str) -> Result<()> {
        let what = || format!("make database `{NAME}`");
        let mut command = self.home.account.command(&self.programs.bin.join("postgres"));
        command.args(["--single", "-D", data, "postgres"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context(Kind::Unavailable, what)?;
        let mut input = child.stdin.take().ok_or_else(|| Error::internal("`postgres` has no standard input"))?;
        let sql = format!("create database {NAME};\n");
        input.write_all(sql.as_bytes()).await.context(Kind::Unavailable, what)?;
        drop(input);
        succeeded(child.wait_with_output().await.context(Kind::Unavailable, what)?, what)
    }

    /// The port when it runs and answers. One that was just started by somebody who died is waited for.
    async fn running(&self) -> Result<Option<u16>> {
        let data = self.home.data();
        let since = Instant::now();
        loop {
            let status = self.run("pg_ctl", &["status", "-D", text(&data)?]).await?;
            if !status.status.success() {
                return Ok(None);
            }
            let pid_file = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
            match ready_port(&pid_file) {
                Some(port) if answers(port) => return Ok(Some(port)),
                // Ready and silent: the number belongs to another process by now.
                Some(_) if since.elapsed() > Duration::from_secs(2) => return Ok(None),
                None if since.elapsed() > Duration::from_secs(60) => return Ok(None),
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    async fn start(&self, dot_lake: &Path, say: Say<'_>) -> Result<u16> {
        let (data, log) = (self.home.data(), self.home.log());
        let remembered = dot_lake.join("postgres.address");
        let mut wanted = last_port(&remembered);
        let since = Instant::now();
        let mut pause = Duration::from_millis(500);
        loop {
            let port = free_port(wanted.take())?;
            let options = format!("-p {port}");
            let arguments =
                ["start", "-D", text(&data)?, "-l", text(&log)?, "-w", "-t", PATIENCE_SECONDS, "-o", &options];
            if self.run("pg_ctl", &arguments).await?.status.success() {
                let written = std::fs::write(&remembered, format!("127.0.0.1:{port}\n"));
                written.context(Kind::Unavailable, || format!("write `{}`", remembered.display()))?;
                return Ok(port);
            }
            let said = tail(&log);
            let runs_on = said.contains("pre-existing shared memory");
            if since.elapsed() > STARTING || !(runs_on || said.contains("could not bind")) {
                return Err(Error::unavailable(format!("the PostgreSQL in `{}` does not start", data.display()))
                    .hint(format!("read {}", log.display()))
                    .caused_by(said));
            }
            if runs_on && pause > Duration::from_secs(1) {
                say(News::Line(
                    "the embedded PostgreSQL still runs although its pid file is gone: waiting for its end",
                ));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(10));
        }
    }

    async fn stop(&self) -> Result<()> {
        let data = self.home.data();
        let what = || format!("stop the PostgreSQL in `{}`", data.display());
        let status = self.run("pg_ctl", &["status", "-D", text(&data)?]).await?;
        if !status.status.success() {
            return Ok(());
        }
        let arguments = ["stop", "-D", text(&data)?, "-m", "fast", "-w", "-t", PATIENCE_SECONDS];
        succeeded(self.run("pg_ctl", &arguments).await?, what)
    }
}

fn absolute(dot_lake: &Path) -> Result<PathBuf> {
    let what = || format!("make `{}`", dot_lake.display());
    std::fs::create_dir_all(dot_lake).context(Kind::Unavailable, what)?;
    dot_lake.canonicalize().context(Kind::Unavailable, what)
}

/// Major version that made the data, `None` without data.
fn made_by(data: &Path) -> Result<Option<u32>> {
    if !data.is_dir() {
        return Ok(None);
    }
    let path = data.join("PG_VERSION");
    let what = || format!("read `{}`", path.display());
    let text = std::fs::read_to_string(&path).context(Kind::Config, what)?;
    text.trim().parse().map(Some).context(Kind::Config, what)
}

/// The path for a command line of `pg_ctl`, which hands it to a shell within double quotes.
fn text(path: &Path) -> Result<&str> {
    let text = path.to_str().ok_or_else(|| Error::config(format!("`{}` is no UTF-8 path", path.display())))?;
    match text.contains(['"', '$', '`', '\\', '\n']) {
        false => Ok(text),
        true => Err(Error::config(format!("PostgreSQL cannot run below `{}`", path.display()))
            .hint("move the project to a path without quotes, `$`, backticks and backslashes, or set warehouse.url")),
    }
}

fn succeeded(output: Output, what: impl FnOnce() -> String) -> Result<()> {
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::unavailable(what()).caused_by(said.trim().to_string()))
}

/// Two random numbers of 122 bits, as text without anything to escape.
fn write_password(path: &Path) -> Result<String> {
    let password = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    write_private(path, &password).context(Kind::Unavailable, || format!("write `{}`", path.display()))?;
    Ok(password)
}

/// Written beside and moved into place, mode 0600 from the first byte on.
fn write_private(path: &Path, content: &str) -> std::io::Result<()> {
    let beside = path.with_extension("tmp");
    if beside.exists() {
        std::fs::remove_file(&beside)?;
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

/// The port of `postmaster.pid` (line 4) when its last line says that the server is ready.
fn ready_port(pid_file: &str) -> Option<u16> {
    let lines: Vec<&str> = pid_file.lines().collect();
    let ready = lines.get(7)?.trim() == "ready";
    lines.get(3)?.trim().parse().ok().filter(|_| ready)
}

fn answers(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}

/// The port of the last start: noted addresses stay right when it is still free.
fn last_port(remembered: &Path) -> Option<u16> {
    let address: SocketAddr = std::fs::read_to_string(remembered).ok()?.trim().parse().ok()?;
    Some(address.port())
}

fn free_port(wanted: Option<u16>) -> Result<u16> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|listener| listener.local_addr());
    let bound = wanted.and_then(|port| bind(port).ok()).map_or_else(|| bind(0), Ok);
    Ok(bound.context(Kind::Unavailable, || "find a free port on 127.0.0.1")?.port())
}

/// The last lines of the server's log.
fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(2000)..]).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_a_shell_would_read_is_refused() {
        assert_eq!(text(Path::new("/srv/my shop's książki")).unwrap(), "/srv/my shop's książki");
        for bad in ["/srv/$(id)", "/srv/`id`", "/srv/a\"b", "/srv/a\\b", "/srv/a\nb"] {
            assert_eq!(text(Path::new(bad)).unwrap_err().kind(), Kind::Config, "{bad:?}");
        }
    }

    #[test]
    fn a_ready_server_is_told_from_a_starting_one() {
        let file = |status: &str| format!("4711\n/data\n1700000000\n5433\n\n127.0.0.1\n  123  0\n{status}\n");
        assert_eq!(ready_port(&file("ready   ")), Some(5433));
        assert_eq!(ready_port(&file("starting")), None);
        assert_eq!(ready_port("4711\n/data\n"), None);
        assert_eq!(ready_port(""), None);
    }

    #[test]
    fn passwords_are_private_and_never_shown() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("postgres.password");
        let password = write_password(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let address = PostgresAddress { url: "postgres://lake@127.0.0.1:1/lake".into(), password: password.clone() };
        assert!(!format!("{address:?}").contains(&password));
    }
}
