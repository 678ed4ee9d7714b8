//! One file over HTTP, in as many pieces as the network needs.
//!
//! What has arrived lies in a part file, which stays when a connection is cut or the process killed: the next
//! try, or the next run, asks for the rest. Nothing in it is trusted. The sha256 of the whole decides, so a
//! file that the server changed between two pieces, or a part spoilt on the disk, is noticed and fetched anew.
//! The caller sees to it that one process at a time works on a part.

use super::{News, Say};
use crate::error::{Context, Error, Kind, Result};
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Client, Response, StatusCode};
use sha2::{Digest, Sha256};
use std::io::SeekFrom;
use std::path::PathBuf;
use std::time::Duration;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that is silent for this long counts as cut.
const SILENCE: Duration = Duration::from_secs(30);
/// How long to wait after each cut; after the last one it is given up.
pub const PAUSES: &[Duration] = &[
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];

/// A file to be fetched.
pub struct Download {
    /// For the user's eyes.
    pub name: String,
    pub url: String,
    /// Where it grows; left to the caller when it is complete.
    pub part: PathBuf,
    /// Of the whole file, lower-case hexadecimal.
    pub sha256: String,
    /// Between tries, see [`PAUSES`].
    pub pauses: &'static [Duration],
}

/// Why a piece ended early.
struct Cut {
    error: Error,
    /// Another try may get further.
    is_passing: bool,
}

impl From<Error> for Cut {
    fn from(error: Error) -> Cut {
        Cut { error, is_passing: false }
    }
}

impl Download {
    /// The whole file, checked. `Unavailable` when the server cannot be reached, refuses, or sends something
    /// else; the part stays for the next run unless it is known to be wrong.
    pub async fn bytes(&self, say: Say<'_>) -> Result<Vec<u8>> {
        // Complete already when the last run ended between the download and its use.
        if let Ok(whole) = self.checked()? {
            return Ok(whole);
        }
        let began_at = self.complete(say).await?;
        let mut checked = self.checked()?;
        if checked.is_err() && began_at > 0 {
            say(News::Line(&format!("the pieces of {} do not fit together: fetching all of it anew", self.name)));
            self.discard()?;
            self.complete(say).await?;
            checked = self.checked()?;
        }
        checked.or_else(|found| {
            self.discard()?;
            Err(Error::unavailable(format!("what came as {} is not the known file: its sha256 is {found}", self.name)))
        })
    }

    /// The part's content when it is the wanted file, else the sha256 it has.
    fn checked(&self) -> Result<Result<Vec<u8>, String>> {
        let bytes = match std::fs::read(&self.part) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            read => read.context(Kind::Unavailable, || format!("read `{}`", self.part.display()))?,
        };
        let found: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(if found == self.sha256 { Ok(bytes) } else { Err(found) })
    }

    fn length(&self) -> Result<u64> {
        match std::fs::metadata(&self.part) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(0),
            found => Ok(found.context(Kind::Unavailable, || format!("examine `{}`", self.part.display()))?.len()),
        }
    }

    fn discard(&self) -> Result<()> {
        match std::fs::remove_file(&self.part) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed.context(Kind::Unavailable, || format!("delete `{}`", self.part.display())),
        }
    }

    /// Asks until a response came to its end, and answers at which byte of the file that response began.
    async fn complete(&self, say: Say<'_>) -> Result<u64> {
        let client = Client::builder()
            .user_agent(concat!("lake/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE)
            .build()
            .context(Kind::Unavailable, || format!("prepare to fetch {}", self.name))?;
        let mut pauses = self.pauses.iter();
        loop {
            let cut = match self.piece(&client, say).await {
                Ok(began_at) => return Ok(began_at),
                Err(cut) => cut,
            };
            match pauses.next() {
                Some(pause) if cut.is_passing => {
                    say(News::Line(&format!("{}: trying again in {:.1} s", cut.error, pause.as_secs_f32())));
                    tokio::time::sleep(*pause).await;
                }
                _ => return Err(cut.error),
            }
        }
    }

    /// One request for what is still missing.
    async fn piece(&self, client: &Client, say: Say<'_>) -> Result<u64, Cut> {
        let have = self.length()?;
        let mut request = client.get(&self.url);
        if have > 0 {
            request = request.header(RANGE, format!("bytes={have}-"));
        }
        // Who was never reached is not waited for: most often there is no network at all.
        let sent = request.send().await.map_err(|cause| self.cut(cause, |cause| have > 0 || !cause.is_connect()));
        let mut response = sent?;
        let began_at = self.first_byte(&response, have)?;
        let total = response.content_length().map(|rest| began_at + rest);
        let mut file = self.open(began_at).await?;
        let mut bytes = began_at;
        loop {
            say(News::Fetched { name: &self.name, bytes, total });
            let Some(chunk) = response.chunk().await.map_err(|cause| self.cut(cause, |_| true))? else { break };
            let written = file.write_all(&chunk).await;
            written.and(file.flush().await).context(Kind::Unavailable, || self.writing())?;
            bytes += chunk.len() as u64;
        }
        Ok(began_at)
    }

    fn cut(&self, cause: reqwest::Error, is_passing: impl FnOnce(&reqwest::Error) -> bool) -> Cut {
        let is_passing = is_passing(&cause);
        let what = if cause.is_connect() { "the server cannot be reached" } else { "the connection was cut" };
        Cut { error: Error::unavailable(format!("fetching {}: {what}", self.name)).caused_by(cause), is_passing }
    }

    /// The place in the file of the response's first byte: servers may send more than was asked for.
    fn first_byte(&self, response: &Response, have: u64) -> Result<u64, Cut> {
        let status = response.status();
        if status == StatusCode::PARTIAL_CONTENT {
            let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
            if let Some(first) = range.and_then(first_of_range).filter(|first| *first <= have) {
                return Ok(first);
            }
        }
        if status == StatusCode::OK {
            return Ok(0);
        }
        let unusable = matches!(status, StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PARTIAL_CONTENT);
        if unusable {
            // Longer than the file, or of another one: nothing of it can be kept.
            self.discard()?;
        }
        let busy = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
        let error = Error::unavailable(format!("fetching {}: `{}` answers {status}", self.name, self.url));
        Err(Cut { error, is_passing: unusable || busy || status.is_server_error() })
    }

    /// The part, cut to `length` and ready to grow.
    async fn open(&self, length: u64) -> Result<File> {
        let opened = OpenOptions::new().create(true).truncate(false).write(true).open(&self.part).await;
        let mut file = opened.context(Kind::Unavailable, || self.writing())?;
        file.set_len(length).await.context(Kind::Unavailable, || self.writing())?;
        file.seek(SeekFrom::Start(length)).await.context(Kind::Unavailable, || self.writing())?;
        Ok(file)
    }

    fn writing(&self) -> String {
        format!("write `{}`", self.part.display())
    }
}

/// `bytes 100-199/200` -> 100
fn first_of_range(range: &str) -> Option<u64> {
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests;
