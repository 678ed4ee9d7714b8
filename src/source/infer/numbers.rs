//! Numbers in a column: width, scale and decimal separator that hold all of them.

use super::Kind;

const MAX_PRECISION: usize = 38;
/// Fractions get room for cents even where the file at hand shows none: the next one may.
const LEAST_SCALE: usize = 2;
const USUAL_PRECISION: usize = 18;
/// Digits a usual decimal keeps free for larger values than those seen.
const HEADROOM: usize = 4;

/// Texts read with one decimal separator.
#[derive(Debug, Clone)]
struct Tally {
    separator: char,
    /// Every text seen is a number with this separator.
    alive: bool,
    integer_digits: usize,
    scale: usize,
    has_exponent: bool,
    has_fraction: bool,
    only_zero_fractions: bool,
    /// Some fraction cannot be a group of thousands.
    is_surely_decimal: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Numbers {
    point: Tally,
    comma: Tally,
    /// In semicolon files a point may part thousands, as the comma may in all others.
    point_may_group: bool,
}

impl Numbers {
    pub fn new(delimiter: char) -> Numbers {
        let tally = |separator, alive| Tally {
            separator,
            alive,
            integer_digits: 0,
            scale: 0,
            has_exponent: false,
            has_fraction: false,
            only_zero_fractions: true,
            is_surely_decimal: false,
        };
        Numbers { point: tally('.', true), comma: tally(',', delimiter != ','), point_may_group: delimiter == ';' }
    }

    pub fn observe(&mut self, text: &str) {
        self.point.observe(text);
        self.comma.observe(text);
    }

    pub fn is_alive(&self) -> bool {
        self.point.alive || self.comma.alive
    }

    pub fn kind(&self, has_nulls: bool) -> Option<(Kind, Option<String>)> {
        let (tally, may_group) = match (self.point.alive, self.comma.alive) {
            (true, _) => (&self.point, self.point_may_group),
            (false, true) => (&self.comma, true),
            (false, false) => return None,
        };
        Some(tally.kind(has_nulls, may_group))
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
        self.integer_digits = self.integer_digits.max(integer.len());
        self.has_exponent |= exponent.is_some();
        if let Some(fraction) = fraction {
            self.has_fraction = true;
            self.scale = self.scale.max(fraction.len());
            self.only_zero_fractions &= fraction == "0";
            let is_group = fraction.len() == 3 && (1..=3).contains(&integer.len()) && integer != "0";
            self.is_surely_decimal |= !is_group || exponent.is_some();
        }
        Some(())
    }

    fn kind(&self, has_nulls: bool, may_group: bool) -> (Kind, Option<String>) {
        let comma = self.separator == ',';
        if may_group && self.has_fraction && !self.is_surely_decimal {
            let remark = format!("`{}` may part thousands or decimals", self.separator);
            return (Kind::Text, Some(remark));
        }
        if self.has_exponent {
            return (Kind::Double { comma }, None);
        }
        if self.integer_digits <= USUAL_PRECISION {
            if !self.has_fraction {
                return (Kind::Bigint, None);
            }
            if self.only_zero_fractions && has_nulls && !comma {
                return (Kind::WholeDecimal, None);
            }
        }
        let scale = if self.has_fraction { self.scale.max(LEAST_SCALE) } else { self.scale };
        if self.integer_digits + scale > MAX_PRECISION {
            return (Kind::Text, Some(format!("numbers of more than {MAX_PRECISION} digits")));
        }
        let fits_usual = self.integer_digits + scale + HEADROOM <= USUAL_PRECISION;
        let precision = if fits_usual { USUAL_PRECISION } else { MAX_PRECISION };
        (Kind::Decimal { precision: precision as u8, scale: scale as u8, comma }, None)
    }
}
