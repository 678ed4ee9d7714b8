//! One request frame in, one reply frame out.
//!
//! Owns which requests and versions are served and the ones about the cluster; records move in `transfer`.
//! A request that is not served gets error 35 and a warning, one that cannot be read ends its connection.

use super::batch::LEADER_EPOCH;
use super::store::{MAX_PARTITIONS, Store};
use super::wire::{Code, Read, Reader, Writer};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

/// The one node of the cluster.
const NODE: i32 = 1;
const CLUSTER: &str = "lake-embedded";
/// Partitions of a topic that is created without saying how many.
const DEFAULT_PARTITIONS: i32 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
pub enum Request {
    Produce = 0,
    Fetch = 1,
    ListOffsets = 2,
    Metadata = 3,
    FindCoordinator = 10,
    ApiVersions = 18,
    CreateTopics = 19,
    InitProducerId = 22,
}

/// Lowest and highest version of each request. Produce below 3 and FindCoordinator are here because clients
/// take their absence for "no compression", silently.
pub const SERVED: [(Request, i16, i16); 8] = [
    (Request::Produce, 0, 8),
    (Request::Fetch, 4, 11),
    (Request::ListOffsets, 1, 5),
    (Request::Metadata, 0, 8),
    (Request::FindCoordinator, 0, 2),
    (Request::ApiVersions, 0, 3),
    (Request::CreateTopics, 2, 4),
    (Request::InitProducerId, 0, 1),
];

/// Topic settings that say what this broker does anyway.
const SETTINGS: [(&str, &str); 6] = [
    ("cleanup.policy", "delete"),
    ("compression.type", "producer"),
    ("message.timestamp.type", "CreateTime"),
    ("min.insync.replicas", "1"),
    ("retention.bytes", "-1"),
    ("retention.ms", "-1"),
];

pub struct Responder {
    pub store: Arc<Store>,
    /// Where clients are told to connect.
    pub address: SocketAddr,
}

impl Responder {
    /// The reply to a frame (both without and with its length in front), `None` when none is to be sent.
    pub fn answer(&self, frame: &[u8]) -> Read<Option<Vec<u8>>> {
        let mut reader = Reader::new(frame);
        let (key, version, correlation) = (reader.i16()?, reader.i16()?, reader.i32()?);
        let mut out = Writer::reply(correlation);
        let Some(api) = served(key, version) else {
            tracing::warn!(
                "a client asked the embedded broker for request {key} version {version}, which it does not serve"
            );
            refuse(key, &mut out);
            return Ok(Some(out.finish()));
        };
        reader.nullable_string()?; // client id
        match api {
            Request::Produce => {
                if !self.produce(&mut reader, version, &mut out)? {
                    return Ok(None);
                }
            }
            Request::Fetch => self.fetch(&mut reader, version, &mut out)?,
            Request::ListOffsets => self.list_offsets(&mut reader, version, &mut out)?,
            Request::Metadata => self.metadata(&mut reader, version, &mut out)?,
            Request::FindCoordinator => no_coordinator(version, &mut out),
            Request::ApiVersions => api_versions(version, Code::None, &mut out),
            Request::CreateTopics => self.create_topics(&mut reader, version, &mut out)?,
            Request::InitProducerId => self.init_producer_id(&mut reader, &mut out)?,
        }
        Ok(Some(out.finish()))
    }

    fn metadata(&self, reader: &mut Reader, version: i16, out: &mut Writer) -> Read<()> {
        let wanted = reader.nullable_array(|r| r.string())?;
        let may_create = version < 4 || reader.bool()?;
        let wants_all = wanted.as_ref().is_none_or(|names| version == 0 && names.is_empty());
        // A set, so that a name repeated a thousand times is described once.
        let names: BTreeSet<String> = match wanted {
            Some(names) if !wants_all => names.into_iter().map(String::from).collect(),
            _ => self.store.topic_names().into_iter().collect(),
        };
        if version >= 3 {
            out.i32(0); // throttle
        }
        self.write_node(version, out);
        out.array(&Vec::from_iter(names), |out, name| {
            let partitions = self.partitions_of(name, may_create);
            write_topic(name, partitions, version, out);
        });
        if version >= 8 {
            out.i32(i32::MIN); // authorized operations: not asked
        }
        Ok(())
    }

    fn write_node(&self, version: i16, out: &mut Writer) {
        out.array(&[self.address], |out, address| {
            out.i32(NODE);
            out.string(&address.ip().to_string());
            out.i32(i32::from(address.port()));
            if version >= 1 {
                out.nullable_string(None); // rack
            }
        });
        if version >= 2 {
            out.nullable_string(Some(CLUSTER));
        }
        if version >= 1 {
            out.i32(NODE); // controller
        }
    }

    /// How many partitions a topic has, after it was created when that is allowed.
    fn partitions_of(&self, name: &str, may_create: bool) -> Result<i32, Code> {
        if let Some(topic) = self.store.topic(name) {
            return Ok(topic.len() as i32);
        }
        if !may_create {
            return Err(Code::UnknownTopicOrPartition);
        }
        match self.store.create(name, DEFAULT_PARTITIONS) {
            Ok(topic) => Ok(topic.len() as i32),
            // Another connection was faster.
            Err(Code::TopicAlreadyExists) => self.partitions_of(name, false),
            Err(code) => Err(code),
        }
    }

    fn create_topics(&self, reader: &mut Reader, version: i16, out: &mut Writer) -> Read<()> {
        let wanted = reader.array(NewTopic::read)?;
        reader.i32()?; // time-out: creation does not wait for anybody
        let is_trial = reader.bool()?;
        out.i32(0); // throttle
        out.array(&wanted, |out, topic| {
            out.string(topic.name);
            match self.create_topic(topic, version, is_trial) {
                Ok(()) => {
                    out.code(Code::None);
                    out.nullable_string(None);
                }
                Err((code, reason)) => {
                    out.code(code);
                    out.nullable_string(Some(&reason));
                }
            }
        });
        Ok(())
    }

    fn create_topic(&self, topic: &NewTopic, version: i16, is_trial: bool) -> Result<(), (Code, String)> {
        if !topic.assignments.is_empty() {
            return Err((Code::InvalidReplicaAssignment, "the embedded broker is one node and assigns itself".into()));
        }
        if !matches!(topic.replicas, 1 | -1) {
            return Err((Code::InvalidReplicationFactor, "the embedded broker keeps one replica".into()));
        }
        if let Some((setting, _)) = topic.settings.iter().find(|setting| !is_as_it_is(setting)) {
            let setting: String = setting.chars().take(100).collect();
            return Err((
                Code::InvalidConfig,
                format!("the embedded broker cannot change the topic setting {setting}"),
            ));
        }
        let partitions = if topic.partitions == -1 && version >= 4 { DEFAULT_PARTITIONS } else { topic.partitions };
        let created = match is_trial {
            true => self.store.may_create(topic.name, partitions),
            false => self.store.create(topic.name, partitions).map(|_| ()),
        };
        created.map_err(|code| (code, why_not_created(code)))
    }

    fn init_producer_id(&self, reader: &mut Reader, out: &mut Writer) -> Read<()> {
        let is_transactional = reader.nullable_string()?.is_some();
        let id = if is_transactional { Err(Code::InvalidRequest) } else { self.store.new_producer_id() };
        out.i32(0); // throttle
        out.code(id.err().unwrap_or(Code::None));
        out.i64(id.unwrap_or(-1));
        out.i16(if id.is_ok() { 0 } else { -1 });
        Ok(())
    }
}

struct NewTopic<'a> {
    name: &'a str,
    partitions: i32,
    replicas: i16,
    /// Partition numbers whose brokers were chosen by hand.
    assignments: Vec<i32>,
    settings: Vec<(&'a str, Option<&'a str>)>,
}

impl<'a> NewTopic<'a> {
    fn read(reader: &mut Reader<'a>) -> Read<NewTopic<'a>> {
        Ok(NewTopic {
            name: reader.string()?,
            partitions: reader.i32()?,
            replicas: reader.i16()?,
            assignments: reader.array(|r| {
                let partition = r.i32()?;
                r.array(|r| r.i32())?;
                Ok(partition)
            })?,
            settings: reader.array(|r| Ok((r.string()?, r.nullable_string()?)))?,
        })
    }
}

fn is_as_it_is((setting, value): &(&str, Option<&str>)) -> bool {
    SETTINGS.iter().any(|(known, only)| known == setting && Some(*only) == *value)
}

fn why_not_created(code: Code) -> String {
    match code {
        Code::InvalidTopic => "a topic name has 1 to 249 letters, digits, dots, underscores and hyphens".into(),
        Code::InvalidPartitions => format!("all topics together can have {MAX_PARTITIONS} partitions, each at least 1"),
        Code::TopicAlreadyExists => "the topic exists".into(),
        _ => "the broker could not write to its directory".into(),
    }
}

fn served(key: i16, version: i16) -> Option<Request> {
    let is_wanted =
        |(api, lowest, highest): &&(Request, i16, i16)| *api as i16 == key && (*lowest..=*highest).contains(&version);
    SERVED.iter().find(is_wanted).map(|(api, ..)| *api)
}

/// Error 35 where the client looks for it: ApiVersions has its own rule, all other old layouts of the requests
/// that are not served start with their error code.
fn refuse(key: i16, out: &mut Writer) {
    if key == Request::ApiVersions as i16 {
        api_versions(0, Code::UnsupportedVersion, out);
    } else {
        out.code(Code::UnsupportedVersion);
    }
}

fn api_versions(version: i16, code: Code, out: &mut Writer) {
    let is_flexible = version >= 3;
    out.code(code);
    if is_flexible {
        out.compact_count(SERVED.len());
    } else {
        out.i32(SERVED.len() as i32);
    }
    for (api, lowest, highest) in SERVED {
        out.i16(api as i16);
        out.i16(lowest);
        out.i16(highest);
        if is_flexible {
            out.no_tags();
        }
    }
    if version >= 1 {
        out.i32(0); // throttle
    }
    if is_flexible {
        out.no_tags();
    }
}

/// A client with a group id asks for its coordinator; of all errors only this one is retried quietly.
fn no_coordinator(version: i16, out: &mut Writer) {
    if version >= 1 {
        out.i32(0); // throttle
    }
    out.code(Code::CoordinatorNotAvailable);
    if version >= 1 {
        out.nullable_string(Some("the embedded broker has no consumer groups and no transactions"));
    }
    out.i32(-1);
    out.string("");
    out.i32(-1);
}

fn write_topic(name: &str, partitions: Result<i32, Code>, version: i16, out: &mut Writer) {
    out.code(partitions.err().unwrap_or(Code::None));
    out.string(name);
    if version >= 1 {
        out.i8(0); // not internal
    }
    out.array(&Vec::from_iter(0..partitions.unwrap_or(0)), |out, partition| {
        out.code(Code::None);
        out.i32(*partition);
        out.i32(NODE); // leader
        if version >= 7 {
            out.i32(LEADER_EPOCH);
        }
        out.array(&[NODE], |out, node| out.i32(*node)); // replicas
        out.array(&[NODE], |out, node| out.i32(*node)); // in sync
        if version >= 5 {
            out.array(&[], |out, node| out.i32(*node)); // offline
        }
    });
    if version >= 8 {
        out.i32(i32::MIN); // authorized operations: not asked
    }
}
