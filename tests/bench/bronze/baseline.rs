//! The least a program can do: librdkafka with manual assignment -> arrow-json -> one Parquet file. One thread, no
//! metadata columns, no check of any record, nothing committed. It runs in a process of its own, this binary again.

use crate::measure::{self, Finished};
use crate::orders::Expected;
use crate::topic::Topic;
use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Int32Type, Schema, TimeUnit};
use arrow::json::ReaderBuilder;
use arrow::json::reader::Decoder;
use deltalake::parquet::arrow::ArrowWriter;
use deltalake::parquet::basic::Compression;
use deltalake::parquet::file::properties::WriterProperties;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};
use std::fs::File;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

const ROWS_AT_ONCE: usize = 65_536;
const SILENCE: Duration = Duration::from_secs(20);
const WORD: &str = "read-bare";

/// The command line of the measured process.
pub struct Task {
    topic: Topic,
    file: String,
}

/// Reads the topic once, measured; panics unless all of it was read.
pub fn run(topic: &Topic, expected: &Expected) -> Finished {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([WORD, &topic.brokers, &topic.name, &topic.partitions.to_string()]);
    let finished = measure::run(command.arg(folder.path().join("rows.parquet")));
    assert_eq!(finished.stdout.trim(), format!("{} {}", expected.rows, expected.quantity), "rows and quantity");
    finished
}

impl Task {
    /// What this process was started for, if it is the measured one.
    pub fn of_process() -> Option<Task> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let [word, brokers, name, partitions, file] = arguments.as_slice() else { return None };
        let partitions = (word == WORD).then(|| partitions.parse().unwrap())?;
        let topic = Topic { brokers: brokers.clone(), name: name.clone(), partitions, note_bytes: 0 };
        Some(Task { topic, file: file.clone() })
    }

    /// Prints the rows read and the sum of their quantities.
    pub fn run(&self) {
        let (consumer, total) = self.assigned();
        let mut output = Output::new(&self.file);
        let mut heard = Instant::now();
        let mut read = 0;
        while read < total {
            match consumer.poll(Duration::from_millis(100)) {
                Some(message) => {
                    output.add(message.unwrap().payload().unwrap());
                    heard = Instant::now();
                    read += 1;
                }
                None => assert!(heard.elapsed() < SILENCE, "the broker is silent after {read} of {total} records"),
            }
        }
        let (rows, quantity) = output.finish();
        println!("{rows} {quantity}");
    }

    /// A consumer at the beginning of every partition, and how many records lie ahead.
    fn assigned(&self) -> (BaseConsumer, u64) {
        let Topic { name, partitions, .. } = &self.topic;
        let consumer: BaseConsumer = self
            .topic
            .client()
            .set("group.id", "bench")
            .set("enable.auto.commit", "false")
            .set("fetch.queue.backoff.ms", "5")
            .set("fetch.wait.max.ms", "100")
            .set("queued.min.messages", "1000000")
            .set("queued.max.messages.kbytes", "65536")
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        let mut total = 0;
        for number in 0..*partitions {
            let (low, high) = consumer.fetch_watermarks(name, number, SILENCE).unwrap();
            list.add_partition_offset(name, number, Offset::Offset(low)).unwrap();
            total += (high - low) as u64;
        }
        consumer.assign(&list).unwrap();
        (consumer, total)
    }
}

struct Output {
    decoder: Decoder,
    writer: ArrowWriter<File>,
    rows: u64,
    quantity: u64,
}

impl Output {
    fn new(path: &str) -> Output {
        let schema = Arc::new(Schema::new(vec![
            Field::new("order_id", DataType::Int64, true),
            Field::new("customer", DataType::Utf8, true),
            Field::new("isbn", DataType::Utf8, true),
            Field::new("quantity", DataType::Int32, true),
            Field::new("price", DataType::Decimal128(10, 2), true),
            Field::new("placed_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
            Field::new("country", DataType::Utf8, true),
        ]));
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let writer = ArrowWriter::try_new(File::create(path).unwrap(), schema.clone(), Some(properties)).unwrap();
        let decoder = ReaderBuilder::new(schema).with_batch_size(ROWS_AT_ONCE).build_decoder().unwrap();
        Output { decoder, writer, rows: 0, quantity: 0 }
    }

    fn add(&mut self, payload: &[u8]) {
        assert_eq!(self.decoder.decode(payload).unwrap(), payload.len());
        if self.decoder.len() == ROWS_AT_ONCE {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let Some(batch) = self.decoder.flush().unwrap() else { return };
        self.rows += batch.num_rows() as u64;
        let quantities = batch.column_by_name("quantity").unwrap().as_primitive::<Int32Type>();
        self.quantity += quantities.iter().flatten().map(|quantity| quantity as u64).sum::<u64>();
        self.writer.write(&batch).unwrap();
    }

    fn finish(mut self) -> (u64, u64) {
        self.flush();
        self.writer.close().unwrap();
        (self.rows, self.quantity)
    }
}
