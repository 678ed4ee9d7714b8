//! Connections: frames in, replies out, one thread each.
//!
//! Owns the limits on what strangers on this machine can make the process hold. A frame that cannot be read
//! closes its connection and nothing else.

use super::requests::Responder;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Largest request in bytes.
const MAX_FRAME: usize = 64 << 20;
/// A client of librdkafka opens two or three.
const MAX_CONNECTIONS: usize = 256;
/// What a connection keeps of its frame buffer between requests.
const KEPT_BUFFER: usize = 1 << 20;
/// A request has at least its key, version and correlation id.
const MIN_FRAME: usize = 8;

pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: JoinHandle<()>,
}

struct Shared {
    responder: Responder,
    connections: Mutex<Connections>,
}

#[derive(Default)]
struct Connections {
    is_stopping: bool,
    open: Vec<Connection>,
}

struct Connection {
    stream: TcpStream,
    thread: JoinHandle<()>,
}

impl Server {
    pub fn start(listener: TcpListener, address: SocketAddr, responder: Responder) -> io::Result<Server> {
        let shared = Arc::new(Shared { responder, connections: Mutex::default() });
        let for_acceptor = Arc::clone(&shared);
        let acceptor =
            thread::Builder::new().name("broker-accept".into()).spawn(move || accept_all(&listener, &for_acceptor))?;
        Ok(Server { address, shared, acceptor })
    }

    /// Closes the sockets and waits for every thread. Fetches that wait must have been woken.
    pub fn stop(self) {
        let open = {
            let mut connections = self.shared.connections();
            connections.is_stopping = true;
            std::mem::take(&mut connections.open)
        };
        for connection in &open {
            close(&connection.stream);
        }
        open.into_iter().for_each(|connection| join(connection.thread));
        // `accept` has no time-out: one more connection wakes it.
        match TcpStream::connect_timeout(&self.address, Duration::from_secs(1)) {
            Ok(_) => join(self.acceptor),
            // A client that came back by itself woke it: the listener is gone already.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => join(self.acceptor),
            Err(error) => {
                tracing::error!(%error, "the broker's accepting thread could not be woken and is left behind")
            }
        }
    }
}

impl Shared {
    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a thread; a panic in it was a fault of ours that ended one connection.
pub fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("a thread of the broker panicked");
    }
}

fn accept_all(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        let accepted = listener.accept();
        let mut connections = shared.connections();
        if connections.is_stopping {
            return;
        }
        connections.open.retain(|connection| !connection.thread.is_finished());
        let admitted = match accepted {
            Ok(_) if connections.open.len() >= MAX_CONNECTIONS => {
                Err(io::Error::other(format!("{MAX_CONNECTIONS} connections are open already")))
            }
            Ok((stream, _)) => admit(stream, shared),
            Err(error) => Err(error),
        };
        match admitted {
            Ok(connection) => connections.open.push(connection),
            Err(error) => {
                drop(connections);
                tracing::warn!(%error, "the broker turned a connection away");
                // Out of file handles or threads: do not spin until some are free again.
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

fn admit(stream: TcpStream, shared: &Arc<Shared>) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let for_thread = (stream.try_clone()?, Arc::clone(shared));
    let work = move || {
        let (stream, shared) = for_thread;
        if let Err(error) = converse(&stream, &shared.responder) {
            match error.kind() {
                io::ErrorKind::InvalidData => tracing::warn!(%error, "the broker closed a connection"),
                _ => tracing::debug!(%error, "a connection to the broker ended"),
            }
        }
        close(&stream);
    };
    let thread = thread::Builder::new().name("broker-connection".into()).spawn(work)?;
    Ok(Connection { stream, thread })
}

/// The other side may have closed it already, which is as good.
fn close(stream: &TcpStream) {
    stream.shutdown(Shutdown::Both).unwrap_or_default();
}

fn converse(stream: &TcpStream, responder: &Responder) -> io::Result<()> {
    let mut input = BufReader::with_capacity(64 << 10, stream);
    let mut output = stream;
    let mut frame = Vec::new();
    while read_frame(&mut input, &mut frame)? {
        let reply = responder.answer(&frame).map_err(|malformed| invalid(malformed.to_string()))?;
        if let Some(reply) = reply {
            output.write_all(&reply)?;
        }
        frame.clear();
        frame.shrink_to(KEPT_BUFFER);
    }
    Ok(())
}

/// Fills `frame` with the next request; false when the client has closed the connection between two.
fn read_frame(input: &mut impl BufRead, frame: &mut Vec<u8>) -> io::Result<bool> {
    if input.fill_buf()?.is_empty() {
        return Ok(false);
    }
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let length = i32::from_be_bytes(length);
    let fits = usize::try_from(length).ok().filter(|length| (MIN_FRAME..=MAX_FRAME).contains(length));
    let wanted = fits.ok_or_else(|| invalid(format!("a request claims {length} bytes")))?;
    // Grows with what arrives, not with what was claimed.
    let read = input.take(wanted as u64).read_to_end(frame)?;
    if read < wanted {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(true)
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
