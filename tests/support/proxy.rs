//! A proxy in front of the store that breaks one chosen call.
//!
//! Speaks HTTP/1.1 and passes each request on byte by byte, the signed `Host` header included, so signatures keep
//! holding. Calls are counted from 1 over all connections; the one chosen meets its fault, all others pass.

use super::listener::Listener;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The store does it; the connection ends before its reply.
    LoseReply,
    /// The store does it; the reply breaks off in its middle.
    CutReply,
    /// The store does it; the client hears this status instead.
    DoAndAnswer(u16),
    /// The store does it; the reply comes this much later, when the client has given up.
    LateReply(Duration),
    /// The store hears of it this much later, when the client has given up.
    LateRequest(Duration),
    /// The store never hears of it; the connection ends in the middle of the request.
    CutRequest,
    /// The store never hears of it; the client hears this status.
    Refuse(u16),
}

/// Which call is broken, and how.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// From 1, among the calls that match.
    pub call: u64,
    pub fault: Fault,
    /// Only calls that change something are counted.
    pub writes_only: bool,
}

struct Shared {
    store: SocketAddr,
    plan: Plan,
    calls: AtomicU64,
    /// What the fault met.
    struck: Mutex<Option<String>>,
}

pub struct Proxy {
    listener: Listener,
    shared: Arc<Shared>,
}

impl Proxy {
    /// `endpoint` is the store's, `http://host:port`.
    pub fn start(endpoint: &str, plan: Plan) -> Proxy {
        let store = endpoint.trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
        let shared = Arc::new(Shared { store, plan, calls: AtomicU64::new(0), struck: Mutex::new(None) });
        let serving = shared.clone();
        let listener = Listener::start(|_| move |client| serve(client, &serving));
        Proxy { listener, shared }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.listener.address)
    }

    /// Method and path of the call that met the fault; `None` while no call did.
    pub fn struck(&self) -> Option<String> {
        self.shared.struck.lock().unwrap().clone()
    }
}

/// One request or reply, head and body as they came.
struct Message {
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Message {
    fn first_line(&self) -> String {
        let line = self.head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        String::from_utf8_lossy(line).into_owned()
    }

    fn send(&self, to: &mut TcpStream) -> io::Result<()> {
        to.write_all(&[self.head.as_slice(), self.body.as_slice()].concat())
    }

    /// Its head and half of its body, or half of its head when it has none.
    fn send_half(&self, to: &mut TcpStream) -> io::Result<()> {
        let whole = [self.head.as_slice(), self.body.as_slice()].concat();
        let half = if self.body.is_empty() { self.head.len() / 2 } else { self.head.len() + self.body.len() / 2 };
        to.write_all(&whole[..half])
    }
}

/// The next message; `None` when the connection ended before it. `bodiless`: none follows whatever the head says.
fn receive(from: &mut impl BufRead, bodiless: impl Fn(&str) -> bool) -> io::Result<Option<Message>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if from.read_until(b'\n', &mut head)? == 0 {
            return Ok(None);
        }
    }
    let text = String::from_utf8_lossy(&head).to_lowercase();
    let header = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|value| value.trim().to_string())
    };
    let mut body = Vec::new();
    if !bodiless(text.lines().next().unwrap_or_default()) {
        if header("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
            while !chunk(from, &mut body)? {}
        } else if let Some(length) = header("content-length") {
            from.take(length.parse().map_err(io::Error::other)?).read_to_end(&mut body)?;
        }
    }
    Ok(Some(Message { head, body }))
}

/// Takes one chunk over as it stands; true after the last.
fn chunk(from: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<bool> {
    let mut line = Vec::new();
    from.read_until(b'\n', &mut line)?;
    let size = String::from_utf8_lossy(&line).trim().split(';').next().unwrap_or_default().to_string();
    let size = u64::from_str_radix(&size, 16).map_err(io::Error::other)?;
    body.extend(line);
    from.take(size + 2).read_to_end(body)?;
    Ok(size == 0)
}

fn serve(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut requests = BufReader::new(client.try_clone()?);
    let mut store = TcpStream::connect(shared.store)?;
    let mut replies = BufReader::new(store.try_clone()?);
    while let Some(request) = receive(&mut requests, |_| false)? {
        let is_head = request.head.starts_with(b"HEAD ");
        let mut ask = |store: &mut TcpStream| {
            request.send(store)?;
            let bodiless = |status: &str| is_head || status.contains(" 204 ") || status.contains(" 304 ");
            receive(&mut replies, bodiless)?.ok_or_else(|| io::Error::other("the store hung up"))
        };
        match shared.fault(&request) {
            None => ask(&mut store)?.send(&mut client)?,
            Some(Fault::LoseReply) => {
                ask(&mut store)?;
                return client.shutdown(Shutdown::Both);
            }
            Some(Fault::CutReply) => {
                ask(&mut store)?.send_half(&mut client)?;
                return client.shutdown(Shutdown::Both);
            }
            Some(Fault::DoAndAnswer(status)) => {
                ask(&mut store)?;
                answer(status, is_head).send(&mut client)?;
            }
            Some(Fault::LateReply(wait)) => {
                let reply = ask(&mut store)?;
                std::thread::sleep(wait);
                reply.send(&mut client)?;
            }
            Some(Fault::LateRequest(wait)) => {
                std::thread::sleep(wait);
                ask(&mut store)?.send(&mut client)?;
            }
            Some(Fault::CutRequest) => {
                request.send_half(&mut store)?;
                store.shutdown(Shutdown::Both)?;
                return client.shutdown(Shutdown::Both);
            }
            Some(Fault::Refuse(status)) => answer(status, is_head).send(&mut client)?,
        }
    }
    Ok(())
}

impl Shared {
    fn fault(&self, request: &Message) -> Option<Fault> {
        let line = request.first_line();
        let reads = line.starts_with("GET ") || line.starts_with("HEAD ");
        if reads && self.plan.writes_only {
            return None;
        }
        if self.calls.fetch_add(1, Ordering::SeqCst) + 1 != self.plan.call {
            return None;
        }
        *self.struck.lock().unwrap() = Some(line);
        Some(self.plan.fault)
    }
}

/// An S3 error as a store would word it.
fn answer(status: u16, is_head: bool) -> Message {
    let code = match status {
        409 => "ConditionalRequestConflict",
        412 => "PreconditionFailed",
        503 => "SlowDown",
        _ => "InternalError",
    };
    let body = format!("<Error><Code>{code}</Code><Message>planned by the test</Message></Error>");
    let head = format!("HTTP/1.1 {status} {code}\r\ncontent-length: {}\r\n\r\n", body.len());
    Message { head: head.into_bytes(), body: if is_head { Vec::new() } else { body.into_bytes() } }
}
