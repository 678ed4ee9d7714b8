//! Where PostgreSQL's files lie: `.lake/postgres`, or, when the account it runs under cannot get there (a
//! root shell in a folder only root may enter), a folder of the system noted in `.lake/postgres.location`.

use super::account::Account;
use crate::error::{Context, Error, Kind, Result};
use sha2::{Digest, Sha256};
use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Parents of folders outside the project; the first that can be had.
const ELSEWHERE: [&str; 2] = ["/var/lib/lake", "/var/tmp"];

/// A folder that belongs to `account`.
#[derive(Debug, Clone)]
pub struct Home {
    pub folder: PathBuf,
    pub account: Account,
}

impl Home {
    /// The cluster, once it is complete.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Finds the folder or makes it.
    pub async fn find(dot_lake: &Path) -> Result<Home> {
        let noted = dot_lake.join("postgres.location");
        if let Ok(text) = std::fs::read_to_string(&noted) {
            let folder = PathBuf::from(text.trim());
            if folder.is_dir() {
                return Home::at(folder).await;
            }
        }
        let folder = dot_lake.join("postgres");
        let account = Account::of(&folder).await?;
        if account.can_enter(dot_lake).await {
            make(&folder, 0o700).context(Kind::Unavailable, || format!("make `{}`", folder.display()))?;
            return Home::at(folder).await;
        }
        let folder = elsewhere(dot_lake)?;
        let text = format!("{}\n", folder.display());
        std::fs::write(&noted, text).context(Kind::Unavailable, || format!("write `{}`", noted.display()))?;
        Home::at(folder).await
    }

    async fn at(folder: PathBuf) -> Result<Home> {
        let account = Account::of(&folder).await?;
        account.own(&folder)?;
        Ok(Home { folder, account })
    }
}

/// A new folder whose name tells the project it is for.
fn elsewhere(dot_lake: &Path) -> Result<PathBuf> {
    let digest = Sha256::digest(dot_lake.as_os_str().as_encoded_bytes());
    let project: String = digest[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    let id = uuid::Uuid::new_v4().simple().to_string();
    let name = format!("lake-{project}-{}", &id[..12]);
    let mut refused = None;
    for parent in ELSEWHERE.map(Path::new) {
        let made = make(parent, 0o711).and_then(|()| {
            let folder = parent.join(&name);
            // Not `make`: a folder somebody else put there must not be taken over.
            DirBuilder::new().mode(0o700).create(&folder).map(|()| folder)
        });
        match made {
            Ok(folder) => return Ok(folder),
            Err(cause) => refused = Some(cause),
        }
    }
    let error = Error::unavailable("there is no place for PostgreSQL's files that a user other than root may enter")
        .hint("run lake as an ordinary user, or set warehouse.url");
    Err(match refused {
        Some(cause) => error.caused_by(cause),
        None => error,
    })
}

/// Makes a folder of this mode unless it stands.
fn make(folder: &Path, mode: u32) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).create(folder)?;
    std::fs::set_permissions(folder, Permissions::from_mode(mode))
}
