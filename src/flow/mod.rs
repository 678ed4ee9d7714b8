//! Flows: one verb = one loop = one report.
//!
//! A flow joins adapters that do not know each other: it reads a position out of its destination, works, and commits
//! the work together with the next position. It gets built parts and its own `Options`; it never reads configuration,
//! never prints, and never keeps state of its own. What it has to tell goes through [`Progress`]; that it should end
//! comes through [`Stop`]. `account`, `bytes`, `catalog`, `checks`, `count`, `reasons`, `rows`,
//! `select`, `streams` and `unread` are what several flows share.
//!
//! A flow answers `Result<Report>`. One that goes on past faults, so that a failure does not hide what was done,
//! answers `Result<(Report, Option<Error>)>`: the report is complete and the second value is the one failure that
//! stands for all; `Err` means that there is nothing to report.
//!
//! A new verb is a file here with `Options`, `Report` and one async function, and a file in `cli`.

pub mod account;
pub mod bronze;
pub mod bytes;
pub mod catalog;
pub mod checks;
pub mod count;
mod dbt_manifest;
pub mod doctor;
pub mod export;
pub mod load;
pub mod maintain;
pub mod plan;
pub mod produce;
pub mod promote;
pub mod quarantine;
pub mod query;
pub mod reasons;
pub mod retry;
pub mod rows;
pub mod select;
pub mod status;
pub mod streams;
pub mod test;
pub mod unit;
pub mod unread;
pub mod verify;

use std::sync::Arc;

/// What a running flow tells whoever watches.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A stage begins; `total` rows are expected when known.
    Started {
        stage: String,
        total: Option<u64>,
    },
    /// Rows done since the last event of the stage.
    Advanced {
        stage: String,
        rows: u64,
        rejects: u64,
    },
    Finished {
        stage: String,
        summary: String,
    },
    /// A batch of Bronze is in its table.
    Committed(Box<bronze::Told>),
    /// One line worth reading, for example that a batch was dropped because another writer was first.
    Note {
        text: String,
    },
}

/// Receives events; a clone reports to the same watcher.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(Event) + Send + Sync>);

impl Progress {
    pub fn new(watch: impl Fn(Event) + Send + Sync + 'static) -> Progress {
        Progress(Arc::new(watch))
    }

    /// For tests and embedding: nobody watches.
    pub fn silent() -> Progress {
        Progress::new(|_| {})
    }

    pub fn started(&self, stage: &str, total: Option<u64>) {
        (self.0)(Event::Started { stage: stage.into(), total });
    }

    pub fn advanced(&self, stage: &str, rows: u64, rejects: u64) {
        (self.0)(Event::Advanced { stage: stage.into(), rows, rejects });
    }

    pub fn committed(&self, told: bronze::Told) {
        (self.0)(Event::Committed(Box::new(told)));
    }

    pub fn finished(&self, stage: &str, summary: impl Into<String>) {
        (self.0)(Event::Finished { stage: stage.into(), summary: summary.into() });
    }

    pub fn note(&self, text: impl Into<String>) {
        (self.0)(Event::Note { text: text.into() });
    }
}

/// Asks a flow to stop after the step it is in. Tripped by a signal; a clone is the same flag.
#[derive(Clone, Default)]
pub struct Stop(Arc<std::sync::atomic::AtomicU8>);

impl Stop {
    /// Records the signal's number.
    pub fn request(&self, signal: u8) {
        self.0.store(signal, std::sync::atomic::Ordering::SeqCst);
    }

    pub fn requested(&self) -> bool {
        self.0.load(std::sync::atomic::Ordering::SeqCst) != 0
    }

    /// Ends once a stop was requested; to race against work that cannot look itself.
    pub async fn asked(&self) -> crate::error::Error {
        loop {
            if let Err(interrupted) = self.check() {
                return interrupted;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }

    /// The outcome of `work`, which is dropped when a stop is requested before it.
    pub async fn before<T>(&self, work: impl Future<Output = crate::error::Result<T>>) -> crate::error::Result<T> {
        tokio::select! {
            done = work => done,
            interrupted = self.asked() => Err(interrupted),
        }
    }

    /// `Err(Interrupted)` once a stop was requested.
    pub fn check(&self) -> crate::error::Result<()> {
        match self.0.load(std::sync::atomic::Ordering::SeqCst) {
            0 => Ok(()),
            signal => Err(crate::error::Error::interrupted(signal)),
        }
    }
}
