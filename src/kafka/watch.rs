//! What a librdkafka client says beside its answers: log lines go to `tracing`, connection faults are kept so
//! that a later time-out can be explained by them.

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
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
}

impl Watch {
    pub fn last(&self) -> Option<Reported> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
}

impl ConsumerContext for Watch {}
