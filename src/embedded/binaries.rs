//! PostgreSQL's programs: those on the machine, else an archive of binaries fetched once per user.

use super::account::Account;
use super::archive::{self, REMEDY};
use super::lock::{Lock, Share};
use super::{News, Say};
use crate::error::{Error, Result};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Oldest major version whose functions the load uses.
const OLDEST: u32 = 14;
/// Where a root shell keeps what the account it lends must be able to run.
const SYSTEM_CACHE: &str = "/var/cache/lake";

/// Where to look, in this order: `explicit` alone when it is set; `pg_config`; the folders of `path`;
/// the usual places; `cache`, where a fetched one is kept.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// A folder holding `initdb`, `pg_ctl` and `postgres`.
    pub explicit: Option<PathBuf>,
    /// The PATH variable.
    pub path: Option<OsString>,
    /// The user's cache folder for `lake`.
    pub cache: PathBuf,
}

/// A folder with PostgreSQL's programs of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    pub bin: PathBuf,
    pub major: u32,
}

impl Search {
    /// Programs that `account` may run; of version `wanted` when data of that version exist.
    pub async fn find(&self, account: Account, wanted: Option<u32>, say: Say<'_>) -> Result<Programs> {
        let fits = |programs: &Programs| wanted.map_or(programs.major >= OLDEST, |wanted| programs.major == wanted);
        let mut seen = Vec::new();
        for bin in self.candidates(account).await {
            match probe(&bin, account).await {
                Some(programs) if fits(&programs) => return Ok(programs),
                Some(programs) => seen.push(programs),
                None => {}
            }
        }
        match wanted {
            None | Some(archive::MAJOR) if self.explicit.is_none() => self.fetch(account, say).await,
            _ => Err(self.unfit(wanted, &seen)),
        }
    }

    fn unfit(&self, wanted: Option<u32>, seen: &[Programs]) -> Error {
        let found: Vec<String> =
            seen.iter().map(|programs| format!("{} in `{}`", programs.major, programs.bin.display())).collect();
        let found = if found.is_empty() { "none".to_string() } else { found.join(", ") };
        let place = self.explicit.as_ref().map_or(String::new(), |folder| format!(" in `{}`", folder.display()));
        match wanted {
            Some(wanted) => Error::config(format!(
                "the embedded warehouse was made by PostgreSQL {wanted}{place}, which is not here (found: {found})"
            ))
            .hint(format!(
                "install PostgreSQL {wanted}, or delete its data: `lake load-warehouse` fills a new one from the lake"
            )),
            None => Error::config(format!("no PostgreSQL of version {OLDEST} or later{place} (found: {found})"))
                .hint("name the folder that holds initdb, pg_ctl and postgres"),
        }
    }

    async fn candidates(&self, account: Account) -> Vec<PathBuf> {
        if let Some(folder) = &self.explicit {
            return vec![folder.clone()];
        }
        let mut folders = Vec::new();
        let config = account.command(Path::new("pg_config")).arg("--bindir").output().await;
        if let Some(text) = config.ok().and_then(|output| String::from_utf8(output.stdout).ok()) {
            folders.push(PathBuf::from(text.trim()));
        }
        folders.extend(self.path.iter().flat_map(std::env::split_paths));
        for (parent, prefix, rest) in [
            ("/usr/lib/postgresql", "", "bin"),
            ("/usr", "pgsql-", "bin"),
            ("/opt/homebrew/opt", "postgresql", "bin"),
            ("/usr/local/opt", "postgresql", "bin"),
            ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
        ] {
            folders.extend(versions(Path::new(parent), prefix).into_iter().map(|folder| folder.join(rest)));
        }
        folders.push(archive::place(&self.cache).join("bin"));
        folders.push(archive::place(Path::new(SYSTEM_CACHE)).join("bin"));
        folders
    }

    async fn fetch(&self, account: Account, say: Say<'_>) -> Result<Programs> {
        let cache = self.reachable_cache(account).await?;
        let bin = archive::place(&cache).join("bin");
        let _alone = Lock::acquire(cache.join("postgres.lock"), Share::Exclusive).await?;
        if let Some(programs) = probe(&bin, account).await {
            return Ok(programs);
        }
        say(News::Line(&format!("no PostgreSQL on this machine: fetching {}, once", archive::VERSION)));
        archive::fetch(archive::SERVER, &cache, say).await?;
        probe(&bin, account).await.ok_or_else(|| {
            Error::unavailable(format!("the PostgreSQL fetched to `{}` does not run here", bin.display())).hint(REMEDY)
        })
    }

    async fn reachable_cache(&self, account: Account) -> Result<PathBuf> {
        let mut last = None;
        for cache in [self.cache.as_path(), Path::new(SYSTEM_CACHE)] {
            match std::fs::create_dir_all(cache) {
                Ok(()) if account.can_enter(cache).await => return Ok(cache.to_path_buf()),
                Ok(()) => {}
                Err(cause) => last = Some(cause),
            }
        }
        let error = Error::unavailable("there is no folder to keep a fetched PostgreSQL in").hint(REMEDY);
        Err(match last {
            Some(cause) => error.caused_by(cause),
            None => error,
        })
    }
}

/// Folders whose name is the prefix and a version, newest first; one without a version comes last.
fn versions(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let rest = name.strip_prefix(prefix)?.trim_start_matches('@');
            Some((rest.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0), entry.path()))
        })
        .collect();
    found.sort_by(|one, other| other.cmp(one));
    found.into_iter().map(|(_, path)| path).collect()
}

/// The programs in a folder, when all are there and the account may run them.
async fn probe(bin: &Path, account: Account) -> Option<Programs> {
    if !["initdb", "pg_ctl", "postgres"].iter().all(|program| bin.join(program).is_file()) {
        return None;
    }
    let output = account.command(&bin.join("postgres")).arg("--version").output().await.ok()?;
    let major = major(&String::from_utf8(output.stdout).ok()?)?;
    Some(Programs { bin: bin.to_path_buf(), major })
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0)` -> 15
fn major(version: &str) -> Option<u32> {
    let number = version.split_whitespace().nth(2)?;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_the_programs_own_words() {
        let table = [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some(15)),
            ("postgres (PostgreSQL) 18.0\n", Some(18)),
            ("postgres (PostgreSQL) 19beta1\n", Some(19)),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(major(text), expected, "{text}");
        }
    }

    #[test]
    fn the_newest_version_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["postgresql@9.6", "postgresql", "postgresql@17", "other@18"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let names: Vec<_> = versions(folder.path(), "postgresql")
            .into_iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_string())
            .collect();
        assert_eq!(names, ["postgresql@17", "postgresql@9.6", "postgresql"]);
    }
}
