//! librdkafka's failures in our words: whose fault, which object, what to do.

use super::watch::{Reported, Watch, is_refusal};
use super::{KafkaConfig, is_secret};
use crate::error::{Cause, Error, Kind};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use std::time::Duration;

/// A client could not even be created: a property is wrong. Never shows a secret's value, so the foreign
/// error, which repeats it, is not kept as cause.
pub(super) fn setup(failure: &KafkaError) -> Error {
    let (what, detail) = match failure {
        KafkaError::ClientConfig(_, _, key, _) if is_secret(key) => {
            (format!("kafka property `{key}` is not usable"), String::new())
        }
        KafkaError::ClientConfig(_, detail, key, _) => (format!("kafka property `{key}` is refused"), detail.clone()),
        other => ("the kafka properties do not fit together".to_string(), other.to_string()),
    };
    let lacks_tls = ["OpenSSL", "not supported", "No provider", "not available", "recompile"];
    let hint = if lacks_tls.iter().any(|part| detail.contains(part)) {
        "TLS and SASL/SCRAM need a build with `--features kafka-tls`"
    } else {
        "see librdkafka's CONFIGURATION.md for names and values"
    };
    let error = Error::config(what).hint(hint);
    if detail.is_empty() { error } else { error.caused_by(detail) }
}

/// Explains why `attempt` (for example "read the partitions of `books`") failed. What the client reported
/// beside the failure is the better cause when the failure itself is only a time-out.
pub(super) fn explain(config: &KafkaConfig, attempt: &str, failure: KafkaError, watch: &Watch) -> Error {
    if let Some(Reported { reason, .. }) = watch.refused() {
        return refusal(config, attempt, reason);
    }
    let code = match &failure {
        // librdkafka itself found the request wrong and asked nobody.
        KafkaError::AdminOpCreation(_) | KafkaError::Nul(_) => Code::InvalidArgument,
        other => other.rdkafka_error_code().unwrap_or(Code::Fail),
    };
    if is_refusal(&failure) {
        return refusal(config, attempt, failure);
    }
    if is_transient(&failure) {
        let cause = watch.last().map_or_else(|| Cause::from(failure), |reported| Cause::from(reported.reason));
        return unreachable(config, attempt, cause);
    }
    let (kind, what, hint) = match code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => (
            Kind::Config,
            "there is no such topic or partition",
            "send something to it with `lake produce`, or correct the topic's name",
        ),
        Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed | Code::ClusterAuthorizationFailed => {
            (Kind::Config, "the broker does not allow it", "ask for the rights, or use other credentials")
        }
        Code::AutoOffsetReset | Code::OffsetOutOfRange => (
            Kind::Input,
            "the offset to go on from is no longer in the topic",
            "records were deleted by retention or the topic was created anew; what was committed stays, and the next run says \
             which and what to do",
        ),
        Code::InvalidTopic
        | Code::InvalidPartitions
        | Code::InvalidReplicationFactor
        | Code::PolicyViolation
        | Code::InvalidArgument => {
            (Kind::Config, "such a topic is not possible", "correct the topic's name or its partitions")
        }
        Code::MessageSizeTooLarge | Code::InvalidMessageSize => (
            Kind::Input,
            "the record is larger than the broker takes",
            "raise `max.message.bytes` of the topic, or lower `max_record_bytes` so that such rows are rejected",
        ),
        _ => (Kind::Unavailable, "kafka failed", "run it again; nothing is lost and nothing comes twice"),
    };
    Error::new(kind, format!("{attempt}: {what}")).hint(hint).caused_by(failure)
}

/// No broker answered.
pub(super) fn unreachable(config: &KafkaConfig, attempt: &str, cause: impl Into<Cause>) -> Error {
    Error::unavailable(format!("{attempt}: no kafka broker answers at `{}`", config.brokers))
        .hint("start it, or unset kafka.brokers to use the embedded one")
        .caused_by(cause)
}

/// The connection stands, but nothing comes back.
pub(super) fn silent(config: &KafkaConfig, attempt: &str, waited: Duration) -> Error {
    let seconds = waited.as_secs_f64();
    Error::unavailable(format!("{attempt}: no answer from kafka at `{}` for {seconds:.0} s", config.brokers))
        .hint("look at the broker's log, and whether as many replicas are in sync as the topic asks for")
}

fn refusal(config: &KafkaConfig, attempt: &str, cause: impl Into<Cause>) -> Error {
    Error::config(format!("{attempt}: the kafka broker at `{}` refuses these credentials", config.brokers))
        .hint("check sasl.mechanism, sasl.username, sasl.password and security.protocol in the kafka properties")
        .caused_by(cause)
}

/// A failure that a broker starting up, or electing a leader, mends by itself.
pub(super) fn is_transient(failure: &KafkaError) -> bool {
    matches!(
        failure.rdkafka_error_code(),
        Some(
            Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::Resolve
                | Code::OperationTimedOut
                | Code::RequestTimedOut
                | Code::MessageTimedOut
                | Code::LeaderNotAvailable
                | Code::NotLeaderForPartition
                | Code::BrokerNotAvailable
                | Code::NetworkException
                | Code::BrokerDestroy
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn kinds_follow_the_code() {
        let config = KafkaConfig { brokers: "host:9".into(), ..KafkaConfig::default() };
        let table = [
            (Code::AllBrokersDown, Kind::Unavailable),
            (Code::OperationTimedOut, Kind::Unavailable),
            (Code::SaslAuthenticationFailed, Kind::Config),
            (Code::UnknownTopicOrPartition, Kind::Config),
            (Code::TopicAuthorizationFailed, Kind::Config),
            (Code::OffsetOutOfRange, Kind::Input),
            (Code::MessageSizeTooLarge, Kind::Input),
            (Code::NotEnoughReplicas, Kind::Unavailable),
        ];
        for (code, kind) in table {
            let error = explain(&config, "read `books`", KafkaError::Global(code), &Watch::default());
            assert_eq!(error.kind(), kind, "{code:?}");
            assert!(error.to_string().starts_with("read `books`: "), "{error}");
            assert!(error.hint_text().is_some() && error.source().is_some(), "{code:?}");
        }
    }

    #[test]
    fn a_refused_login_explains_the_time_out_after_it() {
        let watch = Watch::default();
        watch.report(KafkaError::Global(Code::Authentication), "SASL: invalid username or password");
        watch.report(KafkaError::Global(Code::AllBrokersDown), "1/1 brokers are down");
        let timed_out = KafkaError::Global(Code::OperationTimedOut);
        let error = explain(&KafkaConfig::default(), "x", timed_out, &watch);
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.source().unwrap().to_string().contains("invalid username"));
    }
}
