//! Kafka: the topics between the sources and Bronze.
//!
//! Owns every call into librdkafka: reading with manual assignment ([`Consumer`]), idempotent sending
//! ([`Producer`]), topics ([`admin`]), which partition a row goes to ([`partitioner`]), what of a source is already
//! there ([`tail`]) and whether a topic is still the one that was read ([`Tip`]). The embedded broker and a cluster
//! are reached by the same code, only the address differs.
//!
//! Never joins a consumer group and never commits an offset: positions live in the tables. All calls block;
//! async callers wrap them in `spawn_blocking`.
//!
//! A new librdkafka property needs no code: [`KafkaConfig::properties`] is passed on verbatim, except for the
//! few the promises of this module rest on, which are refused.

pub mod admin;
mod assigned;
mod consumer;
mod ends;
mod fault;
mod messages;
#[cfg(test)]
pub(crate) mod mock;
pub mod partitioner;
mod producer;
pub mod tail;
#[cfg(test)]
mod tests;
mod tip;
mod watch;

pub use consumer::{Consumer, Watermarks};
pub use messages::{Headers, Message, Messages};
pub use producer::{Producer, WINDOW};
pub use tip::Tip;

use crate::error::{Error, Result};
use rdkafka::ClientConfig;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How long a broker may stay silent before it counts as unreachable.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the brokers are, and any librdkafka property verbatim (`security.protocol`, `sasl.password`, ...).
#[derive(Clone, Default)]
pub struct KafkaConfig {
    pub brokers: String,
    pub properties: BTreeMap<String, String>,
}

/// Properties without which a promise would break, by role; the second list holds librdkafka's other
/// spellings of the same properties. A user's value for one of them is refused, not overwritten.
struct Promises {
    fixed: &'static [(&'static str, &'static str)],
    aliases: &'static [&'static str],
}

const READING: Promises = Promises {
    fixed: &[
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("enable.partition.eof", "true"),
        // An offset that retention overtook is an error for the reader to explain, never a jump.
        ("auto.offset.reset", "error"),
    ],
    aliases: &[],
};

const SENDING: Promises = Promises {
    fixed: &[
        ("enable.idempotence", "true"),
        ("acks", "all"),
        // A row that cannot be delivered must end the run: rows behind it in the same partition would
        // otherwise make its second try look like a duplicate to Bronze.
        ("enable.gapless.guarantee", "true"),
        ("message.timeout.ms", "0"),
    ],
    aliases: &["request.required.acks", "delivery.timeout.ms"],
};

impl KafkaConfig {
    /// `buffer`: bytes of memory for what was fetched and not yet taken.
    fn reading(&self, buffer: usize) -> Result<ClientConfig> {
        let kilobytes = (buffer / 1024).max(1_024);
        // The queue is looked at before a fetch, so it may grow by one more; and a fetch of compressed batches
        // unfolds to several times its size.
        let fetch = (buffer / 16).clamp(1 << 20, 16 << 20);
        let mut client = self.client(
            &[
                // assign() wants one although no group is joined.
                ("group.id", "lake"),
                ("isolation.level", "read_committed"),
                ("allow.auto.create.topics", "false"),
                // The default of 1000 makes a reader whose queue was full wait a second.
                ("fetch.queue.backoff.ms", "5"),
                ("fetch.wait.max.ms", "100"),
                // Tells the ends of what is fetched, see `Watch::end`.
                ("statistics.interval.ms", "1000"),
                // Both bounds hold for all partitions together. Payload bytes are what librdkafka counts; each
                // message costs it some 500 bytes beside them.
                ("queued.min.messages", &kilobytes.to_string()),
                ("queued.max.messages.kbytes", &kilobytes.to_string()),
                ("fetch.max.bytes", &fetch.to_string()),
            ],
            &READING,
        )?;
        // Tells of a topic that another one took the place of, see `watch`; a few lines a topic.
        let debug = client.get("debug").map_or_else(|| "topic".into(), |wanted| format!("{wanted},topic"));
        client.set("debug", debug).set_log_level(RDKafkaLogLevel::Debug);
        Ok(client)
    }

    fn sending(&self) -> Result<ClientConfig> {
        self.client(
            &[
                ("linger.ms", "5"),
                ("compression.type", "lz4"),
                // Only the broker decides what is too large; batches stay at their default size.
                ("message.max.bytes", "104857600"),
                ("batch.size", "1000000"),
                ("queue.buffering.max.kbytes", "131072"),
            ],
            &SENDING,
        )
    }

    fn client(&self, defaults: &[(&str, &str)], promises: &Promises) -> Result<ClientConfig> {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "lake")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "500")
            .set("socket.connection.setup.timeout.ms", "8000");
        for (key, value) in defaults {
            client.set(*key, *value);
        }
        for (key, value) in &self.properties {
            client.set(key, value);
        }
        for (key, value) in promises.fixed {
            if self.properties.get(*key).is_some_and(|wanted| wanted != value) {
                return Err(fixed_property(key));
            }
            client.set(*key, *value);
        }
        match promises.aliases.iter().find(|alias| self.properties.contains_key(**alias)) {
            Some(alias) => Err(fixed_property(alias)),
            None => Ok(client),
        }
    }

    /// Creates a client of librdkafka; does not connect yet.
    fn create<C, T: FromClientConfigAndContext<C>>(&self, client: &ClientConfig, context: C) -> Result<T>
    where
        C: rdkafka::ClientContext,
    {
        client.create_with_context(context).map_err(|failure| fault::setup(&failure))
    }
}

fn fixed_property(key: &str) -> Error {
    Error::config(format!("kafka property `{key}` cannot be changed"))
        .hint("nothing lost and nothing twice rests on it; remove it from the kafka properties")
}

/// Whether a property's value must not be shown.
fn is_secret(key: &str) -> bool {
    ["password", "secret", "key", "token", "jaas", "sasl.oauthbearer.config"].iter().any(|part| key.contains(part))
}

impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: BTreeMap<&str, &str> = self
            .properties
            .iter()
            .map(|(key, value)| (key.as_str(), if is_secret(key) { "***" } else { value.as_str() }))
            .collect();
        f.debug_struct("KafkaConfig").field("brokers", &self.brokers).field("properties", &shown).finish()
    }
}

#[cfg(test)]
mod property_tests {
    use super::*;

    fn with(properties: &[(&str, &str)]) -> KafkaConfig {
        let properties = properties.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        KafkaConfig { brokers: "127.0.0.1:1".into(), properties }
    }

    #[test]
    fn secrets_are_masked() {
        let shown = format!("{:?}", with(&[("sasl.password", "canary"), ("ssl.key.pem", "canary"), ("acks", "all")]));
        assert!(!shown.contains("canary"), "{shown}");
        assert!(shown.contains("sasl.password") && shown.contains("all"), "{shown}");
    }

    #[test]
    fn a_users_property_wins_over_a_default_but_not_over_a_promise() {
        let client = with(&[("linger.ms", "50"), ("acks", "all")]).sending().unwrap();
        assert_eq!(client.get("linger.ms"), Some("50"));
        for (key, value) in [("acks", "1"), ("enable.idempotence", "false"), ("delivery.timeout.ms", "5")] {
            let refused = with(&[(key, value)]).sending().unwrap_err();
            assert_eq!(refused.kind(), crate::error::Kind::Config, "{key}");
            assert!(refused.to_string().contains(key), "{refused}");
        }
    }

    #[test]
    fn a_value_librdkafka_refuses_names_its_key_and_hides_a_secret() {
        for (key, value) in [("linger.ms", "soon"), ("ssl.key.password.x", "canary"), ("security.protocol", "tsl")] {
            let refused = Consumer::new(&with(&[(key, value)])).err().unwrap();
            assert_eq!(refused.kind(), crate::error::Kind::Config, "{key}");
            let text = format!("{refused} {refused:?}");
            assert!(text.contains(key) && !text.contains("canary"), "{text}");
        }
    }
}
