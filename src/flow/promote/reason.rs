//! Why a model is built, or is not.
//!
//! A fact, not a deed: `promote` tells it of what it did and `plan` of what would be done, in the same words. Knows
//! nothing of how it was found out. To add one: a variant, its code and its words.

use crate::ident::TableName;
use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    NeverBuilt,
    FullRefresh,
    /// What came after this version of the table that drives it is asked for once more.
    Since(i64),
    /// A model it reads is built in the same run.
    UpstreamIsBuilt(TableName),
    /// `read` is the version the standing rows were made from, when that is known.
    NewVersion {
        upstream: TableName,
        read: Option<i64>,
        now: i64,
    },
    MadeAnew(TableName),
    SqlChanged,
    /// Of a seed.
    FileChanged,
    ContractChanged,
    NothingChanged,
    /// The text is another one, the statement is not.
    OnlyLayoutChanged,
    /// Running it again on the same input would add the same rows once more.
    NothingToAppend(Box<Reason>),
    /// A table changed that it reads, but whose new rows are not what it is built from.
    OnlyLookedUp(TableName),
    /// A retry is about other models.
    NotRetried,
}

impl Reason {
    /// For programs; never changes.
    pub fn code(&self) -> &'static str {
        match self {
            Reason::NeverBuilt => "never_built",
            Reason::FullRefresh => "full_refresh",
            Reason::Since(_) => "since_version",
            Reason::UpstreamIsBuilt(_) => "upstream_is_built",
            Reason::NewVersion { .. } => "new_version",
            Reason::MadeAnew(_) => "made_anew",
            Reason::SqlChanged => "sql_changed",
            Reason::FileChanged => "file_changed",
            Reason::ContractChanged => "contract_changed",
            Reason::NothingChanged => "nothing_changed",
            Reason::OnlyLayoutChanged => "only_layout_changed",
            Reason::NothingToAppend(_) => "nothing_to_append",
            Reason::OnlyLookedUp(_) => "only_looked_up",
            Reason::NotRetried => "not_retried",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NeverBuilt => f.write_str("never built"),
            Reason::FullRefresh => f.write_str("full refresh"),
            Reason::Since(version) => write!(f, "since version {version} once more"),
            Reason::UpstreamIsBuilt(upstream) => write!(f, "`{upstream}` is rebuilt"),
            Reason::NewVersion { upstream, read: Some(read), now } => {
                write!(f, "new version of `{upstream}`: {read} -> {now}")
            }
            Reason::NewVersion { upstream, read: None, now } => {
                write!(f, "version {now} of `{upstream}`, which it did not read before")
            }
            Reason::MadeAnew(upstream) => write!(f, "`{upstream}` was made anew"),
            Reason::SqlChanged => f.write_str("its SQL changed"),
            Reason::FileChanged => f.write_str("its file changed"),
            Reason::ContractChanged => f.write_str("its contract changed"),
            Reason::NothingChanged => f.write_str("nothing changed"),
            Reason::OnlyLayoutChanged => f.write_str("only comments or layout changed"),
            Reason::NothingToAppend(changed) => {
                write!(f, "{changed}, but nothing is new to append; a full refresh rebuilds it")
            }
            Reason::OnlyLookedUp(upstream) => {
                write!(f, "only `{upstream}` changed, which does not drive it; a full refresh looks it up anew")
            }
            Reason::NotRetried => f.write_str("not failed in the last run"),
        }
    }
}
