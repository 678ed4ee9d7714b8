//! What a Bronze table knows of files: each file as it was first sent, and each time it was sent as new.

use crate::engine::Session;
use crate::error::Result;
use crate::flow::bronze::{SOURCE, Stream, TOPIC};
use crate::flow::rows;
use crate::ident::{literal, quote};
use std::collections::BTreeMap;
use std::path::Path;

/// Rows by the identity they were sent under: `id`, `id#2`, `id#3`, ...
#[derive(Debug, Default)]
pub(super) struct Sendings(BTreeMap<String, u64>);

impl Sendings {
    /// All of this topic's in its table.
    pub async fn read(session: &Session, stream: &Stream, topic: &str) -> Result<Sendings> {
        let [source, topic_column] = [SOURCE, TOPIC].map(quote);
        let sql = format!(
            "select {source}, count(*) from {} where {source} is not null and {topic_column} = {} group by {source}",
            stream.table.quoted(),
            literal(topic)
        );
        let mut sendings = BTreeMap::new();
        for batch in session.query(&sql).await? {
            for row in rows::texts(&batch)? {
                if let [Some(id), Some(rows)] = row.as_slice() {
                    sendings.insert(id.clone(), rows.parse().unwrap_or_default());
                }
            }
        }
        Ok(Sendings(sendings))
    }

    /// The newest sending of a file, and the rows of those before it; they are known no more after that.
    pub fn take(&mut self, file: &str) -> (Option<String>, u64) {
        let own: Vec<String> = self.0.keys().filter(|id| generation(id, file).is_some()).cloned().collect();
        let newest = own.iter().max_by_key(|id| generation(id, file)).cloned();
        let taken = own.iter().filter_map(|id| Some((id, self.0.remove(id)?)));
        let superseded = taken.filter(|(id, _)| Some(*id) != newest.as_ref()).map(|(_, rows)| rows).sum();
        (newest, superseded)
    }

    /// Of the files that nobody took, those that do not exist, with their rows. One that does was sent without
    /// being declared.
    pub fn gone(&self, project: &Path) -> BTreeMap<&str, u64> {
        let exists = |id: &str| project.join(id).exists();
        let mut gone = BTreeMap::new();
        for (id, rows) in &self.0 {
            let file = match id.rsplit_once('#') {
                Some((file, _)) if generation(id, file).is_some() => file,
                _ => id,
            };
            if !exists(id) && !exists(file) {
                *gone.entry(file).or_default() += rows;
            }
        }
        gone
    }
}

/// 1 for the file itself, n for `file#n`.
fn generation(id: &str, file: &str) -> Option<u64> {
    match id.strip_prefix(file)? {
        "" => Some(1),
        number => number.strip_prefix('#')?.parse().ok().filter(|number| *number >= 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_sending_counts_and_those_before_it_are_superseded() {
        let known = [("a.csv", 3), ("a.csv#2", 4), ("a.csv#10", 5), ("a.csv#x", 6), ("a.csv.old#2", 7)];
        let mut sendings = Sendings(known.map(|(id, rows)| (id.to_string(), rows)).into());
        assert_eq!(sendings.take("a.csv"), (Some("a.csv#10".into()), 7));
        assert_eq!(sendings.take("a.csv"), (None, 0));
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(sendings.gone(folder.path()), BTreeMap::from([("a.csv#x", 6), ("a.csv.old", 7)]));
        std::fs::write(folder.path().join("a.csv.old"), "").unwrap();
        assert_eq!(sendings.gone(folder.path()), BTreeMap::from([("a.csv#x", 6)]));
    }
}
