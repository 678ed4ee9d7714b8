//! A proxy in front of a PostgreSQL that breaks one chosen moment of a load, once; all other connections pass.
//!
//! Reads what clients say message by message (no TLS); what the server says passes as it comes.

use super::listener::Listener;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection ends in place of the n-th message with copied rows, counted from 1.
    CutCopy(u64),
    /// The server never hears of COMMIT.
    CutCommit,
    /// The server commits; the connection ends before its reply.
    LoseCommit,
    /// As [`Fault::LoseCommit`], once [`PostgresProxy::release`] is called.
    HoldCommit,
}

struct Shared {
    server: SocketAddr,
    fault: Fault,
    copies: AtomicU64,
    struck: AtomicBool,
    released: Mutex<bool>,
    release: Condvar,
}

pub struct PostgresProxy {
    listener: Listener,
    shared: Arc<Shared>,
}

impl PostgresProxy {
    pub fn start(server: u16, fault: Fault) -> PostgresProxy {
        let shared = Arc::new(Shared {
            server: SocketAddr::from(([127, 0, 0, 1], server)),
            fault,
            copies: AtomicU64::new(0),
            struck: AtomicBool::new(false),
            released: Mutex::new(fault != Fault::HoldCommit),
            release: Condvar::new(),
        });
        let serving = shared.clone();
        let listener = Listener::start(|_| move |client| serve(client, &serving));
        PostgresProxy { listener, shared }
    }

    pub fn url(&self) -> String {
        format!("postgres://test@{}/postgres?sslmode=disable", self.listener.address)
    }

    pub fn struck(&self) -> bool {
        self.shared.struck.load(Ordering::SeqCst)
    }

    pub fn release(&self) {
        *self.shared.released.lock().unwrap() = true;
        self.shared.release.notify_all();
    }
}

impl Drop for PostgresProxy {
    fn drop(&mut self) {
        self.release();
    }
}

/// However the client leaves, the server hears of it: its session would hold the locks of its transaction.
fn serve(client: TcpStream, shared: &Shared) -> io::Result<()> {
    let server = TcpStream::connect(shared.server)?;
    // Messages go out one by one: held back for each other, a load of a hundred statements takes seconds more.
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ended = pass(client, server.try_clone()?, shared);
    drop(server.shutdown(Shutdown::Both));
    ended
}

fn pass(mut client: TcpStream, mut server: TcpStream, shared: &Shared) -> io::Result<()> {
    let (mut replies, mut back) = (server.try_clone()?, client.try_clone()?);
    let muted = Arc::new(AtomicBool::new(false));
    let (answered, silent) = (Arc::new(AtomicBool::new(false)), muted.clone());
    let heard = answered.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 1 << 16];
        while let Ok(length @ 1..) = replies.read(&mut buffer) {
            match silent.load(Ordering::SeqCst) {
                true => heard.store(true, Ordering::SeqCst),
                false if back.write_all(&buffer[..length]).is_err() => break,
                false => {}
            }
        }
        drop(back.shutdown(Shutdown::Both));
    });
    let startup = message(&mut client, false)?;
    server.write_all(&startup)?;
    loop {
        let message = message(&mut client, true)?;
        match shared.meets(&message) {
            None => server.write_all(&message)?,
            Some(Fault::CutCopy(_) | Fault::CutCommit) => {
                server.shutdown(Shutdown::Both)?;
                return client.shutdown(Shutdown::Both);
            }
            Some(Fault::LoseCommit | Fault::HoldCommit) => {
                muted.store(true, Ordering::SeqCst);
                server.write_all(&message)?;
                while !answered.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                shared.struck.store(true, Ordering::SeqCst);
                let released = shared.released.lock().unwrap();
                drop(shared.release.wait_while(released, |released| !*released).unwrap());
                server.shutdown(Shutdown::Both)?;
                return client.shutdown(Shutdown::Both);
            }
        }
    }
}

/// One message as it stands; the first of a connection has no type.
fn message(from: &mut TcpStream, typed: bool) -> io::Result<Vec<u8>> {
    let mut message = vec![0; if typed { 5 } else { 4 }];
    from.read_exact(&mut message)?;
    let at = message.len() - 4;
    let length = u32::from_be_bytes([message[at], message[at + 1], message[at + 2], message[at + 3]]) as usize;
    let head = message.len();
    message.resize(head + length - 4, 0);
    from.read_exact(&mut message[head..])?;
    Ok(message)
}

impl Shared {
    fn meets(&self, message: &[u8]) -> Option<Fault> {
        let strikes = match (self.fault, message[0]) {
            (Fault::CutCopy(number), b'd') => self.copies.fetch_add(1, Ordering::SeqCst) + 1 == number,
            (Fault::CutCopy(_), _) => false,
            (_, kind) => kind == b'Q' && message[5..].starts_with(b"COMMIT") && !self.struck(),
        };
        let at_once = matches!(self.fault, Fault::CutCopy(_) | Fault::CutCommit);
        if strikes && at_once {
            self.struck.store(true, Ordering::SeqCst);
        }
        strikes.then_some(self.fault)
    }

    fn struck(&self) -> bool {
        self.struck.load(Ordering::SeqCst)
    }
}
