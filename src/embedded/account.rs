//! The account PostgreSQL runs under. It refuses to run as root, so a root shell lends it another one:
//! `postgres` where the machine has it, else `nobody`.

use crate::error::{Context, Error, Kind, Result};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;

const NOBODY: u32 = 65_534;

/// Whose name children run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// That of this process.
    Own,
    /// We are root and lend this one.
    Lent { uid: u32, gid: u32 },
}

impl Account {
    /// The account that owns `home`, where data lies already, or the one to give it to.
    pub async fn of(home: &Path) -> Result<Account> {
        let own = id(&["-u"]).await.ok_or_else(|| Error::internal("`id -u` does not tell who we are"))?;
        let owner = std::fs::metadata(home).ok().map(|found| (found.uid(), found.gid()));
        match (own, owner) {
            (0, Some((uid, gid))) if uid != 0 => Ok(Account::Lent { uid, gid }),
            (0, _) => {
                let (uid, gid) = (id(&["-u", "postgres"]).await, id(&["-g", "postgres"]).await);
                let (uid, gid) = uid.zip(gid).filter(|(uid, _)| *uid != 0).unwrap_or((NOBODY, NOBODY));
                Ok(Account::Lent { uid, gid })
            }
            (own, Some((uid, _))) if uid != own => {
                Err(Error::config(format!("`{}` belongs to another user (uid {uid})", home.display())).hint(
                    "run lake as that user, or delete the folder: `lake load-warehouse` fills a new one from the lake",
                ))
            }
            _ => Ok(Account::Own),
        }
    }

    /// A command in this account's name, from a folder it may be in, that cannot read our terminal.
    pub fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir("/").stdin(Stdio::null());
        if let Account::Lent { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Makes a file or folder this account's own.
    pub fn own(self, path: &Path) -> Result<()> {
        match self {
            Account::Own => Ok(()),
            Account::Lent { uid, gid } => chown(path, Some(uid), Some(gid))
                .context(Kind::Unavailable, || format!("give `{}` to uid {uid}", path.display())),
        }
    }

    /// True when this account reaches the folder through all its parents.
    pub async fn can_enter(self, folder: &Path) -> bool {
        if self == Account::Own {
            return true;
        }
        let mut enter = self.command(Path::new("/bin/sh"));
        enter.args(["-c", "cd \"$1\"", "sh"]).arg(folder).stderr(Stdio::null());
        enter.status().await.is_ok_and(|status| status.success())
    }
}

async fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).stdin(Stdio::null()).output().await.ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
