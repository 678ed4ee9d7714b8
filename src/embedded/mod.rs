//! The parts that run without anything installed, kept under the project's `.lake/`: a broker and a
//! PostgreSQL. The first command that needs one starts it, others borrow it, and it ends with its users.
//!
//! The two differ in where they live. The broker is threads of the process that started it, which
//! therefore waits at its end until the others have gone. PostgreSQL is a process of its own: whoever
//! leaves last stops it, and a command that died leaves it running for the next one.
//!
//! Everything listens on 127.0.0.1. Never configures a real service and never knows what its users do.
//! To add a part: a file with `join` and `leave`, and a method on [`Parts`].

mod account;
mod archive;
mod binaries;
pub mod broker;
mod download;
mod home;
mod hosted;
mod lock;
mod postgres;

pub use binaries::Search;
pub use postgres::{PostgresAddress, password_file};

use crate::error::Result;
use hosted::Hosted;
use postgres::Borrowed;
use std::path::PathBuf;

/// What there is to tell while something takes long.
#[derive(Debug, Clone, Copy)]
pub enum News<'a> {
    /// A line to read.
    Line(&'a str),
    /// A download has come so far; `total` is known when the server says it.
    Fetched { name: &'a str, bytes: u64, total: Option<u64> },
}

/// Is told the news.
pub type Say<'a> = &'a (dyn Fn(News<'_>) + Sync);

/// The parts this process started or borrows. Leave them with [`Parts::stop`]; a process that ends
/// without it frees its locks all the same, and only a PostgreSQL it started goes on running.
pub struct Parts {
    dot_lake: PathBuf,
    search: Search,
    broker: Option<Hosted>,
    postgres: Option<(Borrowed, PostgresAddress)>,
}

impl Parts {
    /// `dot_lake` is made when it is needed. `search` says where PostgreSQL's programs are looked for, and kept
    /// when they must be fetched.
    pub fn new(dot_lake: PathBuf, search: Search) -> Parts {
        Parts { dot_lake, search, broker: None, postgres: None }
    }

    /// `host:port` of the broker, started here unless another command runs it.
    pub fn broker(&mut self) -> Result<String> {
        if let Some(hosted) = &self.broker {
            return Ok(hosted.address().to_string());
        }
        let hosted = Hosted::join(&self.dot_lake)?;
        let address = hosted.address().to_string();
        self.broker = Some(hosted);
        Ok(address)
    }

    /// Address of PostgreSQL, started unless it runs. The first start makes the cluster, and fetches
    /// PostgreSQL when the machine has none.
    pub async fn postgres(&mut self, say: Say<'_>) -> Result<PostgresAddress> {
        if let Some((_, address)) = &self.postgres {
            return Ok(address.clone());
        }
        let (borrowed, address) = Borrowed::join(&self.dot_lake, &self.search, say).await?;
        self.postgres = Some((borrowed, address.clone()));
        Ok(address)
    }

    /// Leaves every part, and stops those nobody uses any more. The owner of the broker waits for its
    /// other users, says so after two seconds, and no longer waits once `cut` is true.
    pub async fn stop(self, say: Say<'_>, cut: &(dyn Fn() -> bool + Sync)) -> Result<()> {
        let postgres = match self.postgres {
            Some((borrowed, _)) => borrowed.leave().await,
            None => Ok(()),
        };
        let broker = match self.broker {
            Some(hosted) => hosted.leave(say, cut).await,
            None => Ok(()),
        };
        postgres.and(broker)
    }
}

#[cfg(test)]
mod tests;
