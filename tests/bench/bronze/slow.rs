//! A store far away: a proxy on loopback that takes what is written to it at a fixed rate and answers late.
//!
//! Bytes pass unchanged, the signed `Host` header included, so that signatures keep holding. The rate is that of all
//! connections together, as a narrow line to a bucket would be.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Bytes a second to the store, far below what `lake bronze` writes to one nearby.
const RATE: u64 = 20_000_000;
/// How much later each answer arrives.
const LATE: Duration = Duration::from_millis(100);

/// When the line is free again.
type Line = Arc<Mutex<Instant>>;

/// Starts it in front of the store at `endpoint` (`http://host:port`); answers its own. It serves until the process
/// ends.
pub fn start(endpoint: &str) -> String {
    let store: SocketAddr = endpoint.trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let line: Line = Arc::new(Mutex::new(Instant::now()));
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (Ok(store), line) = (TcpStream::connect(store), line.clone()) else { continue };
            let (Ok(asking), Ok(answered)) = (client.try_clone(), store.try_clone()) else { continue };
            std::thread::spawn(move || pass(asking, store, |bytes| narrow(&line, bytes)));
            std::thread::spawn(move || pass(answered, client, |_| std::thread::sleep(LATE)));
        }
    });
    format!("http://{address}")
}

fn pass(mut from: TcpStream, mut to: TcpStream, wait: impl Fn(usize)) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        wait(read);
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Waits until the line has carried these bytes.
fn narrow(line: &Line, bytes: usize) {
    let takes = Duration::from_micros(bytes as u64 * 1_000_000 / RATE);
    let free = {
        let mut free = line.lock().unwrap();
        *free = (*free).max(Instant::now()) + takes;
        *free
    };
    std::thread::sleep(free.saturating_duration_since(Instant::now()));
}
