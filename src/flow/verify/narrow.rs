//! Finds the rows in which two tables of differing checksums differ, and says how.
//!
//! The rows are put into buckets by the first bits of the hash of their key, of which those that differ are looked at
//! more closely, until single keys are left. What is held at a time: the buckets of one step, at most
//! [`EXAMPLES`] times 2^[`STEP`] or [`FEW_ROWS`], and one row of each of [`EXAMPLES`] keys on each side.
//! How many rows a key has is told by its bucket: there may be any number of them.

use super::EXAMPLES;
use super::sides::{Both, Sides};
use crate::error::Result;
use crate::warehouse::{Fingerprint, Heap, Part, RowPrint};
use std::collections::{BTreeMap, BTreeSet};

/// Bits of a hash that one step looks at.
const STEP: u32 = 12;
const ALL_BITS: u32 = 64;
/// So many rows are told apart at once.
const FEW_ROWS: u64 = 20_000;
/// Characters of a value that are shown.
const MOST_CHARACTERS: usize = 80;

/// At most [`EXAMPLES`] rows of the part that are not the same on both sides, a sentence each, by their keys.
pub async fn differing_rows(sides: &mut Sides<'_>, part: &Part) -> Result<Vec<String>> {
    let keys = differing_keys(sides, part).await?;
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let part = Part { buckets: Some((ALL_BITS, keys.keys().copied().collect())), ..part.clone() };
    let found = sides.examples(&part).await?;
    let row = |key: &i64| Both { one: found.one.get(key), other: found.other.get(key) };
    let mut told: Vec<String> = keys.iter().map(|(key, counts)| tell(sides, counts, row(key))).collect();
    told.sort();
    Ok(told)
}

/// Hashes of keys whose rows differ, with how many rows each has.
async fn differing_keys(sides: &mut Sides<'_>, part: &Part) -> Result<BTreeMap<i64, Both<u64>>> {
    let (mut part, mut bits) = (part.clone(), STEP);
    loop {
        let Both { one, other } = sides.buckets(&part, bits).await?;
        let heap = |side: &BTreeMap<i64, Heap>, bucket: &i64| side.get(bucket).copied().unwrap_or_default();
        let known: BTreeSet<i64> = one.keys().chain(other.keys()).copied().collect();
        let differing = known.into_iter().filter(|bucket| heap(&one, bucket) != heap(&other, bucket));
        let differing: Vec<i64> = differing.take(EXAMPLES).collect();
        if bits == ALL_BITS || differing.is_empty() {
            let counts = |key: &i64| Both { one: heap(&one, key).count, other: heap(&other, key).count };
            return Ok(differing.iter().map(|key| (*key, counts(key))).collect());
        }
        let rows = |bucket: &i64| heap(&one, bucket).count.max(heap(&other, bucket).count);
        let is_few = differing.iter().map(rows).sum::<u64>() <= FEW_ROWS;
        part.buckets = Some((bits, differing));
        bits = if is_few { ALL_BITS } else { (bits + STEP).min(ALL_BITS) };
    }
}

/// What is wrong with the rows of one key, of each side so many and one of them.
fn tell(sides: &Sides<'_>, counts: &Both<u64>, row: Both<Option<&RowPrint>>) -> String {
    let (print, Both { one: here, other: there }) = (&sides.print, &sides.names);
    let name = row.one.or(row.other).map_or_else(|| "a row".into(), |row| named(print, row));
    let what = match (counts.one, counts.other, row.one.zip(row.other)) {
        (1, 1, Some((one, other))) => changed(sides, one, other),
        (_, 0, _) => format!("is missing {there}"),
        (0, _, _) => format!("is {there} and not {here}"),
        (one, other, _) if one == other => format!("{one} on each side, of other values"),
        (one, other, _) => format!("{one} {here}, {other} {there}"),
    };
    format!("{name}: {what}")
}

/// The values a row is known by.
fn named(print: &Fingerprint, row: &RowPrint) -> String {
    let columns: Vec<&str> = print.columns().collect();
    let value = |index: &usize| format!("{} = {}", columns[*index], shown(row.values.get(*index).unwrap_or(&None)));
    print.key().iter().map(value).collect::<Vec<_>>().join(", ")
}

fn changed(sides: &Sides<'_>, one: &RowPrint, other: &RowPrint) -> String {
    let differs = |index: &usize| one.hashes.get(*index) != other.hashes.get(*index);
    let columns = sides.print.columns().enumerate().filter(|(index, _)| differs(index));
    let pair = |index: usize| [one.values.get(index), other.values.get(index)].map(|value| value.unwrap_or(&None));
    let told = columns.take(EXAMPLES).map(|(index, column)| values(column, pair(index), &sides.names));
    told.collect::<Vec<_>>().join("; ")
}

/// `price is 7.00 in the lake, 7.01 in the warehouse`
pub fn values(column: &str, [one, other]: [&Option<String>; 2], names: &Both<&str>) -> String {
    format!("{column} is {} {}, {} {}", shown(one), names.one, shown(other), names.other)
}

/// On one line, cut off where it gets long.
fn shown(value: &Option<String>) -> String {
    let Some(text) = value else { return "NULL".into() };
    let mut shown: String = text
        .chars()
        .take(MOST_CHARACTERS)
        .flat_map(|c| {
            let escaped = if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
            escaped.chars().collect::<Vec<_>>()
        })
        .collect();
    if text.chars().nth(MOST_CHARACTERS).is_some() {
        shown.push('…');
    }
    if shown.is_empty() { "''".into() } else { shown }
}
