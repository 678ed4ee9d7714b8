//! A small broker that speaks the Kafka protocol over files, so that no service has to be installed.
//!
//! It is for one machine: `lake` and tools like kcat on the loopback interface, one process, one directory.
//! Topics with partitions, idempotent producers, every compression codec kept as sent, time lookup and
//! long-poll fetch work as in Kafka; offsets stay what they are over `kill -9` and restarts.
//!
//! It never promises replication, consumer groups (every coordinator request is answered "not available"),
//! transactions, retention or compaction (nothing is ever deleted), log-append time, access control or
//! encryption. It listens on loopback addresses only. Whoever needs those sets `kafka.brokers`.
//!
//! What a fault costs. `kill -9`: nothing; a batch that was being written was not acknowledged and is cut
//! at the next start. Power failure: at most the acknowledged records of the last second that nobody has
//! read, because a batch is put on the disk before a reader gets it. A byte that the disk flips in the middle of a log cuts it there: what follows
//! is kept beside the log and a warning says so. A full disk: nothing is acknowledged, nothing is lost.
//!
//! Its own threads serve it, not the runtime the flows run on, so neither can block the other:
//!
//! ```text
//! serve      connections, frames, limits
//! requests   one frame in, one reply out; what concerns the cluster      transfer   produce, fetch, offsets
//! store      topics, producer ids, directory lock     ends       offsets of topics that were lost
//! log        one partition      recovery   its check at start      producers   its duplicates
//! batch      a batch's header   wire       primitive encodings
//! ```
//!
//! To serve one more request: an arm in `requests::Request`, its versions in `requests::SERVED`, one function.
//! Only versions without the flexible encoding are spoken (ApiVersions v3 is the exception).

mod batch;
mod ends;
mod log;
mod producers;
mod recovery;
mod requests;
mod serve;
mod store;
mod transfer;
mod wire;

use crate::error::{Context, Error, Kind, Result};
use requests::Responder;
use serve::Server;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use store::Store;

/// How often acknowledged records that nobody has read are put on the disk.
const FLUSH: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// Made when absent; one broker at a time.
    pub dir: PathBuf,
    /// A loopback address; port 0 picks a free one.
    pub address: SocketAddr,
}

impl BrokerConfig {
    /// A free port on 127.0.0.1.
    pub fn new(dir: impl Into<PathBuf>) -> BrokerConfig {
        BrokerConfig { dir: dir.into(), address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) }
    }
}

/// A running broker; dropping it stops it.
pub struct Broker {
    address: SocketAddr,
    store: Arc<Store>,
    running: Option<Running>,
}

struct Running {
    server: Server,
    flusher: (Sender<()>, JoinHandle<()>),
}

impl Broker {
    /// Checks and opens the directory, then listens. A directory in use is a `Conflict`, an address that is
    /// not loopback a `Config` error, one in use `Unavailable`.
    pub fn start(config: &BrokerConfig) -> Result<Broker> {
        Broker::start_noting(config, None)
    }

    /// As [`Broker::start`], and notes in the file `ends`, which lies outside the directory, how far each
    /// partition is: a topic that was lost goes on at its offsets when it is made again.
    pub fn start_noting(config: &BrokerConfig, ends: Option<&Path>) -> Result<Broker> {
        check(config)?;
        let store = Arc::new(Store::open(&config.dir, ends)?);
        let listener = TcpListener::bind(config.address);
        let listener = listener.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = listener.map_err(|cause| {
            Error::unavailable(format!("the broker cannot listen on `{}`", config.address))
                .caused_by(cause)
                .hint("choose another port, or port 0 for any free one")
        })?;
        let flusher = start_flusher(Arc::clone(&store))?;
        let responder = Responder { store: Arc::clone(&store), address };
        let server = Server::start(listener, address, responder)
            .context(Kind::Internal, || format!("start the broker on `{address}`"))?;
        Ok(Broker { address, store, running: Some(Running { server, flusher }) })
    }

    /// Where clients connect: the address of the configuration with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes every connection, waits for the threads, puts the logs on the disk and releases the directory.
    pub fn stop(mut self) -> Result<()> {
        self.shut_down()
    }

    fn shut_down(&mut self) -> Result<()> {
        let Some(Running { server, flusher }) = self.running.take() else { return Ok(()) };
        self.store.growth.end();
        server.stop();
        let (stop, thread) = flusher;
        drop(stop);
        serve::join(thread);
        let flushed = self.store.flush().context(Kind::Unavailable, || "put the broker's logs on the disk");
        let released = self.store.release().context(Kind::Unavailable, || "release the broker's directory");
        flushed.and(released)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Err(error) = self.shut_down() {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(cause, "{error}");
        }
    }
}

fn check(config: &BrokerConfig) -> Result<()> {
    let address = config.address;
    if !address.ip().is_loopback() {
        return Err(Error::config(format!("the broker does not listen on `{address}`: it is no loopback address"))
            .hint("use 127.0.0.1, or run Kafka and set `kafka.brokers`"));
    }
    Ok(())
}

/// Flushes each [`FLUSH`] until the sender is dropped.
fn start_flusher(store: Arc<Store>) -> Result<(Sender<()>, JoinHandle<()>)> {
    let (stop, stopped) = mpsc::channel();
    let work = move || {
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(FLUSH) {
            if let Err(error) = store.flush() {
                tracing::error!(%error, "could not put the broker's logs on the disk");
            }
        }
    };
    let thread = thread::Builder::new().name("broker-flush".into()).spawn(work);
    Ok((stop, thread.context(Kind::Internal, || "start the broker's flush thread")?))
}

#[cfg(test)]
mod tests;
