//! A PostgreSQL of its own for the tests of this module: started once a test process, gone with it.

use super::WarehouseConfig;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

struct Cluster {
    port: u16,
    /// Its certificate, for 127.0.0.1, where the machine could make one.
    certificate: Option<PathBuf>,
    /// Its standard input ends with this process, and the server with that.
    _server: Mutex<Child>,
}

static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();

/// The PEM file of the server's certificate; `None` when it speaks no TLS.
pub fn certificate() -> Option<&'static Path> {
    CLUSTER.get()?.as_ref()?.certificate.as_deref()
}

/// Settings for a fresh database, or `None`, said on stderr, on a machine without PostgreSQL.
pub async fn database() -> Option<WarehouseConfig> {
    let cluster = CLUSTER.get_or_init(|| binaries().map(|bin| start(&bin)));
    let Some(cluster) = cluster else {
        eprintln!("left out: no PostgreSQL binaries on this machine (apt-get install postgresql)");
        return None;
    };
    let name = format!("t{}", uuid::Uuid::new_v4().simple());
    let url = |database: &str| format!("postgres://test@127.0.0.1:{}/{database}?sslmode=disable", cluster.port);
    let (client, connection) = tokio_postgres::connect(&url("postgres"), tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    client.batch_execute(&format!("create database {name}")).await.unwrap();
    drop(client);
    driver.await.unwrap().unwrap();
    Some(WarehouseConfig { url: url(&name), password: None, schema: "gold".into() })
}

/// Statements of somebody else.
pub async fn execute(config: &WarehouseConfig, sql: &str) {
    let (client, connection) = tokio_postgres::connect(&config.url, tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    drop(client);
    driver.await.unwrap().unwrap();
}

fn binaries() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let installed = versions.map(|entry| entry.path().join("bin")).filter(|bin| bin.join("initdb").exists()).max();
    installed.or_else(|| {
        let output = Command::new("pg_config").arg("--bindir").output().ok()?;
        Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim())).filter(|bin| bin.join("initdb").exists())
    })
}

fn start(bin: &Path) -> Cluster {
    let folder = tempfile::Builder::new().prefix("lake-test-").tempdir_in("/tmp").unwrap().keep();
    let data = folder.join("data");
    std::fs::create_dir(&data).unwrap();
    let root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let command = |program: &str| {
        let mut command = Command::new(program);
        command.current_dir("/");
        if root {
            command.uid(65534).gid(65534);
        }
        command
    };
    if root {
        for path in [&folder, &data] {
            chown(path, Some(65534), Some(65534)).unwrap();
        }
    }
    let initdb = command(bin.join("initdb").to_str().unwrap())
        .args(["-A", "trust", "-U", "test", "--no-sync", "-E", "UTF8", "--locale=C", "-D"])
        .arg(&data)
        .output()
        .unwrap();
    assert!(initdb.status.success(), "{}", String::from_utf8_lossy(&initdb.stderr));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let key = data.join("server.key");
    let certificate = data.join("server.crt");
    let made = command("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .is_ok_and(|output| output.status.success());
    let script = r#""$0" -D "$1" -p "$2" -h 127.0.0.1 -k "" -c fsync=off -c ssl="$3" >"$1/log" 2>&1 </dev/null &
        server=$!; cat >/dev/null; kill -INT $server; wait $server; rm -rf "${1%/data}""#;
    let server = command("sh")
        .args(["-c", script])
        .arg(bin.join("postgres"))
        .arg(&data)
        .arg(port.to_string())
        .arg(if made { "on" } else { "off" })
        .stdin(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let ready = || std::fs::read_to_string(data.join("postmaster.pid")).is_ok_and(|text| text.contains("ready"));
    while !ready() {
        assert!(Instant::now() < deadline, "Postgres did not start, see {}", data.join("log").display());
        std::thread::sleep(Duration::from_millis(50));
    }
    Cluster { port, certificate: made.then_some(certificate), _server: Mutex::new(server) }
}
