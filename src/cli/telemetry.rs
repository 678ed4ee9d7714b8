//! Log lines: off stdout, through the [`Screen`], as loud as `-v` asks.

use super::screen::Screen;
use std::io;
use tracing_subscriber::EnvFilter;

/// Panics that are caught where they pass: delta-rs expects the one of an upload that is given up twice, and the store's
/// refusal before it is what the user has to read; rdkafka's of a header whose name is not UTF-8 comes with each record.
const EXPECTED: [(&str, &str); 2] = [("object_store", "buffered.rs"), ("rdkafka", "message.rs")];

fn silence_expected_panics() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let expected = |file: &str| EXPECTED.iter().any(|(library, end)| file.contains(library) && file.ends_with(end));
        match panic.location().filter(|place| expected(place.file())) {
            Some(place) => tracing::debug!("{panic} at {place}"),
            None => tell(panic),
        }
    }));
}

/// Starts logging. `verbosity` counts the `-v`s; lines of librdkafka appear from two on.
pub fn start(screen: &Screen, verbosity: u8, quiet: bool, colour: bool) {
    silence_expected_panics();
    let filter = match (quiet, verbosity) {
        (true, _) => "off",
        (false, 0) => "off,lake=warn,librdkafka=off",
        (false, 1) => "warn,lake=info,librdkafka=off,rdkafka=off",
        (false, 2) => "info,lake=debug,librdkafka=info",
        (false, _) => "debug,lake=trace",
    };
    let screen = screen.clone();
    // A second call in one process (tests) finds a subscriber already in place, which then stays.
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_ansi(colour)
        .with_target(verbosity > 1)
        .with_writer(move || LogLine(screen.clone()))
        .try_init()
        .unwrap_or_default();
}

struct LogLine(Screen);

impl io::Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
