//! Two sides compared by their checksums, and what the comparison came to: counts, columns, then single rows.

use super::EXAMPLES;
use super::narrow;
use super::sides::{Both, Sides};
use crate::error::Result;
use crate::warehouse::{Checksums, Part};

/// What a comparison came to.
#[derive(Debug, Default)]
pub struct Contrast {
    /// Rows of the one side that took part.
    pub rows: u64,
    pub columns: usize,
    /// Sum of the hashes of these rows.
    pub checksum: String,
    /// A sentence each; none when both sides hold the same rows.
    pub differences: Vec<String>,
}

/// Judges the checksums of a part of both sides, and looks for the rows that differ where these do.
pub async fn contrast(sides: &mut Sides<'_>, part: &Part, sums: &Both<Checksums>) -> Result<Contrast> {
    let mut differences = judge(sides, sums);
    if sums.one != sums.other {
        differences.extend(narrow::differing_rows(sides, part).await?);
    }
    let rows = sums.one.rows;
    Ok(Contrast { rows: rows.count, columns: sums.one.columns.len(), checksum: rows.sum.to_string(), differences })
}

fn judge(sides: &Sides<'_>, sums: &Both<Checksums>) -> Vec<String> {
    let (Both { one, other }, names) = (sums, &sides.names);
    if one.rows.count != other.rows.count {
        return vec![format!("rows: {} {}, {} {}", one.rows.count, names.one, other.rows.count, names.other)];
    }
    let pairs = sides.print.columns().zip(one.columns.iter().zip(&other.columns));
    let differing: Vec<&str> = pairs.filter(|(_, (one, other))| one != other).map(|(name, _)| name).collect();
    if differing.is_empty() {
        let mixed = one.rows != other.rows;
        return mixed.then(|| "each column has its values, in other rows".to_string()).into_iter().collect();
    }
    let more = differing.len().saturating_sub(EXAMPLES);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    vec![format!("values differ in {}{more}", differing[..differing.len().min(EXAMPLES)].join(", "))]
}

#[cfg(test)]
mod tests {
    use super::super::sides::Side;
    use super::*;
    use crate::engine::{Engine, EngineConfig};
    use crate::warehouse::{Fingerprint, Heap};
    use arrow::datatypes::{DataType, Field, Schema};

    #[test]
    fn counts_columns_and_rows_are_judged_apart() {
        let session = Engine::new(&EngineConfig { memory_bytes: 64 << 20, threads: 1 }).unwrap().session();
        let side = || Side::query(&session, String::new());
        let schema = Schema::new(vec![Field::new("a", DataType::Int64, true)]);
        let names = Both { one: "here", other: "there" };
        let sides = Sides { one: side(), other: side(), print: Fingerprint::new(&schema, &[]), names };
        let sums = |rows: (u64, i128), column: (u64, i128)| Checksums {
            rows: Heap { count: rows.0, sum: rows.1 },
            columns: vec![Heap { count: column.0, sum: column.1 }],
        };
        let judged = |other: Checksums| judge(&sides, &Both { one: sums((3, 7), (2, 5)), other });
        assert!(judged(sums((3, 7), (2, 5))).is_empty());
        assert_eq!(judged(sums((3, 8), (2, 6))), ["values differ in a"]);
        assert_eq!(judged(sums((3, 8), (2, 5))), ["each column has its values, in other rows"]);
        assert_eq!(judged(sums((4, 8), (3, 6))), ["rows: 3 here, 4 there"]);
    }
}
