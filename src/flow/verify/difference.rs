//! What a proof found wrong, and what puts it right.

use serde::{Serialize, Serializer};
use std::collections::BTreeSet;
use std::fmt;

/// One sentence, and the kind of remedy; programs see the sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    text: String,
    remedy: Remedy,
}

/// In the order of the road.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remedy {
    /// A file is not there any more.
    PutBack,
    /// A file is not as it was sent.
    Restore,
    /// A Bronze table contradicts itself, or its files.
    Reread,
    /// Something has not come far enough.
    Run,
    /// A Silver or Gold table is not what its SQL makes.
    Rebuild,
    /// Gold is ahead of the warehouse.
    Load,
    /// The warehouse is not as it was loaded.
    LoadFull,
}

impl Difference {
    pub fn new(remedy: Remedy, text: impl Into<String>) -> Difference {
        Difference { text: text.into(), remedy }
    }
}

impl Remedy {
    fn hint(self) -> &'static str {
        match self {
            Remedy::PutBack => "put the missing files back",
            Remedy::Restore => {
                "put the files back as they were sent, or send what stands there now beside the old rows with \
                 `lake produce --as-new`"
            }
            Remedy::Reread => "delete the folder of the Bronze table and `lake bronze` reads its topic again",
            Remedy::Run => "bring everything up to date with `lake run --once`",
            Remedy::Rebuild => {
                "build tables that somebody changed anew with `lake promote all --full-refresh --select TABLE`"
            }
            Remedy::Load => "load what was published with `lake load-warehouse`",
            Remedy::LoadFull => "rows changed by hand in the warehouse are put right by `lake load-warehouse --full`",
        }
    }
}

/// What to do about all of them, each remedy once.
pub(super) fn hint<'a>(differences: impl Iterator<Item = &'a Difference>) -> String {
    let remedies: BTreeSet<Remedy> = differences.map(|difference| difference.remedy).collect();
    remedies.into_iter().map(Remedy::hint).collect::<Vec<_>>().join("; ")
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Difference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
impl PartialEq<&str> for Difference {
    fn eq(&self, text: &&str) -> bool {
        self.text == *text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_remedy_is_told_once_and_no_other() {
        let found = [Remedy::Load, Remedy::PutBack, Remedy::Load].map(|remedy| Difference::new(remedy, "x"));
        let expected = "put the missing files back; load what was published with `lake load-warehouse`";
        assert_eq!(hint(found.iter()), expected);
    }
}
