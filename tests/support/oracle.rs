//! What a topic holds and what a Bronze table holds, each read without any code of `lake`, and their difference.
//!
//! The topic is read by a consumer of its own, and serde_json says which payload is a good row. The table's files
//! are those its log names, read with the Parquet reader alone.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampMillisecondType};
use deltalake::DeltaTable;
use deltalake::logstore::{StorageConfig, default_logstore};
use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};
use url::Url;

/// What becomes of a record, with a checksum of everything that has to arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    Row(u64),
    Reject(u64),
    /// No payload: Bronze counts it and keeps no row.
    Tombstone,
}

/// Partition and offset.
pub type Place = (i32, i64);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Good {
    n: i64,
    word: String,
    amount: f64,
}

fn sum(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn row(good: &Good, key: Option<&[u8]>, at_ms: Option<i64>) -> Fate {
    Fate::Row(sum((good.n, &good.word, good.amount.to_bits(), key, at_ms)))
}

fn reject(raw: &[u8], key: Option<&[u8]>, at_ms: Option<i64>) -> Fate {
    Fate::Reject(sum((raw, key, at_ms)))
}

/// All committed records that a topic holds now.
pub fn topic(brokers: &str, topic: &str) -> BTreeMap<Place, Fate> {
    read_topic(brokers, topic, |payload| serde_json::from_slice::<Good>(payload).ok())
}

/// As [`topic`], read by the stream of [`super::workload::Workload::mend`], to which `"number 7"` is 7.
pub fn mended_topic(brokers: &str, topic: &str) -> BTreeMap<Place, Fate> {
    read_topic(brokers, topic, |payload| {
        let mended = String::from_utf8(payload.to_vec()).ok()?;
        let number = mended.strip_prefix("{\"n\":\"number ").and_then(|rest| rest.split_once("\",\"word\""));
        let mended = number.map(|(number, rest)| format!("{{\"n\":{number},\"word\"{rest}")).unwrap_or(mended);
        serde_json::from_str::<Good>(&mended).ok()
    })
}

fn read_topic(brokers: &str, topic: &str, good: impl Fn(&[u8]) -> Option<Good>) -> BTreeMap<Place, Fate> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "oracle")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(30)).unwrap();
    let mut open: BTreeSet<i32> = metadata.topics()[0].partitions().iter().map(|partition| partition.id()).collect();
    let mut list = TopicPartitionList::new();
    for number in &open {
        list.add_partition_offset(topic, *number, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut found = BTreeMap::new();
    while !open.is_empty() {
        assert!(Instant::now() < deadline, "the oracle cannot read `{topic}` to its end");
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => {
                let (key, at_ms) = (message.key(), message.timestamp().to_millis());
                let fate = match message.payload().map(|payload| (payload, good(payload))) {
                    None => Fate::Tombstone,
                    Some((_, Some(good))) => row(&good, key, at_ms),
                    Some((payload, None)) => reject(payload, key, at_ms),
                };
                found.insert((message.partition(), message.offset()), fate);
            }
            Some(Err(KafkaError::PartitionEOF(number))) => {
                open.remove(&number);
            }
            Some(Err(failure)) => eprintln!("oracle: {failure}"),
            None => {}
        }
    }
    found
}

/// The table in a local folder.
pub fn local_table(folder: &std::path::Path) -> Vec<(Place, Fate)> {
    let url = Url::from_directory_path(folder).unwrap();
    let objects = Arc::new(object_store::local::LocalFileSystem::new());
    table(objects, url)
}

/// The table at this place of a store.
pub fn table(objects: Arc<dyn ObjectStore>, url: Url) -> Vec<(Place, Fate)> {
    let mut found = Vec::new();
    each_batch(objects, url, |batch, rejects| read(batch, rejects, &mut found));
    found
}

/// The quarantined payloads of the table in a local folder.
pub fn quarantined(folder: &std::path::Path) -> BTreeMap<Place, Vec<u8>> {
    let url = Url::from_directory_path(folder).unwrap();
    let mut found = BTreeMap::new();
    each_batch(Arc::new(object_store::local::LocalFileSystem::new()), url, |batch, rejects| {
        let column = |name: &str, to: &DataType| cast(batch.column_by_name(name).unwrap(), to).unwrap();
        let (partitions, offsets) = (column("_partition", &DataType::Int32), column("_offset", &DataType::Int64));
        let raws = column("_raw", &DataType::Binary);
        for index in (0..batch.num_rows()).filter(|_| rejects) {
            let place =
                (partitions.as_primitive::<Int32Type>().value(index), offsets.as_primitive::<Int64Type>().value(index));
            assert_eq!(found.insert(place, raws.as_binary::<i32>().value(index).to_vec()), None, "{place:?} twice");
        }
    });
    found
}

/// Reads every file of the table; the flag says whether it holds quarantined records.
pub fn each_batch(objects: Arc<dyn ObjectStore>, url: Url, mut take: impl FnMut(&RecordBatch, bool)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async move {
        let table = open(objects, url).await;
        let files = table.log_store().object_store(None);
        for path in table.snapshot().unwrap().log_data().iter().map(|file| file.path().to_string()) {
            let path = Path::parse(&path).unwrap();
            let rejects = path.as_ref().contains("_quarantined=true");
            let bytes = files.get(&path).await.unwrap().bytes().await.unwrap();
            for batch in ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap() {
                take(&batch.unwrap(), rejects);
            }
        }
    })
}

/// The table by delta-rs, beside whatever `lake` does.
pub async fn open(objects: Arc<dyn ObjectStore>, url: Url) -> DeltaTable {
    let folder = PrefixStore::new(objects.clone(), Path::from_url_path(url.path()).unwrap());
    let log = default_logstore(Arc::new(folder), objects, &url, &StorageConfig::default());
    let mut table = DeltaTable::new(log);
    table.load().await.unwrap();
    table
}

fn read(batch: &RecordBatch, rejects: bool, found: &mut Vec<(Place, Fate)>) {
    let column = |name: &str, to: &DataType| cast(batch.column_by_name(name).unwrap(), to).unwrap();
    let (partitions, offsets) = (column("_partition", &DataType::Int32), column("_offset", &DataType::Int64));
    let (keys, raws) = (column("_key", &DataType::Binary), column("_raw", &DataType::Binary));
    let moments = column("_timestamp", &DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())));
    let (numbers, words) = (column("n", &DataType::Int64), column("word", &DataType::Utf8));
    let amounts = column("amount", &DataType::Float64);
    let (keys, moments) = (keys.as_binary::<i32>(), moments.as_primitive::<TimestampMillisecondType>());
    for index in 0..batch.num_rows() {
        let key = keys.is_valid(index).then(|| keys.value(index));
        let at_ms = moments.is_valid(index).then(|| moments.value(index));
        let fate = match rejects {
            true => reject(raws.as_binary::<i32>().value(index), key, at_ms),
            false => {
                let good = Good {
                    n: numbers.as_primitive::<Int64Type>().value(index),
                    word: words.as_string::<i32>().value(index).to_string(),
                    amount: amounts.as_primitive::<Float64Type>().value(index),
                };
                row(&good, key, at_ms)
            }
        };
        let place =
            (partitions.as_primitive::<Int32Type>().value(index), offsets.as_primitive::<Int64Type>().value(index));
        found.push((place, fate));
    }
}

/// Panics unless the table holds each record of the topic exactly once, with the fate it has to have.
pub fn assert_exactly_once(expected: &BTreeMap<Place, Fate>, table: &[(Place, Fate)], what: &str) {
    let mut found: BTreeMap<Place, Vec<Fate>> = BTreeMap::new();
    for (place, fate) in table {
        found.entry(*place).or_default().push(*fate);
    }
    let wanted = expected.iter().filter(|(_, fate)| **fate != Fate::Tombstone);
    let lost: Vec<_> = wanted.clone().map(|(place, _)| *place).filter(|place| !found.contains_key(place)).collect();
    let twice: Vec<_> = found.iter().filter(|(_, fates)| fates.len() > 1).map(|(place, _)| *place).collect();
    let strange: Vec<_> = found
        .iter()
        .filter(|(place, fates)| expected.get(place).is_none_or(|wanted| fates.iter().any(|fate| fate != wanted)))
        .map(|(place, fates)| (*place, expected.get(place).copied(), fates[0]))
        .collect();
    let fault = !lost.is_empty() || !twice.is_empty() || !strange.is_empty();
    assert!(
        !fault,
        "{what}: of {} records {} are lost, {} are there more than once, {} are not what was sent\nlost {:?}\ntwice {:?}\nstrange {:?}",
        wanted.count(),
        lost.len(),
        twice.len(),
        strange.len(),
        &lost[..lost.len().min(10)],
        &twice[..twice.len().min(10)],
        &strange[..strange.len().min(10)],
    );
}
