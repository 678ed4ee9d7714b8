//! Numbers in a column: width, scale and decimal separator that hold all of them.

use super::{Finding, Kind};

const MAX_PRECISION: usize = 38;
/// Fractions get room for cents even where the file at hand shows none: the next one may.
const LEAST_SCALE: usize = 2;
const USUAL_PRECISION: usize = 18;
/// Digits a usual decimal keeps free for larger values than those seen.
const HEADROOM: usize = 4;

/// Texts read with one decimal separator, and with a mark between thousands or without.
#[derive(Debug, Clone)]
struct Tally {
    separator: char,
    thousands: Option<char>,
    /// Every text seen is a number with this separator.
    alive: bool,
    integer_digits: usize,
    scale: usize,
    has_exponent: bool,
    has_fraction: bool,
    only_zero_fractions: bool,
    /// Some fraction cannot be a group of thousands.
    is_surely_decimal: bool,
    /// Some text has two groups of thousands, or a group and a fraction.
    is_surely_grouped: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Numbers {
    point: Tally,
    comma: Tally,
    /// `1,234.5` and `1.234,5`.
    grouped: [Tally; 2],
    /// In semicolon files a point may part thousands, as the comma may in all others.
    point_may_group: bool,
}

impl Numbers {
    pub fn new(delimiter: char) -> Numbers {
        let tally = |separator, thousands, alive| Tally {
            separator,
            thousands,
            alive,
            integer_digits: 0,
            scale: 0,
            has_exponent: false,
            has_fraction: false,
            only_zero_fractions: true,
            is_surely_decimal: false,
            is_surely_grouped: false,
        };
        Numbers {
            point: tally('.', None, true),
            comma: tally(',', None, delimiter != ','),
            grouped: [tally('.', Some(','), true), tally(',', Some('.'), true)],
            point_may_group: delimiter == ';',
        }
    }

    pub fn observe(&mut self, text: &str) {
        self.point.observe(text);
        self.comma.observe(text);
        self.grouped.iter_mut().for_each(|tally| tally.observe(text));
    }

    pub fn is_alive(&self) -> bool {
        self.point.alive || self.comma.alive
    }

    pub fn finding(&self, has_nulls: bool) -> Option<Finding> {
        let (tally, may_group) = match (self.point.alive, self.comma.alive) {
            (true, _) => (&self.point, self.point_may_group),
            (false, true) => (&self.comma, true),
            (false, false) => return self.grouped_finding(),
        };
        if !may_group || !tally.has_fraction || tally.is_surely_decimal {
            return Some(tally.finding(has_nulls));
        }
        let grouped = self.grouped.iter().find(|grouped| grouped.thousands == Some(tally.separator));
        Some(tally.in_doubt(grouped.unwrap_or(tally)))
    }

    /// Numbers that have marks between thousands.
    fn grouped_finding(&self) -> Option<Finding> {
        let alive = self.grouped.iter().find(|tally| tally.alive)?;
        if alive.is_surely_grouped {
            return Some(alive.finding(false));
        }
        // Read with the other sign for decimals, `1,234` would be a little more than one.
        let other = self.grouped.iter().find(|tally| Some(tally.separator) == alive.thousands);
        Some(alive.in_doubt(other.unwrap_or(alive)))
    }
}

impl Tally {
    fn observe(&mut self, text: &str) {
        if self.alive && self.add(text).is_none() {
            self.alive = false;
        }
    }

    /// `None`: not a number, or one that would change when read as such.
    fn add(&mut self, text: &str) -> Option<()> {
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (unsigned, None),
        };
        let (integer, fraction) = match mantissa.split_once(self.separator) {
            Some((integer, fraction)) => (integer, Some(fraction)),
            None => (mantissa, None),
        };
        let groups = self.thousands.map_or(0, |mark| integer.matches(mark).count());
        let integer = &self.ungrouped(integer)?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let has_leading_zero = integer.len() > 1 && integer.starts_with('0');
        let integer_is_digits = digits(integer) || (integer.is_empty() && fraction.is_some());
        let exponent_is_digits = exponent.is_none_or(|text| digits(text.strip_prefix(['+', '-']).unwrap_or(text)));
        if has_leading_zero || !integer_is_digits || !fraction.is_none_or(digits) || !exponent_is_digits {
            return None;
        }
        if exponent.is_some() && !text.replace(',', ".").parse::<f64>().is_ok_and(f64::is_finite) {
            return None;
        }
        if self.thousands.is_some() && exponent.is_some() {
            return None;
        }
        self.is_surely_grouped |= groups > 1 || (groups == 1 && fraction.is_some());
        self.integer_digits = self.integer_digits.max(integer.len());
        self.has_exponent |= exponent.is_some();
        if let Some(fraction) = fraction {
            self.has_fraction = true;
            self.scale = self.scale.max(fraction.len());
            self.only_zero_fractions &= fraction == "0";
            let is_group = fraction.len() == 3 && (1..=3).contains(&integer.len()) && integer.as_str() != "0";
            self.is_surely_decimal |= !is_group || exponent.is_some();
        }
        Some(())
    }

    /// The whole part without marks between thousands; `None` when those do not part groups of three.
    fn ungrouped(&self, integer: &str) -> Option<String> {
        let Some((mark, (first, rest))) = self.thousands.and_then(|mark| Some((mark, integer.split_once(mark)?)))
        else {
            return Some(integer.to_string());
        };
        let are_groups = (1..=3).contains(&first.len()) && rest.split(mark).all(|group| group.len() == 3);
        are_groups.then(|| integer.replace(mark, ""))
    }

    fn marks(&self) -> &'static str {
        match (self.separator, self.thousands) {
            (',', None) => ",",
            (',', Some(_)) => ".,",
            (_, None) => ".",
            (_, Some(_)) => ",.",
        }
    }

    fn in_doubt(&self, other: &Tally) -> Finding {
        let mark = self.thousands.unwrap_or(self.separator);
        let kinds = [self, other].map(|tally| tally.finding(false).kind);
        Finding::doubtful(format!("`{mark}` may part thousands or decimals"), kinds)
    }

    fn finding(&self, has_nulls: bool) -> Finding {
        let marks = self.marks();
        if self.has_exponent {
            return Finding::sure(Kind::Double { comma: self.separator == ',' });
        }
        if self.integer_digits <= USUAL_PRECISION && self.thousands.is_none() {
            if !self.has_fraction {
                return Finding::sure(Kind::Bigint);
            }
            if self.only_zero_fractions && has_nulls && marks == "." {
                return Finding::sure(Kind::WholeDecimal);
            }
        }
        let scale = if self.has_fraction { self.scale.max(LEAST_SCALE) } else { self.scale };
        if self.integer_digits + scale > MAX_PRECISION {
            return Finding::text(format!("numbers of more than {MAX_PRECISION} digits"));
        }
        let fits_usual = self.integer_digits + scale + HEADROOM <= USUAL_PRECISION;
        let precision = if fits_usual { USUAL_PRECISION } else { MAX_PRECISION };
        Finding::sure(Kind::Decimal { precision: precision as u8, scale: scale as u8, marks })
    }
}
