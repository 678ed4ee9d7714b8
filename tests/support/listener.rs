//! What the proxies of the tests have in common: a free port of loopback, and a thread for each connection.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Takes no connection any more once dropped; open ones end with their clients.
pub struct Listener {
    pub address: SocketAddr,
    closing: Arc<AtomicBool>,
}

impl Listener {
    /// Gives each connection to what `of` makes of the listener's own address.
    pub fn start<F>(of: impl FnOnce(SocketAddr) -> F) -> Listener
    where
        F: Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let closing = Arc::new(AtomicBool::new(false));
        let (serve, ended) = (Arc::new(of(address)), closing.clone());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let serve = serve.clone();
                std::thread::spawn(move || drop(client.and_then(|client| serve(client))));
            }
        });
        Listener { address, closing }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}
