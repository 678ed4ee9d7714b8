//! A proxy in front of a broker that breaks one chosen request.
//!
//! Passes Kafka's frames on and tells clients its own address where the broker tells its own, so that every
//! connection comes through it. Requests are counted from 1 over all connections.

use super::listener::Listener;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const FETCH: i16 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection ends before the broker hears of the request.
    Reset,
    /// The connection ends in the middle of the reply.
    CutReply,
    /// The reply comes this much later.
    Stall(Duration),
}

#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub request: u64,
    pub fault: Fault,
    /// Only requests for records are counted.
    pub fetches_only: bool,
}

struct Shared {
    broker: SocketAddr,
    own: SocketAddr,
    plan: Plan,
    requests: AtomicU64,
    struck: Arc<AtomicBool>,
}

pub struct KafkaProxy {
    listener: Listener,
    struck: Arc<AtomicBool>,
}

impl KafkaProxy {
    pub fn start(broker: &str, plan: Plan) -> KafkaProxy {
        let broker = broker.parse().unwrap();
        let struck = Arc::new(AtomicBool::new(false));
        let met = struck.clone();
        let listener = Listener::start(|own| {
            let shared = Arc::new(Shared { broker, own, plan, requests: AtomicU64::new(0), struck: met });
            move |client| serve(client, &shared)
        });
        KafkaProxy { listener, struck }
    }

    pub fn brokers(&self) -> String {
        self.listener.address.to_string()
    }

    /// Whether the chosen request was met.
    pub fn struck(&self) -> bool {
        self.struck.load(Ordering::SeqCst)
    }
}

/// Faults of the replies to come, in the order of their requests, which is the order Kafka answers in.
type Pending = Arc<Mutex<VecDeque<Option<Fault>>>>;

fn serve(mut client: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    let mut broker = TcpStream::connect(shared.broker)?;
    let pending = Pending::default();
    let (from, to, faults, answering) = (broker.try_clone()?, client.try_clone()?, pending.clone(), shared.clone());
    std::thread::spawn(move || drop(answer(from, to, &faults, &answering)));
    let outcome = (|| {
        while let Some(request) = frame(&mut client)? {
            let fault = shared.fault(i16::from_be_bytes([request[4], request[5]]));
            if fault == Some(Fault::Reset) {
                break;
            }
            pending.lock().unwrap().push_back(fault);
            broker.write_all(&request)?;
        }
        Ok(())
    })();
    drop(client.shutdown(Shutdown::Both));
    drop(broker.shutdown(Shutdown::Both));
    outcome
}

fn answer(mut from: TcpStream, mut to: TcpStream, faults: &Pending, shared: &Shared) -> io::Result<()> {
    while let Some(mut reply) = frame(&mut from)? {
        let fault = faults.lock().unwrap().pop_front().flatten();
        redirect(&mut reply, shared);
        match fault {
            Some(Fault::CutReply) => {
                to.write_all(&reply[..reply.len() / 2])?;
                break;
            }
            Some(Fault::Stall(time)) => std::thread::sleep(time),
            _ => {}
        }
        to.write_all(&reply)?;
    }
    drop(from.shutdown(Shutdown::Both));
    to.shutdown(Shutdown::Both)
}

/// The next frame with its length in front; `None` at the end of the connection.
fn frame(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    if let Err(failure) = from.read_exact(&mut length) {
        return if failure.kind() == io::ErrorKind::UnexpectedEof { Ok(None) } else { Err(failure) };
    }
    let mut frame = length.to_vec();
    from.take(u64::from(u32::from_be_bytes(length))).read_to_end(&mut frame)?;
    Ok((frame.len() > 8).then_some(frame))
}

/// An address in a reply is the host's text and then the port in four bytes, whatever the version around it.
fn redirect(reply: &mut [u8], shared: &Shared) {
    let address =
        |address: &SocketAddr| [address.ip().to_string().as_bytes(), &i32::from(address.port()).to_be_bytes()].concat();
    let (theirs, ours) = (address(&shared.broker), address(&shared.own));
    for at in 0..reply.len().saturating_sub(theirs.len() - 1) {
        if reply[at..].starts_with(&theirs) {
            reply[at..at + theirs.len()].copy_from_slice(&ours);
        }
    }
}

impl Shared {
    fn fault(&self, api: i16) -> Option<Fault> {
        if self.plan.fetches_only && api != FETCH {
            return None;
        }
        let chosen = self.requests.fetch_add(1, Ordering::SeqCst) + 1 == self.plan.request;
        self.struck.fetch_or(chosen, Ordering::SeqCst);
        chosen.then_some(self.plan.fault)
    }
}
