//! What a librdkafka client says beside its answers: log lines go to `tracing`, connection faults are kept so
//! that a later time-out can be explained by them, and so are the ends of the partitions it fetches.

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
}

impl Watch {
    pub fn last(&self) -> Option<Reported> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The next offset to be written to a fetched partition, as of a second ago; `None` until it is known.
    pub fn end(&self, topic: &str, number: i32) -> Option<i64> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).get(topic)?.get(&number).copied()
    }

    /// The fault that no waiting will mend, when there was one.
    pub fn refused(&self) -> Option<Reported> {
        self.last().filter(|reported| is_refusal(&reported.failure))
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
