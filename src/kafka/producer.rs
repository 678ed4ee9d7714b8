//! Sending rows so that each partition holds a prefix of what was sent to it.
//!
//! The broker accepts an idempotent producer's records of a partition only in sequence, the producer stops
//! at the first record it cannot deliver, and no record ever expires behind others (the fixed properties in
//! the head of `kafka`). So whatever moment a run ends at, the rows of a partition are there without a hole,
//! and the next run goes on behind the last one found. [`tail`](super::tail) and Bronze's duplicate filter
//! rest on this.

use super::watch::{Watch, log_line};
use super::{KafkaConfig, fault};
use crate::error::Result;
use crate::record::{HEADER_ERROR, HEADER_POSITION, HEADER_SOURCE, Record};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A row is sent only when every row up to this many before it is acknowledged: bounds memory, and how much
/// one slow partition can lag behind the others.
pub const WINDOW: usize = 10_000;

/// How long to wait at a time for acknowledgements.
const SERVE: Duration = Duration::from_millis(2);

/// Sends rows to one topic. Dropping it gives up whatever is not acknowledged yet.
pub struct Producer {
    config: KafkaConfig,
    client: BaseProducer<Deliveries>,
    topic: String,
    ack_timeout: Duration,
}

impl Producer {
    /// `ack_timeout`: how long the oldest row may stay unacknowledged. Does not connect yet.
    pub fn new(config: &KafkaConfig, topic: &str, ack_timeout: Duration) -> Result<Producer> {
        let client = config.create(&config.sending()?, Deliveries::default())?;
        Ok(Producer { config: config.clone(), client, topic: topic.to_string(), ack_timeout })
    }

    /// Hands one row over, waiting while the window is full. The headers name the row; its error, when it has
    /// one, goes along. Errors concern any row sent so far.
    pub fn send(&self, partition: i32, source: &str, record: &Record) -> Result<()> {
        self.serve(Duration::ZERO)?;
        while self.window().is_full() {
            self.serve(SERVE)?;
        }
        let row = record.position.row;
        let ticket = self.window().open(row);
        let position = record.position.to_string();
        let mut headers = OwnedHeaders::new_with_capacity(3)
            .insert(Header { key: HEADER_SOURCE, value: Some(source) })
            .insert(Header { key: HEADER_POSITION, value: Some(position.as_str()) });
        if let Some(error) = &record.error {
            headers = headers.insert(Header { key: HEADER_ERROR, value: Some(error.as_str()) });
        }
        let mut message = BaseRecord::with_opaque_to(&self.topic, ticket)
            .partition(partition)
            .payload(record.payload.as_ref())
            .headers(headers);
        message.key = record.key.as_deref();
        message.timestamp = record.timestamp_ms.filter(|ms| is_sendable(*ms));
        self.enqueue(message, row)
    }

    fn enqueue(&self, mut message: BaseRecord<'_, [u8], [u8], usize>, row: u64) -> Result<()> {
        loop {
            match self.client.send(message) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(Code::QueueFull), refused)) => message = refused,
                Err((failure, _)) => {
                    self.window().fail(failure, row);
                    return self.check();
                }
            }
            self.serve(SERVE)?;
        }
    }

    /// Lets time pass while acknowledgements are taken in.
    pub fn serve(&self, time: Duration) -> Result<()> {
        self.client.poll(time);
        self.check()
    }

    /// Waits until every row sent is acknowledged, at most the ack time-out for each step forward.
    pub fn flush(&self) -> Result<()> {
        while !self.window().is_empty() {
            self.serve(SERVE)?;
        }
        Ok(())
    }

    /// Rows the broker has acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.window().acknowledged
    }

    /// Rows handed over since the oldest one that is not acknowledged.
    pub fn unacknowledged(&self) -> usize {
        self.window().rows.len()
    }

    fn check(&self) -> Result<()> {
        let window = self.window();
        let watch = &self.client.context().watch;
        if let Some((failure, row)) = window.failure.clone() {
            let attempt = format!("send row {row} to topic `{}`", self.topic);
            return Err(fault::explain(&self.config, &attempt, failure, watch));
        }
        if window.is_empty() {
            return Ok(());
        }
        let sending = || format!("send to topic `{}`", self.topic);
        if let Some(refused) = watch.refused() {
            return Err(fault::explain(&self.config, &sending(), refused.failure, watch));
        }
        if window.moved.elapsed() < self.ack_timeout {
            return Ok(());
        }
        match watch.last() {
            Some(lost) => Err(fault::unreachable(&self.config, &sending(), lost.reason)),
            None => Err(fault::silent(&self.config, &sending(), self.ack_timeout)),
        }
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.client.context().window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the time can stand as a record's timestamp: 0 and below have other meanings in the protocol, and
/// a broker refuses times far ahead of its clock. The event time itself is in the payload in any case.
fn is_sendable(timestamp_ms: i64) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    timestamp_ms > 0 && (timestamp_ms as u128) <= now
}

/// Rows handed over and not acknowledged yet, oldest first.
struct Window {
    /// Ticket of the front row.
    first: usize,
    rows: VecDeque<Pending>,
    acknowledged: u64,
    /// When the oldest unacknowledged row was last another one.
    moved: Instant,
    /// The first row that failed, and why.
    failure: Option<(KafkaError, u64)>,
}

struct Pending {
    row: u64,
    acknowledged: bool,
}

impl Default for Window {
    fn default() -> Window {
        Window { first: 0, rows: VecDeque::new(), acknowledged: 0, moved: Instant::now(), failure: None }
    }
}

impl Window {
    fn is_full(&self) -> bool {
        self.rows.len() >= WINDOW
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn open(&mut self, row: u64) -> usize {
        if self.rows.is_empty() {
            self.moved = Instant::now();
        }
        self.rows.push_back(Pending { row, acknowledged: false });
        self.first + self.rows.len() - 1
    }

    fn acknowledge(&mut self, ticket: usize) {
        let Some(pending) = ticket.checked_sub(self.first).and_then(|index| self.rows.get_mut(index)) else {
            return;
        };
        pending.acknowledged = true;
        self.acknowledged += 1;
        while self.rows.front().is_some_and(|pending| pending.acknowledged) {
            self.rows.pop_front();
            self.first += 1;
            self.moved = Instant::now();
        }
    }

    fn refuse(&mut self, ticket: usize, failure: KafkaError) {
        let row = ticket.checked_sub(self.first).and_then(|index| self.rows.get(index)).map(|pending| pending.row);
        self.fail(failure, row.unwrap_or_default());
    }

    /// Later failures are consequences of the first.
    fn fail(&mut self, failure: KafkaError, row: u64) {
        self.failure.get_or_insert((failure, row));
    }
}

/// Takes delivery reports in; called from within `poll`.
#[derive(Default)]
struct Deliveries {
    watch: Watch,
    window: Mutex<Window>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, failure: KafkaError, reason: &str) {
        self.watch.report(failure, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: usize) {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(_) => window.acknowledge(ticket),
            Err((failure, _)) => window.refuse(ticket, failure.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::mock::Mock;
    use super::*;
    use crate::error::Kind;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
    use std::thread::sleep;

    fn acknowledged_rows(window: &mut Window, tickets: &[usize]) -> u64 {
        tickets.iter().for_each(|ticket| window.acknowledge(*ticket));
        window.acknowledged
    }

    #[test]
    fn the_window_moves_with_its_oldest_row() {
        let mut window = Window::default();
        let tickets: Vec<usize> = (1..=WINDOW as u64).map(|row| window.open(row)).collect();
        assert!(window.is_full());
        assert_eq!(acknowledged_rows(&mut window, &tickets[1..]), WINDOW as u64 - 1);
        assert!(window.is_full(), "row 1 holds all others");
        assert_eq!(acknowledged_rows(&mut window, &tickets[..1]), WINDOW as u64);
        assert!(window.is_empty());
        assert_eq!(window.open(9), WINDOW);
    }

    /// Without the gapless property librdkafka renumbers the rows behind a refused one and sends them.
    #[test]
    fn nothing_follows_a_row_the_broker_refuses() {
        let mock = Mock::with_topic("t", 1);
        let refusal = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE];
        mock.cluster.request_errors(RDKafkaApiKey::Produce, &refusal);
        let producer = Producer::new(&mock.config, "t", Duration::from_secs(20)).unwrap();
        let mut enqueued = 0;
        for ticket in 0..300 {
            // Past all checks, as if no report had come back yet.
            producer.window().open(ticket as u64 + 1);
            let row = BaseRecord::<[u8], [u8], usize>::with_opaque_to("t", ticket).partition(0).payload(b"x");
            enqueued += u64::from(producer.client.send(row).is_ok());
            sleep(Duration::from_millis(if ticket == 0 { 1500 } else { 5 }));
        }
        assert!(enqueued >= 1);
        let error = producer.flush().unwrap_err();
        assert_eq!(error.kind(), Kind::Input, "{error}");
        assert!(error.to_string().contains("row 1 "), "{error}");
        drop(producer);
        assert!(mock.read_all("t").is_empty(), "rows behind the refused one would hide it from Bronze");
    }
}
