//! More than a thousand malformed payloads among good ones.

#[path = "../../../tests/support/malformed.rs"]
mod malformed;

use super::*;
use crate::engine::types::parse_type;
use arrow::datatypes::Int64Type;

fn columns() -> Fields {
    let field = |(name, data_type): (&str, &str)| Field::new(name, parse_type(data_type).unwrap(), true);
    malformed::COLUMNS.into_iter().map(field).collect()
}

#[test]
fn malformed_payloads_are_rejects_with_a_reason_and_move_no_other() {
    let bad = malformed::payloads();
    assert!(bad.len() >= 1_000, "{}", bad.len());
    let good: Vec<String> = (0..=bad.len()).map(malformed::good).collect();
    let mut payloads: Vec<&[u8]> = vec![good[0].as_bytes()];
    for ((_, bad), good) in bad.iter().zip(&good[1..]) {
        payloads.extend([bad.as_slice(), good.as_bytes()]);
    }
    let mut decoder = decoder(&Format::Json, &columns()).unwrap();
    let decoded = decoder.decode(&payloads).unwrap();

    let numbers = decoded.batch.column(0).as_primitive::<Int64Type>();
    assert!(numbers.iter().eq((0..good.len() as i64).map(Some)), "a good record is gone or shifted");
    let alone = decoder.decode(&good.iter().map(String::as_bytes).collect::<Vec<_>>()).unwrap();
    assert_eq!(alone.rejects, []);
    assert!(decoded.batch == alone.batch, "a bad record touched a good one");
    let rejected: Vec<usize> = decoded.rejects.iter().map(|reject| reject.index).collect();
    assert_eq!(rejected, (0..bad.len()).map(|at| 2 * at + 1).collect::<Vec<_>>());
    for (reject, (kind, bytes)) in decoded.rejects.iter().zip(&bad) {
        let short = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
        assert!(!reject.reason.is_empty() && reject.reason.len() < 600, "{kind}: {short}: {}", reject.reason);
    }
}

#[test]
fn malformed_payloads_are_rejects_of_other_formats_or_rows() {
    let bad = malformed::payloads();
    let short = bad.iter().map(|(_, bytes)| bytes.as_slice()).filter(|bytes| bytes.len() < 2 << 20);
    let payloads: Vec<&[u8]> = short.collect();
    let texts = fields(&[("a", DataType::Utf8), ("b", DataType::Int64)]);
    let formats = [(Format::Csv(Layout::default()), &texts[..]), (Format::Raw, &texts[..1])];
    for (format, columns) in formats {
        let decoded = decoder(&format, &columns.iter().cloned().collect()).unwrap().decode(&payloads).unwrap();
        assert_eq!(decoded.batch.num_rows() + decoded.rejects.len(), payloads.len());
        assert!(decoded.rejects.iter().all(|reject| !reject.reason.is_empty() && reject.reason.len() < 600));
    }
}
