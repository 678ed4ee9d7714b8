//! The broker as several commands share it: threads of the process that came first.
//!
//! Three locks in `.lake/`. `broker.users`: shared by everybody who uses it, taken alone by the owner to
//! stop it. `broker.start`: held while one looks for it or starts it. `broker.owner`: held as long as it
//! runs, so an address file without it is stale.

use super::broker::{Broker, BrokerConfig};
use super::lock::{Lock, Share};
use super::{News, Say};
use crate::error::{Context, Error, Kind, Result};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a broker whose owner lives may take to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// The owner waits this long for other users before it says so.
const QUIET: Duration = Duration::from_secs(2);

const WAITING: &str = "another command still uses the broker that runs in this one; waiting for it (Ctrl-C ends both)";

/// The running broker, owned or borrowed.
pub struct Hosted {
    address: SocketAddr,
    files: Files,
    /// Ours while the broker may be used; `leave` gives it back.
    users: Lock,
    owned: Option<(Broker, Lock)>,
}

struct Files {
    dot_lake: PathBuf,
}

impl Files {
    fn path(&self, name: &str) -> PathBuf {
        self.dot_lake.join(format!("broker.{name}"))
    }

    fn address(&self) -> Option<SocketAddr> {
        std::fs::read_to_string(self.path("address")).ok()?.trim().parse().ok()
    }

    fn write_address(&self, address: SocketAddr) -> Result<()> {
        let (path, fresh) = (self.path("address"), self.path("address.new"));
        let written = std::fs::write(&fresh, format!("{address}\n")).and_then(|()| std::fs::rename(&fresh, &path));
        written.context(Kind::Unavailable, || format!("write `{}`", path.display()))
    }
}

impl Hosted {
    /// Finds the running broker or starts one here; of several at once, one starts it.
    pub fn join(dot_lake: &Path) -> Result<Hosted> {
        let files = Files { dot_lake: dot_lake.to_path_buf() };
        let users = Lock::wait(&files.path("users"), Share::Shared)?;
        let start = Lock::wait(&files.path("start"), Share::Exclusive)?;
        let since = Instant::now();
        let (address, owned) = loop {
            if let Some(owner) = Lock::attempt(&files.path("owner"), Share::Exclusive)? {
                let broker = start_broker(&files)?;
                files.write_address(broker.address())?;
                break (broker.address(), Some((broker, owner)));
            }
            match files.address().filter(answers) {
                Some(address) => break (address, None),
                None if since.elapsed() < ANSWER => std::thread::sleep(Duration::from_millis(50)),
                None => {
                    return Err(Error::unavailable("another command runs the embedded broker, and it does not answer")
                        .hint("end that command, then run again"));
                }
            }
        };
        drop(start);
        Ok(Hosted { address, files, users, owned })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A borrower just goes. The owner waits until nobody else uses the broker, or `cut`, and stops it.
    pub async fn leave(self, say: Say<'_>, cut: &(dyn Fn() -> bool + Sync)) -> Result<()> {
        let Hosted { files, users, owned, .. } = self;
        drop(users);
        let Some((broker, owner)) = owned else { return Ok(()) };
        let since = Instant::now();
        let mut said = false;
        let alone = loop {
            let alone = Lock::attempt(&files.path("users"), Share::Exclusive)?;
            if alone.is_some() || cut() {
                break alone;
            }
            if !said && since.elapsed() > QUIET {
                say(News::Line(WAITING));
                said = true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let stopped = tokio::task::spawn_blocking(move || broker.stop()).await;
        drop(owner);
        // Only now may newcomers in: before, they would have found an owner that is going away.
        drop(alone);
        stopped.context(Kind::Internal, || "stop the embedded broker")?
    }
}

/// On the port it had last time when that is free, so that noted addresses stay right.
fn start_broker(files: &Files) -> Result<Broker> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let dir = files.dot_lake.join("broker");
    let ends = files.path("ends");
    let start = |address| Broker::start_noting(&BrokerConfig { dir: dir.clone(), address }, Some(&ends));
    if let Some(last) = files.address().filter(|address| address.ip().is_loopback()) {
        match start(last) {
            Err(error) if error.kind() == Kind::Unavailable => {}
            outcome => return outcome,
        }
    }
    start(any)
}

fn answers(address: &SocketAddr) -> bool {
    TcpStream::connect_timeout(address, Duration::from_secs(1)).is_ok()
}
