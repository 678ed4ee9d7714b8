//! ISO 8601 texts to instants.

use chrono::{DateTime, NaiveDate, NaiveDateTime};

/// A parsed date and time; `has_zone` tells whether the text said at which offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub milliseconds: i64,
    pub has_zone: bool,
}

/// `2015-09-12T00:46:58.771Z` with `T` or a blank, seconds and their fraction optional, the offset absent,
/// `Z`, `+01`, `+0100` or `+01:00`. No date alone.
pub(super) fn parse_moment(text: &str) -> Option<Moment> {
    let is_date_first = text.len() >= 16 && text.is_ascii() && text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-';
    if !is_date_first || !matches!(text.as_bytes()[10], b'T' | b't' | b' ') {
        return None;
    }
    let (date, time) = (NaiveDate::parse_from_str(&text[..10], "%Y-%m-%d").ok()?, &text[11..]);
    let zone = time.find(['Z', 'z', '+', '-']);
    let clock = zone.map_or(time, |at| time[..at].trim_end());
    let format = if clock.len() == 5 { "%H:%M" } else { "%H:%M:%S%.f" };
    let moment = NaiveDateTime::new(date, chrono::NaiveTime::parse_from_str(clock, format).ok()?);
    let Some(at) = zone else {
        return Some(Moment { milliseconds: moment.and_utc().timestamp_millis(), has_zone: false });
    };
    let offset = DateTime::parse_from_str(&format!("2000-01-01 00:00 {}", &time[at..]), "%Y-%m-%d %H:%M %#z").ok()?;
    let moment = moment.and_utc() - chrono::Duration::seconds(i64::from(offset.offset().local_minus_utc()));
    Some(Moment { milliseconds: moment.timestamp_millis(), has_zone: true })
}

/// Milliseconds since 1970 of an event time, UTC unless the text has an offset; a date is its midnight.
pub(super) fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    if text.len() == 10 {
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        return Some(date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis());
    }
    parse_moment(text).map(|moment| moment.milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_of_iso_8601_are_the_same_instant() {
        // date -u -d 2015-09-12T00:46:58Z +%s = 1442018818
        let table = [
            ("2015-09-12T00:46:58.771Z", Some(1_442_018_818_771)),
            ("2015-09-12 00:46:58", Some(1_442_018_818_000)),
            ("2015-09-12T02:46:58+02:00", Some(1_442_018_818_000)),
            ("2015-09-12 02:46:58.5+0200", Some(1_442_018_818_500)),
            ("2015-09-11 23:46:58-01", Some(1_442_018_818_000)),
            (" 2015-09-12T00:46 ", Some(1_442_018_760_000)),
            ("2015-09-12", Some(1_442_016_000_000)),
            ("1969-12-31T23:59:59Z", Some(-1000)),
            ("12/09/2015 00:46", None),
            ("2015-13-12", None),
            ("2015-09-12T25:00:00Z", None),
            ("2015-09-12T00:46:58 Europe/Berlin", None),
            ("", None),
            ("早早早早早早早早", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }
}
