//! What a test took, in words: nothing but statistics, or so many bytes.

use super::screen::size;
use crate::flow::checks::{Evidence, Totals};

pub fn told(evidence: Evidence) -> String {
    match evidence {
        Evidence::Statistics => "proved by statistics".to_string(),
        Evidence::ScannedBytes(bytes) => format!("scanned {}", size(bytes)),
    }
}

/// What the tests cost, as one line; none when none was run.
pub fn receipt(totals: &Totals) -> Option<String> {
    let Totals { proved_by_statistics, scanned, scanned_bytes } = *totals;
    let proved = (proved_by_statistics > 0).then(|| format!("{proved_by_statistics} proved by statistics"));
    let scanned = (scanned > 0).then(|| format!("{scanned} scanned {}", size(scanned_bytes)));
    let parts: Vec<String> = proved.into_iter().chain(scanned).collect();
    (!parts.is_empty()).then(|| format!("tests: {}\n", parts.join(", ")))
}
