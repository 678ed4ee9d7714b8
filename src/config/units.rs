//! Durations, sizes and counts as people write them. An error says what was expected.

use std::time::Duration;

/// `500ms`, `10s`, `5m`, `2h`, `7d`.
pub fn duration(text: &str) -> Result<Duration, &'static str> {
    const EXPECTED: &str = "a duration such as 500ms, 10s, 5m, 2h or 7d";
    let (number, unit) = split(text);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(EXPECTED),
    };
    let number: u64 = number.parse().map_err(|_| EXPECTED)?;
    number.checked_mul(milliseconds).filter(|total| *total > 0).map(Duration::from_millis).ok_or(EXPECTED)
}

/// `1048576`, `64MB` (decimal), `64MiB` (binary).
pub fn bytes(text: &str) -> Result<usize, &'static str> {
    const EXPECTED: &str = "a size such as 64MB, 64MiB or 2GB";
    let (number, unit) = split(text);
    let factor: usize = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return Err(EXPECTED),
    };
    let number: usize = number.parse().map_err(|_| EXPECTED)?;
    number.checked_mul(factor).filter(|total| *total > 0).ok_or(EXPECTED)
}

/// A whole number above 0; `_` may group its digits.
pub fn count(text: &str) -> Result<usize, &'static str> {
    text.replace('_', "").parse().ok().filter(|number| *number > 0).ok_or("a whole number above 0")
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, expected) in
            [("500ms", 500), ("10s", 10_000), ("5 m", 300_000), ("2h", 7_200_000), ("7d", 604_800_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(expected)), "{text}");
        }
        for bad in ["", "10", "s", "0s", "-1s", "1.5s", "10 parsecs", "99999999999999999999s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_and_counts() {
        for (text, expected) in [("17", 17), ("64MB", 64_000_000), ("64MiB", 67_108_864), ("1 kib", 1024)] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for bad in ["", "MB", "0", "1.5GB", "7 stones"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
        assert_eq!(count("500_000"), Ok(500_000));
        assert!(count("0").is_err() && count("many").is_err());
    }
}
