//! Dates and times in a column: the one notation that reads all of them.

use super::super::event_time;
use super::{Finding, Kind};
use chrono::{Datelike, NaiveDate, NaiveDateTime};

const DATES: [&str; 8] =
    ["%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%m-%d-%Y", "%d-%m-%Y"];
const CLOCKS: [&str; 4] = ["%H:%M:%S%.f", "%H:%M", "%I:%M:%S %p", "%I:%M %p"];

#[derive(Debug, Clone)]
pub(super) struct Moments {
    is_iso_date: bool,
    is_iso_moment: bool,
    zoned: u64,
    unzoned: u64,
    /// Notations that read every text so far.
    dates: Vec<String>,
    times: Vec<String>,
}

impl Moments {
    pub fn new() -> Moments {
        let dates = DATES.iter().map(|date| date.to_string()).collect();
        let times = DATES.iter().flat_map(|date| CLOCKS.iter().map(move |clock| format!("{date} {clock}"))).collect();
        Moments { is_iso_date: true, is_iso_moment: true, zoned: 0, unzoned: 0, dates, times }
    }

    pub fn observe(&mut self, text: &str) {
        if !self.is_alive() {
            return;
        }
        let could_be = text.len() >= 8 && text.len() <= 40 && text.starts_with(|c: char| c.is_ascii_digit());
        if !could_be {
            *self = Moments {
                is_iso_date: false,
                is_iso_moment: false,
                zoned: 0,
                unzoned: 0,
                dates: vec![],
                times: vec![],
            };
            return;
        }
        self.is_iso_date = self.is_iso_date && text.len() == 10 && is_date(text, DATES[0]);
        if self.is_iso_moment {
            // DataFusion reads ISO 8601 without a format only when it has seconds.
            let has_seconds = text.as_bytes().get(16) == Some(&b':');
            match event_time::parse_moment(text).filter(|_| has_seconds) {
                Some(moment) if moment.has_zone => self.zoned += 1,
                Some(_) => self.unzoned += 1,
                None => self.is_iso_moment = false,
            }
        }
        self.dates.retain(|format| is_date(text, format));
        self.times.retain(|format| is_time(text, format));
    }

    pub fn is_alive(&self) -> bool {
        self.is_iso_date || self.is_iso_moment || !self.dates.is_empty() || !self.times.is_empty()
    }

    pub fn finding(&self) -> Option<Finding> {
        let date = |format: &String| Kind::Date { format: Some(format.clone()) };
        let time = |format: &String| Kind::Timestamp { format: Some(format.clone()), has_zone: false };
        if self.is_iso_date {
            return Some(Finding::sure(Kind::Date { format: None }));
        }
        if self.is_iso_moment {
            return Some(match (self.zoned, self.unzoned) {
                (_, 0) => Finding::sure(Kind::Timestamp { format: None, has_zone: true }),
                (0, _) => Finding::sure(Kind::Timestamp { format: None, has_zone: false }),
                _ => Finding::text("times with and without an offset"),
            });
        }
        match (self.dates.as_slice(), self.times.as_slice()) {
            ([], []) => None,
            ([format], []) => Some(Finding::sure(date(format))),
            ([], [format]) => Some(Finding::sure(time(format))),
            (dates, times) => {
                let kinds = dates.iter().map(date).chain(times.iter().map(time));
                Some(Finding::doubtful("day and month cannot be told apart", kinds))
            }
        }
    }
}

fn is_date(text: &str, format: &str) -> bool {
    NaiveDate::parse_from_str(text, format).is_ok_and(|date| has_four_digits(date.year()))
}

fn is_time(text: &str, format: &str) -> bool {
    NaiveDateTime::parse_from_str(text, format).is_ok_and(|time| has_four_digits(time.year()))
}

/// A year of two digits is read as one of the first century, which nobody means.
fn has_four_digits(year: i32) -> bool {
    (1000..=9999).contains(&year)
}
