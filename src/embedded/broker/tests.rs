//! The broker as a client sees it: bytes through a socket.

use super::batch::tests::Draft;
use super::wire::{Code, Reader};
use super::*;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

fn config(dir: &tempfile::TempDir) -> BrokerConfig {
    BrokerConfig::new(dir.path())
}

fn start(dir: &tempfile::TempDir) -> Broker {
    Broker::start(&config(dir)).unwrap()
}

/// Builds a request's body by hand.
#[derive(Default, Clone)]
struct Body(Vec<u8>);

impl Body {
    fn i8(mut self, value: i8) -> Body {
        self.0.extend(value.to_be_bytes());
        self
    }
    fn i16(mut self, value: i16) -> Body {
        self.0.extend(value.to_be_bytes());
        self
    }
    fn i32(mut self, value: i32) -> Body {
        self.0.extend(value.to_be_bytes());
        self
    }
    fn i64(mut self, value: i64) -> Body {
        self.0.extend(value.to_be_bytes());
        self
    }
    fn text(mut self, text: &str) -> Body {
        self.0.extend((text.len() as i16).to_be_bytes());
        self.0.extend(text.as_bytes());
        self
    }
    fn raw(mut self, bytes: &[u8]) -> Body {
        self.0.extend(bytes);
        self
    }
}

struct Client(TcpStream);

impl Client {
    fn connect(broker: &Broker) -> Client {
        let stream = TcpStream::connect(broker.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Client(stream)
    }

    fn send(&mut self, key: i16, version: i16, body: Body) {
        let frame = Body::default().i16(key).i16(version).i32(77).text("test").raw(&body.0).0;
        self.0.write_all(&Body::default().i32(frame.len() as i32).raw(&frame).0).unwrap();
    }

    /// The body of the next reply.
    fn receive(&mut self) -> std::io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length)?;
        let mut reply = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut reply)?;
        assert_eq!(reply[..4], 77i32.to_be_bytes());
        Ok(reply.split_off(4))
    }

    fn call(&mut self, key: i16, version: i16, body: Body) -> Vec<u8> {
        self.send(key, version, body);
        self.receive().unwrap()
    }

    fn create(&mut self, topic: &str, partitions: i32) -> i16 {
        let body = Body::default().i32(1).text(topic).i32(partitions).i16(1).i32(0).i32(0).i32(1000).i8(0);
        let reply = self.call(19, 4, body);
        i16::from_be_bytes(reply[10 + topic.len()..][..2].try_into().unwrap())
    }

    /// Error code and base offset.
    fn produce(&mut self, topic: &str, batch: &[u8]) -> (i16, i64) {
        let reply = self.call(0, 7, produce(topic, -1, batch));
        let mut reader = Reader::new(&reply[10 + topic.len()..]);
        assert_eq!(reader.i32(), Ok(0), "partition");
        (reader.i16().unwrap(), reader.i64().unwrap())
    }

    /// Error code, high watermark and records.
    fn fetch(&mut self, topic: &str, offset: i64, wait_ms: i32, min_bytes: i32) -> (i16, i64, Vec<u8>) {
        self.send(1, 11, fetch(topic, offset, wait_ms, min_bytes));
        fetched(topic, &self.receive().unwrap())
    }
}

fn produce(topic: &str, acks: i16, batch: &[u8]) -> Body {
    let records = Body::default().i32(batch.len() as i32).raw(batch);
    Body::default().i16(-1).i16(acks).i32(1000).i32(1).text(topic).i32(1).i32(0).raw(&records.0)
}

fn fetch(topic: &str, offset: i64, wait_ms: i32, min_bytes: i32) -> Body {
    let head = Body::default().i32(-1).i32(wait_ms).i32(min_bytes).i32(1 << 20).i8(1).i32(0).i32(-1);
    let partition = Body::default().i32(0).i32(0).i64(offset).i64(-1).i32(1 << 20);
    head.i32(1).text(topic).i32(1).raw(&partition.0).i32(0).text("")
}

fn fetched(topic: &str, reply: &[u8]) -> (i16, i64, Vec<u8>) {
    let mut reader = Reader::new(&reply[4 + 2 + 4 + 4 + 2 + topic.len() + 4 + 4..]);
    let (code, high_watermark) = (reader.i16().unwrap(), reader.i64().unwrap());
    assert_eq!(reader.i64(), Ok(high_watermark), "last stable offset");
    reader.i64().unwrap();
    assert_eq!(reader.i32(), Ok(0), "no aborted transactions");
    assert_eq!(reader.i32(), Ok(-1), "no other replica");
    let records = reader.nullable_bytes().unwrap().expect("records are never null");
    (code, high_watermark, records.to_vec())
}

#[test]
fn a_batch_comes_back_as_it_was_sent() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start(&dir);
    let mut client = Client::connect(&broker);
    assert_eq!(client.create("books", 1), 0);
    assert_eq!(client.create("books", 1), Code::TopicAlreadyExists as i16);
    let mut expected = vec![];
    for (n, attributes) in (0..5).enumerate() {
        let batch = Draft { attributes, ..Draft::plain(&[3]) }.bytes();
        assert_eq!(client.produce("books", &batch), (0, n as i64));
        expected.extend((n as i64).to_be_bytes());
        expected.extend(&batch[8..12]);
        expected.extend([0; 4]); // leader epoch
        expected.extend(&batch[16..]);
    }
    assert_eq!(client.fetch("books", 0, 0, 1), (0, 5, expected));
    assert_eq!(client.fetch("books", 5, 0, 1), (0, 5, vec![]));
    assert_eq!(client.fetch("books", 6, 9_000, 1).0, Code::OffsetOutOfRange as i16);
    assert_eq!(client.fetch("nothing", 0, 9_000, 1).0, Code::UnknownTopicOrPartition as i16);
    assert_eq!(client.produce("nothing", &Draft::plain(&[3]).bytes()).0, Code::UnknownTopicOrPartition as i16);
    let mut flipped = Draft::plain(&[3]).bytes();
    flipped[65] ^= 1;
    assert_eq!(client.produce("books", &flipped).0, Code::CorruptMessage as i16);
    broker.stop().unwrap();
}

#[test]
fn a_waiting_fetch_wakes_when_a_batch_arrives() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start(&dir);
    let (mut reader, mut writer) = (Client::connect(&broker), Client::connect(&broker));
    writer.create("t", 1);
    let began = Instant::now();
    assert_eq!(reader.fetch("t", 0, 120, 1), (0, 0, vec![]));
    assert!(began.elapsed() >= Duration::from_millis(120));

    reader.send(1, 11, fetch("t", 0, 60_000, 1));
    thread::sleep(Duration::from_millis(100));
    let began = Instant::now();
    writer.produce("t", &Draft::plain(&[3]).bytes());
    let (code, high_watermark, records) = fetched("t", &reader.receive().unwrap());
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!((code, high_watermark), (0, 1));
    assert!(!records.is_empty());
}

#[test]
fn stopping_is_prompt_and_lets_the_next_one_in() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = start(&dir);
    for _ in 0..3 {
        let (mut waiting, mut idle, mut half) =
            (Client::connect(&broker), Client::connect(&broker), Client::connect(&broker));
        waiting.create("t", 1);
        waiting.send(1, 11, fetch("t", 0, 60_000, 1));
        half.0.write_all(&[0, 0, 1, 0, 5]).unwrap();
        thread::sleep(Duration::from_millis(50));
        let began = Instant::now();
        broker.stop().unwrap();
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        assert!(idle.receive().is_err());
        broker = start(&dir);
    }
    assert_eq!(Broker::start(&config(&dir)).err().unwrap().kind(), Kind::Conflict);
    drop(broker);
    drop(start(&dir));
}

#[test]
fn a_client_that_does_not_read_holds_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start(&dir);
    let (mut deaf, mut other) = (Client::connect(&broker), Client::connect(&broker));
    deaf.create("t", 1);
    let batch = Draft { padding: 900_000, ..Draft::plain(&[3]) }.bytes();
    deaf.produce("t", &batch);
    (0..50).for_each(|_| deaf.send(1, 11, fetch("t", 0, 0, 1)));
    thread::sleep(Duration::from_millis(50));
    assert_eq!(other.produce("t", &batch), (0, 1));
    let began = Instant::now();
    broker.stop().unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[test]
fn what_is_not_served_gets_the_protocols_error() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start(&dir);
    let mut client = Client::connect(&broker);
    let unsupported = Code::UnsupportedVersion as i16;
    for (key, version) in [(11, 0), (8, 2), (99, 0), (-1, -1), (3, 9), (0, 9), (18, 4), (18, -1)] {
        let reply = client.call(key, version, Body::default());
        assert_eq!(reply[..2], unsupported.to_be_bytes(), "{key} {version}");
        // ApiVersions falls back to its version 0, which lists what there is instead.
        assert_eq!(reply.len(), if key == 18 { 2 + 4 + 8 * 6 } else { 2 });
    }
    let flexible = client.call(18, 3, Body::default());
    assert_eq!(flexible.len(), 2 + 1 + 8 * 7 + 4 + 1);
    let coordinator = client.call(10, 0, Body::default().text("group"));
    assert_eq!(coordinator[..2], (Code::CoordinatorNotAvailable as i16).to_be_bytes());
    let transactional = client.call(22, 0, Body::default().text("tx").i32(1000));
    assert_eq!(transactional[4..6], (Code::InvalidRequest as i16).to_be_bytes());
    assert_eq!(client.create("../evil", 1), Code::InvalidTopic as i16);
    assert_eq!(client.create("t", 0), Code::InvalidPartitions as i16);
    assert_eq!(client.create("t", -1), 0);
    let old_messages = client.produce("t", &[0; 40]);
    assert_eq!(old_messages, (Code::UnsupportedForMessageFormat as i16, -1));
}

#[test]
fn no_reply_is_sent_when_none_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start(&dir);
    let mut client = Client::connect(&broker);
    client.create("t", 1);
    client.send(0, 7, produce("t", 0, &Draft::plain(&[3]).bytes()));
    client.send(0, 7, produce("t", 0, b"rubbish"));
    client.send(0, 7, produce("t", 2, &Draft::plain(&[3]).bytes()));
    let refused = client.receive().unwrap();
    assert_eq!(refused[4 + 3 + 4 + 4..][..2], (Code::InvalidRequiredAcks as i16).to_be_bytes());
    assert_eq!(client.fetch("t", 0, 0, 1).1, 1);
}

#[test]
fn a_malformed_frame_closes_its_connection_only() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start(&dir);
    let mut bystander = Client::connect(&broker);
    bystander.create("t", 1);
    let huge_array = Body::default().i32(15).i16(3).i16(1).i32(1).i16(-1).i32(i32::MAX).i8(0).0;
    let frames: [&[u8]; 6] = [
        &[0xff; 40],
        &[0x7f, 0xff, 0xff, 0xff, 0, 0],
        &[0, 0, 0, 0],
        &[0, 0, 0, 7, 0, 3, 0, 0, 0, 0, 0],
        &[4, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        &huge_array,
    ];
    for bytes in frames {
        let mut stranger = Client::connect(&broker);
        stranger.0.write_all(bytes).unwrap();
        assert_eq!(stranger.0.read(&mut [0; 8]).unwrap_or(0), 0, "{bytes:?}");
        assert_eq!(bystander.produce("t", &Draft::plain(&[3]).bytes()).0, 0);
    }
    assert_eq!(bystander.fetch("t", 0, 0, 1).1, 6);
}

#[test]
fn more_connections_than_the_limit_are_turned_away() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start(&dir);
    let mut held: Vec<_> = (0..256).map(|_| Client::connect(&broker)).collect();
    assert_eq!(held[255].create("t", 1), 0);
    assert!(Client::connect(&broker).receive().is_err());
    held.truncate(250);
    let began = Instant::now();
    loop {
        let mut client = Client::connect(&broker);
        client.send(18, 0, Body::default());
        if client.receive().is_ok() {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn only_loopback_and_free_addresses_are_accepted() {
    let dir = tempfile::tempdir().unwrap();
    for address in ["0.0.0.0:0", "192.0.2.1:9092", "[::]:0"] {
        let refused = Broker::start(&BrokerConfig { address: address.parse().unwrap(), ..config(&dir) });
        assert_eq!(refused.err().unwrap().kind(), Kind::Config, "{address}");
    }
    let broker = start(&dir);
    let other = tempfile::tempdir().unwrap();
    let taken = Broker::start(&BrokerConfig { address: broker.address(), ..config(&other) });
    assert_eq!(taken.err().unwrap().kind(), Kind::Unavailable);
}

/// Xorshift: no crate is needed for noise.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn spoil(&mut self, bytes: &mut Vec<u8>) {
        const TELLING: [u8; 6] = [0, 1, 0x7f, 0x80, 0xfe, 0xff];
        for _ in 0..self.below(6) {
            let at = self.below(bytes.len());
            match self.below(5) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, self.next() as u8),
                2 if at + 4 <= bytes.len() => bytes[at..at + 4].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff]),
                _ if at < bytes.len() => bytes[at] = TELLING[self.below(6)],
                _ => {}
            }
        }
    }
}

/// One valid request of each kind.
fn samples(batch: &[u8]) -> Vec<Vec<u8>> {
    let head = |key: i16, version: i16| Body::default().i16(key).i16(version).i32(1).text("c");
    let list = Body::default().i32(-1).i8(0).i32(1).text("t").i32(1).i32(0).i32(0).i64(2);
    let new = Body::default().i32(1).text("n").i32(1).i16(1).i32(0).i32(1).text("retention.ms").text("-1");
    [
        head(0, 8).raw(&produce("t", -1, batch).0),
        head(0, 1).raw(&produce("t", 0, batch).0[2..]),
        head(1, 11).raw(&fetch("t", 0, 0, 1).0),
        head(2, 5).raw(&list.0),
        head(3, 8).i32(1).text("t").i8(0).i8(0).i8(0),
        head(3, 0).i32(0),
        head(10, 2).text("g").i8(0),
        head(18, 3),
        head(19, 4).raw(&new.0).i32(0).i8(1),
        head(22, 1).i16(-1).i32(0),
    ]
    .map(|body| body.0)
    .to_vec()
}

/// Neither noise nor spoiled requests make the broker panic or answer more than a fetch may hold.
#[test]
fn noise_is_survived() {
    let given: Option<u64> = std::env::var("LAKE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| u64::from(std::process::id()) | 1 << 40);
    println!("LAKE_TEST_SEED={seed}");
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(dir.path(), None).unwrap());
    store.create("t", 1).unwrap();
    store.growth.end(); // fetches must not wait
    let responder = Responder { store, address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)) };
    let mut noise = Noise(seed);
    let (mut answered, mut malformed) = (0, 0);
    for _ in 0..20_000 {
        let mut batch = Draft { padding: noise.below(40), ..Draft::plain(&[1, 5]) }.bytes();
        if noise.below(4) == 0 {
            noise.spoil(&mut batch);
        }
        let mut samples = samples(&batch);
        let mut frame = samples.swap_remove(noise.below(samples.len()));
        noise.spoil(&mut frame);
        match responder.answer(&frame) {
            Ok(reply) => {
                answered += 1;
                assert!(reply.is_none_or(|reply| reply.len() < 2 << 20));
            }
            Err(_) => malformed += 1,
        }
    }
    assert!(answered > 1_000 && malformed > 1_000, "{answered} {malformed}");
    drop(responder);
    // Whatever was stored meanwhile is sound.
    Store::open(dir.path(), None).unwrap();
    assert!(std::fs::read_dir(dir.path().join("topics/t")).unwrap().count() == 1, "nothing had to be cut");
}
