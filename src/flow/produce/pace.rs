//! When the next row may be sent: so many rows a second, or as far apart as the events were, divided by a
//! speed, or the later of both. Only computes; the caller waits.

use crate::error::{Error, Result};
use crate::source::SourceConfig;
use std::time::{Duration, Instant};

pub(super) struct Pace {
    /// Time from row to row.
    gap: Option<Duration>,
    speed: Option<f64>,
    first: Option<First>,
    rows: u64,
}

/// The first row sent, from which all others are timed, so that small delays do not add up.
#[derive(Clone, Copy)]
struct First {
    at: Instant,
    event_ms: Option<i64>,
}

impl Pace {
    pub fn new(source: &SourceConfig) -> Result<Pace> {
        let positive = |name: &str, value: Option<f64>| match value {
            Some(value) if !(value > 0.0 && value.is_finite()) => {
                Err(Error::config(format!("`{name} = {value}` of source `{}` is no pace", source.name))
                    .hint("give a number above 0, or leave it out to go as fast as it goes"))
            }
            value => Ok(value),
        };
        let rate = positive("rate", source.rate)?;
        let speed = positive("speed", source.speed)?;
        if speed.is_some() && source.event_time.is_none() {
            return Err(Error::config(format!("source `{}` has a `speed` but no `event_time`", source.name))
                .hint("name the column that holds the time of the event, or use `rate`"));
        }
        Ok(Pace { gap: rate.map(|rate| seconds(1.0 / rate)), speed, first: None, rows: 0 })
    }

    /// The moment before which the next row must not be sent; `None` when it may go at once. Counts the row.
    pub fn due(&mut self, event_ms: Option<i64>, now: Instant) -> Option<Instant> {
        let first = self.first.get_or_insert(First { at: now, event_ms: None });
        if first.event_ms.is_none() {
            first.event_ms = event_ms;
        }
        let first = *first;
        let rows_before = self.rows;
        self.rows += 1;
        let by_rate = self.gap.map(|gap| seconds(gap.as_secs_f64() * rows_before as f64));
        let by_event = match (self.speed, first.event_ms, event_ms) {
            // A late row, whose event lies before the first one's, goes at once.
            (Some(speed), Some(start), Some(event)) => {
                Some(seconds(event.saturating_sub(start).max(0) as f64 / 1000.0 / speed))
            }
            _ => None,
        };
        by_rate.max(by_event).and_then(|wait| first.at.checked_add(wait))
    }
}

/// A wait too long to be told apart from for ever is cut to a century.
fn seconds(seconds: f64) -> Duration {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
    Duration::try_from_secs_f64(seconds).map_or(CENTURY, |wait| wait.min(CENTURY))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(rate: Option<f64>, speed: Option<f64>) -> SourceConfig {
        SourceConfig { name: "s".into(), rate, speed, event_time: Some("at".into()), ..SourceConfig::default() }
    }

    #[test]
    fn rows_are_timed_from_the_first() {
        let now = Instant::now();
        // rate, speed, event times in ms, expected due times in ms after the first row
        let all = |times: &[i64]| times.iter().copied().map(Some).collect::<Vec<Option<i64>>>();
        let table = [
            (None, None, all(&[5, 9]), vec![None, None]),
            (Some(4.0), None, vec![None, None, None], all(&[0, 250, 500])),
            (None, Some(2.0), vec![Some(1000), Some(3000), Some(500), None], vec![Some(0), Some(1000), Some(0), None]),
            (None, Some(1.0), vec![None, Some(7000), Some(7500)], vec![None, Some(0), Some(500)]),
            (Some(1.0), Some(1.0), all(&[0, 400, 5000]), all(&[0, 1000, 5000])),
        ];
        for (rate, speed, events, expected) in table {
            let mut pace = Pace::new(&source(rate, speed)).unwrap();
            let due: Vec<Option<i64>> = events
                .iter()
                .map(|event| pace.due(*event, now).map(|due| due.duration_since(now).as_millis() as i64))
                .collect();
            assert_eq!(due, expected, "{rate:?} {speed:?}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for (rate, speed) in
            [(Some(0.0), None), (Some(f64::NAN), None), (None, Some(-1.0)), (None, Some(f64::INFINITY))]
        {
            assert!(Pace::new(&source(rate, speed)).is_err(), "{rate:?} {speed:?}");
        }
        let without_event = SourceConfig { event_time: None, ..source(None, Some(1.0)) };
        assert!(Pace::new(&without_event).is_err());
    }
}
