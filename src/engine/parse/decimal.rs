//! Decimal numbers from text, exactly: all digits are kept or the text is refused.

/// How numbers are written, and what they have to fit into.
pub(super) struct Notation {
    thousands: Option<char>,
    decimal: char,
    precision: usize,
    scale: usize,
}

impl Notation {
    /// `marks`: the decimal mark alone, or the mark between thousands before it. `None` when it is neither.
    pub fn new(marks: &str, precision: u8, scale: u8) -> Option<Notation> {
        let mut signs = marks.chars();
        let (thousands, decimal) = match (signs.next(), signs.next(), signs.next()) {
            (Some(decimal), None, _) => (None, decimal),
            (Some(thousands), Some(decimal), None) if thousands != decimal => (Some(thousands), decimal),
            _ => return None,
        };
        let is_sign = |sign: char| sign == '-' || sign == '+' || sign.is_ascii_digit();
        let is_usable = !is_sign(decimal) && !thousands.is_some_and(is_sign);
        is_usable.then_some(Notation { thousands, decimal, precision: precision.into(), scale: scale.into() })
    }

    /// The number without its decimal mark, at the scale. The error says why it does not fit, if it is a number.
    pub fn read(&self, text: &str) -> Result<i128, &'static str> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(unsigned) => (true, unsigned),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = unsigned.split_once(self.decimal).unwrap_or((unsigned, ""));
        let whole = self.ungrouped(whole).ok_or("")?;
        if whole.is_empty() && fraction.is_empty() || !is_digits(&whole) || !is_digits(fraction) {
            return Err("");
        }
        // Zeros at the end add nothing.
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > self.scale {
            return Err(", it has more decimal places");
        }
        let digits = format!("{}{fraction:0<width$}", whole.trim_start_matches('0'), width = self.scale);
        if digits.trim_start_matches('0').len() > self.precision {
            return Err(", it has more digits");
        }
        let number: i128 = if digits.is_empty() { 0 } else { digits.parse().map_err(|_| "")? };
        Ok(if negative { -number } else { number })
    }

    /// Without marks between thousands; `None` when those do not part groups of three.
    fn ungrouped(&self, whole: &str) -> Option<String> {
        let Some((mark, (first, rest))) = self.thousands.and_then(|mark| Some((mark, whole.split_once(mark)?))) else {
            return Some(whole.to_string());
        };
        let are_groups = (1..=3).contains(&first.len()) && rest.split(mark).all(|group| group.len() == 3);
        are_groups.then(|| whole.replace(mark, ""))
    }
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_digits_are_kept_or_the_text_is_refused() {
        let table = [
            (".", "1.5", Ok(150)),
            (".", "-1.50", Ok(-150)),
            (".", "+.05", Ok(5)),
            (".", "7", Ok(700)),
            (".", "7.", Ok(700)),
            (".", "1.500", Ok(150)),
            (".", "0.00", Ok(0)),
            (".", "0000000012.34", Ok(1234)),
            (".", "1.505", Err(", it has more decimal places")),
            (".", "9999.99", Ok(999_999)),
            (".", "10000.00", Err(", it has more digits")),
            (".", "1,5", Err("")),
            (".", ".", Err("")),
            (".", "-", Err("")),
            (".", "1e3", Err("")),
            (".", "--1", Err("")),
            (",", "1,5", Ok(150)),
            (",", "1.5", Err("")),
            (".,", "1.234,56", Ok(123_456)),
            (".,", "234,56", Ok(23_456)),
            (".,", "1234,56", Ok(123_456)),
            (".,", "1.23,4", Err("")),
            (".,", "1234.567,8", Err("")),
            (",.", "-1,234.5", Ok(-123_450)),
            (",.", ",234", Err("")),
        ];
        for (marks, text, expected) in table {
            assert_eq!(Notation::new(marks, 6, 2).unwrap().read(text), expected, "{text} with {marks}");
        }
    }

    #[test]
    fn marks_are_one_or_two_different_signs() {
        for bad in ["", "..", ".,'", "1", "-.", "5,"] {
            assert!(Notation::new(bad, 6, 2).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_widest_decimal_fits() {
        let nines = "9".repeat(38);
        assert_eq!(Notation::new(".", 38, 0).unwrap().read(&nines), Ok(nines.parse().unwrap()));
    }
}
