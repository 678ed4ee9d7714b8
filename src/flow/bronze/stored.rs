//! What a table holds of its topics: positions and tips, in its `txn` actions.

use super::start::Survey;
use super::{position_app, tip_app};
use crate::error::Result;
use crate::flow::account;
use crate::kafka::Tip;
use crate::model::Topics;
use crate::partition::Partition;
use crate::table::Table;
use futures::TryStreamExt;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;

/// Key of the `commitInfo` that names the topics a commit's stream reads.
pub(super) const TOPICS: &str = "topics";

#[derive(Debug, Clone, Default)]
pub(super) struct Stored {
    /// The next offset to read.
    pub positions: BTreeMap<Partition, Option<i64>>,
    /// The tip below it as a number.
    pub tips: BTreeMap<Partition, i64>,
}

impl Stored {
    /// What is stored of each partition that is there, and of the one behind the last of each topic: a topic made again
    /// with fewer partitions shows by it, and one that is gone. Of a pattern's topics only an earlier commit
    /// tells which there were.
    pub async fn read(table: &Table, topics: &Topics, survey: &Survey) -> Result<Stored> {
        let known: BTreeSet<String> = match topics {
            Topics::Named(names) => names.iter().cloned().collect(),
            Topics::Matching(_) => {
                let read_before = topics_read(table).await?.into_iter().filter(|topic| topics.include(topic));
                read_before.chain(survey.topics()).collect()
            }
        };
        let beyond = known.into_iter().map(|topic| {
            let there = survey.watermarks.keys().filter(|partition| partition.topic == topic).count();
            Partition::new(topic, there as i32)
        });
        let mut stored = Stored::default();
        for partition in survey.watermarks.keys().cloned().chain(beyond) {
            let position = table.txn(&position_app(&partition)).await?;
            if let (Some(_), Some(tip)) = (position, table.txn(&tip_app(&partition)).await?) {
                stored.tips.insert(partition.clone(), tip);
            }
            stored.positions.insert(partition, position);
        }
        Ok(stored)
    }

    pub fn tip(&self, partition: &Partition) -> Option<Tip> {
        let position = (*self.positions.get(partition)?)?;
        Tip::stored(*self.tips.get(partition)?, position)
    }

    /// The tips of these partitions that their topics may still hold.
    pub fn tips_of<'a>(
        &self,
        partitions: impl Iterator<Item = &'a Partition>,
        survey: &Survey,
    ) -> BTreeMap<Partition, Tip> {
        let held = |partition: &'a Partition| {
            let low = survey.watermarks.get(partition)?.low;
            let tip = self.tip(partition).filter(|tip| tip.offset >= low)?;
            Some((partition.clone(), tip))
        };
        partitions.filter_map(held).collect()
    }
}

/// The topics that the newest commit of `lake bronze` was made of.
pub async fn topics_read(table: &Table) -> Result<Vec<String>> {
    let mut commits = pin!(table.commits_backwards());
    while let Some(commit) = commits.try_next().await? {
        if let Some(topics) = commit.info.get(TOPICS).and_then(|topics| topics.as_array()) {
            return Ok(topics.iter().filter_map(|topic| topic.as_str()).map(String::from).collect());
        }
        // What `lake maintain` says of commits it deleted.
        if let Some(carried) = account::Carried::of(&commit, &table.name().to_string())? {
            let partitions = carried.partitions.keys().filter_map(|name| name.rsplit_once('/'));
            return Ok(partitions.map(|(topic, _)| topic.to_string()).collect::<BTreeSet<_>>().into_iter().collect());
        }
    }
    Ok(Vec::new())
}
