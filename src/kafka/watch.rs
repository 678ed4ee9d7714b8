//! What a librdkafka client says beside its answers: log lines go to `tracing`, connection faults are kept so
//! that a later time-out can be explained by them, and so are the ends of the partitions it fetches.
//!
//! So is a topic that another one of its name took the place of. librdkafka fetches by the id a topic has since Kafka
//! 3.1, and goes on with the new topic's at the same offset; it tells of that in a line of its log alone, which comes
//! before anything of the new topic does, in the same queue. Of brokers without such ids nothing is told.

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::statistics::Statistics;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// A fault of the connection, not of one request.
#[derive(Debug, Clone)]
pub(super) struct Reported {
    pub failure: KafkaError,
    /// librdkafka's sentence, with the broker's address; holds no credentials.
    pub reason: String,
}

/// The last fault a client reported; a refused login outlives the connection losses that follow it.
#[derive(Debug, Default)]
pub(super) struct Watch {
    last: Mutex<Option<Reported>>,
    /// By topic and number.
    ends: Mutex<HashMap<String, HashMap<i32, i64>>>,
    ids: Mutex<Ids>,
}

/// Which topics are read.
#[derive(Debug, Default)]
struct Ids {
    /// By name.
    known: HashMap<String, String>,
    /// A name that stands for another topic now.
    replaced: Option<String>,
}

impl Watch {
    pub fn last(&self) -> Option<Reported> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The next offset to be written to a fetched partition, as of a second ago; `None` until it is known.
    pub fn end(&self, topic: &str, number: i32) -> Option<i64> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).get(topic)?.get(&number).copied()
    }

    /// The name of a topic that another one has taken the place of since this client first heard of it.
    pub fn replaced(&self) -> Option<String> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).replaced.clone()
    }

    fn note_id(&self, topic: &str, id: &str) {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let before = ids.known.insert(topic.to_string(), id.to_string());
        if before.is_some_and(|before| before != id) {
            ids.replaced = Some(topic.to_string());
        }
    }

    /// The fault that no waiting will mend, when there was one.
    pub fn refused(&self) -> Option<Reported> {
        self.last().filter(|reported| is_refusal(&reported.failure))
    }

    /// Whether the last fault was that no machine has the name, or nothing listens there: known at once, unlike silence.
    pub fn is_nobody_there(&self) -> bool {
        let known = ["Connection refused", "Failed to resolve"];
        self.last().is_some_and(|reported| known.iter().any(|words| reported.reason.contains(words)))
    }

    pub fn report(&self, failure: KafkaError, reason: &str) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // "all brokers are down" says less than the reason that came before it.
        let vague = reason.ends_with("brokers are down") && last.is_some();
        let settled = last.as_ref().is_some_and(|reported| is_refusal(&reported.failure));
        if !vague && !settled {
            *last = Some(Reported { failure, reason: reason.to_string() });
        }
    }
}

/// A failure that no waiting mends: the login.
pub(super) fn is_refusal(failure: &KafkaError) -> bool {
    matches!(
        failure.rdkafka_error_code(),
        Some(
            Code::Authentication
                | Code::SaslAuthenticationFailed
                | Code::UnsupportedSASLMechanism
                | Code::IllegalSASLState
                | Code::SSL
        )
    )
}

/// The topic and its id in the line that tells of it; `None` in any other, and for the id of no topic.
fn told_id(line: &str) -> Option<(&str, &str)> {
    let (_, told) = line.split_once("Topic ")?;
    let (topic, ids) = told.split_once(" changed id from ")?;
    let (_, id) = ids.split_once(" to ")?;
    (!id.bytes().all(|byte| byte == b'A' || byte == b'=')).then_some((topic, id))
}

/// Every librdkafka fault that matters reaches the user as an error, so its own lines rank below ours.
pub(super) fn log_line(level: RDKafkaLogLevel, facility: &str, line: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(target: "librdkafka", facility, "{line}");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
            tracing::info!(target: "librdkafka", facility, "{line}");
        }
        _ => tracing::debug!(target: "librdkafka", facility, "{line}"),
    }
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        if let Some((topic, id)) = told_id(line) {
            self.note_id(topic, id);
        }
        log_line(level, facility, line);
    }

    fn error(&self, failure: KafkaError, reason: &str) {
        self.report(failure, reason);
    }

    fn stats(&self, statistics: Statistics) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, topic) in statistics.topics {
            // Below 0 stands for not known yet.
            let known = topic.partitions.iter().filter(|(_, partition)| partition.ls_offset >= 0);
            ends.entry(name).or_default().extend(known.map(|(number, partition)| (*number, partition.ls_offset)));
        }
    }
}

impl ConsumerContext for Watch {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_takes_the_place_of_another_is_noticed() {
        let watch = Watch::default();
        let say = |topic: &str, from: &str, to: &str| {
            let line = format!("[thrd:main]: Topic {topic} changed id from {from} to {to}");
            watch.log(RDKafkaLogLevel::Debug, "METADATA", &line);
            watch.replaced()
        };
        let nothing = "AAAAAAAAAAAAAAAAAAAAAA";
        assert_eq!(say("books", nothing, "nHZ3y2v5TtGQ"), None);
        assert_eq!(say("sales", nothing, "GQnHZ3y2v5Tt"), None);
        // Heard of again, by another partition's client, or forgotten for a while.
        assert_eq!(say("books", nothing, "nHZ3y2v5TtGQ"), None);
        assert_eq!(say("books", "nHZ3y2v5TtGQ", nothing), None);
        assert_eq!(say("books", nothing, "k9kq1iJ5S8mQ"), Some("books".into()));
        assert_eq!(told_id("[thrd:main]: Topic books changed state unknown -> exists"), None);
    }
}
