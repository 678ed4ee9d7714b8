//! What PostgreSQL must print for a value, worked out from the value itself, by other means than the encoder's; and the
//! chance the values are drawn by.

use arrow::datatypes::i256;

/// splitmix64; the seed is printed, `LAKE_TEST_SEED` brings it back.
pub struct Random(u64);

impl Random {
    pub fn new(test: &str) -> Random {
        let given = std::env::var("LAKE_TEST_SEED").ok().map(|text| text.parse().unwrap());
        let seed = given.unwrap_or_else(|| uuid::Uuid::new_v4().as_u128() as u64 % 1_000_000_000);
        eprintln!("{test}: LAKE_TEST_SEED={seed}");
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// From `low` up to `high`, without it: anywhere, near either end, or near zero.
    pub fn within(&mut self, low: i128, high: i128) -> i128 {
        let wide = (u128::from(self.next()) << 64 | u128::from(self.next())) % high.wrapping_sub(low) as u128;
        let near = i128::from(self.below(100));
        let value = match self.below(8) {
            0 => low + near,
            1 => high - 1 - near,
            2 => near - 50,
            3 => wide as i128 >> self.below(100),
            _ => low.wrapping_add(wide as i128),
        };
        value.clamp(low, high - 1)
    }

    pub fn text(&mut self) -> String {
        let odd = [
            '"',
            '\'',
            '\\',
            '{',
            '}',
            ',',
            ' ',
            '\n',
            '\t',
            '\u{1}',
            '\u{7f}',
            'N',
            'U',
            'L',
            '\u{feff}',
            '\u{10ffff}',
        ];
        (0..self.below(12))
            .map(|_| match self.below(4) {
                0 => odd[self.below(odd.len() as u64) as usize],
                1 => char::from(b' ' + self.below(95) as u8),
                2 => char::from_u32(1 + self.below(0xd7ff) as u32).unwrap_or('x'),
                _ => char::from_u32(0x1_0000 + self.below(0x1000) as u32).unwrap_or('y'),
            })
            .collect()
    }

    /// Null now and then.
    pub fn some<T>(&mut self, draw: impl FnOnce(&mut Random) -> T) -> Option<T> {
        (self.below(16) > 0).then(|| draw(self))
    }
}

/// By moving the point in the number's digits.
pub fn decimal(value: &str, scale: i8) -> String {
    let (sign, digits) = value.strip_prefix('-').map_or(("", value), |digits| ("-", digits));
    if digits == "0" && scale <= 0 {
        return "0".into();
    }
    let sign = if digits == "0" { "" } else { sign };
    if scale <= 0 {
        return format!("{sign}{digits}{}", "0".repeat(usize::from(scale.unsigned_abs())));
    }
    let scale = usize::from(scale.unsigned_abs());
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

pub fn wide_decimal(value: i256, scale: i8) -> String {
    decimal(&value.to_string(), scale)
}

/// Days since 1970, by the civil calendar stretched over all years (Hinnant's algorithm): `0044-03-15 BC`.
pub fn date(days: i64) -> String {
    let (day, era) = day_and_era(days);
    format!("{day}{era}")
}

fn day_and_era(days: i64) -> (String, &'static str) {
    let shifted = days + 719_468;
    let of_400_years = shifted.rem_euclid(146_097);
    let year_of = (of_400_years - of_400_years / 1_460 + of_400_years / 36_524 - of_400_years / 146_096) / 365;
    let day_of_year = of_400_years - (365 * year_of + year_of / 4 - year_of / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of + shifted.div_euclid(146_097) * 400 + i64::from(month <= 2);
    let (year, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    (format!("{year:04}-{month:02}-{day:02}"), era)
}

/// Microseconds since 1970; `zone` is what follows the time of day.
pub fn instant(micros: i64, zone: &str) -> String {
    let (day, era) = day_and_era(micros.div_euclid(86_400_000_000));
    let (seconds, micros) = ((micros.rem_euclid(86_400_000_000)) / 1_000_000, micros.rem_euclid(1_000_000));
    let fraction = format!(".{micros:06}");
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{day} {hour:02}:{minute:02}:{second:02}{fraction}{zone}{era}")
}

/// `{a,NULL,"b c"}`
pub fn list(items: &[Option<String>]) -> String {
    let shown = |item: &Option<String>| {
        let Some(text) = item else { return "NULL".to_string() };
        let odd = |c: char| matches!(c, '"' | '\\' | '{' | '}' | ',' | ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}');
        if !text.is_empty() && !text.eq_ignore_ascii_case("null") && !text.contains(odd) {
            return text.clone();
        }
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    };
    format!("{{{}}}", items.iter().map(shown).collect::<Vec<_>>().join(","))
}

#[test]
fn known_values_have_known_texts() {
    assert_eq!(date(0), "1970-01-01");
    assert_eq!(date(-2_440_588), "4714-11-24 BC");
    assert_eq!([date(-719_163), date(-719_162)], ["0001-12-31 BC", "0001-01-01"]);
    assert_eq!(date(2_145_042_905), "5874897-12-31");
    assert_eq!(instant(-1, "+00"), "1969-12-31 23:59:59.999999+00");
    assert_eq!(instant(1_700_000_000_500_000, ""), "2023-11-14 22:13:20.5");
    let decimals = [("5", 2, "0.05"), ("-5", 2, "-0.05"), ("0", 3, "0.000"), ("12", -3, "12000"), ("-120", 0, "-120")];
    for (value, scale, expected) in decimals {
        assert_eq!(decimal(value, scale), expected);
    }
    assert_eq!(
        list(&[Some("a b".into()), None, Some("null".into()), Some(r#"\""#.into())]),
        r#"{"a b",NULL,"null","\\\""}"#
    );
}
