//! SIGINT and SIGTERM: the first asks the flow to stop cleanly, the second ends the process at once.

use super::screen::Screen;
use crate::error::{Context, Kind, Result};
use crate::flow::Stop;
use tokio::signal::unix::{SignalKind, signal};

const INTERRUPT: u8 = 2;
const TERMINATE: u8 = 15;

/// Watches from now on until the runtime ends.
pub fn watch(stop: Stop, screen: Screen) -> Result<()> {
    let listen = |kind| signal(kind).context(Kind::Internal, || "listen for signals");
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    tokio::spawn(async move {
        loop {
            let number = tokio::select! {
                _ = interrupt.recv() => INTERRUPT,
                _ = terminate.recv() => TERMINATE,
            };
            if stop.requested() {
                std::process::exit(128 + i32::from(number));
            }
            stop.request(number);
            screen.line("stopping after the step in hand; once more to stop at once");
        }
    });
    Ok(())
}
