//! Decimals as PostgreSQL's binary NUMERIC: digits to the base 10,000, exact for every precision and scale.

use arrow::datatypes::i256;

const BASE: u64 = 10_000;
const POSITIVE: i16 = 0;
const NEGATIVE: i16 = 0x4000;
/// 77 decimal digits, the longest a 256-bit number has, cut anywhere, padded to a multiple of 36.
const MOST_GROUPS: usize = 32;

/// Appends `value * 10^-scale`.
pub fn put_i128(value: i128, scale: i8, out: &mut Vec<u8>) {
    let cut = Cut::of(scale);
    let mut groups = Groups::default();
    let mut rest = value.unsigned_abs();
    if let Ok(small) = u64::try_from(rest) {
        // Most are, and dividing 128 bits takes several times as long.
        groups.push(small % cut.first * cut.factor);
        groups.push_all(small / cut.first);
        return groups.put(value < 0, &cut, out);
    }
    groups.push((rest % u128::from(cut.first)) as u64 * cut.factor);
    rest /= u128::from(cut.first);
    while rest > u128::from(u64::MAX) {
        groups.push((rest % u128::from(BASE)) as u64);
        rest /= u128::from(BASE);
    }
    groups.push_all(rest as u64);
    groups.put(value < 0, &cut, out);
}

/// Appends `value * 10^-scale`; an error for the one number that has no opposite.
pub fn put_i256(value: i256, scale: i8, out: &mut Vec<u8>) -> Result<(), String> {
    if let Some(small) = value.to_i128() {
        put_i128(small, scale, out);
        return Ok(());
    }
    let out_of_range = || "is out of the range of a decimal".to_string();
    let mut rest = value.checked_abs().ok_or_else(out_of_range)?;
    let cut = Cut::of(scale);
    let mut groups = Groups::default();
    let mut take = |divisor: i128| {
        let divisor = i256::from_i128(divisor);
        let taken = rest.wrapping_rem(divisor).as_i128().unsigned_abs();
        rest = rest.wrapping_div(divisor);
        (taken, rest == i256::ZERO)
    };
    let (lowest, _) = take(i128::from(cut.first));
    groups.push(lowest as u64 * cut.factor);
    loop {
        let (mut chunk, last) = take(10i128.pow(36));
        for _ in 0..9 {
            groups.push((chunk % u128::from(BASE)) as u64);
            chunk /= u128::from(BASE);
        }
        if last {
            break;
        }
    }
    groups.put(value < i256::ZERO, &cut, out);
    Ok(())
}

/// Where a scale puts the decimal point between groups of four digits: the lowest group takes fewer
/// digits of the number and is filled up with zeros.
struct Cut {
    /// Ten to the number of digits the lowest group takes.
    first: u64,
    /// Fills the lowest group up to four digits.
    factor: u64,
    /// Power of 10,000 of the lowest group.
    exponent: i16,
    /// Digits shown behind the point.
    shown: i16,
}

impl Cut {
    fn of(scale: i8) -> Cut {
        let power = -i16::from(scale);
        let filled = power.rem_euclid(4).unsigned_abs();
        let factor = 10u64.pow(u32::from(filled));
        Cut { first: BASE / factor, factor, exponent: power.div_euclid(4), shown: i16::from(scale).max(0) }
    }
}

/// Groups of four digits, the lowest first.
#[derive(Default)]
struct Groups {
    digits: [u16; MOST_GROUPS],
    count: usize,
}

impl Groups {
    fn push(&mut self, group: u64) {
        self.digits[self.count] = group as u16;
        self.count += 1;
    }

    fn push_all(&mut self, mut rest: u64) {
        while rest > 0 {
            self.push(rest % BASE);
            rest /= BASE;
        }
    }

    /// Appends ndigits, weight, sign, dscale and the digits, without zeros at either end.
    fn put(&self, negative: bool, cut: &Cut, out: &mut Vec<u8>) {
        let digits = &self.digits[..self.count];
        let high = digits.iter().rposition(|group| *group != 0).map_or(0, |last| last + 1);
        let low = digits[..high].iter().position(|group| *group != 0).unwrap_or(0);
        let zero = high == 0;
        let weight = if zero { 0 } else { cut.exponent + high as i16 - 1 };
        let sign = if negative && !zero { NEGATIVE } else { POSITIVE };
        for word in [(high - low) as i16, weight, sign, cut.shown] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        for group in digits[low..high].iter().rev() {
            out.extend_from_slice(&group.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(put: impl FnOnce(&mut Vec<u8>)) -> Vec<i16> {
        let mut out = Vec::new();
        put(&mut out);
        out.chunks(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect()
    }

    /// Worked out by hand from the layout: ndigits, weight, sign, dscale, digits.
    #[test]
    fn known_values_have_known_bytes() {
        let table: [(i128, i8, &[i16]); 9] = [
            (0, 2, &[0, 0, 0, 2]),
            (1, 0, &[1, 0, 0, 0, 1]),
            (-1, 0, &[1, 0, 0x4000, 0, 1]),
            (12345, 2, &[2, 0, 0, 2, 123, 4500]),
            (5, 2, &[1, -1, 0, 2, 500]),
            (10_000, 0, &[1, 1, 0, 0, 1]),
            (1, 5, &[1, -2, 0, 5, 1000]),
            (12, -3, &[2, 1, 0, 0, 1, 2000]),
            (-100_000_000, 4, &[1, 1, 0x4000, 4, 1]),
        ];
        for (value, scale, expected) in table {
            assert_eq!(words(|out| put_i128(value, scale, out)), expected, "{value} scale {scale}");
        }
    }

    #[test]
    fn wide_numbers_use_the_same_layout() {
        let ten_to_40 = i256::from_string(&format!("1{}", "0".repeat(40))).unwrap();
        assert_eq!(words(|out| put_i256(ten_to_40, 0, out).unwrap()), [1, 10, 0, 0, 1]);
        assert_eq!(words(|out| put_i256(ten_to_40.wrapping_neg(), 2, out).unwrap()), [1, 9, 0x4000, 2, 100]);
        assert_eq!(
            words(|out| put_i256(i256::from_i128(12345), 2, out).unwrap()),
            words(|out| put_i128(12345, 2, out))
        );
        assert!(put_i256(i256::MIN, 0, &mut Vec::new()).is_err());
    }
}
