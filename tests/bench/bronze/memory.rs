//! Peak memory of `lake bronze --once` over payload sizes and partition counts, on input many times the setting.
//!
//! The setting under test is `LAKE__BRONZE__MEMORY`, passed through when it is set. Each case has a topic of its
//! own, which is deleted after it: at the default size the cases would take 18 GB of the broker's disk together.
//! The last cases write to a store that is slower than the reader, so that everything which may wait is full.

use crate::orders::Shape;
use crate::subject::{Place, Subject};
use crate::topic::Topic;
use crate::{Arguments, To};
use serde_json::{Value, json};

const PAYLOADS: [usize; 4] = [143, 1_000, 100_000, 1_000_000];
const PARTITIONS: [i32; 2] = [1, 64];
/// Of the cases with a slow store: many small values, and a few that do not compress.
const SLOW_PAYLOADS: [usize; 2] = [143, 100_000];
/// Length of an order without its note.
const BARE: usize = 143;

pub struct Case {
    payload: usize,
    partitions: i32,
    store: Place,
    records: u64,
    bytes: u64,
    peak_rss_bytes: u64,
    wall_seconds: f64,
    pub limit: Option<String>,
}

pub fn measure(brokers: &str, arguments: &Arguments) -> Vec<Case> {
    let near = PAYLOADS.map(|payload| (Place::Local, payload));
    let far = SLOW_PAYLOADS.map(|payload| (Place::Slow, payload));
    let wanted = |store| arguments.to == To::Both || (arguments.to == To::Local) == (store == Place::Local);
    let cases = near.into_iter().chain(far).filter(|(store, _)| wanted(*store));
    let cases = cases.flat_map(|(store, payload)| PARTITIONS.map(|partitions| (store, payload, partitions)));
    cases.map(|(store, payload, partitions)| case(brokers, arguments, store, payload, partitions)).collect()
}

fn case(brokers: &str, arguments: &Arguments, store: Place, payload: usize, partitions: i32) -> Case {
    let records = arguments.memory_input * 1_000_000 / payload as u64;
    let note_bytes = payload.saturating_sub(BARE);
    let shape = Shape { note_bytes, ..Shape::orders(records, partitions, arguments.seed) };
    // Not compressed: what is sent is what has to be held.
    let (topic, expected) = Topic::kept(brokers, &shape, "none");
    let finished = Subject::new(store, &topic, None).run_to_end(&expected);
    topic.delete();
    let (peak_rss_bytes, wall_seconds) = (finished.usage.peak_rss_bytes, finished.usage.wall_seconds);
    let limit = std::env::var("LAKE__BRONZE__MEMORY").ok();
    let case = Case { payload, partitions, store, records, bytes: expected.bytes, peak_rss_bytes, wall_seconds, limit };
    case.print();
    case
}

impl Case {
    pub fn print(&self) {
        let Case { payload, partitions, records, .. } = self;
        let (input, rss) = (self.bytes / 1_000_000, self.peak_rss_bytes >> 20);
        let store = self.store.name();
        println!(
            "{payload:>10} {partitions:>10} {store:>6} {records:>9} {input:>9} {rss:>8} {:>8.1}",
            self.wall_seconds
        );
    }

    pub fn json(&self) -> Value {
        json!({
            "payload_bytes": self.payload,
            "partitions": self.partitions,
            "store": self.store.name(),
            "records": self.records,
            "bytes": self.bytes,
            "peak_rss_bytes": self.peak_rss_bytes,
            "wall_seconds": self.wall_seconds,
            "limit": self.limit,
        })
    }
}
